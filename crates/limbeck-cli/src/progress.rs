//! What a person sees of a run while it goes on: a bar, or one JSON object a line.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use limbeck_recipe::{Part, Plan, Step};
use serde_json::{Value, json};

use crate::terminal;

/// What stands beside the bar while a vocabulary is pruned.
pub const COUNTING: &str = "counting tokens";

/// A progress bar on standard error, or JSON lines on standard output.
pub struct Progress {
    bar: ProgressBar,
    json: bool,
    tokens: u64,
}

impl Progress {
    /// For a run that has not begun.
    pub fn new(json: bool) -> Self {
        let template = "{prefix}{bar:24} {pos}/{len}  {msg}  {elapsed} elapsed, {eta} left";
        Self::with(Some(0), !json, template, json)
    }

    /// Whether programs read it.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// For bytes that are read: of so many, or of a stream whose end is not known. Nothing is shown unless `shown`.
    pub fn of_bytes(total: Option<u64>, shown: bool) -> Self {
        let template = match total {
            Some(_) => "{bar:24} {bytes}/{total_bytes}  {msg}  {elapsed} elapsed, {eta} left",
            None => "{bytes}  {msg}  {elapsed} elapsed",
        };
        Self::with(total, shown, template, false)
    }

    fn with(total: Option<u64>, shown: bool, template: &str, json: bool) -> Self {
        let target = match shown {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        terminal::show(&bar);
        Self {
            bar,
            json,
            tokens: 0,
        }
    }

    /// The same, with the name of a stage before the bar, if it has one.
    pub fn named(self, stage: Option<&str>) -> Self {
        let prefix = stage.map_or_else(String::new, |stage| format!("{stage}  "));
        self.bar.set_prefix(prefix);
        self
    }

    /// The run has taken `step` steps and goes on from there.
    pub fn begin(&mut self, plan: &Plan, step: u64) {
        self.expect(plan.recipe.steps);
        self.bar.set_position(step);
    }

    /// The work has `steps` steps.
    pub fn expect(&self, steps: u64) {
        self.bar.set_length(steps);
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    /// `step` steps are done; `message` stands beside the bar.
    pub fn reach(&self, step: u64, message: String) {
        self.bar.set_message(message);
        self.bar.set_position(step);
    }

    /// `step` steps are done, and a piece of work begins: beside the bar, or as a line where there is none.
    pub fn enter(&self, step: u64, work: &str) {
        if self.bar.is_hidden() {
            terminal::say(work);
        }
        self.reach(step, work.to_owned());
    }

    /// One more step is done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// How many steps are done.
    pub fn position(&self) -> u64 {
        self.bar.position()
    }

    /// After a step; `elapsed` since the run was started or resumed.
    pub fn step(&mut self, event: &Step, elapsed: Duration) {
        self.tokens += event.tokens;
        let rate = self.tokens as f64 / elapsed.as_secs_f64().max(1e-9);
        if self.json {
            self.line(json!({
                "event": "step", "step": event.step, "loss": event.loss,
                "parts": event.parts, "learning_rate": event.learning_rate,
                "gradient_norm": event.gradient_norm, "tokens": event.tokens, "padding": event.padding, "tokens_per_s": rate.round(),
            }));
            return;
        }
        self.bar.set_message(format!(
            "loss {:.3} ({})  {:.0} tokens/s",
            event.loss,
            in_words(&event.parts, 3),
            rate
        ));
        self.bar.set_position(event.step);
    }

    /// One line: for people, for programs as an object with `event` and `fields`.
    pub fn say(&self, text: &str, event: &str, fields: &Value) {
        if self.json {
            self.emit(event, fields);
        } else {
            terminal::say(text);
        }
    }

    /// For programs alone: an object with `event` and `fields`.
    pub fn emit(&self, event: &str, fields: &Value) {
        if !self.json {
            return;
        }
        let mut object = json!({ "event": event });
        if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
            object.extend(fields.clone());
        }
        self.line(object);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, object: Value) {
        terminal::print(object);
    }
}

/// `Q-Q 0.081  K-K 0.103  cosine 0.012`.
pub fn in_words(parts: &BTreeMap<Part, f64>, decimals: usize) -> String {
    let parts = parts
        .iter()
        .map(|(part, value)| format!("{part} {value:.decimals$}"));
    parts.collect::<Vec<_>>().join("  ")
}
