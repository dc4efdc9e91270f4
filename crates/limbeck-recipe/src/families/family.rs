//! What a family of encoders says of its config.json and its tensors, and the fields of a config.json that is being read.

use std::ops::Deref;

use serde_json::{Map, Value, json};

use super::bert;
use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::json::{Object, short};
use crate::layout::Names;
use crate::shape::{Activation, NormKind, NormPlace, Positions, Shape};

/// Where a family whose head may read the mean says so.
pub(crate) const POOLS: &str = "classifier_pooling";
/// Where a family whose head may have a bias says so.
pub(crate) const BIASED_HEAD: &str = "classifier_bias";
const POSITIONS: &str = "position_embedding_type";
const PRUNED: &str = "pruned_heads";

/// A family of encoders: the two halves of its config.json, reading and writing, and its tensors' names.
pub(crate) struct Family {
    /// Each `model_type` of the family, with the class of its encoder in `transformers`.
    pub models: &'static [(&'static str, &'static str)],
    /// Whether a config.json of one of these is this family's, where another family has the same `model_type`.
    pub is_meant: fn(&Map<String, Value>) -> bool,
    /// The family that students are written as, where it is another one.
    pub of_students: Option<&'static Family>,
    /// Its keys for what every encoder has.
    pub keys: Keys,
    /// Its tensors' names.
    pub names: Names,
    /// The head that classifies sequences.
    pub head: FamilyHead,
    /// The padding token where config.json names none.
    pub pad_token_id: u32,
    /// Whether positions are counted from the padding token, so that null is none of its values.
    pub counts_from_padding: bool,
    /// The layer that MiniLMv2 (section 4) taps in a teacher of 24 layers, for families that the paper covers.
    pub layer_of_24: Option<usize>,
    /// Reads what the family's config.json says: usually [`Fields::shape`], then what is the family's own.
    pub read: fn(&Fields) -> Result<Shape, ConfigError>,
    /// The shape of the family in which the students of a teacher of this one are written, where teachers are all that it has: with the
    /// teacher's tokens and positions, whatever else the teacher computes.
    pub student_shape: Option<fn(&Shape) -> Shape>,
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
    /// The most positions.
    pub longest: &'static str,
    /// Activation of the feed-forward part.
    pub activation: &'static str,
    /// Dropout of hidden values.
    pub hidden_dropout: &'static str,
    /// Dropout of attention probabilities.
    pub attention_dropout: &'static str,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: &'static str,
}

impl Keys {
    /// The sizes and dropouts of a shape under these keys.
    pub fn own(&self, shape: &Shape) -> [(&'static str, Value); 6] {
        [
            (self.hidden_size, json!(shape.hidden_size)),
            (self.num_hidden_layers, json!(shape.num_hidden_layers)),
            (self.num_attention_heads, json!(shape.num_attention_heads)),
            (self.intermediate_size, json!(shape.intermediate_size)),
            (self.hidden_dropout, json!(shape.hidden_dropout)),
            (self.attention_dropout, json!(shape.attention_dropout)),
        ]
    }
}

impl Family {
    /// What most families have, for theirs to begin with: BERT's.
    pub const PLAIN: Self = Self {
        models: &[],
        is_meant: |_| true,
        of_students: None,
        keys: bert::KEYS,
        names: bert::NAMES,
        head: bert::HEAD,
        pad_token_id: 0,
        counts_from_padding: false,
        layer_of_24: None,
        read: bert::read,
        student_shape: None,
        inherited: bert::INHERITED,
        write: bert::write,
    };

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
    /// All fields.
    pub object: Object<'a>,
    /// The family's keys.
    pub keys: &'a Keys,
    /// Id of the padding token.
    pub pad_token_id: u32,
}

impl<'a> Deref for Fields<'a> {
    type Target = Object<'a>;

    fn deref(&self) -> &Object<'a> {
        &self.object
    }
}

impl Fields<'_> {
    /// Refuses a key that is anything but null.
    pub fn require_none(&self, key: &'static str) -> Result<(), ConfigError> {
        match self.map.get(key).filter(|value| !value.is_null()) {
            Some(value) => Err(self.unsupported(key, &short(value), "none (null)")),
            None => Ok(()),
        }
    }

    /// Refuses what would make another encoder than the shape says.
    fn require_encoder(&self) -> Result<(), ConfigError> {
        for key in ["is_decoder", "add_cross_attention"] {
            if self.optional(key)?.unwrap_or(false) {
                return Err(self.unsupported(key, "true", "encoders (false)"));
            }
        }
        let pruned = self.map.get(PRUNED).filter(|heads| match heads {
            Value::Object(heads) => !heads.is_empty(),
            heads => !heads.is_null(),
        });
        match pruned {
            Some(heads) => Err(self.unsupported(PRUNED, &short(heads), "none ({})")),
            None => Ok(()),
        }
    }

    /// The probability that training drops a value, where config.json says nothing `usual`.
    pub fn dropout(&self, key: &str, usual: f64) -> Result<f64, ConfigError> {
        let dropout = self.optional(key)?.unwrap_or(usual);
        match (0.0..1.0).contains(&dropout) {
            true => Ok(dropout),
            false => Err(self.wrong(format!(
                "{key} is {dropout}, and must be at least 0 and below 1"
            ))),
        }
    }

    /// The activation of the feed-forward part, where config.json says nothing `usual`.
    pub fn activation(&self, usual: Activation) -> Result<Activation, ConfigError> {
        let key = self.keys.activation;
        let Some(name) = self.optional::<String>(key)? else {
            return Ok(usual);
        };
        Activation::named(&name).map_err(|supported| self.unsupported(key, &name, supported))
    }

    /// The shape that follows from the fields that every family has: learned positions from 0, no token types, an epsilon
    /// of 1e-12. A decoder, relative positions and pruned heads are refused.
    pub fn shape(&self) -> Result<Shape, ConfigError> {
        let positions: Option<String> = self.optional(POSITIONS)?;
        if let Some(value) = positions.filter(|positions| positions != "absolute") {
            return Err(self.unsupported(POSITIONS, &value, "absolute"));
        }
        let positions = Positions::Learned {
            rows: self.required(self.keys.longest)?,
            first: 0,
            uncounted: None,
        };
        self.of_positions(positions, 0.1)
    }

    /// The same with other positions, whatever `position_embedding_type` says, and with a dropout where config.json says nothing.
    pub fn of_positions(&self, positions: Positions, dropout: f64) -> Result<Shape, ConfigError> {
        self.require_encoder()?;
        let keys = self.keys;
        let activation = self.activation(Activation::Gelu)?;
        Ok(Shape {
            vocab_size: self.required("vocab_size")?,
            embedding_size: None,
            hidden_size: self.required(keys.hidden_size)?,
            num_hidden_layers: self.required(keys.num_hidden_layers)?,
            num_attention_heads: self.required(keys.num_attention_heads)?,
            head_size: None,
            key_value_heads: None,
            intermediate_size: self.required(keys.intermediate_size)?,
            positions,
            type_vocab_size: 0,
            distance_buckets: 0,
            local: None,
            scales_words: false,
            is_causal: false,
            norms_heads: false,
            score_width: None,
            norms_embeddings: true,
            projects_first: false,
            norm_place: NormPlace::After,
            norm_kind: NormKind::MeanVariance,
            norm_bias: true,
            attention_bias: true,
            up_bias: true,
            down_bias: true,
            layer_norm_eps: 1e-12,
            is_gated: false,
            activation,
            hidden_dropout: self.dropout(keys.hidden_dropout, dropout)?,
            attention_dropout: self.dropout(keys.attention_dropout, dropout)?,
            drops_attention_output: true,
            drops_units: false,
            drops_fed: true,
        })
    }
}
