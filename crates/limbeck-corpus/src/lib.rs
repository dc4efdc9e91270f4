//! Text in files or in memory to batches of tokens.
//!
//! ```text
//! Corpus (texts) -> Blocks (lines, bounded memory) -> Batches (shuffled, tokenised, padded) -> Loader (a thread ahead)
//! ```
//!
//! The same text gives the same batches wherever it comes from, and every batch says where a resumed run goes on. A corpus with
//! a [`Fingerprint`] gives no byte that is not what it was when the fingerprint was taken.
#![warn(missing_docs)]

mod batches;
mod blocks;
mod corpus;
mod error;
mod fingerprint;
mod form;
mod json;
#[cfg(not(target_family = "wasm"))]
mod loader;
mod mix;
mod packing;
mod place;
mod table;
mod text;

pub use batches::{Batches, Loaded, LoaderSettings, held_out};
pub use blocks::{Block, BlockLimits, Blocks, Line};
pub use corpus::{Corpus, FileSummary};
pub use error::CorpusError;
pub use fingerprint::Fingerprint;
pub use form::other_than_text;
pub use json::{MOST_BYTES as MOST_JSON_BYTES, document, id};
#[cfg(not(target_family = "wasm"))]
pub use loader::Loader;
pub use packing::{unpacked, unpacked_name, unpacked_whole};
