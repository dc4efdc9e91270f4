//! The relation loss: eq. (5) and (6) for all pairs of a step; and, row by row, as a plain composition of burn operations,
//! which runs on every backend, is the baseline that faster implementations are judged against and the one to read.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Tensor, TensorData};
use limbeck_recipe::{KernelChoice, Pair};

use crate::fused;
use crate::{Dims, Lengths, ShapeError, Taps};

/// Added to the scores of padded keys: exp of it is 0 in f32, and differences of it stay finite.
pub(crate) const MASKED: f32 = -1.0e30;

/// The loss of a step, and what it adds up from.
#[derive(Clone, Debug)]
pub struct RelationLoss {
    /// (1): eq. (5), the weighted sum over the pairs, averaged over the batch; differentiable in the student.
    pub total: Tensor<1>,
    /// (P): eq. (6) of each pair, unweighted, averaged over the batch, in nats; a constant.
    pub by_pair: Tensor<1>,
    /// (P, B, A, S): KL(teacher row || student row) in nats, 0 at and past a length; a constant.
    pub rows: Tensor<4>,
}

/// The relation loss: how far the student's relations are from the teacher's, for each pair with its weight (alpha in eq. 5).
///
/// The teacher is a constant: no gradient reaches it. Each side is scaled by its own sqrt(D).
///
/// # Errors
/// [`ShapeError`] if shapes, lengths and `heads` (A_r) do not fit together, or there is no pair.
pub fn relation_loss(
    kernel: KernelChoice,
    student: &Taps,
    teacher: &Taps,
    pairs: &[(Pair, f64)],
    lengths: &Lengths,
    heads: usize,
) -> Result<RelationLoss, ShapeError> {
    let dims = Dims::of_taps(student, teacher, lengths, heads)?;
    if pairs.is_empty() {
        return Err(ShapeError::NoPair);
    }
    let (pairs, weights): (Vec<Pair>, Vec<f64>) = pairs.iter().copied().unzip();
    let rows = match kernel {
        KernelChoice::Fused => fused::rows(student, teacher, &pairs, lengths, dims),
        KernelChoice::Naive => naive_rows(student, teacher, &pairs, lengths, heads),
    };
    let by_pair = by_pair(rows.clone(), lengths, dims);
    let weights = weights.iter().map(|weight| *weight as f32).collect();
    let weights = TensorData::new::<f32, _>(weights, [pairs.len()]);
    let weights = Tensor::from_data(weights, &rows.device().without_autodiff());
    Ok(RelationLoss {
        total: (by_pair.clone() * weights).sum(),
        by_pair: by_pair.without_autodiff(),
        rows: rows.without_autodiff(),
    })
}

/// Eq. (6) of each sequence, averaged over the batch: (P, B, A, S) -> (P). Row sums come first: short sums round less.
fn by_pair(rows: Tensor<4>, lengths: &Lengths, dims: Dims) -> Tensor<1> {
    let [p, b, ..] = rows.dims();
    let by_sequence = rows.sum_dim(3).sum_dim(2).reshape([p, b]);
    (by_sequence * lengths.sequence_weights(dims.heads).reshape([1, b]))
        .sum_dim(1)
        .reshape([p])
}

fn naive_rows(
    student: &Taps,
    teacher: &Taps,
    pairs: &[Pair],
    lengths: &Lengths,
    heads: usize,
) -> Tensor<4> {
    let teacher = teacher.without_autodiff();
    let of_pair = |pair: &Pair| {
        let log_q = log_softmax(scores(student, *pair, lengths, heads), 3);
        let log_p = log_softmax(scores(&teacher, *pair, lengths, heads), 3);
        let terms = log_p.clone().exp() * (log_p - log_q);
        let [b, a, s, _] = terms.dims();
        let rows = terms.sum_dim(3).reshape([1, b, a, s]);
        rows * lengths.mask(1.0, 0.0).reshape([1, b, 1, s])
    };
    Tensor::cat(pairs.iter().map(of_pair).collect(), 0)
}

/// The relation itself (eq. 7, 8): row softmax of the scaled scores, (B, A, S, S). Columns of padded keys are 0; rows at or
/// past a length carry no meaning.
///
/// # Errors
/// [`ShapeError`] if `heads` does not divide H or the lengths do not fit.
pub fn relation(
    taps: &Taps,
    pair: Pair,
    lengths: &Lengths,
    heads: usize,
) -> Result<Tensor<4>, ShapeError> {
    Dims::of_taps(taps, taps, lengths, heads)?;
    Ok(softmax(scores(taps, pair, lengths, heads), 3))
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
