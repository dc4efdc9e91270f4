//! limbeck: distil Transformers by their self-attention relations.

mod ahead;
mod config;
mod device;
mod distill;
mod encode;
mod error;
mod inspect;
mod interrupt;
mod lock;
mod output;
mod progress;
mod relations;
mod report;
mod serve;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Distil Transformer encoders by their self-attention relations (MiniLMv2): a small, fast encoder from a big one, on any
/// GPU or on the CPU, without Python.
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
  limbeck distill --out student --resume
  echo 'a white cat' | limbeck encode --model student
  limbeck inspect all-MiniLM-L6-v2
  limbeck relations --teacher all-MiniLM-L6-v2 --student student --text 'a white cat' -o cat.html
  limbeck serve

Exit codes: 0 done, 1 failed or stopped, 2 wrong use (flags, recipe, an output folder that is not empty).";

#[derive(Subcommand)]
enum Command {
    /// Distil a student from a teacher on text
    Distill(distill::Arguments),
    /// Embed lines of text: one JSON object a line, from standard input or files
    Encode(encode::Arguments),
    /// Tell what a model folder is, and which numbers of relation heads fit it
    Inspect(inspect::Arguments),
    /// Draw the relations of teacher and student on a sentence: HTML, SVG, PNG, or the numbers as JSON
    Relations(relations::Arguments),
    /// List where limbeck can compute
    Devices(device::Arguments),
    /// Open the page in a browser, with the engine on this machine: it goes on when the page is closed
    Serve(serve::Arguments),
    /// Recipes: their schema, an example, a check
    #[command(subcommand)]
    Config(config::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    limbeck_kernels::keep_freed_memory();
    let result = std::panic::catch_unwind(|| run(&cli.command));
    let Ok(result) = result else {
        terminal::say(
            "limbeck: something failed that should not have; the message is above. A checkpoint that was written is whole: go on \
             with --resume, if it was a GPU that failed with --device cpu too",
        );
        return ExitCode::FAILURE;
    };
    match result {
        Ok(code) => code,
        // The reader of our output has gone (`| head`): nobody is left to tell.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::say(format_args!("limbeck: {error}"));
            error.exit_code()
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, error::CliError> {
    match command {
        Command::Distill(arguments) => distill::main(arguments),
        Command::Encode(arguments) => encode::main(arguments),
        Command::Inspect(arguments) => inspect::main(arguments),
        Command::Relations(arguments) => relations::main(arguments),
        Command::Devices(arguments) => device::main(arguments),
        Command::Serve(arguments) => serve::main(arguments),
        Command::Config(command) => config::main(command),
    }
}
