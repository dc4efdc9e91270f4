//! Layers of two kinds, those that attend to all tokens and those that attend to near ones alone, as config.json tells them apart.

use serde_json::{Map, Value, json};

use super::family::Fields;
use super::rotary;
use crate::error::ConfigError;
use crate::json::{Object, short};
use crate::shape::Angles;

/// The key that lists the kind of each layer.
pub(super) const KINDS: &str = "layer_types";
/// The kinds by name.
pub(super) const GLOBAL: &str = "full_attention";
pub(super) const LOCAL: &str = "sliding_attention";

/// A kind, the key of its theta in transformers 4, and its theta where config.json says nothing.
pub(super) type Kind = (&'static str, &'static str, f64);

/// The angles of a kind of layers. Where it `scales`, what scales angles in the keys of transformers 4 lies over what the object of
/// transformers 5 says.
pub(super) fn angles(
    fields: &Fields,
    (kind, old_key, usual): Kind,
    scales: bool,
) -> Result<Angles, ConfigError> {
    let of_kinds: Option<Map<String, Value>> = fields.nullable(rotary::ANGLES)?;
    let of_kind = of_kinds.as_ref().and_then(|kinds| kinds.get(kind));
    let mut map = match of_kind {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(other) => {
            let shown = short(other);
            return Err(fields.wrong(format!(
                "{}.{kind} is {shown}, and must be an object in braces",
                rotary::ANGLES
            )));
        }
    };
    let scaling: Option<Map<String, Value>> = fields.nullable(rotary::SCALING)?;
    if let Some(scaling) = scaling.filter(|_| scales) {
        // Where it is called `type`, transformers 4 scales and 5 does not.
        if !scaling.contains_key(rotary::KIND) {
            let supported = "none (null), or an object with a rope_type";
            return Err(fields.unsupported(rotary::SCALING, &short(&json!(scaling)), supported));
        }
        map.extend(scaling);
    }
    let object = Object {
        map: &map,
        ..fields.object
    };
    let theta: f64 = fields.optional(old_key)?.unwrap_or(usual);
    rotary::angles(&object, &format!("the rope_theta of {kind}"), theta, usual)
}

/// Layers with a window, from 0: as `layer_types` lists them, or else all but those whose number, plus `first`, is a multiple of what
/// `every` says.
pub(super) fn local(
    fields: &Fields,
    layers: usize,
    (every, usual): (&str, usize),
    first: usize,
) -> Result<Vec<usize>, ConfigError> {
    let Some(kinds) = fields.nullable::<Vec<String>>(KINDS)? else {
        let number: usize = fields.optional(every)?.unwrap_or(usual);
        if number == 0 {
            return Err(fields.wrong(format!("{every} is 0, and must be 1 or more")));
        }
        // What is no number of layers is refused later, with its key.
        let layers = 0..layers.min(crate::config::MOST_LAYERS);
        let is_local = |layer: &usize| !(layer + first).is_multiple_of(number);
        return Ok(layers.filter(is_local).collect());
    };
    let known = [GLOBAL, LOCAL];
    if let Some(kind) = kinds.iter().find(|kind| !known.contains(&kind.as_str())) {
        return Err(fields.unsupported(KINDS, kind, &known.join(", ")));
    }
    if kinds.len() != layers {
        let (keys, found) = (fields.keys, kinds.len());
        return Err(fields.wrong(format!(
            "{KINDS} has {found} entries, and {} is {layers}",
            keys.num_hidden_layers
        )));
    }
    let local = kinds.iter().enumerate().filter(|(_, kind)| *kind == LOCAL);
    Ok(local.map(|(layer, _)| layer).collect())
}
