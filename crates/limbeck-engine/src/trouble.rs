//! What can go wrong with a run, and the control of a page that fixes it.

use limbeck_corpus::CorpusError;
use limbeck_model::{ModelError, TokenizerError};
use limbeck_protocol::Control;
use limbeck_recipe::{Mistake, PlanError};
use limbeck_train::TrainError;

use crate::heldout::HeldoutError;

/// Why a run cannot begin or go on. Each message names the values and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The recipe does not fit the teacher.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The teacher cannot be used.
    #[error(transparent)]
    Teacher(#[from] ModelError),
    /// The texts cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// No more batches came, and no reason.
    #[error("the texts yield no further batch")]
    NoMoreBatches,
    /// There is nothing to measure on.
    #[error(transparent)]
    Heldout(#[from] HeldoutError),
    /// A resumed run would read something else than it began with.
    #[error("{0}")]
    Changed(String),
    /// No device to compute on.
    #[error("{0}")]
    Device(String),
    /// The trainer.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The loss stayed non-finite, on these lines.
    #[error("{error}\n  {lines}")]
    NotFinite {
        /// What happened.
        error: TrainError,
        /// The lines of the last batch by name.
        lines: String,
    },
    /// Every weight is a finite number, and what the student computes with them is not.
    #[error(
        "the student broke by step {step}: its relations on the held-out lines are not numbers any more. Lower learning_rate \
         (now {learning_rate:e}), or increase warmup, and start again"
    )]
    Unsound {
        /// Steps taken.
        step: u64,
        /// The recipe's.
        learning_rate: f64,
    },
    /// The student broke; what was saved before is whole.
    #[error("{error}\n  The checkpoint of step {step} is from before that")]
    Kept {
        /// What happened.
        error: Box<RunError>,
        /// Steps up to the checkpoint.
        step: u64,
    },
    /// A front could not keep what it was given.
    #[error("{0}")]
    Storage(String),
    /// The texts failed in mid-run; every step up to there is saved.
    #[error("{error}\n  saved after step {step}")]
    Saved {
        /// What happened.
        error: Box<RunError>,
        /// Steps taken.
        step: u64,
    },
}

impl From<TokenizerError> for RunError {
    fn from(error: TokenizerError) -> Self {
        Self::Teacher(error.into())
    }
}

impl RunError {
    /// Whether the texts failed, so that the student is as good as after its last step.
    pub(crate) fn is_of_texts(&self) -> bool {
        matches!(self, Self::Corpus(_) | Self::NoMoreBatches)
    }

    /// Whether the device failed while it computed.
    pub fn is_of_device(&self) -> bool {
        match self {
            Self::Teacher(error) | Self::Train(TrainError::Model(error)) => error.is_of_device(),
            _ => false,
        }
    }

    /// Whether the student broke.
    pub(crate) fn is_of_student(&self) -> bool {
        matches!(
            self,
            Self::Unsound { .. } | Self::Train(TrainError::Broken { .. })
        )
    }
}

/// What is wrong, and where it is fixed.
pub type Trouble = (Control, String);

/// All that is wrong.
pub struct Troubles(pub Vec<Trouble>);

impl From<Trouble> for Troubles {
    fn from(trouble: Trouble) -> Self {
        Self(vec![trouble])
    }
}

impl From<RunError> for Troubles {
    fn from(error: RunError) -> Self {
        let control = match &error {
            RunError::Plan(PlanError(mistakes)) => return of_mistakes(mistakes),
            RunError::Train(TrainError::Plan(PlanError(mistakes))) => return of_mistakes(mistakes),
            RunError::Teacher(_) => Control::Teacher,
            RunError::Corpus(_) | RunError::NoMoreBatches | RunError::Heldout(_) => Control::Texts,
            RunError::Saved { .. } => Control::Texts,
            RunError::Changed(_) | RunError::Train(TrainError::Checkpoint(_)) => {
                Control::Checkpoint
            }
            RunError::NotFinite { .. }
            | RunError::Unsound { .. }
            | RunError::Kept { .. }
            | RunError::Train(TrainError::NotFinite { .. } | TrainError::Broken { .. }) => {
                Control::Run
            }
            RunError::Device(_) | RunError::Train(_) => Control::Device,
            RunError::Storage(_) => Control::Storage,
        };
        (control, error.to_string()).into()
    }
}

fn of_mistakes(mistakes: &[Mistake]) -> Troubles {
    let each = mistakes.iter();
    let each = each.map(|Mistake { field, message }| match *field {
        // A page has no field for them; another number of texts is what puts it right.
        "corpus_field" | "corpus_weights" => (Control::Texts, format!("{field}: {message}")),
        field => (Control::Field(field.to_owned()), message.clone()),
    });
    Troubles(each.collect())
}

/// A device that failed while it computed a sentence.
pub(crate) fn of_device(error: impl std::fmt::Display) -> Trouble {
    (Control::Device, error.to_string())
}
