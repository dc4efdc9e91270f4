//! The norm of a row over its last axis, with the shape's epsilon.

use burn::tensor::Tensor;
use limbeck_kernels::layer_norm;
use limbeck_recipe::NormKind;
use limbeck_recipe::layout::Norm;

use super::Pass;

impl Pass<'_> {
    /// Each row of (B, S, width), what is added to it included, with mean 0 and variance 1, or with a mean square of 1, then scaled and
    /// shifted.
    pub(super) fn norm(&self, at: Norm, x: Tensor<3>, residual: Option<Tensor<3>>) -> Tensor<3> {
        let weight = self.parameters.vector(at.weight);
        let bias = at.bias.map(|bias| self.parameters.vector(bias));
        let eps = self.shape.layer_norm_eps;
        let scale = match self.shape.norm_kind {
            NormKind::MeanVariance => {
                return layer_norm(self.kernels, x, residual, weight, bias, eps);
            }
            NormKind::MeanSquare => weight,
            NormKind::MeanSquareFromOne => weight.add_scalar(1.0),
        };
        let sum = match residual {
            Some(residual) => x + residual,
            None => x,
        };
        let scaled = mean_square(sum, eps) * in_row(scale);
        match bias {
            Some(bias) => scaled + in_row(bias),
            None => scaled,
        }
    }
}

/// A vector (width) as one row, (1, 1, width).
fn in_row(vector: Tensor<1>) -> Tensor<3> {
    let [width] = vector.dims();
    vector.reshape([1, 1, width])
}

/// Each row of (B, S, width) divided by the root of its mean square, to which `eps` is added. As plain operations: only teachers
/// have it.
fn mean_square(x: Tensor<3>, eps: f64) -> Tensor<3> {
    let squares = x.clone().square().mean_dim(2);
    x / squares.add_scalar(eps).sqrt()
}
