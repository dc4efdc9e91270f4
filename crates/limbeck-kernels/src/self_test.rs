//! Is this GPU right? A shader that a driver miscompiles, or that a browser refuses, fails silently: a launch is skipped
//! and a buffer keeps what it held. So before work starts, the WGSL implementations are set beside the CPU's on small cases.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use limbeck_recipe::{KernelChoice, Kernels, Mixed, Operation, Pair, Reach};

use crate::{
    AdamWMoments, AdamWParameter, AdamWScalars, Attending, Ids, Lengths, Projection, Projections,
    Rotation, Taps, attention, embedding, feed_forward, gelu, layer_norm, linear, projections,
    relation_loss, rotary, update_all,
};

/// B, S and A of the cases: more than a tile and less than a group, with a short sequence beside a full one.
const LENGTHS: [usize; 2] = [21, 6];
const LENGTH: usize = LENGTHS[0];
const HEADS: usize = 2;
/// Rows, inputs and outputs of linear layers. In three of them one of output and gradients is as large as the largest
/// tiles ask for, and the other two are narrow; the last has small tiles, and a gradient of weights whose sums are cut
/// into parts.
const LAYERS: [[usize; 3]; 4] = [
    [1_412, 8, 1_284],
    [1_412, 1_284, 8],
    [8, 1_412, 1_284],
    [600, 20, 24],
];
/// Shapes of parameters: more than a launch gathers, within a block, at its end and past it.
const PARAMETERS: [[usize; 2]; 9] = [
    [1, 1],
    [30, 37],
    [1, 1_024],
    [1, 70],
    [5, 410],
    [1, 255],
    [3, 3],
    [2, 514],
    [1, 5],
];
/// The one of them that has no gradient in one of two updates.
const WITHOUT: usize = 3;
/// Relative L2 distance that different roundings explain at these sizes (1e-6 is usual); a wrong kernel is off by 1e-2 and
/// more.
const ALLOWED: f64 = 1e-4;

/// An operation as a run will use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The relation loss for relation heads of these widths: Ds and Dt.
    Relation {
        /// Ds.
        student: usize,
        /// Dt.
        teacher: usize,
    },
    /// Attention with heads of this width, whatever its reach.
    Attention {
        /// D.
        width: usize,
    },
    /// Attention with heads of this width and a bias.
    BiasedAttention {
        /// D.
        width: usize,
    },
    /// Rotary positions, a part of attention.
    Rotary,
    /// Rows of tables by ids, added up.
    Embedding,
    /// Exact GELU.
    Gelu,
    /// The feed-forward part of a layer.
    FeedForward,
    /// LayerNorm of rows of this width.
    LayerNorm {
        /// H.
        width: usize,
    },
    /// Linear layers.
    Linear,
    /// Attention's projections.
    Projections,
    /// The norm of gradients, and AdamW.
    AdamW,
    /// Linear layers, projections and the feed-forward part in mixed precision, of a model of this hidden size; forward alone. The CPU's
    /// numbers are of the same roundings, so what is allowed is the same, too.
    Mixed {
        /// H.
        width: usize,
        /// Width of the feed-forward part.
        inner: usize,
        /// What multiplies.
        mixed: Mixed,
    },
}

impl Check {
    /// Whose kernel it tests.
    fn operation(self) -> Operation {
        match self {
            Self::Relation { .. } => Operation::Relation,
            Self::Attention { .. } | Self::BiasedAttention { .. } | Self::Rotary => {
                Operation::Attention
            }
            Self::Gelu => Operation::Gelu,
            Self::FeedForward => Operation::FeedForward,
            Self::LayerNorm { .. } => Operation::LayerNorm,
            Self::Linear => Operation::Linear,
            Self::Projections => Operation::Projections,
            Self::AdamW => Operation::AdamW,
            Self::Embedding => Operation::Embedding,
            Self::Mixed { .. } => Operation::Mixed,
        }
    }
}

/// What a device computes rightly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tested {
    /// The kernels that it does.
    pub kernels: Kernels,
    /// What is wrong with each of the others.
    pub failures: Vec<(Operation, SelfTestError)>,
}

impl Tested {
    /// Which kernels are wrong and why, if any is: `GELU (the output of Gelu differs ...); ...`.
    pub fn failure(&self) -> Option<String> {
        let mut told: Vec<(String, Vec<&str>)> = Vec::new();
        for (operation, error) in &self.failures {
            let why = error.to_string();
            match told.iter_mut().find(|told| told.0 == why) {
                // A device that is lost fails all alike.
                Some((_, names)) => names.push(operation.name()),
                None => told.push((why, vec![operation.name()])),
            }
        }
        let told: Vec<String> = told
            .iter()
            .map(|(why, names)| format!("{} ({why})", names.join(", ")))
            .collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// What a GPU did not compute as the CPU does.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelfTestError {
    /// Numbers differ by more than roundings.
    #[error(
        "{what} differs from the CPU's by {off_by:.1e} (relative; roundings explain {ALLOWED:.0e})"
    )]
    Disagrees {
        /// Which result of which operation.
        what: String,
        /// Relative L2 distance; infinite if a number is not finite.
        off_by: f64,
    },
    /// Nothing could be computed or read back.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Compares value and gradients of an operation on `device` with the CPU's. Milliseconds, once the shaders are compiled,
/// which a run has to do anyway. The CPU itself has nothing to be compared with.
///
/// # Errors
/// The first result that differs.
pub async fn self_test(device: &Device, check: Check) -> Result<(), SelfTestError> {
    if device.clone().without_autodiff() == Device::flex() {
        return Ok(());
    }
    let expected = results(check, &Device::flex()).await?;
    let got = results(check, device).await?;
    for ((name, got), (_, expected)) in got.iter().zip(&expected) {
        let off_by = distance(got, expected);
        if off_by > ALLOWED {
            let what = format!("{name} of {check:?}");
            return Err(SelfTestError::Disagrees { what, off_by });
        }
    }
    Ok(())
}

/// The kernels that pass [`self_test`] on `device`: one that fails is left out, and the others stay.
pub async fn tested(device: &Device, checks: &[Check]) -> Tested {
    let mut tested = Tested::default();
    for (index, check) in checks.iter().enumerate() {
        // Teacher and student often share a check.
        if checks[..index].contains(check) || !tested.kernels.has(check.operation()) {
            continue;
        }
        if let Err(failure) = self_test(device, *check).await {
            tested.kernels.remove(check.operation());
            tested.failures.push((check.operation(), failure));
        }
    }
    tested
}

type Results = Vec<(&'static str, Vec<f32>)>;

async fn results(check: Check, device: &Device) -> Result<Results, SelfTestError> {
    let device = device.clone().without_autodiff();
    let lengths = Lengths::new(&LENGTHS, LENGTH, &device);
    let lengths = lengths.map_err(|e| SelfTestError::Device(e.to_string()))?;
    match check {
        Check::Relation { student, teacher } => relation(student, teacher, &lengths, &device).await,
        Check::Attention { width } => attended(width, false, &lengths, &device).await,
        Check::BiasedAttention { width } => attended(width, true, &lengths, &device).await,
        Check::Rotary => turned(&device).await,
        Check::Embedding => taken(&device).await,
        Check::Gelu => activated(&device).await,
        Check::FeedForward => fed_forward(&device).await,
        Check::LayerNorm { width } => normalised(width, &device).await,
        Check::Linear => layers(&device).await,
        Check::Projections => projected(&device).await,
        Check::AdamW => optimised(&device).await,
        Check::Mixed {
            width,
            inner,
            mixed,
        } => in_mixed_precision(width, inner, mixed, &device).await,
    }
}

async fn relation(
    student: usize,
    teacher: usize,
    lengths: &Lengths,
    device: &Device,
) -> Result<Results, SelfTestError> {
    let student = taps(student, 1, &device.clone().autodiff());
    let teacher = taps(teacher, 4, device);
    let pairs = [(Pair::QQ, 1.0), (Pair::QK, 0.5), (Pair::VV, 1.0)];
    let loss = relation_loss(
        KernelChoice::Fused,
        &student,
        &teacher,
        &pairs,
        lengths,
        HEADS,
    );
    let loss = loss.map_err(|e| SelfTestError::Device(e.to_string()))?;
    let gradients = loss.total.backward();
    let mut results = with_gradients(("the loss by row", loss.rows), &student, &gradients).await?;
    results.push(("the loss by pair", read(loss.by_pair).await?));
    results.push(("the loss", read(loss.total).await?));
    Ok(results)
}

async fn attended(
    width: usize,
    biased: bool,
    lengths: &Lengths,
    device: &Device,
) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let taps = taps(width, 7, &tracked);
    let bias = || matrix([HEADS, 2 * LENGTH - 1], 24, &tracked).require_grad();
    let bias = biased.then(bias);
    // Padded rows carry no meaning, so they weigh nothing.
    let weight = random(width, 10, device) * lengths.mask(1.0, 0.0).unsqueeze_dim(2);
    let mut results = Vec::new();
    let limited = Reach {
        before: Some(5),
        after: Some(2),
    };
    for reach in [Reach::default(), limited] {
        let (kernels, taps) = (KernelChoice::Fused, taps.clone());
        let how = Attending {
            reach,
            bias: bias.clone(),
            ..Attending::default()
        };
        let out = attention(kernels, taps.clone(), lengths, HEADS, how, None);
        let out = out * weight.clone();
        let gradients = out.clone().sum().backward();
        results.extend(with_gradients(("the output", out), &taps, &gradients).await?);
        if let Some(bias) = &bias {
            results.push((
                "the gradient of the bias",
                gradient(bias, &gradients).await?,
            ));
        }
    }
    Ok(results)
}

/// Some features of a head and not all.
async fn turned(device: &Device) -> Result<Results, SelfTestError> {
    let x = random(10, 25, &device.clone().autodiff()).require_grad();
    let rotation = Rotation::new(100.0, LENGTH, 8);
    let y = rotary(KernelChoice::Fused, x.clone(), &rotation, HEADS);
    let gradients = (y.clone() * random(10, 26, device)).sum().backward();
    Ok(vec![
        ("the output", read(y).await?),
        ("the gradient", gradient(&x, &gradients).await?),
    ])
}

/// One id in many places, most in a few, some in none; of three tables.
async fn taken(device: &Device) -> Result<Results, SelfTestError> {
    const ROWS: u32 = 97;
    const PLACES: u32 = 300;
    let ids = |id: fn(u32) -> u32| {
        let ids: Vec<u32> = (0..PLACES).map(id).collect();
        Ids::new(ids, [2, PLACES as usize / 2])
    };
    let table = |rows: u32, seed| {
        matrix([rows as usize, 20], seed, &device.clone().autodiff()).require_grad()
    };
    let tables = vec![
        (
            table(ROWS, 22),
            ids(|n| if n % 3 == 0 { 7 } else { n * n % ROWS }),
        ),
        (table(PLACES / 2, 27), ids(|n| n % (PLACES / 2))),
        (table(2, 28), ids(|n| n / 290)),
    ];
    let rows = embedding(KernelChoice::Fused, tables.clone());
    let weight = matrix([PLACES as usize, 20], 23, device).reshape(rows.dims());
    let gradients = (rows.clone() * weight).sum().backward();
    let mut results = vec![("the rows", read(rows).await?)];
    for (table, _) in &tables {
        results.push((
            "the gradient of a table",
            gradient(table, &gradients).await?,
        ));
    }
    Ok(results)
}

async fn activated(device: &Device) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let x = random(7, 11, &tracked).require_grad();
    let width = x.dims()[2];
    let bias = random(7, 12, &tracked).reshape([LENGTHS.len() * LENGTH, width]);
    let bias: Tensor<1> = bias.slice([0..1, 0..width]).reshape([width]);
    let y = gelu(KernelChoice::Fused, x.clone(), Some(bias));
    let gradients = y.clone().sum().backward();
    Ok(vec![
        ("the output", read(y).await?),
        ("the gradient", gradient(&x, &gradients).await?),
    ])
}

/// So many rows that those which a GPU's workgroups leave are shared out when they are added up.
async fn normalised(width: usize, device: &Device) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let [b, s] = [8, 70];
    let random = |seed, device| matrix([b * s, width], seed, device).reshape([b, s, width]);
    let vector = |seed| matrix([1, width], seed, &tracked).reshape([width]);
    let [x, residual] = [17, 18].map(|seed| random(seed, &tracked).require_grad());
    let [weight, bias] = [19, 20].map(|seed| -> Tensor<1> { vector(seed).require_grad() });
    let y = layer_norm(
        KernelChoice::Fused,
        x.clone(),
        Some(residual),
        weight.clone(),
        Some(bias.clone()),
        1e-5,
    );
    let gradients = (y.clone() * random(21, device)).sum().backward();
    Ok(vec![
        ("the output", read(y).await?),
        ("the gradient of x", gradient(&x, &gradients).await?),
        (
            "the gradient of weights",
            gradient(&weight, &gradients).await?,
        ),
        ("the gradient of biases", gradient(&bias, &gradients).await?),
    ])
}

/// With both of a GPU's tiles for the output that GELU is of.
async fn fed_forward(device: &Device) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let mut results = Vec::new();
    for [rows, width, inner] in [[1_412, 8, 1_284], [20, 36, 40]] {
        let vector = |width, seed| -> Tensor<1> {
            let vector = matrix([1, width], seed, &tracked).reshape([width]);
            vector.require_grad()
        };
        let projection = |shape: [usize; 2], seed| Projection {
            weight: matrix(shape, seed, &tracked).require_grad(),
            bias: vector(shape[1], seed + 1),
        };
        let x = matrix([rows, width], 80, &tracked).require_grad();
        let (up, down) = (
            projection([width, inner], 81),
            projection([inner, width], 83),
        );
        let (y, again) = feed_forward(KernelChoice::Fused, x.clone(), up.clone(), down.clone());
        let [weight, other] = [85, 86].map(|seed| matrix([rows, width], seed, device));
        let gradients = (y.clone() * weight + again * other).sum().backward();
        results.push(("the output", read(y).await?));
        results.push(("the gradient of x", gradient(&x, &gradients).await?));
        for Projection { weight, bias } in [&up, &down] {
            results.push((
                "the gradient of weights",
                gradient(weight, &gradients).await?,
            ));
            results.push(("the gradient of biases", gradient(bias, &gradients).await?));
        }
    }
    Ok(results)
}

async fn layers(device: &Device) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let mut results = Vec::new();
    for [rows, inputs, outputs] in LAYERS {
        let x = matrix([rows, inputs], 13, &tracked).require_grad();
        let w = matrix([inputs, outputs], 14, &tracked).require_grad();
        let bias = matrix([1, outputs], 15, &tracked).reshape([outputs]);
        let bias: Tensor<1> = bias.require_grad();
        let y = linear(
            KernelChoice::Fused,
            x.clone(),
            w.clone(),
            Some(bias.clone()),
        );
        let weight = matrix([rows, outputs], 16, &tracked);
        let gradients = (y.clone() * weight).sum().backward();
        results.push(("the output", read(y).await?));
        results.push(("the gradient of x", gradient(&x, &gradients).await?));
        results.push(("the gradient of weights", gradient(&w, &gradients).await?));
        results.push(("the gradient of biases", gradient(&bias, &gradients).await?));
    }
    Ok(results)
}

/// Of more rows than a tile has and of a few; the first layer reads numbers beyond those of f16. Numbers below its normal ones are not
/// asked for: devices may take them for 0.
async fn in_mixed_precision(
    width: usize,
    inner: usize,
    mixed: Mixed,
    device: &Device,
) -> Result<Results, SelfTestError> {
    let kernels = Kernels::default().mixing(Some(mixed));
    let vector = |width, seed| -> Tensor<1> {
        let row = matrix([1, width], seed, device);
        row.reshape([width])
    };
    let projection = |shape: [usize; 2], seed| Projection {
        weight: matrix(shape, seed, device),
        bias: vector(shape[1], seed + 1),
    };
    let mut results = Vec::new();
    for rows in [70, 5] {
        let x = matrix([rows, width], 110, device);
        let Projection { weight, bias } = projection([width, width], 111);
        let far = x.clone() * 1e5;
        let y = linear(kernels, far, weight.clone(), Some(bias));
        results.push(("the output", read(y).await?));
        let y = linear(kernels, x.clone(), weight, None);
        results.push(("the output without a bias", read(y).await?));
        let by = Projections {
            weights: [113, 114, 115].map(|seed| matrix([width, width], seed, device)),
            biases: Some([116, 117, 118].map(|seed| vector(width, seed))),
        };
        let states = x.clone().reshape([1, rows, width]);
        let (Taps { q, k, v }, _) = projections(kernels, states, by);
        for vectors in [q, k, v] {
            results.push(("the vectors", read(vectors).await?));
        }
        let up = projection([width, inner], 119);
        let down = projection([inner, width], 121);
        let (y, _) = feed_forward(kernels, x, up, down);
        results.push(("the output of the feed-forward part", read(y).await?));
    }
    Ok(results)
}

/// With both of a GPU's tiles for the vectors, for the gradient of states and for those of weights; and without biases.
async fn projected(device: &Device) -> Result<Results, SelfTestError> {
    let tracked = device.clone().autodiff();
    let mut results = Vec::new();
    for ([rows, width, outputs], is_biased) in [
        ([900, 8, 700], true),
        ([1_412, 1_284, 8], true),
        ([8, 900, 700], true),
        ([20, 36, 40], true),
        ([20, 36, 40], false),
    ] {
        let weight = |seed| matrix([width, outputs], seed, &tracked).require_grad();
        let bias = |seed| -> Tensor<1> {
            let row = matrix([1, outputs], seed, &tracked);
            row.reshape([outputs]).require_grad()
        };
        let by = Projections {
            weights: [90, 91, 92].map(weight),
            biases: is_biased.then(|| [93, 94, 95].map(bias)),
        };
        let states = matrix([rows, width], 96, &tracked).require_grad();
        let input = states.clone().reshape([1, rows, width]);
        let (Taps { q, k, v }, again) = projections(KernelChoice::Fused, input, by.clone());
        let mut loss = (again * matrix([rows, width], 97, device).reshape([1, rows, width])).sum();
        for (vectors, seed) in [q, k, v].into_iter().zip(98..) {
            let weight = matrix([rows, outputs], seed, device).reshape([1, rows, outputs]);
            results.push(("the vectors", read(vectors.clone()).await?));
            loss = loss + (vectors * weight).sum();
        }
        let gradients = loss.backward();
        results.push((
            "the gradient of states",
            gradient(&states, &gradients).await?,
        ));
        for weight in &by.weights {
            results.push((
                "the gradient of weights",
                gradient(weight, &gradients).await?,
            ));
        }
        for bias in by.biases.iter().flatten() {
            results.push(("the gradient of biases", gradient(bias, &gradients).await?));
        }
    }
    Ok(results)
}

/// Two updates, the first of which lacks a gradient.
async fn optimised(device: &Device) -> Result<Results, SelfTestError> {
    let tensors = |seed: u32| {
        let shapes = PARAMETERS.iter().zip(seed..);
        shapes.map(|(shape, seed)| matrix(*shape, seed, device))
    };
    let mut parameters: Vec<AdamWParameter> = tensors(20)
        .enumerate()
        .map(|(at, values)| AdamWParameter {
            values,
            moments: None,
            time: 1,
            decays: at % 2 == 0,
        })
        .collect();
    let mut results = Vec::new();
    for seed in [40, 60] {
        let gradients = tensors(seed).enumerate();
        let gradients = gradients.map(|(at, g)| (at != WITHOUT || seed != 40).then_some(g));
        let (updated, squares) = updated(parameters, gradients.collect());
        parameters = updated;
        let values = read(Tensor::cat(squares, 0)).await?;
        let sum: f64 = values.iter().map(|x| f64::from(*x)).sum();
        results.push(("the norm of gradients", vec![sum.sqrt() as f32]));
    }
    for AdamWParameter {
        values, moments, ..
    } in parameters
    {
        results.push(("the parameters", read(values).await?));
        if let Some(AdamWMoments { first, second }) = moments {
            results.push(("the first moments", read(first).await?));
            results.push(("the second moments", read(second).await?));
        }
    }
    Ok(results)
}

/// Updates parameters as a run on their device does, and gives the squares of their gradients.
fn updated(
    parameters: Vec<AdamWParameter>,
    gradients: Vec<Option<Tensor<2>>>,
) -> (Vec<AdamWParameter>, Vec<Tensor<1>>) {
    let scalars = AdamWScalars {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-6,
        weight_decay: 0.1,
        time: 1,
        gradient_scale: 0.5,
    };
    let facts = parameters.iter().zip(&gradients);
    let facts: Vec<(u64, bool)> = facts
        .map(|(p, g)| (p.time + u64::from(g.is_some()), p.decays))
        .collect();
    let kernels = KernelChoice::Fused;
    let (updated, squares) = update_all(kernels, &PARAMETERS, parameters, gradients, scalars);
    let updated = updated.into_iter().zip(facts);
    let updated = updated.map(|((values, moments), (time, decays))| AdamWParameter {
        values,
        moments: Some(moments),
        time,
        decays,
    });
    (updated.collect(), squares)
}

/// A result, and the gradients of what it was made from.
async fn with_gradients<const D: usize>(
    (name, result): (&'static str, Tensor<D>),
    taps: &Taps,
    gradients: &Gradients,
) -> Result<Results, SelfTestError> {
    let mut results = vec![(name, read(result).await?)];
    for (name, tensor) in [
        ("the gradient of queries", &taps.q),
        ("the gradient of keys", &taps.k),
        ("the gradient of values", &taps.v),
    ] {
        results.push((name, gradient(tensor, gradients).await?));
    }
    Ok(results)
}

fn taps(width: usize, seed: usize, device: &Device) -> Taps {
    let of = |seed| {
        let tensor = random(width, seed, device);
        match device.is_autodiff() {
            true => tensor.require_grad(),
            false => tensor,
        }
    };
    Taps {
        q: of(seed),
        k: of(seed + 1),
        v: of(seed + 2),
    }
}

/// (B, S, A * width), numbers between -1 and 1 without a pattern.
fn random(width: usize, seed: usize, device: &Device) -> Tensor<3> {
    let shape = [LENGTHS.len(), LENGTH, HEADS * width];
    let count = shape.iter().product::<usize>();
    let value = |n: usize| (((seed * 7919 + n) as f64 * 12.9898).sin() * 43_758.545_3).fract();
    let values: Vec<f32> = (0..count).map(|n| value(n) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Numbers between -1 and 1 without a pattern, many at little cost.
fn matrix(shape: [usize; 2], seed: u32, device: &Device) -> Tensor<2> {
    let count = (shape[0] * shape[1]) as u32;
    let value = |n: u32| {
        let mixed = (n ^ seed << 24).wrapping_mul(0x9E37_79B1);
        (mixed ^ mixed >> 15)
            .wrapping_mul(0x85EB_CA77)
            .cast_signed() as f32
            / i32::MAX as f32
    };
    let values: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

async fn gradient<const D: usize>(
    of: &Tensor<D>,
    gradients: &Gradients,
) -> Result<Vec<f32>, SelfTestError> {
    match of.grad(gradients) {
        Some(gradient) => read(gradient).await,
        None => Err(SelfTestError::Device("a gradient is missing".into())),
    }
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, SelfTestError> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|e| SelfTestError::Device(e.to_string()))?;
    data.try_to_vec()
        .map_err(|e| SelfTestError::Device(format!("{e:?}")))
}

/// Relative L2 distance; infinite where a number is not finite.
fn distance(got: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = got.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = expected.iter().copied().map(square).sum();
    let off_by = (off / size).sqrt();
    if off_by.is_finite() {
        off_by
    } else {
        f64::INFINITY
    }
}
