//! metrics.jsonl: the numbers of a run, a JSON object a line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use limbeck_model::read_file;
use limbeck_recipe::{Evaluation, Step};
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
    fn step(&self) -> u64 {
        match self {
            Self::Step(step) => step.step,
            Self::Skipped { step } => *step,
            Self::Evaluated(evaluation) => evaluation.step,
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
    pub damaged: Vec<usize>,
    /// Steps of which there is no line.
    pub missing: u64,
    /// The lines as they are to be kept.
    text: String,
}

impl Past {
    /// Reads what is there of a run that has taken `steps` steps. Later lines will be written again; a damaged line is
    /// left out and named.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(output: &Output, steps: u64) -> Result<Self, CliError> {
        let mut past = Self::default();
        if steps == 0 {
            return Ok(past);
        }
        let mut taken = BTreeSet::new();
        let bytes = bytes(output)?;
        for (index, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Ok(line) = serde_json::from_slice::<Line>(bytes) else {
                // A last line without its end was cut off by a kill, after the checkpoint.
                if bytes.ends_with(b"\n") {
                    past.damaged.push(index + 1);
                }
                continue;
            };
            if line.step() > steps {
                continue;
            }
            past.text += String::from_utf8_lossy(bytes).trim_end();
            past.text.push('\n');
            match line {
                Line::Step(step) => {
                    taken.insert(step.step);
                    past.steps.push(step);
                }
                Line::Skipped { step } => {
                    taken.insert(step);
                }
                Line::Evaluated(evaluation) => past.evaluations.push(evaluation),
            }
        }
        past.missing = steps.saturating_sub(taken.len() as u64);
        Ok(past)
    }

    /// What is wrong with the file, for people; none if nothing is.
    pub fn damage(&self) -> Option<String> {
        let damaged: Vec<String> = self.damaged.iter().map(usize::to_string).collect();
        let damaged = damaged.join(", ");
        let lines = match damaged.is_empty() {
            true => String::new(),
            false => format!(" damaged in line {damaged}, which is left out;"),
        };
        let steps = match self.missing {
            0 => String::new(),
            missing => format!(" without the numbers of {missing} steps;"),
        };
        (!lines.is_empty() || !steps.is_empty())
            .then(|| format!("{METRICS_IN_PROGRESS} is{lines}{steps} the student is not affected"))
    }
}

/// A run that was killed after its end may have renamed the file already.
fn bytes(output: &Output) -> Result<Vec<u8>, CliError> {
    let finished = output.folder().join(METRICS);
    for path in [output.metrics_in_progress(), finished] {
        match read_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            read => return read.map_err(CliError::file("read", &path)),
        }
    }
    Ok(Vec::new())
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
        output.write(METRICS_IN_PROGRESS, past.text.as_bytes())?;
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
        let line = format!("{value}\n");
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
