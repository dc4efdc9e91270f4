//! Sentences to vectors with an encoder from a Hugging Face folder, and how alike the sentences are.
//!
//! `cargo run --release --package it --example vectors [FOLDER]`, in the folder of the workspace.

use burn::tensor::Device;
use limbeck_model::{Encoder, Folder, TokenBatch};

const SENTENCES: [&str; 3] = [
    "A cat sleeps on the warm stone.",
    "On a hot rock a kitten is dozing.",
    "The treaty was signed in 1648.",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "assets/teacher".into());
    let folder = Folder::read(path.as_ref())?;
    let tokenizer = folder.tokenizer()?;
    let encoder = Encoder::from_folder(&folder, &Device::flex())?;

    let mut vectors = Vec::new();
    for tokens in tokenizer.encode(&SENTENCES)? {
        let batch = TokenBatch::new(&tokens.ids, &[tokens.ids.len()], encoder.device())?;
        let pooled = encoder.mean_pooled(&batch)?; // (1, H)
        vectors.push(pooled.into_data().iter::<f32>().collect::<Vec<_>>());
    }

    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    println!("{} dimensions", vectors[0].len());
    for (other, sentence) in vectors.iter().zip(SENTENCES) {
        println!("{:.3}  {sentence}", cosine(&vectors[0], other));
    }
    Ok(())
}
