//! `limbeck distill`: files and flags to a session, and its events to progress and files.
//!
//! ```text
//! flags --opening--> Session (of the engine) --listener--> progress, metrics.jsonl, checkpoint --finish--> student, report
//! ```
//!
//! A recipe with a teacher assistant makes two sessions, one after the other.

mod finish;
mod listener;
mod metrics;
mod opening;
mod resuming;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use limbeck_engine::{RunError, Session};
use limbeck_onnx::Format;
use limbeck_recipe::{DeviceChoice, Recipe};
use serde_json::json;
use toml::Value;

use crate::config::{CorpusFlags, parse_setting};
use crate::device;
use crate::error::CliError;
use crate::export;
use crate::interrupt::stop_flag;
use listener::Listener;

fn manual() -> String {
    format!(
        "A recipe defines a run; this one has every default. Set a field with --set (student.layers=2), or write a \
         file and pass it with --config. `limbeck config schema` explains each field. Fields that follow from the others \
         unless you set them are not shown: pairs, relation_heads, teacher_layer, warmup, student.ffn and \
         student.from_layers; nor is student.vocabulary, which keeps all tokens unless you set it.\n\n{}\n\
         Ctrl-c finishes the step, saves and exits; --resume continues with the same losses as if the run had never \
         stopped, and with --set steps=N it goes on for more steps. The output folder receives the student (open it with transformers or sentence-transformers), \
         metrics.jsonl, report.html and a model card.",
        Recipe::default().to_toml()
    )
}

/// Flags of `limbeck distill`.
#[derive(Args)]
#[command(after_long_help = manual())]
pub struct Arguments {
    /// The teacher: its folder (config.json, model.safetensors, tokenizer.json), or, where there is none of that name, its id on
    /// the Hugging Face hub: org/name or org/name@revision
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    #[command(flatten)]
    corpus: CorpusFlags,
    /// Output folder: the student, its report and, while the run lasts, the checkpoint [default: the recipe's, else student]
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
    /// Recipe (TOML); flags and --set override it. `limbeck config example` prints one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Recipe that comes with limbeck, such as quick; flags and --set override it. `limbeck recipes` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    recipe: Option<String>,
    /// Set one field of the recipe, such as student.layers=2; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, Value)>,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, value_parser = device::parse)]
    device: Option<DeviceChoice>,
    /// Overwrite an output folder that is not empty
    #[arg(long)]
    overwrite: bool,
    /// Resume the run that was stopped in the output folder, with its own recipe. `--set steps=N` makes it longer, even if it is
    /// finished; --device, --teacher and --corpus say where it computes and where its inputs are now
    #[arg(long, conflicts_with_all = ["corpus_field", "corpus_pairs", "corpus_weights", "config", "recipe", "overwrite"], requires = "out")]
    resume: bool,
    /// Also write the finished student as ONNX files, as `limbeck export` does: f32, f16, int8
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = export::format)]
    export: Vec<Format>,
    /// Print one JSON object per line on standard output instead of a progress bar
    #[arg(long)]
    json: bool,
}

/// Runs `limbeck distill`.
///
/// # Errors
/// Anything from a wrong recipe to a full disk; the last checkpoint stays whole.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let stop = stop_flag()?;
    let mut begun = opening::begin(arguments)?;
    if let Some((session, listener)) = begun.assistant()?
        && !take(session, listener, &stop, &[])?
    {
        return Ok(ExitCode::FAILURE);
    }
    let (session, listener) = begun.student()?;
    match take(session, listener, &stop, &arguments.export)? {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// Takes a stage to its end, and writes what it leaves, in these formats, too; false if it was stopped, and saved, before.
fn take(
    mut session: Session,
    mut listener: Listener,
    stop: &AtomicBool,
    formats: &[Format],
) -> Result<bool, CliError> {
    match pollster::block_on(drive(&mut session, &mut listener, stop)) {
        Ok(true) => match finish::finish(&session, &listener) {
            Err(error @ CliError::File { .. }) => {
                Err(stopped(error, &session, &listener, OF_STORAGE))
            }
            finished => finished
                .and_then(|()| export_student(&listener, formats))
                .map(|()| true),
        },
        Ok(false) => {
            pause(&session, &listener);
            Ok(false)
        }
        Err(RunError::Saved { error, step }) => Err(CliError::Saved {
            error,
            step,
            resume: listener.stage.resume(),
        }),
        Err(error @ RunError::Storage(_)) => {
            Err(stopped(error.into(), &session, &listener, OF_STORAGE))
        }
        Err(error) if error.is_of_device() => {
            Err(stopped(error.into(), &session, &listener, OF_DEVICE))
        }
        Err(error) => Err(error.into()),
    }
}

/// The run is at its end, so nothing that goes wrong here costs a step.
fn export_student(listener: &Listener, formats: &[Format]) -> Result<(), CliError> {
    if formats.is_empty() {
        return Ok(());
    }
    let folder = listener.output.folder();
    let written = export::beside(folder, formats).map_err(|error| {
        let how = format!(
            "The student in {0} is whole. Fix that, then export it with: limbeck export --model {0}",
            folder.display()
        );
        let error = Box::new(error);
        CliError::Resumable { error, how }
    })?;
    for file in written {
        let text = file.to_string();
        listener.progress.say(&text, "exported", &file.fields());
    }
    Ok(())
}

/// How to go on where a file could not be written: what is said before the command, and after it.
const OF_STORAGE: [&str; 2] = ["Fix that, then resume", ""];
/// The same where the device failed.
const OF_DEVICE: [&str; 2] = ["Resume", "; with --device cpu if the GPU fails again"];

/// A run could not go on: what there is of it, and how to go on.
fn stopped(
    error: CliError,
    session: &Session,
    listener: &Listener,
    [before, after]: [&str; 2],
) -> CliError {
    let resume = listener.stage.resume();
    let how = match session.saved_at() {
        Some(step) => {
            format!("The checkpoint of step {step} is whole. {before} with: {resume}{after}")
        }
        None => listener.stage.without_checkpoint(),
    };
    CliError::Resumable {
        error: Box::new(error),
        how,
    }
}

/// Takes the steps that are left; false if it was stopped, and saved, before the last.
async fn drive(
    session: &mut Session,
    listener: &mut Listener,
    stop: &AtomicBool,
) -> Result<bool, RunError> {
    session.begin(listener).await?;
    while !session.is_finished() {
        session.advance(listener).await?;
        if stop.load(Ordering::SeqCst) && !session.is_finished() {
            session.save(listener).await?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn pause(session: &Session, listener: &Listener) {
    listener.progress.finish();
    let step = session.steps_taken();
    let (resume, of_stage) = (listener.stage.resume(), listener.stage.of());
    let text = format!("Stopped after step {step}{of_stage}, saved. Resume with: {resume}");
    let fields = json!({ "step": step, "stage": listener.stage.name() });
    listener.progress.say(&text, "stopped", &fields);
}
