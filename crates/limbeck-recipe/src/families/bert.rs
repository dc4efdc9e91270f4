//! BERT (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>): learned positions from 0, token types, a LayerNorm after
//! attention and after the feed-forward part. RoBERTa and ELECTRA build on what stands here.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/bert/configuration_bert.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/bert/modeling_bert.py>

use serde_json::{Value, json};

use super::family::{Family, Fields, Keys};
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::layout::Names;
use crate::shape::Shape;

pub(super) static FAMILY: Family = Family {
    models: &[("bert", "BertModel")],
    layer_of_24: Some(21),
    ..Family::PLAIN
};

/// The pooler belongs to the encoder's checkpoints.
pub(super) const HEAD: FamilyHead = FamilyHead {
    prefix: "bert.",
    dense: "bert.pooler.dense",
    output: "classifier",
    activation: HeadActivation::Tanh,
    drops_input: false,
    ..FamilyHead::PLAIN
};

pub(super) const KEYS: Keys = Keys {
    hidden_size: "hidden_size",
    num_hidden_layers: "num_hidden_layers",
    num_attention_heads: "num_attention_heads",
    intermediate_size: "intermediate_size",
    longest: "max_position_embeddings",
    activation: "hidden_act",
    hidden_dropout: "hidden_dropout_prob",
    attention_dropout: "attention_probs_dropout_prob",
    layer_norm_eps: "layer_norm_eps",
};

pub(super) const NAMES: Names = Names {
    word: "embeddings.word_embeddings",
    position: "embeddings.position_embeddings",
    token_type: "embeddings.token_type_embeddings",
    embedding_norm: "embeddings.LayerNorm",
    // ELECTRA's alone: BERT's tables are H wide.
    embedding_projection: "embeddings_project",
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm: "output.LayerNorm",
    // Neither BERT nor its kin have these.
    query_norm: "",
    key_norm: "",
    attended_norm: "",
    fed_norm: "",
    gate: "",
    gate_first: false,
    last_norm: "",
    distances: "",
    distances_norm: "",
    distance_key: "",
    distance_query: "",
};

pub(super) const INHERITED: &[&str] = &["layer_norm_eps"];

pub(super) fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let shape = fields.shape()?;
    let types = fields.optional("type_vocab_size")?;
    let eps = fields.optional("layer_norm_eps")?;
    Ok(Shape {
        // What `transformers` takes where config.json says nothing.
        type_vocab_size: types.unwrap_or(2),
        layer_norm_eps: eps.unwrap_or(1e-12),
        ..shape
    })
}

pub(super) fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    vec![
        ("type_vocab_size", json!(shape.type_vocab_size)),
        ("position_embedding_type", json!("absolute")),
    ]
}
