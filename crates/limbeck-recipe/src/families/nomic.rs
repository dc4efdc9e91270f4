//! Nomic BERT (nomic-embed-text v1 and v1.5; Nussbaum et al. 2024, <https://arxiv.org/abs/2402.01613>): BERT with rotary positions
//! and a gated feed-forward part. Its models came with code and keys of their own, GPT-2's, before transformers had the family, and
//! other tools read those: a student has both.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/nomic_bert/configuration_nomic_bert.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/nomic_bert/modeling_nomic_bert.py>
//! - The older code: <https://huggingface.co/nomic-ai/nomic-bert-2048/blob/main/modeling_hf_nomic_bert.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields, Keys};
use super::rotary;
use crate::config::ROWS_MULTIPLE;
use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::layout::Names;
use crate::shape::{Activation, Positions, Shape};

pub(super) static FAMILY: Family = NOMIC;

/// In the older keys.
pub(super) static OLDER: Family = Family {
    is_meant: |map| !map.contains_key(bert::KEYS.hidden_size) && map.contains_key("n_embd"),
    of_students: Some(&FAMILY),
    keys: Keys {
        hidden_size: "n_embd",
        num_hidden_layers: "n_layer",
        num_attention_heads: "n_head",
        intermediate_size: "n_inner",
        longest: "n_positions",
        hidden_dropout: "resid_pdrop",
        attention_dropout: "attn_pdrop",
        layer_norm_eps: "layer_norm_epsilon",
        ..bert::KEYS
    },
    read: read_older,
    ..NOMIC
};

const NOMIC: Family = Family {
    models: &[("nomic_bert", "NomicBertModel")],
    names: Names {
        embedding_norm: "emb_ln",
        layer: "encoder.layers",
        query: "attn.Wqkv",
        key: "attn.Wqkv",
        value: "attn.Wqkv",
        output: "attn.out_proj",
        attention_norm: "norm1",
        up: "mlp.fc12",
        gate: "mlp.fc11",
        down: "mlp.fc2",
        norm: "norm2",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "nomic_bert.",
        dense: "nomic_bert.pooler.dense",
        ..bert::HEAD
    },
    read,
    inherited: &[],
    write,
    ..Family::PLAIN
};

const TYPES: &str = "type_vocab_size";
const HEAD_WIDTH: &str = "head_dim";
const OLDER_BASE: &str = "rotary_emb_base";
const OLDER_ACTIVATION: &str = "activation_function";
const FRACTION: &str = "rotary_emb_fraction";
const EXPERTS: &str = "moe_every_n_layers";
const SCALING: &str = "rotary_scaling_factor";
const TRAINED: &str = "max_trained_positions";

/// Biases, which the older code has where config.json says nothing, and transformers never, so that no student could have them.
const BIASES: [&str; 3] = ["qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"];

/// What the older code computes otherwise if a flag is set.
const FLAGS: [&str; 6] = [
    "prenorm",
    "causal",
    "parallel_block",
    "use_rms_norm",
    "norm_mlp",
    "rotary_emb_interleaved",
];

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let positions = rotary::unscaled(fields, 1000.0)?;
    let shape = shape(fields, positions, 0.0, 1e-12)?;
    let width: Option<usize> = fields.nullable(HEAD_WIDTH)?;
    let is_share =
        |width: &usize| width.checked_mul(shape.num_attention_heads) == Some(shape.hidden_size);
    if let Some(width) = width.filter(|width| !is_share(width)) {
        let supported = "hidden_size / num_attention_heads";
        return Err(fields.unsupported(HEAD_WIDTH, &width.to_string(), supported));
    }
    Ok(Shape {
        activation: fields.activation(Activation::Silu)?,
        ..shape
    })
}

/// With what the older code takes where config.json says nothing. It scales the angles of a text beyond the positions that the model
/// was trained on, if it scales any: the longest text is the longest that it does not scale.
fn read_older(fields: &Fields) -> Result<Shape, ConfigError> {
    for flag in FLAGS {
        if fields.optional(flag)?.unwrap_or(false) {
            return Err(fields.unsupported(flag, "true", "false"));
        }
    }
    for bias in BIASES {
        if fields.optional(bias)?.unwrap_or(true) {
            return Err(fields.unsupported(bias, "true", "false"));
        }
    }
    fields.require_none("rotary_emb_scale_base")?;
    fields.require_none("num_heads_kv")?;
    let fraction: f64 = fields.optional(FRACTION)?.unwrap_or(0.0);
    if fraction != 1.0 {
        return Err(fields.unsupported(FRACTION, &fraction.to_string(), "1"));
    }
    let experts: usize = fields.nullable(EXPERTS)?.unwrap_or(0);
    if experts > 0 {
        return Err(fields.unsupported(EXPERTS, &experts.to_string(), "0 (no experts)"));
    }
    let activation: String = fields.required(OLDER_ACTIVATION)?;
    let activation = match activation.as_str() {
        "swiglu" => Activation::Silu,
        "geglu" => Activation::Gelu,
        other => return Err(fields.unsupported(OLDER_ACTIVATION, other, "swiglu, geglu")),
    };
    let scaling: Option<f64> = fields.nullable(SCALING)?;
    let positions: usize = fields.required(fields.keys.longest)?;
    let longest = match scaling {
        Some(_) => positions.min(trained(fields)?),
        None => positions,
    };
    let base = fields.optional(OLDER_BASE)?.unwrap_or(10_000.0);
    let base = rotary::base(fields, OLDER_BASE, base, 1000.0)?;
    let angles = base.into();
    let positions = Positions::Rotary { longest, angles };
    let shape = shape(fields, positions, 0.1, 1e-5)?;
    // The table of words has whole multiples of rows.
    let multiple: usize = fields.optional(ROWS_MULTIPLE)?.unwrap_or(1);
    let rows = shape.vocab_size.checked_next_multiple_of(multiple);
    Ok(Shape {
        vocab_size: rows.unwrap_or(shape.vocab_size),
        activation,
        ..shape
    })
}

/// The longest text that the model was trained on.
fn trained(fields: &Fields) -> Result<usize, ConfigError> {
    match fields.optional(TRAINED)?.unwrap_or(2048) {
        0 => Err(fields.wrong(format!("{TRAINED} is 0"))),
        longest => Ok(longest),
    }
}

/// What the keys of both kinds say, with the dropout and the epsilon where config.json says nothing.
fn shape(
    fields: &Fields,
    positions: Positions,
    dropout: f64,
    eps: f64,
) -> Result<Shape, ConfigError> {
    let shape = fields.of_positions(positions, dropout)?;
    let keys = fields.keys;
    Ok(Shape {
        type_vocab_size: fields.optional(TYPES)?.unwrap_or(2),
        layer_norm_eps: fields.optional(keys.layer_norm_eps)?.unwrap_or(eps),
        is_gated: true,
        attention_bias: false,
        up_bias: false,
        down_bias: false,
        ..shape
    })
}

/// In the keys of transformers, and as far as they can say it in the older ones.
fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    let Positions::Rotary { longest, angles } = shape.positions else {
        return Vec::new();
    };
    let mut fields = vec![
        ("vocab_size", json!(shape.vocab_size)),
        (NOMIC.keys.longest, json!(longest)),
        (TYPES, json!(shape.type_vocab_size)),
        ("layer_norm_eps", json!(shape.layer_norm_eps)),
        ("hidden_act", json!(shape.activation.name())),
        (rotary::ANGLES, rotary::value(angles)),
    ];
    let activation = match shape.activation {
        Activation::Silu => "swiglu",
        Activation::Gelu => "geglu",
        Activation::GeluTanh | Activation::Relu => return fields,
    };
    if angles.stretch > 1.0 {
        return fields;
    }
    let keys = &OLDER.keys;
    fields.extend(keys.own(shape));
    fields.extend([
        (keys.layer_norm_eps, json!(shape.layer_norm_eps)),
        (keys.longest, json!(longest)),
        (TRAINED, json!(longest)),
        (SCALING, Value::Null),
        (OLDER_BASE, json!(angles.theta)),
        (FRACTION, json!(1.0)),
        (OLDER_ACTIVATION, json!(activation)),
        ("rotary_emb_interleaved", json!(false)),
        ("prenorm", json!(false)),
        ("causal", json!(false)),
    ]);
    fields.extend(BIASES.map(|bias| (bias, json!(false))));
    fields
}
