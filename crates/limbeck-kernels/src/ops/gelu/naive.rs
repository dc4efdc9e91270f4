//! GELU as a plain composition of burn operations: the baseline.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

/// (B, S, H) from x (B, S, H) and a bias (H).
pub(super) fn gelu(x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    let u = x + bias.unsqueeze();
    let twice_phi = u.clone().mul_scalar(FRAC_1_SQRT_2).erf() + 1.0;
    (u * twice_phi).mul_scalar(0.5)
}
