//! The run itself: batches in, events out.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor};
use limbeck_kernels::{Check, RelationLoss, SelfTestError, Taps, relation_loss, self_test};
use limbeck_model::{Dropout, Encoder, ModelError, ParameterMut, TokenBatch, checks};
use limbeck_recipe::batching::{Batch, DataPosition};
use limbeck_recipe::{KernelChoice, Plan, Step};
use serde::Serialize;

use crate::TrainError;
use crate::checkpoint::{self, Checkpoint};
use crate::optimizer::{AdamW, Update};

/// So many steps in a row whose loss is not a number stop the run.
const PATIENCE: u32 = 3;

/// The parts of a step, for those who measure them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The teacher's forward pass.
    Teacher,
    /// The student's forward pass.
    Student,
    /// The relation loss.
    Loss,
    /// The backward pass, with the norm of the gradient.
    Backward,
    /// AdamW.
    Optimizer,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step was taken.
    Step(Step),
    /// The loss or the gradient was not a number: nothing was updated.
    Skipped {
        /// From 1.
        step: u64,
        /// Corpus lines of the batch: index of the file, number of the line.
        lines: Vec<(usize, u64)>,
    },
}

/// A run in progress. Whoever drives it brings batches; it never waits for anything but the device.
pub struct Run {
    plan: Plan,
    teacher: Encoder,
    student: Encoder,
    optimizer: AdamW,
    step: u64,
    skipped: u64,
    skipped_in_a_row: u32,
}

/// A gradient, beside the parameter that it belongs to.
enum Gradient {
    Matrix(Tensor<2>),
    Vector(Tensor<1>),
}

impl Gradient {
    fn squared_norm(&self) -> Tensor<1> {
        match self {
            Self::Matrix(g) => g.clone().square().sum(),
            Self::Vector(g) => g.clone().square().sum(),
        }
    }
}

impl Run {
    /// A new run: a student with fresh weights.
    ///
    /// # Errors
    /// The student cannot be built.
    pub fn new(plan: Plan, teacher: Encoder) -> Result<Self, TrainError> {
        let student = Encoder::random(
            &plan.student,
            plan.recipe.seed,
            &teacher.device().clone().autodiff(),
        )?;
        Ok(Self::with_student(plan, teacher, student))
    }

    /// A run whose student has given weights; they are tracked from here on.
    pub fn with_student(plan: Plan, mut teacher: Encoder, mut student: Encoder) -> Self {
        let optimizer = AdamW::new(&plan.recipe);
        teacher.set_kernel(plan.kernel);
        student.set_kernel(plan.kernel);
        let mut run = Self {
            plan,
            teacher,
            student,
            optimizer,
            step: 0,
            skipped: 0,
            skipped_in_a_row: 0,
        };
        run.track();
        run
    }

    /// Goes on from a checkpoint.
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

    /// Everything that is needed to go on, as the bytes of one file; see [`Checkpoint`]. `inputs` describes what the run
    /// reads; it is kept in the header for whoever resumes.
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

    /// What is being done.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Steps taken, skipped ones counted.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Steps whose loss was not a number.
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

    /// Takes one step.
    ///
    /// # Errors
    /// A batch that does not fit the models, or a third loss in a row that is not a number.
    pub async fn step(&mut self, batch: &Batch) -> Result<Event, TrainError> {
        self.step_observed(batch, &mut |_| ()).await
    }

    /// Takes one step and calls `done` at the end of each of its parts.
    ///
    /// # Errors
    /// See [`Run::step`].
    pub async fn step_observed(
        &mut self,
        batch: &Batch,
        done: &mut dyn FnMut(Phase),
    ) -> Result<Event, TrainError> {
        let step = self.step + 1;
        let tokens = TokenBatch::new(&batch.ids, &batch.lengths, self.device())?;
        let teacher = self.teacher.tap(&tokens, self.plan.teacher_layer, None)?;
        done(Phase::Teacher);
        let mut dropout = Dropout::new(self.plan.recipe.seed, step);
        let student = self.student.tap(
            &tokens,
            self.plan.student.num_hidden_layers,
            Some(&mut dropout),
        )?;
        done(Phase::Student);
        let loss = self.loss(&student, &teacher, &tokens)?;
        done(Phase::Loss);
        let gradients = self.gradients(loss.total.backward());
        let (by_pair, norm) = read(loss.by_pair, &gradients).await?;
        done(Phase::Backward);
        self.step = step;
        if !by_pair.iter().chain([&norm]).all(|x| x.is_finite()) {
            return self.skip(batch);
        }
        self.skipped_in_a_row = 0;
        let learning_rate = self.plan.learning_rate(step);
        self.update(gradients, learning_rate, norm);
        done(Phase::Optimizer);
        let loss = self
            .plan
            .pairs
            .iter()
            .zip(&by_pair)
            .map(|((_, weight), kl)| weight * kl)
            .sum();
        Ok(Event::Step(Step {
            step,
            loss,
            by_pair,
            learning_rate,
            gradient_norm: norm,
            tokens: batch.tokens() as u64,
            ..Step::default()
        }))
    }

    fn loss(
        &self,
        student: &Taps,
        teacher: &Taps,
        tokens: &TokenBatch,
    ) -> Result<RelationLoss, TrainError> {
        let (pairs, heads) = (&self.plan.pairs, self.plan.relation_heads);
        let loss = relation_loss(
            self.plan.kernel,
            student,
            teacher,
            pairs,
            tokens.lengths(),
            heads,
        );
        Ok(loss.map_err(ModelError::from)?)
    }

    /// The gradient of each parameter, in the order of the parameters; none for those that the loss does not reach.
    fn gradients(&mut self, mut gradients: Gradients) -> Vec<Option<Gradient>> {
        let parameters = self.student.parameters_mut().into_iter();
        let each = parameters.map(|(_, _, parameter)| match parameter {
            ParameterMut::Matrix(tensor) => {
                tensor.grad_remove(&mut gradients).map(Gradient::Matrix)
            }
            ParameterMut::Vector(tensor) => {
                tensor.grad_remove(&mut gradients).map(Gradient::Vector)
            }
        });
        each.collect()
    }

    fn update(&mut self, gradients: Vec<Option<Gradient>>, learning_rate: f64, norm: f64) {
        // torch.nn.utils.clip_grad_norm_: scale by max_norm / (norm + 1e-6), never up.
        let clip = self.plan.recipe.clip;
        let gradient_scale = if clip > 0.0 {
            (clip / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        for ((name, kind, parameter), gradient) in
            self.student.parameters_mut().into_iter().zip(gradients)
        {
            let update = Update {
                name: &name,
                decays: kind.decays(),
                learning_rate,
                gradient_scale,
            };
            match (parameter, gradient) {
                (ParameterMut::Matrix(tensor), Some(Gradient::Matrix(gradient))) => {
                    let plain = take(tensor);
                    *tensor = tracked(self.optimizer.matrix(&update, plain, gradient));
                }
                (ParameterMut::Vector(tensor), Some(Gradient::Vector(gradient))) => {
                    let plain = take(tensor);
                    *tensor = tracked(self.optimizer.vector(&update, plain, gradient));
                }
                _ => {}
            }
        }
    }

    fn track(&mut self) {
        for (_, _, parameter) in self.student.parameters_mut() {
            match parameter {
                ParameterMut::Matrix(tensor) => *tensor = tracked(take(tensor)),
                ParameterMut::Vector(tensor) => *tensor = tracked(take(tensor)),
            }
        }
    }

    fn skip(&mut self, batch: &Batch) -> Result<Event, TrainError> {
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        let lines = batch.sources.clone();
        if self.skipped_in_a_row >= PATIENCE {
            return Err(TrainError::NotFinite {
                step: self.step,
                in_a_row: PATIENCE,
                lines,
            });
        }
        Ok(Event::Skipped {
            step: self.step,
            lines,
        })
    }

    /// KL of each pair of the plan over batches (eq. 6, averaged over their sequences), in nats; without dropout.
    ///
    /// # Errors
    /// A batch that does not fit the models.
    pub async fn evaluate(&self, batches: &[Batch]) -> Result<Vec<f64>, TrainError> {
        let student = self.student.without_autodiff();
        let mut sums = vec![0.0; self.plan.pairs.len()];
        let mut sequences = 0;
        for batch in batches {
            let tokens = TokenBatch::new(&batch.ids, &batch.lengths, self.device())?;
            let taught = self.teacher.tap(&tokens, self.plan.teacher_layer, None)?;
            let learnt = student.tap(&tokens, self.plan.student.num_hidden_layers, None)?;
            let losses = floats(self.loss(&learnt, &taught, &tokens)?.by_pair).await?;
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

    /// What the teacher makes of one sequence of S tokens: queries, keys and values of each layer, (3, S, H) row-major.
    ///
    /// # Errors
    /// A sequence that does not fit the model.
    pub async fn teacher_taps(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>, TrainError> {
        self.taps(&self.teacher, ids).await
    }

    /// What the student makes of it now, without dropout: as [`Run::teacher_taps`]. Nothing of the run changes by it.
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
        let values = floats(Tensor::cat(vectors.collect(), 0)).await?;
        Ok(values.chunks(area).map(<[f32]>::to_vec).collect())
    }
}

/// Sets the hand-written kernels beside the CPU's on small cases of the plan's widths, before a run. If they disagree, the
/// plan falls back to plain tensor operations, and the reason comes back. A recipe that asks for plain operations has
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

/// The losses by pair and the global norm of the gradient, in one wait for the device.
async fn read(
    by_pair: Tensor<1>,
    gradients: &[Option<Gradient>],
) -> Result<(Vec<f64>, f64), TrainError> {
    let pairs = by_pair.dims()[0];
    let squares: Vec<Tensor<1>> = gradients
        .iter()
        .flatten()
        .map(Gradient::squared_norm)
        .collect();
    let all = match squares.is_empty() {
        true => by_pair,
        false => Tensor::cat(vec![by_pair, Tensor::cat(squares, 0)], 0),
    };
    let values = floats(all).await?;
    let norm = values[pairs..]
        .iter()
        .map(|x| f64::from(*x))
        .sum::<f64>()
        .sqrt();
    Ok((
        values[..pairs].iter().map(|x| f64::from(*x)).collect(),
        norm,
    ))
}

async fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TrainError> {
    let data = tensor
        .into_data_async()
        .await
        .map_err(|e| ModelError::Device(e.to_string()))?;
    data.try_to_vec()
        .map_err(|e| ModelError::Device(format!("{e:?}")).into())
}

/// Moves a parameter out of its place without its graph, so that nobody else holds its buffer and it can be updated there.
fn take<const D: usize>(tensor: &mut Tensor<D>) -> Tensor<D> {
    let empty = Tensor::empty([0; D], &tensor.device().without_autodiff());
    std::mem::replace(tensor, empty).without_autodiff()
}

fn tracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.autodiff().require_grad()
}
