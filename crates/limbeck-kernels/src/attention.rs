//! Self-attention of an encoder: softmax(Q K^T / sqrt(D)) V over the real keys, with dropout of the probabilities where
//! training asks for it. On the CPU it streams, forward and backward; elsewhere it is a composition of burn operations.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use crate::cpu;
use crate::dropout::DropoutMask;
use crate::head::{self, Heads, ROWS, Turned};
use crate::relation::{MASKED, is_on_cpu};
use crate::{Lengths, Taps};

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    heads: Heads,
    lengths: Vec<usize>,
    dropout: Option<DropoutMask>,
}

/// One head of one sequence: queries scaled by 1 / sqrt(D).
struct Head {
    queries: Turned,
    keys: Turned,
    values: Turned,
}

impl Call {
    fn head(&self, [q, k, v]: [&[f32]; 3], task: usize) -> Head {
        let length = self.lengths[self.heads.place(task).0];
        let scale = 1.0 / (self.heads.d as f32).sqrt();
        Head {
            queries: self.heads.turn(q, task, length, scale),
            keys: self.heads.turn(k, task, length, 1.0),
            values: self.heads.turn(v, task, length, 1.0),
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
            for (r, row) in z.chunks_exact_mut(p).enumerate() {
                head::softmax_row(simd, row);
                call.drop(row, task, i + r);
            }
            head::gather(simd, &z, &head.values, &mut part);
            out[i * d..(i + real) * d].copy_from_slice(&part[..real * d]);
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
        let upstream = call.heads.turn(gradient, task, head.keys.length, 1.0);
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
    upstream: Turned,
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
        let [mut dk, mut dv] = [(); 2].map(|()| Turned {
            values: vec![0.0; d * p],
            p,
            length,
        });
        for i in (0..length).step_by(ROWS) {
            let real = ROWS.min(length - i);
            head::scores(simd, &head.queries, i, &head.keys, &mut z);
            head::products(simd, &upstream, i, &head.values, &mut dp);
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

#[backend_extension(Flex, Autodiff)]
trait AttentionOps: Backend {
    /// Queries, keys, values (B, S, H) -> (B, S, H); rows at and past a length are 0.
    fn streaming_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of queries, keys and values.
    fn streaming_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AttentionOps for Flex {
    fn streaming_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let shape = q.shape();
        let vectors = [q, k, v].map(cpu::contiguous);
        let out = forward(vectors.each_ref().map(cpu::values), &call);
        FloatTensor::<Self>::from_data(TensorData::new(out, shape))
    }

    fn streaming_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let shape = q.shape();
        let (vectors, gradient) = ([q, k, v].map(cpu::contiguous), cpu::contiguous(gradient));
        let parts = backward(
            vectors.each_ref().map(cpu::values),
            cpu::values(&gradient),
            &call,
        );
        let [q, k, v] =
            parts.map(|part| FloatTensor::<Self>::from_data(TensorData::new(part, shape.clone())));
        (q, k, v)
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: Backend + AttentionOps> Backward<B, 3> for AttentionBackward {
    type State = ([NodeId; 3], Call);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut grads::Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (nodes, call) = ops.state;
        let [q, k, v] = nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (q, k, v) = B::streaming_attention_backward(q, k, v, gradient, call);
        for (node, gradient) in ops.parents.into_iter().zip([q, k, v]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn streaming_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        match AttentionBackward
            .prepare::<C>([q.node(), k.node(), v.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [
                    prep.checkpoint(&q),
                    prep.checkpoint(&k),
                    prep.checkpoint(&v),
                ];
                let [q, k, v] = [q, k, v].map(|tensor| tensor.into_primitive());
                prep.finish((nodes, call.clone()), B::streaming_attention(q, k, v, call))
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|tensor| tensor.into_primitive());
                prep.finish(B::streaming_attention(q, k, v, call))
            }
        }
    }

    fn streaming_attention_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}

/// Self-attention over `heads` attention heads, which divide H: (B, S, H). Padded keys get no attention; rows at and past a
/// length carry no meaning.
pub fn attention(
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let [_, s, h] = taps.q.dims();
    let d = h / heads;
    if !is_on_cpu(&taps.q) {
        return composed_attention(taps, lengths, heads, dropout);
    }
    let call = Call {
        heads: Heads { s, heads, d },
        lengths: lengths.as_slice().to_vec(),
        dropout,
    };
    let [q, k, v] = [taps.q, taps.k, taps.v].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::streaming_attention(
        q, k, v, call,
    ))
}

/// The composition of burn operations: the body of every other backend, and the baseline of the tests.
pub fn composed_attention(
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let [b, s, h] = taps.q.dims();
    let d = h / heads;
    let split = |x: Tensor<3>| x.reshape([b, s, heads, d]).swap_dims(1, 2);
    let query = split(taps.q.mul_scalar(1.0 / (d as f64).sqrt()));
    let mut scores = query.matmul(split(taps.k).swap_dims(2, 3));
    if !lengths.all_full() {
        scores = scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s]);
    }
    let mut probabilities = softmax(scores, 3);
    if let Some(mask) = dropout {
        let factors = mask.tensor([b, heads, s, s], &probabilities.device());
        probabilities = probabilities * factors;
    }
    probabilities
        .matmul(split(taps.v))
        .swap_dims(1, 2)
        .reshape([b, s, h])
}
