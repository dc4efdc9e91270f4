//! What a user asks for. One struct serves as the command line's flags, the TOML file, the header of a checkpoint and
//! the page's form, so its doc comments are also the help text and the descriptions in the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::init::Init;
use crate::{Config, Documents, Mistake, Part, PlanError};

/// The folder of the teacher assistant in that of the student.
pub const ASSISTANT: &str = "assistant";

/// Which relations the loss compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// MiniLMv2 (Wang et al. 2021): the relations of `pairs`, split anew into `relation_heads`.
    #[default]
    MinilmV2,
    /// MiniLM (Wang et al. 2020): the attention (Q-K) and the value relation (V-V) of the last layers, by attention head.
    MinilmV1,
}

/// Which queries and keys of a model with rotary positions the loss compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tap {
    /// As the projections give them: what tokens are, and not where.
    #[default]
    Content,
    /// Turned by their positions, as attention compares them.
    Rotated,
}

impl Tap {
    /// What cards and reports say of [`Tap::Rotated`].
    pub const ROTATED: &str = "turned by their positions";
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU; never a software GPU.
    #[default]
    Auto,
    /// The CPU, on all cores.
    Cpu,
    /// A GPU through wgpu (Vulkan, Metal or DX12), even a software one if there is no other.
    Gpu,
}

/// Element type of the student's weights on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightPrecision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the file size.
    F16,
}

/// Which implementation computes the relation loss, embeddings, attention, GELU, LayerNorm, linear layers and AdamW.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// Our kernels: WGSL on a GPU, SIMD on the CPU. The relation loss and attention never hold an S x S tensor.
    #[default]
    Fused,
    /// Plain tensor operations, for teaching or to rule a kernel out.
    Naive,
}

/// How precisely the teacher's linear layers multiply on a GPU. The student's are f32, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// Mixed on a GPU with cooperative matrices of f16, f32 elsewhere.
    #[default]
    Auto,
    /// Products and sums in f32.
    F32,
    /// Factors rounded to f16, sums in f32, on any GPU; without cooperative matrices that is no faster. The CPU stays at f32.
    Mixed,
}

/// Size of the student, and what it starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StudentRecipe {
    /// Number of layers.
    pub layers: usize,
    /// Hidden size H.
    pub hidden: usize,
    /// Number of attention heads; must divide the hidden size.
    pub heads: usize,
    /// Width of the feed-forward layer; 4 x hidden unless given, at most the teacher's where it starts from the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffn: Option<usize>,
    /// Dropout probability of hidden states and attention probabilities while the student is distilled: none unless given, for
    /// the teacher's answers have no noise that a student could learn by heart. The student's config.json keeps that of
    /// its teacher, or of the model that it starts from.
    pub dropout: f64,
    /// Weights before the first step: the `teacher`'s, `random` ones, or those of a model: `{ folder = "DIR" }`, whose sizes
    /// need not be given then.
    pub init: Init,
    /// The teacher's layer, from 1, that each layer of the student starts from, in increasing order. Unless given: evenly
    /// spaced from the first to `teacher_layer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_layers: Option<Vec<usize>>,
    /// The teacher's tokens that the student keeps, the most frequent ones of the corpus: their number above 1, such as 32000, or the
    /// share of the corpus's tokens that they are, up to 1, such as 0.9995. Unless given: all.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "whole_if_it_is"
    )]
    pub vocabulary: Option<f64>,
}

/// A number of tokens as a person writes it: 32000 and not 32000.0.
#[allow(clippy::ref_option, reason = "serde passes the field as it is")]
fn whole_if_it_is<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(n) if *n > 1.0 && n.fract() == 0.0 && *n < 1e9 => (*n as u64).serialize(serializer),
        number => number.serialize(serializer),
    }
}

impl Default for StudentRecipe {
    fn default() -> Self {
        Self {
            layers: 3,
            hidden: 192,
            heads: 12,
            ffn: None,
            dropout: 0.0,
            init: Init::default(),
            from_layers: None,
            vocabulary: None,
        }
    }
}

/// The output stage: the last part of the steps, which trains every layer of the student by what comes out of it. The loss
/// of relations alone ends at the projections of the student's last layer. The vector of a sentence is pooled from its last
/// hidden states as the teacher's folder says: their mean, unless it says otherwise. A part whose weight is 0 is not computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputRecipe {
    /// Share of the steps that the stage takes, the last ones: 0 is none, as in the papers, 1 is all.
    pub share: f64,
    /// What the weights of `pairs` are multiplied by in the stage.
    pub relations: f64,
    /// Weight of the KL of the relations among the sentences of a batch; where batches are accumulated, of each by itself.
    pub sentence_relation: f64,
    /// Weight of 1 - cosine of the student's vector and the teacher's. If the student is not as wide as its teacher, a linear
    /// map is trained with it, and dropped at the end.
    pub cosine: f64,
    /// Weight of the mean squared difference of these vectors, through the same map.
    pub l2: f64,
    /// Weight of the mean squared difference of the cosines between the vectors of a batch.
    pub similarity: f64,
    /// Weight of the mean squared difference of the last hidden states, through the same map.
    pub hidden: f64,
}

impl Default for OutputRecipe {
    fn default() -> Self {
        Self {
            share: 1.0,
            relations: 1.0,
            sentence_relation: 0.0,
            cosine: 10.0,
            l2: 0.0,
            similarity: 0.0,
            hidden: 0.0,
        }
    }
}

impl OutputRecipe {
    /// Without a stage: relations alone, as in the papers.
    pub fn none() -> Self {
        Self {
            share: 0.0,
            ..Self::default()
        }
    }

    /// The weight of each part of the stage but the relations.
    pub fn weights(&self) -> [(Part, f64); 5] {
        Part::OUTPUT.map(|part| (part, self.weight(part)))
    }

    fn weight(&self, part: Part) -> f64 {
        match part {
            Part::Relation(_) => self.relations,
            Part::SentenceRelation => self.sentence_relation,
            Part::Cosine => self.cosine,
            Part::L2 => self.l2,
            Part::Similarity => self.similarity,
            Part::Hidden => self.hidden,
        }
    }
}

/// Everything that defines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The teacher: its folder, in Hugging Face layout; or, where there is none of that name, its id on the Hugging Face hub,
    /// `org/name` or `org/name@revision`.
    pub teacher: String,
    /// Teacher layer whose relations the student learns, from 1. Default: the last that attends to all tokens; of 24
    /// layers the 21st (BERT) or the 19th (RoBERTa, XLM-R), as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_layer: Option<usize>,
    /// Size of the student, and what it starts from.
    pub student: StudentRecipe,
    /// Number of relation heads A_r; must divide both hidden sizes. Default: the largest number that does, up to 48 (64
    /// for a teacher with a hidden size of 1024 or more), as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation_heads: Option<usize>,
    /// Weight of each pair, from `qq`, `qk`, `qv`, `kq`, `kk`, `kv`, `vq`, `vk`, `vv`. Default: { qq = 1, kk = 1, vv = 1 }.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<BTreeMap<String, f64>>,
    /// Queries and keys of models with rotary positions: `content`, before they are turned by their positions, or `rotated`, as
    /// attention compares them.
    #[serde(skip_serializing_if = "is_usual")]
    pub tap: Tap,
    /// Which relations the loss compares: `minilm-v2` or `minilm-v1`.
    pub objective: Objective,
    /// The output stage, which trains every layer of the student.
    pub output: OutputRecipe,
    /// Text files or globs: one document per line, UTF-8, plain or packed with gzip, zstd, xz or bzip2.
    pub corpus: Vec<String>,
    /// The field that is the document, if the corpus is JSON lines: one object per line.
    /// Of pairs of texts, the fields of both, with a comma between their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus_field: Option<String>,
    /// Whether a line is two texts with a tab between them, which models read as one sequence, as cross-encoders do. A line without
    /// a tab is one text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub corpus_pairs: bool,
    /// How much is read of each path or glob of `corpus`, in their order: shares of the lines, in any unit, such as [2, 1]. What ends
    /// before the others begins anew, and what has weight 0 is only measured. Unless given: one file after the other, each line once
    /// an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus_weights: Option<Vec<f64>>,
    /// Fraction of the lines that is held out of training for evaluation, chosen by a hash of the line.
    pub heldout: f64,
    /// Maximum tokens per sequence; longer lines are truncated.
    pub max_length: usize,
    /// Sequences per batch.
    pub batch: usize,
    /// Batches per step. Their gradients are accumulated, so a step learns from accumulate x batch sequences with the
    /// activations of one batch in memory.
    pub accumulate: usize,
    /// Number of training steps.
    pub steps: u64,
    /// Steps of a teacher assistant, a first stage of the run: a student as deep as the teacher and as wide as the student of this
    /// recipe learns from the teacher, and then the student learns from it. 0 is none: the student learns from the teacher.
    pub assistant_steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up, after which the learning rate decays linearly to 0. Default: a tenth of the steps, at
    /// most 4000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u64>,
    /// Decoupled weight decay; not applied to biases and LayerNorms.
    pub weight_decay: f64,
    /// AdamW's beta1: decay rate of the running mean of the gradient.
    pub beta1: f64,
    /// AdamW's beta2: decay rate of the running mean of its square.
    pub beta2: f64,
    /// AdamW's epsilon: added to the root of that mean.
    pub epsilon: f64,
    /// Maximum global norm of the gradient; 0 turns clipping off.
    pub clip: f64,
    /// Seed of everything random: initial weights, order of lines, dropout.
    pub seed: u64,
    /// Lines shuffled together in memory.
    pub shuffle: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Where to compute: `auto`, `cpu` or `gpu`.
    pub device: DeviceChoice,
    /// Implementation of the relation loss, embeddings, attention, GELU, LayerNorm, linear layers and AdamW: `fused` (our kernels) or `naive` (plain
    /// tensor operations).
    pub kernel: KernelChoice,
    /// How the teacher's linear layers multiply on a GPU: `f32`, `mixed` (factors rounded to f16, sums in f32) or `auto`, which is `mixed`
    /// on a GPU with cooperative matrices. The student's are always f32.
    pub compute: Compute,
    /// Element type of the student's weights on disk: `f32` or `f16`.
    pub precision: WeightPrecision,
    /// Output folder: the student, its report and, while the run lasts, the checkpoint.
    pub out: String,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            teacher: String::new(),
            teacher_layer: None,
            student: StudentRecipe::default(),
            relation_heads: None,
            pairs: None,
            tap: Tap::default(),
            objective: Objective::default(),
            output: OutputRecipe::default(),
            corpus: Vec::new(),
            corpus_field: None,
            corpus_pairs: false,
            corpus_weights: None,
            heldout: 0.01,
            max_length: 128,
            batch: 32,
            accumulate: 1,
            steps: 1000,
            assistant_steps: 0,
            learning_rate: 6e-4,
            warmup: None,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            clip: 1.0,
            seed: 42,
            shuffle: 65_536,
            checkpoint_every: 500,
            device: DeviceChoice::default(),
            kernel: KernelChoice::default(),
            compute: Compute::default(),
            precision: WeightPrecision::default(),
            out: "student".into(),
        }
    }
}

/// What every model has need not be said in the recipes of those without rotary positions.
fn is_usual(tap: &Tap) -> bool {
    *tap == Tap::default()
}

impl Recipe {
    /// The recipe as TOML, as a file holds it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// What a line of the corpus is.
    ///
    /// # Errors
    /// See [`Documents::of`]; a plan has the same mistake.
    pub fn documents(&self) -> Result<Documents, PlanError> {
        let documents = Documents::of(self.corpus_field.as_deref(), self.corpus_pairs);
        documents.map_err(|message| {
            let field = "corpus_field";
            PlanError(vec![Mistake { field, message }])
        })
    }

    /// Whether the student learns from a teacher assistant.
    pub fn has_assistant(&self) -> bool {
        self.assistant_steps > 0
    }

    /// Whether the vocabulary is pruned in this stage. A student of an assistant has that one's tokens, of which none is taken away.
    pub fn prunes(&self) -> bool {
        self.student.vocabulary.is_some() && !self.has_assistant()
    }

    /// The recipe of the teacher assistant, if there is one: as deep as the teacher, and in all else what the student is.
    pub fn of_assistant(&self, teacher: &Config) -> Option<Self> {
        let of_assistant = || Self {
            steps: self.assistant_steps,
            assistant_steps: 0,
            student: StudentRecipe {
                layers: teacher.num_hidden_layers,
                from_layers: None,
                ..self.student.clone()
            },
            out: format!("{}/{ASSISTANT}", self.out),
            ..self.clone()
        };
        self.has_assistant().then(of_assistant)
    }
}

/// A recipe inside JSON: as a TOML string, which restores every f64 bit for bit (serde_json's parser does not).
pub mod as_toml {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use super::{Compute, OutputRecipe, Recipe};
    use crate::init::Init;

    /// For `#[serde(with = "limbeck_recipe::as_toml")]`.
    ///
    /// # Errors
    /// TOML cannot hold it.
    pub fn serialize<S: Serializer>(recipe: &Recipe, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&toml::to_string(recipe).map_err(ser::Error::custom)?)
    }

    /// For `#[serde(with = "limbeck_recipe::as_toml")]`.
    ///
    /// # Errors
    /// The string is not a recipe.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Recipe, D::Error> {
        let text = String::deserialize(deserializer)?;
        let table: toml::Table = toml::from_str(&text).map_err(de::Error::custom)?;
        let mut recipe: Recipe = toml::from_str(&text).map_err(de::Error::custom)?;
        // Programs write every field. One that wrote no `init` knew random students only.
        let says_init = |student: &toml::Value| student.get("init").is_some();
        if !table.get("student").is_some_and(says_init) {
            recipe.student.init = Init::Random;
        }
        // Nor did one that wrote no `output` know an output stage.
        if !table.contains_key("output") {
            recipe.output = OutputRecipe::none();
        }
        // Nor did one that wrote no `compute` compute in anything but f32.
        if !table.contains_key("compute") {
            recipe.compute = Compute::F32;
        }
        Ok(recipe)
    }
}
