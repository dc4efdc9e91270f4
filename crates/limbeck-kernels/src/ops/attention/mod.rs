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
use crate::ops::rotary::{Rotation, rotary};
use crate::pair::RawTaps;
use crate::{Lengths, Taps};

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
    let kernels = kernels.into();
    let [_, s, h] = taps.q.dims();
    let d = h / heads;
    how.check(heads, s, d);
    if !kernels.has(Operation::Attention) {
        return naive::attention(taps, lengths, heads, how, dropout);
    }
    let Taps { mut q, mut k, v } = taps;
    if let Some(rotation) = &how.rotation {
        [q, k] = [q, k].map(|x| rotary(kernels, x, rotation, heads));
    }
    let call = Call {
        heads: Heads { s, heads, d },
        lengths: lengths.as_slice().to_vec(),
        reach: how.reach,
        dropout,
    };
    let taps = Taps { q, k, v }.into();
    let given = Given::new(taps, how.bias.map(Tensor::into_dispatch));
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(given, call))
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
    reach: Reach,
    dropout: Option<DropoutMask>,
}

/// Queries, keys and values, (B, S, H) each, as they meet, and what is added to their scores.
#[derive(Clone, Debug, ExtensionType)]
enum Given<B: Backend> {
    Taps(#[extension_type] RawTaps<B>),
    /// And a bias, (A, 2S - 1).
    Biased(#[extension_type] RawTaps<B>, FloatTensor<B>),
}

impl<B: Backend> Given<B> {
    fn new(taps: RawTaps<B>, bias: Option<FloatTensor<B>>) -> Self {
        match bias {
            None => Self::Taps(taps),
            Some(bias) => Self::Biased(taps, bias),
        }
    }

    fn split(self) -> (RawTaps<B>, Option<FloatTensor<B>>) {
        match self {
            Self::Taps(taps) => (taps, None),
            Self::Biased(taps, bias) => (taps, Some(bias)),
        }
    }
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, ExtensionType)]
struct Attended<B: Backend> {
    /// (B, S, H); rows at and past a length are 0.
    output: FloatTensor<B>,
    /// The output and what else the backward pass wants of each row, as a backend has them.
    kept: FloatTensor<B>,
}

/// What the backward pass gives: gradients of queries, keys and values, 0 at and past a length.
#[derive(Clone, Debug, ExtensionType)]
enum Gradients<B: Backend> {
    OfTaps(#[extension_type] RawTaps<B>),
    /// And of the bias, (A, 2S - 1).
    OfAll(#[extension_type] RawTaps<B>, FloatTensor<B>),
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait AttentionOps: Backend {
    /// (B, S, H), and what is kept of it.
    fn attention_forward(#[extension_type] given: Given<Self>, call: Call) -> Attended<Self>;

    /// From the gradient of the output. That of the bias only if it is `wanted`.
    fn attention_backward(
        #[extension_type] given: Given<Self>,
        kept: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
        wanted: bool,
    ) -> Gradients<Self>;

    /// The output alone; differentiable in all tensors.
    fn attention(#[extension_type] given: Given<Self>, call: Call) -> FloatTensor<Self> {
        Self::attention_forward(given, call).output
    }
}

impl<B: Backend + AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attention_forward(_: Given<Self>, _: Call) -> Attended<Self> {
        unreachable!("what is differentiable is the output")
    }

    fn attention_backward(
        _: Given<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
        _: bool,
    ) -> Gradients<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn attention(given: Given<Self>, call: Call) -> FloatTensor<Self> {
        let (RawTaps { q, k, v }, bias) = given.split();
        let forward = |given: Given<B>| {
            let attended = B::attention_forward(given, call.clone());
            (attended.output, (attended.kept, call))
        };
        let Some(bias) = bias else {
            return differentiable::<B, C, (FloatTensor<B>, Call), 3>(
                [q, k, v],
                |taps| forward(Given::Taps(RawTaps::new(taps))),
                |taps, (kept, call), gradient, _| {
                    let given = Given::Taps(RawTaps::new(taps));
                    let of = B::attention_backward(given, kept, gradient, call, false);
                    let (Gradients::OfTaps(of) | Gradients::OfAll(of, _)) = of;
                    of.into_array().map(Some)
                },
            );
        };
        differentiable::<B, C, (FloatTensor<B>, Call), 4>(
            [q, k, v, bias],
            |[q, k, v, bias]| forward(Given::Biased(RawTaps { q, k, v }, bias)),
            |[q, k, v, bias], (kept, call), gradient, [.., wanted]| {
                let given = Given::Biased(RawTaps { q, k, v }, bias);
                let of = B::attention_backward(given, kept, gradient, call, wanted);
                let (RawTaps { q, k, v }, of_bias) = match of {
                    Gradients::OfTaps(of) => (of, None),
                    Gradients::OfAll(of, of_bias) => (of, Some(of_bias)),
                };
                [Some(q), Some(k), Some(v), of_bias]
            },
        )
    }
}
