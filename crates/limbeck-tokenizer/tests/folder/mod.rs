//! The folders of `tests/golden/hard_texts`: files, texts and the tokens that `AutoTokenizer` makes of them.

use std::collections::BTreeMap;
use std::path::Path;

use limbeck_tokenizer::Tokenizer;
use serde_json::Value;

pub type Files = BTreeMap<String, String>;

/// What `tests/golden/hard_texts.py` writes.
pub fn golden(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/hard_texts");
    let path = folder.join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

pub fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/hard_texts");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.map(|name| name.strip_suffix(".json").unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "texts").collect();
    names.sort();
    names
}

/// The files of a folder and its ids of each text, over those of the folder that it is like.
pub fn folder(name: &str) -> (Files, BTreeMap<usize, Vec<u32>>) {
    let golden = golden(name);
    let (mut files, mut ids) = match golden["like"].as_str() {
        Some(like) => folder(like),
        None => Default::default(),
    };
    for (name, content) in golden["files"].as_object().unwrap() {
        files.insert(name.clone(), content.as_str().unwrap().to_owned());
    }
    for (text, own) in golden["ids"].as_object().unwrap() {
        let own = serde_json::from_value(own.clone()).unwrap();
        ids.insert(text.parse().unwrap(), own);
    }
    (files, ids)
}

pub fn read(files: &Files) -> Result<Tokenizer, String> {
    Tokenizer::from_files(&|name| files.get(name).map(String::as_bytes)).map_err(|e| e.to_string())
}

pub fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&[text]).unwrap().remove(0).ids
}
