//! Token ids to the first hidden states.

use burn::tensor::Tensor;
use limbeck_kernels::embedding;
use limbeck_recipe::layout::Embeddings;

use super::Pass;
use crate::TokenBatch;

impl Pass<'_> {
    /// Ids (B, S) to (B, S, H): the vectors of words, positions and token types (the first one unless the batch says
    /// otherwise), summed, normalised and, where the tables are not H wide, projected.
    pub(crate) fn embeddings(&mut self, at: &Embeddings, batch: &TokenBatch) -> Tensor<3> {
        let mut x = embedding(self.kernels, self.parameters.matrix(at.word), batch.ids());
        if let Some(positions) = self.positions(at.position, batch) {
            x = x + positions;
        }
        if let Some(at) = at.token_type {
            let table = self.parameters.matrix(at);
            let width = table.dims()[1];
            x = match batch.types() {
                Some(types) => x + embedding(self.kernels, table, types),
                None => x + table.slice([0..1, 0..width]).reshape([1, 1, width]),
            };
        }
        x = self.norm(at.norm, x, None);
        x = self.drop_hidden(x);
        match at.projection {
            Some(projection) => self.linear(projection, x),
            None => x,
        }
    }
}
