//! Attention on the CPU, streaming: a block of rows of one head of one sequence at a time, and the keys in their reach,
//! forward and backward. The backward pass computes the probabilities again.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use pulp::{Simd, WithSimd};

use super::{Attended, AttentionOps, Call, Given, Gradients};
use crate::cpu;
use crate::cpu::head::{self, LOWEST, ROWS, Transposed};
use crate::pair::RawTaps;

impl AttentionOps for Flex {
    fn attention_forward(given: Given<Self>, call: Call) -> Attended<Self> {
        let inputs = Inputs::new(given);
        let shape = inputs.taps.q.shape();
        let output = forward(&inputs, &call);
        Attended {
            output: FloatTensor::<Self>::from_data(TensorData::new(output, shape)),
            // Nothing: statistics of rows are found again.
            kept: FloatTensor::<Self>::from_data(TensorData::new(vec![0.0f32], [1])),
        }
    }

    fn attention_backward(
        given: Given<Self>,
        _: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
        wanted: bool,
    ) -> Gradients<Self> {
        let (inputs, gradient) = (Inputs::new(given), cpu::contiguous(gradient));
        let shape = inputs.taps.q.shape();
        let (parts, of_bias) = backward(&inputs, cpu::values(&gradient), &call, wanted);
        let [q, k, v] =
            parts.map(|part| FloatTensor::<Self>::from_data(TensorData::new(part, shape.clone())));
        let of_taps = RawTaps { q, k, v };
        if !wanted {
            return Gradients::OfTaps(of_taps);
        }
        let shape = [call.heads.heads, call.distances()];
        let of_bias = FloatTensor::<Self>::from_data(TensorData::new(of_bias, shape));
        Gradients::OfAll(of_taps, of_bias)
    }
}

/// What a call is given, contiguous.
struct Inputs {
    taps: RawTaps<Flex>,
    bias: Option<FloatTensor<Flex>>,
}

impl Inputs {
    fn new(given: Given<Flex>) -> Self {
        let (taps, bias) = given.split();
        Self {
            taps: taps.map::<Flex>(cpu::contiguous),
            bias: bias.map(cpu::contiguous),
        }
    }

    /// One head of one sequence.
    fn head(&self, call: &Call, task: usize) -> Head<'_> {
        let (b, head) = call.heads.place(task);
        let length = call.lengths[b];
        let scale = 1.0 / (call.heads.d as f32).sqrt();
        let transposed = |tensor: &FloatTensor<Flex>, factor| {
            let values = cpu::values(tensor);
            call.heads.transpose(values, task, length, factor)
        };
        let count = call.distances();
        let of_head = |bias| &cpu::values(bias)[head * count..(head + 1) * count];
        Head {
            queries: transposed(&self.taps.q, scale),
            keys: transposed(&self.taps.k, 1.0),
            values: transposed(&self.taps.v, 1.0),
            bias: self.bias.as_ref().map(of_head),
        }
    }
}

/// One head of one sequence: queries scaled by 1 / sqrt(D).
struct Head<'a> {
    queries: Transposed,
    keys: Transposed,
    values: Transposed,
    /// By distance, j - i + S - 1.
    bias: Option<&'a [f32]>,
}

/// A row, and what it sees of the keys that its block walks over.
struct Row {
    /// Counted from the first key of the block.
    seen: Range<usize>,
    /// Which number of the bias the first of them takes.
    bias: usize,
}

impl Row {
    /// Takes the scores that the row does not see as `value`.
    #[inline(always)]
    fn hide(&self, row: &mut [f32], value: f32) {
        row[..self.seen.start].fill(value);
        row[self.seen.end..].fill(value);
    }
}

impl Call {
    fn size(&self) -> usize {
        self.heads.s * self.heads.d
    }

    /// 2S - 1.
    fn distances(&self) -> usize {
        2 * self.heads.s - 1
    }

    /// The keys that a block of rows from i on walks over: those in reach of any, and what shares a SIMD vector with them.
    fn walk(&self, i: usize, length: usize) -> Range<usize> {
        head::whole_vectors(self.reach.of(i..length.min(i + ROWS), length))
    }

    #[inline(always)]
    fn row(&self, i: usize, length: usize, walk: &Range<usize>) -> Row {
        let seen = self.reach.of(i..i + 1, length);
        Row {
            bias: self.heads.s - 1 - i + seen.start,
            seen: seen.start - walk.start..seen.end - walk.start,
        }
    }

    /// Multiplies the probabilities of a row, of keys from `first` on, by the factors of dropout.
    /// Indices count (B, heads, S, S).
    #[inline(always)]
    fn drop(&self, row: &mut [f32], task: usize, i: usize, first: usize) {
        if let Some(mask) = self.dropout {
            let s = self.heads.s;
            let first = (task * s + i) * s + first;
            for (j, value) in row.iter_mut().enumerate() {
                *value *= mask.factor((first + j) as u32);
            }
        }
    }
}

impl Head<'_> {
    /// Adds the bias to the scores of a row, and hides those that it does not see.
    #[inline(always)]
    fn limit(&self, row: &Row, scores: &mut [f32]) {
        if let Some(bias) = self.bias {
            let seen = scores[row.seen.clone()].iter_mut();
            seen.zip(&bias[row.bias..]).for_each(|(z, bias)| *z += bias);
        }
        row.hide(scores, LOWEST);
    }
}

fn forward(inputs: &Inputs, call: &Call) -> Vec<f32> {
    let size = call.size();
    let mut parts = vec![0.0; call.lengths.len() * call.heads.heads * size];
    cpu::each(parts.chunks_mut(size).enumerate(), |(task, out)| {
        let head = inputs.head(call, task);
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
    head: Head<'a>,
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
            let walk = call.walk(i, length);
            let z = &mut z[..ROWS * walk.len()];
            head::dot_products(simd, &head.queries, i, &head.keys, walk.start, z);
            let mut factors = [0.0; ROWS];
            let rows = z.chunks_exact_mut(walk.len()).take(real);
            for (r, (scores, factor)) in rows.zip(&mut factors).enumerate() {
                let row = call.row(i + r, length, &walk);
                head.limit(&row, scores);
                *factor = head::exponentials(simd, scores);
                row.hide(scores, 0.0);
                call.drop(scores, task, i + r, walk.start);
            }
            head::gather(simd, z, &head.values, walk.start, &mut part);
            let out = out[i * d..(i + real) * d].chunks_exact_mut(d);
            for ((out, part), factor) in out.zip(part.chunks_exact(d)).zip(factors) {
                for (out, part) in out.iter_mut().zip(part) {
                    *out = part * factor;
                }
            }
        }
    }
}

/// Gradients of queries, keys and values, (B, S, H) each, from the gradient of the output; and that of the bias,
/// (A, 2S - 1), if it is wanted.
fn backward(
    inputs: &Inputs,
    gradient: &[f32],
    call: &Call,
    wanted: bool,
) -> ([Vec<f32>; 3], Vec<f32>) {
    let (size, heads) = (call.size(), call.heads.heads);
    let count = call.lengths.len() * heads;
    let mut parts = [(); 3].map(|()| vec![0.0; count * size]);
    let mut of_bias = vec![0.0; if wanted { count * call.distances() } else { 0 }];
    let mut biases = of_bias.chunks_mut(call.distances());
    let [q, k, v] = &mut parts;
    let tasks = q
        .chunks_mut(size)
        .zip(k.chunks_mut(size))
        .zip(v.chunks_mut(size))
        .map(|((q, k), v)| ([q, k, v], biases.next()))
        .enumerate();
    cpu::each(tasks, |(task, (out, of_bias))| {
        let head = inputs.head(call, task);
        let upstream = call.heads.transpose(gradient, task, head.keys.length, 1.0);
        cpu::with_simd(Backward {
            head,
            upstream,
            call,
            task,
            out,
            of_bias,
        });
    });
    // Of the sequences in their order: the same bits with any number of threads.
    let mut sum = vec![0.0; if wanted { heads * call.distances() } else { 0 }];
    for of_sequence in of_bias.chunks_exact(heads * call.distances()) {
        for (sum, part) in sum.iter_mut().zip(of_sequence) {
            *sum += part;
        }
    }
    (parts.map(|part| call.heads.join(&part)), sum)
}

/// The backward pass of one head of one sequence. With probabilities P, dropout factors M and the gradient dO of the
/// output: dV = (P M)^T dO, dP = (dO V^T) M, dZ = P (dP - rowsum(P dP)), dQ = dZ K / sqrt(D), dK = dZ^T Q / sqrt(D), and
/// the bias has the sum of dZ along each diagonal.
struct Backward<'a> {
    head: Head<'a>,
    upstream: Transposed,
    call: &'a Call,
    task: usize,
    out: [&'a mut [f32]; 3],
    of_bias: Option<&'a mut [f32]>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            head,
            upstream,
            call,
            task,
            out: [q, k, v],
            mut of_bias,
        } = self;
        let (p, d, length) = (head.keys.p, call.heads.d, head.keys.length);
        let scale = 1.0 / (d as f32).sqrt();
        let [mut z, mut dropped, mut dp] = [(); 3].map(|()| vec![0.0; ROWS * p]);
        let mut part = vec![0.0; ROWS * d];
        let [mut dk, mut dv] = [(); 2].map(|()| Transposed::zeros(d, length));
        for i in (0..length).step_by(ROWS) {
            let real = ROWS.min(length - i);
            let walk = call.walk(i, length);
            let (first, width) = (walk.start, walk.len());
            let [z, dropped, dp] = [&mut z, &mut dropped, &mut dp].map(|x| &mut x[..ROWS * width]);
            head::dot_products(simd, &head.queries, i, &head.keys, first, z);
            head::dot_products(simd, &upstream, i, &head.values, first, dp);
            z[real * width..].fill(0.0);
            dropped[real * width..].fill(0.0);
            for r in 0..real {
                let row = call.row(i + r, length, &walk);
                let at = r * width..(r + 1) * width;
                let (z, dp) = (&mut z[at.clone()], &mut dp[at.clone()]);
                let dropped = &mut dropped[at];
                head.limit(&row, z);
                head::softmax_row(simd, z);
                row.hide(z, 0.0);
                dropped.copy_from_slice(z);
                call.drop(dropped, task, i + r, first);
                call.drop(dp, task, i + r, first);
                head::softmax_gradient(simd, z, dp);
                if let Some(of_bias) = of_bias.as_deref_mut() {
                    let sums = of_bias[row.bias..].iter_mut().zip(&z[row.seen]);
                    sums.for_each(|(sum, dz)| *sum += dz);
                }
            }
            head::scatter(simd, &upstream, i, dropped, first, &mut dv);
            head::scatter(simd, &head.queries, i, z, first, &mut dk);
            head::gather(simd, z, &head.keys, first, &mut part);
            for (out, part) in q[i * d..(i + real) * d].iter_mut().zip(&part) {
                *out = scale * part;
            }
        }
        dk.add_to(k);
        dv.add_to(v);
    }
}
