//! Turns a session's events into what `limbeck distill` shows and writes: progress or JSON lines, metrics.jsonl and
//! checkpoints.

use std::time::{Duration, Instant};

use limbeck_corpus::CorpusError;
use limbeck_engine::{BatchSource, Feed, Front, News, Opened, Session, card};
use limbeck_recipe::{DeviceChoice, Evaluation};
use limbeck_train::Event;
use serde_json::json;

use super::metrics::{Metrics, Past};
use super::stage::Stage;
use crate::error::CliError;
use crate::output::{CHECKPOINT, METRICS_IN_PROGRESS, Output};
use crate::progress::{COUNTING, Progress, in_words};
use crate::{ahead, device, interrupt, memory};

/// The front of a run at a terminal.
pub struct Listener {
    /// Where it writes.
    pub output: Output,
    /// Which part of the run it hears.
    pub stage: Stage,
    /// What it prints.
    pub progress: Progress,
    /// Wins over the recipe's.
    device: Option<DeviceChoice>,
    /// None before the first step.
    metrics: Option<Metrics>,
    measured_on: &'static str,
    start: Instant,
}

impl Listener {
    /// Of a run that is not open yet.
    pub fn new(output: Output, stage: Stage, device: Option<DeviceChoice>, json: bool) -> Self {
        Self {
            progress: Progress::new(json).named(stage.name()),
            output,
            stage,
            device,
            metrics: None,
            measured_on: "",
            start: Instant::now(),
        }
    }

    /// Makes room in the folder and reports what begins. From here on files are written.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(
        &mut self,
        session: &Session,
        past: &Past,
        changed: Option<String>,
    ) -> Result<(), CliError> {
        let step = session.steps_taken();
        self.metrics = Some(Metrics::begin(&self.output, past)?);
        self.measured_on = session.heldout().kind;
        self.start = Instant::now();
        let plan = session.run().plan();
        self.progress.begin(plan, step);
        let info = session.info();
        let mut facts = card::facts(plan);
        let vectors = session.vectors().to_owned();
        facts.push(("Sentence vectors".to_owned(), vectors));
        facts.push(("Device".to_owned(), info.device.clone()));
        let facts: Vec<String> = facts
            .iter()
            .map(|(name, value)| format!("  {name:<16} {value}"))
            .collect();
        let self_test = info
            .self_test_failure
            .as_deref()
            .map(device::self_test_failed);
        let abandoned = self.output.abandoned_by.as_ref().map(|process| {
            let folder = self.output.folder().display();
            format!("process {process} ended without releasing {folder}; this one takes it over")
        });
        let damage = past.damage(METRICS_IN_PROGRESS);
        let lines = [changed.clone(), self_test, abandoned, damage.clone()];
        let lines = lines.into_iter().flatten();
        let heading = self.stage.heading().map(str::to_owned);
        let text: Vec<String> = heading.into_iter().chain(facts).chain(lines).collect();
        let fields = json!({
            "stage": self.stage.name(), "recipe": plan.recipe, "device": info.device, "step": step, "self_test_failure": info.self_test_failure,
            "teacher_computed": card::precision(plan), "vocabulary": plan.vocabulary, "changed": changed, "taken_over_from": self.output.abandoned_by, "metrics_damage": damage,
        });
        self.progress.say(&text.join("\n"), "start", &fields);
        Ok(())
    }

    /// Since the run was started or resumed.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn take(&mut self, news: News) -> Result<(), CliError> {
        let Some(metrics) = &mut self.metrics else {
            return Ok(());
        };
        match news {
            News::Stage(..) => {}
            News::Step(step) => {
                metrics.append(&Event::Step(step.timeless()))?;
                self.progress.step(&step, self.start.elapsed());
            }
            News::Skipped { step, lines, names } => {
                metrics.append(&Event::Skipped { step, lines })?;
                let text = format!("step {step} skipped: the loss was not a number, on {names}");
                let fields = json!({ "step": step, "lines": names });
                self.progress.say(&text, "skipped", &fields);
            }
            News::Evaluated(evaluation) => {
                metrics.append_evaluation(&evaluation)?;
                // The fresh student's stands in the table at the end.
                if evaluation.step > 0 {
                    self.say(&evaluation);
                }
            }
        }
        Ok(())
    }

    fn say(&self, evaluation: &Evaluation) {
        let Evaluation {
            step,
            parts,
            untrained,
            files,
            ..
        } = evaluation;
        let (kind, values) = (self.measured_on, in_words(parts, 4));
        let mut text = format!("step {step}: on {kind}: {values}");
        let mut fields = json!({ "step": step, "parts": parts, "untrained": untrained });
        if !files.is_empty() {
            fields["files"] = json!(files);
        }
        for file in files {
            text.push_str(&format!("\n  {}: {}", file.file, in_words(&file.parts, 4)));
        }
        self.progress.say(&text, "evaluated", &fields);
    }

    fn sync(&self) -> Result<(), CliError> {
        self.metrics.as_ref().map_or(Ok(()), Metrics::sync)
    }
}

impl Front for Listener {
    async fn open(&self, choice: DeviceChoice) -> Result<Opened, String> {
        let choice = self.device.unwrap_or(choice);
        device::open_for_engine(choice).map_err(|e| e.to_string())
    }

    fn free_memory(&self) -> Option<u64> {
        memory::free()
    }

    fn counting<T>(&self, bytes: u64, count: impl FnOnce(&dyn Fn(u64)) -> T) -> T {
        let bar = Progress::of_bytes(Some(bytes), !self.progress.is_json());
        if !self.progress.is_json() {
            bar.enter(0, COUNTING);
        }
        let counted = interrupt::at_once(|| count(&|done| bar.reach(done, COUNTING.to_owned())));
        bar.finish();
        counted
    }

    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError> {
        ahead::batches(feed)
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    async fn breathe(&self) {}

    fn report(&mut self, news: News) -> Result<(), String> {
        self.take(news).map_err(|e| e.to_string())
    }

    /// The numbers first: a checkpoint whose steps have no lines would leave a gap in the curves for good.
    async fn save(&mut self, _: &Session, checkpoint: Vec<u8>) -> Result<bool, String> {
        let saved = self
            .sync()
            .and_then(|()| self.output.write(CHECKPOINT, &checkpoint));
        saved.map(|()| true).map_err(|e| e.to_string())
    }

    async fn save_numbers(&mut self, _: &Session) -> Result<(), String> {
        self.sync().map_err(|e| e.to_string())
    }
}
