//! Text to tokens, as a Hugging Face folder says and `transformers` reads it: tokenizer.json, tokenizer_config.json, the
//! vocabularies of BERT and RoBERTa, and the tokens that were added to them.
//!
//! ```
//! use limbeck_tokenizer::Tokenizer;
//!
//! let vocabulary = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhite\ncat\n##s\n";
//! let file = |name: &str| (name == "vocab.txt").then_some(&vocabulary[..]);
//! let tokenizer = Tokenizer::from_files(&file)?;
//! assert_eq!(tokenizer.encode(&["White [MASK] cats"])?[0].ids, [2, 5, 4, 6, 7, 3]);
//! # Ok::<(), limbeck_tokenizer::TokenizerError>(())
//! ```
#![warn(missing_docs)]

mod caught;
mod classes;
mod error;
mod labels;
mod pruning;
mod settings;
mod tokenizer;
mod tokenizer_file;

pub use error::TokenizerError;
pub use pruning::{Keep, Kept};
pub use settings::FileOf;
pub use tokenizer::{MOST_BYTES, NOT_READ, Tokenizer, Tokens, WordTokens};
