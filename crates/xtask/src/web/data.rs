//! The bundled teacher, texts and recorded run, as the page fetches them.

use std::path::Path;

use serde_json::{Value, json};

use super::create_folder;
use crate::places::Places;
use crate::shell::{self, Result};

/// What a teacher's folder may hold of what the page needs.
const TEACHER: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
];

const TEXTS: [&str; 2] = ["wiki.txt", "glosses.txt"];

/// Copies the data to `stage/data` and writes `index.json`, which tells the page what there is.
pub fn bundle(places: &Places, stage: &Path) -> Result<()> {
    let assets = places.root.join("assets");
    let data = stage.join("data");
    create_folder(&data.join("teacher"))?;
    create_folder(&data.join("texts"))?;
    let mut files = Vec::new();
    for name in TEACHER {
        let from = assets.join("teacher").join(name);
        if from.is_file() {
            let bytes = copy(&from, &data.join("teacher").join(name))?;
            files.push(json!({ "name": name, "bytes": bytes }));
        }
    }
    let mut texts: Vec<Value> = Vec::new();
    for file in TEXTS {
        let bytes = copy(&assets.join(file), &data.join("texts").join(file))?;
        texts.push(json!({ "name": format!("assets/{file}"), "file": file, "bytes": bytes }));
    }
    let recorded = assets.join("recorded.json");
    if recorded.is_file() {
        copy(&recorded, &data.join("recorded.json"))?;
    }
    let index = json!({
        "teacher": { "name": "assets/teacher", "files": files },
        "texts": texts,
    });
    shell::write(&data.join("index.json"), index.to_string().as_bytes())
}

fn copy(from: &Path, to: &Path) -> Result<u64> {
    std::fs::copy(from, to).map_err(shell::file_error(from))
}
