//! Dropout masks without state: whether a value is dropped is a function of a key and its index, so every implementation and backend
//! drops the same values, and a backward pass needs no stored mask.

use burn::tensor::{Device, Tensor, TensorData};

/// One use of dropout: which values, by index, and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutMask {
    key: u32,
    /// A value whose hash is below this is dropped.
    threshold: u32,
    kept: f32,
}

impl DropoutMask {
    /// Drops with probability `p` (0 <= p < 1); other keys drop other values.
    pub fn new(key: u32, p: f64) -> Self {
        Self {
            key,
            threshold: (p * 2f64.powi(32)) as u32,
            kept: (1.0 / (1.0 - p)) as f32,
        }
    }

    /// The factor of the value at an index: 0, or 1 / (1 - p).
    #[inline(always)]
    pub(crate) fn factor(self, index: u32) -> f32 {
        if hash(index ^ self.key) < self.threshold {
            0.0
        } else {
            self.kept
        }
    }

    /// Key, threshold and the bits of the factor of what is kept, as the shaders take them.
    #[cfg(feature = "gpu")]
    pub(crate) fn words(self) -> [u32; 3] {
        [self.key, self.threshold, self.kept.to_bits()]
    }

    /// The factors of a tensor in row-major order.
    pub fn tensor<const D: usize>(self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|index| self.factor(index as u32)).collect();
        Tensor::from_data(
            TensorData::new(values, shape),
            &device.clone().without_autodiff(),
        )
    }
}

/// The finaliser of MurmurHash3 (Appleby 2008), twice: consecutive integers become independent bits.
#[inline(always)]
fn hash(x: u32) -> u32 {
    mix(mix(x).wrapping_add(0x9E37_79B9))
}

#[inline(always)]
fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}
