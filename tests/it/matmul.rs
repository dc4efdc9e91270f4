//! Matmul and linear layers against the oracle, on the CPU, on a GPU as it is, and on one with the kernels of other
//! adapters.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, everywhere, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, pretend_software};
use limbeck_kernels::{linear, matmul};
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::matmul::{matmul as oracle_matmul, sum_rows, transposed};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::KernelChoice;
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU whose multiply and add may or may not be one.
const GPU_FACTOR: f64 = 8.0;
/// M, K and N at and beside the sides of tiles: 4, 16, 64 and 128 on GPUs, 6, 8, 96 and 512 on the CPU of a browser.
/// Most have no whole fours.
const SHAPES: [[usize; 3]; 11] = [
    [1, 1, 1],
    [63, 1, 65],
    [64, 64, 64],
    [65, 63, 127],
    [128, 129, 130],
    [7, 513, 9],
    [2, 384, 3],
    [193, 1_025, 23],
    // Sums long enough to be cut into parts; then those of the gradient of w.
    [17, 3_000, 18],
    [3_000, 20, 24],
    [2_999, 19, 21],
];
/// Those where output, gradient of x or gradient of w is large enough for the largest tiles.
const LARGE: [[usize; 3]; 3] = [[1_412, 8, 1_284], [1_411, 1_282, 7], [9, 1_411, 1_283]];

fn matrix(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// What goes into a linear layer, and what comes from above.
struct Layer {
    shape: [usize; 3],
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    upstream: Vec<f32>,
}

impl Layer {
    fn random(shape: [usize; 3], rng: &mut Rng) -> Self {
        let [m, k, n] = shape;
        Self {
            shape,
            x: normals(rng, m * k),
            w: normals(rng, k * n),
            bias: normals(rng, n),
            upstream: normals(rng, m * n),
        }
    }

    /// The output, and the gradients of x, w and bias.
    fn exact(&self) -> [Vec<f64>; 4] {
        let [m, k, n] = self.shape;
        let [x, w, bias, upstream] =
            [&self.x, &self.w, &self.bias, &self.upstream].map(|v| wide(v));
        let mut y = oracle_matmul(&x, &w, [m, k, n]);
        y.iter_mut()
            .enumerate()
            .for_each(|(at, y)| *y += bias[at % n]);
        [
            y,
            oracle_matmul(&upstream, &transposed(&w, n), [m, n, k]),
            oracle_matmul(&transposed(&x, k), &upstream, [k, m, n]),
            sum_rows(&upstream, n),
        ]
    }

    /// The same, computed.
    async fn computed(&self, kernel: KernelChoice, device: &Device) -> [Vec<f32>; 4] {
        let [m, k, n] = self.shape;
        let tracked = device.clone().autodiff();
        let x = matrix(&self.x, [m, k], &tracked).require_grad();
        let w = matrix(&self.w, [k, n], &tracked).require_grad();
        let bias: Tensor<1> = matrix(&self.bias, [1, n], &tracked).reshape([n]);
        let bias = bias.require_grad();
        let y = linear(kernel, x.clone(), w.clone(), Some(bias.clone()));
        let upstream = matrix(&self.upstream, [m, n], device);
        let gradients = (y.clone() * upstream).sum().backward();
        [
            read(y).await,
            read(x.grad(&gradients).unwrap()).await,
            read(w.grad(&gradients).unwrap()).await,
            read(bias.grad(&gradients).unwrap()).await,
        ]
    }
}

/// Output and all gradients. What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn linear_layers_are_as_good_as_those_of_burn() {
    let mut rng = Rng::new(11);
    for shape in SHAPES.into_iter().chain(LARGE) {
        let layer = Layer::random(shape, &mut rng);
        let exact = layer.exact();
        let naive = layer.computed(KernelChoice::Naive, &cpu()).await;
        for (device, software) in everywhere().await {
            pretend_software(software);
            fill_outputs_with(Some(f32::NAN));
            let got = layer.computed(KernelChoice::Fused, &device).await;
            fill_outputs_with(None);
            pretend_software(None);
            for part in 0..4 {
                let name = format!("part {part} of {shape:?} on {device:?}, {software:?}");
                assert_as_good_as_within(GPU_FACTOR, &name, &got[part], &naive[part], &exact[part]);
            }
        }
    }
}

/// The order of additions depends on nothing but the shape.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_linear_layer_gives_the_same_bits_twice() {
    let layer = Layer::random([700, 36, 1_100], &mut Rng::new(12));
    for (device, software) in everywhere().await {
        pretend_software(software);
        let first = layer.computed(KernelChoice::Fused, &device).await;
        let second = layer.computed(KernelChoice::Fused, &device).await;
        pretend_software(None);
        assert!(first == second, "{device:?}, {software:?}");
    }
}

/// Without a bias, and with only one of the gradients wanted.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_matmul_differentiates_what_is_tracked() {
    for (device, software) in everywhere().await {
        pretend_software(software);
        let tracked = device.clone().autodiff();
        let x = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &tracked);
        let w = matrix(&[1.0, 0.0, 2.0, 1.0, 0.0, 3.0], [3, 2], &tracked).require_grad();
        let y = matmul(KernelChoice::Fused, x.clone(), w.clone());
        let gradients = y.clone().sum().backward();
        assert_eq!(read(y).await, [5.0, 11.0, 14.0, 23.0]);
        assert_eq!(
            read(w.grad(&gradients).unwrap()).await,
            [5.0, 5.0, 7.0, 7.0, 9.0, 9.0]
        );
        assert!(x.grad(&gradients).is_none());
        pretend_software(None);
    }
}

/// Whatever lies in memory between and beside the numbers of a matrix, and whichever way they go.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_matmul_of_views_is_that_of_copies() {
    const SHAPE: [usize; 2] = [68, 72];
    let values: Vec<f32> = (0..68 * 72).map(|n| (n as f32).sin()).collect();
    let views: [fn(Tensor<2>) -> Tensor<2>; 7] = [
        |x| x.transpose(),
        |x| x.flip([0]),
        |x| x.flip([1]),
        |x| x.slice([2..67, 1..70]),
        |x| x.slice([2..66, 0..72]),
        |x| x.transpose().slice([2..67, 1..68]),
        |x| x.slice([4..5, 0..72]).expand([67, 72]),
    ];
    for (device, software) in everywhere().await {
        pretend_software(software);
        for (n, view) in views.iter().enumerate() {
            let seen = view(matrix(&values, SHAPE, &device));
            let shape = seen.dims();
            let copy = matrix(&read(seen.clone()).await, shape, &device);
            let product = |x: Tensor<2>| matmul(KernelChoice::Fused, x.clone(), x.transpose());
            let got = read(product(seen)).await;
            let want = read(product(copy)).await;
            let near = |(got, want): (&f32, &f32)| (got - want).abs() < 1e-4;
            assert_eq!(got.len(), want.len());
            assert!(
                got.iter().zip(&want).all(near),
                "view {n}, {device:?}, {software:?}"
            );
        }
        pretend_software(None);
    }
}

/// A number that is none spoils its own row or column, not its neighbours, also where tiles end.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_nan_spoils_one_row_or_column_of_a_matmul() {
    for [m, k, n] in [[8, 5, 9], [66, 70, 71], [130, 2_000, 20]] {
        for (device, software) in everywhere().await {
            pretend_software(software);
            for across in [false, true] {
                let (spoilt_row, spoilt_column) = (m - 1, n - 1);
                let mut x = vec![1.0; m * k];
                let mut w = vec![1.0; k * n];
                x[spoilt_row * k + k - 1] = f32::NAN;
                w[(k - 1) * n + spoilt_column] = f32::INFINITY;
                let (x, w) = (matrix(&x, [m, k], &device), matrix(&w, [k, n], &device));
                let y = match across {
                    false => matmul(KernelChoice::Fused, x, w),
                    // The same product with both factors stored the other way round.
                    true => matmul(KernelChoice::Fused, stored_across(x), stored_across(w)),
                };
                for (at, y) in read(y).await.into_iter().enumerate() {
                    let right = match (at / n == spoilt_row, at % n == spoilt_column) {
                        (true, _) => y.is_nan(),
                        (false, true) => y == f32::INFINITY,
                        (false, false) => y == k as f32,
                    };
                    assert!(
                        right,
                        "{y} at {at} of {m} x {k} x {n}, {device:?}, {software:?}"
                    );
                }
            }
            pretend_software(None);
        }
    }
}

/// The same matrix, as the transpose of one that lies in memory row by row.
fn stored_across(x: Tensor<2>) -> Tensor<2> {
    let device = x.device();
    let [rows, columns] = x.dims();
    let copy = x.transpose() + Tensor::zeros([columns, rows], &device);
    copy.transpose()
}

/// Chromium has relaxed SIMD, so the tests above judge its tile there.
#[cfg(target_family = "wasm")]
#[wasm_bindgen_test]
fn matmul_in_the_browser_uses_relaxed_simd() {
    assert!(limbeck_kernels::relaxed_simd());
}
