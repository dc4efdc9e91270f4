//! LayerNorm over the last axis, with the shape's epsilon.

use burn::tensor::Tensor;
use limbeck_kernels::layer_norm;
use limbeck_recipe::layout::Norm;

use super::Pass;

impl Pass<'_> {
    /// Each row of (B, S, width), what is added to it included, with mean 0 and variance 1, then scaled and shifted.
    pub(super) fn norm(&self, at: Norm, x: Tensor<3>, residual: Option<Tensor<3>>) -> Tensor<3> {
        let weight = self.parameters.vector(at.weight);
        let bias = at.bias.map(|bias| self.parameters.vector(bias));
        let eps = self.shape.layer_norm_eps;
        layer_norm(self.kernels, x, residual, weight, bias, eps)
    }
}
