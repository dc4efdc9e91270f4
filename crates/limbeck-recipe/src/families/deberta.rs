//! DeBERTa-v3 (He et al. 2021, <https://arxiv.org/abs/2111.09543>), mDeBERTa, and models of version 2 without a convolution: BERT
//! whose attention compares queries and keys with vectors of distances ([`Disentangled`]), and that has no table of positions.
//!
//! They are teachers alone: their students are ModernBERT models with their tokens.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/deberta_v2/configuration_deberta_v2.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/deberta_v2/modeling_deberta_v2.py>

use serde_json::Value;

use super::bert;
use super::family::{Family, Fields};
use super::modernbert;
use crate::config::LARGEST;
use crate::error::ConfigError;
use crate::head::FamilyHead;
use crate::layout::Names;
use crate::shape::{Disentangled, Positions, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("deberta-v2", "DebertaV2Model")],
    names: Names {
        embedding_projection: "embeddings.embed_proj",
        query: "attention.self.query_proj",
        key: "attention.self.key_proj",
        value: "attention.self.value_proj",
        distances: "encoder.rel_embeddings",
        distances_norm: "encoder.LayerNorm",
        distance_key: "attention.self.pos_key_proj",
        distance_query: "attention.self.pos_query_proj",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "deberta.",
        ..bert::HEAD
    },
    of_students: Some(&modernbert::FAMILY),
    student_shape: Some(modernbert::with_tokens_of),
    inherited: &[],
    read,
    write: |_| Vec::new(),
    ..Family::PLAIN
};

const RELATIVE: &str = "relative_attention";
const ADDED: &str = "position_biased_input";
const CONVOLUTION: &str = "conv_kernel_size";
const HEAD_WIDTH: &str = "attention_head_size";
const FARTHEST: &str = "max_relative_positions";
const BUCKETS: &str = "position_buckets";
const TERMS: &str = "pos_att_type";
const NORM: &str = "norm_rel_ebd";
const SHARED: &str = "share_att_key";

fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    // What `transformers` takes where config.json says nothing.
    for (key, usual, must_be) in [(RELATIVE, false, true), (ADDED, true, false)] {
        let is = fields.optional(key)?.unwrap_or(usual);
        if is != must_be {
            return Err(fields.unsupported(key, &is.to_string(), &must_be.to_string()));
        }
    }
    let kernel: i64 = fields.nullable(CONVOLUTION)?.unwrap_or(0);
    if kernel > 0 {
        let without = "0, models without a convolution, as those of DeBERTa-v3";
        return Err(fields.unsupported(CONVOLUTION, &kernel.to_string(), without));
    }
    let positions = Positions::Disentangled(disentangled(fields)?);
    let shape = fields.of_positions(positions, 0.1)?;
    let heads = shape.num_attention_heads;
    let width: Option<usize> = fields.nullable(HEAD_WIDTH)?;
    if let Some(width) = width.filter(|width| heads.checked_mul(*width) != Some(shape.hidden_size))
    {
        return Err(fields.wrong(format!(
            "{HEAD_WIDTH} is {width}, and {heads} such heads are not as wide as hidden_size ({})",
            shape.hidden_size
        )));
    }
    Ok(Shape {
        embedding_size: fields.nullable("embedding_size")?,
        projects_first: true,
        type_vocab_size: fields.optional("type_vocab_size")?.unwrap_or(0),
        layer_norm_eps: fields.optional(fields.keys.layer_norm_eps)?.unwrap_or(1e-7),
        ..shape
    })
}

fn disentangled(fields: &Fields) -> Result<Disentangled, ConfigError> {
    let longest = fields.required(fields.keys.longest)?;
    let positive = |key| {
        let number: Option<i64> = fields.optional(key)?;
        Ok(number
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number > 0))
    };
    let (given, buckets) = (positive(FARTHEST)?, positive(BUCKETS)?);
    for (key, number) in [(FARTHEST, given), (BUCKETS, buckets)] {
        if let Some(number) = number.filter(|number| *number > LARGEST) {
            return Err(fields.wrong(format!("{key} is {number}")));
        }
    }
    let farthest = given.unwrap_or(longest);
    let span = buckets.unwrap_or(farthest);
    // The nearer half of the buckets are single distances, and the others end at the farthest.
    if buckets.is_some_and(|buckets| buckets < 2 || buckets / 2 + 1 >= farthest) {
        return Err(fields.wrong(format!(
            "{BUCKETS} is {span}, and must be 2 or more, and half of it below {FARTHEST} - 1 ({farthest} - 1)"
        )));
    }
    let [terms, norms] = [
        (TERMS, &["c2p", "p2c"][..]),
        (NORM, &["none", "layer_norm"]),
    ]
    .map(|(key, known)| words(fields, key, known));
    let (terms, norms) = (terms?, norms?);
    let has = |words: &[String], word: &str| words.iter().any(|other| other == word);
    if terms.is_empty() {
        return Err(fields.unsupported(TERMS, "[]", "c2p, p2c, p2c|c2p"));
    }
    Ok(Disentangled {
        longest,
        span,
        farthest: buckets.map(|_| farthest),
        norms_table: has(&norms, "layer_norm"),
        has_keys: has(&terms, "c2p"),
        has_queries: has(&terms, "p2c"),
        shares_projections: fields.optional(SHARED)?.unwrap_or(false),
    })
}

/// The words of a field, in a list as they are or in a text with `|` between them, whatever their case; none where it is left out.
fn words(fields: &Fields, key: &'static str, known: &[&str]) -> Result<Vec<String>, ConfigError> {
    let lines: Vec<String> = fields.nullable(key)?.unwrap_or_default();
    let words: Vec<String> = match fields.map.get(key) {
        Some(Value::String(line)) => {
            let words = line.split('|').map(|word| word.trim().to_lowercase());
            words.filter(|word| !word.is_empty()).collect()
        }
        _ => lines,
    };
    match words.iter().find(|word| !known.contains(&word.as_str())) {
        Some(word) => Err(fields.unsupported(key, word, &known.join(", "))),
        None => Ok(words),
    }
}
