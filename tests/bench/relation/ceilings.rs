//! What this machine can do at most: plain loops whose limits are known. A case cannot be faster than what it needs of them.

use std::time::Instant;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::{Measured, device_name};
use crate::ceilings::{COPIED, copied_bytes_a_second, matmul_flops_a_second};
use crate::clock::{Patience, median};
use crate::cpu::threads;
use crate::shared::rounded;

/// Rows, columns and depth of the matmul.
const SIDE: usize = 1024;
/// For each of the ceilings that `limbeck bench` measures, too.
const PATIENCE: Patience = Patience {
    seconds: 2.0,
    go_on: &|| true,
};
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
    pub fn measured(runs: usize) -> Self {
        Self {
            gemm_flops: matmul_flops_a_second(&Device::flex(), SIDE, PATIENCE).unwrap(),
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
pub fn line(runs: usize, cases: &[Measured]) -> Value {
    let ceilings = Ceilings::measured(runs);
    let copied = copied_bytes_a_second(&Device::flex(), COPIED, PATIENCE).unwrap();
    let shares = |of: fn(&Measured) -> Option<f64>| -> Value {
        let share = |case: &Measured| of(case).map(|share| rounded(share, 3)).into();
        let shares = cases.iter().map(|case| (case.name.clone(), share(case)));
        Value::Object(shares.collect())
    };
    json!({
        "case": "ceilings", "device": device_name(&Device::flex()), "threads": threads(),
        "gemm_gflops": rounded(ceilings.gemm_flops / 1e9, 1),
        "copy_gb_per_s": rounded(copied / 1e9, 1),
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
