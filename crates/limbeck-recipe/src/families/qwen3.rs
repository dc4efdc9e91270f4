//! Qwen3 (Yang et al. 2025, <https://arxiv.org/abs/2505.09388>), the embedding models above all (Qwen3-Embedding; Zhang et al. 2025,
//! <https://arxiv.org/abs/2506.05176>): a causal decoder, whose last token is the vector of a text.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/qwen3/configuration_qwen3.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/qwen3/modeling_qwen3.py>

use super::family::{Family, Fields};
use super::llama::{self, LLAMA};
use super::rotary;
use crate::error::ConfigError;
use crate::layout::Names;
use crate::shape::{Activation, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("qwen3", "Qwen3Model")],
    names: Names {
        query_norm: "self_attn.q_norm",
        key_norm: "self_attn.k_norm",
        ..LLAMA.names
    },
    // Its padding is the token that ends a text; config.json names none.
    pad_token_id: 151_643,
    read,
    ..LLAMA
};

const WINDOW: &str = "use_sliding_window";

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let positions = rotary::unscaled(fields, 10_000.0)?;
    if fields.optional(WINDOW)?.unwrap_or(false) {
        return Err(fields.unsupported(WINDOW, "true", "false"));
    }
    let shape = llama::shape(fields, positions, Activation::Silu, 1e-6)?;
    Ok(Shape {
        head_size: shape.head_size.or(Some(128)),
        is_causal: true,
        norms_heads: true,
        ..shape
    })
}
