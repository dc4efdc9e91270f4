//! Transformer encoders whose queries, keys and values can be tapped: BERT, RoBERTa and XLM-R, read from and written to
//! Hugging Face folders.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use limbeck_model::{Encoder, Folder, TokenBatch, Tokenizer};
//!
//! let folder = Folder::read("all-MiniLM-L6-v2".as_ref())?;
//! let tokenizer = Tokenizer::from_folder(&folder)?;
//! let encoder = Encoder::from_folder(&folder, &Device::flex())?;
//! let tokens = tokenizer.encode(&["a white cat"])?.remove(0);
//! let batch = TokenBatch::new(&tokens.ids, &[tokens.ids.len()], encoder.device())?;
//! let taps = encoder.tap(&batch, 6, None)?; // q, k, v of layer 6, each (B, S, H)
//! # Ok::<(), limbeck_model::ModelError>(())
//! ```
//!
//! Layers are counted from 1, as in the papers. Axes: B batch, S padded length, H hidden size, L layers.
#![warn(missing_docs)]

mod dropout;
mod encoder;
mod error;
mod folder;
mod inherit;
mod tokenizer;
mod weights;

pub use dropout::Dropout;
pub use encoder::{Encoder, Kind, ParameterMut, TokenBatch, checks};
pub use error::ModelError;
pub use folder::Folder;
pub use limbeck_kernels::Taps;
pub use limbeck_recipe::{
    Activation, Config, ConfigError, Family, Rng, StudentSize, mix, parameter_count,
};
pub use tokenizer::{Tokenizer, Tokens};
pub use weights::{Named, Precision, Weights};
