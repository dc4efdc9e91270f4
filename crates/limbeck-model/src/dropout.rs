//! Dropout whose masks are made on the host, the same on every machine and backend.

use burn::tensor::Tensor;
use limbeck_kernels::DropoutMask;
use limbeck_recipe::Rng;

/// Keeps these numbers apart from the others of a seed.
const DROPOUT: u64 = 0xD20;

/// The dropout of one micro-batch of a training step. Masks depend only on seed, step, micro-batch and the order of the
/// calls within the forward pass.
#[derive(Clone, Debug)]
pub struct Dropout {
    keys: Rng,
}

impl Dropout {
    /// For one forward pass of a run: `step` counts from 1, `micro_batch` from 0 within the step.
    ///
    /// The first micro-batch is keyed by (seed, step) alone, so a run without accumulation draws the masks that it drew
    /// before there was any; the others are keyed by (seed, step, micro-batch), or all of a step would drop the same
    /// values.
    pub fn new(seed: u64, step: u64, micro_batch: u64) -> Self {
        let keys = match micro_batch {
            0 => Rng::keyed(&[seed, DROPOUT, step]),
            _ => Rng::keyed(&[seed, DROPOUT, step, micro_batch]),
        };
        Self { keys }
    }

    /// The next mask of this pass, or none if nothing is dropped.
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
