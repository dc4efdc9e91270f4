//! Sentences to vectors with a student, or any other encoder in a Hugging Face folder, and how alike the sentences are.
//!
//! `cargo run --release --package it --example vectors [FOLDER]`, in the folder of the workspace.

use limbeck_model::{Device, Folder, ModelError, SentenceModel};

const SENTENCES: [&str; 3] = [
    "A cat sleeps on the warm stone.",
    "On a hot rock a kitten is dozing.",
    "The treaty was signed in 1648.",
];

/// One vector of each text, as sentence-transformers makes it. In a browser, too, where `Folder::from_files` takes what was fetched.
pub async fn encode(folder: &Folder, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
    let model = SentenceModel::from_folder(folder, None, None, &Device::flex())?;
    Ok(model.encode(texts).await?.rows)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "assets/teacher".into());
    let folder = Folder::read(path.as_ref())?;
    let vectors = pollster::block_on(encode(&folder, &SENTENCES))?;

    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    println!("{} dimensions", vectors[0].len());
    for (other, sentence) in vectors.iter().zip(SENTENCES) {
        println!("{:.3}  {sentence}", cosine(&vectors[0], other));
    }
    Ok(())
}
