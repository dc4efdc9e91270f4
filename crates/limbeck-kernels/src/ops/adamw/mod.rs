//! One AdamW update of one parameter with PyTorch's semantics (Loshchilov and Hutter 2019; `torch.optim.AdamW`), in one
//! pass. burn's own takes a dozen passes over each tensor, and the embedding table is most of a small student.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, Scalar, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;

use crate::cpu::{self, CHUNK};

/// The numbers of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamWScalars {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay: the parameter is scaled by 1 - learning_rate * weight_decay.
    pub weight_decay: f64,
    /// Which update of this parameter it is, from 1: corrects the bias of the moments.
    pub time: u64,
    /// The gradient is scaled by this first (clipping by the global norm).
    pub gradient_scale: f64,
}

impl AdamWScalars {
    /// (step size, 1 / sqrt(1 - beta2^t)) as PyTorch computes them.
    fn corrections(&self) -> (f64, f64) {
        let time = self.time as f64;
        let first = 1.0 - self.beta1.powf(time);
        let second = 1.0 - self.beta2.powf(time);
        (self.learning_rate / first, 1.0 / second.sqrt())
    }
}

/// Running means of a parameter's gradient and of its square; both have the parameter's shape.
#[derive(Clone, Debug)]
pub struct AdamWMoments<const D: usize> {
    /// First moment.
    pub first: Tensor<D>,
    /// Second moment.
    pub second: Tensor<D>,
}

type Updated<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

#[backend_extension(Cube, Flex, Autodiff)]
trait AdamWOps: Backend {
    /// (parameter, gradient, first, second) -> (parameter, first, second), as burn operations.
    fn adamw_update(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        scalars: AdamWScalars,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::<Self>(parameter, gradient, first, second, scalars)
    }
}

fn composed<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    scalars: AdamWScalars,
) -> Updated<B> {
    let times = |tensor, factor: f64| B::float_mul_scalar(tensor, Scalar::Float(factor));
    let (step, correction) = scalars.corrections();
    let gradient = times(gradient, scalars.gradient_scale);
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = B::float_add(
        times(first, scalars.beta1),
        times(gradient, 1.0 - scalars.beta1),
    );
    let second = B::float_add(
        times(second, scalars.beta2),
        times(square, 1.0 - scalars.beta2),
    );
    let root = times(B::float_sqrt(second.clone()), correction);
    let update = B::float_div(
        first.clone(),
        B::float_add_scalar(root, Scalar::Float(scalars.eps)),
    );
    let decayed = times(
        parameter,
        1.0 - scalars.learning_rate * scalars.weight_decay,
    );
    (B::float_sub(decayed, times(update, step)), first, second)
}

impl AdamWOps for CubeBackend {}

impl<B: Backend + AdamWOps, C: CheckpointStrategy> AdamWOps for Autodiff<B, C> {}

impl AdamWOps for Flex {
    fn adamw_update(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        scalars: AdamWScalars,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = cpu::contiguous(gradient);
        let mut owned = [parameter, first, second].map(cpu::whole);
        let [parameter, first, second] = owned.each_mut().map(|tensor| tensor.storage_mut::<f32>());
        let chunks = parameter
            .chunks_mut(CHUNK)
            .zip(first.chunks_mut(CHUNK))
            .zip(second.chunks_mut(CHUNK))
            .zip(cpu::values(&gradient).chunks(CHUNK));
        cpu::each(chunks, |(((parameter, first), second), gradient)| {
            cpu::vectorised(
                #[inline(always)]
                || update_chunk(parameter, gradient, first, second, scalars),
            );
        });
        let [parameter, first, second] = owned;
        (parameter, first, second)
    }
}

#[inline(always)]
fn update_chunk(
    parameter: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    scalars: AdamWScalars,
) {
    let (step, correction) = scalars.corrections();
    let (step, correction, eps) = (step as f32, correction as f32, scalars.eps as f32);
    let decay = (1.0 - scalars.learning_rate * scalars.weight_decay) as f32;
    let (beta1, beta2) = (scalars.beta1 as f32, scalars.beta2 as f32);
    let (rest1, rest2) = ((1.0 - scalars.beta1) as f32, (1.0 - scalars.beta2) as f32);
    let scale = scalars.gradient_scale as f32;
    for (((p, m), v), g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
        let g = g * scale;
        *m = *m * beta1 + g * rest1;
        *v = *v * beta2 + g * g * rest2;
        *p = *p * decay - step * (*m / (v.sqrt() * correction + eps));
    }
}

/// Updates one parameter; nothing is differentiable here, so pass plain tensors (no autodiff).
///
/// Takes everything by value: on the CPU the buffers are updated in place when nobody else holds them.
pub fn adamw<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: AdamWMoments<D>,
    scalars: AdamWScalars,
) -> (Tensor<D>, AdamWMoments<D>) {
    let (parameter, first, second) = <Dispatch as AdamWOps>::adamw_update(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        moments.first.into_dispatch(),
        moments.second.into_dispatch(),
        scalars,
    );
    let moments = AdamWMoments {
        first: Tensor::from_dispatch(first),
        second: Tensor::from_dispatch(second),
    };
    (Tensor::from_dispatch(parameter), moments)
}
