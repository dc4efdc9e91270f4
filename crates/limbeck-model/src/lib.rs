//! Transformer encoders whose queries, keys and values can be tapped, read from and written to Hugging Face folders: BERT,
//! RoBERTa, XLM-R, CamemBERT, DistilBERT, ELECTRA, ModernBERT, MPNet, Nomic BERT, GTE and JinaBERT. What a family calls its fields
//! and tensors stands in `limbeck-recipe`;
//! here are the parts that encoders are assembled from, and tensors.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use limbeck_model::{Encoder, Folder, TokenBatch};
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
//! Layers are counted from 1, as in the papers. Axes: B batch, S padded length, H hidden size, L layers.
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
pub use classifier::Classifier;
#[cfg(not(target_family = "wasm"))]
pub use device::hear_of_failed_devices;
pub use device::to_host;
pub use dropout::Dropout;
pub use encoder::{Encoder, checks};
pub use error::ModelError;
pub use folder::{Folder, read_file};
pub use limbeck_kernels::Taps;
pub use limbeck_tokenizer::{
    Keep, Kept, MOST_BYTES, PairTokens, Tokenizer, TokenizerError, Tokens, WordTokens,
};
pub use parameters::ParameterMut;
pub use sentence::{Head, SentenceModel, Vectors, normalized, pool};
pub use weights::{Named, Precision, Weights};
