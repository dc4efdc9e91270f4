//! Exact GELU of a biased value, u * Phi(u) with u = x + bias, forward and backward in one pass each. burn's own takes one
//! scalar `erf` call an element on the CPU, which was a third of the time of a training step; its `gelu_backward` is of the
//! tanh approximation (off by up to 1e-3); and a bias of its own is one more walk over the widest tensor of a layer.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use cubecl::prelude::*;

use crate::cpu::{self, CHUNK};
use crate::gpu::{self, Launch};
use crate::graph::differentiable;
use limbeck_recipe::KernelChoice;

const INVERSE_SQRT_2PI: f32 = 0.398_942_3;

/// Which way a shader of GELU goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum GeluPass {
    /// The value.
    Forward,
    /// The gradient of x.
    Backward,
}

/// Everything that the texts of `gelu_forward.wgsl` and `gelu_backward.wgsl` depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeluSpec {
    pass: GeluPass,
}

impl GeluSpec {
    /// Threads of a workgroup, one an element: as many as WebGPU guarantees.
    const THREADS: u32 = 256;

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        [GeluPass::Forward, GeluPass::Backward]
            .map(|pass| Self { pass })
            .into()
    }
}

impl KernelSource for GeluSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self.pass {
            GeluPass::Forward => include_str!("../../../shaders/gelu_forward.wgsl"),
            GeluPass::Backward => include_str!("../../../shaders/gelu_backward.wgsl"),
        };
        SourceTemplate::new(text).register("threads", Self::THREADS.to_string())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

#[backend_extension(Cube, Flex, Autodiff)]
trait GeluOps: Backend {
    /// (B, S, H) and (H) -> (B, S, H).
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients of x (B, S, H) and of the bias (H), from that of the output.
    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl GeluOps for CubeBackend {
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, bias) = (gpu::contiguous(x), gpu::contiguous(bias));
        launch(GeluPass::Forward, &[&x, &bias])
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, bias, gradient] = [x, bias, gradient].map(gpu::contiguous);
        let of_x = launch(GeluPass::Backward, &[&x, &bias, &gradient]);
        let width = bias.shape().num_elements();
        let rows = of_x.shape().num_elements() / width;
        let of_rows = Self::float_reshape(of_x.clone(), [rows, width].into());
        let of_bias = Self::float_reshape(Self::float_sum_dim(of_rows, 0), [width].into());
        (of_x, of_bias)
    }
}

/// One pass of the GPU over x and bias, the first two inputs.
fn launch(pass: GeluPass, inputs: &[&FloatTensor<CubeBackend>]) -> FloatTensor<CubeBackend> {
    let (x, width) = (inputs[0], inputs[1].shape().num_elements());
    let (output, elements) = (gpu::empty(x, x.shape()), x.shape().num_elements());
    Launch {
        threads: GeluSpec::THREADS,
        groups: elements.div_ceil(GeluSpec::THREADS as usize),
        inputs,
        output: &output,
        info: &[elements as u32, width as u32],
    }
    .run(GeluSpec { pass });
    output
}

impl GeluOps for Flex {
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let (x, bias) = (cpu::contiguous(x), cpu::contiguous(bias));
        let (input, bias) = (cpu::values(&x), cpu::values(&bias));
        let mut output = vec![0.0f32; input.len()];
        let chunk = rows_of_chunk(bias.len()) * bias.len();
        cpu::each(
            output.chunks_mut(chunk).zip(input.chunks(chunk)),
            |(output, input)| {
                cpu::vectorised(
                    #[inline(always)]
                    || forward(output, input, bias),
                );
            },
        );
        FloatTensor::<Self>::from_data(TensorData::new(output, shape))
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let shape = x.shape();
        let [x, bias, gradient] = [x, bias, gradient].map(cpu::contiguous);
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
            FloatTensor::<Self>::from_data(TensorData::new(of_bias, [width])),
        )
    }
}

/// Whole rows that a task takes.
fn rows_of_chunk(width: usize) -> usize {
    (CHUNK / width).max(1)
}

/// Some rows of the output.
#[inline(always)]
fn forward(output: &mut [f32], input: &[f32], bias: &[f32]) {
    let width = bias.len();
    for (output, input) in output
        .chunks_exact_mut(width)
        .zip(input.chunks_exact(width))
    {
        for ((y, x), bias) in output.iter_mut().zip(input).zip(bias) {
            let u = x + bias;
            *y = u * normal_cdf(u);
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

#[derive(Debug)]
struct GeluBackward;

impl<B: Backend + GeluOps> Backward<B, 2> for GeluBackward {
    type State = [NodeId; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let [x, bias] = ops
            .state
            .map(|node| checkpointer.retrieve_node_output(node));
        let (of_x, of_bias) = B::biased_gelu_backward(x, bias, gradient);
        for (node, gradient) in ops.parents.into_iter().zip([of_x, of_bias]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + GeluOps, C: CheckpointStrategy> GeluOps for Autodiff<B, C> {
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<B, C, 2>(GeluBackward, [x, bias], |[x, bias]| B::biased_gelu(x, bias))
    }

    fn biased_gelu_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}

/// Exact GELU of x (B, S, H) plus a bias (H): u * Phi(u) with u = x + bias (Hendrycks and Gimpel 2016, without the tanh
/// approximation); differentiable in both.
pub fn gelu(kernel: KernelChoice, x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    if kernel == KernelChoice::Naive {
        let u = x + bias.unsqueeze();
        let twice_phi = u.clone().mul_scalar(FRAC_1_SQRT_2).erf() + 1.0;
        return (u * twice_phi).mul_scalar(0.5);
    }
    let (x, bias) = (x.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as GeluOps>::biased_gelu(x, bias))
}
