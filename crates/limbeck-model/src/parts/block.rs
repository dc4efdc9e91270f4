//! One layer: self-attention, then the feed-forward part. Each adds what it gives to what came in, and a LayerNorm follows the sum
//! (post-norm, as in BERT), or precedes the part (pre-norm), or stands on both sides of it.

use burn::tensor::Tensor;
use limbeck_kernels::Taps;
use limbeck_recipe::NormPlace;
use limbeck_recipe::layout::{Block, Norm};

use super::Pass;

impl Pass<'_> {
    /// Hidden states (B, S, H) through a layer.
    pub(crate) fn block(&mut self, at: &Block, x: Tensor<3>) -> Tensor<3> {
        let (projected, x) = self.project(at, x);
        self.after_projections(at, x, projected)
    }

    /// The same where the projections of `x` exist already; both are what [`Pass::project`] gave.
    pub(crate) fn after_projections(
        &mut self,
        at: &Block,
        x: Tensor<3>,
        projected: Taps,
    ) -> Tensor<3> {
        let attended = self.attend(at, projected);
        let [attended_norm, fed_norm] = at.given_norms.map_or([None; 2], |norms| norms.map(Some));
        match (self.shape.norm_place, at.attention_norm) {
            (NormPlace::After, Some(attention_norm)) => {
                let middle = self.norm(attention_norm, x, Some(attended));
                let (fed, middle) = self.feed_forward(&at.feed_forward, middle);
                self.norm(at.norm, middle, Some(fed))
            }
            _ => {
                let middle = x + self.given(attended_norm, attended);
                let normed = self.norm(at.norm, middle.clone(), None);
                let (fed, _) = self.feed_forward(&at.feed_forward, normed);
                middle + self.given(fed_norm, fed)
            }
        }
    }

    /// What a part gives, as it is added.
    fn given(&self, norm: Option<Norm>, x: Tensor<3>) -> Tensor<3> {
        match norm {
            Some(norm) => self.norm(norm, x, None),
            None => x,
        }
    }

    /// What leaves the encoder, of what the last layer gives.
    pub(crate) fn last(&self, x: Tensor<3>) -> Tensor<3> {
        self.given(self.parameters.layout().last_norm, x)
    }
}
