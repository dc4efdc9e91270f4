//! The relation loss as a plain composition of burn operations, which runs on every backend: the baseline that
//! the fast implementations are judged against, and the one to read.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Tensor, TensorData};
use limbeck_recipe::Pair;

use super::RelationLoss;
use crate::dims::MASKED;
use crate::{Lengths, Taps};

/// The loss of pairs with their weights.
pub(super) fn relation_loss(
    student: &Taps,
    teacher: &Taps,
    pairs: &[(Pair, f64)],
    lengths: &Lengths,
    heads: usize,
) -> RelationLoss {
    let rows = rows(student, teacher, pairs, lengths, heads);
    let [p, b, ..] = rows.dims();
    // Row sums come first: short sums round less.
    let by_sequence = rows.clone().sum_dim(3).sum_dim(2).reshape([p, b]);
    let weighted = by_sequence * lengths.sequence_weights(heads).reshape([1, b]);
    let by_pair: Tensor<1> = weighted.sum_dim(1).reshape([p]);
    let weights: Vec<f32> = pairs.iter().map(|(_, weight)| *weight as f32).collect();
    let device = rows.device().without_autodiff();
    let weights = Tensor::from_data(TensorData::new(weights, [p]), &device);
    RelationLoss {
        total: (by_pair.clone() * weights).sum(),
        by_pair: by_pair.without_autodiff(),
        rows: rows.without_autodiff(),
    }
}

/// KL(teacher row || student row) of each pair, (P, B, A, S); 0 at and past a length.
fn rows(
    student: &Taps,
    teacher: &Taps,
    pairs: &[(Pair, f64)],
    lengths: &Lengths,
    heads: usize,
) -> Tensor<4> {
    let teacher = teacher.without_autodiff();
    let of_pair = |(pair, _): &(Pair, f64)| {
        let log_q = log_softmax(scores(student, *pair, lengths, heads), 3);
        let log_p = log_softmax(scores(&teacher, *pair, lengths, heads), 3);
        let terms = log_p.clone().exp() * (log_p - log_q);
        let [b, a, s, _] = terms.dims();
        let rows = terms.sum_dim(3).reshape([1, b, a, s]);
        rows * lengths.mask(1.0, 0.0).reshape([1, b, 1, s])
    };
    Tensor::cat(pairs.iter().map(of_pair).collect(), 0)
}

/// Row softmax of the scaled scores, (B, A, S, S).
pub(super) fn relation(taps: &Taps, pair: Pair, lengths: &Lengths, heads: usize) -> Tensor<4> {
    softmax(scores(taps, pair, lengths, heads), 3)
}

/// Scaled scores (B, A, S, S) with padded keys masked. Padded positions are replaced by zeros first, so that nothing they
/// hold (a NaN, say) is ever read into a result.
fn scores(taps: &Taps, pair: Pair, lengths: &Lengths, heads: usize) -> Tensor<4> {
    let rows = split(taps.get(pair.row), lengths, heads);
    let columns = split(taps.get(pair.column), lengths, heads);
    let [b, _, s, d] = rows.dims();
    let rows = rows.mul_scalar(1.0 / (d as f64).sqrt());
    let scores = rows.matmul(columns.swap_dims(2, 3));
    if lengths.all_full() {
        return scores;
    }
    scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s])
}

/// (B, S, A * D) -> (B, A, S, D): relation heads are slices of the row.
fn split(vectors: &Tensor<3>, lengths: &Lengths, heads: usize) -> Tensor<4> {
    let [b, s, h] = vectors.dims();
    let clean = if lengths.all_full() {
        vectors.clone()
    } else {
        vectors
            .clone()
            .mask_fill(lengths.padding().reshape([b, s, 1]).expand([b, s, h]), 0.0)
    };
    clean.reshape([b, s, heads, h / heads]).swap_dims(1, 2)
}
