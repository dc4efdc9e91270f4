//! A linear layer, as one matmul of two axes.

use burn::tensor::Tensor;
use limbeck_kernels::linear;
use limbeck_recipe::layout::Linear;

use super::Pass;

impl Pass<'_> {
    /// (B, S, in) to (B, S, out), as one matmul of (B * S, in): with three axes burn multiplies sequence by sequence, and sums
    /// a gradient of the weights by sequence.
    pub(super) fn linear(&self, at: Linear, x: Tensor<3>) -> Tensor<3> {
        let [b, s, from] = x.dims();
        let bias = at.bias.map(|bias| self.parameters.vector(bias));
        let weight = self.parameters.matrix(at.weight);
        let y = linear(self.kernels, x.reshape([b * s, from]), weight, bias);
        let to = y.dims()[1];
        y.reshape([b, s, to])
    }
}
