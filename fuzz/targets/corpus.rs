//! A text, plain or packed: its blocks hold what its lines hold, within their limits, and end or fail.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_corpus::{BlockLimits, Corpus};
use limbeck_recipe::batching::Position;

fuzz_target!(|bytes: &[u8]| {
    let Ok(corpus) = Corpus::in_memory(vec![("text".to_owned(), bytes.into())], None) else {
        return;
    };
    let counted = corpus.count_lines();
    let limits = BlockLimits {
        block_lines: 3,
        block_bytes: 64,
        line_bytes: 16,
    };
    let mut lines = 0;
    let mut last = 0;
    for block in corpus.blocks(Position::default(), limits) {
        let Ok(block) = block else { return };
        assert!((1..=limits.block_lines).contains(&block.lines.len()));
        for line in &block.lines {
            assert!(line.text.len() <= limits.line_bytes, "{line:?}");
            assert!(line.number > last, "{line:?} after line {last}");
            last = line.number;
        }
        lines += block.lines.len() as u64;
    }
    if let Ok(counted) = counted {
        assert!(lines <= counted.iter().sum(), "{lines} of {counted:?}");
    }
});
