//! ELECTRA (Clark et al. 2020, <https://arxiv.org/abs/2003.10555>), the discriminator: BERT, but the embedding tables may
//! have a width of their own, from which a linear layer leads to H. A student's tables are as wide as its teacher's, but
//! never wider than the student.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/electra/configuration_electra.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/electra/modeling_electra.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields};
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::shape::Shape;

pub(super) static FAMILY: Family = Family {
    models: &[("electra", "ElectraModel")],
    head: FamilyHead {
        prefix: "electra.",
        dense: "classifier.dense",
        output: "classifier.out_proj",
        activation: HeadActivation::Gelu,
        drops_input: true,
        ..FamilyHead::PLAIN
    },
    read,
    write,
    ..Family::PLAIN
};

const WIDTH: &str = "embedding_size";

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let shape = bert::read(fields)?;
    // `transformers` takes 128 where config.json says nothing.
    let width = fields.optional(WIDTH)?.unwrap_or(128);
    Ok(Shape {
        embedding_size: Some(width),
        ..shape
    })
}

fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    let mut fields = bert::write(shape);
    fields.push((WIDTH, json!(shape.embedding_width())));
    fields
}
