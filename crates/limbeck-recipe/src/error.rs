//! Why a config.json cannot be used.

/// Why a config.json cannot be used, with the values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// config.json is not JSON, or not an encoder's.
    #[error("{file}: {reason}")]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with the file.
        reason: String,
    },
    /// limbeck does not support this kind of model.
    #[error("{field} `{value}` is not supported; supported: {supported}")]
    Unsupported {
        /// The field of config.json.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values that we support.
        supported: String,
    },
}
