//! Transformer encoders from Hugging Face folders, in Rust alone: sentence vectors, hidden states, and the queries, keys and values
//! of any layer; on the CPU, on GPUs and in a browser. The families are BERT, RoBERTa, XLM-R, CamemBERT, DistilBERT, ELECTRA,
//! MPNet, ModernBERT, Nomic BERT, GTE and JinaBERT. A student of limbeck is such a folder, and so is what sentence-transformers saves.
//!
//! # Sentences to vectors
//!
//! The vectors are those of sentence-transformers: pooling, Dense, Normalize, length and prompts are what the folder says.
//!
//! ```
//! use limbeck_model::{Device, Folder, SentenceModel};
//!
//! # std::env::set_current_dir("../..")?;
//! let folder = Folder::read("assets/teacher".as_ref())?; // or your student's
//! let model = SentenceModel::from_folder(&folder, None, None, &Device::flex())?;
//! let texts = ["A cat sleeps on the warm stone.", "On a hot rock a kitten is dozing."];
//! let vectors = pollster::block_on(model.encode(&texts))?.rows;
//! assert_eq!((vectors.len(), vectors[0].len()), (2, 128));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a browser there is no folder to read, and nothing may block: hand over the files that you have fetched, by their names in
//! the folder (`config.json`, `model.safetensors`, `tokenizer.json`, and, where there are, `modules.json`,
//! `1_Pooling/config.json`, `sentence_bert_config.json`, ...), and await the vectors. The rest is the same.
//!
//! ```
//! use std::collections::BTreeMap;
//! use limbeck_model::{Device, Folder, ModelError, SentenceModel};
//!
//! pub async fn encode(files: BTreeMap<String, Vec<u8>>, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
//!     let folder = Folder::from_files("student", files);
//!     let model = SentenceModel::from_folder(&folder, None, None, &Device::flex())?;
//!     Ok(model.encode(texts).await?.rows)
//! }
//! ```
//!
//! `Device::flex()` is the CPU; `Device::wgpu_options().init_async().await` opens a GPU, with the feature `gpu`. All texts of a
//! call are one batch, padded to the longest: encode many texts in batches of like length, as `limbeck encode` does.
//!
//! # Inside a layer
//!
//! ```no_run
//! use limbeck_model::{Device, Encoder, Folder, TokenBatch};
//!
//! let folder = Folder::read("all-MiniLM-L6-v2".as_ref())?;
//! let tokenizer = folder.tokenizer()?;
//! let encoder = Encoder::from_folder(&folder, &Device::flex())?;
//! let tokens = tokenizer.encode(&["a white cat"])?.remove(0);
//! let batch = TokenBatch::new(&tokens.ids, &[tokens.ids.len()], encoder.device())?;
//! let taps = encoder.tap(&batch, 6, None)?; // q, k, v of layer 6, each (B, S, H)
//! # Ok::<(), limbeck_model::ModelError>(())
//! ```
//!
//! Layers are counted from 1, as in the papers. Axes: B batch, S padded length, H hidden size, L layers. Tensors are burn's, and
//! [`Classifier`] runs what `limbeck finetune` wrote.
//!
//! # Features and versions
//!
//! `gpu`, on by default, brings burn's wgpu backend; without it no GPU crate is compiled. A program for wasm32-unknown-unknown needs
//! `getrandom` 0.4 with its feature `wasm_js` among its dependencies.
//!
//! Versions follow [Semantic Versioning](https://semver.org): before 1.0 a minor version may change public items, a patch never does.
//! Tensors and [`Device`] are those of burn 0.22.1 exactly, so another burn is a new minor version. So is a newer least Rust, which is 1.95.
#![warn(missing_docs)]

mod batch;
mod classifier;
mod device;
mod dropout;
mod encoder;
mod error;
mod folder;
mod inherit;
mod parameters;
mod parts;
mod place;
mod sentence;
mod weights;

pub use batch::TokenBatch;
pub use burn::tensor::Device;
pub use classifier::Classifier;
#[cfg(not(target_family = "wasm"))]
pub use device::hear_of_failed_devices;
pub use device::to_host;
pub use dropout::Dropout;
pub use encoder::{Encoder, checks};
pub use error::ModelError;
pub use folder::{Folder, open_file, read_file};
pub use limbeck_kernels::Taps;
pub use limbeck_tokenizer::{
    Keep, Kept, MOST_BYTES, Tokenizer, TokenizerError, Tokens, WordTokens,
};
pub use parameters::ParameterMut;
pub use sentence::{Head, SentenceModel, Vectors, normalized, pool};
pub use weights::{Named, Precision, Weights};
