//! The relation loss: eq. (5) and (6) for all pairs of a step. It is one operation, which streams: forward and backward go over
//! the relations of each head without ever holding S x S of them. Derivation: `shaders/README.md`.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, TensorData};
use limbeck_recipe::{Kernels, Operation, Pair, Vector};

use crate::graph::differentiable;
use crate::pair::RawTaps;
use crate::{Dims, Lengths, ShapeError, Taps};

#[cfg(feature = "gpu")]
pub(crate) use gpu::RelationSpec;

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
    kernels: impl Into<Kernels>,
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
    let rows = match kernels.into().has(Operation::Relation) {
        true => fused(student, teacher, &pairs, lengths, dims),
        false => naive::rows(student, teacher, &pairs, lengths, heads),
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

/// The relation itself (eq. 7, 8): row softmax of the scaled scores, (B, A, S, S). Columns of padded keys are 0; rows at or
/// past a length carry no meaning. Maps show it; no loss needs it, so it is the plain composition on every backend.
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
    Ok(naive::relation(taps, pair, lengths, heads))
}

/// KL by row of each pair, (P, B, A, S), by the streaming implementation; differentiable in the student.
fn fused(
    student: &Taps,
    teacher: &Taps,
    pairs: &[Pair],
    lengths: &Lengths,
    dims: Dims,
) -> Tensor<4> {
    let call = Call {
        dims,
        lengths: lengths.as_slice().to_vec(),
        pairs: pairs.to_vec(),
    };
    Tensor::from_dispatch(<Dispatch as RelationOps>::relation_rows(
        student.clone().into(),
        teacher.without_autodiff().into(),
        call,
    ))
}

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    dims: Dims,
    lengths: Vec<usize>,
    pairs: Vec<Pair>,
}

impl Call {
    /// (P, B, A, S).
    fn rows(&self) -> [usize; 4] {
        let Dims {
            batch,
            heads,
            length,
            ..
        } = self.dims;
        [self.pairs.len(), batch, heads, length]
    }

    /// Whether a projection is in any pair.
    fn uses(&self, vector: Vector) -> bool {
        let has = |pair: &Pair| pair.row == vector || pair.column == vector;
        self.pairs.iter().any(has)
    }
}

/// Statistics of rows are (P, N, B, A, S): KL first, then what the implementation's backward pass wants to know again.
#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait RelationOps: Backend {
    fn relation_statistics(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of the student's projections, given the statistics and the gradient (P, B, A, S) of each row's KL. One that
    /// no pair uses has no meaning.
    fn relation_gradients(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self>;

    /// KL(teacher row || student row), (P, B, A, S); differentiable in the student.
    fn relation_rows(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        rows_of::<Self>(
            Self::relation_statistics(student, teacher, call.clone()),
            &call,
        )
    }
}

/// The first of the statistics, without their axis.
fn rows_of<B: Backend>(statistics: FloatTensor<B>, call: &Call) -> FloatTensor<B> {
    let [p, b, a, s] = call.rows();
    let ranges = [0..p, 0..1, 0..b, 0..a, 0..s].map(|range| range.into());
    let kl = B::float_slice(statistics, &ranges);
    B::float_reshape(kl, call.rows().into())
}

/// What the backward pass wants to know again beside the student's projections.
#[derive(Clone, Debug)]
struct Kept<B: Backend> {
    teacher: RawTaps<B>,
    statistics: FloatTensor<B>,
    call: Call,
}

impl<B: Backend + RelationOps, C: CheckpointStrategy> RelationOps for Autodiff<B, C> {
    fn relation_statistics(_: RawTaps<Self>, _: RawTaps<Self>, _: Call) -> FloatTensor<Self> {
        unreachable!("what is differentiable are the rows")
    }

    fn relation_gradients(
        _: RawTaps<Self>,
        _: RawTaps<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> RawTaps<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn relation_rows(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let teacher = teacher.map(|tensor| tensor.into_primitive());
        differentiable::<B, C, Kept<B>, 3>(
            only_used::<B, C>(student, &call).into_array(),
            |student| {
                let student = RawTaps::new(student);
                let statistics = B::relation_statistics(student, teacher.clone(), call.clone());
                let rows = rows_of::<B>(statistics.clone(), &call);
                let kept = Kept {
                    teacher,
                    statistics,
                    call,
                };
                (rows, kept)
            },
            |student, kept, upstream, _| {
                let student = RawTaps::new(student);
                let Kept {
                    teacher,
                    statistics,
                    call,
                } = kept;
                let of = B::relation_gradients(student, teacher, statistics, upstream, call);
                of.into_array().map(Some)
            },
        )
    }
}

/// A projection that no pair uses is no parent of the loss: it has no gradient, which is not a gradient of 0 (it does not
/// decay either), and burn requires one for each parent.
fn only_used<B: Backend, C: CheckpointStrategy>(
    taps: RawTaps<Autodiff<B, C>>,
    call: &Call,
) -> RawTaps<Autodiff<B, C>> {
    let of = |vector, tensor: FloatTensor<Autodiff<B, C>>| {
        if call.uses(vector) {
            tensor
        } else {
            Autodiff::<B, C>::from_inner(tensor.into_primitive())
        }
    };
    RawTaps {
        q: of(Vector::Q, taps.q),
        k: of(Vector::K, taps.k),
        v: of(Vector::V, taps.v),
    }
}
