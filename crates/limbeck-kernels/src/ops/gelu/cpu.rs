//! GELU on the CPU: chunks of rows, in one pass each way, as loops that the compiler turns into SIMD.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;

use super::GeluOps;
use crate::cpu::{self, CHUNK};
use crate::optional::Optional;

const INVERSE_SQRT_2PI: f32 = 0.398_942_3;

impl GeluOps for Flex {
    fn biased_gelu(x: FloatTensor<Self>, bias: Optional<Self>) -> FloatTensor<Self> {
        let bias = bias_or_zeros(&x, bias);
        let bias = cpu::values(&bias);
        // In place where nobody else holds the buffer, which is the widest of a layer: where no gradient is asked for.
        let mut x = cpu::whole(x);
        let chunk = rows_of_chunk(bias.len()) * bias.len();
        cpu::each(x.storage_mut::<f32>().chunks_mut(chunk), |values| {
            cpu::vectorised(
                #[inline(always)]
                || forward(values, bias),
            );
        });
        x
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: Optional<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let shape = x.shape();
        let is_biased = matches!(bias, Optional::Is(_));
        let bias = bias_or_zeros(&x, bias);
        let [x, gradient] = [x, gradient].map(cpu::contiguous);
        let [input, bias, gradient] = [&x, &bias, &gradient].map(cpu::values);
        let width = bias.len();
        let chunk = rows_of_chunk(width) * width;
        let mut of_x = vec![0.0f32; input.len()];
        // One sum a chunk, added up in the order of the chunks: the same bits with any number of threads.
        let mut sums = vec![0.0f32; input.len().div_ceil(chunk) * width];
        let chunks = of_x
            .chunks_mut(chunk)
            .zip(sums.chunks_mut(width))
            .zip(input.chunks(chunk))
            .zip(gradient.chunks(chunk));
        cpu::each(chunks, |(((of_x, sum), input), gradient)| {
            cpu::vectorised(
                #[inline(always)]
                || backward(of_x, sum, [input, gradient], bias),
            );
        });
        let mut of_bias = vec![0.0f32; width];
        for sum in sums.chunks(width) {
            for (total, sum) in of_bias.iter_mut().zip(sum) {
                *total += sum;
            }
        }
        (
            FloatTensor::<Self>::from_data(TensorData::new(of_x, shape)),
            is_biased.then(|| FloatTensor::<Self>::from_data(TensorData::new(of_bias, [width]))),
        )
    }
}

/// The bias, (H), or a row of zeros: nothing beside the rows that it is added to.
fn bias_or_zeros(x: &FloatTensor<Flex>, bias: Optional<Flex>) -> FloatTensor<Flex> {
    match bias {
        Optional::Is(bias) => cpu::contiguous(bias),
        Optional::Nothing => {
            let width = x.shape()[x.shape().num_dims() - 1];
            FloatTensor::<Flex>::from_data(TensorData::zeros::<f32, _>([width]))
        }
    }
}

/// Whole rows that a task takes.
fn rows_of_chunk(width: usize) -> usize {
    (CHUNK / width).max(1)
}

/// Some rows: x becomes the output.
#[inline(always)]
fn forward(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (x, bias) in row.iter_mut().zip(bias) {
            let u = *x + bias;
            *x = u * normal_cdf(u);
        }
    }
}

/// Some rows of the gradient of x, and their sum.
#[inline(always)]
fn backward(of_x: &mut [f32], sum: &mut [f32], [input, gradient]: [&[f32]; 2], bias: &[f32]) {
    let width = bias.len();
    let inputs = input.chunks_exact(width).zip(gradient.chunks_exact(width));
    for (of_x, (input, gradient)) in of_x.chunks_exact_mut(width).zip(inputs) {
        let sources = input.iter().zip(gradient).zip(bias);
        for ((dx, sum), ((x, dy), bias)) in of_x.iter_mut().zip(sum.iter_mut()).zip(sources) {
            let u = x + bias;
            *dx = dy * (normal_cdf(u) + u * normal_density(u));
            *sum += *dx;
        }
    }
}

/// Phi(x) of the standard normal distribution.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + cpu::erf(x * FRAC_1_SQRT_2))
}

/// phi(x) of the standard normal distribution.
#[inline(always)]
fn normal_density(x: f32) -> f32 {
    INVERSE_SQRT_2PI * cpu::exp(-0.5 * x * x)
}
