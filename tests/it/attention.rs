//! Attention and GELU against the oracle, on the CPU and on a GPU.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, normals, read, wide};
use limbeck_kernels::testing::{fill_outputs_with, launches, pretend_software, skip_launches};
use limbeck_kernels::{
    Attending, Check, DropoutMask, Lengths, Rotation, Taps, attention, gelu, rotary, self_test,
};
use limbeck_oracle::attention::{self as oracle, Dims};
use limbeck_oracle::judge::{assert_as_good_as_within, relative_l2};
use limbeck_oracle::rng::Rng;
use limbeck_recipe::{Angles, KernelChoice, Reach};
use wasm_bindgen_test::wasm_bindgen_test;

/// WGSL allows `exp` an error of 3 + 2 |x| units in the last place.
const GPU_FACTOR: f64 = 8.0;
const PARTS: [&str; 5] = [
    "output",
    "gradient of queries",
    "gradient of keys",
    "gradient of values",
    "gradient of the bias",
];

/// One call of attention, with random queries, keys, values and upstream gradient, (B, S, H) each.
#[derive(Clone)]
struct Case {
    lengths: Vec<usize>,
    dims: Dims,
    dropout: Option<DropoutMask>,
    reach: Reach,
    rotation: Option<oracle::Rotation>,
    /// (A, 2S - 1), or nothing.
    bias: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    upstream: Vec<f32>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} lengths {:?}", self.dims, self.lengths)?;
        if self.dropout.is_some() {
            write!(f, ", dropout")?;
        }
        if self.reach != Reach::default() {
            write!(f, ", {:?}", self.reach)?;
        }
        if let Some(rotation) = self.rotation {
            write!(f, ", {rotation:?}")?;
        }
        if !self.bias.is_empty() {
            write!(f, ", bias")?;
        }
        Ok(())
    }
}

impl Case {
    fn new(lengths: &[usize], s: usize, a: usize, d: usize) -> Self {
        let b = lengths.len();
        let mut rng = Rng::new((1000 * s + 10 * a + d) as u64);
        let mut random = || normals(&mut rng, b * s * a * d);
        Self {
            lengths: lengths.to_vec(),
            dims: Dims { b, s, a, d },
            dropout: None,
            reach: Reach::default(),
            rotation: None,
            bias: Vec::new(),
            q: random(),
            k: random(),
            v: random(),
            upstream: random(),
        }
    }

    fn dropout(self, p: f64) -> Self {
        let dropout = Some(DropoutMask::new(77, p));
        Self { dropout, ..self }
    }

    fn reach(self, before: Option<usize>, after: Option<usize>) -> Self {
        let reach = Reach { before, after };
        Self { reach, ..self }
    }

    fn local(self, side: usize) -> Self {
        self.reach(Some(side), Some(side))
    }

    /// Of the first features of each head.
    fn rotated(self, theta: f64, features: usize) -> Self {
        let rotation = Some(oracle::Rotation {
            theta,
            stretch: 1.0,
            features,
        });
        Self { rotation, ..self }
    }

    fn biased(self) -> Self {
        let Dims { s, a, .. } = self.dims;
        let bias = normals(&mut Rng::new((s + a) as u64), a * (2 * s - 1));
        Self { bias, ..self }
    }

    fn shape(&self) -> [usize; 3] {
        [self.dims.b, self.dims.s, self.dims.a * self.dims.d]
    }

    /// Everything in padded rows becomes `value`.
    fn poisoned(&self, value: f32) -> Self {
        let mut poisoned = self.clone();
        let [_, s, h] = self.shape();
        for (sequence, length) in self.lengths.iter().enumerate() {
            let padding = (sequence * s + length) * h..(sequence + 1) * s * h;
            for tensor in [
                &mut poisoned.q,
                &mut poisoned.k,
                &mut poisoned.v,
                &mut poisoned.upstream,
            ] {
                tensor[padding.clone()].fill(value);
            }
        }
        poisoned
    }

    fn tensor(&self, values: &[f32], device: &Device) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), self.shape()), device)
    }

    /// How far a probability can be off, relative to itself, because two passes round its score in two ways: each is off by at most
    /// (D + 2) u |q| |k| / sqrt(D), with u = 2^-24, and exp passes the difference on.
    fn roundings(&self) -> f64 {
        let Dims { d, .. } = self.dims;
        let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let largest = |x: &[f32]| x.chunks(d).map(norm).fold(0.0, f64::max);
        let width = d as f64;
        2.0 * (width + 2.0) * 2f64.powi(-24) * largest(&self.q) * largest(&self.k) / width.sqrt()
    }

    /// What the call has beside its vectors; the bias, if any, is given.
    fn how(&self, bias: Option<Tensor<2>>) -> Attending {
        let Dims { s, .. } = self.dims;
        let of = |rotation: oracle::Rotation| table(rotation, s);
        Attending {
            reach: self.reach,
            rotation: self.rotation.map(of),
            bias,
        }
    }

    /// Everything that a call may have beside its vectors.
    fn with_all(self) -> Self {
        let features = self.dims.d / 2 * 2;
        self.reach(Some(9), Some(4))
            .rotated(100.0, features)
            .biased()
            .dropout(0.2)
    }

    /// The bias on a device, where there is one.
    fn bias_on(&self, device: &Device) -> Option<Tensor<2>> {
        let Dims { s, a, .. } = self.dims;
        let data = || TensorData::new(self.bias.clone(), [a, 2 * s - 1]);
        (!self.bias.is_empty()).then(|| Tensor::from_data(data(), device))
    }

    /// The exact parts.
    async fn exact(&self) -> Vec<Vec<f64>> {
        let Dims { b, s, a, .. } = self.dims;
        let factors = match self.dropout {
            Some(mask) => wide(&read(mask.tensor([b, a, s, s], &cpu())).await),
            None => Vec::new(),
        };
        let [q, k, v, upstream] = [&self.q, &self.k, &self.v, &self.upstream].map(|t| wide(t));
        let taps = oracle::Taps {
            q: &q,
            k: &k,
            v: &v,
        };
        let how = oracle::Attending {
            before: self.reach.before,
            after: self.reach.after,
            rotation: self.rotation,
            bias: &wide(&self.bias),
            factors: &factors,
        };
        let output = oracle::forward(taps, &self.dims, &self.lengths, &how);
        let gradient = oracle::backward(taps, &self.dims, &self.lengths, &how, &upstream);
        let mut parts = vec![output, gradient.q, gradient.k, gradient.v];
        if !self.bias.is_empty() {
            parts.push(gradient.bias);
        }
        parts
    }
}

/// Output and gradients of queries, keys, values and, where there is one, of the bias. `view` makes a tensor of the same values in another layout.
async fn viewed(
    case: &Case,
    device: &Device,
    kernel: KernelChoice,
    view: fn(Tensor<3>) -> Tensor<3>,
) -> Vec<Vec<f32>> {
    let lengths = Lengths::new(&case.lengths, case.dims.s, device).unwrap();
    let tracked_on = device.clone().autodiff();
    let tracked =
        [&case.q, &case.k, &case.v].map(|values| case.tensor(values, &tracked_on).require_grad());
    let bias = case.bias_on(&tracked_on).map(Tensor::require_grad);
    let [q, k, v] = tracked.clone().map(view);
    let mut output = attention(
        kernel,
        Taps { q, k, v },
        &lengths,
        case.dims.a,
        case.how(bias.clone()),
        case.dropout,
    );
    if kernel == KernelChoice::Naive {
        // Padded rows mean nothing there; here they count as 0.
        let [b, s, _] = case.shape();
        output = output * lengths.mask(1.0, 0.0).reshape([b, s, 1]);
    }
    let loss = (output.clone() * view(case.tensor(&case.upstream, device))).sum();
    let gradients = loss.backward();
    let mut parts = vec![read(output).await];
    for tensor in &tracked {
        parts.push(read(tensor.grad(&gradients).unwrap()).await);
    }
    if let Some(bias) = bias {
        parts.push(read(bias.grad(&gradients).unwrap()).await);
    }
    parts
}

async fn answer(case: &Case, device: &Device) -> Vec<Vec<f32>> {
    viewed(case, device, KernelChoice::Fused, |tensor| tensor).await
}

/// Rungs 5 and 6: output and each gradient, judged by what the composition achieves on the CPU.
async fn check(case: &Case) {
    let exact = case.exact().await;
    let naive = viewed(case, &cpu(), KernelChoice::Naive, |tensor| tensor).await;
    for device in [cpu(), gpu().await] {
        let got = answer(case, &device).await;
        assert_eq!(got.len(), exact.len());
        for part in 0..got.len() {
            let name = format!("{} of {case} on {device:?}", PARTS[part]);
            assert_as_good_as_within(GPU_FACTOR, &name, &got[part], &naive[part], &exact[part]);
        }
    }
}

/// Relative L2 of the composition itself, which the judge takes for granted: what it may have beside its vectors, each alone and all.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_composition_is_right() {
    let case = || Case::new(&[19, 7, 1], 19, 3, 7);
    for case in [
        case(),
        case().local(2),
        case().reach(None, Some(0)),
        case().reach(Some(3), None),
        case().rotated(100.0, 6),
        case().biased(),
        case().local(5).rotated(50.0, 4).biased().dropout(0.2),
    ] {
        let exact = case.exact().await;
        for device in [cpu(), gpu().await] {
            let got = viewed(&case, &device, KernelChoice::Naive, |tensor| tensor).await;
            for (part, (got, exact)) in got.iter().zip(&exact).enumerate() {
                let off = relative_l2(got, exact);
                let name = PARTS[part];
                assert!(
                    off < 2e-6,
                    "{name} of {case} on {device:?}: off by {off:.1e}"
                );
            }
        }
    }
}

/// Every width of a slice, widths that are not whole fours, lengths at the edges of tiles (16) and workgroups (64).
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_is_as_good_as_the_composition() {
    for case in [
        Case::new(&[1], 1, 1, 4),
        Case::new(&[15, 1], 15, 2, 1),
        Case::new(&[17, 16], 17, 12, 3),
        Case::new(&[16, 3], 16, 2, 8),
        Case::new(&[33, 17, 1], 33, 2, 16),
        Case::new(&[65, 64], 65, 1, 32),
        Case::new(&[18, 1], 18, 2, 33),
        Case::new(&[20], 20, 1, 64),
        Case::new(&[17, 1], 17, 1, 96),
        Case::new(&[4, 19], 19, 1, 130),
    ] {
        check(&case).await;
    }
}

/// Odd windows and lengths, one token, every width of a slice; walks that skip tiles (16) and blocks of rows (64) at either end, one that
/// begins within a tile, and causal ones.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_sees_its_reach() {
    for case in [
        Case::new(&[1], 1, 1, 4).local(3),
        Case::new(&[37, 20, 1], 37, 2, 5).local(3),
        Case::new(&[33, 7, 1], 33, 2, 8).reach(None, Some(0)),
        Case::new(&[66, 18], 66, 1, 3).reach(Some(0), None),
        Case::new(&[150, 70], 150, 1, 4).local(9).dropout(0.3),
        Case::new(&[40, 9], 40, 1, 64).local(5),
        Case::new(&[85, 17], 85, 1, 70)
            .reach(Some(20), Some(1))
            .dropout(0.2),
    ] {
        check(&case).await;
    }
}

/// A window that holds everything is none, to the bit.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_reach_past_the_ends_changes_nothing() {
    let case = || Case::new(&[70, 19], 70, 2, 4);
    for device in [cpu(), gpu().await] {
        let whole = answer(&case(), &device).await;
        for side in [69, 1_000, usize::MAX] {
            assert!(
                answer(&case().local(side), &device).await == whole,
                "{side} on {device:?}"
            );
        }
    }
}

/// What lies out of reach costs nothing, because no walk comes there: numbers that would spoil whatever they are multiplied with, 0
/// included, are not met. A walk is that of a block of tokens (64 on a GPU), so a token's numbers may depend on what others of its block
/// reach, and its gradients on what is reached from the blocks of those that see it.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_walks_no_further_than_its_reach() {
    let (s, h) = (200, 8);
    for case in [
        Case::new(&[s], s, 2, 4).local(10),
        Case::new(&[s], s, 2, 4).reach(Some(30), Some(3)).biased(),
        Case::new(&[s], s, 1, 8)
            .reach(Some(17), Some(20))
            .dropout(0.1),
    ] {
        // The first block and an end, a beginning and the last two.
        for (spoilt, kept) in [(160..s, 0..64), (0..32, 128..s)] {
            let (spoilt, kept) = (
                spoilt.start * h..spoilt.end * h,
                kept.start * h..kept.end * h,
            );
            let mut bad = case.clone();
            for tensor in [&mut bad.q, &mut bad.k, &mut bad.v, &mut bad.upstream] {
                tensor[spoilt.clone()].fill(f32::NAN);
            }
            for device in [cpu(), gpu().await] {
                let [expected, got] = [answer(&case, &device).await, answer(&bad, &device).await];
                for part in 0..4 {
                    assert!(
                        got[part][kept.clone()] == expected[part][kept.clone()],
                        "{} of {case} on {device:?}, numbers {spoilt:?} spoilt",
                        PARTS[part]
                    );
                }
            }
        }
    }
}

/// All of a head's features or some, in fours and not, and in slices.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_rotates_queries_and_keys() {
    for case in [
        Case::new(&[1], 1, 1, 4).rotated(10.0, 4),
        Case::new(&[33, 17, 1], 33, 2, 8).rotated(10_000.0, 8),
        Case::new(&[17, 16], 17, 12, 3).rotated(50.0, 2),
        Case::new(&[21, 4], 21, 2, 10)
            .rotated(100.0, 6)
            .dropout(0.3),
        Case::new(&[20], 20, 1, 64).rotated(160_000.0, 64),
        Case::new(&[18, 5], 18, 1, 70).rotated(10.0, 70),
    ] {
        check(&case).await;
    }
}

/// Slices and whole heads; more blocks of rows (64) than one launch adds up the gradient of a bias for (8); alone and with all else.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_adds_a_bias_by_distance() {
    for case in [
        Case::new(&[1], 1, 1, 4).biased(),
        Case::new(&[33, 17, 1], 33, 2, 8).biased(),
        Case::new(&[65, 64], 65, 3, 3).biased().dropout(0.3),
        Case::new(&[20, 3], 20, 1, 64).biased(),
        Case::new(&[18, 5], 18, 2, 70).biased(),
        Case::new(&[530], 530, 1, 4).biased(),
        Case::new(&[70, 33, 1], 70, 2, 7).with_all(),
        Case::new(&[81, 9], 81, 1, 70).with_all(),
    ] {
        check(&case).await;
    }
}

/// A bias without a gradient, as ALiBi has: the same numbers for less work.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_constant_bias_needs_no_gradient() {
    let case = Case::new(&[70, 33], 70, 2, 4).biased();
    for device in [cpu(), gpu().await] {
        let before = launches();
        let differentiated = answer(&case, &device).await;
        let between = launches();
        let lengths = Lengths::new(&case.lengths, case.dims.s, &device).unwrap();
        let [q, k, v] = [&case.q, &case.k, &case.v].map(|values| {
            case.tensor(values, &device.clone().autodiff())
                .require_grad()
        });
        let taps = Taps {
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
        };
        let how = case.how(case.bias_on(&device));
        let output = attention(KernelChoice::Fused, taps, &lengths, case.dims.a, how, None);
        let gradients = (output.clone() * case.tensor(&case.upstream, &device))
            .sum()
            .backward();
        assert!(read(output).await == differentiated[0]);
        for (tensor, expected) in [q, k, v].iter().zip(&differentiated[1..]) {
            assert!(
                read(tensor.grad(&gradients).unwrap()).await == *expected,
                "{device:?}"
            );
        }
        let less = launches() - between;
        assert!(
            device == cpu() || less < between - before,
            "{less} launches"
        );
    }
}

/// The angles of so many positions.
fn table(rotation: oracle::Rotation, positions: usize) -> Rotation {
    let oracle::Rotation {
        theta,
        stretch,
        features,
    } = rotation;
    Rotation::new(Angles { theta, stretch }, positions, features)
}

/// The rotation alone, which relations of rotated vectors need: the kernel, and the composition, which has no other judge.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_rotation_is_right_by_itself() {
    for (case, theta, stretch, features) in [
        (Case::new(&[19, 19], 19, 3, 6), 100.0, 1.0, 4),
        (Case::new(&[7], 7, 1, 8), 10_000.0, 1.0, 8),
        (Case::new(&[13, 5], 13, 2, 8), 50.0, 1.3, 8),
    ] {
        let dims = &case.dims;
        let exact = oracle::Rotation {
            theta,
            stretch,
            features,
        };
        let value = exact.rotate(&wide(&case.q), dims, 1.0);
        let gradient = exact.rotate(&wide(&case.upstream), dims, -1.0);
        // Of more positions than there are tokens.
        let rotation = table(exact, dims.s + 3);
        for device in [cpu(), gpu().await] {
            for kernel in [KernelChoice::Naive, KernelChoice::Fused] {
                let x = case
                    .tensor(&case.q, &device.clone().autodiff())
                    .require_grad();
                let turned = rotary(kernel, x.clone(), &rotation, dims.a);
                let loss = (turned.clone() * case.tensor(&case.upstream, &device)).sum();
                let got = read(x.grad(&loss.backward()).unwrap()).await;
                for (got, exact) in [(read(turned).await, &value), (got, &gradient)] {
                    let off = relative_l2(&got, exact);
                    assert!(off < 2e-7, "{kernel:?} on {device:?}: off by {off:.1e}");
                }
            }
        }
    }
}

/// The self-test of a device tries what a model may ask of attention, and sees a shader that does not run.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_self_test_sees_all_of_attention() {
    let device = gpu().await;
    for (check, shader) in [
        (Check::Attention { width: 8 }, "AttentionSpec"),
        (Check::BiasedAttention { width: 8 }, "AttentionSpec"),
        (Check::Rotary, "RotarySpec"),
    ] {
        assert_eq!(self_test(&device, check).await, Ok(()));
        fill_outputs_with(Some(0.5));
        skip_launches(Some(shader));
        let skipped = self_test(&device, check).await;
        skip_launches(None);
        fill_outputs_with(None);
        assert!(skipped.is_err(), "{check:?} passes without {shader}");
    }
}

/// The same key drops the same values in the shaders, in the CPU's implementation and in the mask that the oracle is given.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_drops_the_same_values_everywhere() {
    for case in [
        Case::new(&[17, 16], 17, 12, 3),
        Case::new(&[20], 20, 1, 130),
    ] {
        check(&case.dropout(0.3)).await;
    }
}

/// Rung 7: whatever padding holds, and whatever an output held before, the bits are the same, and padded rows are 0.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_never_reads_padding() {
    let device = gpu().await;
    for case in [
        Case::new(&[70, 5, 1], 70, 2, 3).dropout(0.2),
        Case::new(&[18, 5], 18, 1, 70),
        Case::new(&[70, 5, 1], 70, 2, 6).with_all(),
        Case::new(&[18, 5], 18, 1, 70).with_all(),
    ] {
        let clean = answer(&case, &device).await;
        let [_, s, h] = case.shape();
        for part in &clean[..4] {
            for (sequence, length) in case.lengths.iter().enumerate() {
                let padding = (sequence * s + length) * h..(sequence + 1) * s * h;
                assert!(part[padding].iter().all(|x| *x == 0.0), "{case}");
            }
        }
        for poison in [f32::NAN, 3.0e8] {
            fill_outputs_with(Some(poison));
            let poisoned = answer(&case.poisoned(poison), &device).await;
            fill_outputs_with(None);
            assert!(poisoned == clean, "{case} with {poison} in its padding");
        }
    }
}

/// Rung 8: no sum depends on the order in which threads run.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_gives_the_same_bits_every_time() {
    for case in [
        Case::new(&[33, 20, 1], 33, 2, 8).dropout(0.1),
        Case::new(&[70, 20, 1], 70, 2, 8).with_all(),
    ] {
        for device in [cpu(), gpu().await] {
            let first = answer(&case, &device).await;
            for _ in 0..20 {
                assert!(
                    answer(&case, &device).await == first,
                    "{case} on {device:?}"
                );
            }
        }
    }
}

/// Slices and permuted tensors, of the inputs and of the upstream gradient, give what their copies give.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_takes_views() {
    let case = Case::new(&[18, 7], 18, 2, 8);
    let permuted: fn(Tensor<3>) -> Tensor<3> =
        |tensor| (tensor.swap_dims(1, 2) * 1.0).swap_dims(1, 2);
    let sliced: fn(Tensor<3>) -> Tensor<3> = |tensor| {
        let [b, s, h] = tensor.dims();
        Tensor::cat(vec![tensor.clone(), tensor], 2).slice([0..b, 0..s, h..2 * h])
    };
    for device in [cpu(), gpu().await] {
        let copied = answer(&case, &device).await;
        for view in [permuted, sliced] {
            let viewed = viewed(&case, &device, KernelChoice::Fused, view).await;
            assert!(viewed == copied, "{case} on {device:?}");
        }
    }
}

/// Equal scores, scores of +-80 and +-1e4: finite everywhere, near the truth. (The judge would hold a saturated `exp` of
/// 1e-38 against a softmax that is exactly one-hot.) The backward pass computes the scores again, and a compiler may round them
/// otherwise there than in the forward pass: [`Case::roundings`].
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_survives_extreme_scores() {
    for factor in [0.0, 9.0, 100.0] {
        let mut case = Case::new(&[17, 4], 17, 2, 8);
        for x in case.q.iter_mut().chain(&mut case.k) {
            *x *= factor;
        }
        let (exact, bound) = (case.exact().await, 1e-4 + case.roundings());
        for device in [cpu(), gpu().await] {
            for (got, exact) in answer(&case, &device).await.iter().zip(&exact) {
                let largest = exact
                    .iter()
                    .fold(1.0, |largest: f64, x| largest.max(x.abs()));
                for (got, exact) in got.iter().zip(exact) {
                    let off = (f64::from(*got) - exact).abs();
                    assert!(
                        off <= bound * largest,
                        "{got} and {exact}, factor {factor}: off by {off:.1e}, allowed {bound:.1e} of {largest}"
                    );
                }
            }
        }
    }
}

/// Nothing is tracked: the same values, on every device.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn attention_needs_no_graph() {
    let case = Case::new(&[18, 7], 18, 2, 8);
    for device in [cpu(), gpu().await] {
        let lengths = Lengths::new(&case.lengths, case.dims.s, &device).unwrap();
        let taps = Taps {
            q: case.tensor(&case.q, &device),
            k: case.tensor(&case.k, &device),
            v: case.tensor(&case.v, &device),
        };
        let plain = read(attention(
            KernelChoice::Fused,
            taps,
            &lengths,
            case.dims.a,
            Attending::default(),
            None,
        ))
        .await;
        assert!(plain == answer(&case, &device).await[0]);
    }
}

/// GELU of (rows, width), its gradients of x and bias; without a bias the last is zeros.
async fn gelu_parts(
    kernel: KernelChoice,
    inputs: [&[f32]; 3],
    is_biased: bool,
    device: &Device,
) -> [Vec<f32>; 3] {
    let [x, bias, upstream] = inputs;
    let (width, rows) = (bias.len(), x.len() / bias.len());
    let tracked = device.clone().autodiff();
    let shape = [1, rows, width];
    let x = Tensor::<3>::from_data(TensorData::new(x.to_vec(), shape), &tracked).require_grad();
    let bias =
        Tensor::<1>::from_data(TensorData::new(bias.to_vec(), [width]), &tracked).require_grad();
    let upstream = Tensor::<3>::from_data(TensorData::new(upstream.to_vec(), shape), device);
    let y = gelu(kernel, x.clone(), is_biased.then(|| bias.clone()));
    let gradients = (y.clone() * upstream).sum().backward();
    let of_bias = bias.grad(&gradients);
    assert_eq!(of_bias.is_some(), is_biased);
    [
        read(y).await,
        read(x.grad(&gradients).unwrap()).await,
        match of_bias {
            Some(gradient) => read(gradient).await,
            None => vec![0.0; width],
        },
    ]
}

/// GELU and its gradients against f64, from -6 to 6 and far beyond; rows are wider than a workgroup, or narrow and many.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gelu_is_exact() {
    let mut rng = Rng::new(5);
    for (rows, width, is_biased) in [
        (3, 401, true),
        (1_201, 5, true),
        (1, 1, true),
        (3, 401, false),
        (7, 66, false),
    ] {
        let count = rows * width;
        let mut x: Vec<f32> = (0..count)
            .map(|n| 12.0 * n as f32 / count as f32 - 6.0)
            .collect();
        x[0] = -1.0e4;
        x[count - 1] = 1.0e4;
        let [mut bias, upstream] = [width, count].map(|count| normals(&mut rng, count));
        if !is_biased {
            bias.fill(0.0);
        }
        let (wide_x, wide_bias) = (wide(&x), wide(&bias));
        let value = limbeck_oracle::gelu::forward(&wide_x, &wide_bias);
        let mut gradient = limbeck_oracle::gelu::backward(&wide_x, &wide_bias, &wide(&upstream));
        if !is_biased {
            gradient.bias.fill(0.0);
        }
        let exact = [&value, &gradient.x, &gradient.bias];
        for device in [cpu(), gpu().await] {
            let inputs = [&x[..], &bias, &upstream];
            let mut answers =
                vec![gelu_parts(KernelChoice::Naive, inputs, is_biased, &device).await];
            for (poison, software) in [
                (None, None),
                (Some(f32::NAN), Some(true)),
                (Some(3.0e8), Some(false)),
            ] {
                pretend_software(software);
                fill_outputs_with(poison);
                answers.push(gelu_parts(KernelChoice::Fused, inputs, is_biased, &device).await);
                fill_outputs_with(None);
                pretend_software(None);
            }
            for got in answers {
                for (part, (got, exact)) in got.iter().zip(exact).enumerate() {
                    let name = format!("part {part} of gelu ({rows}, {width}) on {device:?}");
                    judge_gelu(&name, got, exact);
                }
            }
        }
    }
}

/// More workgroups than one dimension of a launch may have.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn gelu_spreads_workgroups_over_two_dimensions() {
    const ROWS: usize = 65_536;
    const WIDTH: usize = 257;
    let device = gpu().await;
    let x = Tensor::<3>::ones([1, ROWS, WIDTH], &device);
    let y = gelu(KernelChoice::Fused, x, None);
    let last = read(y.slice([0..1, ROWS - 1..ROWS, 0..WIDTH])).await;
    assert!(last.iter().all(|y| (y - 0.841_344_7).abs() < 1e-6));
}

/// Twice four roundings of each number and four of the largest: what the formula in f32 may lose.
fn judge_gelu(name: &str, got: &[f32], exact: &[f64]) {
    let rounded: Vec<f32> = exact
        .iter()
        .map(|v| (*v as f32) * (1.0 + 4.0 * f32::EPSILON))
        .collect();
    assert_as_good_as_within(2.0, name, got, &rounded, exact);
}
