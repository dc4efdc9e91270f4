//! What a family of encoders says of its config.json and its tensors, and the fields of a config.json that is being read.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::layout::Names;
use crate::shape::{Activation, Positions, Shape};

/// A family of encoders: the two halves of its config.json, reading and writing, and its tensors' names.
pub(crate) struct Family {
    /// Each `model_type` of the family, with the class of its encoder in `transformers`.
    pub models: &'static [(&'static str, &'static str)],
    /// Its keys for what every encoder has.
    pub keys: Keys,
    /// Its tensors' names.
    pub names: Names,
    /// The head that classifies sequences.
    pub head: FamilyHead,
    /// The padding token where config.json names none.
    pub pad_token_id: u32,
    /// The layer that MiniLMv2 (section 4) taps in a teacher of 24 layers, for families that the paper covers.
    pub layer_of_24: Option<usize>,
    /// Reads what the family's config.json says: usually [`Fields::shape`], then what is the family's own.
    pub read: fn(&Fields) -> Result<Shape, ConfigError>,
    /// Further keys that a student inherits as its teacher has them.
    pub inherited: &'static [&'static str],
    /// Further keys that a student's shape decides, with their values.
    pub write: fn(&Shape) -> Vec<(&'static str, Value)>,
}

/// The keys of config.json for what every encoder has but families name differently.
pub(crate) struct Keys {
    /// Hidden size H.
    pub hidden_size: &'static str,
    /// Number of layers L.
    pub num_hidden_layers: &'static str,
    /// Attention heads.
    pub num_attention_heads: &'static str,
    /// Width of the feed-forward part.
    pub intermediate_size: &'static str,
    /// Activation of the feed-forward part.
    pub activation: &'static str,
    /// Dropout of hidden values.
    pub hidden_dropout: &'static str,
    /// Dropout of attention probabilities.
    pub attention_dropout: &'static str,
}

impl Family {
    /// The class of a `model_type`'s encoder in `transformers`, if it is of this family.
    pub fn class(&self, model_type: &str) -> Option<&'static str> {
        let mut models = self.models.iter();
        models
            .find(|(known, _)| *known == model_type)
            .map(|(_, class)| *class)
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Family").field(&self.models).finish()
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.models == other.models
    }
}

/// The fields of a config.json that is being read.
pub(crate) struct Fields<'a> {
    /// The file, for errors.
    pub file: &'a str,
    /// All fields.
    pub map: &'a Map<String, Value>,
    /// The family's keys.
    pub keys: &'a Keys,
    /// Id of the padding token.
    pub pad_token_id: u32,
}

impl Fields<'_> {
    fn wrong(&self, reason: String) -> ConfigError {
        ConfigError::Wrong {
            file: self.file.to_owned(),
            reason,
        }
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T, ConfigError> {
        let value = self
            .map
            .get(key)
            .ok_or_else(|| self.wrong(format!("missing field `{key}`")))?;
        serde_json::from_value(value.clone()).map_err(|e| self.wrong(e.to_string()))
    }

    /// A field that may be left out or null.
    pub fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        match self.map.get(key) {
            None => Ok(None),
            Some(value) => {
                serde_json::from_value(value.clone()).map_err(|e| self.wrong(e.to_string()))
            }
        }
    }

    /// The shape that follows from the fields that every family has: learned positions from 0, no token types, an epsilon
    /// of 1e-12.
    pub fn shape(&self) -> Result<Shape, ConfigError> {
        let keys = self.keys;
        let activation: Option<String> = self.optional(keys.activation)?;
        Ok(Shape {
            vocab_size: self.required("vocab_size")?,
            embedding_size: None,
            hidden_size: self.required(keys.hidden_size)?,
            num_hidden_layers: self.required(keys.num_hidden_layers)?,
            num_attention_heads: self.required(keys.num_attention_heads)?,
            intermediate_size: self.required(keys.intermediate_size)?,
            positions: Positions::Learned {
                rows: self.required("max_position_embeddings")?,
                first: 0,
                uncounted: None,
            },
            type_vocab_size: 0,
            layer_norm_eps: 1e-12,
            activation: Activation::named(
                keys.activation,
                activation.as_deref().unwrap_or("gelu"),
            )?,
            hidden_dropout: self.optional(keys.hidden_dropout)?.unwrap_or(0.1),
            attention_dropout: self.optional(keys.attention_dropout)?.unwrap_or(0.1),
            drops_attention_output: true,
        })
    }
}
