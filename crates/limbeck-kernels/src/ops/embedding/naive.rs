//! Rows of tables as burn takes them, added up: the baseline.

use burn::tensor::{Tensor, module};

use super::Ids;

/// (B, S, H) from tables (V, H) and ids (B, S) of each.
pub(super) fn embedding(tables: Vec<Tensor<2>>, ids: &[Ids]) -> Tensor<3> {
    let taken = tables.into_iter().zip(ids);
    let taken = taken.map(|(table, ids)| {
        let device = table.device().without_autodiff();
        module::embedding(table, Tensor::from_data(ids.data(), &device))
    });
    let Some(sum) = taken.reduce(|sum, rows| sum + rows) else {
        unreachable!("tables were counted")
    };
    sum
}
