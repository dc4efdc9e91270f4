//! RoBERTa (Liu et al. 2019, <https://arxiv.org/abs/1907.11692>), XLM-R (Conneau et al. 2020,
//! <https://arxiv.org/abs/1911.02116>) and CamemBERT (Martin et al. 2020, <https://arxiv.org/abs/1911.03894>): BERT, but the
//! first token takes the position behind the padding index, and the padding token that index itself.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/roberta/configuration_roberta.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/roberta/modeling_roberta.py>

use super::bert;
use super::family::{Family, Fields};
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::shape::{Positions, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[
        ("roberta", "RobertaModel"),
        ("xlm-roberta", "XLMRobertaModel"),
        ("camembert", "CamembertModel"),
    ],
    head: FamilyHead {
        prefix: "roberta.",
        dense: "classifier.dense",
        output: "classifier.out_proj",
        activation: HeadActivation::Tanh,
        drops_input: true,
        ..FamilyHead::PLAIN
    },
    pad_token_id: 1,
    counts_from_padding: true,
    layer_of_24: Some(19),
    read,
    ..Family::PLAIN
};

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    Ok(Shape {
        positions: Positions::Learned {
            rows: fields.required(fields.keys.longest)?,
            first: fields.pad_token_id as usize + 1,
            uncounted: Some(fields.pad_token_id),
        },
        ..bert::read(fields)?
    })
}
