//! `limbeck evaluate`: what the sentence vectors of models are worth on tasks that need no training.

mod html;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::Device;
use clap::Args;
use limbeck_model::{Folder, SentenceModel};
use limbeck_recipe::{DeviceChoice, parameter_count};
use limbeck_score::{Score, Task, compare};

use crate::encode::{cut_in_words, open};
use crate::error::CliError;
use crate::output::write_whole;
use crate::{device, terminal};

const MANUAL: &str = "\
A task is a table with a header line, .csv (comma-separated, with quotes) or anything else (tab-separated, without):
  similarity  columns sentence1, sentence2 and score: Spearman's and Pearson's correlation of the cosines with the scores
  retrieval   two columns of text, such as lemma and definition: how often the right text of the second column is closest to
              that of the first (accuracy@1), and its mean reciprocal rank (MRR), among the rows of a batch

Every score has a 95 % interval: the rows are drawn anew 1000 times. The same draws say how likely a model is as good as the
first (p). Vectors are made as each folder says: pooling, length, prompt.";

/// Flags of `limbeck evaluate`.
#[derive(Args)]
#[command(after_long_help = MANUAL)]
pub struct Arguments {
    /// Model folders; the others are compared with the first, usually the teacher
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    models: Vec<PathBuf>,
    /// Task files, or folders of them (.tsv and .csv)
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    tasks: Vec<PathBuf>,
    /// Texts that a retrieval task chooses among: rows in the order of the file
    #[arg(long, value_name = "ROWS", default_value_t = 64)]
    among: usize,
    /// Chooses the draws of the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Texts encoded together
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "csv")]
    markdown: bool,
    /// Print comma-separated values, every digit of them
    #[arg(long)]
    csv: bool,
    /// Write a page with bars
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What is known of a model.
pub struct Model {
    /// Its folder, as it was given.
    pub name: String,
    /// Its parameters, without a pooler.
    pub parameters: u128,
    /// Of its files.
    pub bytes: u64,
}

/// How models did on a task.
pub struct Outcome {
    /// The task.
    pub task: Task,
    /// Both metrics of each model.
    pub scores: Vec<[Score; 2]>,
    /// Texts that each model encoded in a second.
    pub speeds: Vec<f64>,
}

/// Everything that is shown.
pub struct Evaluation {
    /// The models, the first of which the others are compared with.
    pub models: Vec<Model>,
    /// How they did.
    pub outcomes: Vec<Outcome>,
    /// What computed the vectors.
    pub device: String,
    /// How many texts a retrieval task chooses among.
    pub among: usize,
}

/// Runs `limbeck evaluate`.
///
/// # Errors
/// A task or model cannot be used. Tasks are read first: they are soon checked.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    if arguments.among < 2 {
        let among = arguments.among;
        return Err(CliError::Usage(format!(
            "--among must be 2 or more, not {among}"
        )));
    }
    let tasks = tasks(&arguments.tasks)?;
    let (device, device_name) = device::open(arguments.device)?;
    let mut models = Vec::new();
    let mut answers: Vec<Vec<Vec<f64>>> = tasks.iter().map(|_| Vec::new()).collect();
    let mut speeds: Vec<Vec<f64>> = tasks.iter().map(|_| Vec::new()).collect();
    for path in &arguments.models {
        let (model, sentences) = read(path, &device)?;
        for (at, task) in tasks.iter().enumerate() {
            let encoded = encode(&sentences, &task.texts(), arguments.batch.max(1))?;
            let texts = encoded.vectors.len() as u64;
            if let Some(cut) = cut_in_words(encoded.cut, texts, sentences.max_length()) {
                terminal::say(format_args!("{} on {}: {cut}", model.name, task.name()));
            }
            answers[at].push(task.answers(&encoded.vectors, arguments.among));
            speeds[at].push(encoded.vectors.len() as f64 / encoded.seconds);
        }
        models.push(model);
    }
    let outcome = |(task, (answers, speeds)): (Task, (Vec<Vec<f64>>, Vec<f64>))| Outcome {
        scores: compare(&task, &answers, arguments.seed),
        task,
        speeds,
    };
    let answered = answers.into_iter().zip(speeds);
    let evaluation = Evaluation {
        models,
        outcomes: tasks.into_iter().zip(answered).map(outcome).collect(),
        device: device_name,
        among: arguments.among,
    };
    show(&evaluation, arguments)?;
    Ok(ExitCode::SUCCESS)
}

fn show(evaluation: &Evaluation, arguments: &Arguments) -> Result<(), CliError> {
    if let Some(path) = &arguments.html {
        let page = html::page(evaluation);
        write_whole(path, |file| file.write_all(page.as_bytes()))?;
    }
    let text = match (arguments.csv, arguments.markdown) {
        (true, _) => table::csv(evaluation),
        (_, true) => table::markdown(evaluation),
        _ => table::text(evaluation),
    };
    let mut out = std::io::stdout().lock();
    Ok(std::io::Write::write_all(&mut out, text.as_bytes())?)
}

fn tasks(paths: &[PathBuf]) -> Result<Vec<Task>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(tables_in(path)?),
            false => files.push(path.clone()),
        }
    }
    let task = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(CliError::file("read", path))?;
        let name = path.display().to_string();
        Task::parse(&name, &bytes).map_err(|e| CliError::Usage(e.to_string()))
    };
    files.iter().map(task).collect()
}

fn tables_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(CliError::file("list", folder))?;
    let is_table = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str());
        end.is_some_and(|end| ["tsv", "csv"].contains(&end.to_lowercase().as_str()))
    };
    let mut files: Vec<PathBuf> = entries.iter().map(|e| e.path()).filter(is_table).collect();
    files.sort();
    match files.is_empty() {
        true => {
            let folder = folder.display();
            Err(CliError::Usage(format!(
                "the folder {folder} has no task: no .tsv and no .csv file"
            )))
        }
        false => Ok(files),
    }
}

fn read(path: &Path, device: &Device) -> Result<(Model, SentenceModel), CliError> {
    let folder = Folder::read(path)?;
    let sentences = open(&folder, None, None, device)?;
    let model = Model {
        name: path.display().to_string(),
        parameters: parameter_count(sentences.encoder().config()),
        bytes: folder.bytes(),
    };
    Ok((model, sentences))
}

struct Encoded {
    /// In the order of the texts.
    vectors: Vec<Vec<f32>>,
    seconds: f64,
    cut: u64,
}

/// Encodes texts of similar length together: padding costs time.
fn encode(model: &SentenceModel, texts: &[&str], batch: usize) -> Result<Encoded, CliError> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|at| texts[*at].len());
    let mut vectors = vec![Vec::new(); texts.len()];
    let mut cut = 0;
    let start = Instant::now();
    for places in order.chunks(batch) {
        let together: Vec<&str> = places.iter().map(|at| texts[*at]).collect();
        let encoded = pollster::block_on(model.encode(&together))?;
        cut += encoded.cut as u64;
        for (at, vector) in places.iter().zip(encoded.rows) {
            vectors[*at] = vector;
        }
    }
    Ok(Encoded {
        vectors,
        seconds: start.elapsed().as_secs_f64(),
        cut,
    })
}
