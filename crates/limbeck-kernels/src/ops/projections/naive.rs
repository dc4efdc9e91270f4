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
    let [q, k, v] = by.weights;
    let [of_q, of_k, of_v] = by.biases.map_or([const { None }; 3], |of| of.map(Some));
    let layer = |weight: Tensor<2>, bias| {
        let [_, n] = weight.dims();
        linear(kernels, rows.clone(), weight, bias).reshape([b, s, n])
    };
    let (q, k, v) = (layer(q, of_q), layer(k, of_k), layer(v, of_v));
    (Taps { q, k, v }, states)
}
