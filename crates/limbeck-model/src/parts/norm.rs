//! LayerNorm over the last axis, with the shape's epsilon.

use burn::tensor::Tensor;
use burn::tensor::module::layer_norm;
use limbeck_recipe::layout::Norm;

use super::Pass;

impl Pass<'_> {
    /// Each row of (B, S, width) with mean 0 and variance 1, then scaled and shifted.
    pub(super) fn norm(&self, at: Norm, x: Tensor<3>) -> Tensor<3> {
        let (weight, bias) = (
            self.parameters.vector(at.weight),
            self.parameters.vector(at.bias),
        );
        layer_norm(x, weight, Some(bias), self.shape.layer_norm_eps)
    }
}
