//! The operations of `limbeck-kernels` against the oracle, on the CPU and on a GPU.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, read};
use limbeck_kernels::{
    AdamWMoments, AdamWScalars, Body, DropoutMask, Lengths, Pair, ShapeError, Side, Taps, adamw,
    attention, composed_attention, erf, exp, gelu, relation, relation_loss, relation_lse,
    relation_rows,
};
use limbeck_oracle::cases::{Case, extremes, grid};
use limbeck_oracle::judge::{assert_as_good_as, assert_as_good_as_within, relative_l2};
use limbeck_oracle::relation::{self as oracle, Vector as OracleVector};
use limbeck_oracle::rng::Rng;
use wasm_bindgen_test::wasm_bindgen_test;

/// WGSL allows `exp` an error of 3 + 2 |x| units in the last place.
const GPU_FACTOR: f64 = 8.0;
/// A software GPU is slow: one self pair and one mixed pair stand for the nine.
const GPU_PAIRS: [Pair; 2] = [Pair::QQ, Pair::QK];

/// What a device answers for one case and pair.
struct Answer {
    loss: Vec<f32>,
    rows: Vec<f32>,
    /// Gradients by row and column vectors; a self pair has one.
    gradients: Vec<Vec<f32>>,
}

/// Every body of the relation loss, where it runs.
async fn bodies() -> [(Device, Body); 3] {
    [
        (cpu(), Body::Naive),
        (cpu(), Body::Fused),
        (gpu().await, Body::Naive),
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
    rows: Tensor<3>,
    columns: Tensor<3>,
    student: Side,
    teacher: Side,
    lengths: Lengths,
}

/// The tensors of a case for one pair; the student's are tracked.
fn inputs(case: &Case, pair: Pair, device: &Device) -> Inputs {
    let (dims, pair) = (&case.dims, oracle_pair(pair));
    let student = |vector| {
        let values = case.student.get(vector);
        tensor(
            values,
            [dims.b, dims.s, dims.hs()],
            &device.clone().autodiff(),
        )
        .require_grad()
    };
    let teacher = |vector| {
        tensor(
            case.teacher.get(vector),
            [dims.b, dims.s, dims.ht()],
            device,
        )
    };
    let rows = student(pair.row);
    let columns = if pair.is_self() {
        rows.clone()
    } else {
        student(pair.column)
    };
    Inputs {
        student: Side::mixed(rows.clone(), columns.clone()).unwrap(),
        teacher: Side::mixed(teacher(pair.row), teacher(pair.column)).unwrap(),
        lengths: Lengths::new(&case.lengths, dims.s, device).unwrap(),
        rows,
        columns,
    }
}

async fn answer(case: &Case, pair: Pair, device: &Device, body: Body) -> Answer {
    let Inputs {
        rows,
        columns,
        student,
        teacher,
        lengths,
    } = inputs(case, pair, device);
    let a = case.dims.a;
    let loss = relation_loss(body, &student, &teacher, &lengths, a).unwrap();
    let rows_kl = relation_rows(body, &student, &teacher, &lengths, a).unwrap();
    let gradients = loss.backward();
    let mut answer = Answer {
        loss: read(loss).await,
        rows: read(rows_kl).await,
        gradients: Vec::new(),
    };
    answer
        .gradients
        .push(read(rows.grad(&gradients).unwrap()).await);
    if !pair.is_self() {
        answer
            .gradients
            .push(read(columns.grad(&gradients).unwrap()).await);
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
            let got = answer(&case, pair, &cpu(), Body::Naive).await;
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

/// Cases that cross the blocks and vectors of the streaming body: rows in fours, keys in sixteens, wide and odd heads.
fn across_blocks() -> Vec<Case> {
    let mut cases = grid();
    cases.extend((1..=9).map(Case::random));
    for s in [15, 16, 17, 31, 33, 47] {
        cases.push(Case::new(2, s, 3, 5, 7).lengths(&[s, s / 2 + 1]));
    }
    cases.push(Case::new(1, 67, 2, 96, 130));
    cases
}

/// Rungs 5 and 6: the streaming body of the CPU is as good as the composition, value, rows and gradients, all nine pairs.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_streaming_body_is_as_good_as_the_composition() {
    for case in across_blocks() {
        for pair in Pair::all() {
            let got = answer(&case, pair, &cpu(), Body::Fused).await;
            let baseline = answer(&case, pair, &cpu(), Body::Naive).await;
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

/// Rung 8: fifty repeats give the same bits, however the heads are spread over threads.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_streaming_body_gives_the_same_bits_every_time() {
    let case = Case::new(3, 33, 4, 8, 16).lengths(&[33, 20, 1]);
    let first = answer(&case, Pair::QK, &cpu(), Body::Fused).await;
    for _ in 0..50 {
        let again = answer(&case, Pair::QK, &cpu(), Body::Fused).await;
        assert!(
            again.loss == first.loss
                && again.rows == first.rows
                && again.gradients == first.gradients
        );
    }
}

/// Value and gradients of attention, with padding and dropout: the streaming body against the composition.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_streams_what_the_composition_gives() {
    let mut rng = Rng::new(11);
    for (lengths, s, heads, d) in [
        (vec![1], 1, 1, 4),
        (vec![9, 4], 9, 2, 3),
        (vec![33, 17, 1], 33, 3, 8),
    ] {
        let b = lengths.len();
        let mut random = |factor: f64| {
            let values: Vec<f32> = (0..b * s * heads * d)
                .map(|_| (factor * rng.normal()) as f32)
                .collect();
            tensor(&values, [b, s, heads * d], &cpu())
        };
        let (q, k, v, weight) = (random(1.0), random(1.0), random(1.0), random(1.0));
        let lengths = Lengths::new(&lengths, s, &cpu()).unwrap();
        // Padded rows carry no meaning: they are left out of what is compared.
        let weight = weight * lengths.mask(1.0, 0.0).reshape([b, s, 1]);
        for dropout in [None, Some(DropoutMask::new(77, 0.3))] {
            let mut results = Vec::new();
            for streaming in [true, false] {
                let taps = [&q, &k, &v].map(|t| t.clone().autodiff().require_grad());
                let [tq, tk, tv] = taps.clone();
                let taken = Taps {
                    q: tq,
                    k: tk,
                    v: tv,
                };
                let out = match streaming {
                    true => attention(taken, &lengths, heads, dropout),
                    false => composed_attention(taken, &lengths, heads, dropout),
                };
                let out = out * weight.clone();
                let gradients = out.clone().sum().backward();
                let mut parts = vec![read(out).await];
                for tap in &taps {
                    parts.push(read(tap.grad(&gradients).unwrap()).await);
                }
                results.push(parts);
            }
            for (streamed, composed) in results[0].iter().zip(&results[1]) {
                let composed: Vec<f64> = composed.iter().map(|x| f64::from(*x)).collect();
                assert!(
                    close(streamed, &composed),
                    "off by {:.1e}, S {s}",
                    relative_l2(streamed, &composed)
                );
            }
        }
    }
}

/// Rung 4: burn is right on this GPU, judged by what the CPU achieves.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn relation_loss_is_as_good_on_the_gpu() {
    let device = gpu().await;
    for case in grid().into_iter().filter(|case| case.dims.a < 48) {
        for pair in GPU_PAIRS {
            let (got, baseline) = (
                answer(&case, pair, &device, Body::Naive).await,
                answer(&case, pair, &cpu(), Body::Naive).await,
            );
            let (_, rows, gradients) = exact(&case, pair);
            let name = |part: &str| format!("{case} {pair} {part}");
            assert_as_good_as_within(GPU_FACTOR, &name("rows"), &got.rows, &baseline.rows, &rows);
            for (index, exact) in gradients.iter().enumerate() {
                let (got, baseline) = (&got.gradients[index], &baseline.gradients[index]);
                assert_as_good_as_within(GPU_FACTOR, &name("gradient"), got, baseline, exact);
            }
        }
    }
}

/// One-hot teachers, equal scores, scores of +-80 and +-1e4, denormals: finite everywhere, near the truth.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn extremes_stay_finite() {
    for (device, body) in bodies().await {
        for case in extremes() {
            let got = answer(&case, Pair::QQ, &device, body).await;
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

/// Habit 7: whatever padding holds, the bits of the result are the same.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn padding_is_never_read() {
    let case = || Case::new(3, 9, 3, 4, 5).lengths(&[9, 1, 4]);
    for (device, body) in bodies().await {
        let clean = answer(&case(), Pair::QK, &device, body).await;
        for poison in [f32::NAN, 3.0e8] {
            let got = answer(&case().poisoned(poison), Pair::QK, &device, body).await;
            assert_eq!(clean.loss, got.loss, "{poison}");
            assert_eq!(clean.rows, got.rows, "{poison}");
            assert_eq!(clean.gradients, got.gradients, "{poison}");
        }
        let lse = read(
            relation_lse(
                &inputs(&case(), Pair::QK, &device).student,
                &lengths(&case(), &device),
                3,
            )
            .unwrap(),
        )
        .await;
        for poison in [f32::NAN, 3.0e8] {
            let poisoned = case().poisoned(poison);
            let got = read(
                relation_lse(
                    &inputs(&poisoned, Pair::QK, &device).student,
                    &lengths(&case(), &device),
                    3,
                )
                .unwrap(),
            )
            .await;
            assert_eq!(lse, got, "lse, {poison}");
        }
    }
}

fn lengths(case: &Case, device: &Device) -> Lengths {
    Lengths::new(&case.lengths, case.dims.s, device).unwrap()
}

/// Padded rows get exactly no gradient, and the teacher gets none even if somebody tracks it.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn no_gradient_where_none_belongs() {
    let case = Case::new(2, 6, 2, 3, 4).lengths(&[6, 2]);
    let h = case.dims.hs();
    let got = answer(&case, Pair::VV, &cpu(), Body::Fused).await;
    assert!(got.gradients[0][(6 + 2) * h..].iter().all(|g| *g == 0.0));
    assert!(got.gradients[0][..6 * h].iter().any(|g| *g != 0.0));

    let Inputs {
        student, lengths, ..
    } = inputs(&case, Pair::VV, &cpu());
    let taught = tensor(
        case.teacher.get(OracleVector::V),
        [2, 6, case.dims.ht()],
        &cpu().autodiff(),
    )
    .require_grad();
    let loss = relation_loss(
        Body::Fused,
        &student,
        &Side::same(taught.clone()),
        &lengths,
        2,
    )
    .unwrap();
    assert!(taught.grad(&loss.backward()).is_none());
}

/// A factor in front of the loss, and the loss used twice, reach the gradient.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn upstream_gradients_scale() {
    let case = Case::new(2, 5, 2, 3, 3);
    let once = answer(&case, Pair::KK, &cpu(), Body::Fused)
        .await
        .gradients
        .remove(0);
    let Inputs {
        rows,
        student,
        teacher,
        lengths,
        ..
    } = inputs(&case, Pair::KK, &cpu());
    let loss = relation_loss(Body::Fused, &student, &teacher, &lengths, 2).unwrap();
    let scaled = (loss.clone().mul_scalar(2.5) + loss).backward();
    let exact: Vec<f64> = once.iter().map(|g| 3.5 * f64::from(*g)).collect();
    assert!(relative_l2(&read(rows.grad(&scaled).unwrap()).await, &exact) < 1e-6);
}

/// A view (sliced, permuted) gives what its copy gives.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn views_are_as_good_as_copies() {
    let case = Case::new(2, 5, 2, 3, 4).lengths(&[5, 3]);
    for device in [cpu(), gpu().await] {
        let Inputs {
            student,
            teacher,
            lengths,
            ..
        } = inputs(&case, Pair::QQ, &device);
        let expected = read(relation_lse(&student, &lengths, 2).unwrap()).await;
        let loss = read(relation_loss(Body::Fused, &student, &teacher, &lengths, 2).unwrap()).await;
        let q = case.student.get(OracleVector::Q);
        let wide = Tensor::cat(
            vec![tensor(q, [2, 5, 6], &device), tensor(q, [2, 5, 6], &device)],
            2,
        );
        let slice = wide.slice([0..2, 0..5, 6..12]);
        let turned = tensor(q, [2, 5, 6], &device).swap_dims(1, 2) + 0.0;
        for view in [slice, turned.swap_dims(1, 2)] {
            let view = Side::same(view);
            assert_eq!(
                read(relation_lse(&view, &lengths, 2).unwrap()).await,
                expected
            );
            assert_eq!(
                read(relation_loss(Body::Fused, &view, &teacher, &lengths, 2).unwrap()).await,
                loss
            );
        }
    }
}

/// The first hand-written kernel gives the oracle's numbers: its plain body on the CPU, its WGSL on a GPU, natively and in a
/// browser's worker.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn row_lse_is_as_good_as_the_plain_formula() {
    for device in [cpu(), gpu().await] {
        for case in grid().into_iter().chain([
            Case::new(1, 70, 2, 33, 2),
            Case::new(2, 65, 1, 64, 2).lengths(&[65, 17]),
        ]) {
            for pair in GPU_PAIRS {
                let inputs = inputs(&case, pair, &device);
                let got =
                    read(relation_lse(&inputs.student, &inputs.lengths, case.dims.a).unwrap())
                        .await;
                let dims = &case.dims;
                let exact = case.with_sides(oracle_pair(pair), |student, _| {
                    oracle::lse(student, dims.b, dims.s, dims.a, dims.ds, &case.lengths)
                });
                assert_as_good_as_within(
                    GPU_FACTOR,
                    &format!("{case} {pair}"),
                    &got,
                    &naive_lse(&case, pair),
                    &exact,
                );
            }
        }
    }
}

/// The formula in f32, two passes a row: what the judge allows twice the error of.
fn naive_lse(case: &Case, pair: Pair) -> Vec<f32> {
    let (dims, pair) = (&case.dims, oracle_pair(pair));
    let (rows, columns) = (case.student.get(pair.row), case.student.get(pair.column));
    let mut lse = Vec::new();
    for (b, length) in case.lengths.iter().enumerate() {
        for a in 0..dims.a {
            for i in 0..dims.s {
                let at = |s: usize| ((b * dims.s + s) * dims.a + a) * dims.ds;
                let score = |j: usize| {
                    let (x, y) = (
                        &rows[at(i)..at(i) + dims.ds],
                        &columns[at(j)..at(j) + dims.ds],
                    );
                    x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>() / (dims.ds as f32).sqrt()
                };
                let scores: Vec<f32> = (0..*length).map(score).collect();
                let highest = scores.iter().copied().fold(f32::MIN, f32::max);
                let total: f32 = scores.iter().map(|z| (z - highest).exp()).sum();
                lse.push(if i < *length {
                    highest + total.ln()
                } else {
                    0.0
                });
            }
        }
    }
    lse
}

/// The relation itself: rows of probabilities, nothing on padded keys.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn relations_are_rows_of_probabilities() {
    let case = Case::new(2, 6, 3, 4, 4).lengths(&[6, 4]);
    let dims = &case.dims;
    let inputs = inputs(&case, Pair::QK, &cpu());
    let got = read(relation(&inputs.teacher, &inputs.lengths, 3).unwrap()).await;
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
    let side = |h: usize| Side::same(Tensor::<3>::zeros([2, 4, h], &device));
    let lengths = Lengths::new(&[4, 2], 4, &device).unwrap();
    let error = relation_loss(Body::Fused, &side(12), &side(20), &lengths, 6).unwrap_err();
    assert_eq!(
        error.to_string(),
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
    let short = Side::same(Tensor::<3>::zeros([2, 3, 12], &device));
    assert!(matches!(
        relation_loss(Body::Fused, &side(12), &short, &lengths, 6),
        Err(ShapeError::Sides { .. })
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

/// GELU and its gradient against f64, judged by the formula in f32.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gelu_is_exact() {
    let xs: Vec<f32> = (-600..=600).map(|n| n as f32 * 0.01).collect();
    let cdf = |x: f64| 0.5 * (1.0 + exact_erf(x / 2.0f64.sqrt()));
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let value: Vec<f64> = xs
        .iter()
        .map(|x| f64::from(*x) * cdf(f64::from(*x)))
        .collect();
    let slope: Vec<f64> = xs
        .iter()
        .map(|x| cdf(f64::from(*x)) + f64::from(*x) * density(f64::from(*x)))
        .collect();
    let rounded = |values: &[f64]| {
        values
            .iter()
            .map(|v| (*v as f32) * (1.0 + 4.0 * f32::EPSILON))
            .collect::<Vec<_>>()
    };
    for device in [cpu(), gpu().await] {
        let x = Tensor::<1>::from_data(TensorData::new(xs.clone(), [xs.len()]), &device.autodiff())
            .require_grad();
        let y = gelu(x.clone());
        let gradient = read(x.grad(&y.clone().sum().backward()).unwrap()).await;
        assert_as_good_as("gelu", &read(y).await, &rounded(&value), &value);
        assert_as_good_as("gelu's gradient", &gradient, &rounded(&slope), &slope);
    }
}

/// Three AdamW updates against the formula in f64.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn adamw_follows_its_formula() {
    let mut rng = Rng::new(7);
    let start: Vec<f64> = (0..1000).map(|_| f64::from(rng.normal() as f32)).collect();
    let gradients: Vec<Vec<f64>> = (0..3)
        .map(|_| {
            (0..1000)
                .map(|_| f64::from(0.1 * rng.normal() as f32))
                .collect()
        })
        .collect();
    let f32s = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    for device in [cpu(), gpu().await] {
        let tensor =
            |values: &[f64]| Tensor::<1>::from_data(TensorData::new(f32s(values), [1000]), &device);
        let mut parameter = tensor(&start);
        let mut moments = AdamWMoments {
            first: parameter.zeros_like(),
            second: parameter.zeros_like(),
        };
        let (mut p, mut m, mut v) = (start.clone(), vec![0.0; 1000], vec![0.0; 1000]);
        for (index, gradient) in gradients.iter().enumerate() {
            let time = index as u64 + 1;
            let scalars = AdamWScalars {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-6,
                weight_decay: 0.1,
                time,
                gradient_scale: 0.5,
            };
            (parameter, moments) = adamw(parameter, tensor(gradient), moments, scalars);
            for i in 0..1000 {
                let g = 0.5 * gradient[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (m, v) = (
                    m[i] / (1.0 - 0.9f64.powf(time as f64)),
                    v[i] / (1.0 - 0.999f64.powf(time as f64)),
                );
                p[i] = p[i] * (1.0 - 0.01 * 0.1) - 0.01 * m / (v.sqrt() + 1e-6);
            }
        }
        assert!(relative_l2(&read(parameter).await, &p) < 1e-6);
        assert!(relative_l2(&read(moments.second).await, &v) < 1e-6);
    }
}
