//! Self-attention: the projections that are tapped, and what follows them.

use burn::tensor::Tensor;
use limbeck_kernels::{Attending, Projections, Taps, attention, projections, rotary};
use limbeck_recipe::layout::Block;
use limbeck_recipe::{NormPlace, Tap};

use super::Pass;

impl Pass<'_> {
    /// Queries, keys and values of a layer of hidden states (B, S, H), biases included, (B, S, H) each; and the states again, for what
    /// follows in the layer.
    pub(crate) fn project(&self, at: &Block, x: Tensor<3>) -> (Taps, Tensor<3>) {
        match (self.shape.norm_place, at.attention_norm) {
            (NormPlace::Before, Some(norm)) => {
                let normed = self.norm(norm, x.clone(), None);
                let (projected, _) = projections(self.kernels, normed, self.projections(at));
                (projected, x)
            }
            _ => projections(self.kernels, x, self.projections(at)),
        }
    }

    /// The weights to queries, keys and values, and their biases.
    fn projections(&self, at: &Block) -> Projections {
        let at = [at.attention.query, at.attention.key, at.attention.value];
        let biases = at.map(|at| at.bias.map(|bias| self.parameters.vector(bias)));
        Projections {
            weights: at.map(|at| self.parameters.matrix(at.weight)),
            biases: match biases {
                [Some(q), Some(k), Some(v)] => Some([q, k, v]),
                [None, None, None] => None,
                _ => unreachable!("a layout has biases of all three, or of none"),
            },
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
