//! What writes a model's graph; encoder, positions, linear layers and heads each add what they write.

use limbeck_recipe::Config;

use crate::Tensors;
use crate::graph::{Builder, Value};

/// Writes a model's graph.
pub struct Writer<'a, 't, E> {
    pub graph: &'a mut Builder,
    pub config: &'a Config,
    /// Whether weights are of 8 bits.
    pub quantised: bool,
    pub tensors: &'a mut Tensors<'t, E>,
    /// Activations that have been quantised.
    pub narrow: Vec<(Value, Quantised)>,
}

/// What an activation becomes before it meets weights of 8 bits.
#[derive(Clone)]
pub struct Quantised {
    pub values: Value,
    pub scale: Value,
    pub zero: Value,
}
