//! Encoder families: what each calls the fields of its config.json and its tensors. To add one, write a file like those
//! beside this one and list it in [`FAMILIES`].

mod bert;
mod deberta;
mod distilbert;
mod electra;
mod eurobert;
mod family;
mod gemma3;
mod gte;
mod jina;
mod kinds;
mod llama;
mod modernbert;
mod mpnet;
mod nomic;
mod qwen3;
mod roberta;
mod rotary;

use serde_json::{Map, Value};

pub(crate) use family::{BIASED_HEAD, Family, Fields, POOLS};

/// All supported families, in the order in which messages list them. Of those of one `model_type` the first whose config.json it is
/// counts.
static FAMILIES: [&Family; 15] = [
    &jina::FAMILY,
    &bert::FAMILY,
    &roberta::FAMILY,
    &distilbert::FAMILY,
    &electra::FAMILY,
    &modernbert::FAMILY,
    &mpnet::FAMILY,
    &nomic::OLDER,
    &nomic::FAMILY,
    &gte::FAMILY,
    &gte::OLDER,
    &eurobert::FAMILY,
    &qwen3::FAMILY,
    &gemma3::FAMILY,
    &deberta::FAMILY,
];

/// The family of a config.json of a `model_type`, or else every `model_type` that is supported.
pub(crate) fn of(model_type: &str, config: &Map<String, Value>) -> Result<&'static Family, String> {
    let is_its = |family: &&Family| family.class(model_type).is_some() && (family.is_meant)(config);
    FAMILIES.into_iter().find(is_its).ok_or_else(|| {
        let models = FAMILIES.iter().flat_map(|family| family.models);
        let mut supported: Vec<&str> = models.map(|(model_type, _)| *model_type).collect();
        supported.dedup();
        supported.join(", ")
    })
}
