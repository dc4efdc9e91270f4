//! What this machine can do at most: plain loops whose limits are known. A case cannot be faster than what it needs of them.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use it::read;
use serde_json::{Value, json};

use super::{Measured, device_name};
use crate::shared::{median, rounded, threads};

/// Rows, columns and depth of the matmul.
const SIDE: usize = 1024;
/// Bytes of the buffer that is copied: beyond any cache.
const COPIED: usize = 256 << 20;
/// Exponentials of one thread in one run.
const EXPONENTIALS: usize = 1 << 26;
/// Numbers of one thread, in its first-level cache.
const CACHED: usize = 4096;

/// What the vector units do at most, a second. It is measured anew beside each case: a machine that others use too has
/// half its speed from one minute to the next.
#[derive(Clone, Copy)]
pub struct Ceilings {
    gemm_flops: f64,
    exponentials: Option<f64>,
}

impl Ceilings {
    pub async fn measured(runs: usize) -> Self {
        Self {
            gemm_flops: gemm_flops(runs).await,
            exponentials: exponentials_a_second(runs),
        }
    }
}

impl Measured {
    fn share_of_gemm(&self, flops: f64) -> Option<f64> {
        Some(flops / self.seconds / self.ceilings.gemm_flops)
    }

    /// Matmuls and exponentials take the same units, so the times that they need add up.
    fn share_of_both(&self) -> Option<f64> {
        let matmuls = self.executed_flops / self.ceilings.gemm_flops;
        Some((matmuls + self.exponentials / self.ceilings.exponentials?) / self.seconds)
    }
}

/// One JSON line, with the share of the ceilings that each CPU case reached.
pub async fn line(runs: usize, cases: &[Measured]) -> Value {
    let ceilings = Ceilings::measured(runs).await;
    let shares = |of: fn(&Measured) -> Option<f64>| -> Value {
        let share = |case: &Measured| of(case).map(|share| rounded(share, 3)).into();
        let shares = cases.iter().map(|case| (case.name.clone(), share(case)));
        Value::Object(shares.collect())
    };
    json!({
        "case": "ceilings", "device": device_name(&Device::flex()), "threads": threads(),
        "gemm_gflops": rounded(ceilings.gemm_flops / 1e9, 1),
        "copy_gb_per_s": rounded(copied_bytes_a_second(runs) / 1e9, 1),
        "exponentials_per_s": ceilings.exponentials.map(f64::round),
        "share_of_gemm": shares(|case| case.share_of_gemm(case.useful_flops)),
        "share_of_gemm_executed": shares(|case| case.share_of_gemm(case.executed_flops)),
        "share_of_gemm_and_exponentials": shares(Measured::share_of_both),
    })
}

/// Median of `amount` a second.
fn rate(amount: usize, runs: usize, mut run: impl FnMut()) -> f64 {
    run();
    let seconds = (0..runs).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    amount as f64 / median(seconds.collect())
}

/// FLOPs a second of burn's own matmul.
async fn gemm_flops(runs: usize) -> f64 {
    let random = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, &Device::flex());
    let (left, right) = (random(), random());
    assert!(read(left.clone().matmul(right.clone())).await[0].is_finite());
    rate(2 * SIDE.pow(3), runs, || {
        std::hint::black_box(left.clone().matmul(right.clone()));
    })
}

/// Bytes read plus bytes written a second, as STREAM counts a copy.
fn copied_bytes_a_second(runs: usize) -> f64 {
    let from = vec![1u8; COPIED];
    let mut to = vec![0u8; COPIED];
    let part = COPIED.div_ceil(threads());
    let rate = rate(2 * COPIED, runs, || {
        std::thread::scope(|scope| {
            for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                scope.spawn(move || to.copy_from_slice(from));
            }
        });
    });
    assert_eq!(from, to);
    rate
}

/// The kernels' own exponential on numbers in the first-level cache, all threads. `None` where its loop is compiled for no
/// SIMD worth the name.
fn exponentials_a_second(runs: usize) -> Option<f64> {
    let body = simd_exponentials()?;
    let amount = EXPONENTIALS * threads();
    Some(rate(amount, runs, || {
        std::thread::scope(|scope| {
            for _ in 0..threads() {
                scope.spawn(|| {
                    let from: Vec<f32> = (0..CACHED).map(|n| n as f32 * -1e-3).collect();
                    let mut to = vec![0.0; CACHED];
                    for _ in 0..EXPONENTIALS / CACHED {
                        body(std::hint::black_box(&from), &mut to);
                    }
                    std::hint::black_box(to);
                });
            }
        });
    }))
}

type Exponentials = fn(&[f32], &mut [f32]);

/// The loop for the widest SIMD of this machine; pulp chooses the kernels' in the same way.
#[cfg(target_arch = "x86_64")]
fn simd_exponentials() -> Option<Exponentials> {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
    fn wide(from: &[f32], to: &mut [f32]) {
        plain_exponentials(from, to);
    }
    #[target_feature(enable = "avx2,fma")]
    fn narrow(from: &[f32], to: &mut [f32]) {
        plain_exponentials(from, to);
    }
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (has_avx2, has_avx512) {
        // SAFETY: the features were asked for in the lines above.
        (true, true) => Some(|from, to| unsafe { wide(from, to) }),
        // SAFETY: the same.
        (true, false) => Some(|from, to| unsafe { narrow(from, to) }),
        (false, _) => None,
    }
}

/// NEON is always there.
#[cfg(target_arch = "aarch64")]
fn simd_exponentials() -> Option<Exponentials> {
    Some(|from, to| plain_exponentials(from, to))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd_exponentials() -> Option<Exponentials> {
    None
}

#[inline(always)]
fn plain_exponentials(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = limbeck_kernels::exp(*from);
    }
}
