//! The feed-forward part: up to the intermediate width, through an activation, and down again.

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu_approximate, relu, silu};
use limbeck_kernels::gelu;
use limbeck_recipe::Activation;
use limbeck_recipe::layout::{FeedForward, Linear};

use super::Pass;

impl Pass<'_> {
    /// (B, S, H) to (B, S, H).
    pub(super) fn feed_forward(&mut self, at: &FeedForward, x: Tensor<3>) -> Tensor<3> {
        let up = self.up_project(at.up, x);
        let down = self.linear(at.down, up);
        self.drop_hidden(down)
    }

    /// The up projection through the activation. GELU adds the bias itself: one pass less over the widest tensor of a
    /// layer.
    fn up_project(&self, at: Linear, x: Tensor<3>) -> Tensor<3> {
        match (self.shape.activation, at.bias) {
            (Activation::Gelu, Some(bias)) => {
                let x = self.linear(Linear { bias: None, ..at }, x);
                gelu(self.kernels, x, self.parameters.vector(bias))
            }
            (Activation::Gelu, None) => burn::tensor::activation::gelu(self.linear(at, x)),
            (Activation::GeluTanh, _) => gelu_approximate(self.linear(at, x)),
            (Activation::Relu, _) => relu(self.linear(at, x)),
            (Activation::Silu, _) => silu(self.linear(at, x)),
        }
    }
}
