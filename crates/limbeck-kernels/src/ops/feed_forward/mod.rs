//! The feed-forward part of a layer: an up projection, exact GELU and a down projection as one operation. On a GPU GELU is the end
//! of the up projection's matmul, and its slope that of the gradient's on the way back, so the widest tensors of a layer are written
//! once and not read again in between. Elsewhere it is made of the operations that it stands for, which need no `cpu.rs`.

#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable_parts;
use crate::ops::gelu::GeluOps;
use crate::ops::matmul::{MatmulOps, gradient_of_input};
use crate::ops::mixed::mixed_product;
use crate::optional::Optional;

/// A linear layer's weights (in, out) and bias (out).
#[derive(Clone, Debug)]
pub struct Projection {
    /// The weights.
    pub weight: Tensor<2>,
    /// The bias.
    pub bias: Tensor<1>,
}

/// GELU(x up + bias) down + bias of x (M, H), with an up projection (H, F) and a down projection (F, H): (M, H), differentiable in all.
/// In mixed precision where the kernels say so and nothing can be differentiated. x comes out again beside it, for whoever adds the two:
/// the gradient that x has from there is added in the launch that computes the other.
///
/// # Panics
/// If the sizes do not fit.
pub fn feed_forward(
    kernels: impl Into<Kernels>,
    x: Tensor<2>,
    up: Projection,
    down: Projection,
) -> (Tensor<2>, Tensor<2>) {
    let kernels = kernels.into();
    let [inner, outer] = down.weight.dims();
    assert_eq!(up.weight.dims(), [x.dims()[1], inner], "the up projection");
    assert_eq!(up.bias.dims(), [inner], "the up projection's bias");
    assert_eq!(down.bias.dims(), [outer], "the down projection's bias");
    if !kernels.has(Operation::FeedForward) {
        return (naive::feed_forward(kernels, x.clone(), up, down), x);
    }
    if let Some(mixed) = kernels.mixed() {
        let inner = mixed_product(x.clone(), up.weight, Some(up.bias), true, mixed);
        let fed = mixed_product(inner, down.weight, Some(down.bias), false, mixed);
        return (fed, x);
    }
    let (fed, x) = <Dispatch as FeedForwardOps>::feed_forward(
        x.into_dispatch(),
        up.weight.into_dispatch(),
        up.bias.into_dispatch(),
        down.weight.into_dispatch(),
        down.bias.into_dispatch(),
    );
    (Tensor::from_dispatch(fed), Tensor::from_dispatch(x))
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait FeedForwardOps: MatmulOps + GeluOps {
    /// x (M, H), up (H, F), its bias (F), down (F, H), its bias (H) -> (M, H), and x.
    fn feed_forward(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let inner = Self::biased_gelu(Self::matmul(x.clone(), up), Optional::Is(up_bias));
        (Self::biased_matmul(inner, down, down_bias), x)
    }

    /// x (M, H), up (H, F), its bias (F) -> GELU(x up + bias), and what [`FeedForwardOps::up_gradients`] wants to know again, (M, F)
    /// both.
    fn up(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let before = Self::matmul(x, up);
        let inner = Self::biased_gelu(before.clone(), Optional::Is(up_bias));
        (inner, before)
    }

    /// The gradients of x up (M, F), of up (H, F) and of its bias (F), from that of the output, (M, H).
    fn up_gradients(
        x: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        before: FloatTensor<Self>,
        down: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        Option<FloatTensor<Self>>,
    ) {
        let of_inner = Self::matmul(gradient, Self::float_transpose(down));
        let bias = Optional::Is(up_bias);
        let (of_before, of_bias) = Self::biased_gelu_backward(before, bias, of_inner);
        let of_up = Self::matmul(Self::float_transpose(x), of_before.clone());
        (of_before, of_up, of_bias)
    }
}

impl FeedForwardOps for Flex {}

impl<B: Backend + FeedForwardOps, C: CheckpointStrategy> FeedForwardOps for Autodiff<B, C> {
    fn feed_forward(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [fed, x] = differentiable_parts::<B, C, (FloatTensor<B>, FloatTensor<B>), 5, 2>(
            [x, up, up_bias, down, down_bias],
            |[x, up, up_bias, down, down_bias]| {
                let (inner, before) = B::up(x.clone(), up, up_bias);
                let output = B::biased_matmul(inner.clone(), down, down_bias);
                ([output, x], (inner, before))
            },
            |[x, up, up_bias, down, _], (inner, before), [fed, passed], [x_wanted, ..]| {
                let Some(gradient) = fed else {
                    return [passed, None, None, None, None];
                };
                let (of_before, of_up, of_up_bias) =
                    B::up_gradients(x, up_bias, before, down, gradient.clone());
                let of_x = x_wanted.then(|| gradient_of_input::<B>(of_before, up, passed));
                let (of_down, of_down_bias) = B::weight_gradients(inner, gradient);
                [
                    of_x,
                    Some(of_up),
                    of_up_bias,
                    Some(of_down),
                    Some(of_down_bias),
                ]
            },
        );
        (fed, x)
    }

    fn up(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("what is differentiable is the output")
    }

    fn up_gradients(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        Option<FloatTensor<Self>>,
    ) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}
