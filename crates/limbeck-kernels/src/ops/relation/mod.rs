//! The relation loss: eq. (5) and (6) for all pairs of a step. It is one operation, which streams: forward and backward go over
//! the relations of each head without ever holding S x S of them. Derivation: `shaders/README.md`.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, backend_extension,
};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation, Pair, Vector};

use crate::graph::differentiable_beside;
use crate::pair::RawTaps;
use crate::{Dims, Lengths, ShapeError, Taps};

#[cfg(feature = "gpu")]
pub(crate) use gpu::{MeanSpec, RelationSpec};

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
    if !kernels.into().has(Operation::Relation) {
        return Ok(naive::relation_loss(
            student, teacher, pairs, lengths, heads,
        ));
    }
    let call = Call {
        dims,
        lengths: lengths.as_slice().to_vec(),
        pairs: pairs.to_vec(),
    };
    let (student, teacher) = (student.clone().into(), teacher.without_autodiff().into());
    let losses = <Dispatch as RelationOps>::relation_losses(student, teacher, call);
    Ok(RelationLoss {
        total: Tensor::from_dispatch(losses.total),
        by_pair: Tensor::<1>::from_dispatch(losses.by_pair).without_autodiff(),
        rows: Tensor::<4>::from_dispatch(losses.rows).without_autodiff(),
    })
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

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    dims: Dims,
    lengths: Vec<usize>,
    /// With their weights.
    pairs: Vec<(Pair, f64)>,
}

/// The loss, and what it adds up from.
#[derive(Clone, Debug, ExtensionType)]
struct Losses<B: Backend> {
    /// (1); differentiable in the student.
    total: FloatTensor<B>,
    /// (P); a constant, as all that follows.
    by_pair: FloatTensor<B>,
    /// (P, B, A, S).
    rows: FloatTensor<B>,
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

    /// Sequences times relation heads.
    fn tasks(&self) -> usize {
        self.dims.batch * self.dims.heads
    }

    /// What each real row of a sequence weighs in eq. (6), averaged over the batch.
    fn row_weight(&self, sequence: usize) -> f64 {
        1.0 / (self.tasks() * self.lengths[sequence]) as f64
    }

    /// Whether a projection is in any pair.
    fn uses(&self, vector: Vector) -> bool {
        let has = |(pair, _): &(Pair, f64)| pair.row == vector || pair.column == vector;
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

    /// The loss (1), and eq. (6) of each pair averaged over the batch, (P).
    fn relation_means(
        statistics: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the student's projections, given the statistics and the gradient (1) of the loss. One that no pair uses has
    /// no meaning.
    fn relation_gradients(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self>;

    /// The loss and what it adds up from.
    fn relation_losses(
        #[extension_type] student: RawTaps<Self>,
        #[extension_type] teacher: RawTaps<Self>,
        call: Call,
    ) -> Losses<Self> {
        let statistics = Self::relation_statistics(student, teacher, call.clone());
        losses_of::<Self>(statistics, &call)
    }
}

/// What follows from the statistics of rows.
fn losses_of<B: RelationOps>(statistics: FloatTensor<B>, call: &Call) -> Losses<B> {
    let rows = rows_of::<B>(statistics.clone(), call);
    let (total, by_pair) = B::relation_means(statistics, call.clone());
    Losses {
        total,
        by_pair,
        rows,
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
        unreachable!("what is differentiable is the loss")
    }

    fn relation_means(_: FloatTensor<Self>, _: Call) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("what is differentiable is the loss")
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

    fn relation_losses(student: RawTaps<Self>, teacher: RawTaps<Self>, call: Call) -> Losses<Self> {
        let teacher = teacher.map(|tensor| tensor.into_primitive());
        let (total, constants) = differentiable_beside::<B, C, Kept<B>, _, 3>(
            only_used::<B, C>(student, &call).into_array(),
            |student| {
                let student = RawTaps::new(student);
                let statistics = B::relation_statistics(student, teacher.clone(), call.clone());
                let losses = losses_of::<B>(statistics.clone(), &call);
                let kept = Kept {
                    teacher,
                    statistics,
                    call,
                };
                (losses.total, kept, [losses.by_pair, losses.rows])
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
        );
        let [by_pair, rows] = constants.map(Self::from_inner);
        Losses {
            total,
            by_pair,
            rows,
        }
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
