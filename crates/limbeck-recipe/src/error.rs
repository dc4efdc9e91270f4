//! Why a config.json, or another JSON file of a model's folder, cannot be used.

/// Why a JSON file of a model's folder cannot be used, with the values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not JSON, or one of its fields has no value that can be used.
    #[error("{file}: {reason}")]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with the file.
        reason: String,
    },
    /// limbeck does not support this kind of model.
    #[error("{file}: {field} `{value}` is not supported; supported: {supported}")]
    Unsupported {
        /// The file.
        file: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values that we support.
        supported: String,
    },
}
