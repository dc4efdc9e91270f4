//! The relation loss: as a plain composition of burn operations, which runs on every backend, is the baseline that faster
//! bodies are judged against and the one to read; and the choice between that and the streaming body.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor};

use crate::fused;
use crate::{Dims, Lengths, Pair, ShapeError, Taps};

/// Added to the scores of padded keys: exp of it is 0 in f32, and differences of it stay finite.
pub(crate) const MASKED: f32 = -1.0e30;

/// The row and column vectors of one model for one pair, each (B, S, H).
#[derive(Clone, Debug)]
pub struct Side {
    row: Tensor<3>,
    column: Tensor<3>,
    same: bool,
}

impl Side {
    /// A pair of a projection with itself (Q-Q, K-K, V-V).
    pub fn same(vectors: Tensor<3>) -> Self {
        Self {
            row: vectors.clone(),
            column: vectors,
            same: true,
        }
    }

    /// A mixed pair (Q-K, ...).
    ///
    /// # Errors
    /// [`ShapeError::Side`] if the two shapes differ.
    pub fn mixed(row: Tensor<3>, column: Tensor<3>) -> Result<Self, ShapeError> {
        if row.dims() != column.dims() {
            return Err(ShapeError::Side {
                row: row.dims(),
                column: column.dims(),
            });
        }
        Ok(Self {
            row,
            column,
            same: false,
        })
    }

    /// The vectors of `pair` among the taps of a layer.
    pub fn of(taps: &Taps, pair: Pair) -> Self {
        Self {
            row: taps.get(pair.row).clone(),
            column: taps.get(pair.column).clone(),
            same: pair.is_self(),
        }
    }

    /// (B, S, H) of the row vectors; the columns' is the same.
    pub(crate) fn dims(&self) -> [usize; 3] {
        self.row.dims()
    }

    /// (row vectors, column vectors).
    pub(crate) fn into_parts(self) -> (Tensor<3>, Tensor<3>) {
        (self.row, self.column)
    }

    /// Whether rows and columns are the same vectors.
    pub(crate) fn is_same(&self) -> bool {
        self.same
    }

    fn detach(&self) -> Self {
        Self {
            row: self.row.clone().without_autodiff(),
            column: self.column.clone().without_autodiff(),
            same: self.same,
        }
    }

    /// Scaled scores (B, A, S, S) with padded keys masked. Padded positions are replaced by zeros first, so that nothing
    /// they hold (a NaN, say) is ever read into a result.
    fn scores(&self, lengths: &Lengths, heads: usize) -> Tensor<4> {
        let d = self.dims()[2] / heads;
        let row = split(&self.row, lengths, heads).mul_scalar(1.0 / (d as f64).sqrt());
        let column = split(&self.column, lengths, heads);
        let scores = row.matmul(column.swap_dims(2, 3));
        if lengths.all_full() {
            return scores;
        }
        let (b, s) = (lengths.batch(), lengths.padded());
        scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s])
    }
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

/// The relation itself (eq. 7, 8): row softmax of the scaled scores, (B, A, S, S). Columns of padded keys are 0; rows at or
/// past a length carry no meaning.
///
/// # Errors
/// [`ShapeError`] if `heads` does not divide H or the lengths do not fit.
pub fn relation(side: &Side, lengths: &Lengths, heads: usize) -> Result<Tensor<4>, ShapeError> {
    Dims::parse(side.dims(), side.dims(), lengths, heads)?;
    Ok(softmax(side.scores(lengths, heads), 3))
}

/// KL by row, and the loss that it adds up to.
#[derive(Clone, Debug)]
pub struct RelationKl {
    /// (B, A, S): KL(teacher row || student row) in nats; 0 at or past a length.
    pub rows: Tensor<3>,
    /// (1): eq. (6) of each sequence, averaged over the batch.
    pub loss: Tensor<1>,
}

/// The plain composition of burn operations: how far the student's relations are from the teacher's, row by row (eq. 6).
///
/// The teacher is a constant: no gradient reaches it. Each side is scaled by its own sqrt(D).
///
/// # Errors
/// [`ShapeError`] if shapes, lengths and `heads` (A_r) do not fit together.
pub fn naive_relation_kl(
    student: &Side,
    teacher: &Side,
    lengths: &Lengths,
    heads: usize,
) -> Result<RelationKl, ShapeError> {
    let dims = Dims::parse(student.dims(), teacher.dims(), lengths, heads)?;
    let log_q = log_softmax(student.scores(lengths, heads), 3);
    let log_p = log_softmax(teacher.detach().scores(lengths, heads), 3);
    let terms = log_p.clone().exp() * (log_p - log_q);
    let rows: Tensor<3> = terms.sum_dim(3).squeeze_dim(3);
    let shape = [dims.batch, 1, dims.length];
    let loss = (rows.clone() * lengths.row_weights(heads).reshape(shape)).sum();
    Ok(RelationKl {
        rows: rows * lengths.mask(1.0, 0.0).reshape(shape),
        loss,
    })
}

/// Which body computes the relation loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// The streaming one where there is one (the CPU), else the composition of burn operations.
    #[default]
    Fused,
    /// The composition of burn operations, which allocates several (B, A, S, S) tensors: for teaching and for doubt.
    Naive,
}

impl Body {
    /// Whether the streaming body computes this side's loss.
    fn streams(self, student: &Side) -> bool {
        self == Self::Fused && is_on_cpu(&student.row)
    }
}

/// The relation loss of one pair, eq. (6) averaged over the batch: (1), in nats; differentiable in the student.
///
/// The teacher is a constant: no gradient reaches it. Each side is scaled by its own sqrt(D).
///
/// # Errors
/// [`ShapeError`] if shapes, lengths and `heads` (A_r) do not fit together.
pub fn relation_loss(
    body: Body,
    student: &Side,
    teacher: &Side,
    lengths: &Lengths,
    heads: usize,
) -> Result<Tensor<1>, ShapeError> {
    if body.streams(student) {
        let dims = Dims::parse(student.dims(), teacher.dims(), lengths, heads)?;
        return Ok(fused::loss(student, teacher, lengths, dims));
    }
    Ok(naive_relation_kl(student, teacher, lengths, heads)?.loss)
}

/// KL(teacher row || student row) of every row of every relation head, (B, A, S), in nats; 0 at or past a length. Carries no
/// gradient.
///
/// # Errors
/// [`ShapeError`] if shapes, lengths and `heads` (A_r) do not fit together.
pub fn relation_rows(
    body: Body,
    student: &Side,
    teacher: &Side,
    lengths: &Lengths,
    heads: usize,
) -> Result<Tensor<3>, ShapeError> {
    if body.streams(student) {
        let dims = Dims::parse(student.dims(), teacher.dims(), lengths, heads)?;
        return Ok(fused::rows(student, teacher, lengths, dims));
    }
    Ok(naive_relation_kl(&student.detach(), teacher, lengths, heads)?.rows)
}

/// Whether a tensor is flex's, whose bodies are written by hand.
pub(crate) fn is_on_cpu(tensor: &Tensor<3>) -> bool {
    tensor.device().without_autodiff() == Device::flex()
}
