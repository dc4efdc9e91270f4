//! The feed-forward part: up to the intermediate width, through an activation, and down again. With GELU it is one operation.

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu_approximate, relu, silu};
use limbeck_kernels::{Projection, feed_forward, gelu};
use limbeck_recipe::Activation;
use limbeck_recipe::layout::{FeedForward, Linear};

use super::Pass;

impl Pass<'_> {
    /// (B, S, H) to (B, S, H), and what came in again, for what follows.
    pub(super) fn feed_forward(
        &mut self,
        at: &FeedForward,
        x: Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        match (self.projection(at.up), self.projection(at.down)) {
            (Some(up), Some(down)) if self.shape.feeds_at_once() => {
                let [b, s, h] = x.dims();
                let rows = x.reshape([b * s, h]);
                let (fed, rows) = feed_forward(self.kernels, rows, up, down);
                let fed = self.drop_hidden(fed.reshape([b, s, h]));
                (fed, rows.reshape([b, s, h]))
            }
            _ => (self.feed_by_parts(at, x.clone()), x),
        }
    }

    /// The first of these, an operation after the other.
    fn feed_by_parts(&mut self, at: &FeedForward, x: Tensor<3>) -> Tensor<3> {
        let gate = at.gate.map(|gate| self.linear(gate, x.clone()));
        let mut units = self.activated(at.up, x);
        if let Some(gate) = gate {
            units = units * gate;
        }
        if self.shape.drops_units {
            units = self.drop_hidden(units);
        }
        let down = self.linear(at.down, units);
        match self.shape.drops_fed {
            true => self.drop_hidden(down),
            false => down,
        }
    }

    /// A linear layer's weights and bias, if it has one.
    fn projection(&self, at: Linear) -> Option<Projection> {
        let bias = self.parameters.vector(at.bias?);
        let weight = self.parameters.matrix(at.weight);
        Some(Projection { weight, bias })
    }

    /// The up projection through the activation. GELU adds the bias itself: one pass less over the widest tensor of a layer.
    fn activated(&self, at: Linear, x: Tensor<3>) -> Tensor<3> {
        match self.shape.activation {
            Activation::Gelu => {
                let x = self.linear(Linear { bias: None, ..at }, x);
                let bias = at.bias.map(|bias| self.parameters.vector(bias));
                gelu(self.kernels, x, bias)
            }
            Activation::GeluTanh => gelu_approximate(self.linear(at, x)),
            Activation::Relu => relu(self.linear(at, x)),
            Activation::Silu => silu(self.linear(at, x)),
        }
    }
}
