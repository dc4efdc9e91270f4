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
        let gate = at.gate.map(|gate| self.linear(gate, x.clone()));
        let mut units = self.up_project(at.up, x);
        if let Some(gate) = gate {
            units = units * gate;
        }
        if self.shape.drops_units {
            let units = self.drop_hidden(units);
            return self.linear(at.down, units);
        }
        let down = self.linear(at.down, units);
        self.drop_hidden(down)
    }

    /// The up projection through the activation. GELU adds the bias itself: one pass less over the widest tensor of a
    /// layer.
    fn up_project(&self, at: Linear, x: Tensor<3>) -> Tensor<3> {
        match self.shape.activation {
            Activation::Gelu => {
                let x = self.linear(Linear { bias: None, ..at }, x);
                let width = x.dims()[2];
                let bias = match at.bias {
                    Some(bias) => self.parameters.vector(bias),
                    None => Tensor::zeros([width], &x.device()),
                };
                gelu(self.kernels, x, bias)
            }
            Activation::GeluTanh => gelu_approximate(self.linear(at, x)),
            Activation::Relu => relu(self.linear(at, x)),
            Activation::Silu => silu(self.linear(at, x)),
        }
    }
}
