//! Exact GELU of a biased value, u * Phi(u) with u = x + bias, forward and backward in one pass each. burn's own takes one
//! scalar `erf` call an element on the CPU, which was a third of the time of a training step; its `gelu_backward` is of the
//! tanh approximation (off by up to 1e-3); and a bias of its own is one more walk over the widest tensor of a layer.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable;
use crate::optional::Optional;

#[cfg(feature = "gpu")]
pub(crate) use gpu::GeluSpec;

/// Exact GELU of x (B, S, H) plus a bias (H), if there is one: u * Phi(u) with u = x + bias (Hendrycks and Gimpel 2016, without the
/// tanh approximation); differentiable in both.
pub fn gelu(kernels: impl Into<Kernels>, x: Tensor<3>, bias: Option<Tensor<1>>) -> Tensor<3> {
    if !kernels.into().has(Operation::Gelu) {
        return naive::gelu(x, bias);
    }
    let bias = Optional::from(bias.map(Tensor::into_dispatch));
    Tensor::from_dispatch(<Dispatch as GeluOps>::biased_gelu(x.into_dispatch(), bias))
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
pub(crate) trait GeluOps: Backend {
    /// (B, S, H), and (H) where there is a bias -> (B, S, H).
    fn biased_gelu(
        x: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of x (B, S, H), and of the bias (H) if there is one, from that of the output.
    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);
}

impl<B: Backend + GeluOps, C: CheckpointStrategy> GeluOps for Autodiff<B, C> {
    fn biased_gelu(x: FloatTensor<Self>, bias: Optional<Self>) -> FloatTensor<Self> {
        match bias {
            Optional::Nothing => differentiable::<B, C, (), 1>(
                [x],
                |[x]| (B::biased_gelu(x, Optional::Nothing), ()),
                |[x], (), gradient, _| {
                    let (of_x, _) = B::biased_gelu_backward(x, Optional::Nothing, gradient);
                    [Some(of_x)]
                },
            ),
            Optional::Is(bias) => differentiable::<B, C, (), 2>(
                [x, bias],
                |[x, bias]| (B::biased_gelu(x, Optional::Is(bias)), ()),
                |[x, bias], (), gradient, _| {
                    let bias = Optional::Is(bias);
                    let (of_x, of_bias) = B::biased_gelu_backward(x, bias, gradient);
                    [Some(of_x), of_bias]
                },
            ),
        }
    }

    fn biased_gelu_backward(
        _: FloatTensor<Self>,
        _: Optional<Self>,
        _: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}
