//! tokenizer.json, read or refused, and lines tokenised with it: ids within the length that was asked for, or an error.
//! A panic of the library that `limbeck` catches is an error here, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_tokenizer::Tokenizer;

const LINES: [&str; 3] = [
    "",
    "the student reads:  an \u{c9}t\u{e9}, 12.5 \u{6a21}\u{578b}!",
    "a\u{301}\u{0} ##b <s> [CLS]",
];
const MAX_LENGTH: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(bytes) else {
        return;
    };
    tokenizer.vocabulary();
    tokenizer.unknown();
    let _ = tokenizer.encode(&LINES);
    if let Ok(written) = tokenizer.to_json() {
        // Whatever a student's folder gets can be read.
        Tokenizer::from_json(written.as_bytes()).expect("what was written can be read");
    }
    let Ok(truncating) = tokenizer.truncating(MAX_LENGTH) else {
        return;
    };
    for tokens in truncating.encode(&LINES).into_iter().flatten() {
        assert!(tokens.ids.len() <= MAX_LENGTH, "{tokens:?}");
    }
    for tokens in truncating
        .encode_pairs(&[(LINES[1], LINES[2])])
        .into_iter()
        .flatten()
    {
        assert!(tokens.ids.len() <= MAX_LENGTH, "{tokens:?}");
        assert_eq!(tokens.ids.len(), tokens.types.len());
    }
    let words: Vec<&str> = LINES[1].split(' ').collect();
    for tokens in truncating
        .for_words()
        .encode_words(&[words])
        .into_iter()
        .flatten()
    {
        assert!(tokens.ids.len() <= MAX_LENGTH, "{tokens:?}");
        assert!(
            tokens
                .firsts
                .iter()
                .flatten()
                .all(|first| *first < tokens.ids.len()),
            "{tokens:?}"
        );
    }
});
