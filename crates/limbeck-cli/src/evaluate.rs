//! `limbeck evaluate`: what models are worth on tasks: their sentence vectors without training, their heads on labelled text.

mod html;
mod labelled;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use limbeck_engine::Opened;
use limbeck_model::SentenceModel;
use limbeck_recipe::{DeviceChoice, counted, parameter_count};
use limbeck_score::{Kind, Marks, Metric, Score, Separator, Task, compare, compare_marks};

use crate::encode::{cut_in_words, one_or_more, open};
use crate::error::CliError;
use crate::finetune::table as labels;
use crate::finetune::task::{Labelled, Said};
use crate::finetune::task_file::{self, ColumnFlags};
use crate::output::write_whole;
use crate::pipeline::Batches;
use crate::{device, models, terminal};
use labelled::{Judged, Spread, Tuned, Words};

const MANUAL: &str = "\
A task is a table with a header line, .csv (comma-separated, with quotes) or anything else
(tab-separated, without), plain or packed with gzip, zstd, xz or bzip2:
  similarity  columns sentence1, sentence2 and score: Spearman's and Pearson's correlation
              of the cosines with the scores
  retrieval   two columns of text, such as lemma and definition: how often the right text of
              the second column is closest to that of the first (accuracy@1), and its mean
              reciprocal rank (MRR), among the rows of a batch
Models that limbeck finetune wrote are also judged by what they learnt:
  classes     a text or pair and a column label: accuracy and macro F1
  scores      a single text and a column score: Spearman's and Pearson's correlation
  tags        CoNLL files (.conll, .bio, .iob2): F1 of whole chunks and accuracy, or
              accuracy and macro F1
Other columns are named with --text-column and --label-column, or in a task.toml.

Every score has a 95 % interval: the rows are resampled 1000 times. The same samples say how
likely a difference from the first model is due to the choice of rows alone (p). Vectors are
made as each folder says: pooling, length, prompt.";

/// Ends of the files that a folder of tasks stands for.
const ENDS: [&str; 6] = ["tsv", "csv", "conll", "bio", "iob", "iob2"];

/// Flags of `limbeck evaluate`.
#[derive(Args)]
#[command(after_long_help = MANUAL)]
pub struct Arguments {
    /// Models: folders, or ids on the Hugging Face hub; the others are compared with the first, usually the teacher
    #[arg(long, value_name = "MODEL", num_args = 1.., required = true)]
    models: Vec<PathBuf>,
    /// Task files, or folders of them (.tsv, .csv, .conll, .bio, .iob and .iob2); a task.toml stands for its dev file
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    tasks: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnFlags,
    /// How many texts a retrieval task chooses among: rows in the order of the file
    #[arg(long, value_name = "ROWS", default_value_t = 64)]
    among: usize,
    /// Seed of the resampling that gives the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Texts to encode together; fewer where memory has no room for so many
    #[arg(long, value_name = "N", default_value = "32", value_parser = one_or_more)]
    batch: usize,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "csv")]
    markdown: bool,
    /// Print comma-separated values with every digit
    #[arg(long)]
    csv: bool,
    /// Write a page with bars
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What is known of a model.
pub struct Model {
    /// Its folder, as it was given, or its id on the hub.
    pub name: String,
    /// Its parameters, without a pooler.
    pub parameters: u128,
    /// Of its files.
    pub bytes: u64,
}

/// How models did on a task.
pub struct Outcome {
    /// Its file.
    pub name: String,
    /// What it is, in words.
    pub heading: String,
    /// Number of rows.
    pub rows: usize,
    /// The metrics; the first is the one that models are compared by.
    pub metrics: [Metric; 2],
    /// What is said of a score that is not defined.
    pub undefined: &'static str,
    /// Both metrics of each model.
    pub scores: Vec<[Score; 2]>,
    /// Texts that each model encoded in a second.
    pub speeds: Vec<f64>,
    /// How the seeds of each model did in fine-tuning, where its folder says so.
    pub spreads: Vec<Option<Spread>>,
    /// The words that are judged, where the task is one of words.
    pub words: Option<Words>,
}

/// A task, and what models gave for it so far.
struct Asked {
    task: Either,
    speeds: Vec<f64>,
    spreads: Vec<Option<Spread>>,
}

enum Either {
    /// For vectors, with an answer for each row.
    Vectors(Task, Vec<Vec<f64>>),
    /// For heads.
    Labelled(Labelled, Vec<Judged>),
}

/// Everything that is shown.
pub struct Evaluation {
    /// The models, the first of which the others are compared with.
    pub models: Vec<Model>,
    /// How they did.
    pub outcomes: Vec<Outcome>,
    /// What computed the vectors.
    pub device: String,
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
    let mut tasks = tasks(arguments)?;
    let opened = device::open_for_engine(arguments.device)?;
    let mut models = Vec::new();
    for path in &arguments.models {
        models.push(answer(path, &mut tasks, arguments, &opened)?);
    }
    let evaluation = Evaluation {
        models,
        outcomes: tasks
            .into_iter()
            .map(|task| task.outcome(arguments))
            .collect(),
        device: opened.name,
    };
    show(&evaluation, arguments)?;
    Ok(ExitCode::SUCCESS)
}

/// Adds to each task what a model gives for it.
fn answer(
    path: &Path,
    tasks: &mut [Asked],
    arguments: &Arguments,
    opened: &Opened,
) -> Result<Model, CliError> {
    let found = models::find(path)?;
    let (folder, name) = (found.read()?, found.name);
    let (mut sentences, mut tuned) = (None, None);
    for asked in tasks {
        match &mut asked.task {
            Either::Vectors(task, answers) => {
                let sentences: &SentenceModel = match &mut sentences {
                    Some(opened) => opened,
                    none => none.insert(open(&folder, None, None, opened)?),
                };
                let batches = (arguments.batch, Batches::new(opened));
                let encoded = encode(sentences, &task.texts(), batches)?;
                let texts = encoded.vectors.len() as u64;
                if let Some(cut) = cut_in_words(encoded.cut, texts, sentences.max_length()) {
                    terminal::say(format_args!("{name} on {}: {cut}", task.name()));
                }
                answers.push(task.answers(&encoded.vectors, arguments.among));
                asked
                    .speeds
                    .push(encoded.vectors.len() as f64 / encoded.seconds);
                asked.spreads.push(None);
            }
            Either::Labelled(labelled, all) => {
                let tuned: &Tuned = match &mut tuned {
                    Some(opened) => opened,
                    none => none.insert(Tuned::open(&found.folder, &folder, labelled, opened)?),
                };
                let judged = tuned.judge(labelled)?;
                asked.speeds.push(judged.speed);
                all.push(judged);
                asked.spreads.push(tuned.spread.clone());
            }
        }
    }
    Ok(Model {
        name,
        parameters: parameter_count(&folder.config()?),
        bytes: folder.bytes(),
    })
}

impl Asked {
    fn read(path: &Path, said: &Said) -> Result<Self, CliError> {
        let task = match labelled::read(path, said)? {
            Some(labelled) => Either::Labelled(labelled, Vec::new()),
            None => {
                let (name, bytes) = labels::bytes(path)?;
                let text = labels::text(&bytes, &name)?;
                let separator = match labels::extension(path).as_deref() {
                    Some("csv") => Separator::Comma,
                    _ => Separator::Tab,
                };
                let task = Task::parse(&name, separator, text);
                Either::Vectors(
                    task.map_err(|e| CliError::Usage(e.to_string()))?,
                    Vec::new(),
                )
            }
        };
        Ok(Self {
            task,
            speeds: Vec::new(),
            spreads: Vec::new(),
        })
    }

    fn outcome(self, arguments: &Arguments) -> Outcome {
        let seed = arguments.seed;
        let (scores, rows, heading, undefined, words) = match &self.task {
            Either::Vectors(task, answers) => (
                compare(task, answers, seed),
                task.rows(),
                heading(task, arguments.among),
                "undefined: all cosines are alike",
                None,
            ),
            Either::Labelled(labelled, judged) => {
                let (marks, words) = labelled::compared(judged);
                let rows = marks.first().map_or(0, Marks::rows);
                (
                    compare_marks(&marks, seed),
                    rows,
                    labelled::heading(labelled, rows, words.as_ref()),
                    "undefined: all answers are alike",
                    words,
                )
            }
        };
        let name = match &self.task {
            Either::Vectors(task, _) => task.name(),
            Either::Labelled(labelled, _) => labelled.name(),
        };
        Outcome {
            name: name.to_owned(),
            heading,
            rows,
            metrics: [0, 1].map(|at| scores[0][at].metric),
            undefined,
            scores,
            speeds: self.speeds,
            spreads: self.spreads,
            words,
        }
    }
}

/// What a task of vectors asks for, in words.
fn heading(task: &Task, among: usize) -> String {
    let (name, rows) = (task.name(), task.rows());
    let pairs = counted(rows, "pair");
    match task.kind() {
        Kind::Similarity => format!("{name}: similarity, {pairs}"),
        Kind::Retrieval => {
            let among = among.min(rows);
            format!("{name}: retrieval, {pairs}, the right one of {among}")
        }
    }
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

fn tasks(arguments: &Arguments) -> Result<Vec<Asked>, CliError> {
    let said = arguments.columns.said()?;
    let mut tasks = Vec::new();
    for path in &arguments.tasks {
        if let Some(file) = task_file::in_path(path) {
            let (dev, said) = task_file::judged_by(&file, &arguments.columns)?;
            tasks.push(Asked::read(&dev, &said)?);
            continue;
        }
        let files = match path.is_dir() {
            true => tables_in(path)?,
            false => vec![path.clone()],
        };
        for file in files {
            tasks.push(Asked::read(&file, &said)?);
        }
    }
    Ok(tasks)
}

fn tables_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(CliError::file("list", folder))?;
    let is_task = |path: &PathBuf| {
        let end = labels::extension(path);
        end.is_some_and(|end| ENDS.contains(&end.as_str()))
    };
    let mut files: Vec<PathBuf> = entries.iter().map(|e| e.path()).filter(is_task).collect();
    files.sort();
    match files.is_empty() {
        true => {
            let (folder, [first, others @ ..]) = (folder.display(), ENDS);
            Err(CliError::Usage(format!(
                "the folder {folder} has no task: no file that ends in .{first} or .{}",
                others.join(" or .")
            )))
        }
        false => Ok(files),
    }
}

struct Encoded {
    /// In the order of the texts.
    vectors: Vec<Vec<f32>>,
    seconds: f64,
    cut: u64,
}

/// Encodes texts of similar length together: padding costs time.
fn encode(
    model: &SentenceModel,
    texts: &[&str],
    (size, mut batches): (usize, Batches),
) -> Result<Encoded, CliError> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|at| texts[*at].len());
    let mut vectors = vec![Vec::new(); texts.len()];
    let mut cut = 0;
    let start = Instant::now();
    for places in order.chunks(size) {
        let together: Vec<&str> = places.iter().map(|at| texts[*at]).collect();
        for part in batches.parts(model, &together)? {
            let encoded = pollster::block_on(model.encode(&together[part.clone()]))?;
            cut += encoded.cut as u64;
            for (at, vector) in places[part].iter().zip(encoded.rows) {
                vectors[*at] = vector;
            }
        }
    }
    Ok(Encoded {
        vectors,
        seconds: start.elapsed().as_secs_f64(),
        cut,
    })
}
