//! Dropout whose masks are made on the host, the same on every machine and backend.

use burn::tensor::{Device, Tensor, TensorData};

use crate::Rng;

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

    /// Zeroes each value with probability `p` and scales the others by 1 / (1 - p).
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>, p: f64) -> Tensor<D> {
        if p <= 0.0 {
            return x;
        }
        let mask = self.mask(x.dims(), p, &x.device().without_autodiff());
        x * mask
    }

    fn mask<const D: usize>(&mut self, shape: [usize; D], p: f64, device: &Device) -> Tensor<D> {
        let key = self.keys.next_u64() as u32;
        let dropped = (p * f64::from(u32::MAX)) as u32;
        let kept = (1.0 / (1.0 - p)) as f32;
        let count = shape.iter().product::<usize>() as u32;
        let values: Vec<f32> = (0..count)
            .map(|i| if hash(i ^ key) < dropped { 0.0 } else { kept })
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// The finaliser of MurmurHash3 (Appleby 2008), applied twice: consecutive integers become independent bits.
fn hash(x: u32) -> u32 {
    let mix = |mut h: u32| {
        h ^= h >> 16;
        h = h.wrapping_mul(0x85EB_CA6B);
        h ^= h >> 13;
        h = h.wrapping_mul(0xC2B2_AE35);
        h ^ (h >> 16)
    };
    mix(mix(x).wrapping_add(0x9E37_79B9))
}
