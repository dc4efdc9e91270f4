//! Shapes, checked once: nothing checks them again after [`Dims::parse`].

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use limbeck_recipe::common_relation_heads;

use crate::Taps;

/// What is wrong with the shapes of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The two sides disagree about batch or length.
    #[error(
        "(B, S) of student and teacher must agree: the student has {student:?}, the teacher {teacher:?}"
    )]
    Sides {
        /// (B, S, H) of the student.
        student: [usize; 3],
        /// (B, S, H) of the teacher.
        teacher: [usize; 3],
    },
    /// Queries, keys and values of one model differ in shape.
    #[error("queries, keys and values of a model must have one shape: {q:?}, {k:?} and {v:?}")]
    Taps {
        /// (B, S, H) of the queries.
        q: [usize; 3],
        /// (B, S, H) of the keys.
        k: [usize; 3],
        /// (B, S, H) of the values.
        v: [usize; 3],
    },
    /// A loss over no pairs.
    #[error("no pair to compare; name at least one, such as qq")]
    NoPair,
    /// The relation heads do not divide a hidden size.
    #[error(
        "{heads} relation heads do not divide both hidden sizes, {student} (student) and {teacher} (teacher); \
         these do: {fits:?}"
    )]
    Heads {
        /// A_r that was asked for.
        heads: usize,
        /// Hidden size of the student.
        student: usize,
        /// Hidden size of the teacher.
        teacher: usize,
        /// Every A_r that divides both.
        fits: Vec<usize>,
    },
    /// A length is 0 or beyond S.
    #[error("length {length} of sequence {index} is not in 1..={longest}")]
    Length {
        /// Which sequence of the batch, from 0.
        index: usize,
        /// Its length in tokens.
        length: usize,
        /// S.
        longest: usize,
    },
    /// The number of lengths is not B.
    #[error("{lengths} lengths for a batch of {batch}")]
    Batch {
        /// How many lengths were given.
        lengths: usize,
        /// B.
        batch: usize,
    },
    /// An axis of size 0.
    #[error("empty axis: the student has {student:?}, the teacher {teacher:?}")]
    Empty {
        /// (B, S, H) of the student.
        student: [usize; 3],
        /// (B, S, H) of the teacher.
        teacher: [usize; 3],
    },
}

/// Added to the scores of padded keys: exp of it is 0 in f32, and differences of it stay finite.
pub(crate) const MASKED: f32 = -1.0e30;

/// Every size of one call of the relation loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B, sequences.
    pub batch: usize,
    /// A_r, relation heads.
    pub heads: usize,
    /// S, padded length in tokens.
    pub length: usize,
    /// Ds, width of a relation head of the student.
    pub student: usize,
    /// Dt, width of a relation head of the teacher.
    pub teacher: usize,
}

impl Dims {
    /// Checks what two models tapped; see [`Dims::parse`].
    ///
    /// # Errors
    /// See [`ShapeError`].
    pub(crate) fn of_taps(
        student: &Taps,
        teacher: &Taps,
        lengths: &Lengths,
        heads: usize,
    ) -> Result<Self, ShapeError> {
        let shape = |taps: &Taps| {
            let [q, k, v] = [&taps.q, &taps.k, &taps.v].map(|tensor| tensor.dims());
            if q == k && k == v {
                Ok(q)
            } else {
                Err(ShapeError::Taps { q, k, v })
            }
        };
        Self::parse(shape(student)?, shape(teacher)?, lengths, heads)
    }

    /// Checks a call: `student` and `teacher` are (B, S, H) shapes, `heads` is A_r.
    ///
    /// # Errors
    /// See [`ShapeError`]; the message names both sides.
    pub fn parse(
        student: [usize; 3],
        teacher: [usize; 3],
        lengths: &Lengths,
        heads: usize,
    ) -> Result<Self, ShapeError> {
        let ([b, s, hs], [tb, ts, ht]) = (student, teacher);
        if [b, s] != [tb, ts] {
            return Err(ShapeError::Sides { student, teacher });
        }
        if b == 0 || s == 0 || hs == 0 || ht == 0 {
            return Err(ShapeError::Empty { student, teacher });
        }
        if heads == 0 || !hs.is_multiple_of(heads) || !ht.is_multiple_of(heads) {
            let fits = common_relation_heads(hs, ht);
            return Err(ShapeError::Heads {
                heads,
                student: hs,
                teacher: ht,
                fits,
            });
        }
        if lengths.batch() != b || lengths.longest != s {
            return Err(ShapeError::Batch {
                lengths: lengths.batch(),
                batch: b,
            });
        }
        Ok(Self {
            batch: b,
            heads,
            length: s,
            student: hs / heads,
            teacher: ht / heads,
        })
    }
}

/// Real lengths of the sequences of a batch, on the device, with what follows from them.
///
/// Sequences are padded on the right: position `s` of sequence `b` is real if `s < lengths[b]`.
#[derive(Clone, Debug)]
pub struct Lengths {
    host: Vec<usize>,
    longest: usize,
    device: Device,
}

impl Lengths {
    /// Checks that each length is in `1..=longest` (S).
    ///
    /// # Errors
    /// [`ShapeError::Length`] names the first that is not.
    pub fn new(lengths: &[usize], longest: usize, device: &Device) -> Result<Self, ShapeError> {
        match lengths.iter().position(|l| *l == 0 || *l > longest) {
            Some(index) => Err(ShapeError::Length {
                index,
                length: lengths[index],
                longest,
            }),
            None => Ok(Self {
                host: lengths.to_vec(),
                longest,
                device: device.clone().without_autodiff(),
            }),
        }
    }

    /// B, the number of sequences.
    pub fn batch(&self) -> usize {
        self.host.len()
    }

    /// S, the padded length.
    pub fn padded(&self) -> usize {
        self.longest
    }

    /// The lengths themselves, in tokens.
    pub fn as_slice(&self) -> &[usize] {
        &self.host
    }

    /// Whether every sequence is as long as S, so that nothing needs a mask.
    pub fn all_full(&self) -> bool {
        self.host.iter().all(|l| *l == self.longest)
    }

    /// The lengths as a tensor (B), for kernels.
    pub fn tensor(&self) -> Tensor<1, Int> {
        let data: Vec<i32> = self
            .host
            .iter()
            .map(|l| i32::try_from(*l).unwrap_or(i32::MAX))
            .collect();
        Tensor::from_data(TensorData::new(data, [self.batch()]), &self.device)
    }

    /// (B, S): true where a position is padding.
    pub fn padding(&self) -> Tensor<2, Bool> {
        let (b, s) = (self.batch(), self.longest);
        let positions = Tensor::<1, Int>::arange(0..s as i64, &self.device)
            .reshape([1, s])
            .expand([b, s]);
        positions.greater_equal(self.tensor().reshape([b, 1]).expand([b, s]))
    }

    /// (B, S): `real` where a position is real and `padded` where it is padding.
    pub fn mask(&self, real: f32, padded: f32) -> Tensor<2> {
        self.rows(|_| real, padded)
    }

    /// (B): 1 / (A * length * B), what each real row of a sequence weighs in eq. (6), averaged over the batch.
    pub fn sequence_weights(&self, heads: usize) -> Tensor<1> {
        let lengths = self.host.iter();
        let weights: Vec<f32> = lengths.map(|length| self.weight(*length, heads)).collect();
        Tensor::from_data(TensorData::new(weights, [self.batch()]), &self.device)
    }

    /// (B, S): [`Lengths::sequence_weights`] on real rows, and 0 on padding.
    pub fn row_weights(&self, heads: usize) -> Tensor<2> {
        self.rows(|length| self.weight(length, heads), 0.0)
    }

    fn weight(&self, length: usize, heads: usize) -> f32 {
        1.0 / (heads * length * self.batch()) as f32
    }

    fn rows(&self, real: impl Fn(usize) -> f32, padded: f32) -> Tensor<2> {
        let mut values = Vec::with_capacity(self.batch() * self.longest);
        for length in &self.host {
            let value = real(*length);
            values.extend((0..self.longest).map(|s| if s < *length { value } else { padded }));
        }
        Tensor::from_data(
            TensorData::new(values, [self.batch(), self.longest]),
            &self.device,
        )
    }
}
