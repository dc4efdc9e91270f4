//! Positions: how an encoder learns the order of its tokens.

use burn::tensor::Tensor;
use limbeck_kernels::embedding;
use limbeck_recipe::Positions;
use limbeck_recipe::layout::Matrix;

use super::Pass;
use crate::TokenBatch;

impl Pass<'_> {
    /// The vectors of a batch's positions, (1 or B, S, width): consecutive ones, unless a token that is not counted stands among
    /// them (`create_position_ids_from_input_ids` of transformers).
    pub(super) fn positions(&self, at: Matrix, batch: &TokenBatch) -> Tensor<3> {
        let Positions::Learned {
            first, uncounted, ..
        } = self.shape.positions;
        let table = self.parameters.matrix(at);
        let (s, width) = (batch.lengths().padded(), table.dims()[1]);
        let positions = uncounted.and_then(|token| batch.positions_without(token, first));
        if let Some(positions) = positions {
            return embedding(self.kernels, table, &positions);
        }
        let rows = table.slice([first..first + s, 0..width]);
        rows.reshape([1, s, width])
    }
}
