//! One run with its data, and its one driver: from a teacher and texts to steps, evaluations, checkpoints and files.
//!
//! Every front (the command line, `limbeck serve`, a browser's worker) opens a [`Session`], calls [`Session::begin`] and
//! then [`Session::advance`] until it is finished. What is done in which order, when a run is saved and measured, and
//! what becomes of it when its texts fail, is decided here alone.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use burn::tensor::Device;
use limbeck_corpus::{Corpus, FileSummary};
use limbeck_model::{Encoder, Folder, ModelError, Tokenizer};
use limbeck_protocol::{Control, Found, RunInfo, Stage};
use limbeck_recipe::batching::DataPosition;
use limbeck_recipe::{
    Evaluation, FileEvaluation, Part, Plan, PlanError, Recipe, SentenceHead, Step, beyond_buffer,
    beyond_memory, parameter_count,
};
use limbeck_train::{Checkpoint, Event, Run, TrainError, check_kernels};

use crate::Opened;
use crate::card::{Outcome, model_card, taught_by};
use crate::feed;
use crate::front::{BatchSource, Feed, Front, News};
use crate::heldout::{Heldout, reading, weighted};
use crate::inputs::{Inputs, examine, of_models};
use crate::look::Look;
use crate::search::Search;
use crate::sentence::{self, EventParts, Share, Tokens};
use crate::similarity::{self, Compared};
use crate::start::{self, new_run};
use crate::student::{student_files, student_head, vectors_in_words};
use crate::trouble::{RunError, Trouble, Troubles, of_device};
use crate::vocabulary;

/// What a session is opened with.
pub struct Opening {
    /// What to do.
    pub recipe: Recipe,
    /// The teacher's files; shared, because they may be most of a browser's memory.
    pub teacher: Rc<Folder>,
    /// The model that the student starts from, where the recipe names a folder; none where a front reads no such folders.
    pub start: Option<Folder>,
    /// The texts.
    pub corpus: Corpus,
    /// Where to go on; none for a new run.
    pub checkpoint: Option<Checkpoint>,
    /// Steps up to the checkpoint, as far as they are known.
    pub steps: Vec<Step>,
    /// Evaluations up to the checkpoint, as far as they are known.
    pub evaluations: Vec<Evaluation>,
}

/// A run and everything that belongs to it.
pub struct Session {
    run: Run,
    /// To build a fresh student beside; its tensors are shared with the run's.
    teacher: Encoder,
    /// The same, of a student that starts from the model in a folder.
    start: Option<Encoder>,
    batches: BatchSource,
    position: DataPosition,
    corpus: Corpus,
    files: Vec<FileSummary>,
    inputs: Inputs,
    folder: Folder,
    /// How the student makes one vector of a text, and the same in words.
    head: SentenceHead,
    vectors: String,
    /// Cuts nothing off: a sentence may be longer than the lines of a batch.
    tokenizer: Tokenizer,
    heldout: Heldout,
    look: Look,
    /// None until a reader searches.
    search: Option<Search>,
    /// See [`Opened::heldout_lines`].
    most_lines: usize,
    share: Share,
    device: Device,
    info: RunInfo,
    steps: Vec<Step>,
    evaluations: Vec<Evaluation>,
    /// The step of the last checkpoint that outlives this program.
    saved: Option<u64>,
}

impl Session {
    /// Reads teacher and texts, checks the recipe and the device's kernels, and builds the student: a new one, or that of
    /// a checkpoint. Whatever is cheap to check is checked first, and nothing is written.
    ///
    /// # Errors
    /// Everything that is wrong with the recipe, or the first other thing that is.
    pub async fn open(opening: Opening, front: &impl Front) -> Result<Self, RunError> {
        let Opening {
            recipe,
            teacher: source,
            start,
            corpus,
            checkpoint,
            steps,
            mut evaluations,
        } = opening;
        let config = start.as_ref().map(Folder::config).transpose()?;
        let plan = Plan::with_start(&recipe, &source.config()?, config.as_ref())?;
        let head = source.sentence_head()?;
        let of_student = student_head(&plan, &head, start.as_ref())?;
        let vectors = vectors_in_words(&plan, &head, &of_student);
        let plan = plan.pooled(&head.pooling);
        let tokenizer = reading(&recipe, source.tokenizer()?);
        source.require_rows(&tokenizer)?;
        if let Some(start) = &start {
            start::require_same_tokens(start, &tokenizer)?;
        }
        tokenizer.clone().truncating(recipe.max_length)?;
        let before = checkpoint.as_ref().map(|c| &c.header.inputs);
        let models = of_models(&source, start.as_ref());
        let (corpus, mut inputs) = examine(taught_by(&plan), before, models, corpus)?;
        let corpus = weighted(corpus, &recipe)?;
        let files = corpus.describe()?;
        let opened = front.open(recipe.device).await.map_err(RunError::Device)?;
        let free = front.free_memory();
        require_room(&plan, &opened, free)?;
        let whole = (plan, source, tokenizer);
        let to = (&mut inputs, front);
        let (mut plan, source, tokenizer) = vocabulary::of_run(whole, &corpus, before, to)?;
        let truncating = tokenizer.clone().truncating(recipe.max_length)?;
        require_room(&plan, &opened, free)?;
        plan.mixed = recipe.compute.on(opened.on_gpu, opened.cooperative);
        let self_test_failure = check_kernels(&mut plan, &opened.device).await;
        if self_test_failure.is_some() {
            // What is computed instead takes more.
            require_room(&plan, &opened, free)?;
        }
        let teacher = Encoder::from_folder(&source, &opened.device)?;
        let weights = |start: &Folder| start::weights(&plan, start, &opened.device);
        let first = start.as_ref().map(weights).transpose()?;
        let folder = source.without_weights();
        drop((source, start));
        let heldout = Heldout::find(&plan, &corpus, &truncating, opened.heldout_lines)?;
        if opened.on_gpu {
            rehearse(&plan, &teacher, first.as_ref(), &heldout).await?;
        }
        let (run, position) = match &checkpoint {
            Some(checkpoint) => (
                Run::resume(plan, teacher.clone(), checkpoint)?,
                checkpoint.header.position.clone(),
            ),
            None => (
                new_run(plan, &teacher, first.as_ref()).await?,
                DataPosition::default(),
            ),
        };
        let batches = front.batches(Feed {
            corpus: corpus.clone(),
            tokenise: Box::new(feed::tokenise(truncating)),
            settings: feed::settings(run.plan(), opened.on_gpu),
            from: position.clone(),
        })?;
        let beside = (heldout.sentences.clone(), Vec::new());
        let tokens = picture(&heldout);
        let look = Look::read(&run, &tokenizer, tokens, beside, head.pooling).await?;
        if opened.on_gpu {
            // It compiles here what every sample needs.
            look.similarity.of_student(&run).await?;
        }
        let info = describe(&run, opened.name, opened.on_gpu, self_test_failure);
        evaluations.sort_by_key(|evaluation| evaluation.step);
        Ok(Self {
            saved: checkpoint.map(|checkpoint| checkpoint.header.step),
            run,
            teacher,
            start: first,
            batches,
            position,
            corpus,
            files,
            inputs,
            folder,
            head: of_student,
            vectors,
            tokenizer,
            heldout,
            look,
            search: None,
            most_lines: opened.heldout_lines,
            share: Share::default(),
            device: opened.device,
            info,
            steps,
            evaluations,
        })
    }

    /// The run as a page sees it.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// The run itself.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What it is measured on.
    pub fn heldout(&self) -> &Heldout {
        &self.heldout
    }

    /// How the student makes one vector of a text, in words.
    pub fn vectors(&self) -> &str {
        &self.vectors
    }

    /// The tokenizer of teacher and student, which cuts nothing off.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Steps so far, oldest first; skipped ones are not among them.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Evaluations so far, oldest first.
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    /// The step of the last checkpoint that outlives this program, if there is one.
    pub fn saved_at(&self) -> Option<u64> {
        self.saved
    }

    /// Steps taken, skipped ones counted.
    pub fn steps_taken(&self) -> u64 {
        self.run.steps_taken()
    }

    /// Whether every step of the recipe is taken.
    pub fn is_finished(&self) -> bool {
        self.run.is_finished()
    }

    /// Whether a run is saved and measured where it is now.
    pub fn is_milestone(&self) -> bool {
        let every = self.run.plan().recipe.checkpoint_every;
        let step = self.steps_taken();
        step > 0 && (self.is_finished() || step.is_multiple_of(every))
    }

    /// Measures what should be and is not measured: the fresh student, and one whose checkpoint was written but whose
    /// program ended before it was measured. To be called once, before the first step.
    ///
    /// # Errors
    /// The device fails, or the front cannot keep the numbers.
    pub async fn begin(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        let before = self.evaluations.len();
        if !self.is_measured_after(0) {
            let evaluation = match self.steps_taken() {
                0 => measure(&self.run, &self.heldout, front).await?,
                _ => measure(&self.fresh().await?, &self.heldout, front).await?,
            };
            self.take_in(0, evaluation, front)?;
        }
        if self.is_milestone() && !self.is_measured_after(self.steps_taken()) {
            self.evaluate(front).await?;
        }
        if self.evaluations.len() > before {
            self.save_numbers(front).await?;
        }
        Ok(())
    }

    /// Takes one step and, where one is due, saves the run and then measures it. If the texts fail, what was learnt since
    /// the last checkpoint is saved first.
    ///
    /// # Errors
    /// Texts that cannot be read on, a third loss in a row that is not finite, a student that broke, or a front that cannot keep
    /// what it must.
    pub async fn advance(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        if let Err(error) = self.step(front).await {
            let error = self.rescue(error, front).await;
            return Err(self.kept(error));
        }
        if self.is_milestone() {
            // A student that is broken is not saved over one that is whole.
            let evaluation = measure(&self.run, &self.heldout, front).await?;
            self.require_sound(&evaluation).await?;
            self.save(front).await?;
            self.take_in(self.evaluations.len(), evaluation, front)?;
            self.save_numbers(front).await?;
        }
        Ok(())
    }

    /// Refuses a student whose relations are not numbers any more. Those of a teacher may never have been, on some lines.
    async fn require_sound(&self, evaluation: &Evaluation) -> Result<(), RunError> {
        let is_finite = |e: &Evaluation| e.parts.values().all(|value| value.is_finite());
        if is_finite(evaluation) {
            return Ok(());
        }
        self.run
            .require_finite()
            .await
            .map_err(|e| self.kept(e.into()))?;
        match self.evaluations.first().is_some_and(is_finite) {
            true => Err(self.kept(RunError::Unsound {
                step: evaluation.step,
                learning_rate: self.run.plan().recipe.learning_rate,
            })),
            false => Ok(()),
        }
    }

    /// An error of a student that broke, with what is left of the run.
    fn kept(&self, error: RunError) -> RunError {
        match self.saved {
            Some(step) if error.is_of_student() => RunError::Kept {
                error: Box::new(error),
                step,
            },
            _ => error,
        }
    }

    async fn step(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        let start = front.seconds();
        let taken = feed::next_step(self.run.plan(), &mut self.batches);
        let (batches, next) = taken.ok_or(RunError::NoMoreBatches)??;
        let before = self.steps_taken();
        let event = self.run.step(&batches).await;
        let seconds = front.seconds() - start;
        self.share.stepped(seconds);
        // Also of a step that ends the run: its lines are not read again.
        if self.steps_taken() > before {
            self.position = next;
        }
        let news = match event.map_err(|e| self.with_lines(e))? {
            Event::Step(step) => {
                let memory = memory(&self.device);
                let step = Step {
                    seconds,
                    memory,
                    ..step
                };
                self.steps.push(step.clone());
                News::Step(step)
            }
            Event::Skipped { step, lines } => {
                let names = self.name_lines(&lines);
                News::Skipped { step, lines, names }
            }
        };
        front.report(news).map_err(RunError::Storage)
    }

    /// Saves what was learnt since the last checkpoint before an error of the texts ends the run.
    async fn rescue(&mut self, error: RunError, front: &mut impl Front) -> RunError {
        let step = self.steps_taken();
        let is_saved = step == self.saved.unwrap_or_default();
        if !error.is_of_texts() || is_saved {
            return error;
        }
        // The error reported is why the run ended; a storage that fails too adds nothing that would help.
        match self.save(front).await {
            Ok(()) if self.saved == Some(step) => RunError::Saved {
                error: Box::new(error),
                step,
            },
            _ => error,
        }
    }

    /// Has the front persist the run as it is now.
    ///
    /// # Errors
    /// The device fails, or the front cannot keep what it must.
    pub async fn save(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        let saving = News::Stage(Stage::Saving, 0, 0);
        front.report(saving).map_err(RunError::Storage)?;
        let checkpoint = self.checkpoint().await;
        let checkpoint = checkpoint.map_err(|e| self.kept(e.into()))?;
        let outlives = front.save(self, checkpoint).await;
        if outlives.map_err(RunError::Storage)? {
            self.saved = Some(self.steps_taken());
        }
        Ok(())
    }

    /// Numbers go into the storage beside the checkpoint that they belong to, or not at all.
    async fn save_numbers(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        if self.saved != Some(self.steps_taken()) {
            return Ok(());
        }
        let saved = front.save_numbers(self).await;
        saved.map_err(RunError::Storage)
    }

    fn is_measured_after(&self, step: u64) -> bool {
        self.evaluations.iter().any(|e| e.step == step)
    }

    async fn evaluate(&mut self, front: &mut impl Front) -> Result<(), RunError> {
        let evaluation = measure(&self.run, &self.heldout, front).await?;
        self.take_in(self.evaluations.len(), evaluation, front)
    }

    fn take_in(
        &mut self,
        at: usize,
        evaluation: Evaluation,
        front: &mut impl Front,
    ) -> Result<(), RunError> {
        self.evaluations.insert(at, evaluation.clone());
        let reported = front.report(News::Evaluated(evaluation));
        reported.map_err(RunError::Storage)
    }

    /// A run of this plan that has not begun.
    async fn fresh(&self) -> Result<Run, TrainError> {
        let plan = self.run.plan().clone();
        new_run(plan, &self.teacher, self.start.as_ref()).await
    }

    /// What the fresh student makes of the held-out sentence, as [`Run::student_taps`]; and how it and the student as it is now
    /// compare sentences.
    ///
    /// # Errors
    /// The device fails.
    pub async fn looked_back(&self) -> Result<(Vec<Vec<f32>>, Compared), TrainError> {
        let fresh = match self.steps_taken() {
            0 => None,
            _ => Some(self.fresh().await?),
        };
        let fresh = fresh.as_ref().unwrap_or(&self.run);
        let taps = fresh.student_taps(&self.heldout.picture).await?;
        Ok((taps, self.look.similarity.compared(fresh, &self.run).await?))
    }

    fn with_lines(&self, error: TrainError) -> RunError {
        match &error {
            TrainError::NotFinite { lines, .. } => {
                let lines = self.name_lines(lines);
                RunError::NotFinite { error, lines }
            }
            _ => error.into(),
        }
    }

    fn name_lines(&self, lines: &[(usize, u64)]) -> String {
        let names: Vec<String> = lines.iter().map(|l| self.corpus.name_line(*l)).collect();
        names.join("; ")
    }

    /// Chooses the sentence that is drawn; an empty one gives back the held-out sentence.
    ///
    /// # Errors
    /// It has no token but the special ones, or the device fails; then the sentence stays as it was.
    pub async fn choose(&mut self, text: &str) -> Result<(), Trouble> {
        let plan = self.run.plan();
        let tokens = match text.trim().is_empty() {
            true => picture(&self.heldout),
            false => sentence::cut(&self.tokenizer, text, sentence::most_tokens(plan))
                .map_err(|message| (Control::Sentence, message))?,
        };
        let (run, tokenizer) = (&self.run, &self.tokenizer);
        let chosen = self.look.choose(run, tokenizer, (tokens, text)).await;
        chosen.map_err(of_device)
    }

    /// A text in tokens, for [`Session::search`].
    ///
    /// # Errors
    /// It has no token but the special ones, or is too long: why, in words.
    pub fn tokens(&self, text: &str) -> Result<Tokens, String> {
        sentence::cut(&self.tokenizer, text, similarity::most_tokens(&self.run))
    }

    /// Searches held-out lines for a text, with teacher and student: gives what they find, or none where they have read only some
    /// of the lines. Then it is to be called again, so that commands get in between.
    ///
    /// # Errors
    /// The texts cannot be read, or the device fails.
    pub async fn search(
        &mut self,
        (text, tokens): (&str, &Tokens),
        front: &mut impl Front,
    ) -> Result<Option<Found>, Troubles> {
        let (run, tokenizer) = (&self.run, &self.tokenizer);
        if self.search.is_none() {
            let stage = News::Stage(Stage::Searching, 0, 0);
            front.report(stage).map_err(RunError::Storage)?;
            let pooling = self.look.similarity.pooling().clone();
            let search = Search::open(run, &self.corpus, tokenizer, pooling, self.most_lines)?;
            self.search = Some(search);
        }
        let Some(search) = &mut self.search else {
            return Ok(None);
        };
        if search.read(run, front).await? {
            return Ok(None);
        }
        Ok(Some(search.find(run, text, tokens).await?))
    }

    /// The events about the chosen sentence: its tokens with the teacher's projections; and when the student was last sampled,
    /// the sentences side by side and the student's projections.
    pub fn sentence(&self) -> Vec<EventParts> {
        self.look.events()
    }

    /// Whether another sample of the student stays within its share of the time.
    pub fn may_sample(&self) -> bool {
        self.share.allows_a_sample()
    }

    /// Has the student read the chosen sentence, and those side by side; nothing if it has done so since the last step.
    ///
    /// # Errors
    /// The device fails.
    pub async fn sample(&mut self, front: &impl Front) -> Result<Vec<EventParts>, TrainError> {
        if self.look.sampled_at() == Some(self.steps_taken()) {
            return Ok(Vec::new());
        }
        let start = front.seconds();
        let is_first = self.look.sampled_at().is_none();
        let events = self.look.sample(&self.run).await?;
        // A GPU may have to compile for a sentence of another length.
        if !is_first {
            self.share.sampled(front.seconds() - start);
        }
        Ok(events)
    }

    /// The bytes of a checkpoint.
    ///
    /// # Errors
    /// The device fails.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, TrainError> {
        self.run.checkpoint(&self.position, &self.inputs).await
    }

    /// What the run came to, for the model card and the report.
    pub fn outcome(&self) -> Outcome {
        let or_none = |evaluation: Option<&Evaluation>| evaluation.cloned().unwrap_or_default();
        Outcome {
            before: or_none(self.evaluations.first()),
            after: or_none(self.evaluations.last()),
            heldout_note: self.heldout.note.clone(),
            vectors: self.vectors.clone(),
            device: self.info.device.clone(),
            elapsed: Duration::from_secs_f64(self.steps.iter().map(|s| s.seconds).sum()),
            skipped: self.run.skipped(),
            earlier_steps: self.run.earlier_steps().to_vec(),
            lines: self.position.lines,
            truncated: self.position.truncated_lines,
            tokens: self.steps.iter().map(|step| step.tokens).sum(),
            padding: self.steps.iter().map(|step| step.padding).sum(),
            files: self.files.clone(),
        }
    }

    /// The student's folder: paths and contents, in the order in which they are to be written.
    ///
    /// # Errors
    /// The device fails, or the teacher's tokenizer cannot be written.
    pub async fn student(&self) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let plan = self.run.plan();
        let mut files = student_files(plan, self.run.student(), &self.folder, &self.head).await?;
        let card = model_card(plan, &self.outcome());
        files.push(("README.md".into(), card.into_bytes()));
        Ok(files)
    }
}

/// The student on all held-out lines, batch by batch, so that a page hears of progress and messages get in between.
async fn measure(
    run: &Run,
    heldout: &Heldout,
    front: &mut impl Front,
) -> Result<Evaluation, RunError> {
    let unmeasured = |file: &String| FileEvaluation {
        file: file.clone(),
        ..FileEvaluation::default()
    };
    let mut mean = Evaluation {
        step: run.steps_taken(),
        files: heldout.files.iter().map(unmeasured).collect(),
        note: heldout.note.clone(),
        ..Evaluation::default()
    };
    let mut lines = 0.0;
    for (index, batch) in heldout.batches.iter().enumerate() {
        let stage = News::Stage(Stage::Evaluating, index, heldout.batches.len());
        front.report(stage).map_err(RunError::Storage)?;
        front.breathe().await;
        let weight = batch.lengths.len() as f64;
        let of_batch = run.evaluate(std::slice::from_ref(batch)).await?;
        add(&mut mean.parts, &of_batch.parts, weight);
        add(&mut mean.untrained, &of_batch.untrained, weight);
        lines += weight;
        let file = batch.sources.first().map_or(0, |source| source.0);
        if let Some(file) = mean.files.get_mut(file) {
            add(&mut file.parts, &of_batch.parts, weight);
            file.lines += batch.lengths.len() as u64;
        }
    }
    divide(&mut mean.parts, lines);
    divide(&mut mean.untrained, lines);
    mean.files.retain(|file| file.lines > 0);
    for file in &mut mean.files {
        divide(&mut file.parts, file.lines as f64);
    }
    Ok(mean)
}

fn add(sums: &mut BTreeMap<Part, f64>, values: &BTreeMap<Part, f64>, weight: f64) {
    for (part, value) in values {
        *sums.entry(*part).or_insert(0.0) += value * weight;
    }
}

fn divide(sums: &mut BTreeMap<Part, f64>, by: f64) {
    sums.values_mut().for_each(|sum| *sum /= by);
}

/// Refuses a run that does not fit the device, before it takes any memory. Of a GPU only the largest tensor is known: what it has
/// free, wgpu does not say. Of a student whose tokens are not counted, nothing is known yet.
fn require_room(plan: &Plan, opened: &Opened, free: Option<u64>) -> Result<(), PlanError> {
    if plan.has_open_vocabulary() {
        return Ok(());
    }
    let mistake = match opened.on_gpu {
        true => opened
            .largest_tensor
            .and_then(|most| beyond_buffer(plan, most as f64)),
        false => free.and_then(|free| beyond_memory(plan, free as f64)),
    };
    mistake.map_or(Ok(()), |mistake| Err(PlanError(vec![mistake])))
}

/// One step of a throw-away run, one of its output stage, and one sample of it: they compile every shader, so that the time of
/// the first real step is that of a step.
async fn rehearse(
    plan: &Plan,
    teacher: &Encoder,
    start: Option<&Encoder>,
    heldout: &Heldout,
) -> Result<(), TrainError> {
    let mut run = new_run(plan.clone(), teacher, start).await?;
    let first = heldout.batches.get(..1).unwrap_or_default();
    if !first.is_empty() {
        run.step(first).await?;
        let mut at_once = plan.clone();
        if let Some(stage) = at_once.output.as_mut().filter(|stage| stage.from > 1) {
            stage.from = 1;
            let mut run = new_run(at_once, teacher, start).await?;
            run.step(first).await?;
        }
    }
    run.teacher_taps(&heldout.picture).await?;
    run.student_taps(&heldout.picture).await?;
    Ok(())
}

/// The held-out sentence that is drawn until another is chosen.
fn picture(heldout: &Heldout) -> Tokens {
    Tokens {
        of_one: heldout.picture.clone(),
        left_out: heldout.picture_left_out,
    }
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
        parts: plan.parts(),
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

/// Bytes that the memory of a browser's worker can still grow by; none elsewhere.
pub(crate) fn free_in_wasm() -> Option<u64> {
    cfg!(target_arch = "wasm32").then(|| (1 << 32) - linear_memory())
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
