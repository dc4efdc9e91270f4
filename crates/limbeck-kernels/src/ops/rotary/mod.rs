//! Rotary positions (Su et al. 2021): features of queries and keys turned, in pairs, by an angle that grows with the
//! position. As burn operations that is a dozen launches and as many walks over the tensor. The gradient is the turn back,
//! so the graph keeps nothing of the input.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};
use limbeck_recipe::{Angles, Kernels, Operation};

use crate::graph::differentiable_linear;

#[cfg(feature = "gpu")]
pub(crate) use gpu::RotarySpec;

/// The angles by which the vectors of an attention head are turned at each position. Feature f and feature f + R / 2 of the
/// first R are a pair, which is turned by position * theta^(-2 f / R) / stretch: `rotate_half` of transformers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rotation(Arc<Table>);

#[derive(Debug)]
struct Table {
    positions: usize,
    features: usize,
    /// (positions, R): R / 2 cosines, then R / 2 sines. Made in f64, because `sin` of a GPU is imprecise.
    values: Vec<f32>,
    /// The same where it has been used, by device.
    tensors: Mutex<Vec<(Device, Tensor<2>)>>,
}

impl Rotation {
    /// For sequences of at most `positions` tokens, and the first `features` (R) features of each head.
    ///
    /// # Panics
    /// If `features` is odd or 0.
    pub fn new(angles: impl Into<Angles>, positions: usize, features: usize) -> Self {
        assert!(
            features > 0 && features.is_multiple_of(2),
            "{features} features in pairs"
        );
        let angles = angles.into();
        let steps: Vec<f64> = (0..features / 2)
            .map(|pair| angles.of(pair, features))
            .collect();
        let mut values = Vec::with_capacity(positions * features);
        for position in 0..positions {
            let angles = steps.iter().map(|step| position as f64 * step);
            values.extend(angles.clone().map(|angle| angle.cos() as f32));
            values.extend(angles.map(|angle| angle.sin() as f32));
        }
        Self(Arc::new(Table {
            positions,
            features,
            values,
            tensors: Mutex::new(Vec::new()),
        }))
    }

    /// R, how many features of a head are turned.
    pub fn features(&self) -> usize {
        self.0.features
    }

    /// Turns the vectors (B, S, H) of `heads` heads, as burn operations; [`rotary`] has a kernel.
    ///
    /// # Panics
    /// If S is more than the positions, or a head has fewer features than are turned.
    pub fn rotate(&self, x: Tensor<3>, heads: usize) -> Tensor<3> {
        let [_, s, h] = x.dims();
        self.check(s, h / heads);
        naive::rotary(x, self, heads)
    }

    /// # Panics
    /// If sequences of `s` tokens are too long, or heads of `d` features too narrow.
    pub(crate) fn check(&self, s: usize, d: usize) {
        let (positions, features) = (self.0.positions, self.0.features);
        assert!(s <= positions, "{s} tokens and {positions} positions");
        assert!(features <= d, "{features} of {d} features");
    }

    /// The table, (positions, R), on a device.
    fn on(&self, device: &Device) -> Tensor<2> {
        let device = device.clone().without_autodiff();
        let tensors = self.0.tensors.lock();
        let mut tensors = tensors.unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = tensors.iter().find(|(on, _)| *on == device) {
            return table.clone();
        }
        let shape = [self.0.positions, self.0.features];
        let table = Tensor::from_data(TensorData::new(self.0.values.clone(), shape), &device);
        tensors.push((device, table.clone()));
        table
    }
}

/// Turns the vectors (B, S, H) of `heads` heads; differentiable.
///
/// # Panics
/// As [`Rotation::rotate`].
pub fn rotary(
    kernels: impl Into<Kernels>,
    x: Tensor<3>,
    rotation: &Rotation,
    heads: usize,
) -> Tensor<3> {
    // It falls back with attention; its self-test is `Check::Rotary`.
    if !kernels.into().has(Operation::Attention) {
        return rotation.rotate(x, heads);
    }
    let [_, s, h] = x.dims();
    rotation.check(s, h / heads);
    let turn = Turn {
        s,
        heads,
        d: h / heads,
        features: rotation.features(),
        back: false,
    };
    let table = rotation.on(&x.device()).into_dispatch();
    Tensor::from_dispatch(<Dispatch as RotaryOps>::turned(
        x.into_dispatch(),
        table,
        turn,
    ))
}

/// The sizes and the direction of a turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    s: usize,
    heads: usize,
    d: usize,
    /// R.
    features: usize,
    back: bool,
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait RotaryOps: Backend {
    /// (B, S, H) and the table (positions, R) -> (B, S, H).
    fn turned(x: FloatTensor<Self>, table: FloatTensor<Self>, turn: Turn) -> FloatTensor<Self>;
}

impl<B: Backend + RotaryOps, C: CheckpointStrategy> RotaryOps for Autodiff<B, C> {
    fn turned(x: FloatTensor<Self>, table: FloatTensor<Self>, turn: Turn) -> FloatTensor<Self> {
        differentiable_linear::<B, C, _>(
            x,
            (table.into_primitive(), turn),
            |x, (table, turn)| B::turned(x, table, turn),
            |gradient, (table, turn)| B::turned(gradient, table, Turn { back: true, ..turn }),
        )
    }
}
