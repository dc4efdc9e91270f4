//! Self-attention: the projections that are tapped, and what follows them.

use burn::tensor::Tensor;
use limbeck_kernels::{Attending, Taps, attention};
use limbeck_recipe::layout::Attention;

use super::Pass;

impl Pass<'_> {
    /// Queries, keys and values of hidden states (B, S, H), biases included, (B, S, H) each.
    pub(crate) fn project(&self, at: &Attention, x: &Tensor<3>) -> Taps {
        Taps {
            q: self.linear(at.query, x.clone()),
            k: self.linear(at.key, x.clone()),
            v: self.linear(at.value, x.clone()),
        }
    }

    /// What the tokens of each sequence attend to, through the output projection: (B, S, H).
    pub(super) fn attend(&mut self, at: &Attention, projected: Taps) -> Tensor<3> {
        let p = self.shape.attention_dropout;
        let mask = self.dropout.as_mut().and_then(|dropout| dropout.mask(p));
        let heads = self.shape.num_attention_heads;
        let how = Attending::default();
        let attended = attention(self.kernels, projected, self.lengths, heads, how, mask);
        let attended = self.linear(at.output, attended);
        if self.shape.drops_attention_output {
            self.drop_hidden(attended)
        } else {
            attended
        }
    }
}
