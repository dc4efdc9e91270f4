//! The operations of `limbeck-kernels` against the oracle, on the CPU and on a GPU.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, read, wide};
use limbeck_kernels::testing::fill_outputs_with;
use limbeck_kernels::{Lengths, RelationLoss, ShapeError, Taps, erf, exp, relation, relation_loss};
use limbeck_oracle::cases::{Case, Vectors, extremes, grid};
use limbeck_oracle::judge::{assert_as_good_as, assert_as_good_as_within, relative_l2};
use limbeck_oracle::relation::{self as oracle, Vector as OracleVector};
use limbeck_recipe::{KernelChoice, Pair, Vector};
use wasm_bindgen_test::wasm_bindgen_test;

/// WGSL allows `exp` an error of 3 + 2 |x| units in the last place.
const GPU_FACTOR: f64 = 8.0;
/// A software GPU is slow: one self pair and one mixed pair stand for the nine.
const GPU_PAIRS: [Pair; 2] = [Pair::QQ, Pair::QK];

/// What a device answers for one case and pair.
#[derive(Debug, PartialEq)]
struct Answer {
    loss: Vec<f32>,
    rows: Vec<f32>,
    /// Gradients by row and column vectors; a self pair has one.
    gradients: Vec<Vec<f32>>,
}

/// Every implementation of the relation loss, where it runs.
async fn kernels() -> [(Device, KernelChoice); 4] {
    [
        (cpu(), KernelChoice::Naive),
        (cpu(), KernelChoice::Fused),
        (gpu().await, KernelChoice::Naive),
        (gpu().await, KernelChoice::Fused),
    ]
}

fn tensor(values: &[f32], shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn oracle_pair(pair: Pair) -> oracle::Pair {
    let name = pair.key();
    oracle::Pair::ALL
        .into_iter()
        .find(|p| p.name() == name)
        .unwrap()
}

struct Inputs {
    student: Taps,
    teacher: Taps,
    lengths: Lengths,
}

impl Inputs {
    fn loss(&self, kernel: KernelChoice, pairs: &[(Pair, f64)], heads: usize) -> RelationLoss {
        relation_loss(
            kernel,
            &self.student,
            &self.teacher,
            pairs,
            &self.lengths,
            heads,
        )
        .unwrap()
    }
}

/// The tensors of a case; the student's are tracked.
fn inputs(case: &Case, device: &Device) -> Inputs {
    let dims = &case.dims;
    let taps = |vectors: &Vectors, h: usize, device: &Device| {
        let of = |vector| tensor(vectors.get(vector), [dims.b, dims.s, h], device);
        Taps {
            q: of(OracleVector::Q),
            k: of(OracleVector::K),
            v: of(OracleVector::V),
        }
    };
    let Taps { q, k, v } = taps(&case.student, dims.hs(), &device.clone().autodiff());
    let [q, k, v] = [q, k, v].map(Tensor::require_grad);
    Inputs {
        student: Taps { q, k, v },
        teacher: taps(&case.teacher, dims.ht(), device),
        lengths: Lengths::new(&case.lengths, dims.s, device).unwrap(),
    }
}

async fn answer(case: &Case, pair: Pair, device: &Device, kernel: KernelChoice) -> Answer {
    let inputs = inputs(case, device);
    let loss = inputs.loss(kernel, &[(pair, 1.0)], case.dims.a);
    let gradients = loss.total.backward();
    let mut answer = Answer {
        loss: read(loss.by_pair).await,
        rows: read(loss.rows).await,
        gradients: Vec::new(),
    };
    let vectors = [pair.row, pair.column];
    for vector in &vectors[..if pair.is_self() { 1 } else { 2 }] {
        let gradient = inputs.student.get(*vector).grad(&gradients).unwrap();
        answer.gradients.push(read(gradient).await);
    }
    answer
}

/// The exact answer: value, rows, gradients.
fn exact(case: &Case, pair: Pair) -> (f64, Vec<f64>, Vec<Vec<f64>>) {
    let loss = case.forward(oracle_pair(pair));
    let gradient = case.backward(oracle_pair(pair));
    let gradients = if pair.is_self() {
        vec![gradient.of_self_pair()]
    } else {
        vec![gradient.row, gradient.column]
    };
    (loss.value, loss.rows, gradients)
}

/// Rung 3: the composition of burn operations is right on the CPU, for all nine pairs.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn relation_loss_is_right_on_the_cpu() {
    for case in grid() {
        for pair in Pair::all() {
            let got = answer(&case, pair, &cpu(), KernelChoice::Naive).await;
            let (value, rows, gradients) = exact(&case, pair);
            // A loss of 0 (one token) has no relative error; f32 rounds scores of a few units to 1e-6.
            assert!(
                (f64::from(got.loss[0]) - value).abs() <= 1e-5 * value + 1e-6,
                "{case} {pair}: {:?} and {value}",
                got.loss
            );
            assert!(close(&got.rows, &rows), "{case} {pair}: rows");
            for (got, exact) in got.gradients.iter().zip(&gradients) {
                assert!(
                    close(got, exact),
                    "{case} {pair}: gradient off by {:.1e}",
                    relative_l2(got, exact)
                );
            }
        }
    }
}

/// Relative L2 below 1e-5, or both (nearly) nothing.
fn close(got: &[f32], exact: &[f64]) -> bool {
    let nothing = exact.iter().all(|x| x.abs() < 1e-6) && got.iter().all(|x| x.abs() < 1e-5);
    got.len() == exact.len() && (nothing || relative_l2(got, exact) < 1e-5)
}

/// Cases that cross the blocks and vectors of the streaming implementation: rows in fours, keys in sixteens, wide and odd heads.
fn across_blocks() -> Vec<Case> {
    let mut cases = grid();
    cases.extend((1..=9).map(Case::random));
    for s in [15, 16, 17, 31, 33, 47] {
        cases.push(Case::new(2, s, 3, 5, 7).lengths(&[s, s / 2 + 1]));
    }
    cases.push(Case::new(1, 67, 2, 96, 130));
    cases
}

/// Rungs 5 and 6: the streaming implementation of the CPU is as good as the composition, value, rows and gradients, all nine pairs.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_streaming_implementation_is_as_good_as_the_composition() {
    for case in across_blocks() {
        for pair in Pair::all() {
            let got = answer(&case, pair, &cpu(), KernelChoice::Fused).await;
            let baseline = answer(&case, pair, &cpu(), KernelChoice::Naive).await;
            let (value, rows, gradients) = exact(&case, pair);
            let name = |part: &str| format!("{case} {pair} {part}");
            assert!(
                (f64::from(got.loss[0]) - value).abs() <= 1e-5 * value + 1e-6,
                "{case} {pair}: {:?} and {value}",
                got.loss
            );
            assert!(
                close(&got.rows, &rows),
                "{}: off by {:.1e}",
                name("rows"),
                relative_l2(&got.rows, &rows)
            );
            for (index, exact) in gradients.iter().enumerate() {
                assert_as_good_as(
                    &name("gradient"),
                    &got.gradients[index],
                    &baseline.gradients[index],
                    exact,
                );
            }
        }
    }
}

/// Rungs 4 to 6: burn and the WGSL are right on this GPU, judged by what the composition achieves on the CPU.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn relation_loss_is_as_good_on_the_gpu() {
    for case in grid().into_iter().filter(|case| case.dims.a < 48) {
        for pair in GPU_PAIRS {
            for kernel in [KernelChoice::Naive, KernelChoice::Fused] {
                check_on_the_gpu(&case, pair, kernel).await;
            }
        }
    }
}

async fn check_on_the_gpu(case: &Case, pair: Pair, kernel: KernelChoice) {
    let got = answer(case, pair, &gpu().await, kernel).await;
    let baseline = answer(case, pair, &cpu(), KernelChoice::Naive).await;
    let (value, rows, gradients) = exact(case, pair);
    let name = |part: &str| format!("{case} {pair} {kernel:?} {part}");
    assert!(
        (f64::from(got.loss[0]) - value).abs() <= 1e-5 * value + 1e-6,
        "{}: {:?} and {value}",
        name("loss"),
        got.loss
    );
    assert_as_good_as_within(GPU_FACTOR, &name("rows"), &got.rows, &baseline.rows, &rows);
    for (index, exact) in gradients.iter().enumerate() {
        let (got, baseline) = (&got.gradients[index], &baseline.gradients[index]);
        assert_as_good_as_within(GPU_FACTOR, &name("gradient"), got, baseline, exact);
    }
}

/// Rung 7 on the GPU: tiles of 16 keys, groups of 64 rows, slices of 32 features and one to each side of them; stock widths,
/// the widest, unequal ones; 48 heads; one token beside many. `LIMBECK_SEED` adds a random case.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_shaders_are_right_across_their_edges() {
    let mut cases: Vec<Case> = [15, 16, 17, 33]
        .map(|s| Case::new(2, s, 2, 8, 16).lengths(&[s, 1]))
        .into();
    cases.extend([31, 32, 33, 65].map(|d| Case::new(1, 17, 1, d, 96 - d)));
    cases.extend([(8, 64), (64, 32), (16, 8), (32, 16)].map(|(s, t)| Case::new(1, 19, 2, s, t)));
    cases.push(Case::new(1, 3, 1, 1024, 1));
    cases.push(Case::new(1, 3, 1, 2, 1024));
    cases.push(Case::new(1, 5, 48, 4, 8));
    cases.push(Case::new(2, 130, 1, 4, 3).lengths(&[130, 65]));
    cases.extend((100..104).map(Case::random));
    if let Some(seed) = option_env!("LIMBECK_SEED").and_then(|seed| seed.parse().ok()) {
        cases.push(Case::random(seed));
    }
    for case in cases {
        for pair in GPU_PAIRS {
            check_on_the_gpu(&case, pair, KernelChoice::Fused).await;
        }
    }
}

/// More groups of rows than one dimension of a launch has (65,535): the second dimension carries the rest.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn many_heads_need_two_dimensions_of_groups() {
    let heads = 65_539;
    let case = Case::new(1, 2, heads, 1, 1);
    let got = answer(&case, Pair::QQ, &gpu().await, KernelChoice::Fused).await;
    let expected = answer(&case, Pair::QQ, &cpu(), KernelChoice::Fused).await;
    assert!(close(&got.rows, &wide(&expected.rows)));
    let (got, expected) = (&got.gradients[0], wide(&expected.gradients[0]));
    assert!(relative_l2(got, &expected) < 1e-4);
    assert!(got[2 * heads - 3..].iter().any(|x| *x != 0.0));
}

/// Several pairs at once give what they give alone: their rows, and sums of their gradients under their weights. A
/// projection in no pair gets none.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn pairs_add_up() {
    let case = Case::new(2, 9, 2, 4, 6).lengths(&[9, 5]);
    let pairs = [(Pair::QQ, 1.0), (Pair::QK, 0.5), (Pair::KK, 2.0)];
    for (device, kernel) in kernels().await {
        let inputs = inputs(&case, &device);
        let together = inputs.loss(kernel, &pairs, 2);
        let gradients = together.total.clone().backward();
        let of = |vector| inputs.student.get(vector).grad(&gradients);
        assert!(of(Vector::V).is_none());
        let (q, k) = (
            read(of(Vector::Q).unwrap()).await,
            read(of(Vector::K).unwrap()).await,
        );
        let [qq, qk, kk] = [
            answer(&case, Pair::QQ, &device, kernel).await,
            answer(&case, Pair::QK, &device, kernel).await,
            answer(&case, Pair::KK, &device, kernel).await,
        ];
        let rows = [&qq.rows, &qk.rows, &kk.rows].map(Vec::as_slice).concat();
        assert_eq!(read(together.rows).await, rows);
        let losses = [qq.loss[0], qk.loss[0], kk.loss[0]];
        assert_eq!(read(together.by_pair).await, losses);
        let total = f64::from(losses[0] + 0.5 * losses[1] + 2.0 * losses[2]);
        assert!((f64::from(read(together.total).await[0]) - total).abs() < 1e-6);
        let sum = |a: (&[f32], f64), b: (&[f32], f64)| -> Vec<f64> {
            let terms = a.0.iter().zip(b.0);
            terms
                .map(|(x, y)| a.1 * f64::from(*x) + b.1 * f64::from(*y))
                .collect()
        };
        let exact = sum((&qq.gradients[0], 1.0), (&qk.gradients[0], 0.5));
        assert!(relative_l2(&q, &exact) < 1e-6, "{kernel:?} Q");
        let exact = sum((&qk.gradients[1], 0.5), (&kk.gradients[0], 2.0));
        assert!(relative_l2(&k, &exact) < 1e-6, "{kernel:?} K");
    }
}

/// Rung 8: fifty repeats give the same bits, however work is spread over threads.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_fused_kernels_give_the_same_bits_every_time() {
    let case = Case::new(3, 33, 4, 8, 16).lengths(&[33, 20, 1]);
    for device in [cpu(), gpu().await] {
        for pair in GPU_PAIRS {
            let first = answer(&case, pair, &device, KernelChoice::Fused).await;
            for _ in 0..50 {
                assert_eq!(
                    answer(&case, pair, &device, KernelChoice::Fused).await,
                    first
                );
            }
        }
    }
}

/// What is left of a buffer's last use is never part of a result: every element that a kernel owes is written.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn outputs_are_written_whole() {
    let cases = [
        Case::new(2, 19, 3, 8, 16).lengths(&[19, 4]),
        Case::new(2, 7, 2, 5, 40).lengths(&[3, 7]),
    ];
    let device = gpu().await;
    for case in cases {
        for pair in GPU_PAIRS {
            let clean = answer(&case, pair, &device, KernelChoice::Fused).await;
            for poison in [f32::NAN, 3.0e8] {
                fill_outputs_with(Some(poison));
                let got = answer(&case, pair, &device, KernelChoice::Fused).await;
                fill_outputs_with(None);
                assert_eq!(got, clean, "{case} {pair} {poison}");
            }
        }
    }
}

/// One-hot teachers, equal scores, scores of +-80 and +-1e4, denormals: finite everywhere, near the truth.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn extremes_stay_finite() {
    for (device, kernel) in kernels().await {
        for case in extremes() {
            let got = answer(&case, Pair::QQ, &device, kernel).await;
            let (value, ..) = exact(&case, Pair::QQ);
            let all = got
                .loss
                .iter()
                .chain(&got.rows)
                .chain(got.gradients.iter().flatten());
            assert!(all.into_iter().all(|x| x.is_finite()), "{case}");
            assert!(
                (f64::from(got.loss[0]) - value).abs() <= 1e-3 * value.abs() + 1e-4,
                "{case}: {:?} and {value}",
                got.loss
            );
        }
    }
}

/// A student that is its teacher: no loss, and a gradient of nothing but roundings.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_perfect_student_has_nothing_to_learn() {
    let mut case = Case::new(2, 21, 3, 8, 8).lengths(&[21, 6]);
    case.student = case.teacher.clone();
    for (device, kernel) in kernels().await {
        for pair in GPU_PAIRS {
            let got = answer(&case, pair, &device, kernel).await;
            assert!(got.loss[0].abs() < 1e-6, "{kernel:?} {pair} {:?}", got.loss);
            let all = got.gradients.iter().flatten();
            assert!(all.into_iter().all(|g| g.abs() < 1e-8), "{kernel:?} {pair}");
        }
    }
}

/// Habit 7: whatever padding holds, the bits of the result are the same.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn padding_is_never_read() {
    // The second is wider than a slice, and no width of it is a stock one.
    let cases = || {
        [
            Case::new(3, 9, 3, 4, 5).lengths(&[9, 1, 4]),
            Case::new(2, 18, 2, 8, 16).lengths(&[17, 3]),
            Case::new(2, 5, 1, 37, 2).lengths(&[2, 5]),
        ]
    };
    for (device, kernel) in kernels().await {
        for (at, case) in cases().iter().enumerate() {
            let clean = answer(case, Pair::QK, &device, kernel).await;
            for poison in [f32::NAN, 3.0e8] {
                let poisoned = cases().into_iter().nth(at).unwrap().poisoned(poison);
                let got = answer(&poisoned, Pair::QK, &device, kernel).await;
                assert_eq!(clean, got, "{case} {kernel:?} {poison}");
            }
        }
    }
}

/// Padded rows get exactly no gradient, and the teacher gets none even if somebody tracks it.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn no_gradient_where_none_belongs() {
    let case = Case::new(2, 6, 2, 3, 4).lengths(&[6, 2]);
    let h = case.dims.hs();
    for device in [cpu(), gpu().await] {
        let got = answer(&case, Pair::VV, &device, KernelChoice::Fused).await;
        assert!(got.gradients[0][(6 + 2) * h..].iter().all(|g| *g == 0.0));
        assert!(got.gradients[0][..6 * h].iter().any(|g| *g != 0.0));

        let mut inputs = inputs(&case, &device);
        let from_teacher = inputs.teacher.v.autodiff().require_grad();
        inputs.teacher.v = from_teacher.clone();
        let loss = inputs
            .loss(KernelChoice::Fused, &[(Pair::VV, 1.0)], 2)
            .total;
        assert!(from_teacher.grad(&loss.backward()).is_none());
    }
}

/// A factor in front of the loss, and the loss used twice, reach the gradient.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn upstream_gradients_scale() {
    let case = Case::new(2, 5, 2, 3, 3);
    for (device, kernel) in kernels().await {
        let once = answer(&case, Pair::KK, &device, kernel)
            .await
            .gradients
            .remove(0);
        let inputs = inputs(&case, &device);
        let loss = inputs.loss(kernel, &[(Pair::KK, 1.0)], 2).total;
        let scaled = (loss.clone().mul_scalar(2.5) + loss).backward();
        let got = read(inputs.student.k.grad(&scaled).unwrap()).await;
        let exact: Vec<f64> = once.iter().map(|g| 3.5 * f64::from(*g)).collect();
        assert!(relative_l2(&got, &exact) < 1e-6);
    }
}

/// A view (sliced, permuted) gives what its copy gives.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn views_are_as_good_as_copies() {
    let case = Case::new(2, 5, 2, 3, 4).lengths(&[5, 3]);
    for (device, kernel) in kernels().await {
        let mut inputs = inputs(&case, &device);
        let copy = inputs.student.q.clone().without_autodiff();
        let clean = inputs.loss(kernel, &[(Pair::QQ, 1.0)], 2);
        let gradient = inputs
            .student
            .q
            .grad(&clean.total.clone().backward())
            .unwrap();
        let clean = [read(clean.rows).await, read(gradient).await];
        let slice = Tensor::cat(vec![copy.clone(), copy.clone()], 2).slice([0..2, 0..5, 6..12]);
        let transposed = copy.swap_dims(1, 2) + 0.0;
        for view in [slice, transposed.swap_dims(1, 2)] {
            let view = view.autodiff().require_grad();
            inputs.student.q = view.clone();
            let loss = inputs.loss(kernel, &[(Pair::QQ, 1.0)], 2);
            let gradient = view.grad(&loss.total.clone().backward()).unwrap();
            assert_eq!([read(loss.rows).await, read(gradient).await], clean);
        }
    }
}

/// The relation itself: rows of probabilities, nothing on padded keys.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn relations_are_rows_of_probabilities() {
    let case = Case::new(2, 6, 3, 4, 4).lengths(&[6, 4]);
    let dims = &case.dims;
    let inputs = inputs(&case, &cpu());
    let got = read(relation(&inputs.teacher, Pair::QK, &inputs.lengths, 3).unwrap()).await;
    let exact = case.with_sides(oracle_pair(Pair::QK), |_, teacher| {
        oracle::relation(teacher, dims.b, dims.s, dims.a, dims.dt, &case.lengths)
    });
    for (at, (got, exact)) in got.iter().zip(&exact).enumerate() {
        let (b, row) = (at / (3 * 36), at / 6 % 6);
        if row < case.lengths[b] {
            assert!(
                (f64::from(*got) - exact).abs() < 1e-6,
                "at {at}: {got} and {exact}"
            );
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn wrong_shapes_are_named() {
    let device = cpu();
    let taps = |s: usize, h: usize| {
        let zeros = || Tensor::<3>::zeros([2, s, h], &device);
        Taps {
            q: zeros(),
            k: zeros(),
            v: zeros(),
        }
    };
    let lengths = Lengths::new(&[4, 2], 4, &device).unwrap();
    let error = |student: &Taps, teacher: &Taps, pairs: &[(Pair, f64)]| {
        relation_loss(KernelChoice::Fused, student, teacher, pairs, &lengths, 6).unwrap_err()
    };
    let pairs = [(Pair::QQ, 1.0)];
    assert_eq!(
        error(&taps(4, 12), &taps(4, 20), &pairs).to_string(),
        "6 relation heads do not divide both hidden sizes, 12 (student) and 20 (teacher); these do: [1, 2, 4]"
    );
    assert_eq!(
        Lengths::new(&[4, 5], 4, &device).unwrap_err(),
        ShapeError::Length {
            index: 1,
            length: 5,
            longest: 4
        }
    );
    assert!(matches!(
        error(&taps(4, 12), &taps(3, 12), &pairs),
        ShapeError::Sides { .. }
    ));
    assert!(matches!(
        error(&taps(4, 12), &taps(4, 12), &[]),
        ShapeError::NoPair
    ));
    let mixed = Taps {
        k: Tensor::zeros([2, 4, 6], &device),
        ..taps(4, 12)
    };
    assert!(matches!(
        error(&mixed, &taps(4, 12), &pairs),
        ShapeError::Taps { .. }
    ));
}

/// erf in f64: the series whose terms are all positive, so that nothing cancels.
fn exact_erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[wasm_bindgen_test(unsupported = test)]
fn exp_and_erf_keep_their_bounds() {
    let mut worst = (0.0f64, 0.0f64);
    for step in -8_700..8_800 {
        let x = step as f32 * 0.01;
        let exact = f64::from(x).exp();
        worst.0 = worst
            .0
            .max((f64::from(exp(x)) - exact).abs() / exact / f64::from(f32::EPSILON));
        let small = x * 0.06;
        worst.1 = worst
            .1
            .max((f64::from(erf(small)) - exact_erf(f64::from(small))).abs());
    }
    assert!(
        worst.0 < 2.0,
        "exp is off by {:.2} units in the last place",
        worst.0
    );
    assert!(worst.1 < 4e-7, "erf is off by {:.1e}", worst.1);
}
