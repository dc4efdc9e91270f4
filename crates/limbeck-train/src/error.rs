//! Why a run cannot start or continue.

use limbeck_model::ModelError;
use limbeck_recipe::{PlanError, counted};

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
    /// The output stage compares what one side did not bring.
    #[error(
        "the output stage compares the last hidden states of both models: give them in each Reading"
    )]
    NoStates,
    /// Nothing is compared.
    #[error(
        "no part of the loss has a weight above 0: give one to a pair, or to a part of the output stage"
    )]
    NoPart,
    /// The loss was not a finite number in several consecutive steps.
    #[error(
        "the loss was not a number in {in_a_row} consecutive steps (up to step {step}). Lower learning_rate, increase \
         warmup, or inspect the lines of the last batch"
    )]
    NotFinite {
        /// The last of these steps, from 1.
        step: u64,
        /// How many steps there were.
        in_a_row: u32,
        /// Corpus lines of the last step: index of the file, number of the line.
        lines: Vec<(usize, u64)>,
    },
    /// An update left a weight of the student that is not a finite number.
    #[error(
        "the student broke at step {step}: its weights hold {found}, and no later step can mend that. Lower learning_rate (now \
         {learning_rate:e}), or increase warmup (now {}), and start again",
        counted(.warmup, "step")
    )]
    Broken {
        /// The step whose update it was, from 1; 0: the student began like that.
        step: u64,
        /// What they hold and where.
        found: String,
        /// The recipe's.
        learning_rate: f64,
        /// The plan's.
        warmup: u64,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Loading or running a model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}
