//! DistilBERT (Sanh et al. 2019, <https://arxiv.org/abs/1910.01108>): BERT without token types, with a fixed epsilon, and with
//! keys and names of its own for all but the embeddings. Training drops no values of attention's output.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/distilbert/configuration_distilbert.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/distilbert/modeling_distilbert.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields, Keys};
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::layout::Names;
use crate::shape::Shape;

pub(super) static FAMILY: Family = Family {
    models: &[("distilbert", "DistilBertModel")],
    keys: Keys {
        hidden_size: "dim",
        num_hidden_layers: "n_layers",
        num_attention_heads: "n_heads",
        intermediate_size: "hidden_dim",
        activation: "activation",
        hidden_dropout: "dropout",
        attention_dropout: "attention_dropout",
        ..bert::KEYS
    },
    names: Names {
        layer: "transformer.layer",
        query: "attention.q_lin",
        key: "attention.k_lin",
        value: "attention.v_lin",
        output: "attention.out_lin",
        attention_norm: "sa_layer_norm",
        up: "ffn.lin1",
        down: "ffn.lin2",
        norm: "output_layer_norm",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "distilbert.",
        dense: "pre_classifier",
        output: "classifier",
        activation: HeadActivation::Relu,
        drops_input: false,
        ..FamilyHead::PLAIN
    },
    read,
    inherited: &[],
    write,
    ..Family::PLAIN
};

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    Ok(Shape {
        drops_attention_output: false,
        ..fields.shape()?
    })
}

/// Sinusoidal positions are a table in the weights like any other; a student learns its own.
fn write(_: &Shape) -> Vec<(&'static str, Value)> {
    vec![("sinusoidal_pos_embds", json!(false))]
}
