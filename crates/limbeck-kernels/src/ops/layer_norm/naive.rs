//! LayerNorm as burn computes it: the baseline.

use burn::tensor::Tensor;
use burn::tensor::module;

/// (B, S, H) from x and what is added to it, (B, S, H), weight and, if there is one, bias (H).
pub(super) fn layer_norm(
    x: Tensor<3>,
    residual: Option<Tensor<3>>,
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<3> {
    let sum = match residual {
        Some(residual) => x + residual,
        None => x,
    };
    module::layer_norm(sum, weight, bias, eps)
}
