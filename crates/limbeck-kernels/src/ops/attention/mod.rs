//! Self-attention of an encoder: softmax(Q K^T / sqrt(D)) V over the real keys, with dropout of the probabilities where
//! training asks for it. It streams, forward and backward, so that nothing of size S x S is kept.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation, Reach};

use crate::cpu::head::Heads;
use crate::dropout::DropoutMask;
use crate::graph::differentiable;
use crate::pair::RawTaps;
use crate::{Lengths, Rotation, Taps};

#[cfg(feature = "gpu")]
pub(crate) use gpu::AttentionSpec;

/// What a call of [`attention`] may have beside its vectors; the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Attending {
    /// How far a query sees. What lies out of reach costs nothing.
    pub reach: Reach,
    /// Rotary positions, of queries and keys.
    pub rotation: Option<Rotation>,
    /// (A, 2S - 1), added to the scaled scores: query i and key j of a head take number j - i + S - 1.
    pub bias: Option<Tensor<2>>,
}

/// Self-attention over `heads` attention heads, which divide H: (B, S, H). Padded keys get no attention; rows at and past a
/// length carry no meaning. Differentiable in queries, keys and values, as they are before a rotation, and in the bias.
///
/// # Panics
/// If the rotation or the bias does not fit.
pub fn attention(
    kernels: impl Into<Kernels>,
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    how: Attending,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let [_, s, h] = taps.q.dims();
    let d = h / heads;
    how.check(heads, s, d);
    let plain = how.reach.sees_all(s) && how.rotation.is_none() && how.bias.is_none();
    if !kernels.into().has(Operation::Attention) || !plain {
        return naive::attention(taps, lengths, heads, how, dropout);
    }
    let call = Call {
        heads: Heads { s, heads, d },
        lengths: lengths.as_slice().to_vec(),
        dropout,
    };
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(taps.into(), call))
}

impl Attending {
    fn check(&self, heads: usize, s: usize, d: usize) {
        if let Some(rotation) = &self.rotation {
            rotation.check(s, d);
        }
        if let Some(bias) = &self.bias {
            assert_eq!(bias.dims(), [heads, 2 * s - 1], "the bias: (A, 2S - 1)");
        }
    }
}

/// What one call is about, beside its tensors.
#[derive(Clone, Debug)]
struct Call {
    heads: Heads,
    lengths: Vec<usize>,
    dropout: Option<DropoutMask>,
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, ExtensionType)]
struct Attended<B: Backend> {
    /// (B, S, H); rows at and past a length are 0.
    output: FloatTensor<B>,
    /// (2, B, A, S): largest score of each row and log of its sum of exponentials. The CPU finds them again: (1).
    statistics: FloatTensor<B>,
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait AttentionOps: Backend {
    /// Queries, keys, values (B, S, H) -> (B, S, H) and statistics.
    fn attention_forward(#[extension_type] taps: RawTaps<Self>, call: Call) -> Attended<Self>;

    /// Gradients of queries, keys and values, 0 at and past a length, from that of the output.
    fn attention_backward(
        #[extension_type] taps: RawTaps<Self>,
        #[extension_type] attended: Attended<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self>;

    /// Queries, keys, values (B, S, H) -> (B, S, H); differentiable in all three.
    fn attention(#[extension_type] taps: RawTaps<Self>, call: Call) -> FloatTensor<Self> {
        Self::attention_forward(taps, call).output
    }
}

impl<B: Backend + AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attention_forward(_: RawTaps<Self>, _: Call) -> Attended<Self> {
        unreachable!("what is differentiable is the output")
    }

    fn attention_backward(
        _: RawTaps<Self>,
        _: Attended<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> RawTaps<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn attention(taps: RawTaps<Self>, call: Call) -> FloatTensor<Self> {
        differentiable::<B, C, (Attended<B>, Call), 3>(
            taps.into_array(),
            |taps| {
                let attended = B::attention_forward(RawTaps::new(taps), call.clone());
                (attended.output.clone(), (attended, call))
            },
            |taps, (attended, call), gradient, _| {
                let of = B::attention_backward(RawTaps::new(taps), attended, gradient, call);
                of.into_array().map(Some)
            },
        )
    }
}
