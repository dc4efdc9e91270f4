//! Benchmarks: ratios from one run, as JSON lines. `cargo xtask bench step` times a distillation step on the CPU, split
//! into its parts, `cargo xtask bench relation` the relation loss alone, its memory and how both grow with S. Each is
//! set beside the same written plainly in PyTorch where torch is installed (`tests/peer`). `cargo xtask bench matmul`
//! times the products of a step's linear layers on a GPU, beside burn's; `cargo xtask bench attention` attention with
//! a window and without.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark is a program of ours for us"
)]

mod attention;
// What `limbeck bench` measures, too, is measured by its code.
#[path = "../../crates/limbeck-cli/src/bench/ceilings.rs"]
#[allow(
    dead_code,
    reason = "no benchmark here asks for the smallest operation"
)]
mod ceilings;
#[path = "../../crates/limbeck-cli/src/bench/clock.rs"]
#[allow(
    dead_code,
    reason = "how often was measured stands in the program's report"
)]
mod clock;
#[path = "../../crates/limbeck-cli/src/bench/cpu.rs"]
mod cpu;
#[path = "../../crates/limbeck-cli/src/device/launches.rs"]
mod launches;
mod matmul;
mod memory;
mod record;
mod relation;
mod shared;
mod step;
#[path = "../../crates/limbeck-cli/src/bench/steps.rs"]
#[allow(dead_code, reason = "names and costs stand in the program's report")]
mod steps;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> ExitCode {
    // As the limbeck binary does.
    limbeck_kernels::keep_freed_memory();
    // `cargo bench` adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("step") => step::main(&arguments[1..]),
        Some("matmul") => matmul::main(&arguments[1..]),
        Some("relation") => relation::main(&arguments[1..]),
        Some("attention") => attention::main(&arguments[1..]),
        Some("record") => record::main(&arguments[1..]),
        _ => {
            eprintln!(
                "benchmarks: step [--model bert|modernbert] [--teacher LxH] [--student LxH] [--length S] [--batch B] [--steps N] [--relation-heads A] [--gpu]"
            );
            eprintln!("            matmul [--rows N] [--runs N] [--only SUBSTRING]");
            eprintln!("            relation [--only SUBSTRING] [--runs N]");
            eprintln!("            relation --gate");
            eprintln!("            attention [--gpu] [--runs N] [--gate]");
            eprintln!(
                "            encode [FILE ...] [--model DIR] [--lines N] [--rounds N] [--batch N ...]"
            );
            eprintln!("            browser");
            eprintln!("recording of a run for the page: record FILE");
            ExitCode::from(2)
        }
    }
}
