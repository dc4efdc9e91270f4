//! Rows of a table as burn takes them: the baseline.

use burn::tensor::{Int, Tensor, module};

/// (B, S, H) from a table (V, H) and ids (B, S).
pub(super) fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    module::embedding(table, ids)
}
