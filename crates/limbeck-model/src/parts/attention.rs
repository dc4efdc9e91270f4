//! Self-attention: the projections that are tapped, and what follows them.

use burn::tensor::Tensor;
use limbeck_kernels::{Attending, Projections, Taps, attention, projections, rotary};
use limbeck_recipe::layout::{Block, Norm};
use limbeck_recipe::{NormPlace, Tap};

use super::Pass;

impl Pass<'_> {
    /// Queries, keys and values of a layer of hidden states (B, S, H), biases included, (B, S, heads x D) each, and the states again,
    /// for what follows in the layer.
    pub(crate) fn project(&self, at: &Block, x: Tensor<3>) -> (Taps, Tensor<3>) {
        match (self.shape.norm_place, at.attention_norm) {
            (NormPlace::Before | NormPlace::Around, Some(norm)) => {
                let normed = self.norm(norm, x.clone(), None);
                (self.projected(at, normed).0, x)
            }
            _ => self.projected(at, x),
        }
    }

    /// Queries, keys and values of what a layer's projections read, and that again.
    fn projected(&self, at: &Block, x: Tensor<3>) -> (Taps, Tensor<3>) {
        let (taps, x) = match self.shape.is_grouped() {
            false => projections(self.kernels, x, self.projections(at)),
            true => {
                let of = |linear| self.linear(linear, x.clone());
                let [q, k, v] = [at.attention.query, at.attention.key, at.attention.value].map(of);
                (Taps { q, k, v }, x)
            }
        };
        let Some([of_query, of_key]) = at.attention.head_norms else {
            return (taps, x);
        };
        let q = self.normed_heads(of_query, taps.q);
        let k = self.normed_heads(of_key, taps.k);
        (Taps { q, k, ..taps }, x)
    }

    /// Queries or keys, (B, S, heads x D), each head by itself normalised.
    fn normed_heads(&self, norm: Norm, x: Tensor<3>) -> Tensor<3> {
        let ([b, s, width], d) = (x.dims(), self.shape.head_width());
        let heads = x.reshape([b, s * width / d, d]);
        self.norm(norm, heads, None).reshape([b, s, width])
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
        let (heads, key_heads) = (self.shape.num_attention_heads, self.shape.key_heads());
        match (self.tap, self.rotation(at.layer)) {
            (Tap::Rotated, Some(rotation)) => Taps {
                q: rotary(self.kernels, projected.q, &rotation, heads),
                k: rotary(self.kernels, projected.k, &rotation, key_heads),
                v: projected.v,
            },
            _ => projected,
        }
    }

    /// What the tokens of each sequence attend to, through the output projection: (B, S, H). Heads of keys and values that queries share
    /// are repeated for each.
    pub(super) fn attend(&mut self, at: &Block, projected: Taps) -> Tensor<3> {
        let attended = match self.shape.disentangled() {
            Some(how) => self.disentangled(at, projected, how),
            None => self.attended(at, projected),
        };
        let attended = self.linear(at.attention.output, attended);
        if self.shape.drops_attention_output {
            self.drop_hidden(attended)
        } else {
            attended
        }
    }

    /// The same before the output projection, by our kernels.
    fn attended(&mut self, at: &Block, projected: Taps) -> Tensor<3> {
        let p = self.shape.attention_dropout;
        let mask = self.dropout.as_mut().and_then(|dropout| dropout.mask(p));
        let heads = self.shape.num_attention_heads;
        let width = self.shape.head_width();
        let mut projected = projected.widened(width);
        if let Some(wanted) = self.shape.score_width {
            // Attention divides by the root of the width.
            let factor = (width as f64 / wanted).sqrt();
            projected.q = projected.q.mul_scalar(factor);
        }
        let how = Attending {
            reach: self.shape.reach(at.layer),
            rotation: self.rotation(at.layer),
            bias: self.distances.clone(),
        };
        attention(self.kernels, projected, self.lengths, heads, how, mask)
    }
}
