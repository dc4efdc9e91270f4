//! LayerNorm on the CPU: chunks of rows, in one pass each way, as loops that the compiler turns into SIMD.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;

use super::{Gradients, LayerNormOps, Normed, Terms};
use crate::cpu::{self, CHUNK};
use crate::optional::Optional;

/// Sums side by side: a vector of the widest machines, twice over.
const LANES: usize = 32;

impl LayerNormOps for Flex {
    fn norm_forward(
        terms: Terms<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        eps: f64,
    ) -> Normed<Self> {
        let (x, residual) = terms.split();
        let shape = x.shape();
        let [x, weight] = [x, weight].map(cpu::contiguous);
        let [residual, bias] = [residual, bias.into_option()].map(|t| t.map(cpu::contiguous));
        let [x, weight] = [&x, &weight].map(cpu::values);
        let [residual, bias] = [&residual, &bias].map(|t| t.as_ref().map(cpu::values));
        let width = weight.len();
        let rows = rows_of_chunk(width);
        let mut output = vec![0.0f32; x.len()];
        let mut statistics = vec![0.0f32; x.len() / width * 4];
        let chunks = output
            .chunks_mut(rows * width)
            .zip(statistics.chunks_mut(rows * 4))
            .enumerate();
        cpu::each(chunks, |(chunk, (output, statistics))| {
            let from = chunk * rows * width;
            cpu::vectorised(
                #[inline(always)]
                || {
                    for (at, (y, of_row)) in output
                        .chunks_exact_mut(width)
                        .zip(statistics.chunks_exact_mut(4))
                        .enumerate()
                    {
                        let start = from + at * width;
                        add(y, x, residual, start);
                        of_row.copy_from_slice(&normalise(y, weight, bias, eps as f32));
                    }
                },
            );
        });
        Normed {
            output: FloatTensor::<Self>::from_data(TensorData::new(output, shape)),
            statistics: tensor(statistics, 4),
        }
    }

    fn norm_backward(
        terms: Terms<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> Gradients<Self> {
        let (x, residual) = terms.split();
        let shape = x.shape();
        let [x, weight, statistics, gradient] =
            [x, weight, statistics, gradient].map(cpu::contiguous);
        let residual = residual.map(cpu::contiguous);
        let [x, weight, statistics, gradient] =
            [&x, &weight, &statistics, &gradient].map(cpu::values);
        let residual = residual.as_ref().map(cpu::values);
        let width = weight.len();
        let rows = rows_of_chunk(width);
        let mut of_sum = vec![0.0f32; x.len()];
        // Gradients of weight and bias, a sum of each a chunk, added up in the order of the chunks: the same bits with any
        // number of threads.
        let mut sums = vec![0.0f32; x.len().div_ceil(rows * width) * 2 * width];
        let chunks = of_sum
            .chunks_mut(rows * width)
            .zip(sums.chunks_mut(2 * width))
            .enumerate();
        cpu::each(chunks, |(chunk, (of_sum, sums))| {
            let mut scaled = vec![0.0f32; width];
            let (of_weight, of_bias) = sums.split_at_mut(width);
            let first = chunk * rows;
            cpu::vectorised(
                #[inline(always)]
                || {
                    for (at, of_sum) in of_sum.chunks_exact_mut(width).enumerate() {
                        let (row, start) = (first + at, (first + at) * width);
                        let dy = &gradient[start..start + width];
                        add(of_sum, x, residual, start);
                        let scale = renormalise(of_sum, &statistics[row * 4..row * 4 + 4]);
                        add_products(of_weight, dy, of_sum);
                        add_to(of_bias, dy);
                        differentiate(of_sum, &mut scaled, [dy, weight], scale);
                    }
                },
            );
        });
        let mut total = vec![0.0f32; 2 * width];
        for sum in sums.chunks(2 * width) {
            add_to(&mut total, sum);
        }
        let of_bias = total.split_off(width);
        Gradients {
            sum: FloatTensor::<Self>::from_data(TensorData::new(of_sum, shape)),
            weight: FloatTensor::<Self>::from_data(TensorData::new(total, [width])),
            bias: FloatTensor::<Self>::from_data(TensorData::new(of_bias, [width])),
        }
    }
}

fn tensor(values: Vec<f32>, width: usize) -> FloatTensor<Flex> {
    let shape = [values.len() / width, width];
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
}

/// Whole rows that a task takes.
fn rows_of_chunk(width: usize) -> usize {
    (CHUNK / width).max(1)
}

/// A row of x + residual, which starts there.
#[inline(always)]
fn add(sum: &mut [f32], x: &[f32], residual: Option<&[f32]>, start: usize) {
    let row = start..start + sum.len();
    let Some(residual) = residual else {
        sum.copy_from_slice(&x[row]);
        return;
    };
    let terms = x[row.clone()].iter().zip(&residual[row]);
    for (sum, (x, residual)) in sum.iter_mut().zip(terms) {
        *sum = x + residual;
    }
}

/// A row of sums becomes the output; its statistics.
#[inline(always)]
fn normalise(row: &mut [f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) -> [f32; 4] {
    let width = row.len() as f32;
    // From the first number, so that a row that does not vary has its very mean. What rounding left of that is taken off
    // later.
    let first = row[0];
    let mean = first + total(row, |s| s - first) / width;
    let rest = total(row, |s| s - mean) / width;
    let square = total(row, |s| (s - mean) * (s - mean)) / width;
    let scale = 1.0 / ((square - rest * rest).max(0.0) + eps).sqrt();
    for (s, weight) in row.iter_mut().zip(weight) {
        *s = (*s - mean - rest) * scale * weight;
    }
    if let Some(bias) = bias {
        add_to(row, bias);
    }
    [mean, rest, scale, 0.0]
}

/// A row of sums with mean 0 and variance 1; by what it was scaled.
#[inline(always)]
fn renormalise(row: &mut [f32], statistics: &[f32]) -> f32 {
    let (mean, rest, scale) = (statistics[0], statistics[1], statistics[2]);
    for s in row.iter_mut() {
        *s = (*s - mean - rest) * scale;
    }
    scale
}

/// A row of normalised numbers becomes the gradient of the sum.
#[inline(always)]
fn differentiate(row: &mut [f32], scaled: &mut [f32], [dy, weight]: [&[f32]; 2], scale: f32) {
    let width = row.len() as f32;
    for (scaled, (dy, weight)) in scaled.iter_mut().zip(dy.iter().zip(weight)) {
        *scaled = dy * weight;
    }
    let along_mean = total(scaled, |g| g) / width;
    let along_scale = dot(scaled, row) / width;
    for (hat, g) in row.iter_mut().zip(scaled) {
        *hat = scale * (*g - along_mean - *hat * along_scale);
    }
}

/// The sum of a term over a row, in lanes.
#[inline(always)]
fn total(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let fours = row.chunks_exact(LANES);
    for (sum, x) in sums.iter_mut().zip(fours.remainder()) {
        *sum = term(*x);
    }
    for lanes in fours {
        for (sum, x) in sums.iter_mut().zip(lanes) {
            *sum += term(*x);
        }
    }
    sums.iter().sum()
}

/// The sum of products of two rows, in lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    for (sum, (a, b)) in sums.iter_mut().zip(rest) {
        *sum = a * b;
    }
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[inline(always)]
fn add_to(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

#[inline(always)]
fn add_products(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
        *sum += a * b;
    }
}
