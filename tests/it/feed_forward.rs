//! The feed-forward part against the oracle, on the CPU, on a GPU as it is, and on one with the kernels of other adapters.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, everywhere, gpu, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, launches, pretend_software};
use limbeck_kernels::{Projection, feed_forward};
use limbeck_oracle::gelu;
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::matmul::{matmul as oracle_matmul, sum_rows, transposed};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::{KernelChoice, Kernels, Operation};
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU whose multiply and add may or may not be one.
const GPU_FACTOR: f64 = 8.0;
const PARTS: [&str; 6] = [
    "output",
    "gradient of x",
    "gradient of up",
    "gradient of up's bias",
    "gradient of down",
    "gradient of down's bias",
];
/// M, H and F at and beside the sides of tiles, most of them no whole fours; sums that are cut into parts; the largest tiles.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [5, 3, 2],
    [17, 1, 66],
    [64, 64, 128],
    [65, 31, 129],
    [7, 1_030, 9],
    [2_051, 18, 21],
    [1_412, 8, 1_284],
    [1_411, 7, 1_283],
];

/// What goes into it, and what comes from above.
struct Case {
    shape: [usize; 3],
    x: Vec<f32>,
    up: Vec<f32>,
    up_bias: Vec<f32>,
    down: Vec<f32>,
    down_bias: Vec<f32>,
    upstream: Vec<f32>,
    /// From above of what comes out again.
    passed: Vec<f32>,
}

impl Case {
    fn random(shape: [usize; 3], rng: &mut Rng) -> Self {
        let [m, h, f] = shape;
        Self {
            shape,
            x: normals(rng, m * h),
            up: normals(rng, h * f),
            up_bias: normals(rng, f),
            down: normals(rng, f * h),
            down_bias: normals(rng, h),
            upstream: normals(rng, m * h),
            passed: normals(rng, m * h),
        }
    }

    /// In the order of [`PARTS`].
    fn exact(&self) -> [Vec<f64>; 6] {
        let [m, h, f] = self.shape;
        let [x, up, up_bias] = [&self.x, &self.up, &self.up_bias].map(|v| wide(v));
        let [down, down_bias, upstream] =
            [&self.down, &self.down_bias, &self.upstream].map(|v| wide(v));
        let before = oracle_matmul(&x, &up, [m, h, f]);
        let inner = gelu::forward(&before, &up_bias);
        let mut y = oracle_matmul(&inner, &down, [m, f, h]);
        y.iter_mut()
            .enumerate()
            .for_each(|(at, y)| *y += down_bias[at % h]);
        let of_inner = oracle_matmul(&upstream, &transposed(&down, h), [m, h, f]);
        let of = gelu::backward(&before, &up_bias, &of_inner);
        let mut of_x = oracle_matmul(&of.x, &transposed(&up, f), [m, f, h]);
        for (of_x, passed) in of_x.iter_mut().zip(wide(&self.passed)) {
            *of_x += passed;
        }
        [
            y,
            of_x,
            oracle_matmul(&transposed(&x, h), &of.x, [h, m, f]),
            of.bias,
            oracle_matmul(&transposed(&inner, f), &upstream, [f, m, h]),
            sum_rows(&upstream, h),
        ]
    }

    /// The same, computed.
    async fn computed(&self, kernels: Kernels, device: &Device) -> [Vec<f32>; 6] {
        let [m, h, f] = self.shape;
        let tracked = device.clone().autodiff();
        let matrix = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values.to_vec(), shape), &tracked)
        };
        let projection = |weight: &[f32], bias: &[f32], shape: [usize; 2]| {
            let bias: Tensor<1> = matrix(bias, [1, shape[1]]).reshape([shape[1]]);
            Projection {
                weight: matrix(weight, shape).require_grad(),
                bias: bias.require_grad(),
            }
        };
        let x = matrix(&self.x, [m, h]).require_grad();
        let up = projection(&self.up, &self.up_bias, [h, f]);
        let down = projection(&self.down, &self.down_bias, [f, h]);
        let (y, again) = feed_forward(kernels, x.clone(), up.clone(), down.clone());
        let [upstream, passed] = [&self.upstream, &self.passed].map(|v| matrix(v, [m, h]));
        let gradients = (y.clone() * upstream + again * passed).sum().backward();
        [
            read(y).await,
            read(x.grad(&gradients).unwrap()).await,
            read(up.weight.grad(&gradients).unwrap()).await,
            read(up.bias.grad(&gradients).unwrap()).await,
            read(down.weight.grad(&gradients).unwrap()).await,
            read(down.bias.grad(&gradients).unwrap()).await,
        ]
    }
}

/// Output and all gradients, fused, and of the kernels that stand in for it. What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_feed_forward_part_is_as_good_as_its_operations() {
    let mut rng = Rng::new(21);
    let mut apart = Kernels::default();
    apart.remove(Operation::FeedForward);
    for shape in SHAPES {
        let case = Case::random(shape, &mut rng);
        let exact = case.exact();
        let naive = case.computed(KernelChoice::Naive.into(), &cpu()).await;
        for (device, software) in everywhere().await {
            for kernels in [Kernels::default(), apart] {
                pretend_software(software);
                fill_outputs_with(Some(f32::NAN));
                let got = case.computed(kernels, &device).await;
                fill_outputs_with(None);
                pretend_software(None);
                for (part, name) in PARTS.into_iter().enumerate() {
                    let name =
                        format!("{name} of {shape:?} on {device:?}, {software:?}, {kernels:?}");
                    assert_as_good_as_within(
                        GPU_FACTOR,
                        &name,
                        &got[part],
                        &naive[part],
                        &exact[part],
                    );
                }
            }
        }
    }
}

/// Two launches forward and four backward, where the same operations apart take nine and an addition of gradients, which is burn's.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_feed_forward_part_takes_six_launches() {
    let case = Case::random([130, 64, 68], &mut Rng::new(22));
    let device = gpu().await;
    let mut apart = Kernels::default();
    apart.remove(Operation::FeedForward);
    pretend_software(Some(false));
    let mut counts = Vec::new();
    for kernels in [Kernels::default(), apart] {
        let before = launches();
        case.computed(kernels, &device).await;
        counts.push(launches() - before);
    }
    pretend_software(None);
    assert_eq!(counts, [6, 9]);
}
