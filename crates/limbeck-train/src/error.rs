//! What can go wrong with a plan or a run.

use limbeck_model::ModelError;
use limbeck_recipe::PlanError;

/// Each message says what was wrong, with the values, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe does not fit the teacher.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A step needs something to learn from.
    #[error("a step got no sequence: give Run::step at least one batch with a line in it")]
    NoSequence,
    /// The loss was not a finite number in several consecutive steps.
    #[error(
        "the loss was not a number in {in_a_row} steps in a row (up to step {step}). Lower learning_rate, raise warmup, \
             or look at the lines of the last batch"
    )]
    NotFinite {
        /// The last of these steps, from 1.
        step: u64,
        /// How many steps there were.
        in_a_row: u32,
        /// Corpus lines of the last step: index of the file, number of the line.
        lines: Vec<(usize, u64)>,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Something about a model.
    #[error(transparent)]
    Model(#[from] ModelError),
}
