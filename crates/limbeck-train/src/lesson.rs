//! What a step learns from.

use limbeck_kernels::Taps;
use limbeck_recipe::batching::Batch;

/// A batch, and what the teacher makes of it where that is known already: from a cache, or computed elsewhere.
#[derive(Clone, Debug)]
pub struct Lesson<'a> {
    /// The sequences, B of them, padded to S.
    pub batch: &'a Batch,
    /// The teacher's queries, keys and values in the plan's teacher layer, each (B, S, H of the teacher), on the device
    /// of the run. Without them the run asks its teacher.
    pub taps: Option<Taps>,
}

impl<'a> From<&'a Batch> for Lesson<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self { batch, taps: None }
    }
}

impl Lesson<'_> {
    /// Number of sequences B.
    pub fn sequences(&self) -> usize {
        self.batch.lengths.len()
    }
}
