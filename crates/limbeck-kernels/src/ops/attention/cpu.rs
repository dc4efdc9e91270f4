//! Attention on the CPU, streaming: a block of rows of one head of one sequence at a time, forward and backward. The backward
//! pass computes the probabilities again.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use pulp::{Simd, WithSimd};

use super::{Attended, AttentionOps, Call};
use crate::cpu;
use crate::cpu::head::{self, ROWS, Transposed};
use crate::pair::RawTaps;

impl AttentionOps for Flex {
    fn attention_forward(taps: RawTaps<Self>, call: Call) -> Attended<Self> {
        let shape = taps.q.shape();
        let taps = taps.map::<Self>(cpu::contiguous);
        let output = forward(slices(&taps), &call);
        Attended {
            output: FloatTensor::<Self>::from_data(TensorData::new(output, shape)),
            statistics: FloatTensor::<Self>::from_data(TensorData::new(vec![0.0f32], [1])),
        }
    }

    fn attention_backward(
        taps: RawTaps<Self>,
        _: Attended<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        let shape = taps.q.shape();
        let (taps, gradient) = (taps.map::<Self>(cpu::contiguous), cpu::contiguous(gradient));
        let parts = backward(slices(&taps), cpu::values(&gradient), &call);
        let [q, k, v] =
            parts.map(|part| FloatTensor::<Self>::from_data(TensorData::new(part, shape.clone())));
        RawTaps { q, k, v }
    }
}

fn slices(taps: &RawTaps<Flex>) -> [&[f32]; 3] {
    [&taps.q, &taps.k, &taps.v].map(cpu::values)
}

/// One head of one sequence: queries scaled by 1 / sqrt(D).
struct Head {
    queries: Transposed,
    keys: Transposed,
    values: Transposed,
}

impl Call {
    fn head(&self, [q, k, v]: [&[f32]; 3], task: usize) -> Head {
        let length = self.lengths[self.heads.place(task).0];
        let scale = 1.0 / (self.heads.d as f32).sqrt();
        Head {
            queries: self.heads.transpose(q, task, length, scale),
            keys: self.heads.transpose(k, task, length, 1.0),
            values: self.heads.transpose(v, task, length, 1.0),
        }
    }

    fn size(&self) -> usize {
        self.heads.s * self.heads.d
    }

    /// Multiplies the probabilities of a row by the factors of dropout; indices count (B, heads, S, S).
    #[inline(always)]
    fn drop(&self, row: &mut [f32], task: usize, i: usize) {
        if let Some(mask) = self.dropout {
            let s = self.heads.s;
            let first = (task * s + i) * s;
            for (j, value) in row.iter_mut().enumerate() {
                *value *= mask.factor((first + j) as u32);
            }
        }
    }
}

fn forward(vectors: [&[f32]; 3], call: &Call) -> Vec<f32> {
    let size = call.size();
    let mut parts = vec![0.0; call.lengths.len() * call.heads.heads * size];
    cpu::each(parts.chunks_mut(size).enumerate(), |(task, out)| {
        let head = call.head(vectors, task);
        cpu::with_simd(Forward {
            head,
            call,
            task,
            out,
        });
    });
    call.heads.join(&parts)
}

/// The forward pass of one head of one sequence.
struct Forward<'a> {
    head: Head,
    call: &'a Call,
    task: usize,
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            head,
            call,
            task,
            out,
        } = self;
        let (p, d, length) = (head.keys.p, call.heads.d, head.keys.length);
        let (mut z, mut part) = (vec![0.0; ROWS * p], vec![0.0; ROWS * d]);
        for i in (0..length).step_by(ROWS) {
            let real = ROWS.min(length - i);
            head::scores(simd, &head.queries, i, &head.keys, &mut z);
            let mut factors = [0.0; ROWS];
            for (r, row) in z.chunks_exact_mut(p).enumerate() {
                factors[r] = head::exponentials(simd, row);
                call.drop(row, task, i + r);
            }
            head::gather(simd, &z, &head.values, &mut part);
            let out = out[i * d..(i + real) * d].chunks_exact_mut(d);
            for ((out, part), factor) in out.zip(part.chunks_exact(d)).zip(factors) {
                for (out, part) in out.iter_mut().zip(part) {
                    *out = part * factor;
                }
            }
        }
    }
}

/// Gradients of queries, keys and values, (B, S, H) each, from the gradient of the output.
fn backward(vectors: [&[f32]; 3], gradient: &[f32], call: &Call) -> [Vec<f32>; 3] {
    let size = call.size();
    let mut parts = [(); 3].map(|()| vec![0.0; call.lengths.len() * call.heads.heads * size]);
    let [q, k, v] = &mut parts;
    let tasks = q
        .chunks_mut(size)
        .zip(k.chunks_mut(size))
        .zip(v.chunks_mut(size))
        .enumerate();
    cpu::each(tasks, |(task, ((q, k), v))| {
        let head = call.head(vectors, task);
        let upstream = call.heads.transpose(gradient, task, head.keys.length, 1.0);
        cpu::with_simd(Gradients {
            head,
            upstream,
            call,
            task,
            out: [q, k, v],
        });
    });
    parts.map(|part| call.heads.join(&part))
}

/// The backward pass of one head of one sequence. With probabilities P, dropout factors M and the gradient dO of the output:
/// dV = (P M)^T dO, dP = (dO V^T) M, dZ = P (dP - rowsum(P dP)), dQ = dZ K / sqrt(D), dK = dZ^T Q / sqrt(D).
struct Gradients<'a> {
    head: Head,
    upstream: Transposed,
    call: &'a Call,
    task: usize,
    out: [&'a mut [f32]; 3],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            head,
            upstream,
            call,
            task,
            out: [q, k, v],
        } = self;
        let (p, d, length) = (head.keys.p, call.heads.d, head.keys.length);
        let scale = 1.0 / (d as f32).sqrt();
        let [mut z, mut dropped, mut dp] = [(); 3].map(|()| vec![0.0; ROWS * p]);
        let mut part = vec![0.0; ROWS * d];
        let [mut dk, mut dv] = [(); 2].map(|()| Transposed::zeros(d, length));
        for i in (0..length).step_by(ROWS) {
            let real = ROWS.min(length - i);
            head::scores(simd, &head.queries, i, &head.keys, &mut z);
            head::dot_products(simd, &upstream, i, &head.values, &mut dp);
            for row in z[..real * p].chunks_exact_mut(p) {
                head::softmax_row(simd, row);
            }
            z[real * p..].fill(0.0);
            dropped.copy_from_slice(&z);
            for r in 0..real {
                let row = r * p..(r + 1) * p;
                call.drop(&mut dropped[row.clone()], task, i + r);
                call.drop(&mut dp[row.clone()], task, i + r);
                head::softmax_gradient(simd, &mut z[row.clone()], &dp[row]);
            }
            head::scatter(simd, &upstream, i, &dropped, &mut dv);
            head::scatter(simd, &head.queries, i, &z, &mut dk);
            head::gather(simd, &z, &head.keys, &mut part);
            for (out, part) in q[i * d..(i + real) * d].iter_mut().zip(&part) {
                *out = scale * part;
            }
        }
        dk.add_to(k);
        dv.add_to(v);
    }
}
