//! `limbeck distill`: files and flags to a run, events to progress and files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use limbeck_corpus::{Corpus, FileSummary, Loader};
use limbeck_engine::card::{self, Outcome};
use limbeck_engine::heldout::{self, Heldout};
use limbeck_engine::{changed_input, feed, inputs};
use limbeck_kernels::SelfTestError;
use limbeck_model::{Encoder, Folder, Tokenizer};
use limbeck_protocol::UNTRAINED;
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{DeviceChoice, Plan, Recipe, Vector};
use limbeck_relations::map;
use limbeck_train::{Checkpoint, Event, Run, StepEvent, TrainError, check_kernels};
use serde_json::json;
use toml::Value;

use crate::config::{self, parse_setting};
use crate::device;
use crate::error::CliError;
use crate::output::{CHECKPOINT, METRICS_IN_PROGRESS, Output};
use crate::progress::Progress;
use crate::report::{self, EvaluationRow, RelationMaps, Report, StepRow};

fn manual() -> String {
    format!(
        "A recipe says everything about a run; this one has every default. Name a field with --set (student.layers=2), or \
         write a file and name it with --config. `limbeck config schema` explains each field.\n\n{}\n\
         Ctrl-c finishes the step, saves and ends; --resume goes on with the same losses as if nothing had been. The output \
         folder gets the student (open it with transformers or sentence-transformers), metrics.jsonl, report.html and a \
         model card.",
        Recipe::default().to_toml()
    )
}

/// Flags of `limbeck distill`.
#[derive(Args)]
#[command(after_long_help = manual())]
pub struct Arguments {
    /// Folder of the teacher (Hugging Face layout: config.json, model.safetensors, tokenizer.json)
    #[arg(long, value_name = "DIR")]
    teacher: Option<String>,
    /// Text files or globs, one document a line, UTF-8, .gz too
    #[arg(long, value_name = "FILES", num_args = 1..)]
    corpus: Vec<String>,
    /// Folder for the student, its report and the checkpoint
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
    /// A recipe (TOML); flags and --set win over it. `limbeck config example` prints one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one field of the recipe, for instance student.layers=2; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, Value)>,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, value_parser = device::parse)]
    device: Option<DeviceChoice>,
    /// Write over an output folder that is not empty
    #[arg(long)]
    overwrite: bool,
    /// Go on with the run that was stopped in the output folder, with its own recipe
    #[arg(long, conflicts_with_all = ["teacher", "corpus", "config", "set", "overwrite"], requires = "out")]
    resume: bool,
    /// One JSON object a line on standard output instead of a progress bar
    #[arg(long)]
    json: bool,
}

/// Runs `limbeck distill`.
///
/// # Errors
/// Anything from a wrong recipe to a full disk; the last checkpoint stays whole.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let checkpoint = match arguments.resume {
        true => Some(read_checkpoint(&Output::open(Path::new(
            arguments.out.as_deref().unwrap_or("."),
        )))?),
        false => None,
    };
    let mut recipe = match &checkpoint {
        Some(checkpoint) => checkpoint.header.recipe.clone(),
        None => recipe(arguments)?,
    };
    if let Some(out) = &arguments.out {
        recipe.out = out.clone();
    }
    config::require_teacher(&recipe)?;
    let stop = stop_on_interrupt()?;
    let mut session = Session::open(recipe, arguments, checkpoint)?;
    session.go(&stop)
}

fn recipe(arguments: &Arguments) -> Result<Recipe, CliError> {
    let mut recipe = config::load(arguments.config.as_deref(), &arguments.set)?;
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher = teacher.clone();
    }
    if !arguments.corpus.is_empty() {
        recipe.corpus = arguments.corpus.clone();
    }
    if let Some(device) = arguments.device {
        recipe.device = device;
    }
    Ok(recipe)
}

fn read_checkpoint(output: &Output) -> Result<Checkpoint, CliError> {
    let path = output.checkpoint();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Checkpoint::parse(&bytes)?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(CliError::Usage(format!(
            "nothing to resume: {} does not exist (a finished run removes its checkpoint)",
            path.display()
        ))),
        Err(e) => Err(CliError::file("read", &path)(e)),
    }
}

/// The flag that ctrl-c sets; a second ctrl-c ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let handler = move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(1);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| CliError::Device(format!("cannot listen for ctrl-c: {e}")))?;
    Ok(stop)
}

/// A run with its files and what it tells.
struct Session {
    run: Run,
    teacher: Folder,
    inputs: BTreeMap<String, String>,
    corpus: Corpus,
    files: Vec<FileSummary>,
    tokenizer: Tokenizer,
    output: Output,
    progress: Progress,
    position: DataPosition,
    heldout: Heldout,
    metrics: File,
    evaluations: Vec<EvaluationRow>,
    /// The fresh student's map of each pair.
    before: Vec<Vec<f32>>,
    device: String,
    /// Why our kernels are not used on this device.
    self_test_failure: Option<SelfTestError>,
}

impl Session {
    fn open(
        recipe: Recipe,
        arguments: &Arguments,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self, CliError> {
        let out = PathBuf::from(&recipe.out);
        refuse_to_write_over_the_teacher(&recipe, &out)?;
        let mut teacher = Folder::read(Path::new(&recipe.teacher))?;
        let mut plan = Plan::new(&recipe, &teacher.config()?)?;
        let corpus = Corpus::open(&recipe.corpus)?;
        let tokenizer = Tokenizer::from_folder(&teacher)?.truncating(recipe.max_length)?;
        let files = corpus.describe()?;
        let inputs = inputs(&teacher, &files);
        if let Some(checkpoint) = &checkpoint {
            same_inputs(&checkpoint.header.inputs, &inputs)?;
        }
        let (device, device_name) = device::open(arguments.device.unwrap_or(recipe.device))?;
        let self_test_failure = pollster::block_on(check_kernels(&mut plan, &device));
        let encoder = Encoder::from_folder(&teacher, &device)?;
        teacher.forget_weights();
        let output = match &checkpoint {
            Some(_) => Output::open(&out),
            None => Output::create(&out, arguments.overwrite)?,
        };
        let heldout = Heldout::find(&plan, &corpus, &tokenizer, heldout::LINES)?;
        let fresh = Run::new(plan.clone(), encoder.clone())?;
        let before = student_maps(&fresh, &heldout.picture)?;
        let first = EvaluationRow {
            step: 0,
            by_pair: evaluate(&fresh, &heldout.batches)?,
        };
        let (run, position) = match &checkpoint {
            Some(checkpoint) => (
                Run::resume(plan, encoder, checkpoint)?,
                checkpoint.header.position,
            ),
            None => (fresh, DataPosition::default()),
        };
        output.clear(checkpoint.is_none())?;
        let metrics = open_metrics(&output, run.steps_taken())?;
        let evaluations = std::iter::once(first)
            .chain(read_evaluations(&output)?)
            .collect();
        let progress = Progress::new(run.plan(), run.steps_taken(), arguments.json);
        Ok(Self {
            run,
            teacher,
            inputs,
            corpus,
            files,
            tokenizer,
            output,
            progress,
            position,
            heldout,
            metrics,
            evaluations,
            before,
            device: device_name,
            self_test_failure,
        })
    }

    fn go(&mut self, stop: &AtomicBool) -> Result<ExitCode, CliError> {
        let start = Instant::now();
        self.announce();
        if !self.run.is_finished() && !self.train(stop, start)? {
            return self.pause();
        }
        // From here on nothing of the training can be lost, whatever happens to the files below.
        self.save()?;
        self.evaluate()?;
        self.finish(start.elapsed())?;
        Ok(ExitCode::SUCCESS)
    }

    /// Takes the steps that are left; false if it was stopped before the last.
    fn train(&mut self, stop: &AtomicBool, start: Instant) -> Result<bool, CliError> {
        let mut saved = self.run.steps_taken();
        let mut loader = self.loader()?;
        while let Some(next) = feed::next_step(self.run.plan(), &mut loader) {
            let taken = next
                .map_err(CliError::from)
                .and_then(|(batches, position)| {
                    self.step(&batches, start)?;
                    self.position = position;
                    Ok(())
                });
            if let Err(error) = taken {
                return Err(self.rescue(error, saved));
            }
            if self.run.is_finished() {
                return Ok(true);
            }
            if stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            if self
                .run
                .steps_taken()
                .is_multiple_of(self.run.plan().recipe.checkpoint_every)
            {
                self.save()?;
                saved = self.run.steps_taken();
                self.evaluate()?;
            }
        }
        Ok(true)
    }

    /// Saves what was learnt since the last checkpoint before an error of the corpus ends the run.
    fn rescue(&self, error: CliError, saved: u64) -> CliError {
        let step = self.run.steps_taken();
        let from_data = matches!(error, CliError::Corpus(_));
        if !from_data || step == saved || self.save().is_err() {
            return error;
        }
        CliError::Saved {
            error: Box::new(error),
            step,
            out: self.output.folder().display().to_string(),
        }
    }

    fn announce(&self) {
        let facts: Vec<String> = card::facts(self.run.plan())
            .iter()
            .map(|(name, value)| format!("  {name:<16} {value}"))
            .collect();
        let mut text = format!("{}\n  {:<16} {}", facts.join("\n"), "Device", self.device);
        if let Some(self_test_failure) = &self.self_test_failure {
            text += &format!("\n{}", device::self_test_failed(self_test_failure));
        }
        let recipe = &self.run.plan().recipe;
        self.progress.say(
            &text,
            "start",
            &json!({
                "recipe": recipe, "device": self.device, "step": self.run.steps_taken(),
                "self_test_failure": self.self_test_failure.as_ref().map(ToString::to_string),
            }),
        );
    }

    fn loader(&self) -> Result<Loader, CliError> {
        Ok(Loader::start(
            self.corpus.clone(),
            feed::tokenise(self.tokenizer.clone()),
            feed::settings(self.run.plan()),
            self.position,
        )?)
    }

    fn step(&mut self, batches: &[Batch], start: Instant) -> Result<(), CliError> {
        let event = pollster::block_on(self.run.step(batches)).map_err(|error| match &error {
            TrainError::NotFinite { lines, .. } => CliError::Lines {
                lines: self.name_lines(lines),
                error,
            },
            _ => error.into(),
        })?;
        self.record(&json!(event))?;
        match event {
            Event::Step(step) => self.progress.step(&step, start.elapsed()),
            Event::Skipped { step, lines } => {
                let names = self.name_lines(&lines);
                let text = format!("step {step} skipped: the loss was not a number, on {names}");
                self.progress
                    .say(&text, "skipped", &json!({ "step": step, "lines": names }));
            }
        }
        Ok(())
    }

    fn name_lines(&self, lines: &[(usize, u64)]) -> String {
        let names: Vec<String> = lines
            .iter()
            .map(|line| self.corpus.name_line(*line))
            .collect();
        names.join("; ")
    }

    fn record(&mut self, value: &serde_json::Value) -> Result<(), CliError> {
        let path = self.output.metrics_in_progress();
        let line = format!("{value}\n");
        self.metrics
            .write_all(line.as_bytes())
            .map_err(CliError::file("write", &path))
    }

    fn save(&self) -> Result<(), CliError> {
        let path = self.output.metrics_in_progress();
        self.metrics
            .sync_data()
            .map_err(CliError::file("write", &path))?;
        let bytes = pollster::block_on(self.run.checkpoint(&self.position, &self.inputs))?;
        self.output.write(CHECKPOINT, &bytes)
    }

    fn pause(&mut self) -> Result<ExitCode, CliError> {
        self.save()?;
        self.progress.finish();
        let (step, out) = (self.run.steps_taken(), self.output.folder().display());
        let text = format!(
            "stopped after step {step}, saved. Go on with: limbeck distill --out {out} --resume"
        );
        self.progress
            .say(&text, "stopped", &json!({ "step": step }));
        Ok(ExitCode::FAILURE)
    }

    fn evaluate(&mut self) -> Result<(), CliError> {
        let step = self.run.steps_taken();
        if self.evaluations.last().is_some_and(|row| row.step == step) {
            return Ok(());
        }
        let by_pair = evaluate(&self.run, &self.heldout.batches)?;
        let row = EvaluationRow { step, by_pair };
        let pairs = &self.run.plan().pairs;
        let parts: Vec<String> = pairs
            .iter()
            .zip(&row.by_pair)
            .map(|((pair, _), kl)| format!("{pair} {kl:.4}"))
            .collect();
        let by_pair: serde_json::Map<_, _> = pairs
            .iter()
            .zip(&row.by_pair)
            .map(|((pair, _), kl)| (pair.to_string(), json!(kl)))
            .collect();
        let text = format!(
            "step {}: KL on {}, in nats: {}",
            row.step,
            self.heldout.kind,
            parts.join("  ")
        );
        self.progress.say(
            &text,
            "evaluated",
            &json!({ "step": row.step, "by_pair": by_pair }),
        );
        self.record(&json!({ "event": "evaluated", "step": row.step, "by_pair": row.by_pair }))?;
        self.evaluations.push(row);
        Ok(())
    }

    fn finish(&mut self, elapsed: Duration) -> Result<(), CliError> {
        self.progress.finish();
        let by_pair =
            |row: Option<&EvaluationRow>| row.map_or_else(Vec::new, |r| r.by_pair.clone());
        let outcome = Outcome {
            before: by_pair(self.evaluations.first()),
            after: by_pair(self.evaluations.last()),
            heldout_note: self.heldout.note.clone(),
            device: self.device.clone(),
            elapsed,
            skipped: self.run.skipped(),
            lines: self.position.lines,
            truncated: self.position.truncated_lines,
            files: self.files.clone(),
        };
        let plan = self.run.plan();
        self.output
            .write_student(plan, self.run.student(), &self.teacher)?;
        self.output
            .write("README.md", card::model_card(plan, &outcome).as_bytes())?;
        let report = self.report(&outcome)?;
        self.output
            .write("report.html", report::render(&report).as_bytes())?;
        self.output
            .write("report.svg", report::picture(&report).as_bytes())?;
        // In this order: a checkpoint beside renamed metrics would be resumed without its curves.
        let checkpoint = self.output.checkpoint();
        std::fs::remove_file(&checkpoint).map_err(CliError::file("remove", &checkpoint))?;
        let metrics = self.output.metrics_in_progress();
        std::fs::rename(&metrics, self.output.folder().join("metrics.jsonl"))
            .map_err(CliError::file("rename", &metrics))?;
        let folder = self.output.folder().display();
        let table = outcome.table(plan);
        let facts: Vec<String> = outcome
            .facts()
            .iter()
            .map(|(name, value)| format!("  {name:<16} {value}"))
            .collect();
        let text = format!(
            "\n{table}{}\n\n{}\nstudent: {folder}\nreport:  {folder}/report.html",
            self.heldout.note,
            facts.join("\n")
        );
        let fields = json!({ "out": self.output.folder(), "seconds": elapsed.as_secs_f64(), "skipped": outcome.skipped });
        self.progress.say(&text, "done", &fields);
        Ok(())
    }

    fn report(&self, outcome: &Outcome) -> Result<Report, CliError> {
        let plan = self.run.plan();
        let pairs: Vec<String> = plan
            .pairs
            .iter()
            .map(|(pair, _)| pair.to_string())
            .collect();
        let picture = &self.heldout.picture;
        let relations = RelationMaps {
            tokens: picture.iter().map(|id| self.tokenizer.token(*id)).collect(),
            pairs: pairs.clone(),
            heads: plan.relation_heads,
            teacher: teacher_maps(&self.run, picture)?,
            before: self.before.clone(),
            after: student_maps(&self.run, picture)?,
        };
        Ok(Report {
            title: format!(
                "{} from {}",
                card::size(&plan.student),
                card::name(&plan.recipe.teacher)
            ),
            facts: card::facts(plan)
                .into_iter()
                .chain(outcome.facts())
                .collect(),
            steps: read_steps(&self.output)?,
            pairs,
            evaluations: self.evaluations.clone(),
            heldout_note: self.heldout.note.clone(),
            measured_on: self.heldout.kind.to_owned(),
            relations: Some(relations),
            notes: vec![UNTRAINED.to_owned()],
        })
    }
}

/// What the report draws of the teacher's layer.
fn teacher_maps(run: &Run, ids: &[u32]) -> Result<Vec<Vec<f32>>, CliError> {
    let layers = pollster::block_on(run.teacher_taps(ids))?;
    maps(run.plan(), layers.get(run.plan().teacher_layer - 1), ids)
}

/// What the report draws of the student's last layer.
fn student_maps(run: &Run, ids: &[u32]) -> Result<Vec<Vec<f32>>, CliError> {
    let layers = pollster::block_on(run.student_taps(ids))?;
    maps(run.plan(), layers.last(), ids)
}

/// The map of each pair of the plan, from a layer's (3, S, H).
fn maps(plan: &Plan, layer: Option<&Vec<f32>>, ids: &[u32]) -> Result<Vec<Vec<f32>>, CliError> {
    let layer = layer.map(Vec::as_slice).unwrap_or_default();
    let vectors: Vec<&[f32]> = layer.chunks((layer.len() / 3).max(1)).collect();
    let vector = |vector: Vector| vectors.get(vector as usize).copied().unwrap_or_default();
    let pairs = plan.pairs.iter().map(|(pair, _)| {
        let (row, column) = (vector(pair.row), vector(pair.column));
        Ok(map(row, column, ids.len(), plan.relation_heads)?)
    });
    pairs.collect()
}

/// A student in its teacher's place would be the end of the teacher.
fn refuse_to_write_over_the_teacher(recipe: &Recipe, out: &Path) -> Result<(), CliError> {
    let (Ok(teacher), Ok(out)) = (
        Path::new(&recipe.teacher).canonicalize(),
        out.canonicalize(),
    ) else {
        return Ok(());
    };
    match teacher == out {
        true => Err(CliError::Usage(format!(
            "the output folder {} is the teacher's: the student would replace it. Name another with --out",
            recipe.out
        ))),
        false => Ok(()),
    }
}

fn same_inputs(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Result<(), CliError> {
    match changed_input(before, now) {
        Some(changed) => Err(CliError::Usage(changed)),
        None => Ok(()),
    }
}

fn evaluate(run: &Run, heldout: &[Batch]) -> Result<Vec<f32>, CliError> {
    let by_pair = pollster::block_on(run.evaluate(heldout))?;
    Ok(by_pair.into_iter().map(|kl| kl as f32).collect())
}

/// The file of the numbers; a resumed run keeps those up to its checkpoint.
fn open_metrics(output: &Output, steps: u64) -> Result<File, CliError> {
    let path = output.metrics_in_progress();
    let mut kept = String::new();
    if steps > 0
        && let Ok(file) = File::open(&path)
    {
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let step = serde_json::from_str::<serde_json::Value>(&line)
                .ok()
                .and_then(|v| v["step"].as_u64());
            if step.is_some_and(|step| step <= steps) {
                kept.push_str(&line);
                kept.push('\n');
            }
        }
    }
    output.write(METRICS_IN_PROGRESS, kept.as_bytes())?;
    File::options()
        .append(true)
        .open(&path)
        .map_err(CliError::file("open", &path))
}

/// The lines of the numbers so far that are of one kind.
fn read_metrics<T: serde::de::DeserializeOwned>(output: &Output) -> Result<Vec<T>, CliError> {
    let path = output.metrics_in_progress();
    let file = File::open(&path).map_err(CliError::file("read", &path))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    Ok(lines
        .filter_map(|line| serde_json::from_str(&line).ok())
        .collect())
}

/// The steps of the whole run.
fn read_steps(output: &Output) -> Result<Vec<StepRow>, CliError> {
    let steps: Vec<StepEvent> = read_metrics(output)?;
    let row = |event: StepEvent| StepRow {
        step: event.step,
        loss: event.loss as f32,
        by_pair: event.by_pair.iter().map(|kl| *kl as f32).collect(),
        learning_rate: event.learning_rate,
        gradient_norm: event.gradient_norm as f32,
    };
    Ok(steps.into_iter().map(row).collect())
}

/// The evaluations of a resumed run from before it was stopped.
fn read_evaluations(output: &Output) -> Result<Vec<EvaluationRow>, CliError> {
    #[derive(serde::Deserialize)]
    struct Evaluated {
        event: String,
        step: u64,
        by_pair: Vec<f32>,
    }
    let rows: Vec<Evaluated> = read_metrics(output)?;
    let evaluated = rows.into_iter().filter(|row| row.event == "evaluated");
    Ok(evaluated
        .map(|row| EvaluationRow {
            step: row.step,
            by_pair: row.by_pair,
        })
        .collect())
}
