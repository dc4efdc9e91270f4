//! Encoder families: what each calls the fields of its config.json and its tensors. To add one, write a file like those
//! beside this one and list it in [`FAMILIES`].

mod bert;
mod distilbert;
mod electra;
mod family;
mod modernbert;
mod mpnet;
mod roberta;

pub(crate) use family::{Family, Fields, POOLS};

/// All supported families, in the order in which messages list them.
static FAMILIES: [&Family; 6] = [
    &bert::FAMILY,
    &roberta::FAMILY,
    &distilbert::FAMILY,
    &electra::FAMILY,
    &modernbert::FAMILY,
    &mpnet::FAMILY,
];

/// The family of a `model_type`, or else every one that is supported.
pub(crate) fn of(model_type: &str) -> Result<&'static Family, String> {
    let found = FAMILIES
        .into_iter()
        .find(|family| family.class(model_type).is_some());
    found.ok_or_else(|| {
        let models = FAMILIES.iter().flat_map(|family| family.models);
        let supported: Vec<&str> = models.map(|(model_type, _)| *model_type).collect();
        supported.join(", ")
    })
}
