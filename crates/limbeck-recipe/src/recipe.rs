//! What the user asks for. One struct is the command line's flags, the TOML file, the header of a checkpoint and the page's
//! form, so the doc comments below are also the help.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// MiniLMv2 (Wang et al. 2021): the relations of `pairs`, re-split into `relation_heads`.
    #[default]
    MinilmV2,
    /// MiniLM (Wang et al. 2020): Q-K attention and V-V relation of the last layers, over the attention heads.
    MinilmV1,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU. A software rasteriser is never chosen.
    #[default]
    Auto,
    /// The CPU, all cores.
    Cpu,
    /// A GPU through wgpu (Vulkan, Metal or DX12), a software one too if there is no other.
    Gpu,
}

/// Element type of the student's weights on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightPrecision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the file.
    F16,
}

/// Which implementation computes the relation loss, attention and GELU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// Our kernels: WGSL on a GPU, SIMD on the CPU. The relation loss and attention never hold an S x S tensor.
    #[default]
    Fused,
    /// Plain tensor operations: for teaching, or to rule a kernel out.
    Naive,
}

/// Size of the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StudentRecipe {
    /// Layers.
    pub layers: usize,
    /// Hidden size H.
    pub hidden: usize,
    /// Attention heads; they must divide the hidden size.
    pub heads: usize,
    /// Width of the feed-forward part; 4 x hidden unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffn: Option<usize>,
    /// Dropout of hidden values and attention probabilities while training.
    pub dropout: f64,
}

impl Default for StudentRecipe {
    fn default() -> Self {
        Self {
            layers: 3,
            hidden: 192,
            heads: 12,
            ffn: None,
            dropout: 0.1,
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Folder of the teacher in Hugging Face layout.
    pub teacher: String,
    /// Teacher layer whose relations are taught, from 1. Unless given: the last; of 24 layers the 21st (BERT) or the 19th
    /// (RoBERTa, XLM-R), as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_layer: Option<usize>,
    /// Size of the student.
    pub student: StudentRecipe,
    /// Relation heads A_r; they must divide both hidden sizes. Unless given: the largest number that does, up to 48 (64 for
    /// a teacher of 1024 and wider), as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation_heads: Option<usize>,
    /// Weight of each pair, from `qq`, `qk`, `qv`, `kq`, `kk`, `kv`, `vq`, `vk`, `vv`; { qq = 1, kk = 1, vv = 1 } unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<BTreeMap<String, f64>>,
    /// What is compared: `minilm-v2` or `minilm-v1`.
    pub objective: Objective,
    /// Text files or globs, one document a line, UTF-8, .gz too.
    pub corpus: Vec<String>,
    /// Part of the corpus's lines that is held out of training, to measure on (by a hash of the line).
    pub heldout: f64,
    /// Maximum tokens per sequence; longer lines are truncated.
    pub max_length: usize,
    /// Sequences per batch.
    pub batch: usize,
    /// Batches per step. Their gradients are accumulated, so a step learns from accumulate x batch sequences with the
    /// activations of one batch in memory.
    pub accumulate: usize,
    /// Steps.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up; a tenth of the steps, at most 4000, unless given. Then it falls linearly to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u64>,
    /// Decoupled weight decay; biases and LayerNorms do not decay.
    pub weight_decay: f64,
    /// AdamW's beta1.
    pub beta1: f64,
    /// AdamW's beta2.
    pub beta2: f64,
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// Largest global norm of the gradient; 0 does not clip.
    pub clip: f64,
    /// Seed of everything random: initial weights, order of lines, dropout.
    pub seed: u64,
    /// Lines that are shuffled together in memory.
    pub shuffle: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Where to compute: `auto`, `cpu` or `gpu`.
    pub device: DeviceChoice,
    /// What computes the relation loss, attention and GELU: `fused`, our kernels, or `naive`, plain tensor operations.
    pub kernel: KernelChoice,
    /// Element type of the student's weights on disk: `f32` or `f16`.
    pub precision: WeightPrecision,
    /// Folder for the student and what the run wrote.
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
            objective: Objective::default(),
            corpus: Vec::new(),
            heldout: 0.01,
            max_length: 128,
            batch: 32,
            accumulate: 1,
            steps: 1000,
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
            precision: WeightPrecision::default(),
            out: "student".into(),
        }
    }
}

impl Recipe {
    /// The recipe as TOML, as a file holds it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

/// A recipe inside of JSON: as TOML, which gives every f64 back bit for bit (serde_json's parser does not).
pub mod as_toml {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use super::Recipe;

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
    /// It is not a recipe.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Recipe, D::Error> {
        toml::from_str(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
