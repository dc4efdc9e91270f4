//! `bench matmul`: the three products of each linear layer of a step (teacher 6x384, student 3x192) on a GPU, ours
//! beside burn's; rows are the tokens of a batch, by default 256.

use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::matmul;
use limbeck_recipe::KernelChoice;
use serde_json::json;

use crate::shared::{least, number, option, rounded};

/// Inputs and outputs of linear layers.
const LAYERS: [[usize; 2]; 6] = [
    [384, 384],
    [384, 1536],
    [1536, 384],
    [192, 192],
    [192, 768],
    [768, 192],
];

pub fn main(arguments: &[String]) -> ExitCode {
    let rows = number(arguments, "--rows", 256);
    let runs = number(arguments, "--runs", 3);
    let only = option(arguments, "--only").unwrap_or_default();
    let device = pollster::block_on(it::gpu());
    for [inputs, outputs] in LAYERS {
        let of = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Default, &device);
        let (x, w, dy) = (
            of([rows, inputs]),
            of([inputs, outputs]),
            of([rows, outputs]),
        );
        let products = [
            ("x w", x.clone(), w.clone()),
            ("dy w^T", dy.clone(), w.transpose()),
            ("x^T dy", x.transpose(), dy),
        ];
        for (name, a, b) in products {
            let name = format!("{name} of {rows} x {inputs} x {outputs}");
            if name.contains(only) {
                report(&name, &a, &b, runs, &device);
            }
        }
    }
    ExitCode::SUCCESS
}

/// The least time of some, in turns, so that a machine that others use too is as busy for either.
fn report(name: &str, a: &Tensor<2>, b: &Tensor<2>, runs: usize, device: &Device) {
    let ([m, k], [_, n]) = (a.dims(), b.dims());
    let kernels = [KernelChoice::Fused, KernelChoice::Naive];
    let mut seconds = [Vec::new(), Vec::new()];
    for run in 0..=runs {
        for (kernel, seconds) in kernels.into_iter().zip(&mut seconds) {
            let start = Instant::now();
            let product = matmul(kernel, a.clone(), b.clone());
            device.sync().unwrap();
            drop(product);
            // The first compiles.
            if run > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let [ours, burn] = seconds.map(least);
    let rate = |seconds: f64| rounded(2.0 * (m * k * n) as f64 / seconds / 1e9, 1);
    println!(
        "{}",
        json!({
            "name": name, "ms": rounded(ours * 1e3, 2), "gflops": rate(ours), "burn_ms": rounded(burn * 1e3, 2),
            "burn_gflops": rate(burn), "ratio": rounded(burn / ours, 2),
            "bytes_at_least": 4 * (m * k + k * n + m * n),
        })
    );
}
