//! The numbers of a run, one record of each kind: what the trainer computes, an engine emits, a front stores and a chart draws.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Pair, Part};

/// Numbers of one training step, over all of its micro-batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub step: u64,
    /// Sum of the parts, weighted (eq. 5).
    pub loss: f64,
    /// The parts that this step learnt from, unweighted.
    pub parts: BTreeMap<Part, f64>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens of all its batches, padding not counted.
    pub tokens: u64,
    /// Padding of all its batches: computed like tokens, and of no use.
    #[serde(default, skip_serializing_if = "is_none")]
    pub padding: u64,
    /// Time of this step alone, in seconds. The driver of a run fills it in; the trainer has no clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
    /// Bytes that the device has handed out, filled in by the driver; 0 if it does not say.
    #[serde(default, skip_serializing_if = "is_none")]
    pub memory: u64,
}

impl Step {
    /// The same without time and memory, which differ from one run to the next: what a file keeps that must be equal
    /// for equal runs.
    #[must_use]
    pub fn timeless(&self) -> Self {
        Self {
            seconds: 0.0,
            memory: 0,
            ..self.clone()
        }
    }
}

/// The parts of the loss on held-out lines after a number of steps, and what no step trains beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Steps taken before; 0 is the fresh student.
    pub step: u64,
    /// Every part that the run has at any step, unweighted.
    pub parts: BTreeMap<Part, f64>,
    /// The relations of the other pairs: KL in nats, as of the pairs among the parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub untrained: BTreeMap<Part, f64>,
    /// The same of each part of the corpus by itself, where it has several and not too many; all of one pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEvaluation>,
    /// The lines that it was measured on, in one sentence; empty where the reader knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The parts of the loss on the held-out lines of one path or glob of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileEvaluation {
    /// Its name, without folders.
    pub file: String,
    /// How many lines of it were measured.
    pub lines: u64,
    /// See [`Evaluation::parts`]: the mean over these lines.
    pub parts: BTreeMap<Part, f64>,
}

impl Evaluation {
    /// KL of the relations of a pair in nats, whether it is trained or not; none if it was not measured.
    pub fn kl(&self, pair: Pair) -> Option<f64> {
        let part = Part::Relation(pair);
        let kl = self.parts.get(&part).or_else(|| self.untrained.get(&part));
        kl.copied()
    }

    /// A part of the loss on the lines of a file, if that was measured.
    pub fn of_file(&self, file: &str, part: Part) -> Option<f64> {
        let file = self.files.iter().find(|of| of.file == file)?;
        file.parts.get(&part).copied()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(count: &u64) -> bool {
    *count == 0
}
