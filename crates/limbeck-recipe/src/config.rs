//! config.json: what an encoder is made of.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The files of a tokenizer that a folder may hold: a model needs some of them, and its student inherits all.
pub const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
];

/// More than any encoder has; a larger number is a damaged file.
const MOST_LAYERS: usize = 10_000;

/// Why a config.json cannot be used, with the values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// config.json is not JSON, or not an encoder's.
    #[error("{file}: {reason}")]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is of a kind that we do not run.
    #[error("{field} `{value}` is not supported; supported: {supported}")]
    Unsupported {
        /// The field of config.json.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be.
        supported: &'static str,
    },
}

/// Encoder families; they differ in positions and token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BERT: positions from 0, token types.
    Bert,
    /// RoBERTa, XLM-R, CamemBERT: positions start after the padding index.
    Roberta,
}

/// Activations of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x).
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x * sigmoid(x).
    Silu,
}

/// The fields of config.json that decide what is computed; names are Hugging Face's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What kind of encoder it is.
    pub family: Family,
    /// `model_type` as written: `bert`, `roberta`, `xlm-roberta`, ...
    pub model_type: String,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// H.
    pub hidden_size: usize,
    /// L.
    pub num_hidden_layers: usize,
    /// Attention heads; they divide H.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward part.
    pub activation: Activation,
    /// Probability that training drops a hidden value.
    pub hidden_dropout: f64,
    /// Probability that training drops an attention probability.
    pub attention_dropout: f64,
    /// Id of the padding token.
    pub pad_token_id: u32,
    raw: Map<String, Value>,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_token_types")]
    type_vocab_size: usize,
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    hidden_act: Option<String>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// Hugging Face's own default for these families.
fn default_token_types() -> usize {
    2
}

/// Hugging Face's own default for these families.
fn default_eps() -> f64 {
    1e-12
}

/// Size of a student.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentSize {
    /// L of the student.
    pub layers: usize,
    /// H of the student.
    pub hidden: usize,
    /// Its attention heads.
    pub heads: usize,
    /// Width of its feed-forward part.
    pub ffn: usize,
    /// Dropout of hidden values and attention probabilities.
    pub dropout: f64,
}

impl Config {
    /// Reads config.json. `file` names it in errors.
    ///
    /// # Errors
    /// Not JSON, a missing field, sizes that cannot be, or a kind of model that we do not run.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Wrong {
            file: file.to_owned(),
            reason,
        };
        let value: Value =
            serde_json::from_slice(json).map_err(|e| wrong(format!("not JSON: {e}")))?;
        let Value::Object(raw) = value else {
            return Err(wrong("not a JSON object".into()));
        };
        let model_type = raw
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        let family = family(&model_type)?;
        let fields: Raw =
            serde_json::from_value(Value::Object(raw.clone())).map_err(|e| wrong(e.to_string()))?;
        if fields.is_decoder {
            return Err(ConfigError::Unsupported {
                field: "is_decoder",
                value: "true".into(),
                supported: "encoders (false)",
            });
        }
        let positions = fields
            .position_embedding_type
            .as_deref()
            .unwrap_or("absolute");
        if positions != "absolute" {
            return Err(ConfigError::Unsupported {
                field: "position_embedding_type",
                value: positions.into(),
                supported: "absolute",
            });
        }
        let config = Self {
            family,
            model_type: fields.model_type.unwrap_or_default(),
            vocab_size: fields.vocab_size,
            hidden_size: fields.hidden_size,
            num_hidden_layers: fields.num_hidden_layers,
            num_attention_heads: fields.num_attention_heads,
            intermediate_size: fields.intermediate_size,
            max_position_embeddings: fields.max_position_embeddings,
            type_vocab_size: fields.type_vocab_size,
            layer_norm_eps: fields.layer_norm_eps,
            activation: activation(fields.hidden_act.as_deref().unwrap_or("gelu"))?,
            hidden_dropout: fields.hidden_dropout_prob.unwrap_or(0.1),
            attention_dropout: fields.attention_probs_dropout_prob.unwrap_or(0.1),
            pad_token_id: fields.pad_token_id.unwrap_or(if family == Family::Roberta {
                1
            } else {
                0
            }),
            raw,
        };
        config.check().map_err(wrong)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for (name, size) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            if size == 0 || size > 100_000_000 {
                return Err(format!("{name} is {size}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "num_attention_heads ({}) does not divide hidden_size ({})",
                self.num_attention_heads, self.hidden_size
            ));
        }
        if self.num_hidden_layers > MOST_LAYERS {
            return Err(format!("num_hidden_layers is {}", self.num_hidden_layers));
        }
        if self.pad_token_id as usize >= self.vocab_size {
            let (pad, size) = (self.pad_token_id, self.vocab_size);
            return Err(format!(
                "pad_token_id ({pad}) is beyond the vocabulary of {size}"
            ));
        }
        if self.max_length() == 0 {
            return Err(format!(
                "max_position_embeddings ({}) leaves no position after the padding index {}",
                self.max_position_embeddings, self.pad_token_id
            ));
        }
        Ok(())
    }

    /// The row of the position table that the first token takes: RoBERTa starts after its padding index.
    pub fn first_position(&self) -> usize {
        match self.family {
            Family::Bert => 0,
            Family::Roberta => self.pad_token_id as usize + 1,
        }
    }

    /// The longest sequence in tokens that there are positions for.
    pub fn max_length(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }

    /// The config of a student of this teacher: same family, vocabulary, positions and special tokens, its own size.
    pub fn student(&self, size: StudentSize) -> Self {
        let mut student = self.clone();
        student.num_hidden_layers = size.layers;
        student.hidden_size = size.hidden;
        student.num_attention_heads = size.heads;
        student.intermediate_size = size.ffn;
        student.hidden_dropout = size.dropout;
        student.attention_dropout = size.dropout;
        student.raw = student.student_json();
        student
    }

    fn student_json(&self) -> Map<String, Value> {
        // Only what every encoder has, so that no leftover of the teacher's task (labels, names) travels on.
        const KEPT: [&str; 10] = [
            "model_type",
            "vocab_size",
            "max_position_embeddings",
            "type_vocab_size",
            "layer_norm_eps",
            "hidden_act",
            "pad_token_id",
            "bos_token_id",
            "eos_token_id",
            "initializer_range",
        ];
        let mut json: Map<String, Value> = self
            .raw
            .iter()
            .filter(|(key, _)| KEPT.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let architecture = match self.model_type.as_str() {
            "roberta" => "RobertaModel",
            "xlm-roberta" => "XLMRobertaModel",
            "camembert" => "CamembertModel",
            _ => "BertModel",
        };
        let own = json!({
            "architectures": [architecture],
            "type_vocab_size": self.type_vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "hidden_dropout_prob": self.hidden_dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "position_embedding_type": "absolute",
        });
        if let Value::Object(own) = own {
            json.extend(own);
        }
        json
    }

    /// config.json of this model, with the element type of its weights (`float32`, `float16`).
    pub fn to_json(&self, dtype: &str) -> String {
        let mut json = self.raw.clone();
        json.insert("torch_dtype".into(), dtype.into());
        let mut text = serde_json::to_string_pretty(&Value::Object(json)).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// How many numbers a model of this config has, the pooler not counted.
pub fn parameter_count(config: &Config) -> u128 {
    let (h, f) = (config.hidden_size as u128, config.intermediate_size as u128);
    let tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size;
    let layer = 4 * (h * h + h) + 2 * h * f + f + h + 4 * h;
    tables as u128 * h + 2 * h + config.num_hidden_layers as u128 * layer
}

fn family(model_type: &str) -> Result<Family, ConfigError> {
    match model_type {
        "bert" => Ok(Family::Bert),
        "roberta" | "xlm-roberta" | "camembert" => Ok(Family::Roberta),
        _ => Err(ConfigError::Unsupported {
            field: "model_type",
            value: model_type.into(),
            supported: "bert, roberta, xlm-roberta, camembert",
        }),
    }
}

fn activation(name: &str) -> Result<Activation, ConfigError> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        _ => Err(ConfigError::Unsupported {
            field: "hidden_act",
            value: name.into(),
            supported: "gelu, gelu_new, gelu_pytorch_tanh, relu, silu",
        }),
    }
}
