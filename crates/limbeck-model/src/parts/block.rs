//! One layer: self-attention, then the feed-forward part, each with what it read added to its output and a LayerNorm after
//! the sum (post-norm, as in BERT). A pre-norm block would call the same parts in another order.

use burn::tensor::Tensor;
use limbeck_kernels::Taps;
use limbeck_recipe::layout::Block;

use super::Pass;

impl Pass<'_> {
    /// Hidden states (B, S, H) through a layer.
    pub(crate) fn block(&mut self, at: &Block, x: Tensor<3>) -> Tensor<3> {
        let projected = self.project(&at.attention, &x);
        self.after_projections(at, x, projected)
    }

    /// The same where the projections of `x` exist already.
    pub(crate) fn after_projections(
        &mut self,
        at: &Block,
        x: Tensor<3>,
        projected: Taps,
    ) -> Tensor<3> {
        let attended = self.attend(&at.attention, projected);
        let middle = self.norm(at.attention_norm, x, Some(attended));
        let fed = self.feed_forward(&at.feed_forward, middle.clone());
        self.norm(at.norm, middle, Some(fed))
    }
}
