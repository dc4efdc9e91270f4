//! What models have in common that are built as decoders are (LLaMA, Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>), whichever
//! way they attend: pre-norm with RMSNorm, no norm of the embeddings, rotary positions, grouped queries, a gated feed-forward part.
//!
//! They are teachers alone: their students are ModernBERT models with their tokens.

use super::bert;
use super::family::{Family, Fields, Keys};
use super::modernbert;
use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::layout::Names;
use crate::shape::{Activation, NormKind, NormPlace, Positions, Shape};

/// What their families begin with.
pub(super) const LLAMA: Family = Family {
    keys: Keys {
        attention_dropout: "attention_dropout",
        layer_norm_eps: "rms_norm_eps",
        ..bert::KEYS
    },
    names: Names {
        word: "embed_tokens",
        layer: "layers",
        query: "self_attn.q_proj",
        key: "self_attn.k_proj",
        value: "self_attn.v_proj",
        output: "self_attn.o_proj",
        attention_norm: "input_layernorm",
        // The activation is applied to what is called the gate there.
        up: "mlp.gate_proj",
        gate: "mlp.up_proj",
        down: "mlp.down_proj",
        norm: "post_attention_layernorm",
        last_norm: "norm",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "model.",
        ..bert::HEAD
    },
    of_students: Some(&modernbert::FAMILY),
    student_shape: Some(modernbert::with_tokens_of),
    inherited: &[],
    write: |_| Vec::new(),
    ..Family::PLAIN
};

const HEAD_WIDTH: &str = "head_dim";
const KEY_HEADS: &str = "num_key_value_heads";
const ATTENTION_BIAS: &str = "attention_bias";
const BIAS: &str = "mlp_bias";

/// What config.json says, with these positions, and with the activation and the epsilon where it says nothing.
pub(super) fn shape(
    fields: &Fields,
    positions: Positions,
    activation: Activation,
    eps: f64,
) -> Result<Shape, ConfigError> {
    let shape = fields.of_positions(positions, 0.0)?;
    let flag = |key| Ok(fields.optional(key)?.unwrap_or(false));
    let has_bias = flag(BIAS)?;
    Ok(Shape {
        head_size: fields.nullable(HEAD_WIDTH)?,
        key_value_heads: fields.nullable(KEY_HEADS)?,
        norms_embeddings: false,
        norm_place: NormPlace::Before,
        norm_kind: NormKind::MeanSquare,
        norm_bias: false,
        attention_bias: flag(ATTENTION_BIAS)?,
        up_bias: has_bias,
        down_bias: has_bias,
        layer_norm_eps: fields.optional(fields.keys.layer_norm_eps)?.unwrap_or(eps),
        is_gated: true,
        activation: fields.activation(activation)?,
        ..shape
    })
}
