//! The bundled teacher and texts, the recorded run and its student, as the page fetches them.

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

/// What the recorded run's student consists of; the rest of its folder would be its teacher's.
const STUDENT: [&str; 2] = ["config.json", "model.safetensors"];

const TEXTS: [&str; 2] = ["wiki.txt", "glosses.txt"];

/// Copies the data to `stage/data` and writes `index.json`, which tells the page what there is.
pub fn bundle(places: &Places, stage: &Path) -> Result<()> {
    let assets = places.root.join("assets");
    let data = stage.join("data");
    create_folder(&data.join("texts"))?;
    let model = |folder: &str, names: &[&str]| {
        let (from, to) = (assets.join(folder), data.join(folder));
        create_folder(&to)?;
        let there = names.iter().filter(|name| from.join(name).is_file());
        let files = there.map(|name| {
            let bytes = copy(&from.join(name), &to.join(name))?;
            Ok(json!({ "name": name, "bytes": bytes }))
        });
        files.collect::<Result<Vec<Value>>>()
    };
    let (teacher, student) = (model("teacher", &TEACHER)?, model("student", &STUDENT)?);
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
        "teacher": { "name": "assets/teacher", "files": teacher },
        "student": student,
        "texts": texts,
    });
    shell::write(&data.join("index.json"), index.to_string().as_bytes())
}

fn copy(from: &Path, to: &Path) -> Result<u64> {
    std::fs::copy(from, to).map_err(shell::file_error(from))
}
