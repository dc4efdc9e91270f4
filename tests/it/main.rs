//! One binary of all tests that link burn: natively on the CPU and on a GPU, and the same bodies in a dedicated worker of
//! headless Chromium.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "in a test a panic is the message"
)]

mod adamw;
mod attention;
mod embedding;
mod encoder;
mod engine;
mod feed_forward;
mod golden;
mod heads;
mod inherit;
mod kernels;
mod layer_norm;
mod matmul;
mod mixed;
mod output;
mod pairs;
mod projections;
mod relations;
mod training;
mod vectors;

#[cfg(not(target_family = "wasm"))]
mod device;
#[cfg(not(target_family = "wasm"))]
mod layering;
mod shaders;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);
