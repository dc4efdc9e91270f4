//! `cargo xtask study`: which choices make a good student, judged by the scores of tasks.
//!
//! The recipe of the study is docs/study/study.toml, its results are docs/study/results.jsonl, and the tables of docs/study.md
//! and the picture beside it are rendered from these two. A model that is finished is not made again, and what has been
//! measured is not measured again, so the same command goes on wherever it was stopped.

mod difference;
mod interrupt;
mod measure;
mod picture;
mod plan;
mod results;
mod runs;
mod score;
mod table;
#[cfg(all(test, unix))]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use crate::places::Places;
use crate::shell::{self, Error, Result};
use interrupt::Interrupt;
use measure::Task;
use plan::{Job, Kind, Study};
use results::{Ground, Results};
use runs::Runs;

/// Flags of `cargo xtask study`.
#[derive(Args)]
pub struct Options {
    /// Only render docs/study.md and its picture from the results
    #[arg(long)]
    table: bool,
    /// Folder of the teacher
    #[arg(long, value_name = "DIR", required_unless_present = "table")]
    teacher: Option<PathBuf>,
    /// What students are distilled on: text files, one document per line
    #[arg(long, value_name = "FILES", num_args = 1.., required_unless_present = "table")]
    corpus: Vec<PathBuf>,
    /// Sentence pairs with scores: Spearman's correlation, of `limbeck evaluate`
    #[arg(long, value_name = "FILES", num_args = 1..)]
    similarity: Vec<PathBuf>,
    /// Pairs of texts that belong together: mean reciprocal rank, of `limbeck evaluate`
    #[arg(long, value_name = "FILES", num_args = 1..)]
    retrieval: Vec<PathBuf>,
    /// Folders with train.tsv and dev.tsv (sentence, label): accuracy on dev, of `limbeck finetune`
    #[arg(long, value_name = "DIRS", num_args = 1..)]
    tasks: Vec<PathBuf>,
    /// Where the students are written [default: `study` in the build folder]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// How long each run may be: a budget of the study
    #[arg(long, value_name = "NAME", default_value = "quick")]
    budget: String,
    /// Only these arms
    #[arg(long, value_name = "NAMES", num_args = 1..)]
    arms: Vec<String>,
    /// Only these students
    #[arg(long, value_name = "NAMES", num_args = 1..)]
    students: Vec<String>,
    /// Students of each arm, each with a seed of its own [default: the budget's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The results, which this adds to [default: docs/study/results.jsonl]
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// A built program [default: it is built]
    #[arg(long, value_name = "PROGRAM")]
    pub limbeck: Option<PathBuf>,
}

impl Options {
    /// Whether a program is needed that nobody gave.
    pub fn needs_a_build(&self) -> bool {
        !self.table && self.limbeck.is_none()
    }
}

/// Runs the study, or what is left of it, and renders its results.
///
/// # Errors
/// A file is missing or wrong, a program fails, or ctrl-c.
pub fn run(places: &Places, options: &Options) -> Result<()> {
    let study = Study::read(&places.root.join("docs/study/study.toml"))?;
    let own = places.root.join("docs/study/results.jsonl");
    let path = options.results.as_ref().unwrap_or(&own);
    // The documents show the project's own results, and others only if asked to.
    let render = || match options.results.is_none() || options.table {
        true => table::write(places, &study, path),
        false => Ok(()),
    };
    if !options.table {
        measure_all(places, options, &study, path, &render)?;
    }
    render()
}

/// Runs what is left of the study.
fn measure_all(
    places: &Places,
    options: &Options,
    study: &Study,
    path: &Path,
    render: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let vectors: Vec<PathBuf> = [&options.similarity[..], &options.retrieval[..]].concat();
    let (vectors, labelled) = (Task::all(&vectors)?, Task::all(&options.tasks)?);
    let teacher = absolute(options.teacher.as_deref().unwrap_or(Path::new("")))?;
    let corpus = options.corpus.iter().map(|file| absolute(file));
    let corpus = corpus.collect::<Result<Vec<PathBuf>>>()?;
    let jobs = jobs(study, options)?;
    let work = options.work.clone();
    let work = absolute_or(work.unwrap_or_else(|| places.target.join("study")))?;
    let program = options.limbeck.clone();
    let program = program.unwrap_or_else(|| places.release_binary("limbeck"));
    let ground = ground(&teacher, &corpus)?;
    let mut results = Results::open(path, &ground)?;
    same_ground(&work, &ground)?;
    let interrupt = Interrupt::watch()?;
    let runs = Runs {
        study,
        program: &absolute(&program)?,
        teacher: &teacher,
        corpus: &corpus,
        work: &work,
        device: options.device.as_deref(),
        interrupt: &interrupt,
    };
    all(&runs, &jobs, &vectors, &labelled, &mut results, render)
}

/// Every model: first all that needs no labels, then fine-tuning, which takes longest. `render` is called after
/// each model. One that fails does not keep the others from being made.
fn all(
    runs: &Runs,
    jobs: &[Job],
    vectors: &[Task],
    labelled: &[Task],
    results: &mut Results,
    render: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let count = jobs.len();
    let mut failed: Vec<String> = Vec::new();
    let mut done = |job: &Job, outcome: Result<bool>| match outcome {
        Ok(true) => render(),
        Ok(false) => Ok(()),
        Err(error) => {
            runs.interrupt.go_on()?;
            eprintln!("error: {error}\nThe study goes on with what is left.");
            let name = job.to_string();
            if !failed.contains(&name) {
                failed.push(name);
            }
            Ok(())
        }
    };
    for (number, job) in jobs.iter().enumerate() {
        eprintln!("\n== {} of {count}: {job} ==", number + 1);
        done(job, measure::untrained(runs, job, vectors, results))?;
    }
    if !labelled.is_empty() {
        for job in jobs.iter().filter(|job| job.budget.tunes(job.arm)) {
            eprintln!("\n== fine-tuning: {job} ==");
            done(job, measure::tuned(runs, job, labelled, results))?;
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        _ => Err(Error::Wrong(format!(
            "these failed, for the reasons above; the same command tries them again:\n  {}",
            failed.join("\n  ")
        ))),
    }
}

/// The models to make, in order: student by student, seed by seed, arm by arm, so that whoever stops early has whole tables.
fn jobs<'a>(study: &'a Study, options: &Options) -> Result<Vec<Job<'a>>> {
    let budget = study.budget(&options.budget)?;
    let (arms, students) = (
        study.arms(&options.arms)?,
        study.students(&options.students)?,
    );
    let mut jobs: Vec<Job> = Vec::new();
    for student in students {
        for seed in 1..=options.seeds.unwrap_or(budget.seeds) {
            for arm in arms.iter().copied().filter(|arm| arm.is_for(student)) {
                // There is one teacher, and what is copied depends on no seed.
                let is_there = match arm.kind {
                    Kind::Distilled => false,
                    Kind::Copied => seed > 1,
                    Kind::Teacher => jobs.iter().any(|job| job.arm.kind == Kind::Teacher),
                };
                if !is_there {
                    jobs.push(Job {
                        arm,
                        student,
                        budget,
                        seed,
                    });
                }
            }
        }
    }
    match jobs.is_empty() {
        true => Err(Error::Wrong(
            "no arm is left: none of those named is for the students named".to_owned(),
        )),
        false => Ok(jobs),
    }
}

fn ground(teacher: &Path, corpus: &[PathBuf]) -> Result<Ground> {
    let hash = |files: &[PathBuf]| -> Result<String> {
        let mut hash = Sha256::new();
        for file in files {
            hash.update(shell::read_bytes(file)?);
        }
        let digest = hash.finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    Ok(Ground {
        teacher: hash(&[teacher.join("model.safetensors")])?,
        corpus: hash(corpus)?,
    })
}

/// Refuses a work folder with students of another teacher or other texts.
fn same_ground(work: &Path, ground: &Ground) -> Result<()> {
    let file = work.join("ground.json");
    let text = serde_json::to_string(ground);
    let text = text.map_err(|e| Error::Wrong(format!("hashes cannot be written: {e}")))?;
    if !file.exists() {
        std::fs::create_dir_all(work).map_err(shell::file_error(work))?;
        return shell::write(&file, text.as_bytes());
    }
    match shell::read(&file)? == text {
        true => Ok(()),
        false => Err(Error::Wrong(format!(
            "the students in {} are of another teacher or other texts; name another folder with --work",
            work.display()
        ))),
    }
}

/// The whole path of a file that must be there.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).map_err(shell::file_error(path))
}

fn absolute_or(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).map_err(shell::file_error(&path))
}
