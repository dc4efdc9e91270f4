//! The feed-forward part: up to the intermediate width, through an activation, and down again. With GELU it is one operation.

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu_approximate, relu, silu};
use limbeck_kernels::{Projection, feed_forward};
use limbeck_recipe::Activation;
use limbeck_recipe::layout::{FeedForward, Linear};

use super::Pass;

impl Pass<'_> {
    /// (B, S, H) to (B, S, H).
    pub(super) fn feed_forward(&mut self, at: &FeedForward, x: Tensor<3>) -> Tensor<3> {
        let fed = match (
            self.shape.activation,
            self.projection(at.up),
            self.projection(at.down),
        ) {
            (Activation::Gelu, Some(up), Some(down)) => {
                let [b, s, h] = x.dims();
                let fed = feed_forward(self.kernels, x.reshape([b * s, h]), up, down);
                fed.reshape([b, s, h])
            }
            _ => self.linear(at.down, self.activate(self.linear(at.up, x))),
        };
        self.drop_hidden(fed)
    }

    /// A linear layer's weights and bias, if it has one.
    fn projection(&self, at: Linear) -> Option<Projection> {
        let bias = self.parameters.vector(at.bias?);
        let weight = self.parameters.matrix(at.weight);
        Some(Projection { weight, bias })
    }

    fn activate(&self, x: Tensor<3>) -> Tensor<3> {
        match self.shape.activation {
            Activation::Gelu => burn::tensor::activation::gelu(x),
            Activation::GeluTanh => gelu_approximate(x),
            Activation::Relu => relu(x),
            Activation::Silu => silu(x),
        }
    }
}
