//! Why a folder's tokenizer cannot be read, or failed on a text.

/// Says what was wrong, with the values, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("tokenizer: {0}")]
pub struct TokenizerError(String);

impl TokenizerError {
    /// With these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The words.
    pub fn reason(&self) -> &str {
        &self.0
    }

    /// A file that cannot be read, and why.
    pub(crate) fn of_file(file: &str, reason: impl std::fmt::Display) -> Self {
        Self(format!("{file} cannot be read: {reason}"))
    }
}

impl From<tokenizers::Error> for TokenizerError {
    fn from(error: tokenizers::Error) -> Self {
        Self(error.to_string())
    }
}
