//! LayerNorm against the oracle, on the CPU, on a GPU as it is, and on one with the kernels of other adapters.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, everywhere, gpu, normals, read, wide};
use limbeck_kernels::layer_norm;
use limbeck_kernels::testing::{fill_outputs_with, pretend_software};
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::layer_norm::{Inputs, backward, forward};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::KernelChoice;
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU, whose multiply and add may or may not be one.
const GPU_FACTOR: f64 = 8.0;
const CPU_FACTOR: f64 = 2.0;
const PARTS: [&str; 5] = [
    "output",
    "gradient of x",
    "gradient of the weight",
    "gradient of the bias",
    "gradient of the residual",
];

/// What rows look like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    Normal,
    /// Numbers around one that is far from 0.
    Around(f32),
    /// Numbers of this size.
    Sized(f32),
    /// All numbers of a row are one.
    Constant,
    /// One number of a row is much larger than the others, the first or the last.
    Outlier,
}

#[derive(Debug)]
struct Case {
    rows: usize,
    width: usize,
    kind: Rows,
    eps: f64,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    weight: Vec<f32>,
    /// Zeros where there is none.
    bias: Vec<f32>,
    is_biased: bool,
    upstream: Vec<f32>,
}

impl Case {
    fn new(rows: usize, width: usize, residual: bool, kind: Rows) -> Self {
        let mut rng = Rng::new((1_000 * rows + width) as u64);
        let count = rows * width;
        let mut x = normals(&mut rng, count);
        for (at, x) in x.iter_mut().enumerate() {
            let (row, column) = (at / width, at % width);
            match kind {
                Rows::Normal => {}
                Rows::Around(mean) => *x += mean,
                Rows::Sized(size) => *x *= size,
                Rows::Constant => *x = 0.1 + row as f32,
                Rows::Outlier if column == row % 2 * (width - 1) => *x = 1.0e4,
                Rows::Outlier => {}
            }
        }
        let mut added = normals(&mut rng, count);
        match kind {
            Rows::Constant => added.fill(0.7),
            Rows::Sized(size) => added.iter_mut().for_each(|r| *r *= size),
            _ => {}
        }
        Self {
            rows,
            width,
            kind,
            // As BERT has it: the smallest that is common.
            eps: 1e-12,
            x,
            residual: residual.then_some(added),
            weight: normals(&mut rng, width),
            bias: normals(&mut rng, width),
            is_biased: true,
            upstream: normals(&mut rng, count),
        }
    }

    fn without_bias(mut self) -> Self {
        self.bias.fill(0.0);
        self.is_biased = false;
        self
    }

    fn name(&self) -> String {
        let Self {
            rows, width, kind, ..
        } = self;
        let (residual, bias) = (self.residual.is_some(), self.is_biased);
        format!("{rows} x {width}, {kind:?}, residual: {residual}, bias: {bias}")
    }

    /// The output, and the gradients in the order of [`PARTS`]; those of a bias and a residual that there are not are empty.
    fn exact(&self) -> [Vec<f64>; 5] {
        let inputs = Inputs {
            x: wide(&self.x),
            residual: self.residual.as_ref().map(|residual| wide(residual)),
            weight: wide(&self.weight),
            bias: wide(&self.bias),
            eps: self.eps,
            upstream: wide(&self.upstream),
        };
        let of = backward(&inputs);
        let of_residual = match &self.residual {
            Some(_) => of.sum.clone(),
            None => Vec::new(),
        };
        let of_bias = match self.is_biased {
            true => of.bias,
            false => Vec::new(),
        };
        [forward(&inputs), of.sum, of.weight, of_bias, of_residual]
    }

    fn tensor(&self, values: &[f32], device: &Device) -> Tensor<3> {
        let shape = [1, self.rows, self.width];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    /// The same, computed.
    async fn computed(&self, kernel: KernelChoice, device: &Device) -> [Vec<f32>; 5] {
        let tracked = device.clone().autodiff();
        let vector = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [self.width]);
            Tensor::<1>::from_data(data, &tracked).require_grad()
        };
        let x = self.tensor(&self.x, &tracked).require_grad();
        let residual = self.residual.as_ref();
        let residual = residual.map(|values| self.tensor(values, &tracked).require_grad());
        let (weight, bias) = (vector(&self.weight), vector(&self.bias));
        let y = layer_norm(
            kernel,
            x.clone(),
            residual.clone(),
            weight.clone(),
            self.is_biased.then(|| bias.clone()),
            self.eps,
        );
        let upstream = self.tensor(&self.upstream, device);
        let gradients = (y.clone() * upstream).sum().backward();
        let of_residual = match residual {
            Some(residual) => read(residual.grad(&gradients).unwrap()).await,
            None => Vec::new(),
        };
        [
            read(y).await,
            read(x.grad(&gradients).unwrap()).await,
            read(weight.grad(&gradients).unwrap()).await,
            match self.is_biased {
                true => read(bias.grad(&gradients).unwrap()).await,
                false => Vec::new(),
            },
            of_residual,
        ]
    }
}

/// What a kernel forgets to write is a NaN.
async fn check(case: &Case) {
    let exact = case.exact();
    let naive = case.computed(KernelChoice::Naive, &cpu()).await;
    for (device, software) in everywhere().await {
        pretend_software(software);
        fill_outputs_with(Some(f32::NAN));
        let got = case.computed(KernelChoice::Fused, &device).await;
        fill_outputs_with(None);
        pretend_software(None);
        // In a row of three numbers a gradient is a small difference of large ones.
        let factor = match software {
            None if case.width > 3 => CPU_FACTOR,
            _ => GPU_FACTOR,
        };
        for (part, name) in PARTS.iter().enumerate() {
            if exact[part].is_empty() {
                continue;
            }
            let name = format!("{name} of {} on {device:?}, {software:?}", case.name());
            assert_as_good_as_within(factor, &name, &got[part], &naive[part], &exact[part]);
        }
    }
}

/// Widths of no whole fours, of more fours than a workgroup has threads, and rows at and beside those of a workgroup.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn layer_norm_is_as_good_as_that_of_burn() {
    for (rows, width) in [
        (1, 1),
        (17, 3),
        (8, 4),
        (67, 384),
        (9, 516),
        (1, 768),
        (5, 1_001),
        (3, 1_284),
        (600, 20),
    ] {
        for residual in [false, true] {
            check(&Case::new(rows, width, residual, Rows::Normal)).await;
        }
    }
}

/// Without a bias, as ModernBERT has them.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_layer_norm_needs_no_bias() {
    for (rows, width) in [(17, 3), (67, 384), (3, 1_284)] {
        for residual in [false, true] {
            check(&Case::new(rows, width, residual, Rows::Normal).without_bias()).await;
        }
    }
}

/// Where a careless sum loses its digits.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn layer_norm_is_sound() {
    for kind in [
        Rows::Around(1.0e4),
        Rows::Sized(1.0e12),
        Rows::Sized(1.0e-12),
        Rows::Constant,
        Rows::Outlier,
    ] {
        for (width, residual) in [(384, false), (384, true), (77, true)] {
            check(&Case::new(5, width, residual, kind)).await;
        }
    }
}

/// A constant row is its bias and nothing else, however large: burn's is, by luck of rounding, anything from -1 to 1.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_constant_row_is_its_bias() {
    let mut case = Case::new(3, 301, false, Rows::Constant);
    case.x.iter_mut().for_each(|x| *x *= 1.1e6);
    for (device, software) in everywhere().await {
        pretend_software(software);
        let [y, ..] = case.computed(KernelChoice::Fused, &device).await;
        pretend_software(None);
        assert!(y == case.bias.repeat(3), "{device:?}, {software:?}");
    }
}

/// The order of additions depends on nothing but the shape.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_layer_norm_gives_the_same_bits_twice() {
    let case = Case::new(1_031, 68, true, Rows::Normal);
    for (device, software) in everywhere().await {
        pretend_software(software);
        let first = case.computed(KernelChoice::Fused, &device).await;
        let second = case.computed(KernelChoice::Fused, &device).await;
        pretend_software(None);
        assert!(first == second, "{device:?}, {software:?}");
    }
}

/// A number that is none spoils its own row.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_nan_spoils_one_row_of_a_layer_norm() {
    let mut case = Case::new(9, 70, true, Rows::Normal);
    case.x[4 * 70 + 69] = f32::NAN;
    for (device, software) in everywhere().await {
        pretend_software(software);
        let [y, of_x, ..] = case.computed(KernelChoice::Fused, &device).await;
        pretend_software(None);
        for values in [y, of_x] {
            for (at, value) in values.into_iter().enumerate() {
                assert_eq!(
                    value.is_nan(),
                    at / 70 == 4,
                    "{at}, {device:?}, {software:?}"
                );
            }
        }
    }
}

/// Only what is tracked gets a gradient, and it is the one that it gets beside others.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_layer_norm_differentiates_what_is_tracked() {
    let case = Case::new(5, 12, true, Rows::Normal);
    for (device, _) in everywhere().await {
        let all = case.computed(KernelChoice::Fused, &device).await;
        let tracked = device.clone().autodiff();
        let vector = |values: &[f32]| {
            Tensor::<1>::from_data(TensorData::new(values.to_vec(), [12]), &tracked)
        };
        let x = case.tensor(&case.x, &tracked);
        let residual = case.residual.as_ref().unwrap();
        let residual = case.tensor(residual, &tracked).require_grad();
        let weight = vector(&case.weight);
        let y = layer_norm(
            KernelChoice::Fused,
            x.clone(),
            Some(residual.clone()),
            weight.clone(),
            Some(vector(&case.bias)),
            case.eps,
        );
        let upstream = case.tensor(&case.upstream, &device);
        let gradients = (y * upstream).sum().backward();
        assert!(x.grad(&gradients).is_none() && weight.grad(&gradients).is_none());
        assert_eq!(read(residual.grad(&gradients).unwrap()).await, all[4]);
    }
}

/// More workgroups than one dimension of a launch may have.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn layer_norm_spreads_workgroups_over_two_dimensions() {
    const ROWS: usize = 65_540 * 8;
    let device = gpu().await;
    pretend_software(Some(false));
    let x = Tensor::<1>::from_data([3.0, 1.0, 1.0, 3.0], &device);
    let x = x.reshape([1, 1, 4]).expand([1, ROWS, 4]);
    let (one, zero) = (Tensor::ones([4], &device), Tensor::zeros([4], &device));
    let y = layer_norm(KernelChoice::Fused, x, None, one, Some(zero), 0.0);
    pretend_software(None);
    let last = read(y.slice([0..1, ROWS - 1..ROWS, 0..4])).await;
    assert_eq!(last, [1.0, -1.0, -1.0, 1.0]);
}
