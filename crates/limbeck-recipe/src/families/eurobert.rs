//! EuroBERT (Boizard et al. 2025, <https://arxiv.org/abs/2503.05500>): an encoder that is built as LLaMA is, and attends to both sides.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/eurobert/configuration_eurobert.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/eurobert/modeling_eurobert.py>

use super::family::{Family, Fields};
use super::llama::{self, LLAMA};
use super::rotary;
use crate::error::ConfigError;
use crate::shape::{Activation, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("eurobert", "EuroBertModel")],
    pad_token_id: 128_001,
    read,
    ..LLAMA
};

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let positions = rotary::unscaled(fields, 10_000.0)?;
    llama::shape(fields, positions, Activation::Silu, 1e-5)
}
