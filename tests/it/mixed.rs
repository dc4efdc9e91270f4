//! Linear layers in mixed precision against the oracle, on the CPU, on a GPU as it is, on one with the kernels of other adapters, and on
//! cooperative matrices where the GPU has them. A software adapter has none; there `shaders.rs` reads that kernel's text.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, everywhere, gpu, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, pretend_software, skip_launches};
use limbeck_kernels::{
    Check, Projection, Projections, SelfTestError, Taps, feed_forward, linear, projections,
    self_test,
};
use limbeck_oracle::judge::{assert_as_good_as_within, relative_l2};
use limbeck_oracle::matmul::{matmul, mixed as oracle, rounded};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::{KernelChoice, Kernels, Mixed};
use wasm_bindgen_test::wasm_bindgen_test;

/// As for matmul in f32.
const GPU_FACTOR: f64 = 8.0;
/// M, K and N at and beside the sides of tiles; one row, one number, and sums that are cut into parts.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [1, 384, 65],
    [63, 1, 65],
    [64, 64, 64],
    [65, 63, 127],
    [128, 129, 130],
    [7, 513, 9],
    [17, 3_000, 18],
    // As large as the largest tiles ask for.
    [1_411, 7, 1_283],
];

fn mixing(mixed: Mixed) -> Kernels {
    Kernels::default().mixing(Some(mixed))
}

/// Each device with each choice of kernels that it has, for `pretend_software`, and what multiplies there.
async fn ways() -> Vec<(Device, Option<bool>, Mixed)> {
    let all = everywhere().await.into_iter();
    let mut all: Vec<(Device, Option<bool>, Mixed)> = all
        .map(|(device, software)| (device, software, Mixed::Portable))
        .collect();
    if cfg!(not(target_family = "wasm")) {
        let check = Check::Mixed {
            width: 36,
            inner: 100,
            mixed: Mixed::Cooperative,
        };
        match self_test(&gpu().await, check).await {
            Ok(()) => all.push((gpu().await, None, Mixed::Cooperative)),
            // It has none, and refuses the text.
            Err(SelfTestError::Device(_)) => {}
            Err(wrong) => panic!("{wrong}"),
        }
    }
    all
}

fn matrix(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn vector(values: &[f32], device: &Device) -> Tensor<1> {
    matrix(values, [1, values.len()], device).reshape([values.len()])
}

/// Each number as an f16 holds it.
fn halves(values: &[f32]) -> Vec<f32> {
    values
        .iter()
        .map(|x| rounded(f64::from(*x)) as f32)
        .collect()
}

/// Sums of products of numbers of 16 bits, with a bias and without. What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn mixed_linear_layers_are_as_good_as_f32_of_rounded_factors() {
    let ways = ways().await;
    let mut rng = Rng::new(31);
    for [m, k, n] in SHAPES {
        let [x, w, bias] = [m * k, k * n, n].map(|count| normals(&mut rng, count));
        let products = oracle(&wide(&x), &wide(&w), [m, k, n]);
        for bias in [None, Some(bias)] {
            let mut exact = products.clone();
            for (at, y) in exact.iter_mut().enumerate() {
                *y += bias.as_ref().map_or(0.0, |bias| f64::from(bias[at % n]));
            }
            let layer = |kernels: Kernels, [x, w]: [&[f32]; 2], device: &Device| {
                let (x, w) = (matrix(x, [m, k], device), matrix(w, [k, n], device));
                linear(
                    kernels,
                    x,
                    w,
                    bias.as_ref().map(|bias| vector(bias, device)),
                )
            };
            let plain = KernelChoice::Naive.into();
            let naive = read(layer(plain, [&halves(&x), &halves(&w)], &cpu())).await;
            for (device, software, mixed) in ways.clone() {
                pretend_software(software);
                fill_outputs_with(Some(f32::NAN));
                let got = read(layer(mixing(mixed), [&x, &w], &device)).await;
                fill_outputs_with(None);
                pretend_software(None);
                let biased = bias.is_some();
                let name =
                    format!("{m} x {k} x {n}, {biased}, on {device:?}, {software:?}, {mixed:?}");
                assert_as_good_as_within(GPU_FACTOR, &name, &got, &naive, &exact);
            }
        }
    }
}

/// Numbers at and between those of 16 bits come out of a product with the unit matrix as they are rounded, bit by bit: ties, numbers
/// below the normal ones, and numbers beyond the largest.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn mixed_precision_rounds_every_number_to_the_nearest() {
    let ways = ways().await;
    let smallest = 2f32.powi(-24);
    let powers = (-26..=17).map(|power| 2f32.powi(power));
    let mut values: Vec<f32> = powers
        .flat_map(|power| {
            let steps = [0.0, 0.5, 0.5001, 1.0, 1.4999, 1.5, 2.5, 1023.5, 1023.7];
            steps.map(|step| power * (1.0 + step / 1024.0))
        })
        .collect();
    values.extend([0.0, 65_503.0, 65_504.0, 65_519.0, 65_520.0, 1e9, f32::MAX]);
    values.extend([0.5, 0.5001, 1.5, 2.5, 1022.5, 1023.5].map(|steps| steps * smallest));
    let signed = values.iter().flat_map(|x| [*x, -x]);
    let mut values: Vec<f32> = signed.collect();
    values.resize(values.len().next_multiple_of(20), 1.0);
    let (rows, width) = (values.len() / 20, 20);
    let unit = |side: usize| -> Vec<f32> {
        let one = |at: usize| f32::from(u8::from(at % side == at / side));
        (0..side * side).map(one).collect()
    };
    let expected = halves(&values);
    for (device, software, mixed) in ways.clone() {
        pretend_software(software);
        let x = matrix(&values, [rows, width], &device);
        let [left, right] = [rows, width].map(|side| matrix(&unit(side), [side, side], &device));
        let as_x = read(linear(mixing(mixed), x.clone(), right, None)).await;
        let as_w = read(linear(mixing(mixed), left, x, None)).await;
        pretend_software(None);
        for got in [as_x, as_w] {
            for ((got, expected), value) in got.iter().zip(&expected).zip(&values) {
                // A conversion may take what is below the normal numbers for 0.
                let is_lost = mixed == Mixed::Cooperative && expected.abs() < 2f32.powi(-14);
                assert!(
                    got == expected || is_lost && *got == 0.0,
                    "{value:e}: {got:e}, not {expected:e}, {device:?}, {software:?}, {mixed:?}"
                );
            }
        }
    }
}

/// Three products of one launch, with biases and without.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn mixed_projections_are_three_linear_layers() {
    let ways = ways().await;
    let mut rng = Rng::new(32);
    for [m, h, n] in [[1, 3, 5], [66, 36, 70], [130, 1_030, 17]] {
        let states = normals(&mut rng, m * h);
        let weights = [(); 3].map(|()| normals(&mut rng, h * n));
        let biases = [(); 3].map(|()| normals(&mut rng, n));
        for biased in [true, false] {
            for (device, software, mixed) in ways.clone() {
                pretend_software(software);
                let by = Projections {
                    weights: weights.each_ref().map(|w| matrix(w, [h, n], &device)),
                    biases: biased.then(|| biases.each_ref().map(|b| vector(b, &device))),
                };
                let input = matrix(&states, [m, h], &device).reshape([1, m, h]);
                fill_outputs_with(Some(f32::NAN));
                let (Taps { q, k, v }, again) = projections(mixing(mixed), input, by);
                fill_outputs_with(None);
                assert_eq!(read(again).await, states);
                for (at, vectors) in [q, k, v].into_iter().enumerate() {
                    let mut exact = oracle(&wide(&states), &wide(&weights[at]), [m, h, n]);
                    for (place, y) in exact.iter_mut().enumerate().filter(|_| biased) {
                        *y += f64::from(biases[at][place % n]);
                    }
                    let off = relative_l2(&read(vectors).await, &exact);
                    assert!(
                        off < 5e-6,
                        "{off:e} of {at} at {m} x {h} x {n}, {device:?}, {software:?}, {mixed:?}"
                    );
                }
                pretend_software(None);
            }
        }
    }
}

/// GELU is of the whole sum, and what it gives is rounded again. A number between two of 16 bits may go either way, so this is set beside
/// the CPU's with the bound of the self-test.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_mixed_feed_forward_part_is_that_of_the_cpu() {
    let ways = ways().await;
    let mut rng = Rng::new(33);
    for [m, h, f] in [[1, 4, 7], [65, 33, 130], [70, 48, 1_100]] {
        let x = normals(&mut rng, m * h);
        let [up, down] = [h * f, f * h].map(|count| normals(&mut rng, count));
        let [up_bias, down_bias] = [f, h].map(|count| normals(&mut rng, count));
        let fed = async |device: &Device, mixed: Mixed| {
            let up = Projection {
                weight: matrix(&up, [h, f], device),
                bias: vector(&up_bias, device),
            };
            let down = Projection {
                weight: matrix(&down, [f, h], device),
                bias: vector(&down_bias, device),
            };
            let (y, again) = feed_forward(mixing(mixed), matrix(&x, [m, h], device), up, down);
            assert_eq!(read(again).await, x);
            read(y).await
        };
        let expected = fed(&cpu(), Mixed::Portable).await;
        let gelu = limbeck_oracle::gelu::forward;
        let inner = gelu(&oracle(&wide(&x), &wide(&up), [m, h, f]), &wide(&up_bias));
        let mut exact = oracle(&inner, &wide(&down), [m, f, h]);
        for (at, y) in exact.iter_mut().enumerate() {
            *y += f64::from(down_bias[at % h]);
        }
        assert!(relative_l2(&expected, &exact) < 1e-4);
        for (device, software, mixed) in ways.clone() {
            pretend_software(software);
            fill_outputs_with(Some(f32::NAN));
            let got = fed(&device, mixed).await;
            fill_outputs_with(None);
            pretend_software(None);
            let off = relative_l2(&got, &wide(&expected));
            assert!(
                off < 1e-4,
                "{off:e} at {m} x {h} x {f}, {device:?}, {software:?}, {mixed:?}"
            );
        }
    }
}

/// Where gradients may be asked for nothing is rounded, so a student stays at f32 whatever its kernels say.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn what_is_differentiated_is_not_mixed() {
    let mut rng = Rng::new(34);
    let (x, w) = (normals(&mut rng, 70 * 40), normals(&mut rng, 40 * 30));
    for device in [cpu(), gpu().await] {
        let tracked = device.clone().autodiff();
        let layer = |kernels: Kernels| {
            let w = matrix(&w, [40, 30], &tracked).require_grad();
            let y = linear(kernels, matrix(&x, [70, 40], &tracked), w.clone(), None);
            let gradients = y.clone().sum().backward();
            (y, w.grad(&gradients).unwrap())
        };
        let (mixed, of_mixed) = layer(mixing(Mixed::Portable));
        let (plain, of_plain) = layer(Kernels::default());
        assert_eq!(read(mixed).await, read(plain).await);
        assert_eq!(read(of_mixed).await, read(of_plain).await);
    }
}

/// It passes where the kernel works, and sees one that does not run or that rounds nothing.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_self_test_judges_mixed_precision() {
    let device = gpu().await;
    let check = Check::Mixed {
        width: 36,
        inner: 100,
        mixed: Mixed::Portable,
    };
    assert_eq!(self_test(&device, check).await, Ok(()));
    skip_launches(Some("MatmulSpec"));
    let failure = self_test(&device, check).await;
    skip_launches(None);
    assert!(failure.is_err());
    // The bound is below the error of other roundings.
    let mut rng = Rng::new(35);
    let (x, w) = (normals(&mut rng, 70 * 36), normals(&mut rng, 36 * 36));
    let whole = matmul(&wide(&x), &wide(&w), [70, 36, 36]);
    let whole: Vec<f32> = whole.iter().map(|x| *x as f32).collect();
    let off = relative_l2(&whole, &oracle(&wide(&x), &wide(&w), [70, 36, 36]));
    assert!(off > 2e-4, "{off:e}");
}
