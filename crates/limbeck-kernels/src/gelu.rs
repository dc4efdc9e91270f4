//! Exact GELU, x * Phi(x), forward and backward in one pass each. burn's own takes one scalar `erf` call an element on the
//! CPU, which was a third of the time of a training step.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Scalar, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_cubecl::CubeBackend;

use crate::cpu::{self, CHUNK};

const INVERSE_SQRT_2PI: f32 = 0.398_942_3;

/// GELU as an operation of every backend. The default bodies compose burn's operations; burn's own `gelu_backward` is of
/// the tanh approximation (off by up to 1e-3), so it is not used.
#[backend_extension(Cube, Flex, Autodiff)]
trait GeluOps: Backend {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::gelu(x)
    }

    fn exact_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let times =
            |x: FloatTensor<Self>, factor: f64| Self::float_mul_scalar(x, Scalar::Float(factor));
        let square = Self::float_mul(x.clone(), x.clone());
        let density = times(
            Self::float_exp(times(square, -0.5)),
            INVERSE_SQRT_2PI.into(),
        );
        let erf = Self::float_erf(times(x.clone(), std::f64::consts::FRAC_1_SQRT_2));
        let cdf = times(Self::float_add_scalar(erf, Scalar::Float(1.0)), 0.5);
        let slope = Self::float_add(cdf, Self::float_mul(x, density));
        Self::float_mul(gradient, slope)
    }
}

impl GeluOps for CubeBackend {}

impl GeluOps for Flex {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let x = cpu::contiguous(x);
        let input = cpu::values(&x);
        let mut output = vec![0.0f32; input.len()];
        cpu::each(
            output.chunks_mut(CHUNK).zip(input.chunks(CHUNK)),
            |(output, input)| {
                cpu::vectorised(
                    #[inline(always)]
                    || {
                        for (y, x) in output.iter_mut().zip(input) {
                            *y = x * normal_cdf(*x);
                        }
                    },
                );
            },
        );
        FloatTensor::<Self>::from_data(TensorData::new(output, shape))
    }

    fn exact_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let (x, gradient) = (cpu::contiguous(x), cpu::contiguous(gradient));
        let (input, upstream) = (cpu::values(&x), cpu::values(&gradient));
        let mut output = vec![0.0f32; input.len()];
        let chunks = output
            .chunks_mut(CHUNK)
            .zip(input.chunks(CHUNK))
            .zip(upstream.chunks(CHUNK));
        cpu::each(chunks, |((output, input), upstream)| {
            cpu::vectorised(
                #[inline(always)]
                || {
                    for ((dx, x), dy) in output.iter_mut().zip(input).zip(upstream) {
                        *dx = dy * (normal_cdf(*x) + x * normal_density(*x));
                    }
                },
            );
        });
        FloatTensor::<Self>::from_data(TensorData::new(output, shape))
    }
}

/// Phi(x) of the standard normal distribution.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + cpu::erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// phi(x) of the standard normal distribution.
#[inline(always)]
fn normal_density(x: f32) -> f32 {
    INVERSE_SQRT_2PI * cpu::exp(-0.5 * x * x)
}

#[derive(Debug)]
struct GeluBackward;

impl<B: Backend + GeluOps> Backward<B, 1> for GeluBackward {
    type State = NodeId;

    fn backward(self, ops: Ops<NodeId, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output(ops.state);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::exact_gelu_backward(x, gradient));
        }
    }
}

impl<B: Backend + GeluOps, C: CheckpointStrategy> GeluOps for Autodiff<B, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match GeluBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&x);
                prep.finish(state, B::exact_gelu(x.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::exact_gelu(x.into_primitive())),
        }
    }
}

/// Exact GELU, x * Phi(x) (Hendrycks and Gimpel 2016, without the tanh approximation); differentiable.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as GeluOps>::exact_gelu(x.into_dispatch()))
}
