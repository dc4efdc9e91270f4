//! The feed-forward part as a composition of the operations that it stands for, each by the kernel that it has.

use burn::tensor::Tensor;
use limbeck_recipe::Kernels;

use super::Projection;
use crate::{gelu, linear, matmul};

/// (M, H) from x (M, H).
pub(super) fn feed_forward(
    kernels: Kernels,
    x: Tensor<2>,
    up: Projection,
    down: Projection,
) -> Tensor<2> {
    let before = matmul(kernels, x, up.weight);
    let [m, f] = before.dims();
    let inner = gelu(kernels, before.reshape([1, m, f]), Some(up.bias));
    linear(kernels, inner.reshape([m, f]), down.weight, Some(down.bias))
}
