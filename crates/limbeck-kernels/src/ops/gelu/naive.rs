//! GELU as a plain composition of burn operations: the baseline.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

/// (B, S, H) from x (B, S, H) and a bias (H), if there is one.
pub(super) fn gelu(x: Tensor<3>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let u = match bias {
        Some(bias) => x + bias.unsqueeze(),
        None => x,
    };
    let twice_phi = u.clone().mul_scalar(FRAC_1_SQRT_2).erf() + 1.0;
    (u * twice_phi).mul_scalar(0.5)
}
