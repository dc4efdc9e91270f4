//! The run itself: batches in, events out.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use limbeck_kernels::{Check, tested};
use limbeck_model::{Dropout, Encoder, Named, ParameterMut, TokenBatch, checks, pool, to_host};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::layout::Kind;
use limbeck_recipe::{Evaluation, KernelChoice, Part, Plan, Pooling, Step};
use serde::Serialize;

use crate::TrainError;
use crate::checkpoint::{self, Checkpoint};
use crate::gradients::{self, Gradients};
use crate::lesson::Lesson;
use crate::objective::{Objective, Reading};
use crate::optimizer::{AdamW, Pace, clip_scale};
use crate::output;

/// Consecutive steps with a non-finite loss or gradient after which the run stops.
const PATIENCE: u32 = 3;

/// The phases of a step, for benchmarks. Each micro-batch goes through the first four, and waiting for the norm of the
/// gradient ends another `Backward`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The teacher's forward pass.
    Teacher,
    /// The student's forward pass.
    Student,
    /// The loss.
    Loss,
    /// The backward pass, or the norm of the gradient.
    Backward,
    /// Clipping and AdamW.
    Optimizer,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The student was updated.
    Step(Step),
    /// The loss or the gradient was not a number: nothing was updated.
    Skipped {
        /// From 1.
        step: u64,
        /// Corpus lines of the step: index of the file, number of the line.
        lines: Vec<(usize, u64)>,
    },
}

/// A run in progress. Whoever drives it brings batches; it never waits for anything but the device.
pub struct Run {
    plan: Plan,
    teacher: Encoder,
    student: Encoder,
    /// What takes the student's vectors to the teacher's in the output stage, if their widths differ: trained with the
    /// student, saved in checkpoints, and no part of the student.
    map: Option<Tensor<2>>,
    optimizer: AdamW,
    step: u64,
    skipped: u64,
    skipped_in_a_row: u32,
    earlier_steps: Vec<(u64, u64)>,
}

impl Run {
    /// A new run: its student starts from layers of the teacher, or from random weights, as the plan says.
    ///
    /// # Errors
    /// The student cannot be built.
    pub async fn new(plan: Plan, teacher: Encoder) -> Result<Self, TrainError> {
        let device = teacher.device().clone().autodiff();
        let student = match &plan.from_layers {
            Some(layers) => Encoder::from_teacher(&teacher, &plan.student, layers, &device).await?,
            None => Encoder::random(&plan.student, plan.recipe.seed, &device)?,
        };
        let map = output::first_map(&plan, &teacher, &device).await?;
        Ok(Self::with_parameters(plan, teacher, student, map))
    }

    /// A run whose student has given weights; they are tracked from here on. Nothing is known of what they took from the teacher,
    /// so a map of the output stage takes each column to that of the same place.
    pub fn with_student(plan: Plan, teacher: Encoder, student: Encoder) -> Self {
        let map = output::plain_map(&plan, &teacher.device().clone().autodiff());
        Self::with_parameters(plan, teacher, student, map)
    }

    /// A run that has taken all of its steps, of a student with given weights: what both models make of a text can be asked of it.
    pub fn finished(plan: Plan, teacher: Encoder, student: Encoder) -> Self {
        Self {
            step: plan.recipe.steps,
            ..Self::with_student(plan, teacher, student)
        }
    }

    fn with_parameters(
        plan: Plan,
        mut teacher: Encoder,
        mut student: Encoder,
        mut map: Option<Tensor<2>>,
    ) -> Self {
        let optimizer = AdamW::new(&plan.recipe);
        teacher.set_kernels(plan.teacher_kernels());
        student.set_kernels(plan.kernels);
        for model in [&mut teacher, &mut student] {
            model.set_tap(plan.recipe.tap);
        }
        for (_, _, parameter) in trained(&mut student, &mut map) {
            gradients::replace(parameter, |values| values);
        }
        Self {
            plan,
            teacher,
            student,
            map,
            optimizer,
            step: 0,
            skipped: 0,
            skipped_in_a_row: 0,
            earlier_steps: Vec::new(),
        }
    }

    /// Continues from a checkpoint.
    ///
    /// # Errors
    /// The checkpoint belongs to another student.
    pub fn resume(
        plan: Plan,
        teacher: Encoder,
        checkpoint: &Checkpoint,
    ) -> Result<Self, TrainError> {
        let device = teacher.device().clone().autodiff();
        let student = checkpoint.student(&plan.student, &device)?;
        let map = checkpoint.map(&plan, &device)?;
        let mut run = Self::with_parameters(plan, teacher, student, map);
        run.optimizer.states = checkpoint.optimizer_states(&device.without_autodiff())?;
        run.step = checkpoint.header.step;
        run.skipped = checkpoint.header.skipped;
        run.skipped_in_a_row = checkpoint.header.skipped_in_a_row;
        run.earlier_steps
            .clone_from(&checkpoint.header.earlier_steps);
        Ok(run)
    }

    /// Everything that [`Run::resume`] needs, as the bytes of one file; see [`Checkpoint`]. `position` is where the corpus
    /// continues after the last step. `inputs` describes what the run reads; the header holds it for whoever resumes.
    ///
    /// # Errors
    /// A tensor cannot be read back, or a weight of the student is not a finite number: that is nothing to resume from.
    pub async fn checkpoint(
        &self,
        position: &DataPosition,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, TrainError> {
        checkpoint::write(self, position, inputs).await
    }

    /// The plan that the run follows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Steps taken, skipped ones counted.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Steps whose loss or gradient was not a number.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Where the number of steps was changed: the steps taken before, and the number until then.
    pub fn earlier_steps(&self) -> &[(u64, u64)] {
        &self.earlier_steps
    }

    pub(crate) fn skipped_in_a_row(&self) -> u32 {
        self.skipped_in_a_row
    }

    /// Whether every step of the recipe is taken.
    pub fn is_finished(&self) -> bool {
        self.step >= self.plan.recipe.steps
    }

    /// The student as it is now.
    pub fn student(&self) -> &Encoder {
        &self.student
    }

    pub(crate) fn map(&self) -> Option<&Tensor<2>> {
        self.map.as_ref()
    }

    pub(crate) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    fn device(&self) -> &Device {
        self.teacher.device()
    }

    /// Takes one step: the gradient of all sequences of `batches` together, then one update. Each batch is a micro-batch,
    /// so the device holds the activations of one at a time. A driver hands over `accumulate` batches of the recipe and
    /// writes checkpoints between steps only.
    ///
    /// # Errors
    /// No batch, one that does not fit the models, a student that an earlier step broke, or the third consecutive step whose
    /// loss is not a number.
    pub async fn step(&mut self, batches: &[Batch]) -> Result<Event, TrainError> {
        self.step_observed(batches, &mut |_| ()).await
    }

    /// Takes one step and calls `done` at the end of each phase.
    ///
    /// # Errors
    /// See [`Run::step`].
    pub async fn step_observed(
        &mut self,
        batches: &[Batch],
        done: &mut dyn FnMut(Phase),
    ) -> Result<Event, TrainError> {
        let lessons: Vec<Lesson> = batches.iter().map(Lesson::from).collect();
        let gradients = self.gradients(&lessons, done)?;
        self.apply(gradients, batches, done).await
    }

    /// The loss and gradient of all sequences of the lessons together, as the next step needs them: each lesson is a
    /// micro-batch with dropout masks of its own, and weighs as much as its share of the sequences. Nothing is read back
    /// from the device.
    ///
    /// # Errors
    /// No sequence, or a lesson that does not fit the models.
    pub fn gradients(
        &mut self,
        lessons: &[Lesson],
        done: &mut dyn FnMut(Phase),
    ) -> Result<Gradients, TrainError> {
        let sequences: usize = lessons.iter().map(Lesson::sequences).sum();
        let mut sum: Option<Gradients> = None;
        for (lesson, micro_batch) in lessons.iter().zip(0..) {
            let share = lesson.sequences() as f64 / sequences as f64;
            let gradients = self.backward(lesson, micro_batch, done)?.scale(share);
            sum = Some(match sum {
                Some(sum) => sum + gradients,
                None => gradients,
            });
        }
        sum.ok_or(TrainError::NoSequence)
    }

    /// Forward and backward pass of one micro-batch.
    fn backward(
        &mut self,
        lesson: &Lesson,
        micro_batch: u64,
        done: &mut dyn FnMut(Phase),
    ) -> Result<Gradients, TrainError> {
        let tokens = self.tokens(lesson.batch)?;
        let step = self.step + 1;
        let objective = Objective::of_step(&self.plan, step);
        let to_the_end = objective.needs_states();
        let teacher = self.teach(lesson, &tokens, to_the_end)?;
        done(Phase::Teacher);
        let mut dropout = Dropout::new(self.plan.recipe.seed, step, micro_batch);
        let layer = self.plan.student.num_hidden_layers;
        let student = read(
            &self.student,
            &tokens,
            layer,
            to_the_end,
            Some(&mut dropout),
        )?;
        done(Phase::Student);
        let loss = objective.loss(&student, &teacher, self.map.as_ref(), tokens.lengths())?;
        done(Phase::Loss);
        drop(student);
        let parameters = trained(&mut self.student, &mut self.map);
        let gradients = Gradients::of(&loss, self.plan.kernels, parameters);
        done(Phase::Backward);
        Ok(gradients)
    }

    fn tokens(&self, batch: &Batch) -> Result<TokenBatch, TrainError> {
        if batch.lengths.is_empty() {
            return Err(TrainError::NoSequence);
        }
        Ok(TokenBatch::of(batch, self.device())?)
    }

    /// What the teacher makes of a lesson: what it brings, or computed now.
    fn teach(
        &self,
        lesson: &Lesson,
        tokens: &TokenBatch,
        to_the_end: bool,
    ) -> Result<Reading, TrainError> {
        let suffices = |reading: &&Reading| reading.states.is_some() || !to_the_end;
        match lesson.teacher.as_ref().filter(suffices) {
            Some(reading) => Ok(reading.clone()),
            None => read(
                &self.teacher,
                tokens,
                self.plan.teacher_layer,
                to_the_end,
                None,
            ),
        }
    }

    /// Ends a step with the gradient of `batches`: clips it by its norm and updates the student. Waits for the device once.
    ///
    /// # Errors
    /// The third consecutive step whose loss or gradient is not a number, a student that an earlier step broke, or the device
    /// fails.
    pub async fn apply(
        &mut self,
        gradients: Gradients,
        batches: &[Batch],
        done: &mut dyn FnMut(Phase),
    ) -> Result<Event, TrainError> {
        let numbers = gradients.numbers().await?;
        done(Phase::Backward);
        self.step += 1;
        if !numbers.are_finite() {
            return self.skip(batches).await;
        }
        self.skipped_in_a_row = 0;
        let learning_rate = self.plan.learning_rate(self.step);
        self.update(gradients, learning_rate, numbers.norm);
        done(Phase::Optimizer);
        Ok(Event::Step(Step {
            step: self.step,
            loss: total(&self.plan.weights(self.step), &numbers.parts),
            parts: numbers.parts,
            learning_rate,
            gradient_norm: numbers.norm,
            tokens: batches.iter().map(|batch| batch.tokens() as u64).sum(),
            padding: batches.iter().map(|batch| batch.padding() as u64).sum(),
            ..Step::default()
        }))
    }

    fn update(&mut self, gradients: Gradients, learning_rate: f64, norm: f64) {
        let pace = Pace {
            learning_rate,
            gradient_scale: clip_scale(self.plan.recipe.clip, norm),
        };
        let parameters = trained(&mut self.student, &mut self.map);
        self.optimizer.step(&pace, parameters, gradients);
    }

    async fn skip(&mut self, batches: &[Batch]) -> Result<Event, TrainError> {
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        // The lines are not to blame if the student is.
        self.require_finite().await?;
        let (step, in_a_row) = (self.step, self.skipped_in_a_row);
        let lines = batches.iter().flat_map(|b| b.sources.clone()).collect();
        if in_a_row >= PATIENCE {
            return Err(TrainError::NotFinite {
                step,
                in_a_row,
                lines,
            });
        }
        Ok(Event::Skipped { step, lines })
    }

    /// Refuses a student with a weight that is not a finite number. Reads all of them back.
    ///
    /// # Errors
    /// Which weight it is, and since which step.
    pub async fn require_finite(&self) -> Result<(), TrainError> {
        let values = self.student.values().await?;
        values
            .iter()
            .try_for_each(|tensor| self.require_finite_tensor(tensor))
    }

    /// [`Run::require_finite`] of one tensor that was read back. What breaks the student is the last step that updated it,
    /// because the loss of the next one shows it.
    pub(crate) fn require_finite_tensor(&self, tensor: &Named) -> Result<(), TrainError> {
        match tensor.not_finite() {
            None => Ok(()),
            Some(found) => Err(TrainError::Broken {
                step: self.step - u64::from(self.skipped_in_a_row),
                found,
                learning_rate: self.plan.recipe.learning_rate,
                warmup: self.plan.warmup,
            }),
        }
    }

    /// Every part that the loss has at any step, and the relations of every other pair, over batches: each averaged over
    /// their sequences; without dropout. All of it comes from one forward pass of each model.
    ///
    /// # Errors
    /// A batch that does not fit the models.
    pub async fn evaluate(&self, batches: &[Batch]) -> Result<Evaluation, TrainError> {
        let student = self.student.without_autodiff();
        let map = self.map.clone().map(|map| map.without_autodiff());
        let objective = Objective::of_evaluation(&self.plan);
        let (layer, to_the_end) = (
            self.plan.student.num_hidden_layers,
            objective.needs_states(),
        );
        let mut sums = BTreeMap::<Part, f64>::new();
        let mut sequences = 0.0;
        for batch in batches {
            let tokens = self.tokens(batch)?;
            let teacher = self.teach(&Lesson::from(batch), &tokens, to_the_end)?;
            let student = read(&student, &tokens, layer, to_the_end, None)?;
            let loss = objective.loss(&student, &teacher, map.as_ref(), tokens.lengths())?;
            let values = to_host(loss.parts).await?;
            let size = batch.lengths.len() as f64;
            for (part, value) in loss.names.into_iter().zip(values) {
                *sums.entry(part).or_insert(0.0) += f64::from(value) * size;
            }
            sequences += size;
        }
        sums.values_mut().for_each(|sum| *sum /= sequences);
        let of_loss = self.plan.parts();
        let (parts, untrained) = sums
            .into_iter()
            .partition(|(part, _)| of_loss.contains(part));
        Ok(Evaluation {
            step: self.step,
            parts,
            untrained,
            ..Evaluation::default()
        })
    }

    /// The teacher's queries, keys and values of a batch of one sequence of S tokens: (3, S, H) of each layer, row-major.
    ///
    /// # Errors
    /// A sequence that does not fit the model.
    pub async fn teacher_taps(&self, of_one: &Batch) -> Result<Vec<Vec<f32>>, TrainError> {
        self.taps(&self.teacher, of_one).await
    }

    /// The student's, as [`Run::teacher_taps`] gives the teacher's; without dropout. Nothing of the run changes.
    ///
    /// # Errors
    /// A sequence that does not fit the model.
    pub async fn student_taps(&self, of_one: &Batch) -> Result<Vec<Vec<f32>>, TrainError> {
        self.taps(&self.student.without_autodiff(), of_one).await
    }

    /// The teacher's vector of each sequence of a batch, (B, H) row-major: its last hidden states, pooled.
    ///
    /// # Errors
    /// A batch that does not fit the model.
    pub async fn teacher_vectors(
        &self,
        batch: &Batch,
        pooling: &Pooling,
    ) -> Result<Vec<f32>, TrainError> {
        self.vectors(&self.teacher, batch, pooling).await
    }

    /// The student's, as [`Run::teacher_vectors`] gives the teacher's; without dropout. Nothing of the run changes.
    ///
    /// # Errors
    /// A batch that does not fit the model.
    pub async fn student_vectors(
        &self,
        batch: &Batch,
        pooling: &Pooling,
    ) -> Result<Vec<f32>, TrainError> {
        let student = self.student.without_autodiff();
        self.vectors(&student, batch, pooling).await
    }

    async fn vectors(
        &self,
        encoder: &Encoder,
        batch: &Batch,
        pooling: &Pooling,
    ) -> Result<Vec<f32>, TrainError> {
        let tokens = self.tokens(batch)?;
        let hidden = encoder.last_hidden(&tokens, None)?;
        Ok(to_host(pool(hidden, tokens.lengths(), pooling, 0)).await?)
    }

    /// All layers come back in one wait for the device.
    async fn taps(&self, encoder: &Encoder, batch: &Batch) -> Result<Vec<Vec<f32>>, TrainError> {
        let tokens = self.tokens(batch)?;
        let layers = encoder.taps(&tokens)?;
        let config = encoder.config();
        let area = batch.ids.len() * (config.query_width() + 2 * config.key_width());
        let vectors = layers.into_iter().flat_map(|taps| [taps.q, taps.k, taps.v]);
        let vectors = vectors.map(|vectors| {
            let count = vectors.dims().iter().product::<usize>();
            vectors.reshape([count])
        });
        let values = to_host(Tensor::<1>::cat(vectors.collect(), 0)).await?;
        Ok(values.chunks(area).map(<[f32]>::to_vec).collect())
    }
}

/// Every parameter that a run trains, in place: the student's, then the map.
fn trained<'a>(
    student: &'a mut Encoder,
    map: &'a mut Option<Tensor<2>>,
) -> Vec<(String, Kind, ParameterMut<'a>)> {
    let map = map.iter_mut().map(|map| {
        let map = ParameterMut::Matrix(map);
        (output::MAP.to_owned(), Kind::Linear, map)
    });
    student.parameters_mut().into_iter().chain(map).collect()
}

/// What a model makes of a batch: the taps of a layer, and the last hidden states if they are wanted.
fn read(
    model: &Encoder,
    tokens: &TokenBatch,
    layer: usize,
    to_the_end: bool,
    dropout: Option<&mut Dropout>,
) -> Result<Reading, TrainError> {
    if !to_the_end {
        let (taps, states) = (model.tap(tokens, layer, dropout)?, None);
        return Ok(Reading { taps, states });
    }
    let (taps, states) = model.tap_to_the_end(tokens, layer, dropout)?;
    let states = Some(states);
    Ok(Reading { taps, states })
}

/// What parts add up to (eq. 5).
fn total(weights: &[(Part, f64)], parts: &BTreeMap<Part, f64>) -> f64 {
    let value = |(part, weight): &(Part, f64)| weight * parts.get(part).unwrap_or(&f64::NAN);
    weights.iter().map(value).sum()
}

/// Compares the hand-written kernels with the CPU's on small cases of the plan's widths, before a run. The plan takes plain tensor
/// operations in place of those that disagree, f32 in place of mixed precision, and the reasons are returned. A recipe that asks for plain operations has
/// nothing to compare.
pub async fn check_kernels(plan: &mut Plan, device: &Device) -> Option<String> {
    if plan.recipe.kernel == KernelChoice::Naive {
        return None;
    }
    let heads = plan.relation_heads;
    let relation = |times: usize, teacher: usize| Check::Relation {
        student: times * plan.student.hidden_size / heads,
        teacher: times * teacher / heads,
    };
    let (queries, keys) = (plan.teacher.query_width(), plan.teacher.key_width());
    let mut tests = vec![relation(1, queries), Check::AdamW];
    tests.extend((keys != queries).then(|| relation(1, keys)));
    // The vectors of sentences are wider than those of tokens where several modes of pooling make them.
    let stage = plan.output.as_ref();
    let modes = stage.map_or(1, |stage| stage.pooling.modes.len());
    tests.extend((modes > 1).then(|| relation(modes, plan.teacher.hidden_size)));
    tests.extend(checks(&plan.student));
    tests.extend(checks(&plan.teacher));
    tests.extend(plan.mixed.map(|mixed| Check::Mixed {
        width: plan.teacher.hidden_size,
        inner: plan.teacher.shape.intermediate_size,
        mixed,
    }));
    let tested = tested(device, &tests).await;
    plan.kernels = tested.kernels;
    tested.failure()
}
