//! One run per seed: epochs, each judged on the dev file, of which the best is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use limbeck_model::{Classifier, Encoder, Weights};
use limbeck_recipe::HeadChoice;
use limbeck_train::{Tuning, TuningRecipe};
use serde_json::json;

use super::Arguments;
use super::judging::{Given, marks, predict};
use super::sequences::{Sequence, Shelf, order, targets};
use super::task::Task;
use crate::error::CliError;
use crate::progress::Progress;

/// What every seed begins with.
pub struct Training<'a> {
    pub arguments: &'a Arguments,
    pub task: &'a Task,
    pub head: HeadChoice,
    pub weights: Weights<'a>,
    pub encoder: Encoder,
    pub shelf: Shelf,
    pub train: Vec<Sequence>,
    pub dev: Vec<Sequence>,
    pub progress: &'a Progress,
    pub stop: &'a AtomicBool,
}

/// What an epoch gave.
pub struct Epoch {
    /// Mean of the training loss.
    pub loss: f64,
    /// On the dev file, in the order of the metrics.
    pub scores: [f64; 2],
}

/// What a seed gave.
pub struct Seed {
    pub seed: u64,
    pub epochs: Vec<Epoch>,
    /// The best of them, from 0.
    pub best: usize,
    /// As it was after that epoch.
    pub classifier: Classifier,
}

impl Seed {
    /// On the dev file, after the best epoch.
    pub fn scores(&self) -> [f64; 2] {
        self.epochs[self.best].scores
    }
}

impl Training<'_> {
    fn steps_per_epoch(&self) -> u64 {
        self.train.len().div_ceil(self.arguments.batch) as u64
    }

    /// Steps of one seed.
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch() * self.arguments.epochs
    }

    /// Fine-tunes with the seed of this number, from 0; none if it was stopped.
    ///
    /// # Errors
    /// The loss is not a number, or the device fails.
    pub fn run(&self, number: u64) -> Result<Option<Seed>, CliError> {
        let seed = self.arguments.seed + number;
        let mut tuning = self.begin(seed)?;
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut best: Option<(usize, Classifier)> = None;
        for epoch in 0..self.arguments.epochs {
            let start = Instant::now();
            let Some(loss) = self.epoch(&mut tuning, number, epoch)? else {
                return Ok(None);
            };
            let seconds = start.elapsed().as_secs_f64();
            let classifier = tuning.classifier();
            let scores = self.judge(&classifier)?;
            let is_best = best
                .as_ref()
                .is_none_or(|(at, _)| scores[0] > epochs[*at].scores[0]);
            if is_best {
                best = Some((epochs.len(), classifier));
            }
            self.report(seed, epoch + 1, loss, scores, seconds);
            epochs.push(Epoch { loss, scores });
        }
        Ok(best.map(|(best, classifier)| Seed {
            seed,
            epochs,
            best,
            classifier,
        }))
    }

    fn begin(&self, seed: u64) -> Result<Tuning, CliError> {
        let arguments = self.arguments;
        let steps = self.steps();
        let recipe = TuningRecipe {
            steps,
            warmup: (steps as f64 * arguments.warmup).round() as u64,
            learning_rate: arguments.learning_rate,
            weight_decay: arguments.weight_decay,
            clip: 1.0,
            seed,
            frozen_layers: arguments.freeze,
        };
        let (encoder, outputs) = (self.encoder.clone(), self.task.goal.outputs());
        let classifier = Classifier::new(encoder, &self.weights, self.head, outputs, seed)?;
        Ok(Tuning::new(classifier, recipe, self.class_weights()))
    }

    /// As scikit-learn's `balanced`: examples / (classes * examples of the class). A class that does not occur weighs nothing.
    fn class_weights(&self) -> Option<Vec<f32>> {
        if !self.arguments.balance {
            return None;
        }
        let mut counts = vec![0usize; self.task.goal.outputs()];
        let classes = self.train.iter().flat_map(Sequence::classes);
        classes.for_each(|class| counts[class] += 1);
        let all: usize = counts.iter().sum();
        let weight = |count: &usize| match count {
            0 => 0.0,
            count => all as f32 / (counts.len() * count) as f32,
        };
        Some(counts.iter().map(weight).collect())
    }

    /// The mean loss of an epoch; none if it was stopped.
    fn epoch(&self, tuning: &mut Tuning, number: u64, epoch: u64) -> Result<Option<f64>, CliError> {
        let (seeds, epochs) = (self.arguments.seeds, self.arguments.epochs);
        let seed = self.arguments.seed + number;
        let mut sum = 0.0;
        for picked in order(&self.train, self.arguments.batch, seed, epoch) {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let batch = self.shelf.batch(&self.train, &picked)?;
            let targets = targets(&self.train, &picked, batch.lengths().padded());
            let tuned = pollster::block_on(tuning.step(&batch, &targets))?;
            sum += tuned.loss * picked.len() as f64;
            let (seed, of, epoch) = (number + 1, seeds, epoch + 1);
            let message = format!(
                "seed {seed}/{of}, epoch {epoch}/{epochs}  loss {:.3}",
                tuned.loss
            );
            self.progress
                .reach(number * self.steps() + tuned.step, message);
            self.progress.emit("step", &json!({
                "seed": self.arguments.seed + number, "epoch": epoch, "step": tuned.step, "loss": tuned.loss,
                "learning_rate": tuned.learning_rate, "gradient_norm": tuned.gradient_norm,
            }));
        }
        Ok(Some(sum / self.train.len() as f64))
    }

    fn report(&self, seed: u64, epoch: u64, loss: f64, scores: [f64; 2], seconds: f64) {
        let named = self.task.metrics.iter().zip(scores);
        let parts = named
            .clone()
            .map(|(metric, score)| format!("{metric} {:.1}", 100.0 * score));
        let parts = parts.collect::<Vec<_>>().join("  ");
        let rate = self.train.len() as f64 / seconds.max(1e-9);
        let text = format!(
            "seed {seed}, epoch {epoch}: loss {loss:.4}  {parts}  ({seconds:.1} s, {rate:.0} examples/s)"
        );
        let mut fields = json!({
            "seed": seed, "epoch": epoch, "loss": loss, "seconds": seconds, "examples_per_s": rate,
        });
        named.for_each(|(metric, score)| fields[metric.key()] = json!(score));
        self.progress.say(&text, "epoch", &fields);
    }

    /// What a classifier gives for the dev file, in its order.
    ///
    /// # Errors
    /// The device fails.
    pub fn predict(&self, classifier: &Classifier) -> Result<Vec<Given>, CliError> {
        predict(classifier, &self.shelf, &self.dev, &self.task.goal)
    }

    /// The scores of a classifier on the dev file; 0 where predictions are all alike and say nothing of what is known.
    fn judge(&self, classifier: &Classifier) -> Result<[f64; 2], CliError> {
        let task = self.task;
        let marks = marks(&task.goal, &task.dev, &self.predict(classifier)?);
        let all: Vec<usize> = (0..marks.rows()).collect();
        let score = |metric| marks.measure(metric, &all).unwrap_or(0.0);
        Ok(task.metrics.map(score))
    }
}
