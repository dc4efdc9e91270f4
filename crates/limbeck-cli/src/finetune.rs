//! `limbeck finetune`: a model and labelled text to a classifier, once for each seed, and its scores.
//!
//! ```text
//! files --table, conll, task--> examples --sequences--> batches --training--> a seed's best epoch --files--> the best seed's folder
//! ```

mod conll;
mod files;
pub mod judging;
pub mod sequences;
pub mod table;
pub mod task;
pub mod task_file;
mod training;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use limbeck_kernels::{Check, tested};
use limbeck_model::{Encoder, Folder, ModelError, Weights, checks};
use limbeck_recipe::{
    Config, DeviceChoice, HeadChoice, Kernels, counted, tuning_bytes, widest_row,
};
use serde_json::json;

use crate::error::CliError;
use crate::inputs::Inputs;
use crate::interrupt::stop_flag;
use crate::memory::{self, Room};
use crate::output::Output;
use crate::progress::Progress;
use crate::{device, models};
use files::Outcome;
use sequences::{Sequence, Shelf, tokenise, tokenizer};
use task::{Goal, Task};
use task_file::{Asked, ColumnFlags, asked};
use training::{Seed, Training};

/// Tokens of a sequence unless a person says otherwise, or the model has fewer positions.
const MAX_LENGTH: usize = 128;
/// Padded lengths on a GPU, where each new one costs a pipeline.
const MULTIPLE_ON_GPU: usize = 8;

const MANUAL: &str = "\
Files are TSV, CSV or JSON lines (by extension, else by their first line). The first line names the columns: `sentence` or \
`text`, or for pairs `sentence1` and `sentence2` and the like; and `label` for classes or `score` for numbers. Other names go \
with --text-column and --label-column. TSV has no quoting; CSV has. To tag words, files are CoNLL (.conll, .bio, .iob2): a word \
and, in the last column, its tag in each line, an empty line between sentences. A task.toml names the files and what they mean.

Each seed gives the head new weights and the batches another order, and keeps its best epoch on the dev file. The output folder \
receives the model of the best seed, README.md with the table of all seeds, results.json with every number, and predictions.jsonl \
with what the model gives for each example of the dev file. With the default head it opens with AutoModelForSequenceClassification (words: AutoModelForTokenClassification) of transformers; with --pooling mean in sentence-transformers, whose \
encode() gives the logits. Ctrl-c stops and leaves nothing.";

/// Flags of `limbeck finetune`.
#[derive(Args)]
#[command(after_long_help = MANUAL)]
pub struct Arguments {
    /// The model: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Labelled text to learn from: TSV, CSV, JSON lines or CoNLL; or a folder with a task.toml
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Labelled text to score the model on
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// A task.toml that names both files and what their columns mean
    #[arg(long, value_name = "FILE", conflicts_with = "train")]
    task_file: Option<PathBuf>,
    /// Output folder: the fine-tuned model and its scores
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Passes over the training file
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    epochs: u64,
    /// Texts, or pairs, per step
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_batch)]
    batch: usize,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", default_value = "1e-4", value_parser = parse_rate)]
    learning_rate: f64,
    /// Share of the steps that warm up linearly; a linear decay to 0 follows
    #[arg(long, value_name = "PART", default_value = "0.1", value_parser = parse_part)]
    warmup: f64,
    /// Weight decay; not applied to biases and LayerNorms
    #[arg(long, value_name = "DECAY", default_value = "0.01", value_parser = parse_part)]
    weight_decay: f64,
    /// Maximum tokens of a text or pair; longer ones are truncated [default: 128, or the model's limit]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// What the head on a text reads: `cls`, the first token, as transformers does, or `mean`, the mean of all tokens [default: cls]
    #[arg(long, value_name = "HEAD", value_parser = parse_head)]
    pooling: Option<HeadChoice>,
    /// Number of runs, each with its own seed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 42, value_parser = clap::value_parser!(u64).range(..=1 << 53))]
    seed: u64,
    /// Leave the embeddings and the first N layers as they are
    #[arg(long, value_name = "N")]
    freeze: Option<usize>,
    /// Probability of dropout in training [default: the model's]
    #[arg(long, value_name = "P", value_parser = parse_part)]
    dropout: Option<f64>,
    /// Weight the classes so that rare ones count as much as frequent ones
    #[arg(long)]
    balance: bool,
    #[command(flatten)]
    columns: ColumnFlags,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
    /// Overwrite an output folder that is not empty
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object per line on standard output instead of a progress bar
    #[arg(long)]
    json: bool,
}

/// Runs `limbeck finetune`.
///
/// # Errors
/// Anything from a wrong label to a full disk.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let stop = stop_flag()?;
    let asked = asked(arguments)?;
    let task = read_task(&asked, arguments)?;
    let head = head(&task.goal, arguments)?;
    let found = models::find(&arguments.model)?;
    let folder = found.read()?;
    let config = config(&folder, arguments)?;
    let max_length = max_length(&config, arguments)?;
    let tokenizer = tokenizer(&folder, &task.goal, max_length)?;
    let inputs = Inputs {
        models: vec![("model", &found.folder)],
        result: "fine-tuned model",
        files: vec![("training file", &asked.train), ("dev file", &asked.dev)],
    };
    inputs.are_outside(&arguments.out)?;
    let output = Output::create(&arguments.out, arguments.overwrite)?;
    let opened = device::open_for_engine(arguments.device)?;
    let progress = Progress::new(arguments.json);
    let pad = config.pad_token_id;
    let train = tokenise(&tokenizer, &task.train, pad)?;
    let dev = tokenise(&tokenizer, &task.dev, pad)?;
    let checks: Vec<Check> = checks(&config).into_iter().chain([Check::AdamW]).collect();
    let tested = pollster::block_on(tested(&opened.device, &checks));
    let room = Room::of(&opened);
    room.require_model(folder.name(), &config)?;
    require_room(room, &config, tested.kernels, &train, arguments.batch)?;
    let weights = Weights::open(&folder)?;
    let device = opened.device.clone().autodiff();
    let get = |name: &str, _, shape: &[usize]| weights.get(name, shape);
    let mut encoder = Encoder::from_values(&config, &device, get)?;
    encoder.set_kernels(tested.kernels);
    let training = Training {
        arguments,
        task: &task,
        head,
        encoder,
        shelf: Shelf {
            device,
            pad,
            multiple: if opened.on_gpu { MULTIPLE_ON_GPU } else { 1 },
            max_length,
        },
        train,
        dev,
        weights,
        progress: &progress,
        stop: &stop,
    };
    let failed = tested.failure();
    let failed = failed.as_deref().map(device::self_test_failed);
    announce(&training, &opened.name, failed);
    let Some(seeds) = run(&training)? else {
        let step = progress.position();
        progress.finish();
        let text = format!("Stopped after step {step}; nothing is written");
        progress.say(&text, "stopped", &json!({ "step": step }));
        return Ok(ExitCode::FAILURE);
    };
    progress.finish();
    let best = best(&seeds);
    let outcome = Outcome {
        arguments,
        model: &found.name,
        asked: &asked,
        task: &task,
        head,
        predicted: training.predict(&seeds[best].classifier)?,
        max_length,
        best,
        seeds: &seeds,
    };
    let files = outcome.files(&folder, &config)?;
    output.clear(true)?;
    for (name, bytes) in files {
        output.write(&name, &bytes)?;
    }
    report(&outcome, &progress);
    Ok(ExitCode::SUCCESS)
}

/// Refuses batches that do not fit into memory, before it is asked for.
fn require_room(
    room: Room,
    config: &Config,
    kernels: Kernels,
    train: &[Sequence],
    batch: usize,
) -> Result<(), CliError> {
    let length = train.iter().map(Sequence::tokens).max().unwrap_or(0);
    let advice = format!("Lower --batch (now {batch}) or --max-length, or take a smaller model");
    let batch = batch.min(train.len());
    let width = widest_row(config, kernels, true);
    let tensor = memory::FLOAT * width as f64 * (batch * length) as f64;
    let bytes = tuning_bytes(config, kernels, batch, length);
    let what = format!(
        "fine-tuning with batches of {} of up to {length} tokens",
        counted(batch, "text")
    );
    room.require(&what, (bytes, tensor), &advice)
}

fn read_task(asked: &Asked, arguments: &Arguments) -> Result<Task, CliError> {
    let task = task::read(&asked.train, &asked.dev, &asked.said)?;
    match (&task.goal, arguments.balance) {
        (Goal::Score, true) => Err(CliError::Usage(
            "--balance weights classes, but these files hold scores; leave it out".to_owned(),
        )),
        _ => Ok(task),
    }
}

fn head(goal: &Goal, arguments: &Arguments) -> Result<HeadChoice, CliError> {
    match (goal, arguments.pooling) {
        (Goal::Tags(_), None) => Ok(HeadChoice::Tokens),
        (Goal::Tags(_), Some(_)) => Err(CliError::Usage(
            "--pooling makes one vector of a text, but these files have a tag for each word; leave it out".to_owned(),
        )),
        (Goal::Classes(_) | Goal::Score, pooling) => Ok(pooling.unwrap_or_default()),
    }
}

/// The names of a file's columns; none of a file that has none, as CoNLL.
///
/// # Errors
/// It cannot be read.
pub fn columns_of(path: &Path) -> Result<Option<Vec<String>>, CliError> {
    match conll::is_conll(path)? {
        true => Ok(None),
        false => table::header(path).map(Some),
    }
}

/// The model's config, with the dropout of training.
fn config(folder: &Folder, arguments: &Arguments) -> Result<Config, CliError> {
    let mut config = folder.config()?;
    config
        .require_more_than_a_teacher()
        .map_err(|why| CliError::Usage(format!("{}: {why}", folder.name())))?;
    if let Some(p) = arguments.dropout {
        config = config.with_dropout(p);
    }
    let layers = config.num_hidden_layers;
    match arguments.freeze {
        Some(frozen) if frozen > layers => Err(CliError::Usage(format!(
            "--freeze {frozen}: the model has {}; name 0 (the embeddings alone) to {layers}",
            counted(layers, "layer")
        ))),
        _ => Ok(config),
    }
}

fn max_length(config: &Config, arguments: &Arguments) -> Result<usize, CliError> {
    let longest = config.max_length();
    let length = arguments.max_length.unwrap_or(MAX_LENGTH.min(longest));
    match length > longest {
        true => {
            let error = ModelError::TooLong { length, longest };
            Err(CliError::Usage(error.to_string()))
        }
        false => Ok(length),
    }
}

/// Every seed; none if it was stopped.
fn run(training: &Training) -> Result<Option<Vec<Seed>>, CliError> {
    let mut seeds = Vec::new();
    for number in 0..training.arguments.seeds {
        match training.run(number)? {
            Some(seed) => seeds.push(seed),
            None => return Ok(None),
        }
    }
    Ok(Some(seeds))
}

/// The seed with the highest score, the first of equal ones.
fn best(seeds: &[Seed]) -> usize {
    let mut best = 0;
    for (index, seed) in seeds.iter().enumerate() {
        if seed.scores()[0] > seeds[best].scores()[0] {
            best = index;
        }
    }
    best
}

fn announce(training: &Training, device: &str, self_test_failure: Option<String>) {
    let (train, dev) = (training.train.len(), training.dev.len());
    let all = || training.train.iter().chain(&training.dev);
    let truncated = all().filter(|sequence| sequence.truncated).count();
    let lost: usize = all().map(Sequence::lost).sum();
    let steps = training.steps() * training.arguments.seeds;
    training.progress.expect(steps);
    let goal = match &training.task.goal {
        Goal::Classes(labels) => counted(labels.len(), "class"),
        Goal::Score => "a score".to_owned(),
        Goal::Tags(tags) => counted(tags.len(), "tag"),
    };
    let words = match lost {
        0 => String::new(),
        1 => "; 1 word has no token left and does not count".to_owned(),
        lost => format!("; {lost} words have no token left and do not count"),
    };
    let mut text = format!(
        "  Examples         {train} to learn from, {dev} to judge by; {goal}\n  Truncated        {truncated} of them, to {} \
         tokens{words}\n  Steps            {steps}\n  Device           {device}",
        training.shelf.max_length,
    );
    if let Some(failure) = &self_test_failure {
        text = format!("{text}\n{failure}");
    }
    let fields = json!({
        "train": train, "dev": dev, "truncated": truncated, "lost_words": lost, "labels": training.task.goal.labels(),
        "steps": steps, "device": device, "self_test_failure": self_test_failure,
    });
    training.progress.say(&text, "start", &fields);
}

fn report(outcome: &Outcome, progress: &Progress) {
    let folder = outcome.arguments.out.display();
    let seed = outcome.seeds[outcome.best].seed;
    let text = format!(
        "\n{}\n{}\nmodel of seed {seed}: {folder}",
        outcome.table(),
        outcome.note()
    );
    let mut fields = outcome.results();
    fields["out"] = json!(outcome.arguments.out);
    progress.say(&text, "done", &fields);
}

fn parse_head(text: &str) -> Result<HeadChoice, String> {
    match text {
        "cls" => Ok(HeadChoice::First),
        "mean" => Ok(HeadChoice::Mean),
        _ => Err(format!("`{text}` is not cls or mean")),
    }
}

fn parse_batch(text: &str) -> Result<usize, String> {
    let batch = text
        .parse()
        .ok()
        .filter(|batch| (1..=65_536).contains(batch));
    batch.ok_or_else(|| format!("`{text}` is not a number of texts from 1 to 65536"))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("`{text}` is not a number above 0"))
}

fn parse_part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..1.0).contains(part));
    part.ok_or_else(|| format!("`{text}` is not a number from 0 to below 1"))
}
