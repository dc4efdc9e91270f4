//! Attention's projections against the oracle, on the CPU, on a GPU as it is, and on one with the kernels of other adapters.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, everywhere, gpu, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, launches, pretend_software};
use limbeck_kernels::{Projections, Taps, projections};
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::projections::{Inputs, projections as oracle};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::{KernelChoice, Kernels, Operation};
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU whose multiply and add may or may not be one.
const GPU_FACTOR: f64 = 8.0;
const PARTS: [&str; 10] = [
    "queries",
    "keys",
    "values",
    "gradient of states",
    "gradient of weights to queries",
    "gradient of weights to keys",
    "gradient of weights to values",
    "gradient of the queries' bias",
    "gradient of the keys' bias",
    "gradient of the values' bias",
];
/// M, H and N at and beside the sides of tiles, most of them no whole fours; sums that are cut into parts, at places that lie within
/// one of three products; the largest tiles forward, of the gradient of states, and of those of weights.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [5, 3, 2],
    [17, 1, 66],
    [64, 64, 128],
    [65, 31, 129],
    [6, 9, 1_030],
    [7, 1_030, 9],
    [2_051, 18, 21],
    [900, 7, 700],
    [1_412, 1_284, 8],
    [8, 900, 700],
    [130, 66, 700],
];

/// What goes in, and what comes from above.
struct Case {
    shape: [usize; 3],
    states: Vec<f32>,
    weights: [Vec<f32>; 3],
    biases: Option<[Vec<f32>; 3]>,
    upstream: [Vec<f32>; 3],
    /// Of the states that come out again.
    passed: Vec<f32>,
}

impl Case {
    fn random(shape: [usize; 3], is_biased: bool, rng: &mut Rng) -> Self {
        let [m, h, n] = shape;
        let mut three = |count| [(); 3].map(|()| normals(rng, count));
        let (weights, biases, upstream) = (three(h * n), three(n), three(m * n));
        Self {
            shape,
            states: normals(rng, m * h),
            weights,
            biases: is_biased.then_some(biases),
            upstream,
            passed: normals(rng, m * h),
        }
    }

    /// In the order of [`PARTS`].
    fn exact(&self) -> [Vec<f64>; 10] {
        let all = |vectors: &[Vec<f32>; 3]| vectors.each_ref().map(|v| wide(v));
        let none = vec![0.0; self.shape[2]];
        let inputs = Inputs {
            shape: self.shape,
            states: wide(&self.states),
            weights: all(&self.weights),
            biases: match &self.biases {
                Some(biases) => all(biases),
                None => [none.clone(), none.clone(), none],
            },
            upstream: all(&self.upstream),
            passed: wide(&self.passed),
        };
        oracle(&inputs).into_parts()
    }

    /// The same, computed, where a loss reaches those of queries, keys and values that are `used`; nothing where there is none.
    async fn computed(&self, kernels: Kernels, device: &Device, used: [bool; 3]) -> Vec<Vec<f32>> {
        let [m, h, n] = self.shape;
        let tracked = device.clone().autodiff();
        let matrix = |values: &[f32], shape: [usize; 2]| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values.to_vec(), shape), &tracked)
        };
        let vector = |values: &Vec<f32>| -> Tensor<1> {
            let data = TensorData::new(values.clone(), [n]);
            Tensor::from_data(data, &tracked).require_grad()
        };
        let by = Projections {
            weights: self
                .weights
                .each_ref()
                .map(|weight| matrix(weight, [h, n]).require_grad()),
            biases: self.biases.as_ref().map(|b| b.each_ref().map(vector)),
        };
        let states = matrix(&self.states, [m, h]).require_grad();
        // B and S as the rows allow.
        let b = if m.is_multiple_of(2) { 2 } else { 1 };
        let input = states.clone().reshape([b, m / b, h]);
        let (Taps { q, k, v }, again) = projections(kernels, input, by.clone());
        let mut loss = (again * matrix(&self.passed, [m, h]).reshape([b, m / b, h])).sum();
        let outputs = [q, k, v];
        for ((output, upstream), used) in outputs.iter().zip(&self.upstream).zip(used) {
            if used {
                let upstream = matrix(upstream, [m, n]).reshape([b, m / b, n]);
                loss = loss + (output.clone() * upstream).sum();
            }
        }
        let gradients = loss.backward();
        let mut parts = Vec::new();
        for output in outputs {
            parts.push(read(output).await);
        }
        parts.push(read(states.grad(&gradients).unwrap()).await);
        for weight in by.weights {
            parts.push(match weight.grad(&gradients) {
                Some(gradient) => read(gradient).await,
                None => Vec::new(),
            });
        }
        for bias in by.biases.iter().flatten() {
            parts.push(match bias.grad(&gradients) {
                Some(gradient) => read(gradient).await,
                None => Vec::new(),
            });
        }
        parts.resize(PARTS.len(), Vec::new());
        parts
    }
}

fn apart() -> Kernels {
    let mut apart = Kernels::default();
    apart.remove(Operation::Projections);
    apart
}

/// Vectors and all gradients, fused, and of the kernels that stand in for it. What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn projections_are_as_good_as_linear_layers() {
    let mut rng = Rng::new(41);
    for (at, shape) in SHAPES.into_iter().enumerate() {
        let case = Case::random(shape, at % 3 != 1, &mut rng);
        let exact = case.exact();
        let naive = KernelChoice::Naive.into();
        let naive = case.computed(naive, &cpu(), [true; 3]).await;
        for (device, software) in everywhere().await {
            for kernels in [Kernels::default(), apart()] {
                pretend_software(software);
                fill_outputs_with(Some(f32::NAN));
                let got = case.computed(kernels, &device, [true; 3]).await;
                fill_outputs_with(None);
                pretend_software(None);
                for (part, name) in PARTS.into_iter().enumerate() {
                    if naive[part].is_empty() {
                        assert!(got[part].is_empty(), "there is no bias");
                        continue;
                    }
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

/// What no pair of a loss uses has no gradient, and the others have theirs.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn projections_that_no_loss_reaches_have_no_gradient() {
    let mut rng = Rng::new(42);
    for used in [
        [true, false, false],
        [false, true, true],
        [false, false, false],
    ] {
        let mut case = Case::random([10, 12, 8], true, &mut rng);
        for (upstream, used) in case.upstream.iter_mut().zip(used) {
            if !used {
                upstream.fill(0.0);
            }
        }
        let exact = case.exact();
        let naive = KernelChoice::Naive.into();
        let naive = case.computed(naive, &cpu(), used).await;
        for (device, software) in everywhere().await {
            pretend_software(software);
            let got = case.computed(Kernels::default(), &device, used).await;
            pretend_software(None);
            for (part, name) in PARTS.into_iter().enumerate() {
                let is_used = part < 4 || used[(part - 4) % 3];
                assert_eq!(!got[part].is_empty(), is_used, "{name}, {used:?}");
                if is_used {
                    let name = format!("{name} on {device:?}, {software:?}, {used:?}");
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

/// The order of additions depends on nothing but the shape.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn projections_give_the_same_bits_twice() {
    let case = Case::random([700, 36, 340], true, &mut Rng::new(43));
    for (device, software) in everywhere().await {
        pretend_software(software);
        let first = case.computed(Kernels::default(), &device, [true; 3]).await;
        let second = case.computed(Kernels::default(), &device, [true; 3]).await;
        pretend_software(None);
        assert!(first == second, "{device:?}, {software:?}");
    }
}

/// One launch forward and two backward, where linear layers take nine, and burn three additions besides.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn projections_take_three_launches() {
    let case = Case::random([130, 64, 68], true, &mut Rng::new(44));
    let device = gpu().await;
    pretend_software(Some(false));
    let mut counts = Vec::new();
    for kernels in [Kernels::default(), apart()] {
        let before = launches();
        case.computed(kernels, &device, [true; 3]).await;
        counts.push(launches() - before);
    }
    pretend_software(None);
    assert_eq!(counts, [3, 9]);
}
