//! limbeck: distil Transformers by their self-attention relations.

mod ahead;
mod baseline;
mod bench;
mod config;
mod device;
mod distill;
mod encode;
mod error;
mod evaluate;
mod export;
mod finetune;
mod inputs;
mod inspect;
mod interrupt;
mod layers;
mod lock;
mod memory;
mod models;
mod output;
mod paths;
mod pipeline;
mod progress;
mod recipes;
mod relations;
mod report;
mod search;
mod serve;
mod terminal;
mod texts;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Distil Transformer encoders by their self-attention relations (MiniLMv2): a small, fast encoder from a large one, on
/// any GPU or on the CPU, without Python.
#[derive(Parser)]
#[command(name = "limbeck", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  limbeck distill --teacher all-MiniLM-L6-v2 --corpus 'texts/*.txt' --out student
  limbeck distill --config run.toml --set student.layers=2 --set steps=5000
  limbeck distill --recipe quick --teacher all-MiniLM-L6-v2 --corpus texts.txt --out student
  limbeck distill --out student --resume
  limbeck finetune --model student --train train.tsv --dev dev.tsv --out tuned
  echo 'a white cat' | limbeck encode --model student
  limbeck encode --model student --format npy --out vectors.npy texts.txt
  limbeck encode --model student --corpus-field text texts.jsonl
  limbeck search --model student texts.txt 'a white cat'
  limbeck evaluate --models all-MiniLM-L6-v2 student --tasks sts.tsv
  limbeck export --model student --formats f32,int8
  limbeck inspect sentence-transformers/all-MiniLM-L6-v2
  limbeck relations --teacher all-MiniLM-L6-v2 --student student --text 'a white cat' -o cat.html
  limbeck layers --teacher all-MiniLM-L6-v2 --corpus texts.txt
  limbeck bench > report.md
  limbeck serve

Exit codes: 0 done, 1 failed or stopped, 2 wrong usage (flags, recipe, an output folder that is not empty).";

#[derive(Subcommand)]
enum Command {
    /// Distil a student from a teacher on text
    Distill(distill::Arguments),
    /// Write the student that a run would start from, copied from the teacher and untrained, for comparison
    Baseline(baseline::Arguments),
    /// Fine-tune a model on labelled text, with several seeds, and score it
    Finetune(finetune::Arguments),
    /// Turn lines of text into vectors: one JSON object per line, from files or standard input
    Encode(encode::Arguments),
    /// Rank the lines of text files by how near their vectors are to those of queries
    Search(search::Arguments),
    /// Compare models on tasks, with intervals: by their sentence vectors, or by what fine-tuning taught them
    Evaluate(evaluate::Arguments),
    /// Write a model as ONNX files: f32, f16, int8, for onnxruntime, transformers.js and sentence-transformers
    Export(export::Arguments),
    /// Describe a model folder, and list the numbers of relation heads that fit it
    Inspect(inspect::Arguments),
    /// Draw the relations of teacher and student on a sentence: HTML, SVG, PNG, or the numbers as JSON or CSV
    Relations(relations::Arguments),
    /// Say which layer of a teacher to learn from: what its layers are like, and how short runs from some of them turn out
    Layers(layers::Arguments),
    /// List the devices that limbeck can compute on
    Devices(device::Arguments),
    /// Measure this machine: its limits, whether each kernel is right and how fast, and whole steps, as a report to paste into an issue
    Bench(bench::Arguments),
    /// Open the page in a browser, with the engine on this machine; a run continues when the page is closed
    Serve(serve::Arguments),
    /// List the recipes that come with limbeck, or print one: the papers', and one for minutes
    Recipes(recipes::Arguments),
    /// Print a recipe's schema or an example, or check a recipe
    #[command(subcommand)]
    Config(config::Command),
}

fn main() -> ExitCode {
    device::keep_graphics_quiet();
    let cli = Cli::parse();
    limbeck_kernels::keep_freed_memory();
    interrupt::survive_file_limits();
    limbeck_model::hear_of_failed_devices();
    let result = std::panic::catch_unwind(|| run(&cli.command));
    let Ok(result) = result else {
        terminal::say(format_args!(
            "limbeck: internal error, see above. {}",
            what_now(&cli.command)
        ));
        return ExitCode::FAILURE;
    };
    match result {
        Ok(code) => code,
        // The reader of our output has gone (`| head`), so no one would see an error.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::say(format_args!("limbeck: {error}"));
            error.exit_code()
        }
    }
}

/// What to do after a failure that nobody foresaw.
fn what_now(command: &Command) -> &'static str {
    match command {
        Command::Distill(_) => {
            "What the last checkpoint holds, if there is one, is intact: resume with --resume (add --device cpu if the GPU failed)"
        }
        Command::Serve(_) => {
            "What the last checkpoint holds, if there is one, is intact: start limbeck serve again, and resume from the page"
        }
        _ => {
            "Nothing of yours was changed. Please report it, with the command and the lines above (if the GPU failed, try \
             --device cpu)"
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, error::CliError> {
    match command {
        Command::Distill(arguments) => distill::main(arguments),
        Command::Baseline(arguments) => baseline::main(arguments),
        Command::Finetune(arguments) => finetune::main(arguments),
        Command::Encode(arguments) => encode::main(arguments),
        Command::Search(arguments) => search::main(arguments),
        Command::Evaluate(arguments) => evaluate::main(arguments),
        Command::Export(arguments) => export::main(arguments),
        Command::Inspect(arguments) => inspect::main(arguments),
        Command::Relations(arguments) => relations::main(arguments),
        Command::Layers(arguments) => layers::main(arguments),
        Command::Devices(arguments) => device::main(arguments),
        Command::Bench(arguments) => bench::main(arguments),
        Command::Serve(arguments) => serve::main(arguments),
        Command::Recipes(arguments) => recipes::main(arguments),
        Command::Config(command) => config::main(command),
    }
}
