//! One AdamW update with PyTorch's semantics (Loshchilov and Hutter 2019; `torch.optim.AdamW`), in one pass. burn's own takes
//! a dozen passes over each tensor, and the embedding table is most of a small student.
//!
//! [`adamw`] updates one parameter: on the CPU in place, elsewhere as the plain composition. On a GPU a launch costs as much as
//! updating a million numbers, and a student has a hundred parameters. There [`pack`] puts the gradients side by side into one
//! buffer, whose squares are added up at once, and [`adamw_all`] updates all parameters, which are views of another, in one launch.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;
#[cfg(not(feature = "gpu"))]
mod without_gpu;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::Kernels;

#[cfg(feature = "gpu")]
pub(crate) use gpu::AdamWSpec;
#[cfg(feature = "gpu")]
pub use gpu::{Pack, adamw_all, pack};
#[cfg(feature = "gpu")]
pub use gpu::{buffers, limit_buffers};
#[cfg(not(feature = "gpu"))]
pub use without_gpu::{Pack, adamw_all, pack};

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

/// A parameter and what AdamW knows of it, as [`adamw_all`] takes it.
#[derive(Clone, Debug)]
pub struct AdamWParameter {
    /// Its values.
    pub values: Tensor<2>,
    /// Its moments; zeros where there are none yet.
    pub moments: Option<AdamWMoments<2>>,
    /// Which update of this parameter it would be, from 1.
    pub time: u64,
    /// Whether weight decay applies to it.
    pub decays: bool,
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

/// What a step ends with: updates the parameters of these shapes whose gradients are there, and leaves the others. On a GPU all
/// together, elsewhere one by one. Beside the values and moments come sums that add up to the square of the norm of all gradients.
pub fn update_all(
    kernels: impl Into<Kernels>,
    shapes: &[[usize; 2]],
    parameters: Vec<AdamWParameter>,
    gradients: Vec<Option<Tensor<2>>>,
    scalars: AdamWScalars,
) -> (Vec<(Tensor<2>, AdamWMoments<2>)>, Vec<Tensor<1>>) {
    match pack(kernels, shapes, gradients) {
        Ok(pack) => {
            let squares = pack.squares();
            (adamw_all(parameters, pack, scalars), squares)
        }
        Err(gradients) => {
            let squares = gradients.iter().flatten();
            let squares = squares.map(|g| g.clone().square().sum()).collect();
            let each = parameters.into_iter().zip(gradients);
            (each.map(|(p, g)| alone(p, g, scalars)).collect(), squares)
        }
    }
}

/// One parameter, if it has a gradient.
fn alone(
    parameter: AdamWParameter,
    gradient: Option<Tensor<2>>,
    scalars: AdamWScalars,
) -> (Tensor<2>, AdamWMoments<2>) {
    let moments = parameter.moments.unwrap_or_else(|| AdamWMoments {
        first: parameter.values.zeros_like(),
        second: parameter.values.zeros_like(),
    });
    let Some(gradient) = gradient else {
        return (parameter.values, moments);
    };
    let own = AdamWScalars {
        time: parameter.time,
        weight_decay: if parameter.decays {
            scalars.weight_decay
        } else {
            0.0
        },
        ..scalars
    };
    adamw(parameter.values, gradient, moments, own)
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait AdamWOps: Backend {
    /// (parameter, gradient, first, second) -> (parameter, first, second), as burn operations.
    fn adamw_update(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        scalars: AdamWScalars,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        naive::update::<Self>(parameter, gradient, first, second, scalars)
    }
}

#[cfg(feature = "gpu")]
impl AdamWOps for burn_cubecl::CubeBackend {}

impl<B: Backend + AdamWOps, C: CheckpointStrategy> AdamWOps for Autodiff<B, C> {}
