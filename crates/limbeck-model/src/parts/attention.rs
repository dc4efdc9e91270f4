//! Self-attention: the projections that are tapped, and what follows them.

use burn::tensor::Tensor;
use limbeck_kernels::{Attending, Taps, attention, rotary};
use limbeck_recipe::Tap;
use limbeck_recipe::layout::Block;

use super::Pass;

impl Pass<'_> {
    /// Queries, keys and values of a layer of hidden states (B, S, H), biases included, (B, S, H) each.
    pub(crate) fn project(&self, at: &Block, x: &Tensor<3>) -> Taps {
        let x = self.read_by_attention(at, x);
        Taps {
            q: self.linear(at.attention.query, x.clone()),
            k: self.linear(at.attention.key, x.clone()),
            v: self.linear(at.attention.value, x),
        }
    }

    /// What is tapped of the projections of a layer.
    pub(crate) fn tapped(&self, at: &Block, projected: Taps) -> Taps {
        let heads = self.shape.num_attention_heads;
        match (self.tap, self.rotation(at.layer)) {
            (Tap::Rotated, Some(rotation)) => Taps {
                q: rotary(self.kernels, projected.q, &rotation, heads),
                k: rotary(self.kernels, projected.k, &rotation, heads),
                v: projected.v,
            },
            _ => projected,
        }
    }

    /// What the tokens of each sequence attend to, through the output projection: (B, S, H).
    pub(super) fn attend(&mut self, at: &Block, projected: Taps) -> Tensor<3> {
        let p = self.shape.attention_dropout;
        let mask = self.dropout.as_mut().and_then(|dropout| dropout.mask(p));
        let heads = self.shape.num_attention_heads;
        let how = Attending {
            reach: self.shape.reach(at.layer),
            rotation: self.rotation(at.layer),
            bias: self.distances.clone(),
        };
        let attended = attention(self.kernels, projected, self.lengths, heads, how, mask);
        let attended = self.linear(at.attention.output, attended);
        if self.shape.drops_attention_output {
            self.drop_hidden(attended)
        } else {
            attended
        }
    }
}
