//! The projections as three linear layers, by the kernel that those have.

use burn::tensor::Tensor;
use limbeck_recipe::Kernels;

use super::Projections;
use crate::{Taps, linear};

/// (B, S, N) three times, and (B, S, H), of states (B, S, H).
pub(super) fn projections(
    kernels: Kernels,
    states: Tensor<3>,
    by: Projections,
) -> (Taps, Tensor<3>) {
    let [b, s, h] = states.dims();
    let rows = states.clone().reshape([b * s, h]);
    let biases = match by.biases {
        Some(biases) => biases.map(Some),
        None => [None, None, None],
    };
    let mut layers = by.weights.into_iter().zip(biases);
    let [q, k, v] = [(); 3].map(|()| {
        let Some((weight, bias)) = layers.next() else {
            unreachable!("there are three")
        };
        let [_, n] = weight.dims();
        linear(kernels, rows.clone(), weight, bias).reshape([b, s, n])
    });
    (Taps { q, k, v }, states)
}
