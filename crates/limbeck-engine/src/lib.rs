//! A run that commands drive and events report, wherever it computes and stores.
//!
//! ```text
//! page --Command--> [worker: messages | serve: WebSocket] --> engine --Event--> page
//! ```
//!
//! The engine knows no DOM, socket or file system: its [`World`] opens devices and keeps files for it. What a run needs
//! besides (held-out lines, the files of a student, its card) is here too, and the command line uses the same.
#![warn(missing_docs)]

mod baseline;
pub mod card;
mod engine;
mod feed;
mod front;
pub mod heldout;
mod inputs;
mod look;
mod numbers;
pub mod onnx;
mod pages;
mod reader;
mod saved;
mod seal;
mod search;
mod sentence;
mod session;
mod similarity;
mod start;
mod student;
mod trouble;
mod vocabulary;
mod world;

pub use baseline::{Baseline, baseline};
pub use engine::{Request, To, serve};
pub use front::{BatchSource, Feed, Front, News, Tokenise};
pub use limbeck_kernels::relaxed_simd;
pub use seal::{seal, unseal};
pub use session::{Opening, Session};
pub use similarity::Compared;
pub use trouble::RunError;
pub use world::{Opened, World};
