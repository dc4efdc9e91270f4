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
    let names = map.values().map(|name| name.as_str().map(str::to_owned));
    let names = names.collect::<Option<Vec<String>>>();
    let names = names.filter(|names| !names.is_empty());
    let mut shards =
        names.ok_or_else(|| wrong("`weight_map` does not name a file for each tensor".into()))?;
    shards.sort();
    shards.dedup();
    match shards.iter().find(|shard| shard.contains(['/', '\\', ':'])) {
        Some(odd) => Err(wrong(format!(
            "the shard `{odd}` is not a file of this folder"
        ))),
        None => Ok(shards),
    }
}
