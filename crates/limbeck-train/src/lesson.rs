//! What a step learns from.

use limbeck_recipe::batching::Batch;

use crate::Reading;

/// A batch, and what the teacher makes of it where that is known already: from a cache, or computed elsewhere.
#[derive(Clone, Debug)]
pub struct Lesson<'a> {
    /// The sequences, B of them, padded to S.
    pub batch: &'a Batch,
    /// The teacher's queries, keys and values in the plan's teacher layer, and its last hidden states, on the device of the run.
    /// The run asks its teacher without it, and in the output stage also without states.
    pub teacher: Option<Reading>,
}

impl<'a> From<&'a Batch> for Lesson<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self {
            batch,
            teacher: None,
        }
    }
}

impl Lesson<'_> {
    /// Number of sequences B.
    pub fn sequences(&self) -> usize {
        self.batch.lengths.len()
    }
}
