//! Token ids to the first hidden states.

use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};
use limbeck_recipe::layout::Embeddings;

use super::Pass;

impl Pass<'_> {
    /// Ids (B, S) to (B, S, H): the vectors of words, positions and token types (the first one unless `types`, (B, S), says
    /// otherwise), summed, normalised and, where the tables are not H wide, projected.
    pub(crate) fn embeddings(
        &mut self,
        at: &Embeddings,
        ids: Tensor<2, Int>,
        types: Option<Tensor<2, Int>>,
    ) -> Tensor<3> {
        let s = ids.dims()[1];
        let mut x = embedding(self.parameters.matrix(at.word), ids);
        x = x + self.positions(at.position, s);
        if let Some(at) = at.token_type {
            let table = self.parameters.matrix(at);
            let width = table.dims()[1];
            x = match types {
                Some(types) => x + embedding(table, types),
                None => x + table.slice([0..1, 0..width]).reshape([1, 1, width]),
            };
        }
        x = self.norm(at.norm, x);
        x = self.drop_hidden(x);
        match at.projection {
            Some(projection) => self.linear(projection, x),
            None => x,
        }
    }
}
