//! Rotary positions in config.json: an object of transformers 5 says by which angles, for all layers or for each kind of them.

use serde_json::{Map, Value, json};

use super::family::Fields;
use crate::error::ConfigError;
use crate::json::Object;
use crate::shape::{Angles, Positions};

/// The key of transformers 5.
pub(super) const ANGLES: &str = "rope_parameters";
/// What scales the angles in transformers 4.
pub(super) const SCALING: &str = "rope_scaling";
const THETA: &str = "rope_theta";
const FACTOR: &str = "factor";
/// What kind of angles an object describes, and its older name.
pub(super) const KIND: &str = "rope_type";
const KINDS: [&str; 2] = [KIND, "type"];

/// The positions of an encoder whose layers are of one kind, in which nothing of transformers 4 scales the angles.
pub(super) fn unscaled(fields: &Fields, usual: f64) -> Result<Positions, ConfigError> {
    fields.require_none(SCALING)?;
    Ok(Positions::Rotary {
        longest: fields.required(fields.keys.longest)?,
        angles: of_all(fields, usual)?,
    })
}

/// The angles of an encoder whose layers are of one kind; of transformers 4 the base alone.
pub(super) fn of_all(fields: &Fields, usual: f64) -> Result<Angles, ConfigError> {
    let map: Map<String, Value> = fields.nullable(ANGLES)?.unwrap_or_default();
    let object = Object {
        map: &map,
        ..fields.object
    };
    let theta: f64 = fields.optional(THETA)?.unwrap_or(usual);
    angles(&object, THETA, theta, usual)
}

/// What an object says of the angles; one that says no base has this one. `name` is what errors call the base.
pub(super) fn angles(
    object: &Object,
    name: &str,
    theta: f64,
    usual: f64,
) -> Result<Angles, ConfigError> {
    let stretch = match kind(object)?.as_deref() {
        None | Some("default") => 1.0,
        Some("linear") => factor(object)?,
        Some(other) => return Err(object.unsupported(KIND, other, "default, linear")),
    };
    let theta = object.optional(THETA)?.unwrap_or(theta);
    let theta = base(object, name, theta, usual)?;
    Ok(Angles { theta, stretch })
}

/// A base that angles can be computed with.
pub(super) fn base(
    object: &Object,
    name: &str,
    theta: f64,
    usual: f64,
) -> Result<f64, ConfigError> {
    match (1.0..f32::INFINITY).contains(&(theta as f32)) {
        true => Ok(theta),
        false => Err(object.wrong(format!(
            "{name} is {theta}, and must be a number from 1, such as {usual}"
        ))),
    }
}

/// What kind of angles an object describes.
pub(super) fn kind(object: &Object) -> Result<Option<String>, ConfigError> {
    let [new, old] = KINDS.map(|key| object.optional(key));
    Ok(new?.or(old?))
}

/// By how much an object scales.
pub(super) fn factor(object: &Object) -> Result<f64, ConfigError> {
    let factor: f64 = object.required(FACTOR)?;
    match (1.0..=1e6).contains(&factor) {
        true => Ok(factor),
        false => Err(object.wrong(format!(
            "the factor of rotary positions is {factor}, and must be a number from 1 to 1000000"
        ))),
    }
}

/// As transformers 5 writes angles.
pub(super) fn value(angles: Angles) -> Value {
    let mut value = scaling(angles).unwrap_or_else(|| json!({KIND: "default"}));
    value[THETA] = angles.theta.into();
    value
}

/// What scales these angles, if they are scaled.
pub(super) fn scaling(Angles { stretch, .. }: Angles) -> Option<Value> {
    (stretch > 1.0).then(|| json!({KIND: "linear", FACTOR: stretch}))
}
