//! What a model is worth: scores of tasks, KL of the relations, size and time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::plan::{Job, Kind};
use super::results::{Key, Line, Results};
use super::runs::{self, Made, Runs};
use crate::shell::{self, Error, Result};

/// A task: its file or folder, and its name in the results.
#[derive(Clone, Debug)]
pub struct Task {
    /// As the user gave it.
    pub path: PathBuf,
    /// The name of the folder and of the file, so that it is the same on every machine.
    pub name: String,
}

impl Task {
    /// Tasks of these paths.
    ///
    /// # Errors
    /// A path does not exist, or two have one name.
    pub fn all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        let mut tasks: Vec<Self> = Vec::new();
        for path in paths {
            let whole = std::fs::canonicalize(path).map_err(shell::file_error(path))?;
            let name = name_of(&whole);
            if let Some(other) = tasks.iter().find(|task| task.name == name) {
                return Err(Error::Wrong(format!(
                    "{} and {} would both be the task `{name}` of the results; rename a folder",
                    other.path.display(),
                    path.display()
                )));
            }
            tasks.push(Self { path: whole, name });
        }
        Ok(tasks)
    }
}

/// `sts/dev` for `.../sts/dev.tsv`, `tweets` for `.../tweets/`.
fn name_of(path: &Path) -> String {
    let stem = |path: &Path| {
        let name = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        name.unwrap_or_default().to_string_lossy().into_owned()
    };
    match (path.is_dir(), path.parent()) {
        (false, Some(folder)) => format!("{}/{}", stem(folder), stem(path)),
        _ => stem(path),
    }
}

/// A measurement that a job needs.
struct Wanted<'a> {
    runs: &'a Runs<'a>,
    job: &'a Job<'a>,
}

impl Wanted<'_> {
    fn key(&self, metric: &str, task: Option<&str>, tuning: Option<(String, u64)>) -> Key {
        let job = self.job;
        let of_student = job.arm.kind != Kind::Teacher;
        Key {
            arm: job.arm.name.clone(),
            student: of_student.then(|| job.student.name.clone()),
            budget: of_student.then(|| job.budget.name.clone()),
            seed: of_student.then_some(job.seed),
            recipe: self.runs.study.hash(job),
            task: task.map(str::to_owned),
            tuning,
            metric: metric.to_owned(),
        }
    }
}

/// Makes a model and measures it without training: tasks of vectors, KL of the run, size, time. Returns whether anything
/// was measured that had not been before.
///
/// # Errors
/// A program fails, or leaves something else than was expected.
pub fn untrained(runs: &Runs, job: &Job, tasks: &[Task], results: &mut Results) -> Result<bool> {
    let wanted = Wanted { runs, job };
    let is_open = |task: &&Task| {
        let key = |metric| wanted.key(metric, Some(&task.name), None);
        !FIRST.iter().any(|metric| results.has(&key(metric)))
    };
    let open: Vec<&Task> = tasks.iter().filter(is_open).collect();
    let unmade = job.arm.kind == Kind::Distilled && !results.has(&wanted.key(TIME, None, None));
    if open.is_empty() && !unmade {
        return of_an_earlier_run(&wanted, results);
    }
    let made = runs.make(job)?;
    if job.arm.kind == Kind::Distilled {
        of_the_run(&wanted, &made, results)?;
    }
    if !open.is_empty() {
        of_vectors(&wanted, &made, &open, results)?;
    }
    Ok(true)
}

/// What the numbers of a run say that was measured before this read all of them, if its student is still there: KL of the pairs
/// that it did not train. Returns whether that was anything.
fn of_an_earlier_run(wanted: &Wanted, results: &mut Results) -> Result<bool> {
    let before = results.lines.len();
    if let Some(made) = wanted.runs.finished(wanted.job)? {
        of_the_run(wanted, &made, results)?;
    }
    Ok(results.lines.len() > before)
}

/// The first metrics of the tasks of `limbeck evaluate`. A task's is written last, so where it is, all of them are.
pub const FIRST: [&str; 2] = ["Spearman", "MRR"];
/// The last line that is written for a run.
const TIME: &str = "seconds";

/// KL and the other parts before the first step and after the last, and the time.
fn of_the_run(wanted: &Wanted, made: &Made, results: &mut Results) -> Result<()> {
    let path = made.folder.join("metrics.jsonl");
    let seconds = made.seconds.unwrap_or_default();
    let evaluations = evaluations(&path)?;
    let (Some(first), Some(last)) = (evaluations.first(), evaluations.last()) else {
        return Err(Error::Wrong(format!(
            "{} has no evaluation of the student",
            path.display()
        )));
    };
    for (time, parts) in [("before", first), ("after", last)] {
        for (part, value) in parts {
            results.add(Line {
                of: wanted.key(&format!("{part} {time}"), None, None),
                value: Some(*value),
                interval: None,
                right: None,
                seconds,
            })?;
        }
    }
    results.add(Line {
        of: wanted.key(TIME, None, None),
        value: made.seconds,
        interval: None,
        right: None,
        seconds,
    })
}

/// The parts of every evaluation of a run, and KL of the pairs that it did not train.
fn evaluations(path: &Path) -> Result<Vec<BTreeMap<String, f64>>> {
    #[derive(Deserialize)]
    struct Event {
        event: String,
        #[serde(default)]
        parts: BTreeMap<String, f64>,
        #[serde(default)]
        untrained: BTreeMap<String, f64>,
    }
    let text = shell::read(path)?;
    let event = |line: &str| {
        serde_json::from_str::<Event>(line)
            .map_err(|e| Error::Wrong(format!("{}: {e}", path.display())))
    };
    let events = text.lines().map(event).collect::<Result<Vec<Event>>>()?;
    let evaluations = events
        .into_iter()
        .filter(|event| event.event == "evaluated");
    let all = |event: Event| event.parts.into_iter().chain(event.untrained).collect();
    Ok(evaluations.map(all).collect())
}

/// One line of `limbeck evaluate --csv`.
#[derive(Debug, PartialEq, Deserialize)]
struct Score {
    parameters: f64,
    bytes: f64,
    metric: String,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

fn of_vectors(wanted: &Wanted, made: &Made, tasks: &[&Task], results: &mut Results) -> Result<()> {
    let runs = wanted.runs;
    for task in tasks {
        let mut command = Command::new(runs.program);
        command.arg("evaluate").arg("--csv");
        command.arg("--models").arg(&made.folder);
        command.arg("--tasks").arg(&task.path);
        runs.on_the_device(&mut command);
        let began = Instant::now();
        let text = runs.interrupt.output(&mut command)?;
        let seconds = began.elapsed().as_secs_f64();
        let mut add = |metric: &str, task: Option<&str>, value, interval| {
            results.add(Line {
                of: wanted.key(metric, task, None),
                value,
                interval,
                right: None,
                seconds,
            })
        };
        // The first metric last: it says that the task is measured.
        for score in scores(&text)?.iter().rev() {
            add("parameters", None, Some(score.parameters), None)?;
            add("bytes", None, Some(score.bytes), None)?;
            let interval = score.low.zip(score.high).map(|(low, high)| [low, high]);
            add(&score.metric, Some(&task.name), score.value, interval)?;
        }
    }
    Ok(())
}

fn scores(text: &str) -> Result<Vec<Score>> {
    let wrong = |why: String| {
        Error::Wrong(format!(
            "`limbeck evaluate --csv` printed what is no table of scores ({why}):\n{text}"
        ))
    };
    let read: std::result::Result<Vec<Score>, _> = csv::Reader::from_reader(text.as_bytes())
        .into_deserialize()
        .collect();
    let scores = read.map_err(|e| wrong(e.to_string()))?;
    match scores.first() {
        Some(first) if FIRST.contains(&first.metric.as_str()) => Ok(scores),
        Some(first) => Err(wrong(format!("its first metric is {}", first.metric))),
        None => Err(wrong("it is empty".to_owned())),
    }
}

/// How many examples the dev file of a labelled task has.
pub const EXAMPLES: &str = "examples";

/// Fine-tunes a model on tasks, one head after the other, and keeps the accuracy on their dev files. Returns whether
/// anything was measured that had not been before.
///
/// # Errors
/// A program fails, or leaves something else than was expected.
pub fn tuned(runs: &Runs, job: &Job, tasks: &[Task], results: &mut Results) -> Result<bool> {
    let wanted = Wanted { runs, job };
    let tuning = &job.budget.tuning;
    let before = results.lines.len();
    for task in tasks {
        let count = wanted.key(EXAMPLES, Some(&task.name), None);
        if !results.has(&count) {
            results.add(Line {
                of: count,
                value: Some(examples(task)?),
                interval: None,
                right: None,
                seconds: 0.0,
            })?;
        }
        for seed in 1..=tuning.seeds {
            let key = wanted.key("accuracy", Some(&task.name), Some((tuning.hash(), seed)));
            if results.has(&key) {
                continue;
            }
            let made = runs.make(job)?;
            let began = Instant::now();
            let (accuracy, right) = of_a_head(runs, job, &made, task, seed)?;
            results.add(Line {
                of: key,
                value: Some(accuracy),
                interval: None,
                right: Some(right),
                seconds: began.elapsed().as_secs_f64(),
            })?;
        }
    }
    Ok(results.lines.len() > before)
}

/// The lines of the dev file below the one that names its columns.
fn examples(task: &Task) -> Result<f64> {
    let text = shell::read(&task.path.join("dev.tsv"))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    Ok(lines.skip(1).count() as f64)
}

/// The accuracy of the best epoch of one head, and which examples it has right.
fn of_a_head(runs: &Runs, job: &Job, made: &Made, task: &Task, seed: u64) -> Result<(f64, String)> {
    let tuning = &job.budget.tuning;
    let out = runs::scratch(runs.work);
    runs::remove(&out)?;
    let mut command = Command::new(runs.program);
    command.arg("finetune").arg("--model").arg(&made.folder);
    command.arg("--train").arg(task.path.join("train.tsv"));
    command.arg("--dev").arg(task.path.join("dev.tsv"));
    command.arg("--out").arg(&out);
    command.args(["--seeds", "1", "--pooling", &tuning.pooling]);
    for (flag, value) in [
        ("--seed", seed.to_string()),
        ("--epochs", tuning.epochs.to_string()),
        ("--batch", tuning.batch.to_string()),
        ("--learning-rate", tuning.learning_rate.to_string()),
        ("--max-length", tuning.max_length.to_string()),
    ] {
        command.arg(flag).arg(value);
    }
    runs.on_the_device(&mut command);
    runs.interrupt.run(&mut command)?;
    let path = out.join("results.json");
    let accuracy = accuracy(&shell::read(&path)?).ok_or_else(|| {
        Error::Wrong(format!(
            "{} does not say the accuracy of one seed; the labels of {} must be classes",
            path.display(),
            task.path.display()
        ))
    })?;
    let path = out.join("predictions.jsonl");
    let right = right(&shell::read(&path)?).ok_or_else(|| {
        Error::Wrong(format!(
            "{} does not say which class each example has and was given",
            path.display()
        ))
    })?;
    // The model is as large as the student and is not needed any more.
    runs::remove(&out)?;
    Ok((accuracy, right))
}

/// Of each line whether the known label is the one that was given, as [`Line::right`] has it.
fn right(predictions: &str) -> Option<String> {
    let is_right = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let [known, given] = ["label", "predicted"].map(|key| line.get(key));
        Some(if known? == given? { '1' } else { '0' })
    };
    predictions.lines().map(is_right).collect()
}

fn accuracy(results: &str) -> Option<f64> {
    let results: Value = serde_json::from_str(results).ok()?;
    let accuracy = results.get("mean")?.get("accuracy")?.as_f64();
    accuracy.filter(|_| {
        results["seeds"]
            .as_array()
            .is_some_and(|seeds| seeds.len() == 1)
    })
}
