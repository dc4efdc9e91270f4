//! Without GPU crates nothing is on a GPU, and no tensor is ever packed.

use std::convert::Infallible;
use std::ops::Add;

use burn::tensor::Tensor;
use limbeck_recipe::Kernels;

use super::{AdamWMoments, AdamWParameter, AdamWScalars};

/// Tensors side by side in a few buffers of a GPU; there are none.
#[derive(Clone, Debug)]
pub struct Pack(Infallible);

impl Pack {
    /// The tensors, none where it is missing.
    pub fn tensors(&self) -> Vec<Option<Tensor<2>>> {
        match self.0 {}
    }

    /// Which tensors are there.
    pub fn present(&self) -> Vec<bool> {
        match self.0 {}
    }

    /// Sums of squares.
    pub fn squares(&self) -> Vec<Tensor<1>> {
        match self.0 {}
    }

    /// Times a number.
    #[must_use]
    pub fn scale(self, _: f64) -> Self {
        self
    }
}

impl Add for Pack {
    type Output = Self;

    fn add(self, _: Self) -> Self {
        self
    }
}

/// Gives the tensors back: none is on a GPU.
///
/// # Errors
/// Always.
pub fn pack(
    _: impl Into<Kernels>,
    _: &[[usize; 2]],
    tensors: Vec<Option<Tensor<2>>>,
) -> Result<Pack, Vec<Option<Tensor<2>>>> {
    Err(tensors)
}

/// Updates all parameters of a pack of gradients; there is none.
pub fn adamw_all(
    _: Vec<AdamWParameter>,
    gradients: Pack,
    _: AdamWScalars,
) -> Vec<(Tensor<2>, AdamWMoments<2>)> {
    match gradients.0 {}
}
