//! One run with its data: from texts and a teacher to steps, evaluations, taps and files.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use burn::tensor::Device;
use limbeck_corpus::{Batches, Corpus};
use limbeck_model::{Encoder, Folder, Tokenizer};
use limbeck_protocol::{Control, Evaluation, RunInfo, StepRecord};
use limbeck_recipe::batching::{DataPosition, Encoded};
use limbeck_recipe::{Mistake, Plan, Recipe, parameter_count};
use limbeck_train::{Checkpoint, Event, Run, TrainError, check_kernels};

use crate::card::{Outcome, model_card};
use crate::heldout::Heldout;
use crate::saved::Text;
use crate::sentence::{self, Sentence, Share, Tokens, Told};
use crate::student::student_files;
use crate::{Opened, changed_input, feed, inputs};

/// Held-out lines that are measured on: few, because a browser's CPU reads some hundred tokens in the time of a step.
const LINES: usize = 64;

/// What is wrong, and where it is fixed.
pub type Trouble = (Control, String);

/// All that is wrong.
pub struct Troubles(pub Vec<Trouble>);

impl From<Trouble> for Troubles {
    fn from(trouble: Trouble) -> Self {
        Self(vec![trouble])
    }
}

/// Text to token ids, for a corpus.
type Tokenise = Box<dyn Fn(&[&str]) -> Result<Vec<Encoded>, String>>;

/// The teacher and texts of a run.
pub struct Data {
    /// The teacher's files; shared, because they may be most of a browser's memory.
    pub teacher: Rc<Folder>,
    /// The texts.
    pub texts: Vec<Text>,
}

/// A run and everything that belongs to it.
pub struct Session {
    run: Run,
    batches: Batches<Tokenise>,
    position: DataPosition,
    corpus: Corpus,
    inputs: BTreeMap<String, String>,
    folder: Folder,
    /// Cuts nothing off: a sentence may be longer than the lines of a batch.
    tokenizer: Tokenizer,
    heldout: Heldout,
    sentence: Sentence,
    share: Share,
    device: Device,
    /// What a page is told of it.
    pub info: RunInfo,
    /// Steps so far.
    pub steps: Vec<StepRecord>,
    /// Evaluations so far.
    pub evaluations: Vec<Evaluation>,
}

/// What one step gave.
pub enum Taken {
    /// Numbers.
    Step(StepRecord),
    /// The loss of this step was not a number, on these lines.
    Skipped(u64, String),
}

impl Session {
    /// Reads teacher and texts, checks the recipe and the device's kernels, and builds the student: a new one, or that of a
    /// checkpoint.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub async fn open(
        recipe: &Recipe,
        data: &Data,
        opened: Opened,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, Troubles> {
        let device = opened.device;
        let folder = &data.teacher;
        let config = folder.config().map_err(of_model)?;
        let mut plan = Plan::new(recipe, &config).map_err(|e| of_plan(e.0))?;
        let corpus = Corpus::in_memory(data.texts.clone()).map_err(of_texts)?;
        let tokenizer = Tokenizer::from_folder(folder).map_err(of_model)?;
        let cutting = tokenizer.clone().truncating(recipe.max_length);
        let cutting = cutting.map_err(of_model)?;
        let inputs = inputs(folder, &corpus.describe().map_err(of_texts)?);
        if let Some(checkpoint) = checkpoint
            && let Some(changed) = changed_input(&checkpoint.header.inputs, &inputs)
        {
            return Err((Control::Checkpoint, changed).into());
        }
        let encoder = Encoder::from_folder(folder, &device).map_err(of_model)?;
        let heldout = Heldout::find(&plan, &corpus, &cutting, LINES).map_err(of_texts)?;
        let self_test_failure = check_kernels(&mut plan, &device).await;
        if opened.on_gpu {
            rehearse(&plan, &encoder, &heldout).await?;
        }
        let run = match checkpoint {
            Some(checkpoint) => Run::resume(plan, encoder, checkpoint),
            None => Run::new(plan, encoder),
        };
        let run = run.map_err(of_training)?;
        let position = checkpoint.map_or(DataPosition::default(), |c| c.header.position);
        let batches = batches(run.plan(), &corpus, cutting, position);
        let sentence = Sentence::read(&run, &tokenizer, picture(&heldout)).await?;
        let info = describe(
            &run,
            opened.name,
            opened.on_gpu,
            self_test_failure.map(|e| e.to_string()),
        );
        Ok(Self {
            run,
            batches,
            position,
            corpus,
            inputs,
            folder: folder.without_weights(),
            tokenizer,
            heldout,
            sentence,
            share: Share::default(),
            device,
            info,
            steps: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    /// Steps taken, skipped ones counted.
    pub fn steps_taken(&self) -> u64 {
        self.run.steps_taken()
    }

    /// Whether every step of the recipe is taken.
    pub fn is_finished(&self) -> bool {
        self.run.is_finished()
    }

    /// Whether a checkpoint and an evaluation are due.
    pub fn is_milestone(&self) -> bool {
        let every = self.run.plan().recipe.checkpoint_every;
        self.steps_taken().is_multiple_of(every)
    }

    /// Takes one step. `seconds` is a clock.
    ///
    /// # Errors
    /// A text that cannot be read on, or a third loss in a row that is not a number.
    pub async fn step(&mut self, seconds: impl Fn() -> f64) -> Result<Taken, Trouble> {
        let start = seconds();
        let ended = || (Control::Texts, "the texts gave no further batch".to_owned());
        let next = feed::next_step(self.run.plan(), &mut self.batches).ok_or_else(ended)?;
        let (batches, position) = next.map_err(of_texts)?;
        let event = self.run.step(&batches).await;
        self.position = position;
        let seconds = seconds() - start;
        self.share.stepped(seconds);
        match event.map_err(|e| self.name(e))? {
            Event::Step(step) => {
                let record = StepRecord {
                    step: step.step,
                    loss: step.loss,
                    by_pair: step.by_pair,
                    learning_rate: step.learning_rate,
                    gradient_norm: step.gradient_norm,
                    tokens: step.tokens as u64,
                    seconds,
                    memory: memory(&self.device),
                };
                self.steps.push(record.clone());
                Ok(Taken::Step(record))
            }
            Event::Skipped { step, lines } => Ok(Taken::Skipped(step, self.name_lines(&lines))),
        }
    }

    fn name(&self, error: TrainError) -> Trouble {
        match &error {
            TrainError::NotFinite { lines, .. } => {
                let lines = self.name_lines(lines);
                (Control::Run, format!("{error}: {lines}"))
            }
            _ => (Control::Run, error.to_string()),
        }
    }

    fn name_lines(&self, lines: &[(usize, u64)]) -> String {
        let names: Vec<String> = lines.iter().map(|l| self.corpus.name_line(*l)).collect();
        names.join("; ")
    }

    /// Batches of held-out lines.
    pub fn heldout_batches(&self) -> usize {
        self.heldout.batches.len()
    }

    /// KL by pair on one batch of held-out lines, weighted by its number of lines, and that number. So that a page hears of
    /// progress, and messages get in between.
    ///
    /// # Errors
    /// The device fails.
    pub async fn evaluate_batch(&self, index: usize) -> Result<(Vec<f64>, usize), Trouble> {
        let batch = &self.heldout.batches[index];
        let by_pair = self.run.evaluate(std::slice::from_ref(batch)).await;
        let by_pair = by_pair.map_err(of_device)?;
        let lines = batch.lengths.len();
        Ok((by_pair.iter().map(|kl| kl * lines as f64).collect(), lines))
    }

    /// Takes in what the batches gave: sums over `lines` lines.
    pub fn evaluated(&mut self, sums: Vec<f64>, lines: usize) -> Evaluation {
        let evaluation = Evaluation {
            step: self.steps_taken(),
            by_pair: sums.iter().map(|sum| sum / lines.max(1) as f64).collect(),
            note: self.heldout.note.clone(),
        };
        self.evaluations.retain(|e| e.step != evaluation.step);
        self.evaluations.push(evaluation.clone());
        evaluation
    }

    /// Chooses the sentence that is drawn; an empty one gives back the held-out sentence.
    ///
    /// # Errors
    /// It has no token but the special ones, or the device fails; then the sentence stays as it was.
    pub async fn choose(&mut self, text: &str) -> Result<(), Trouble> {
        let plan = self.run.plan();
        let tokens = match text.trim().is_empty() {
            true => picture(&self.heldout),
            false => sentence::cut(&self.tokenizer, text, plan)?,
        };
        self.sentence = Sentence::read(&self.run, &self.tokenizer, tokens).await?;
        Ok(())
    }

    /// What a page is told of the chosen sentence, and of what the student made of it when it was last looked at.
    pub fn sentence(&self) -> (Told, Option<Told>) {
        self.sentence.told()
    }

    /// Whether the student may be looked at again, for what that costs beside the steps.
    pub fn may_look(&self) -> bool {
        self.share.allows_a_look()
    }

    /// Has the student read the chosen sentence; none if it has done so since the last step. `seconds` is a clock.
    ///
    /// # Errors
    /// The device fails.
    pub async fn look(&mut self, seconds: impl Fn() -> f64) -> Result<Option<Told>, Trouble> {
        if self.sentence.looked_at() == Some(self.steps_taken()) {
            return Ok(None);
        }
        let start = seconds();
        let is_first = self.sentence.looked_at().is_none();
        let told = self.sentence.look(&self.run).await?;
        // A GPU may have to compile for a sentence of another length.
        if !is_first {
            self.share.looked(seconds() - start);
        }
        Ok(Some(told))
    }

    /// The bytes of a checkpoint.
    ///
    /// # Errors
    /// The device fails.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, Trouble> {
        let bytes = self.run.checkpoint(&self.position, &self.inputs).await;
        bytes.map_err(of_device)
    }

    /// The student's folder: paths and contents.
    ///
    /// # Errors
    /// The device fails.
    pub async fn student(&self) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let plan = self.run.plan();
        let files = student_files(plan, self.run.student(), &self.folder).await;
        let mut files = files.map_err(of_device)?;
        let measured = |evaluation: Option<&Evaluation>| -> Vec<f32> {
            let by_pair = evaluation.iter().flat_map(|e| &e.by_pair);
            by_pair.map(|kl| *kl as f32).collect()
        };
        let outcome = Outcome {
            before: measured(self.evaluations.first()),
            after: measured(self.evaluations.last()),
            heldout_note: self.heldout.note.clone(),
            device: self.info.device.clone(),
            elapsed: Duration::from_secs_f64(self.steps.iter().map(|s| s.seconds).sum()),
            skipped: self.run.skipped(),
            lines: self.position.lines,
            truncated: self.position.truncated_lines,
            files: self.corpus.describe().unwrap_or_default(),
        };
        files.push(("README.md".into(), model_card(plan, &outcome).into_bytes()));
        Ok(files)
    }
}

/// One step of a throw-away run, and one look at it: they compile every shader, so that the time of the first real step is
/// that of a step.
async fn rehearse(plan: &Plan, encoder: &Encoder, heldout: &Heldout) -> Result<(), Troubles> {
    let mut run = Run::new(plan.clone(), encoder.clone()).map_err(of_training)?;
    if !heldout.batches.is_empty() {
        let batches = &heldout.batches[..1];
        run.step(batches).await.map_err(of_training)?;
    }
    let ids = &heldout.picture;
    run.teacher_taps(ids).await.map_err(of_training)?;
    run.student_taps(ids).await.map_err(of_training)?;
    Ok(())
}

/// The held-out sentence that is drawn until another is chosen.
fn picture(heldout: &Heldout) -> Tokens {
    Tokens {
        ids: heldout.picture.clone(),
        left_out: heldout.picture_left_out,
    }
}

fn batches(
    plan: &Plan,
    corpus: &Corpus,
    tokenizer: Tokenizer,
    from: DataPosition,
) -> Batches<Tokenise> {
    let tokenise: Tokenise = Box::new(feed::tokenise(tokenizer));
    Batches::new(corpus.clone(), tokenise, feed::settings(plan), from)
}

fn describe(run: &Run, device: String, on_gpu: bool, self_test_failure: Option<String>) -> RunInfo {
    let plan = run.plan();
    RunInfo {
        recipe: plan.recipe.clone(),
        pairs: plan
            .pairs
            .iter()
            .map(|(pair, _)| pair.to_string())
            .collect(),
        relation_heads: plan.relation_heads,
        teacher_layer: plan.teacher_layer,
        device,
        on_gpu,
        self_test_failure,
        step: run.steps_taken(),
        parameters: parameter_count(&plan.student) as u64,
    }
}

/// Bytes that the device has handed out. The CPU's backend does not say; in a browser the memory of the whole worker is
/// known instead.
fn memory(device: &Device) -> u64 {
    match device.memory_pool_usage() {
        Some(usage) => usage.bytes_reserved,
        None => linear_memory(),
    }
}

#[cfg(target_arch = "wasm32")]
fn linear_memory() -> u64 {
    const PAGE: u64 = 65_536;
    core::arch::wasm32::memory_size(0) as u64 * PAGE
}

#[cfg(not(target_arch = "wasm32"))]
fn linear_memory() -> u64 {
    0
}

fn of_model(error: impl std::fmt::Display) -> Trouble {
    (Control::Teacher, error.to_string())
}

fn of_texts(error: impl std::fmt::Display) -> Trouble {
    (Control::Texts, error.to_string())
}

pub(crate) fn of_device(error: impl std::fmt::Display) -> Trouble {
    (Control::Device, error.to_string())
}

fn of_plan(mistakes: Vec<Mistake>) -> Troubles {
    let each = mistakes.into_iter();
    let each = each.map(|m| (Control::Field(m.field.to_owned()), m.message));
    Troubles(each.collect())
}

fn of_training(error: TrainError) -> Troubles {
    let control = match error {
        TrainError::Plan(error) => return of_plan(error.0),
        TrainError::Checkpoint(_) => Control::Checkpoint,
        TrainError::NotFinite { .. } => Control::Run,
        _ => Control::Device,
    };
    (control, error.to_string()).into()
}
