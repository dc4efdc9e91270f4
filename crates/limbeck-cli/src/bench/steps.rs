//! Whole distillation steps of random models on full sequences: how long they take, by phase.

use std::time::Instant;

use burn::tensor::Device;
use limbeck_model::{Encoder, ModelError};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{
    Config, Init, Kernels, Mixed, OutputRecipe, Plan, PlanError, Recipe, Rng, StudentRecipe,
};
use limbeck_train::{Event, Phase, Run, TrainError, check_kernels};
use serde_json::json;

const VOCABULARY: usize = 30_522;
/// Attention heads of both models.
const HEADS: usize = 12;
/// Longest sequence that the models have positions for.
const POSITIONS: usize = 512;
/// Phases of a step, in the order of [`Phase`].
pub const PHASES: [&str; 5] = ["teacher", "student", "loss", "backward", "optimizer"];

/// Tokens that a layer of ModernBERT with a window attends to, half of them on either side.
const WINDOW: usize = 128;
/// Every so many layers of it, one attends to all tokens.
const GLOBAL_EVERY: usize = 3;

/// What both models are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its feed-forward part is 4 H wide.
    Bert,
    /// Its feed-forward part is gated and 3 H / 2 wide, as that of ModernBERT-base.
    #[allow(dead_code, reason = "`cargo xtask bench step` alone asks for it")]
    ModernBert,
}

/// What a step is made of; dropout is off, and relations alone are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub kind: Kind,
    /// Layers and hidden size.
    pub teacher: [usize; 2],
    /// The same.
    pub student: [usize; 2],
    /// A.
    pub relation_heads: usize,
    /// B.
    pub batch: usize,
    /// S.
    pub length: usize,
}

impl Sizes {
    /// Such as `6x384 -> 3x192 A 12 B 8 S 128`.
    pub fn name(&self) -> String {
        let [[tl, th], [sl, sh]] = [self.teacher, self.student];
        format!(
            "{tl}x{th} -> {sl}x{sh} A {} B {} S {}",
            self.relation_heads, self.batch, self.length
        )
    }

    /// Of a step.
    pub fn tokens(&self) -> usize {
        self.batch * self.length
    }

    /// The config of the teacher.
    ///
    /// # Errors
    /// A size that no model has.
    pub fn teacher_config(&self) -> Result<Config, ModelError> {
        let [layers, hidden] = self.teacher;
        let mut config = json!({
            "vocab_size": VOCABULARY, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": HEADS,
            "intermediate_size": self.feed_forward(hidden), "max_position_embeddings": POSITIONS.max(self.length),
            "pad_token_id": 0,
        });
        match self.kind {
            Kind::Bert => {
                config["model_type"] = "bert".into();
                config["type_vocab_size"] = 2.into();
            }
            Kind::ModernBert => {
                config["model_type"] = "modernbert".into();
                config["local_attention"] = WINDOW.into();
                config["global_attn_every_n_layers"] = GLOBAL_EVERY.into();
            }
        }
        Ok(Config::parse("bench", config.to_string().as_bytes())?)
    }

    /// The plan of a run of such steps.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn plan(&self, teacher: &Config) -> Result<Plan, PlanError> {
        let [layers, hidden] = self.student;
        let recipe = Recipe {
            student: StudentRecipe {
                layers,
                hidden,
                heads: HEADS,
                ffn: Some(self.feed_forward(hidden)),
                dropout: 0.0,
                init: Init::Random,
                ..StudentRecipe::default()
            },
            relation_heads: Some(self.relation_heads),
            output: OutputRecipe::none(),
            corpus: vec!["bench".into()],
            max_length: self.length,
            batch: self.batch,
            ..Recipe::default()
        };
        Plan::new(&recipe, teacher)
    }

    /// Units of the feed-forward part of a model.
    fn feed_forward(&self, hidden: usize) -> usize {
        match self.kind {
            Kind::Bert => 4 * hidden,
            Kind::ModernBert => 3 * hidden / 2,
        }
    }

    /// Floating-point operations of the products of a step, each once: the teacher forward to the projections of its layer,
    /// the student forward to those of its last one, and twice that backward; the relations of every pair, of which only
    /// the student's go backward.
    pub fn flops(&self, plan: &Plan) -> f64 {
        let (tokens, length) = (self.tokens() as f64, self.length as f64);
        // Products of the feed-forward part, and tokens that one meets in layer i.
        let products = match self.kind {
            Kind::Bert => 2.0,
            Kind::ModernBert => 3.0,
        };
        let met = |i: usize| match self.kind {
            Kind::ModernBert if !i.is_multiple_of(GLOBAL_EVERY) => {
                self.length.min(WINDOW + 1) as f64
            }
            _ => length,
        };
        let forward = |config: &Config, layers: usize| {
            let (h, f) = (config.hidden_size as f64, config.intermediate_size as f64);
            let layer = |i| 2.0 * (4.0 * h * h + products * h * f) + 4.0 * met(i) * h;
            tokens * ((0..layers - 1).map(layer).sum::<f64>() + 2.0 * 3.0 * h * h)
        };
        let (teacher, student) = (&plan.teacher, &plan.student);
        let scores = plan.pairs.len() as f64 * 2.0 * tokens * length;
        let relations = scores * (teacher.hidden_size + 3 * student.hidden_size) as f64;
        forward(teacher, plan.teacher_layer)
            + 3.0 * forward(student, student.num_hidden_layers)
            + relations
    }

    /// Random ids, every sequence full.
    fn batch(&self) -> Batch {
        let mut rng = Rng::new(3);
        let ids = (0..self.tokens()).map(|_| 1 + rng.below(VOCABULARY as u64 - 1) as u32);
        Batch {
            ids: ids.collect(),
            types: Vec::new(),
            lengths: vec![self.length; self.batch],
            padded: self.length,
            sources: vec![(0, 0); self.batch],
        }
    }
}

/// What a step took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Seconds of the whole step.
    pub seconds: f64,
    /// Seconds by phase.
    pub phases: [f64; 5],
    /// Its loss.
    pub loss: f64,
}

/// A run that takes the same step again and again.
pub struct Steps {
    run: Run,
    batch: Batch,
    device: Device,
}

impl Steps {
    /// As a run begins: on the hand-written kernels, unless the device computes them wrongly.
    ///
    /// # Errors
    /// Sizes that do not fit together, or the device fails.
    pub async fn new(
        sizes: &Sizes,
        teacher: Encoder,
        mixed: Option<Mixed>,
    ) -> Result<Self, TrainError> {
        let device = teacher.device().clone();
        let mut plan = sizes.plan(teacher.config())?;
        plan.mixed = mixed;
        check_kernels(&mut plan, &device).await;
        Ok(Self {
            run: Run::new(plan, teacher).await?,
            batch: sizes.batch(),
            device,
        })
    }

    /// What computes the teacher; the student is in f32, and otherwise alike.
    pub fn kernels(&self) -> Kernels {
        self.run.plan().teacher_kernels()
    }

    /// Takes one step. With `wait` the device has done each phase before its clock stops, which costs time on a GPU;
    /// without, a phase is what it takes to ask for it.
    ///
    /// # Errors
    /// The device fails, or the loss is not a number.
    pub async fn take(&mut self, wait: bool) -> Result<Times, TrainError> {
        let start = Instant::now();
        let mut last = start;
        let mut phases = [0.0; 5];
        let device = &self.device;
        let mut failed = None;
        let mut done = |phase: Phase| {
            if wait && let Err(error) = device.sync() {
                failed = Some(ModelError::device(error));
            }
            phases[phase as usize] += last.elapsed().as_secs_f64();
            last = Instant::now();
        };
        let batches = std::slice::from_ref(&self.batch);
        let event = self.run.step_observed(batches, &mut done).await?;
        device.sync().map_err(ModelError::device)?;
        let seconds = start.elapsed().as_secs_f64();
        match (event, failed) {
            (_, Some(error)) => Err(error.into()),
            (Event::Step(step), None) => Ok(Times {
                seconds,
                phases,
                loss: step.loss,
            }),
            (Event::Skipped { step, .. }, None) => Err(TrainError::NotFinite {
                step,
                in_a_row: 1,
                lines: Vec::new(),
            }),
        }
    }
}
