//! GTE (gte-base-en-v1.5, gte-multilingual-base, snowflake-arctic-embed-m-v2.0; Zhang et al. 2024, <https://arxiv.org/abs/2407.19669>):
//! BERT with rotary positions and a gated feed-forward part. Its models came with code of their own and the `model_type` `new` before
//! transformers had the family as `gte`; a student is written as that.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/gte/configuration_gte.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/gte/modeling_gte.py>
//! - The older code: <https://huggingface.co/Alibaba-NLP/new-impl/blob/main/modeling.py>

use serde_json::{Map, Value, json};

use super::bert;
use super::family::{Family, Fields};
use super::rotary;
use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::json::{Object, short};
use crate::layout::Names;
use crate::shape::{Angles, Positions, Shape};

pub(super) static FAMILY: Family = GTE;

/// Under its older name, with what the older code takes where config.json says nothing.
pub(super) static OLDER: Family = Family {
    models: &[("new", "GteModel")],
    of_students: Some(&FAMILY),
    pad_token_id: 0,
    read: |fields| shape(fields, 10_000.0),
    ..GTE
};

const GTE: Family = Family {
    models: &[("gte", "GteModel")],
    names: Names {
        query: QKV,
        key: QKV,
        value: QKV,
        output: "attention.o_proj",
        attention_norm: "attn_ln",
        up: "mlp.up_gate_proj",
        gate: "mlp.up_gate_proj",
        // What the activation is applied to is the second part, which is called the gate there.
        gate_first: true,
        down: "mlp.down_proj",
        norm: "mlp_ln",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "gte.",
        dense: "gte.pooler.dense",
        ..bert::HEAD
    },
    pad_token_id: 1,
    read: |fields| shape(fields, 160_000.0),
    write,
    ..Family::PLAIN
};

const QKV: &str = "attention.qkv_proj";
const TYPES: &str = "type_vocab_size";

/// Keys of the older code, each with the one value that says what is computed here, which is what it takes where config.json says
/// nothing.
const FIXED: [(&str, &str); 2] = [
    ("layer_norm_type", "layer_norm"),
    ("position_embedding_type", "rope"),
];
const PACKED: &str = "pack_qkv";
const LONG_SCALE: &str = "logn_attention_scale";

fn shape(fields: &Fields, usual: f64) -> Result<Shape, ConfigError> {
    for (key, fixed) in FIXED {
        let value: Option<String> = fields.optional(key)?;
        if let Some(value) = value.filter(|value| value != fixed) {
            return Err(fields.unsupported(key, &value, fixed));
        }
    }
    if !fields.optional(PACKED)?.unwrap_or(true) {
        return Err(fields.unsupported(PACKED, "false", "true"));
    }
    if fields.optional(LONG_SCALE)?.unwrap_or(false) {
        return Err(fields.unsupported(LONG_SCALE, "true", "false"));
    }
    let longest = fields.required(fields.keys.longest)?;
    let angles = rotary::of_all(fields, usual)?;
    let shape = fields.of_positions(Positions::Rotary { longest, angles }, 0.1)?;
    Ok(Shape {
        positions: Positions::Rotary {
            longest,
            angles: scaled(fields, angles, &shape)?,
        },
        type_vocab_size: fields.optional(TYPES)?.unwrap_or(1),
        up_bias: false,
        layer_norm_eps: fields
            .optional(fields.keys.layer_norm_eps)?
            .unwrap_or(1e-12),
        is_gated: true,
        attention_dropout: fields.dropout(fields.keys.attention_dropout, 0.0)?,
        drops_units: true,
        ..shape
    })
}

/// The angles as the older code scales them by a factor (NTK, <https://kexue.fm/archives/9706>): the base grows with the factor, and
/// what turns fastest slows down a little, too. Of heads of another width that is the same base and the same stretch.
fn scaled(fields: &Fields, angles: Angles, shape: &Shape) -> Result<Angles, ConfigError> {
    let Some(map) = fields.nullable::<Map<String, Value>>(rotary::SCALING)? else {
        return Ok(angles);
    };
    let object = Object {
        map: &map,
        ..fields.object
    };
    let is_mixed = map.get("mixed_b").is_some_and(|mixed| !mixed.is_null());
    if is_mixed || rotary::kind(&object)?.as_deref() != Some("ntk") {
        let shown = short(&json!(map));
        return Err(fields.unsupported(
            rotary::SCALING,
            &shown,
            "none (null), or a factor of the type ntk",
        ));
    }
    let factor = rotary::factor(&object)?;
    let width = shape.hidden_size / shape.num_attention_heads.max(1);
    let stretch = factor.powf(2.0 / width.max(1) as f64);
    // Twelve digits, which the file of a student holds as they are.
    let rounded = |x: f64| format!("{x:.11e}").parse().unwrap_or(x);
    Ok(Angles {
        theta: rounded(angles.theta * factor),
        stretch: rounded(angles.stretch * stretch),
    })
}

fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    let mut fields = vec![(TYPES, json!(shape.type_vocab_size))];
    let angles = shape.angles(0).map(rotary::value);
    fields.extend(angles.map(|angles| (rotary::ANGLES, angles)));
    fields
}
