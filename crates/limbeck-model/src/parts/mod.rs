//! The parts that encoders are assembled from. A part finds its tensors by the places of the layout
//! ([`limbeck_recipe::layout`]), never by name.

mod attention;
mod block;
mod disentangled;
mod embeddings;
mod feed_forward;
mod linear;
mod norm;
mod positions;

use burn::tensor::Tensor;
use limbeck_kernels::Lengths;
use limbeck_recipe::{Kernels, Shape, Tap};

pub(crate) use positions::Rotations;

use crate::Dropout;
use crate::parameters::Parameters;

/// A forward pass: what every part reads, and the dropout of a training step.
pub(crate) struct Pass<'a> {
    /// What the encoder computes.
    pub shape: &'a Shape,
    /// Its tensors.
    pub parameters: &'a Parameters,
    /// What computes embeddings, linear layers, attention, GELU and LayerNorm.
    pub kernels: Kernels,
    /// The length of each sequence.
    pub lengths: &'a Lengths,
    /// The angles of rotary positions.
    pub rotations: &'a Rotations,
    /// What distances add to the scores of each head, if they add anything: (A, 2S - 1).
    pub distances: Option<Tensor<2>>,
    /// A vector of each distance, if attention is disentangled: the same in all layers.
    pub distance_vectors: Option<Tensor<2>>,
    /// Which queries and keys are tapped.
    pub tap: Tap,
    /// Training's dropout; inference has none.
    pub dropout: Option<&'a mut Dropout>,
}

impl Pass<'_> {
    /// Drops hidden values in training.
    fn drop_hidden(&mut self, x: Tensor<3>) -> Tensor<3> {
        match &mut self.dropout {
            Some(dropout) => dropout.apply(x, self.shape.hidden_dropout),
            None => x,
        }
    }
}
