//! Plausible mistakes in a relation loss, planted on purpose: a suite that does not object to each of them proves nothing.

#[cfg(test)]
mod tests;

use crate::cases::Case;
use crate::relation::{self, Dims, Gradient, Loss, Pair, Side, log_sum_exp, row_kl, softmax};

/// A mistake that somebody has made or will make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The vectors get gradient as rows but not as columns.
    NoColumnTerm,
    /// Scores are not divided by sqrt(D), in either model.
    NoScale,
    /// KL(student || teacher).
    SwappedKl,
    /// Padded keys take part in the softmax of real rows.
    PadLeaks,
    /// The last real row of each sequence is missing.
    OneRowShort,
    /// The gradient is 0 everywhere.
    ZeroGradient,
    /// (B, S, H) is reshaped straight to (B, A, S, D), which mixes tokens with features.
    HeadsMixed,
    /// The student's scores are divided by the teacher's sqrt(D).
    SharedScale,
    /// A sequence's sum is divided by S, not by its length.
    MeanOverPadded,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::NoColumnTerm,
        Self::NoScale,
        Self::SwappedKl,
        Self::PadLeaks,
        Self::OneRowShort,
        Self::ZeroGradient,
        Self::HeadsMixed,
        Self::SharedScale,
        Self::MeanOverPadded,
    ];

    /// Whether the mistake changes the loss or the gradient of every pair of this case.
    pub fn applies(self, case: &Case) -> bool {
        let Dims { s, a, ds, dt, .. } = case.dims;
        let shape = match self {
            Self::NoColumnTerm | Self::SwappedKl | Self::OneRowShort | Self::ZeroGradient => true,
            Self::NoScale => ds > 1 || dt > 1,
            Self::SharedScale => ds != dt,
            Self::PadLeaks => case.lengths.iter().any(|&length| length < s),
            Self::MeanOverPadded => case.lengths.iter().any(|&length| 1 < length && length < s),
            Self::HeadsMixed => a > 1,
        };
        // A token alone relates to itself by 1 whatever its vector, and equal relations have nothing to get wrong.
        shape && Pair::ALL.iter().all(|&pair| case.forward(pair).value > 0.0)
    }

    /// The loss with this mistake; of a mistake in the gradient alone, the right loss.
    pub fn forward(self, case: &Case, pair: Pair) -> Loss {
        self.answer(case, pair).0
    }

    /// The gradient with this mistake.
    pub fn backward(self, case: &Case, pair: Pair) -> Gradient {
        self.answer(case, pair).1
    }

    fn answer(self, case: &Case, pair: Pair) -> (Loss, Gradient) {
        let (dims, lengths) = (&case.dims, &case.lengths[..]);
        case.with_sides(pair, |student, teacher| match self {
            Self::NoColumnTerm => {
                let (loss, gradient) = right(student, teacher, dims, lengths);
                let column = vec![0.0; gradient.column.len()];
                (loss, Gradient { column, ..gradient })
            }
            Self::ZeroGradient => {
                let (loss, gradient) = right(student, teacher, dims, lengths);
                (loss, scaled_gradient(gradient, |_| 0.0))
            }
            Self::NoScale => {
                let root = |d: usize| (d as f64).sqrt();
                with_scaled_scores(
                    student,
                    teacher,
                    dims,
                    lengths,
                    root(dims.ds),
                    root(dims.dt),
                )
            }
            Self::SharedScale => {
                let factor = (dims.ds as f64 / dims.dt as f64).sqrt();
                with_scaled_scores(student, teacher, dims, lengths, factor, 1.0)
            }
            Self::HeadsMixed => with_mixed_heads(student, teacher, dims, lengths),
            Self::MeanOverPadded => averaged_over_padded(student, teacher, dims, lengths),
            Self::SwappedKl => by_rows(
                student,
                teacher,
                dims,
                lengths,
                &Rows {
                    kl: swapped_kl,
                    ..Rows::RIGHT
                },
            ),
            Self::PadLeaks => by_rows(
                student,
                teacher,
                dims,
                lengths,
                &Rows {
                    keys: |_, s| s,
                    ..Rows::RIGHT
                },
            ),
            Self::OneRowShort => by_rows(
                student,
                teacher,
                dims,
                lengths,
                &Rows {
                    count: |length| length - 1,
                    ..Rows::RIGHT
                },
            ),
        })
    }
}

fn right(student: Side, teacher: Side, dims: &Dims, lengths: &[usize]) -> (Loss, Gradient) {
    (
        relation::forward(student, teacher, dims, lengths),
        relation::backward(student, teacher, dims, lengths),
    )
}

/// Multiplies each number by `factor(index)`.
fn scaled_gradient(mut gradient: Gradient, factor: impl Fn(usize) -> f64) -> Gradient {
    for tensor in [&mut gradient.row, &mut gradient.column] {
        for at in 0..tensor.len() {
            tensor[at] *= factor(at);
        }
    }
    gradient
}

/// Scores times a factor: done to the row tensor, whose gradient then takes the factor by the chain rule.
fn with_scaled_scores(
    student: Side,
    teacher: Side,
    dims: &Dims,
    lengths: &[usize],
    of_student: f64,
    of_teacher: f64,
) -> (Loss, Gradient) {
    let times =
        |tensor: &[f64], factor: f64| tensor.iter().map(|x| x * factor).collect::<Vec<f64>>();
    let (student_row, teacher_row) = (
        times(student.row, of_student),
        times(teacher.row, of_teacher),
    );
    let (loss, gradient) = right(
        Side {
            row: &student_row,
            ..student
        },
        Side {
            row: &teacher_row,
            ..teacher
        },
        dims,
        lengths,
    );
    (
        loss,
        Gradient {
            row: times(&gradient.row, of_student),
            ..gradient
        },
    )
}

/// Where the reshape to (B, A, S, D) finds each number of the proper (B, S, A, D).
fn mixed_places(dims: &Dims, d: usize) -> Vec<usize> {
    let Dims { b, s, a, .. } = *dims;
    let mut places = Vec::with_capacity(b * s * a * d);
    for sequence in 0..b {
        for i in 0..s {
            for head in 0..a {
                for c in 0..d {
                    places.push(((sequence * a + head) * s + i) * d + c);
                }
            }
        }
    }
    places
}

fn with_mixed_heads(
    student: Side,
    teacher: Side,
    dims: &Dims,
    lengths: &[usize],
) -> (Loss, Gradient) {
    let mixed = |tensor: &[f64], d: usize| {
        mixed_places(dims, d)
            .iter()
            .map(|&at| tensor[at])
            .collect::<Vec<f64>>()
    };
    let (student_row, student_column) =
        (mixed(student.row, dims.ds), mixed(student.column, dims.ds));
    let (teacher_row, teacher_column) =
        (mixed(teacher.row, dims.dt), mixed(teacher.column, dims.dt));
    let (loss, gradient) = right(
        Side {
            row: &student_row,
            column: &student_column,
        },
        Side {
            row: &teacher_row,
            column: &teacher_column,
        },
        dims,
        lengths,
    );
    let back = |gradient: &[f64]| {
        let mut tensor = vec![0.0; gradient.len()];
        for (&place, value) in mixed_places(dims, dims.ds).iter().zip(gradient) {
            tensor[place] = *value;
        }
        tensor
    };
    (
        loss,
        Gradient {
            row: back(&gradient.row),
            column: back(&gradient.column),
        },
    )
}

fn averaged_over_padded(
    student: Side,
    teacher: Side,
    dims: &Dims,
    lengths: &[usize],
) -> (Loss, Gradient) {
    let (loss, gradient) = right(student, teacher, dims, lengths);
    let value = loss.rows.iter().sum::<f64>() / (dims.b * dims.a * dims.s) as f64;
    let numbers = dims.s * dims.hs(); // of one sequence
    let gradient = scaled_gradient(gradient, |at| lengths[at / numbers] as f64 / dims.s as f64);
    (Loss { value, ..loss }, gradient)
}

/// (teacher scores, student scores) -> the divergence of a row, and its gradient by the student's scores.
type RowDivergence = fn(&[f64], &[f64]) -> (f64, Vec<f64>);

/// What [`by_rows`] lets a defect change.
struct Rows {
    /// What a row contributes.
    kl: RowDivergence,
    /// (length, S) -> keys of a row.
    keys: fn(usize, usize) -> usize,
    /// length -> rows that count.
    count: fn(usize) -> usize,
}

impl Rows {
    const RIGHT: Self = Self {
        kl: right_kl,
        keys: |length, _| length,
        count: |length| length,
    };
}

fn right_kl(teacher: &[f64], student: &[f64]) -> (f64, Vec<f64>) {
    let by_scores = softmax(student)
        .iter()
        .zip(softmax(teacher))
        .map(|(q, p)| q - p)
        .collect();
    (row_kl(teacher, student), by_scores)
}

fn swapped_kl(teacher: &[f64], student: &[f64]) -> (f64, Vec<f64>) {
    let kl = row_kl(student, teacher);
    let (zt, zs) = (log_sum_exp(teacher), log_sum_exp(student));
    let by_score = |(t, q): (&f64, &f64)| (q - zs).exp() * ((q - zs) - (t - zt) - kl);
    (kl, teacher.iter().zip(student).map(by_score).collect())
}

/// Loss and gradient row by row, with what `rows` makes of each.
fn by_rows(
    student: Side,
    teacher: Side,
    dims: &Dims,
    lengths: &[usize],
    rows: &Rows,
) -> (Loss, Gradient) {
    let Dims { b, s, a, ds, dt } = *dims;
    let unmasked = vec![s; b];
    let student_scores = relation::scores(student, b, s, a, ds, &unmasked);
    let teacher_scores = relation::scores(teacher, b, s, a, dt, &unmasked);
    let mut loss = Loss {
        value: 0.0,
        rows: vec![0.0; b * a * s],
    };
    let mut gradient = Gradient {
        row: vec![0.0; b * s * a * ds],
        column: vec![0.0; b * s * a * ds],
    };
    for sequence in 0..b {
        let weight = 1.0 / (a * lengths[sequence] * b) as f64;
        let keys = (rows.keys)(lengths[sequence], s);
        for head in 0..a {
            for i in 0..(rows.count)(lengths[sequence]) {
                let row = (sequence * a + head) * s + i;
                let at = row * s..row * s + keys;
                let (kl, by_scores) = (rows.kl)(&teacher_scores[at.clone()], &student_scores[at]);
                loss.rows[row] = kl;
                loss.value += kl * weight;
                for j in 0..keys {
                    let g = weight * by_scores[j] / (ds as f64).sqrt();
                    for c in 0..ds {
                        let of_row = ((sequence * s + i) * a + head) * ds + c;
                        let of_column = ((sequence * s + j) * a + head) * ds + c;
                        gradient.row[of_row] += g * student.column[of_column];
                        gradient.column[of_column] += g * student.row[of_row];
                    }
                }
            }
        }
    }
    (loss, gradient)
}
