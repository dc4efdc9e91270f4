//! Why a model cannot be had: one sentence each, with what to do.

use std::path::Path;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A variable of the environment cannot be used. Its value may be a secret, so it is not said.
    #[error("{name} cannot be used: {why}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The network is not to be used, and the cache has no such model.
    #[error(
        "no complete copy of {id} is in the cache {cache}, and HF_HUB_OFFLINE forbids downloading it: unset HF_HUB_OFFLINE, or name a folder with the model's files"
    )]
    Offline {
        /// The model.
        id: String,
        /// The cache.
        cache: String,
    },
    /// The hub did not answer, and the cache has no such model.
    #[error(
        "no complete copy of {id} is in the cache {cache}, and {host} cannot be reached ({why}): name a folder with the model's files, or try again when you are online"
    )]
    Unreachable {
        /// The model.
        id: String,
        /// The cache.
        cache: String,
        /// The hub.
        host: String,
        /// What failed.
        why: String,
    },
    /// The hub has no such model.
    #[error(
        "{host} has no model {id}: check the name on its page there, or name a folder with the model's files"
    )]
    NoModel {
        /// The model.
        id: String,
        /// The hub.
        host: String,
    },
    /// The model has no such revision.
    #[error(
        "{model} on {host} has no branch, tag or commit `{revision}`: name another, or none for main"
    )]
    NoRevision {
        /// The model.
        model: String,
        /// The hub.
        host: String,
        /// What it has not.
        revision: String,
    },
    /// The hub wants to know who asks. It answers so, too, for what does not exist.
    #[error(
        "{host} shows no model {id} {asked} (status 401): check its name; if it is private or gated, {what_now}"
    )]
    Hidden {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// With which token it was asked.
        asked: &'static str,
        /// How to ask for it.
        what_now: &'static str,
    },
    /// The hub knows who asks, and refuses.
    #[error(
        "{host} refuses the model {id} (status {status}): ask for access on its page there, and set HF_TOKEN to a token that may \
         read it"
    )]
    Refused {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// The status.
        status: u16,
    },
    /// The hub has had too many requests.
    #[error(
        "{host} has had too many requests to answer for {id} now (status 429): try again in {wait}"
    )]
    Busy {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// How long that may take.
        wait: String,
    },
    /// Another status than was expected.
    #[error(
        "{host} answers with status {status} for {what}: try again later, or name a folder with the model's files"
    )]
    Status {
        /// The hub.
        host: String,
        /// The status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// The answer cannot be read.
    #[error(
        "what answers for {host} gives no list of the files of {id} ({why}): open a page of {host} in a browser, in case this \
         network asks to log in, or check HF_ENDPOINT"
    )]
    NoListing {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model is of another kind.
    #[error("{id} on {host} {what}: {advice}")]
    OtherFiles {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// What it has, or has not.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A file of the model that says what else it has is damaged.
    #[error("{0}")]
    Config(#[from] limbeck_recipe::ConfigError),
    /// A download came to no end.
    #[error(
        "the download of {file} of {id} broke off after {got} of {size} bytes ({why}): the same command goes on from there"
    )]
    Broken {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// What there is of it.
        got: u64,
        /// Its size.
        size: u64,
        /// What failed.
        why: String,
    },
    /// What comes is not what was listed.
    #[error(
        "{host} lists {file} of {id} with {size} bytes, but sends {sent}: try again later, or name a folder with the model's files"
    )]
    OtherSize {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// The file.
        file: String,
        /// Its size.
        size: u64,
        /// What would come, in words.
        sent: String,
    },
    /// What came is not what was listed.
    #[error(
        "{file} of {id} arrived damaged: its checksum is {found}, and {host} lists {listed}; it has been removed, so try again"
    )]
    Damaged {
        /// The model.
        id: String,
        /// The hub.
        host: String,
        /// The file.
        file: String,
        /// The checksum of what came.
        found: String,
        /// The checksum that it should have.
        listed: String,
    },
    /// A file of the cache.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl HubError {
    /// Whether a wrong name may be the reason.
    pub fn doubts_the_name(&self) -> bool {
        matches!(
            self,
            Self::Offline { .. }
                | Self::Unreachable { .. }
                | Self::NoModel { .. }
                | Self::Hidden { .. }
                | Self::Refused { .. }
                | Self::NoListing { .. }
                | Self::Status { .. }
        )
    }

    /// Makes the error of a failed file operation, for `map_err`.
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }
}
