//! What a user of the libraries writes, `examples/vectors.rs`, natively and in a browser: the vectors are SentenceTransformer's.

use std::collections::BTreeMap;

use limbeck_model::Folder;
use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

#[path = "../../examples/vectors.rs"]
#[allow(dead_code, reason = "its `main` reads a disk and prints")]
mod example;

macro_rules! files {
    ($($folder:literal: $($file:literal),*;)*) => {
        BTreeMap::from([$($((
            $file.to_owned(),
            include_bytes!(concat!("../golden/", $folder, "/", $file)).to_vec(),
        )),*),*])
    };
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_folder_gives_the_vectors_of_sentence_transformers() {
    let files = files!(
        "tiny-bert": "config.json", "model.safetensors", "tokenizer.json", "vocab.txt";
        "sentence/normalized": "modules.json", "1_Pooling/config.json", "tokenizer_config.json", "sentence_bert_config.json",
            "config_sentence_transformers.json";
    );
    let golden: Value = serde_json::from_str(include_str!("../golden/sentence.json")).unwrap();
    let texts = golden["texts"].as_array().unwrap().iter();
    let texts: Vec<&str> = texts.map(|text| text.as_str().unwrap()).collect();
    let folder = Folder::from_files("student", files);
    let vectors = example::encode(&folder, &texts).await.unwrap();
    let expected = golden["vectors"]["normalized"][""].as_array().unwrap();
    assert_eq!((vectors.len(), texts.len()), (expected.len(), 6));
    for ((vector, expected), text) in vectors.iter().zip(expected).zip(texts) {
        let expected = expected.as_array().unwrap();
        assert_eq!(vector.len(), expected.len());
        for (ours, theirs) in vector.iter().zip(expected) {
            let difference = (f64::from(*ours) - theirs.as_f64().unwrap()).abs();
            assert!(difference < 1e-5, "{ours} for {theirs}: {text}");
        }
    }
}
