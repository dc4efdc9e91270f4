//! metrics.jsonl: the numbers of a run, a JSON object a line.
//!
//! While the run goes on they are in a file beside it, `metrics.jsonl.part`, each line with a checksum: a resumed run takes over
//! what is whole and says what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use limbeck_engine::{seal, unseal};
use limbeck_model::read_file;
use limbeck_recipe::{Evaluation, Recipe, Step, counted};
use limbeck_train::Event;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::output::{METRICS, METRICS_IN_PROGRESS, Output};

/// A line. Nothing in it depends on when and how fast it was computed, so a resumed run writes the file of one that was
/// not stopped.
#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Step(Step),
    Skipped { step: u64 },
    Evaluated(Evaluation),
}

impl Line {
    /// The place of a line among the others: an evaluation follows its step.
    fn place(&self) -> (u64, bool) {
        match self {
            Self::Step(step) => (step.step, false),
            Self::Skipped { step } => (*step, false),
            Self::Evaluated(evaluation) => (evaluation.step, true),
        }
    }
}

/// What the file says of a run up to its checkpoint.
#[derive(Default)]
pub struct Past {
    /// Oldest first.
    pub steps: Vec<Step>,
    /// Oldest first.
    pub evaluations: Vec<Evaluation>,
    /// Numbers of lines that are damaged, from 1.
    damaged: Vec<usize>,
    /// Steps of which there is no line.
    missing: u64,
    /// Steps whose student was measured, and of which there is no evaluation. What a resumed run makes up for is not here.
    unmeasured: Vec<u64>,
    /// The lines as metrics.jsonl is to have them, by place: what is out of order or there twice does no harm.
    lines: BTreeMap<(u64, bool), String>,
}

impl Past {
    /// Reads what is there of a run that has taken `steps` steps. Later lines will be written again; a damaged line is
    /// left out and named.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(output: &Output, recipe: &Recipe, steps: u64) -> Result<Self, CliError> {
        let mut past = Self::default();
        if steps == 0 {
            return Ok(past);
        }
        let (bytes, is_sealed) = bytes(output)?;
        for (index, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some(line) = bytes.strip_suffix(b"\n") else {
                // A last line without its end was cut off by a kill, after the checkpoint.
                break;
            };
            let text = match is_sealed {
                true => unseal(line),
                false => String::from_utf8(line.to_vec()).ok(),
            };
            if text.is_none_or(|text| past.take(text, steps).is_none()) {
                past.damaged.push(index + 1);
            }
        }
        past.look_for_gaps(recipe.checkpoint_every, steps);
        Ok(past)
    }

    /// Takes a line in; none if it is not one.
    fn take(&mut self, text: String, steps: u64) -> Option<()> {
        let line: Line = serde_json::from_str(&text).ok()?;
        let place = line.place();
        if place.0 > steps || self.lines.insert(place, text).is_some() {
            return Some(());
        }
        match line {
            Line::Step(step) => self.steps.push(step),
            Line::Skipped { .. } => {}
            Line::Evaluated(evaluation) => self.evaluations.push(evaluation),
        }
        Some(())
    }

    fn look_for_gaps(&mut self, every: u64, steps: u64) {
        self.steps.sort_by_key(|step| step.step);
        self.evaluations.sort_by_key(|evaluation| evaluation.step);
        let taken: BTreeSet<u64> = self
            .lines
            .keys()
            .filter(|place| !place.1)
            .map(|p| p.0)
            .collect();
        self.missing = steps.saturating_sub(taken.len() as u64);
        let measured = (every..steps).step_by(every as usize);
        self.unmeasured = measured
            .filter(|step| !self.lines.contains_key(&(*step, true)))
            .collect();
    }

    /// The lines of metrics.jsonl.
    pub fn text(&self) -> String {
        self.lines
            .values()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// What is wrong with the numbers, in a file of this name, for people; none if nothing is.
    pub fn damage(&self, file: &str) -> Option<String> {
        let list = |numbers: Vec<String>| numbers.join(", ");
        let damaged = list(self.damaged.iter().map(usize::to_string).collect());
        let unmeasured = list(self.unmeasured.iter().map(u64::to_string).collect());
        let mut parts = Vec::new();
        if !damaged.is_empty() {
            parts.push(format!("damaged in line {damaged}, which is left out"));
        }
        match self.missing {
            0 => {}
            missing => parts.push(format!(
                "without the numbers of {}",
                counted(missing, "step")
            )),
        }
        if !unmeasured.is_empty() {
            parts.push(format!("without the evaluation after step {unmeasured}"));
        }
        let parts = parts.join("; ");
        (!parts.is_empty()).then(|| format!("{file} is {parts}; the student is not affected"))
    }
}

/// What there is, and whether its lines have checksums. A run that was killed after its end may have put the file away already.
fn bytes(output: &Output) -> Result<(Vec<u8>, bool), CliError> {
    let finished = output.folder().join(METRICS);
    for (path, is_sealed) in [(output.metrics_in_progress(), true), (finished, false)] {
        match read_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            read => {
                let bytes = read.map_err(CliError::file("read", &path))?;
                return Ok((bytes, is_sealed));
            }
        }
    }
    Ok((Vec::new(), true))
}

/// The file while a run goes on.
pub struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Begins the file anew with what is kept of the past.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(output: &Output, past: &Past) -> Result<Self, CliError> {
        let lines = past.lines.values().map(|line| seal(line) + "\n");
        output.write(METRICS_IN_PROGRESS, lines.collect::<String>().as_bytes())?;
        let path = output.metrics_in_progress();
        let file = File::options().append(true).open(&path);
        Ok(Self {
            file: file.map_err(CliError::file("open", &path))?,
            path,
        })
    }

    /// Appends what a step gave.
    ///
    /// # Errors
    /// The disk is full, say.
    pub fn append(&mut self, event: &Event) -> Result<(), CliError> {
        self.write(&serde_json::json!(event))
    }

    /// Appends an evaluation.
    ///
    /// # Errors
    /// See [`Metrics::append`].
    pub fn append_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), CliError> {
        // What it was measured on stands in the model card once, and not in each line.
        let evaluation = Evaluation {
            note: String::new(),
            ..evaluation.clone()
        };
        self.write(&serde_json::json!(Line::Evaluated(evaluation)))
    }

    fn write(&mut self, value: &serde_json::Value) -> Result<(), CliError> {
        let line = seal(&value.to_string()) + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(CliError::file("write", &self.path))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// See [`Metrics::append`].
    pub fn sync(&self) -> Result<(), CliError> {
        let synced = self.file.sync_data();
        synced.map_err(CliError::file("write", &self.path))
    }
}
