//! Dropout whose masks are made on the host, the same on every machine and backend.

use burn::tensor::Tensor;
use limbeck_kernels::DropoutMask;
use limbeck_recipe::Rng;

/// Keeps these numbers apart from the others of a seed.
const DROPOUT: u64 = 0xD20;

/// The dropout of one training step. Masks depend only on seed, step and the order of the calls within the step.
#[derive(Clone, Debug)]
pub struct Dropout {
    keys: Rng,
}

impl Dropout {
    /// For one step of a run.
    pub fn new(seed: u64, step: u64) -> Self {
        Self {
            keys: Rng::keyed(&[seed, DROPOUT, step]),
        }
    }

    /// The next mask of this step, or none if nothing is dropped.
    pub fn mask(&mut self, p: f64) -> Option<DropoutMask> {
        (p > 0.0).then(|| DropoutMask::new(self.keys.next_u64() as u32, p))
    }

    /// Zeroes each value with probability `p` and scales the others by 1 / (1 - p).
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>, p: f64) -> Tensor<D> {
        match self.mask(p) {
            Some(mask) => {
                let factors = mask.tensor(x.dims(), &x.device());
                x * factors
            }
            None => x,
        }
    }
}
