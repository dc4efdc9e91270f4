//! Positions: how an encoder learns the order of its tokens.

use burn::tensor::Tensor;
use limbeck_recipe::Positions;
use limbeck_recipe::layout::Matrix;

use super::Pass;

impl Pass<'_> {
    /// The vectors of S consecutive positions, (1, S, width).
    pub(super) fn positions(&self, at: Matrix, s: usize) -> Tensor<3> {
        let Positions::Learned { first, .. } = self.shape.positions;
        let table = self.parameters.matrix(at);
        let width = table.dims()[1];
        let rows = table.slice([first..first + s, 0..width]);
        rows.reshape([1, s, width])
    }
}
