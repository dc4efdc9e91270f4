//! Benchmarks: ratios from one run, as JSON lines. `cargo xtask bench step` times a distillation step on the CPU, split into
//! its parts, and the same step written plainly in PyTorch where torch is installed (`tests/peer/step.py`).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark is a program of ours for us"
)]

mod step;

use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo bench` adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("step") => step::main(&arguments[1..]),
        _ => {
            eprintln!("benchmarks: step [--length S] [--batch B] [--steps N]");
            ExitCode::from(2)
        }
    }
}
