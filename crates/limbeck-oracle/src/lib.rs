//! What the right answer is, and how wrong another answer is.
//!
//! Everything here is f64, plain loops and `std` only, so that it can be compared with the formulas by eye: eq. 5-8 of
//! MiniLMv2 (Wang et al., Findings of ACL 2021). Other crates use it in tests only.
//!
//! Axis letters: B batch, A relation heads, S padded length, D width of a relation head (Ds student, Dt teacher),
//! H = A*D hidden size. Losses are in nats.
#![allow(
    clippy::needless_range_loop,
    reason = "index loops read like the formula they state"
)]

pub mod adamw;
pub mod attention;
pub mod cases;
pub mod defects;
pub mod embedding;
pub mod gelu;
pub mod gradcheck;
pub mod judge;
pub mod layer_norm;
pub mod matmul;
pub mod projections;
pub mod relation;
pub mod rng;
