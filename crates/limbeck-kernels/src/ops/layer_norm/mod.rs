//! LayerNorm of a sum, x + residual, over the last axis, forward and backward in one pass each. burn composes it of 10
//! operations forward and 31 backward wherever gradients are asked for, and on a GPU always: an H100 moved 151 GB/s
//! forward and 23 GB/s with gradients, of 3,000.
//!
//! The backward pass adds x and residual again, of which the graph keeps x anyway: to keep their sum instead would write it in
//! the forward pass of every frozen teacher, too. Of the forward pass it has the statistics of a row, 16 bytes.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, backend_extension,
};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable;
use crate::optional::Optional;

#[cfg(feature = "gpu")]
pub(crate) use gpu::LayerNormSpec;

/// Each row of x + residual (B, S, H) with mean 0 and variance 1 (`eps` is added to the variance), times a weight (H), plus
/// a bias (H), if there is one; differentiable in all.
///
/// # Panics
/// If the shapes do not fit.
pub fn layer_norm(
    kernels: impl Into<Kernels>,
    x: Tensor<3>,
    residual: Option<Tensor<3>>,
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<3> {
    let width = [x.dims()[2]];
    assert_eq!(weight.dims(), width, "the weight and the last axis of x");
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), width, "the bias and the last axis of x");
    }
    if let Some(residual) = &residual {
        assert_eq!(residual.dims(), x.dims(), "the residual and x");
    }
    if !kernels.into().has(Operation::LayerNorm) {
        return naive::layer_norm(x, residual, weight, bias, eps);
    }
    let terms = match residual {
        Some(residual) => Terms::Two(x.into_dispatch(), residual.into_dispatch()),
        None => Terms::One(x.into_dispatch()),
    };
    let bias = Optional::from(bias.map(Tensor::into_dispatch));
    let weight = weight.into_dispatch();
    Tensor::from_dispatch(<Dispatch as LayerNormOps>::normed(terms, weight, bias, eps))
}

/// What adds up to what is normalised, (B, S, H) each.
#[derive(Clone, Debug, ExtensionType)]
enum Terms<B: Backend> {
    One(FloatTensor<B>),
    /// x and the residual.
    Two(FloatTensor<B>, FloatTensor<B>),
}

impl<B: Backend> Terms<B> {
    fn split(self) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
        match self {
            Self::One(x) => (x, None),
            Self::Two(x, residual) => (x, Some(residual)),
        }
    }
}

/// What the forward pass gives.
#[derive(Clone, Debug, ExtensionType)]
struct Normed<B: Backend> {
    /// (B, S, H).
    output: FloatTensor<B>,
    /// (B * S, 4): mean, what rounding it left, 1 / sqrt(variance + eps), nothing.
    statistics: FloatTensor<B>,
}

/// What the backward pass gives.
#[derive(Clone, Debug, ExtensionType)]
struct Gradients<B: Backend> {
    /// Of x + residual, so of either: (B, S, H).
    sum: FloatTensor<B>,
    /// (H).
    weight: FloatTensor<B>,
    /// (H).
    bias: FloatTensor<B>,
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait LayerNormOps: Backend {
    /// Of the sum (B, S, H), with weight and bias (H).
    fn norm_forward(
        #[extension_type] terms: Terms<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        eps: f64,
    ) -> Normed<Self>;

    /// From the same, the statistics and the gradient of the output.
    fn norm_backward(
        #[extension_type] terms: Terms<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> Gradients<Self>;

    /// The output alone; differentiable in all tensors.
    fn normed(
        #[extension_type] terms: Terms<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        Self::norm_forward(terms, weight, bias, eps).output
    }
}

impl<B: Backend + LayerNormOps, C: CheckpointStrategy> LayerNormOps for Autodiff<B, C> {
    fn norm_forward(
        _: Terms<Self>,
        _: FloatTensor<Self>,
        _: Optional<Self>,
        _: f64,
    ) -> Normed<Self> {
        unreachable!("what is differentiable is the output")
    }

    fn norm_backward(
        _: Terms<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> Gradients<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn normed(
        terms: Terms<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let is_biased = bias.is_some();
        let only = move |bias: FloatTensor<B>| -> Optional<B> {
            Optional::from(is_biased.then_some(bias))
        };
        // Where there is none, a constant takes its place in the graph, and nobody reads it.
        let bias = bias.unwrap_or_else(|| Self::from_inner(weight.clone().into_primitive()));
        match terms {
            Terms::One(x) => differentiable::<B, C, FloatTensor<B>, 3>(
                [x, weight, bias],
                |[x, weight, bias]| {
                    let normed = B::norm_forward(Terms::One(x), weight, only(bias), eps);
                    (normed.output, normed.statistics)
                },
                |[x, weight, _], statistics, gradient, _| {
                    let of = B::norm_backward(Terms::One(x), weight, statistics, gradient);
                    [of.sum, of.weight, of.bias].map(Some)
                },
            ),
            Terms::Two(x, residual) => differentiable::<B, C, FloatTensor<B>, 4>(
                [x, residual, weight, bias],
                |[x, residual, weight, bias]| {
                    let terms = Terms::Two(x, residual);
                    let normed = B::norm_forward(terms, weight, only(bias), eps);
                    (normed.output, normed.statistics)
                },
                |[x, residual, weight, _], statistics, gradient, _| {
                    let terms = Terms::Two(x, residual);
                    let of = B::norm_backward(terms, weight, statistics, gradient);
                    [of.sum.clone(), of.sum, of.weight, of.bias].map(Some)
                },
            ),
        }
    }
}
