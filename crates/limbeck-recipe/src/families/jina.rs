//! JinaBERT (jina-embeddings-v2 of English, German, Spanish and Chinese; Günther et al. 2023, <https://arxiv.org/abs/2310.19923>):
//! BERT with a gated feed-forward part, where scores fall with the distance between two tokens. Its `model_type` is BERT's, and its
//! code is not in transformers: a student opens with the teacher's (`trust_remote_code=True`).
//!
//! - Config: <https://huggingface.co/jinaai/jina-bert-implementation/blob/main/configuration_bert.py>
//! - Code: <https://huggingface.co/jinaai/jina-bert-implementation/blob/main/modeling_bert.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields};
use crate::error::ConfigError;
use crate::layout::Names;
use crate::shape::{Activation, Positions, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("bert", "JinaBertModel")],
    is_meant: |map| map.get(POSITIONS).is_some_and(|kind| kind == SLOPES),
    names: Names {
        up: "mlp.gated_layers",
        gate: "mlp.gated_layers",
        down: "mlp.wo",
        norm: "mlp.layernorm",
        ..bert::NAMES
    },
    read,
    inherited: &["layer_norm_eps", CODE, "attn_implementation"],
    write,
    ..Family::PLAIN
};

const POSITIONS: &str = "position_embedding_type";
const SLOPES: &str = "alibi";
const FEED_FORWARD: &str = "feed_forward_type";
/// Where the code of the model is.
const CODE: &str = "auto_map";
/// Code that computes something else (jina-embeddings-v2-base-code): it normalises queries and keys.
const OTHER_CODE: &str = "jina-bert-v2-qk-post-norm";

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let code = fields.map.get(CODE).map(Value::to_string);
    if code.is_some_and(|code| code.contains(OTHER_CODE)) {
        return Err(fields.unsupported(CODE, OTHER_CODE, "jina-bert-implementation"));
    }
    let gated: Option<String> = fields.optional(FEED_FORWARD)?;
    let activation = match gated.as_deref() {
        Some("geglu") => Activation::Gelu,
        Some("reglu") => Activation::Relu,
        // What the code takes where config.json says nothing.
        other => {
            let other = other.unwrap_or("original");
            return Err(fields.unsupported(FEED_FORWARD, other, "geglu, reglu"));
        }
    };
    let positions = Positions::Slopes {
        longest: fields.required(fields.keys.longest)?,
    };
    let shape = fields.of_positions(positions, 0.1)?;
    Ok(Shape {
        type_vocab_size: fields.optional("type_vocab_size")?.unwrap_or(2),
        layer_norm_eps: fields
            .optional(fields.keys.layer_norm_eps)?
            .unwrap_or(1e-12),
        is_gated: true,
        activation,
        up_bias: false,
        drops_units: true,
        drops_fed: false,
        ..shape
    })
}

fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    let gated = match shape.activation {
        Activation::Relu => "reglu",
        _ => "geglu",
    };
    vec![
        ("type_vocab_size", json!(shape.type_vocab_size)),
        (POSITIONS, json!(SLOPES)),
        (FEED_FORWARD, json!(gated)),
    ]
}
