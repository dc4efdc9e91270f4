//! Relations between tokens and the relation loss, eq. 5-8 of MiniLMv2, with its gradient.
//!
//! Tensors have the layout that the linear layers write: (B, S, H), flat, with H = A*D. A relation head is a contiguous
//! slice of D numbers of a token's row. (Going from (B, heads, S, d) to (B, A, S, D) by a reshape mixes tokens with
//! features; see [`Defect::HeadsMixed`](crate::defects::Defect::HeadsMixed).)
//! Tokens at or past a sequence's length are padding: they are never read, neither as rows nor as keys.

#[cfg(test)]
mod tests;

/// The sizes of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B, sequences in the batch.
    pub b: usize,
    /// S, padded length.
    pub s: usize,
    /// A, relation heads.
    pub a: usize,
    /// Ds, width of a relation head of the student.
    pub ds: usize,
    /// Dt, width of a relation head of the teacher.
    pub dt: usize,
}

impl Dims {
    /// Hidden size of the student, A*Ds.
    pub fn hs(&self) -> usize {
        self.a * self.ds
    }

    /// Hidden size of the teacher, A*Dt.
    pub fn ht(&self) -> usize {
        self.a * self.dt
    }
}

/// The two factors of one model's relation, each (B, S, H). A self pair such as Q-Q passes the same slice twice.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The tensor whose tokens are the rows of the relation.
    pub row: &'a [f64],
    /// The tensor whose tokens are its columns, the keys that a row is a distribution over.
    pub column: &'a [f64],
}

impl<'a> Side<'a> {
    /// A tensor related to itself.
    pub fn of_self_pair(tensor: &'a [f64]) -> Self {
        Self {
            row: tensor,
            column: tensor,
        }
    }
}

/// Which of the three projections of a self-attention module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vector {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
}

/// Which two projections a relation is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The projection that gives the rows.
    pub row: Vector,
    /// The projection that gives the columns.
    pub column: Vector,
}

impl Pair {
    /// All nine, row first: qq, qk, qv, kq, .. vv.
    pub const ALL: [Self; 9] = [
        Self::new(Vector::Q, Vector::Q),
        Self::new(Vector::Q, Vector::K),
        Self::new(Vector::Q, Vector::V),
        Self::new(Vector::K, Vector::Q),
        Self::new(Vector::K, Vector::K),
        Self::new(Vector::K, Vector::V),
        Self::new(Vector::V, Vector::Q),
        Self::new(Vector::V, Vector::K),
        Self::new(Vector::V, Vector::V),
    ];

    const fn new(row: Vector, column: Vector) -> Self {
        Self { row, column }
    }

    /// "qq", "qk", .. "vv": row first.
    pub fn name(self) -> &'static str {
        match (self.row, self.column) {
            (Vector::Q, Vector::Q) => "qq",
            (Vector::Q, Vector::K) => "qk",
            (Vector::Q, Vector::V) => "qv",
            (Vector::K, Vector::Q) => "kq",
            (Vector::K, Vector::K) => "kk",
            (Vector::K, Vector::V) => "kv",
            (Vector::V, Vector::Q) => "vq",
            (Vector::V, Vector::K) => "vk",
            (Vector::V, Vector::V) => "vv",
        }
    }

    /// Whether a projection is related to itself, so that it takes gradient as row and as column.
    pub fn is_self(self) -> bool {
        self.row == self.column
    }
}

/// The loss of a batch, in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Mean over the heads and real rows of a sequence, then over the batch.
    pub value: f64,
    /// (B, A, S): KL(teacher row || student row); 0 at or past the length.
    pub rows: Vec<f64>,
}

/// The gradient of [`Loss::value`] with respect to the student, each (B, S, Hs); exactly 0 in padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Through the tensor's part as rows.
    pub row: Vec<f64>,
    /// Through the tensor's part as columns.
    pub column: Vec<f64>,
}

impl Gradient {
    /// What a tensor related to itself receives: the sum of both parts.
    pub fn of_self_pair(self) -> Vec<f64> {
        self.row
            .iter()
            .zip(&self.column)
            .map(|(row, column)| row + column)
            .collect()
    }
}

/// Scaled scores before the softmax, row . column / sqrt(D): (B, A, S, S), 0 wherever row or key is padding.
///
/// # Panics
/// If a tensor is not (B, S, A*D) or a length is not in 1 ..= S.
pub fn scores(side: Side, b: usize, s: usize, a: usize, d: usize, lengths: &[usize]) -> Vec<f64> {
    check_tensor(side.row, b, s, a * d);
    check_tensor(side.column, b, s, a * d);
    check_lengths(lengths, b, s);
    let mut scores = vec![0.0; b * a * s * s];
    for sequence in 0..b {
        for head in 0..a {
            for i in 0..lengths[sequence] {
                for j in 0..lengths[sequence] {
                    let mut dot = 0.0;
                    for c in 0..d {
                        dot += side.row[((sequence * s + i) * a + head) * d + c]
                            * side.column[((sequence * s + j) * a + head) * d + c];
                    }
                    scores[((sequence * a + head) * s + i) * s + j] = dot / (d as f64).sqrt();
                }
            }
        }
    }
    scores
}

/// The relation of eq. 7 and 8: softmax of the scores over the real keys, (B, A, S, S), 0 wherever row or key is padding.
///
/// # Panics
/// As [`scores`].
pub fn relation(side: Side, b: usize, s: usize, a: usize, d: usize, lengths: &[usize]) -> Vec<f64> {
    let mut relation = scores(side, b, s, a, d, lengths);
    for sequence in 0..b {
        let length = lengths[sequence];
        for head in 0..a {
            for i in 0..length {
                let start = ((sequence * a + head) * s + i) * s;
                let row = softmax(&relation[start..start + length]);
                relation[start..start + length].copy_from_slice(&row);
            }
        }
    }
    relation
}

/// Log-sum-exp of each row of scores over the real keys, (B, A, S), 0 in padded rows.
///
/// # Panics
/// As [`scores`].
pub fn lse(side: Side, b: usize, s: usize, a: usize, d: usize, lengths: &[usize]) -> Vec<f64> {
    let scores = scores(side, b, s, a, d, lengths);
    let mut lse = vec![0.0; b * a * s];
    for sequence in 0..b {
        let length = lengths[sequence];
        for head in 0..a {
            for i in 0..length {
                let row = (sequence * a + head) * s + i;
                lse[row] = log_sum_exp(&scores[row * s..row * s + length]);
            }
        }
    }
    lse
}

/// KL(teacher row || student row), in nats. Both arguments are scaled scores before the softmax, of the real keys only.
///
/// # Panics
/// If the rows are empty or differ in length.
pub fn row_kl(teacher: &[f64], student: &[f64]) -> f64 {
    assert_eq!(
        teacher.len(),
        student.len(),
        "a teacher row and a student row must have the same keys"
    );
    let (zt, zs) = (log_sum_exp(teacher), log_sum_exp(student));
    let mut kl = 0.0;
    for j in 0..teacher.len() {
        let log_p = teacher[j] - zt; // eq. 7
        let log_q = student[j] - zs; // eq. 8
        kl += log_p.exp() * (log_p - log_q);
    }
    kl
}

/// The loss of one pair, eq. 6: for each sequence the mean of the row KLs over heads and real rows; then the mean over B.
///
/// # Panics
/// If a tensor does not fit `dims` or a length is not in 1 ..= S.
pub fn forward(student: Side, teacher: Side, dims: &Dims, lengths: &[usize]) -> Loss {
    let Dims { b, s, a, ds, dt } = *dims;
    let student = scores(student, b, s, a, ds, lengths);
    let teacher = scores(teacher, b, s, a, dt, lengths);
    let mut loss = Loss {
        value: 0.0,
        rows: vec![0.0; b * a * s],
    };
    for sequence in 0..b {
        let length = lengths[sequence];
        for head in 0..a {
            for i in 0..length {
                let row = (sequence * a + head) * s + i;
                let keys = row * s..row * s + length;
                let kl = row_kl(&teacher[keys.clone()], &student[keys]);
                loss.rows[row] = kl;
                loss.value += kl / (a * length * b) as f64;
            }
        }
    }
    loss
}

/// The gradient of [`forward`]'s value with respect to the student's row tensor and column tensor, separately.
///
/// With Z the student's scores and G = dL/dZ = (P_student - P_teacher) / (A * length * B), because a teacher row sums to 1:
/// dL/drow = G . column / sqrt(Ds) and dL/dcolumn = G^T . row / sqrt(Ds).
///
/// # Panics
/// As [`forward`].
pub fn backward(student: Side, teacher: Side, dims: &Dims, lengths: &[usize]) -> Gradient {
    let Dims { b, s, a, ds, dt } = *dims;
    let p_student = relation(student, b, s, a, ds, lengths);
    let p_teacher = relation(teacher, b, s, a, dt, lengths);
    let mut gradient = Gradient {
        row: vec![0.0; b * s * a * ds],
        column: vec![0.0; b * s * a * ds],
    };
    for sequence in 0..b {
        let length = lengths[sequence];
        for head in 0..a {
            for i in 0..length {
                for j in 0..length {
                    let at = ((sequence * a + head) * s + i) * s + j;
                    let g = (p_student[at] - p_teacher[at]) / (a * length * b) as f64;
                    for c in 0..ds {
                        let row = ((sequence * s + i) * a + head) * ds + c;
                        let column = ((sequence * s + j) * a + head) * ds + c;
                        gradient.row[row] += g * student.column[column] / (ds as f64).sqrt();
                        gradient.column[column] += g * student.row[row] / (ds as f64).sqrt();
                    }
                }
            }
        }
    }
    gradient
}

/// log(sum(exp(x))), with the largest x taken out so that nothing overflows.
pub(crate) fn log_sum_exp(row: &[f64]) -> f64 {
    assert!(
        !row.is_empty(),
        "a softmax over no keys has no value; every sequence needs a length of at least 1"
    );
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
    largest + sum.ln()
}

/// exp(x) / sum(exp(x)).
pub(crate) fn softmax(row: &[f64]) -> Vec<f64> {
    let z = log_sum_exp(row);
    row.iter().map(|x| (x - z).exp()).collect()
}

fn check_tensor(tensor: &[f64], b: usize, s: usize, h: usize) {
    let got = tensor.len();
    assert_eq!(
        got,
        b * s * h,
        "a tensor of {got} numbers is not (B, S, H) = ({b}, {s}, {h})"
    );
}

fn check_lengths(lengths: &[usize], b: usize, s: usize) {
    assert_eq!(
        lengths.len(),
        b,
        "lengths {lengths:?} are not one for each of B = {b} sequences"
    );
    assert!(
        lengths.iter().all(|&length| (1..=s).contains(&length)),
        "lengths {lengths:?} must be in 1 ..= S = {s}"
    );
}
