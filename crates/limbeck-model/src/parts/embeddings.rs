//! Token ids to the first hidden states.

use burn::tensor::Tensor;
use limbeck_kernels::embedding;
use limbeck_recipe::layout::Embeddings;

use super::Pass;
use crate::TokenBatch;

impl Pass<'_> {
    /// Ids (B, S) to (B, S, H): the vectors of words, positions and token types (the first one unless the batch says
    /// otherwise), summed, normalised and, where the tables are not H wide, projected, or
    /// the other way round.
    pub(crate) fn embeddings(&mut self, at: &Embeddings, batch: &TokenBatch) -> Tensor<3> {
        let words = (self.parameters.matrix(at.word), batch.ids().clone());
        let positions = self.positions(at.position, batch);
        let rows = self.shape.type_vocab_size;
        let types = at
            .token_type
            .map(|at| (self.parameters.matrix(at), batch.types(rows)));
        let tables = [Some(words), positions, types];
        let mut x = embedding(self.kernels, tables.into_iter().flatten().collect());
        if self.shape.scales_words {
            x = x.mul_scalar((self.shape.hidden_size as f64).sqrt());
        }
        let first = self.shape.projects_first;
        if let Some(projection) = at.projection.filter(|_| first) {
            x = self.linear(projection, x);
        }
        if let Some(norm) = at.norm {
            x = self.norm(norm, x, None);
        }
        x = self.drop_hidden(x);
        match at.projection.filter(|_| !first) {
            Some(projection) => self.linear(projection, x),
            None => x,
        }
    }
}
