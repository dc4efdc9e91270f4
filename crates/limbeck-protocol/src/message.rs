//! The text of a message.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The text part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    /// A [`crate::Command`] or an [`crate::Event`].
    pub body: T,
    /// How many binary parts follow.
    pub blobs: usize,
}

/// Why a message is not understood.
#[derive(Debug, thiserror::Error)]
#[error("cannot parse a message ({0}); page and engine have different versions: reload the page")]
pub struct WireError(#[from] serde_json::Error);

impl<T: Serialize + DeserializeOwned> Message<T> {
    /// The JSON text.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn encode(&self) -> Result<String, WireError> {
        Ok(serde_json::to_string(self)?)
    }

    /// From the JSON text.
    ///
    /// # Errors
    /// Not a message of this version.
    pub fn decode(text: &str) -> Result<Self, WireError> {
        Ok(serde_json::from_str(text)?)
    }
}
