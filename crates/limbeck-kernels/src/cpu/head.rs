//! What the streaming CPU implementations share. They go through one head of one sequence at a time: its vectors are transposed to
//! (D, P), P the length rounded up to whole SIMD vectors, so that every inner loop runs over keys; a block of a few rows
//! shares each load of a key. Only (rows of a block) x P scores exist at any time, never S x S.

use std::array::from_fn;
use std::ops::Range;

use pulp::Simd;

use crate::cpu;

/// Rows are rounded up to this many floats: one AVX-512 register, two of AVX, four of NEON or simd128.
const PADDED_TO: usize = 16;
/// Tokens and features that are transposed at once, in registers.
const SQUARE: usize = 4;
/// Rows of a block: what shares each load of a key.
pub(crate) const ROWS: usize = 8;

/// Whether 2 * ROWS sums fit in the registers of this SIMD level: AVX-512 has 32 of 16 lanes, AVX2 half as many.
#[inline(always)]
fn has_many_registers<S: Simd>() -> bool {
    S::F32_LANES >= 16
}
/// Score of a key that is not there; finite, so that differences of two stay 0.
pub(crate) const LOWEST: f32 = -1.0e30;

/// Sizes of (B, S, H) tensors that are gone through head by head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub s: usize,
    pub heads: usize,
    pub d: usize,
}

/// The vectors of one head of one sequence, transposed: (D, stride), of which the first P count; zeros at and past the length.
pub(crate) struct Transposed {
    pub values: Vec<f32>,
    pub p: usize,
    /// From one feature to the next: an odd number of cache lines. With 2 KiB, say, all features of a key would fall in two
    /// of the sets of a first-level cache, which made wide heads five times slower.
    stride: usize,
    pub length: usize,
}

impl Transposed {
    pub fn zeros(d: usize, length: usize) -> Self {
        let lines = length.div_ceil(PADDED_TO);
        let stride = (lines | 1) * PADDED_TO;
        Self {
            values: vec![0.0; d * stride],
            p: lines * PADDED_TO,
            stride,
            length,
        }
    }

    /// D.
    pub fn width(&self) -> usize {
        self.values.len() / self.stride
    }

    /// Adds its real vectors to (S, D).
    #[inline(always)]
    pub fn add_to(&self, out: &mut [f32]) {
        let vectors = out.chunks_exact_mut(self.width()).take(self.length);
        for (j, out) in vectors.enumerate() {
            for (d, out) in out.iter_mut().enumerate() {
                *out += self.values[d * self.stride + j];
            }
        }
    }
}

impl Heads {
    /// Sequence and head of the n-th task.
    pub fn place(&self, task: usize) -> (usize, usize) {
        (task / self.heads, task % self.heads)
    }

    /// Takes the vectors of a head out of (B, S, H), times `factor`.
    pub fn transpose(&self, from: &[f32], task: usize, length: usize, factor: f32) -> Transposed {
        let (b, head) = self.place(task);
        let mut transposed = Transposed::zeros(self.d, length);
        let start = |s: usize| ((b * self.s + s) * self.heads + head) * self.d;
        let squares = self.d / SQUARE * SQUARE;
        for first in (0..length).step_by(SQUARE) {
            let tokens = SQUARE.min(length - first);
            let whole = if tokens == SQUARE { squares } else { 0 };
            for d in (0..whole).step_by(SQUARE) {
                let square: [[f32; SQUARE]; SQUARE] = from_fn(|s| {
                    let row = &from[start(first + s) + d..][..SQUARE];
                    from_fn(|d| row[d] * factor)
                });
                let lines =
                    transposed.values[d * transposed.stride..].chunks_mut(transposed.stride);
                for (n, line) in lines.take(SQUARE).enumerate() {
                    line[first..][..SQUARE].copy_from_slice(&square.map(|token| token[n]));
                }
            }
            for d in whole..self.d {
                let line = &mut transposed.values[d * transposed.stride + first..][..tokens];
                for (s, value) in line.iter_mut().enumerate() {
                    *value = from[start(first + s) + d] * factor;
                }
            }
        }
        transposed
    }

    /// Puts per-head results, (B, heads, S, D), together to (B, S, H).
    pub fn join(&self, parts: &[f32]) -> Vec<f32> {
        let mut joined = vec![0.0; parts.len()];
        self.add(parts, 1, &mut joined);
        joined
    }

    /// Adds per-head results, (B, heads, N, S, D), summed over N in its order, to (B, S, H).
    pub fn add(&self, parts: &[f32], n: usize, out: &mut [f32]) {
        let (size, h) = (self.s * self.d, self.heads * self.d);
        let sequences = out
            .chunks_mut(self.s * h)
            .zip(parts.chunks(self.heads * n * size));
        cpu::each(sequences, |(out, parts)| {
            for (part_index, part) in parts.chunks_exact(size).enumerate() {
                let head = part_index / n;
                for (s, part) in part.chunks_exact(self.d).enumerate() {
                    let out = &mut out[s * h + head * self.d..][..self.d];
                    out.iter_mut()
                        .zip(part)
                        .for_each(|(out, part)| *out += part);
                }
            }
        });
    }
}

/// The whole SIMD vectors that these keys lie in. Where functions below take the first key of a block, it is the start of such.
pub(crate) fn whole_vectors(keys: Range<usize>) -> Range<usize> {
    keys.start / PADDED_TO * PADDED_TO..keys.end.next_multiple_of(PADDED_TO)
}

/// Whole SIMD vectors; rows are padded so that nothing is left over.
#[inline(always)]
fn vectors<S: Simd>(values: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(values).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(values: &mut [f32]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(values).0
}

/// out[r, j] = sum_d rows[d, i + r] * columns[d, j] for ROWS rows; keys past the length get the lowest score.
#[inline(always)]
pub(crate) fn scores<S: Simd>(
    simd: S,
    rows: &Transposed,
    i: usize,
    columns: &Transposed,
    out: &mut [f32],
) {
    dot_products(simd, rows, i, columns, 0, out);
    for row in out.chunks_exact_mut(columns.p) {
        row[columns.length..].fill(LOWEST);
    }
}

/// out[r, j] = sum_d rows[d, i + r] * columns[d, first + j] for ROWS rows.
#[inline(always)]
pub(crate) fn dot_products<S: Simd>(
    simd: S,
    rows: &Transposed,
    i: usize,
    columns: &Transposed,
    first: usize,
    out: &mut [f32],
) {
    let width = out.len() / ROWS / S::F32_LANES;
    let pairs = if has_many_registers::<S>() {
        width / 2 * 2
    } else {
        0
    };
    for at in (0..pairs).step_by(2) {
        dot_products_of::<S, 2>(simd, rows, i, columns, first, at, out);
    }
    for at in pairs..width {
        dot_products_of::<S, 1>(simd, rows, i, columns, first, at, out);
    }
}

/// N vectors of keys: N * ROWS sums in registers.
#[inline(always)]
fn dot_products_of<S: Simd, const N: usize>(
    simd: S,
    rows: &Transposed,
    i: usize,
    columns: &Transposed,
    first: usize,
    at: usize,
    out: &mut [f32],
) {
    let width = out.len() / ROWS / S::F32_LANES;
    let of_key = first / S::F32_LANES + at;
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    let keys = vectors::<S>(&columns.values).chunks_exact(columns.stride / S::F32_LANES);
    for (row, key) in rows.values.chunks_exact(rows.stride).zip(keys) {
        let (x, key) = (&row[i..i + ROWS], &key[of_key..of_key + N]);
        for r in 0..ROWS {
            let x = simd.splat_f32s(x[r]);
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f32s(x, key[n], sums[r][n]);
            }
        }
    }
    let out = vectors_mut::<S>(out);
    for r in 0..ROWS {
        out[r * width + at..r * width + at + N].copy_from_slice(&sums[r]);
    }
}

/// out[r, d] = sum_j weights[r, j] * columns[d, first + j] for ROWS rows: (ROWS, D).
#[inline(always)]
pub(crate) fn gather<S: Simd>(
    simd: S,
    weights: &[f32],
    columns: &Transposed,
    first: usize,
    out: &mut [f32],
) {
    let d = out.len() / ROWS;
    let pairs = if has_many_registers::<S>() {
        d / 2 * 2
    } else {
        0
    };
    for at in (0..pairs).step_by(2) {
        gather_of::<S, 2>(simd, weights, columns, first, at, out);
    }
    for at in pairs..d {
        gather_of::<S, 1>(simd, weights, columns, first, at, out);
    }
}

/// N features: N * ROWS sums in registers.
#[inline(always)]
fn gather_of<S: Simd, const N: usize>(
    simd: S,
    weights: &[f32],
    columns: &Transposed,
    first: usize,
    at: usize,
    out: &mut [f32],
) {
    let d = out.len() / ROWS;
    let stride = columns.stride / S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    let weights = vectors::<S>(weights);
    let (width, first) = (weights.len() / ROWS, first / S::F32_LANES);
    let columns = &vectors::<S>(&columns.values)[at * stride..(at + N) * stride];
    for j in 0..width {
        for r in 0..ROWS {
            let weight = weights[r * width + j];
            for n in 0..N {
                sums[r][n] =
                    simd.mul_add_e_f32s(weight, columns[n * stride + first + j], sums[r][n]);
            }
        }
    }
    for r in 0..ROWS {
        for n in 0..N {
            out[r * d + at + n] = simd.reduce_sum_f32s(sums[r][n]);
        }
    }
}

/// into[d, first + j] += sum_r rows[d, i + r] * weights[r, j] for ROWS rows.
#[inline(always)]
pub(crate) fn scatter<S: Simd>(
    simd: S,
    rows: &Transposed,
    i: usize,
    weights: &[f32],
    first: usize,
    into: &mut Transposed,
) {
    let d = into.width();
    let pairs = if has_many_registers::<S>() {
        d / 2 * 2
    } else {
        0
    };
    for at in (0..pairs).step_by(2) {
        scatter_to::<S, 2>(simd, rows, i, weights, at, first, into);
    }
    for at in pairs..d {
        scatter_to::<S, 1>(simd, rows, i, weights, at, first, into);
    }
}

/// N features: N * ROWS numbers of rows in registers.
#[inline(always)]
fn scatter_to<S: Simd, const N: usize>(
    simd: S,
    rows: &Transposed,
    i: usize,
    weights: &[f32],
    at: usize,
    first: usize,
    into: &mut Transposed,
) {
    let stride = into.stride / S::F32_LANES;
    let weights = vectors::<S>(weights);
    let (width, first) = (weights.len() / ROWS, first / S::F32_LANES);
    let sums = &mut vectors_mut::<S>(&mut into.values)[at * stride..(at + N) * stride];
    let mut x = [[simd.splat_f32s(0.0); N]; ROWS];
    for (r, x) in x.iter_mut().enumerate() {
        for (n, x) in x.iter_mut().enumerate() {
            *x = simd.splat_f32s(rows.values[(at + n) * rows.stride + i + r]);
        }
    }
    for j in 0..width {
        for n in 0..N {
            let mut sum = sums[n * stride + first + j];
            for r in 0..ROWS {
                sum = simd.mul_add_e_f32s(x[r][n], weights[r * width + j], sum);
            }
            sums[n * stride + first + j] = sum;
        }
    }
}

/// Largest value of a row.
#[inline(always)]
pub(crate) fn highest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut highest = simd.splat_f32s(f32::MIN);
    for z in vectors::<S>(row) {
        highest = cpu::larger(simd, *z, highest);
    }
    simd.reduce_max_f32s(highest)
}

/// Scores become probabilities.
#[inline(always)]
pub(crate) fn softmax_row<S: Simd>(simd: S, row: &mut [f32]) {
    let factor = simd.splat_f32s(exponentials(simd, row));
    for z in vectors_mut::<S>(row) {
        *z = simd.mul_f32s(*z, factor);
    }
}

/// Scores become exp(z - max z); what makes probabilities of them is returned, 1 / sum. A score that is no number makes that
/// none: `max` of some SIMD levels would hide it.
#[inline(always)]
pub(crate) fn exponentials<S: Simd>(simd: S, row: &mut [f32]) -> f32 {
    let shift = simd.splat_f32s(highest(simd, row));
    let zero = simd.splat_f32s(0.0);
    let (mut sum, mut poison) = (zero, zero);
    for z in vectors_mut::<S>(row) {
        poison = simd.mul_add_e_f32s(*z, zero, poison);
        *z = cpu::exp_vector(simd, simd.sub_f32s(*z, shift));
        sum = simd.add_f32s(sum, *z);
    }
    1.0 / simd.reduce_sum_f32s(sum) + simd.reduce_sum_f32s(poison)
}

/// Probabilities P become P (dP - sum(P dP)): the gradient of the scores.
#[inline(always)]
pub(crate) fn softmax_gradient<S: Simd>(simd: S, probabilities: &mut [f32], dp: &[f32]) {
    let mut sum = simd.splat_f32s(0.0);
    for (p, dp) in vectors::<S>(probabilities).iter().zip(vectors::<S>(dp)) {
        sum = simd.mul_add_e_f32s(*p, *dp, sum);
    }
    let sum = simd.splat_f32s(simd.reduce_sum_f32s(sum));
    for (p, dp) in vectors_mut::<S>(probabilities)
        .iter_mut()
        .zip(vectors::<S>(dp))
    {
        *p = simd.mul_f32s(*p, simd.sub_f32s(*dp, sum));
    }
}

/// (KL(teacher || student), sum of exp(z - max z) of the student, of the teacher) of one row of scores.
#[inline(always)]
pub(crate) fn row_kl<S: Simd>(simd: S, zs: &[f32], zt: &[f32]) -> (f32, f32, f32) {
    let (ms, mt) = (
        simd.splat_f32s(highest(simd, zs)),
        simd.splat_f32s(highest(simd, zt)),
    );
    let zero = simd.splat_f32s(0.0);
    let (mut sum_s, mut sum_t, mut cross) = (zero, zero, zero);
    for (zs, zt) in vectors::<S>(zs).iter().zip(vectors::<S>(zt)) {
        // Differences of shifted scores stay small where p is not.
        let (zs, zt) = (simd.sub_f32s(*zs, ms), simd.sub_f32s(*zt, mt));
        let p = cpu::exp_vector(simd, zt);
        sum_t = simd.add_f32s(sum_t, p);
        cross = simd.mul_add_e_f32s(p, simd.sub_f32s(zt, zs), cross);
        sum_s = simd.add_f32s(sum_s, cpu::exp_vector(simd, zs));
    }
    let (sum_s, sum_t) = (simd.reduce_sum_f32s(sum_s), simd.reduce_sum_f32s(sum_t));
    let kl = simd.reduce_sum_f32s(cross) / sum_t - sum_t.ln() + sum_s.ln();
    (kl, sum_s, sum_t)
}

/// zs becomes factor * (P_S - P_T), with P = exp(z - max z) / sum.
#[inline(always)]
pub(crate) fn difference<S: Simd>(
    simd: S,
    zs: &mut [f32],
    zt: &[f32],
    (sum_s, sum_t): (f32, f32),
    factor: f32,
) {
    let (ms, mt) = (
        simd.splat_f32s(highest(simd, zs)),
        simd.splat_f32s(highest(simd, zt)),
    );
    let (factor_s, factor_t) = (
        simd.splat_f32s(factor / sum_s),
        simd.splat_f32s(factor / sum_t),
    );
    for (zs, zt) in vectors_mut::<S>(zs).iter_mut().zip(vectors::<S>(zt)) {
        let p_s = cpu::exp_vector(simd, simd.sub_f32s(*zs, ms));
        let p_t = cpu::exp_vector(simd, simd.sub_f32s(*zt, mt));
        *zs = simd.sub_f32s(simd.mul_f32s(factor_s, p_s), simd.mul_f32s(factor_t, p_t));
    }
}
