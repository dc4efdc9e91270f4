//! What the CPU bodies share: transcendental functions that the compiler can vectorise (no branch, no call), and loops over
//! tensors that run on all cores with the widest SIMD of the machine.

use burn::backend::flex::FlexTensor;

/// Elements that one task takes: 64 KiB of f32, in the second-level cache of every core.
pub(crate) const CHUNK: usize = 16 * 1024;

/// e^x for f32, within 2 units in the last place of the exact value for x in [-87, 88]; below -87 it goes to (nearly) 0,
/// above 88 it saturates. Method: x = n ln 2 + r, a polynomial for e^r, and 2^n through the exponent bits (Cephes, `expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a call.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_1e-1;
    let mantissa = (p * r * r + r) + 1.0;
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    mantissa * power
}

/// The error function, absolute error below 4e-7: a rational function of x on [-4, 4] (the coefficients of Eigen's
/// `generic_fast_erf_float`), ±1 beyond.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let x2 = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * x2 + 2.770_681_4e-8;
    p = p * x2 - 2.101_024e-6;
    p = p * x2 - 5.692_506_4e-5;
    p = p * x2 - 7.349_906_3e-4;
    p = p * x2 - 2.954_599_8e-3;
    p = p * x2 - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * x2 - 2.133_740_5e-4;
    q = q * x2 - 1.682_827e-3;
    q = q * x2 - 7.373_329e-3;
    q = q * x2 - 1.426_473_9e-2;
    x * p / q
}

/// The values of a tensor as one slice; copied first if its layout is not contiguous.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The tensor with a buffer that holds exactly its values, so that its storage may be written.
pub(crate) fn whole(tensor: FlexTensor) -> FlexTensor {
    let elements = tensor.layout().num_elements();
    if tensor.is_contiguous() && tensor.storage::<f32>().len() == elements {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The slice of a tensor that [`contiguous`] returned.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .unwrap_or_else(|| unreachable!("a contiguous f32 tensor has a slice"))
}

/// Runs `body` on every item, on all cores where there are threads.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn each<T: Send>(items: impl Iterator<Item = T> + Send, body: impl Fn(T) + Send + Sync) {
    use rayon::iter::{ParallelBridge, ParallelIterator};
    items.par_bridge().for_each(body);
}

/// Runs `body` on every item; a browser worker has one thread.
#[cfg(target_family = "wasm")]
pub(crate) fn each<T: Send>(items: impl Iterator<Item = T> + Send, body: impl Fn(T) + Send + Sync) {
    items.for_each(body);
}

/// Runs a loop compiled for the widest SIMD that this machine has.
#[inline(always)]
pub(crate) fn vectorised(body: impl FnOnce()) {
    pulp::Arch::new().dispatch(body);
}
