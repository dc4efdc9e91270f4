//! Errors of the command line, and the exit codes they become.

use std::path::Path;
use std::process::ExitCode;

use limbeck_corpus::CorpusError;
use limbeck_engine::RunError;
use limbeck_hub::HubError;
use limbeck_model::{ModelError, TokenizerError};
use limbeck_recipe::PlanError;
use limbeck_train::TrainError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong use: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// No device can be opened.
    #[error("{0}")]
    Device(String),
    /// The corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model on the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A name that is no folder's, and with which nothing can be had from the hub.
    #[error(
        "there is no folder {folder}, so {id} was taken for a model on the Hugging Face hub: {error}"
    )]
    NoModel {
        /// Where a folder was looked for.
        folder: String,
        /// What was named.
        id: String,
        /// What became of it.
        error: Box<HubError>,
    },
    /// A model's tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The trainer.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The corpus failed during a run, which was saved first.
    #[error("{error}\n  Saved at step {step}. Fix that, then resume with: {resume}")]
    Saved {
        /// What happened.
        error: Box<RunError>,
        /// Steps taken.
        step: u64,
        /// The command that goes on with the run.
        resume: String,
    },
    /// A run could not go on.
    #[error("{error}\n  {how}")]
    Resumable {
        /// What happened.
        error: Box<CliError>,
        /// What is left of the run, and how to go on.
        how: String,
    },
    /// A model computed what is not a number.
    #[error("{0}")]
    NotFinite(String),
    /// A file of labelled text: which one, what was found and what was expected.
    #[error("{0}")]
    Labelled(String),
    /// Relations that do not fit their sentence.
    #[error(transparent)]
    Maps(#[from] limbeck_relations::MapError),
    /// Queries, keys and values that do not fit their sentence.
    #[error(transparent)]
    Projections(#[from] limbeck_relations::ProjectionsError),
    /// `limbeck serve`.
    #[error("{0}")]
    Serve(String),
    /// Writing to standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl From<PlanError> for CliError {
    fn from(error: PlanError) -> Self {
        Self::Train(error.into())
    }
}

impl CliError {
    /// Makes the error of a failed file operation, for `map_err`.
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }

    /// 2 for wrong use, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_)
            | Self::Train(TrainError::Plan(_))
            | Self::Run(RunError::Plan(_) | RunError::Changed(_)) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// Whether the reader of standard output has gone.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
