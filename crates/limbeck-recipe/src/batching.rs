//! How lines of a corpus become batches: which lines are held out, in which order they come, which share a batch and
//! how a batch is padded. Everything here is a pure function of its arguments (no files, threads or clock), so that the
//! same seed gives the same batches natively and in a browser, and a run can be resumed at any batch.

use serde::{Deserialize, Serialize};

pub use crate::Rng;
use crate::mix;

/// A place in a corpus: the start of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the file, in the order of the corpus. The number of files means the end of the corpus.
    pub file: usize,
    /// Bytes of the (uncompressed) file before this place.
    pub byte: u64,
    /// Lines of the file before this place, blank ones counted.
    pub line: u64,
}

/// A place in a part of a corpus that has a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPosition {
    /// The start of its next line.
    pub at: Position,
    /// Lines that it has given since the run began.
    pub lines: u64,
}

/// Where to continue after a batch. From there, with the same corpus and settings, exactly the batches follow that an
/// uninterrupted run would have had. The default is the very beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPosition {
    /// Whole passes over the corpus that are done; 0 of a corpus with weights, which has no common end.
    pub epoch: u64,
    /// Blocks of this epoch that are done.
    pub block: u64,
    /// Where the current block starts.
    pub start: Position,
    /// The same in each part of a corpus with weights, where `start` says nothing; none of these at the very beginning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartPosition>,
    /// Chunks of this block that are done.
    pub chunk: u64,
    /// Batches of this chunk that are done.
    pub batch: u64,
    /// Lines in all batches since the run began.
    pub lines: u64,
    /// How many of those lines were too long for the model and were truncated.
    pub truncated_lines: u64,
}

impl DataPosition {
    /// Whether nothing of the current epoch was given yet.
    pub fn is_start_of_epoch(&self) -> bool {
        self.start == Position::default() && self.block == 0 && self.chunk == 0 && self.batch == 0
    }

    /// The start of the epoch that follows; the counts of lines continue.
    #[must_use]
    pub fn next_epoch(&self) -> Self {
        Self {
            epoch: self.epoch + 1,
            lines: self.lines,
            truncated_lines: self.truncated_lines,
            ..Self::default()
        }
    }
}

/// The token ids of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// At most `max_length` token ids, special tokens included.
    pub ids: Vec<u32>,
    /// The token type of each; none where all are 0.
    pub types: Vec<u32>,
    /// Whether the line had more tokens than fit.
    pub truncated: bool,
}

/// Token sequences of similar length, padded on the right to one length. B batch, S padded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, (B, S) row-major.
    pub ids: Vec<u32>,
    /// Token types, (B, S) row-major; none where all are 0.
    pub types: Vec<u32>,
    /// Real tokens of each sequence, (B), each 1 ..= S.
    pub lengths: Vec<usize>,
    /// The padded length S.
    pub padded: usize,
    /// File index and 1-based line number of each sequence, (B), to name a line in a message.
    pub sources: Vec<(usize, u64)>,
}

impl Batch {
    /// Pads `sequences` to the longest of them, rounded up to a multiple of `pad_to_multiple` but never above
    /// `max_length`. Few distinct S keep the memory pools and pipelines of a GPU small; 8 is a good multiple.
    ///
    /// # Panics
    /// If `sources` names another number of lines, or a sequence is empty or longer than `max_length`.
    pub fn pad(
        sequences: &[&[u32]],
        sources: Vec<(usize, u64)>,
        pad_id: u32,
        pad_to_multiple: usize,
        max_length: usize,
    ) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
        assert_eq!(lengths.len(), sources.len(), "one source per sequence");
        assert!(
            lengths
                .iter()
                .all(|length| (1..=max_length).contains(length)),
            "lengths {lengths:?} are not all in 1 ..= {max_length}"
        );
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = longest
            .next_multiple_of(pad_to_multiple.max(1))
            .min(max_length);
        let mut ids = Vec::with_capacity(sequences.len() * padded);
        for (row, sequence) in sequences.iter().enumerate() {
            ids.extend_from_slice(sequence);
            ids.resize((row + 1) * padded, pad_id);
        }
        Self {
            ids,
            types: Vec::new(),
            lengths,
            padded,
            sources,
        }
    }

    /// A batch of one sequence, without padding.
    pub fn of_one(ids: &[u32], types: &[u32]) -> Self {
        Self::pad(&[ids], vec![(0, 0)], 0, 1, ids.len()).with_types(&[types])
    }

    /// The same with the token types of each sequence, as many as it has tokens; none where all are 0.
    #[must_use]
    pub fn with_types(mut self, sequences: &[&[u32]]) -> Self {
        if sequences.iter().any(|types| !types.is_empty()) {
            for (row, types) in sequences.iter().enumerate() {
                self.types.extend_from_slice(types);
                self.types.resize((row + 1) * self.padded, 0);
            }
        }
        self
    }

    /// Real tokens, padding not counted.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Places that only fill up shorter sequences.
    pub fn padding(&self) -> usize {
        self.ids.len() - self.tokens()
    }
}

/// Which part of a corpus gives the next line: the one that is furthest behind its weight's share of the lines, the first of equals;
/// `lines` are those that each has given so far. After any number of lines each part is within a few of its share (the divisors of
/// Sainte-Lague). None if no weight is above 0.
pub fn next_part(weights: &[f64], lines: impl IntoIterator<Item = u64>) -> Option<usize> {
    let due = weights.iter().zip(lines);
    let due = due.map(|(weight, lines)| (lines as f64 + 0.5) / weight);
    let due = due.enumerate().filter(|(part, _)| weights[*part] > 0.0);
    due.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(part, _)| part)
}

/// The order of the `count` lines of a block in an epoch: a permutation of `0 .. count`.
///
/// # Panics
/// If `count` does not fit into 32 bits (blocks are far smaller).
pub fn shuffled(count: usize, seed: u64, epoch: u64, block: u64) -> Vec<u32> {
    let count = u32::try_from(count).expect("a block has fewer than 2^32 lines");
    let mut order: Vec<u32> = (0..count).collect();
    Rng::keyed(&[seed, epoch, block]).shuffle(&mut order);
    order
}

/// Whether a line is held out for evaluation and never trained on. It depends on the text alone, so the same line is held
/// out in every run, file and order, and equal lines are never on both sides. About `fraction` of different lines are.
pub fn is_held_out(text: &str, fraction: f64) -> bool {
    // FNV-1a alone mixes the high bits of short texts badly.
    let bits = mix(fnv1a(text.as_bytes()));
    let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
    uniform < fraction
}

/// FNV-1a, 64 bits, with the basis and prime of Fowler, Noll and Vo: stable by definition, which std's hashers are not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Which sequences of a chunk share a batch: indices into `lengths`. Sequences of similar length come together, which
/// saves padding; the batches come in random order, so that training does not go from short to long.
///
/// All batches have `batch` sequences. Those that do not fill one make a smaller batch if `keep_last`, and otherwise
/// the last ones of the chunk are left out (not the longest ones, which would bias what is trained on).
///
/// # Panics
/// If `batch` is 0.
pub fn plan_batches(
    lengths: &[usize],
    batch: usize,
    keep_last: bool,
    rng: &mut Rng,
) -> Vec<Vec<usize>> {
    assert!(batch > 0, "a batch has at least one sequence");
    let kept = if keep_last {
        lengths.len()
    } else {
        lengths.len() - lengths.len() % batch
    };
    let mut by_length: Vec<usize> = (0..kept).collect();
    by_length.sort_by_key(|&index| lengths[index]);
    let mut batches: Vec<Vec<usize>> = by_length.chunks(batch).map(<[usize]>::to_vec).collect();
    rng.shuffle(&mut batches);
    batches
}
