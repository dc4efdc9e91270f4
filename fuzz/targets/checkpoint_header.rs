//! The header of a checkpoint and the index of a saved run: JSON with the recipe in it as TOML.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use limbeck_recipe::batching::DataPosition;
use limbeck_recipe::{Evaluation, Recipe, Step};
use serde::{Deserialize, Serialize};

/// The parts of both that this workspace defines.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    #[serde(with = "limbeck_recipe::as_toml")]
    recipe: Recipe,
    #[serde(default)]
    position: DataPosition,
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    #[serde(default)]
    updates: BTreeMap<String, u64>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = serde_json::from_slice::<Header>(bytes) else {
        return;
    };
    let written = serde_json::to_string(&header).expect("a header can be written");
    let again: Header = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(again.recipe.to_toml(), header.recipe.to_toml());
    assert_eq!(again.position, header.position);
    assert_eq!(again.updates, header.updates);
});
