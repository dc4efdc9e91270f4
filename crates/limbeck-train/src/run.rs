//! The run itself: batches in, events out.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use limbeck_kernels::{Check, SelfTestError, Taps, self_test};
use limbeck_model::{Dropout, Encoder, TokenBatch, checks};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{KernelChoice, Plan, Step};
use serde::Serialize;

use crate::TrainError;
use crate::checkpoint::{self, Checkpoint};
use crate::gradients::{self, Gradients, to_host};
use crate::lesson::Lesson;
use crate::objective::RelationObjective;
use crate::optimizer::{AdamW, Pace, clip_scale};

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
    /// The relation loss.
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
    objective: RelationObjective,
    optimizer: AdamW,
    step: u64,
    skipped: u64,
    skipped_in_a_row: u32,
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
        Ok(Self::with_student(plan, teacher, student))
    }

    /// A run whose student has given weights; they are tracked from here on.
    pub fn with_student(plan: Plan, mut teacher: Encoder, mut student: Encoder) -> Self {
        let (objective, optimizer) = (RelationObjective::new(&plan), AdamW::new(&plan.recipe));
        teacher.set_kernel(plan.kernel);
        student.set_kernel(plan.kernel);
        for (_, _, parameter) in student.parameters_mut() {
            gradients::replace(parameter, |values| values);
        }
        Self {
            plan,
            teacher,
            student,
            objective,
            optimizer,
            step: 0,
            skipped: 0,
            skipped_in_a_row: 0,
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
        let mut run = Self::with_student(plan, teacher, student);
        run.optimizer.states = checkpoint.optimizer_states(&device.without_autodiff())?;
        run.step = checkpoint.header.step;
        run.skipped = checkpoint.header.skipped;
        run.skipped_in_a_row = checkpoint.header.skipped_in_a_row;
        Ok(run)
    }

    /// Everything that [`Run::resume`] needs, as the bytes of one file; see [`Checkpoint`]. `position` is where the corpus
    /// continues after the last step. `inputs` describes what the run reads; the header holds it for whoever resumes.
    ///
    /// # Errors
    /// A tensor cannot be read back.
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

    /// What the run minimises.
    pub fn objective(&self) -> &RelationObjective {
        &self.objective
    }

    /// Steps whose loss or gradient was not a number.
    pub fn skipped(&self) -> u64 {
        self.skipped
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
    /// No batch, one that does not fit the models, or the third consecutive step whose loss is not a number.
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
        let teacher = self.teach(lesson, &tokens)?;
        done(Phase::Teacher);
        let mut dropout = Dropout::new(self.plan.recipe.seed, self.step + 1, micro_batch);
        let layer = self.plan.student.num_hidden_layers;
        let student = self.student.tap(&tokens, layer, Some(&mut dropout))?;
        done(Phase::Student);
        let loss = self.objective.loss(&student, &teacher, tokens.lengths())?;
        done(Phase::Loss);
        let gradients = Gradients::of(&loss, self.student.parameters_mut());
        done(Phase::Backward);
        Ok(gradients)
    }

    fn tokens(&self, batch: &Batch) -> Result<TokenBatch, TrainError> {
        if batch.lengths.is_empty() {
            return Err(TrainError::NoSequence);
        }
        Ok(TokenBatch::new(&batch.ids, &batch.lengths, self.device())?)
    }

    /// The teacher's taps of a lesson: those that it brings, or computed now.
    fn teach(&self, lesson: &Lesson, tokens: &TokenBatch) -> Result<Taps, TrainError> {
        match &lesson.taps {
            Some(taps) => Ok(taps.clone()),
            None => Ok(self.teacher.tap(tokens, self.plan.teacher_layer, None)?),
        }
    }

    /// Ends a step with the gradient of `batches`: clips it by its norm and updates the student. Waits for the device once.
    ///
    /// # Errors
    /// The third consecutive step whose loss or gradient is not a number, or the device fails.
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
            return self.skip(batches);
        }
        self.skipped_in_a_row = 0;
        let learning_rate = self.plan.learning_rate(self.step);
        self.update(gradients, learning_rate, numbers.norm);
        done(Phase::Optimizer);
        Ok(Event::Step(Step {
            step: self.step,
            loss: self.objective.total(&numbers.parts),
            by_pair: numbers.parts,
            learning_rate,
            gradient_norm: numbers.norm,
            tokens: batches.iter().map(|batch| batch.tokens() as u64).sum(),
            ..Step::default()
        }))
    }

    fn update(&mut self, gradients: Gradients, learning_rate: f64, norm: f64) {
        let pace = Pace {
            learning_rate,
            gradient_scale: clip_scale(self.plan.recipe.clip, norm),
        };
        let parameters = self.student.parameters_mut();
        self.optimizer.step(&pace, parameters, gradients);
    }

    fn skip(&mut self, batches: &[Batch]) -> Result<Event, TrainError> {
        self.skipped += 1;
        self.skipped_in_a_row += 1;
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

    /// The parts of the loss over batches (KL of each pair, eq. 6, averaged over their sequences), in nats; without dropout.
    ///
    /// # Errors
    /// A batch that does not fit the models.
    pub async fn evaluate(&self, batches: &[Batch]) -> Result<Vec<f64>, TrainError> {
        let student = self.student.without_autodiff();
        let mut sums = vec![0.0; self.plan.pairs.len()];
        let mut sequences = 0;
        for batch in batches {
            let tokens = self.tokens(batch)?;
            let teacher = self.teach(&Lesson::from(batch), &tokens)?;
            let student = student.tap(&tokens, self.plan.student.num_hidden_layers, None)?;
            let loss = self.objective.loss(&student, &teacher, tokens.lengths())?;
            let losses = to_host(loss.parts).await?;
            let size = batch.lengths.len();
            sums.iter_mut()
                .zip(losses)
                .for_each(|(sum, loss)| *sum += f64::from(loss) * size as f64);
            sequences += size;
        }
        Ok(sums
            .into_iter()
            .map(|sum| sum / sequences.max(1) as f64)
            .collect())
    }

    /// The teacher's queries, keys and values of one sequence of S tokens: (3, S, H) of each layer, row-major.
    ///
    /// # Errors
    /// A sequence that does not fit the model.
    pub async fn teacher_taps(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>, TrainError> {
        self.taps(&self.teacher, ids).await
    }

    /// The student's, as [`Run::teacher_taps`] gives the teacher's; without dropout. Nothing of the run changes.
    ///
    /// # Errors
    /// A sequence that does not fit the model.
    pub async fn student_taps(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>, TrainError> {
        self.taps(&self.student.without_autodiff(), ids).await
    }

    /// All layers come back in one wait for the device.
    async fn taps(&self, encoder: &Encoder, ids: &[u32]) -> Result<Vec<Vec<f32>>, TrainError> {
        let tokens = TokenBatch::new(ids, &[ids.len()], self.device())?;
        let layers = encoder.taps(&tokens)?;
        let area = 3 * ids.len() * encoder.config().hidden_size;
        let vectors = layers.into_iter().flat_map(|taps| [taps.q, taps.k, taps.v]);
        let values = to_host(Tensor::cat(vectors.collect(), 0)).await?;
        Ok(values.chunks(area).map(<[f32]>::to_vec).collect())
    }
}

/// Compares the hand-written kernels with the CPU's on small cases of the plan's widths, before a run. If they disagree, the
/// plan falls back to plain tensor operations, and the reason is returned. A recipe that asks for plain operations has
/// nothing to compare.
pub async fn check_kernels(plan: &mut Plan, device: &Device) -> Option<SelfTestError> {
    if plan.kernel == KernelChoice::Naive {
        return None;
    }
    let mut tests = vec![Check::Relation {
        student: plan.student.hidden_size / plan.relation_heads,
        teacher: plan.teacher.hidden_size / plan.relation_heads,
    }];
    tests.extend(checks(&plan.student));
    tests.extend(checks(&plan.teacher));
    let failed = self_test(device, &tests).await.err();
    if failed.is_some() {
        plan.kernel = KernelChoice::Naive;
    }
    failed
}
