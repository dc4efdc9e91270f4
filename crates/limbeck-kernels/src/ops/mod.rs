//! The operations. Each is one folder with the same files:
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the public function and its types; the backend-extension trait, and how it enters the graph of gradients |
//! | `naive.rs` | the plain composition of burn operations: the baseline, which runs on every backend |
//! | `cpu.rs` | the implementation for the CPU, with SIMD and threads |
//! | `gpu.rs` | the implementation for GPUs: what the text of its shaders depends on, and their launches; compiled with the feature `gpu` |
//!
//! A file that an operation does not need is absent, and its `mod.rs` says why.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod embedding;
pub(crate) mod feed_forward;
pub(crate) mod gelu;
pub(crate) mod layer_norm;
pub(crate) mod matmul;
pub(crate) mod mixed;
pub(crate) mod projections;
pub(crate) mod relation;
pub(crate) mod rotary;
