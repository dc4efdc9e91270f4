//! Gemma 3 for text (Gemma Team 2025, <https://arxiv.org/abs/2503.19786>), EmbeddingGemma above all (Vera et al. 2025,
//! <https://arxiv.org/abs/2509.20354>), which attends to both sides. Norms on either side of each part; most layers attend to a window
//! of near tokens, with angles of their own.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/gemma3/configuration_gemma3.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/gemma3/modeling_gemma3.py>

use super::family::{Family, Fields, Keys};
use super::kinds::{self, Kind};
use super::llama::{self, LLAMA};
use crate::error::ConfigError;
use crate::layout::Names;
use crate::shape::{Activation, Local, NormKind, NormPlace, Positions, Reach, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("gemma3_text", "Gemma3TextModel")],
    keys: Keys {
        activation: "hidden_activation",
        ..LLAMA.keys
    },
    names: Names {
        query_norm: "self_attn.q_norm",
        key_norm: "self_attn.k_norm",
        attended_norm: "post_attention_layernorm",
        norm: "pre_feedforward_layernorm",
        fed_norm: "post_feedforward_layernorm",
        ..LLAMA.names
    },
    read,
    ..LLAMA
};

const GLOBAL: Kind = (kinds::GLOBAL, "rope_theta", 1_000_000.0);
const LOCAL: Kind = (kinds::LOCAL, "rope_local_base_freq", 10_000.0);
const BOTH_SIDES: &str = "use_bidirectional_attention";
const WINDOW: &str = "sliding_window";
const PATTERN: &str = "sliding_window_pattern";
const SCALAR: &str = "query_pre_attn_scalar";
const CAPPED: &str = "attn_logit_softcapping";

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    fields.require_none(CAPPED)?;
    let positions = Positions::Rotary {
        longest: fields.required(fields.keys.longest)?,
        angles: kinds::angles(fields, GLOBAL, true)?,
    };
    let shape = llama::shape(fields, positions, Activation::GeluTanh, 1e-6)?;
    let is_causal = !fields.nullable(BOTH_SIDES)?.unwrap_or(false);
    let window: usize = fields.nullable(WINDOW)?.unwrap_or(4096);
    if window == 0 {
        return Err(fields.wrong(format!("{WINDOW} is 0, and must be 1 or more")));
    }
    let scalar: f64 = fields.optional(SCALAR)?.unwrap_or(256.0);
    if !(scalar.is_finite() && scalar > 0.0) {
        return Err(fields.wrong(format!("{SCALAR} is {scalar}, and must be above 0")));
    }
    Ok(Shape {
        head_size: shape.head_size.or(Some(256)),
        key_value_heads: shape.key_value_heads.or(Some(4)),
        local: Some(Local {
            // A token counts to its own window where it looks back alone.
            reach: Reach::local(if is_causal { window - 1 } else { window / 2 }),
            angles: kinds::angles(fields, LOCAL, false)?,
            layers: kinds::local(fields, shape.num_hidden_layers, (PATTERN, 6), 1)?,
        }),
        is_causal,
        norms_heads: true,
        score_width: Some(scalar),
        scales_words: true,
        norm_place: NormPlace::Around,
        norm_kind: NormKind::MeanSquareFromOne,
        ..shape
    })
}
