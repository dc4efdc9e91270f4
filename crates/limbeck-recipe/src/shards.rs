//! Weights in several files.

use serde_json::Value;

use crate::error::ConfigError;
use crate::json::parse_json;

/// The file that says which of them has which tensor.
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// Names of the shards that an index lists; `file` is what it is called in messages.
///
/// # Errors
/// It is no index, or a shard leads out of the folder.
pub fn shards(file: &str, index: &[u8]) -> Result<Vec<String>, ConfigError> {
    let wrong = |reason: String| ConfigError::Wrong {
        file: file.to_owned(),
        reason,
    };
    let json = parse_json(file, index)?;
    let map = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| wrong("no `weight_map`".into()))?;
    let mut shards: Vec<String> = map
        .values()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    shards.sort();
    shards.dedup();
    match shards.iter().find(|shard| shard.contains(['/', '\\'])) {
        Some(odd) => Err(wrong(format!(
            "the shard `{odd}` is not a file of this folder"
        ))),
        None => Ok(shards),
    }
}
