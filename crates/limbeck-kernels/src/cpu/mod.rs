//! What the CPU implementations share: transcendental functions that the compiler can vectorise (no branch, no call), and
//! loops over tensors that run on all cores with the widest SIMD of the machine.

pub(crate) mod head;

use std::slice;

use burn::backend::flex::FlexTensor;
use pulp::{Simd, WithSimd, bytemuck};

/// Elements that one task takes: 64 KiB of f32, in the second-level cache of every core.
pub(crate) const CHUNK: usize = 16 * 1024;

/// a * b + c; fused where every machine of note has it. WebAssembly would call a function for it.
#[inline(always)]
pub(crate) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_family = "wasm") {
        a * b + c
    } else {
        a.mul_add(b, c)
    }
}

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// Coefficients of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], highest first (Cephes, `expf`).
const EXP: [f32; 6] = [
    1.987_569_1e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];
/// Where e^x is the smallest normal f32, and where it is nearly the largest.
const EXP_RANGE: (f32, f32) = (-87.3, 88.3);

/// e^x for f32, within 2 units in the last place of the exact value for x in [-87, 88]; it saturates beyond. Method: x = n ln 2 +
/// r, a polynomial for e^r, and 2^n through the exponent bits (Cephes, `expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_RANGE.0, EXP_RANGE.1);
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
    let mut p = EXP[0];
    for c in &EXP[1..] {
        p = fma(p, r, *c);
    }
    let mantissa = fma(p, r * r, r) + 1.0;
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127);
    mantissa * f32::from_bits(exponent << 23)
}

/// The larger of two, lane by lane; where one is not a number, either. WebAssembly's own maximum takes care of NaN and of signed
/// zeros in eight instructions, and a comparison is one.
#[inline(always)]
pub(crate) fn larger<S: Simd>(simd: S, mut a: S::f32s, b: S::f32s) -> S::f32s {
    if cfg!(not(target_family = "wasm")) {
        return simd.max_f32s(a, b);
    }
    let lanes: &mut [f32] = bytemuck::cast_slice_mut(slice::from_mut(&mut a));
    for (a, b) in lanes
        .iter_mut()
        .zip(bytemuck::cast_slice(slice::from_ref(&b)))
    {
        *a = if *a < *b { *b } else { *a };
    }
    a
}

/// [`exp`] of a SIMD vector, for arguments that are not above 0: scores less their maximum.
#[inline(always)]
pub(crate) fn exp_vector<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = larger(simd, x, simd.splat_f32s(EXP_RANGE.0));
    let round = simd.splat_f32s(ROUND);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN2_LOW), r);
    let mut p = simd.splat_f32s(EXP[0]);
    for c in &EXP[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(*c));
    }
    let mantissa = simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), r);
    let mantissa = simd.add_f32s(mantissa, simd.splat_f32s(1.0));
    let offset = 127u32.wrapping_sub(ROUND.to_bits());
    let exponent = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(offset));
    let power = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23));
    simd.mul_f32s(mantissa, simd.transmute_f32s_u32s(power))
}

/// The error function, absolute error below 4e-7: a rational function of x on [-4, 4] (the coefficients of Eigen's
/// `generic_fast_erf_float`), ±1 beyond.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let x2 = x * x;
    let mut p = -2.726_142_3e-10;
    p = fma(p, x2, 2.770_681_4e-8);
    p = fma(p, x2, -2.101_024e-6);
    p = fma(p, x2, -5.692_506_4e-5);
    p = fma(p, x2, -7.349_906_3e-4);
    p = fma(p, x2, -2.954_6e-3);
    p = fma(p, x2, -1.609_603_3e-2);
    let mut q = -1.456_607_2e-5;
    q = fma(q, x2, -2.133_740_5e-4);
    q = fma(q, x2, -1.682_827e-3);
    q = fma(q, x2, -7.373_329e-3);
    q = fma(q, x2, -1.426_473_9e-2);
    x * p / q
}

/// For the start of a program: freed memory stays with the process. A step allocates and frees the same large buffers, and
/// glibc gives their pages back to the system each time, to fault them in again: a third of the backward pass on a small
/// machine. Other systems' allocators are left as they are.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets two numbers of the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
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

/// Runs an element-wise loop compiled for the widest SIMD that this machine has. The closure must be `#[inline(always)]`, and
/// all that it calls: what is not inlined is compiled without SIMD, and each fused multiply-add becomes a call.
#[inline(always)]
pub(crate) fn vectorised(body: impl FnOnce()) {
    pulp::Arch::new().dispatch(body);
}

/// Runs code that is written in SIMD vectors, with the widest that this machine has.
#[inline(always)]
pub(crate) fn with_simd(body: impl WithSimd<Output = ()>) {
    pulp::Arch::new().dispatch(body);
}
