//! One run per seed: epochs, each judged on the dev file, of which the best is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use limbeck_model::{Classifier, Encoder, Weights};
use limbeck_train::{Targets, Tuning, TuningRecipe};
use serde_json::json;

use super::scores::{self, Measure, OF_CLASSES, OF_SCORES};
use super::sequences::{Sequence, Shelf, by_length, order, targets};
use super::{Arguments, task::Goal};
use crate::error::CliError;
use crate::progress::Progress;

/// Sequences that are judged together.
const JUDGED: usize = 64;

/// What every seed begins with.
pub struct Training<'a> {
    pub arguments: &'a Arguments,
    pub goal: &'a Goal,
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
    /// On the dev file, in the order of the measures.
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

impl Goal {
    /// What predictions are judged by.
    pub fn measures(&self) -> [Measure; 2] {
        match self {
            Self::Classes(_) => OF_CLASSES,
            Self::Score => OF_SCORES,
        }
    }

    /// Numbers that a model gives for a text.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Score => 1,
        }
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
        let (encoder, outputs) = (self.encoder.clone(), self.goal.outputs());
        let head = arguments.pooling;
        let classifier = Classifier::new(encoder, &self.weights, head, outputs, seed)?;
        Ok(Tuning::new(classifier, recipe, self.class_weights()))
    }

    /// As scikit-learn's `balanced`: examples / (classes * examples of the class).
    fn class_weights(&self) -> Option<Vec<f32>> {
        if !self.arguments.balance {
            return None;
        }
        let everything: Vec<usize> = (0..self.train.len()).collect();
        let Targets::Classes(classes) = targets(&self.train, &everything) else {
            return None;
        };
        let mut counts = vec![0usize; self.goal.outputs()];
        classes.iter().for_each(|class| counts[*class] += 1);
        let weight = |count: &usize| classes.len() as f32 / (counts.len() * count) as f32;
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
            let tuned = pollster::block_on(tuning.step(&batch, &targets(&self.train, &picked)))?;
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
        let measures = self.goal.measures();
        let named = measures.iter().zip(scores);
        let parts = named
            .clone()
            .map(|(m, score)| format!("{} {:.1}", m.name, 100.0 * score));
        let parts = parts.collect::<Vec<_>>().join("  ");
        let rate = self.train.len() as f64 / seconds.max(1e-9);
        let text = format!(
            "seed {seed}, epoch {epoch}: loss {loss:.4}  {parts}  ({seconds:.1} s, {rate:.0} examples/s)"
        );
        let mut fields = json!({
            "seed": seed, "epoch": epoch, "loss": loss, "seconds": seconds, "examples_per_s": rate,
        });
        named.for_each(|(measure, score)| fields[measure.key] = json!(score));
        self.progress.say(&text, "epoch", &fields);
    }

    /// The logits or scores that a classifier gives for the dev file, in its order.
    ///
    /// # Errors
    /// The device fails.
    pub fn predict(&self, classifier: &Classifier) -> Result<Vec<Vec<f32>>, CliError> {
        let mut predicted = vec![Vec::new(); self.dev.len()];
        for picked in by_length(&self.dev, JUDGED) {
            let batch = self.shelf.batch(&self.dev, &picked)?;
            let logits = pollster::block_on(Tuning::predict(classifier, &batch))?;
            let logits = logits.chunks(self.goal.outputs());
            for (index, logits) in picked.into_iter().zip(logits) {
                predicted[index] = logits.to_vec();
            }
        }
        Ok(predicted)
    }

    /// The scores of a classifier on the dev file.
    fn judge(&self, classifier: &Classifier) -> Result<[f64; 2], CliError> {
        let predicted = self.predict(classifier)?;
        let everything: Vec<usize> = (0..self.dev.len()).collect();
        Ok(match targets(&self.dev, &everything) {
            Targets::Classes(known) => {
                let predicted: Vec<usize> =
                    predicted.iter().map(|logits| highest(logits)).collect();
                scores::of_classes(&known, &predicted, self.goal.outputs())
            }
            Targets::Scores(known) => {
                let known: Vec<f64> = known.into_iter().map(f64::from).collect();
                let predicted = predicted.iter().flatten().map(|score| f64::from(*score));
                scores::of_scores(&known, &predicted.collect::<Vec<_>>())
            }
        })
    }
}

/// Index of the highest value, the first of equal ones.
pub fn highest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
