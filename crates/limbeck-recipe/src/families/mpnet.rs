//! MPNet (Song et al. 2020, <https://arxiv.org/abs/2004.09297>): RoBERTa, but how far apart two tokens are is added to their scores,
//! by one table that all layers share.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/mpnet/configuration_mpnet.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/mpnet/modeling_mpnet.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields};
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::layout::Names;
use crate::shape::{Positions, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("mpnet", "MPNetModel")],
    names: Names {
        query: "attention.attn.q",
        key: "attention.attn.k",
        value: "attention.attn.v",
        output: "attention.attn.o",
        attention_norm: "attention.LayerNorm",
        distances: "encoder.relative_attention_bias",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "mpnet.",
        dense: "classifier.dense",
        output: "classifier.out_proj",
        activation: HeadActivation::Tanh,
        drops_input: true,
        ..FamilyHead::PLAIN
    },
    pad_token_id: PADDING,
    counts_from_padding: true,
    read,
    write,
    ..Family::PLAIN
};

/// The index that positions are counted from, whatever token pads.
const PADDING: u32 = 1;
const BUCKETS: &str = "relative_attention_num_buckets";
/// The buckets that the code computes with, whatever config.json says.
const COMPUTED: usize = 32;

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let buckets: usize = fields.optional(BUCKETS)?.unwrap_or(COMPUTED);
    if buckets != COMPUTED {
        return Err(fields.unsupported(BUCKETS, &buckets.to_string(), "32"));
    }
    Ok(Shape {
        positions: Positions::Learned {
            rows: fields.required(fields.keys.longest)?,
            first: PADDING as usize + 1,
            uncounted: Some(PADDING),
        },
        type_vocab_size: 0,
        distance_buckets: buckets,
        ..bert::read(fields)?
    })
}

fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    vec![(BUCKETS, json!(shape.distance_buckets))]
}
