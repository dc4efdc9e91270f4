//! The relation loss on the CPU: a block of rows of one relation head after the other, with `cpu/head.rs`. What the
//! forward pass keeps of a row are the two sums of exponentials.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;
use limbeck_recipe::{Pair, Vector};
use pulp::{Simd, WithSimd};

use super::{Call, RelationOps};
use crate::Dims;
use crate::cpu;
use crate::cpu::head::{self, Heads, ROWS, Transposed};
use crate::pair::RawTaps;

/// KL, and the sums of exp(z - max z) of student and teacher: with the maximum, which is found again, closer to the
/// probabilities than a rounded lse.
const STATISTICS: usize = 3;

/// Pieces of work that keep the cores of a large machine busy. It does not depend on this machine, so the bits of a result
/// do not either.
const PIECES: usize = 64;
/// Each block of rows has a gradient of the columns of its own, so more of them would cost memory.
const MOST_BLOCKS: usize = 4;
/// Fewer rows than this do not pay for transposing the vectors of their head once more.
const LEAST_ROWS: usize = 64;

type Vectors = RawTaps<Flex>;

impl RelationOps for Flex {
    fn relation_statistics(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        statistics(student, teacher, &call)
    }

    fn relation_means(
        statistics: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        means(&statistics, &call)
    }

    fn relation_gradients(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        gradients(student, teacher, &statistics, upstream, &call)
    }
}

impl Call {
    fn heads(&self, d: usize) -> Heads {
        Heads {
            s: self.dims.length,
            heads: self.dims.heads,
            d,
        }
    }

    /// The sequence of a task.
    fn sequence(&self, task: usize) -> usize {
        task / self.dims.heads
    }

    fn length(&self, task: usize) -> usize {
        self.lengths[self.sequence(task)]
    }

    /// Rows of one piece of work: all of a head where heads are many.
    fn block(&self) -> usize {
        let s = self.dims.length;
        let most = s.div_ceil(LEAST_ROWS).min(MOST_BLOCKS);
        let blocks = (PIECES / self.tasks()).clamp(1, most);
        s.div_ceil(blocks).next_multiple_of(ROWS)
    }
}

/// Rows (scaled by 1 / sqrt(D)) and columns of one relation head of one sequence, of the student and of the teacher.
struct Relations {
    student: Relation,
    teacher: Relation,
}

struct Relation {
    rows: Transposed,
    columns: Transposed,
}

/// The projections of both models that a pair compares, as slices (B, S, H): rows and columns.
struct Compared<'a> {
    student: [&'a [f32]; 2],
    teacher: [&'a [f32]; 2],
}

impl<'a> Compared<'a> {
    fn new(student: &'a Vectors, teacher: &'a Vectors, pair: Pair) -> Self {
        let of = |taps: &'a Vectors| [pair.row, pair.column].map(|of| cpu::values(taps.get(of)));
        Self {
            student: of(student),
            teacher: of(teacher),
        }
    }

    fn relations(&self, call: &Call, task: usize) -> Relations {
        let of = |[rows, columns]: [&[f32]; 2], d: usize| {
            let (heads, length) = (call.heads(d), call.length(task));
            Relation {
                rows: heads.transpose(rows, task, length, 1.0 / (d as f32).sqrt()),
                columns: heads.transpose(columns, task, length, 1.0),
            }
        };
        Relations {
            student: of(self.student, call.dims.student),
            teacher: of(self.teacher, call.dims.teacher),
        }
    }
}

fn contiguous(taps: Vectors) -> Vectors {
    taps.map(cpu::contiguous)
}

/// (P, 3, B, A, S); 0 at and past a length.
fn statistics(student: Vectors, teacher: Vectors, call: &Call) -> FloatTensor<Flex> {
    let (student, teacher) = (contiguous(student), contiguous(teacher));
    let [p, b, a, s] = call.rows();
    let (rows, block) = (b * a * s, call.block());
    let mut out = vec![0.0; p * STATISTICS * rows];
    let mut pieces = Vec::new();
    for ((pair, _), out) in call.pairs.iter().zip(out.chunks_mut(STATISTICS * rows)) {
        let (kl, sums) = out.split_at_mut(rows);
        let (sums_s, sums_t) = sums.split_at_mut(rows);
        let tasks = kl
            .chunks_mut(s)
            .zip(sums_s.chunks_mut(s))
            .zip(sums_t.chunks_mut(s));
        for (task, ((kl, sums_s), sums_t)) in tasks.enumerate() {
            let blocks = kl
                .chunks_mut(block)
                .zip(sums_s.chunks_mut(block))
                .zip(sums_t.chunks_mut(block));
            pieces.extend(
                blocks
                    .enumerate()
                    .map(|(n, ((kl, s), t))| (*pair, task, n * block, [kl, s, t])),
            );
        }
    }
    cpu::each(pieces.into_iter(), |(pair, task, first, out)| {
        let relations = Compared::new(&student, &teacher, pair).relations(call, task);
        cpu::with_simd(Forward {
            relations,
            first,
            out,
        });
    });
    FloatTensor::<Flex>::from_data(TensorData::new(out, [p, STATISTICS, b, a, s]))
}

/// The loss (1), and by pair (P): sums in f64, which cost nothing beside the rows.
fn means(statistics: &FloatTensor<Flex>, call: &Call) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let s = call.dims.length;
    let rows = call.tasks() * s;
    let mean = |statistics: &[f32]| -> f64 {
        let tasks = statistics[..rows].chunks(s).enumerate();
        let weighted = |(task, kl): (usize, &[f32])| {
            let sum: f64 = kl.iter().copied().map(f64::from).sum();
            call.row_weight(call.sequence(task)) * sum
        };
        tasks.map(weighted).sum()
    };
    let of_pairs = cpu::values(statistics).chunks(STATISTICS * rows);
    let means: Vec<f64> = of_pairs.map(mean).collect();
    let weighted = means.iter().zip(&call.pairs);
    let total: f64 = weighted.map(|(mean, (_, weight))| weight * mean).sum();
    let tensor = |values: Vec<f64>| {
        let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
        let shape = [values.len()];
        FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
    };
    (tensor(vec![total]), tensor(means))
}

/// Statistics of a block of rows, from the row `first` on.
struct Forward<'a> {
    relations: Relations,
    first: usize,
    out: [&'a mut [f32]; STATISTICS],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            relations: Relations { student, teacher },
            first,
            out: [kl, sums_s, sums_t],
        } = self;
        let (p, length) = (student.columns.p, student.columns.length);
        let (mut zs, mut zt) = (vec![0.0; ROWS * p], vec![0.0; ROWS * p]);
        for i in (first..length.min(first + kl.len())).step_by(ROWS) {
            head::scores(simd, &student.rows, i, &student.columns, &mut zs);
            head::scores(simd, &teacher.rows, i, &teacher.columns, &mut zt);
            for r in 0..ROWS.min(length - i) {
                let (at, row) = (i - first + r, r * p..(r + 1) * p);
                (kl[at], sums_s[at], sums_t[at]) = head::row_kl(simd, &zs[row.clone()], &zt[row]);
            }
        }
    }
}

/// Gradients of the student's projections, from that of the loss, (1).
fn gradients(
    student: Vectors,
    teacher: Vectors,
    statistics: &FloatTensor<Flex>,
    upstream: FloatTensor<Flex>,
    call: &Call,
) -> Vectors {
    let (student, teacher) = (contiguous(student), contiguous(teacher));
    let upstream = f64::from(cpu::values(&cpu::contiguous(upstream))[0]);
    let Dims { batch, length, .. } = call.dims;
    let shape = [batch, length, call.dims.heads * call.dims.student];
    let mut out = Vector::ALL.map(|vector| match call.uses(vector) {
        true => vec![0.0; shape.iter().product()],
        false => Vec::new(),
    });
    let rows = call.tasks() * length;
    let statistics = cpu::values(statistics).chunks(STATISTICS * rows);
    for ((pair, weight), statistics) in call.pairs.iter().zip(statistics) {
        let (sums_s, sums_t) = statistics[rows..].split_at(rows);
        let given = Given {
            sums_s,
            sums_t,
            weight: upstream * weight,
        };
        let compared = Compared::new(&student, &teacher, *pair);
        let parts = Parts::new(&compared, &given, pair.is_self(), call);
        parts.add_to(&mut out, *pair, call);
    }
    let [q, k, v] = Vector::ALL.map(|vector| match call.uses(vector) {
        true => {
            let values = std::mem::take(&mut out[vector as usize]);
            FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
        }
        false => student.get(vector).clone(),
    });
    RawTaps { q, k, v }
}

/// What the backward pass of a pair knows of its rows, (B, A, S) each, and what all of them weigh together, or later one by itself.
#[derive(Clone, Copy)]
struct Given<'a> {
    sums_s: &'a [f32],
    sums_t: &'a [f32],
    weight: f64,
}

impl<'a> Given<'a> {
    fn of_task(self, task: usize, call: &Call) -> Self {
        let s = call.dims.length;
        let of = |rows: &'a [f32]| &rows[task * s..][..s];
        Self {
            sums_s: of(self.sums_s),
            sums_t: of(self.sums_t),
            weight: self.weight * call.row_weight(call.sequence(task)),
        }
    }
}

/// The gradient of one pair by relation head.
struct Parts {
    /// (B, A, S, D).
    rows: Vec<f32>,
    /// (B, A, N, S, D), one part a block of rows, so that no two threads write to one place; empty where the gradient of the
    /// columns was added to that of the rows.
    columns: Vec<f32>,
}

impl Parts {
    fn new(compared: &Compared, given: &Given, same: bool, call: &Call) -> Self {
        let (s, d, block) = (call.dims.length, call.dims.student, call.block());
        let blocks = s.div_ceil(block);
        let mut rows = vec![0.0; call.tasks() * s * d];
        let in_place = same && blocks == 1;
        let mut columns = vec![0.0; if in_place { 0 } else { blocks * rows.len() }];
        let mut parts_of_columns = columns.chunks_mut(s * d);
        let mut pieces = Vec::new();
        for (task, rows) in rows.chunks_mut(s * d).enumerate() {
            for (n, rows) in rows.chunks_mut(block * d).enumerate() {
                pieces.push((task, n * block, rows, parts_of_columns.next()));
            }
        }
        cpu::each(pieces.into_iter(), |(task, first, rows, columns)| {
            cpu::with_simd(Gradients {
                relations: compared.relations(call, task),
                given: given.of_task(task, call),
                first,
                rows,
                columns,
            });
        });
        Self { rows, columns }
    }

    fn add_to(&self, out: &mut [Vec<f32>; 3], pair: Pair, call: &Call) {
        let heads = call.heads(call.dims.student);
        heads.add(&self.rows, 1, &mut out[pair.row as usize]);
        if !self.columns.is_empty() {
            let blocks = self.columns.len() / self.rows.len();
            heads.add(&self.columns, blocks, &mut out[pair.column as usize]);
        }
    }
}

/// The backward pass of a block of rows, from the row `first` on: dRows = scale * G columns, (rows, D), and dColumns = G^T
/// (scale * rows), (S, D), with G = weight * (P_S - P_T). Without a place for the columns they are added to the rows,
/// which then are all of the head's.
struct Gradients<'a> {
    relations: Relations,
    given: Given<'a>,
    first: usize,
    rows: &'a mut [f32],
    columns: Option<&'a mut [f32]>,
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            relations: Relations { student, teacher },
            given,
            first,
            rows,
            columns,
        } = self;
        let (p, length) = (student.columns.p, student.columns.length);
        let d = student.columns.width();
        let scale = 1.0 / (d as f32).sqrt();
        let factor = given.weight as f32;
        let (mut zs, mut zt) = (vec![0.0; ROWS * p], vec![0.0; ROWS * p]);
        let mut part = vec![0.0; ROWS * d];
        let mut transposed = Transposed::zeros(d, length);
        for i in (first..length.min(first + rows.len() / d)).step_by(ROWS) {
            head::scores(simd, &student.rows, i, &student.columns, &mut zs);
            head::scores(simd, &teacher.rows, i, &teacher.columns, &mut zt);
            let real = ROWS.min(length - i);
            for r in 0..real {
                let (row, at) = (r * p..(r + 1) * p, i + r);
                let sums = (given.sums_s[at], given.sums_t[at]);
                head::difference(simd, &mut zs[row.clone()], &zt[row], sums, factor);
            }
            zs[real * p..].fill(0.0);
            head::gather(simd, &zs, &student.columns, 0, &mut part);
            let at = (i - first) * d;
            for (out, part) in rows[at..at + real * d].iter_mut().zip(&part) {
                *out = scale * part;
            }
            head::scatter(simd, &student.rows, i, &zs, 0, &mut transposed);
        }
        transposed.add_to(columns.unwrap_or(rows));
    }
}
