//! The table of kernels: what each is called on, how it is judged, what it takes of floating-point operations and memory at
//! least, and the call that is timed.

use burn::tensor::module::{embedding, layer_norm};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use limbeck_kernels::{
    AdamWMoments, AdamWScalars, Check, Lengths, Taps, adamw, attention, gelu, linear, matmul,
    relation_loss,
};
use limbeck_recipe::{KernelChoice, Pair, Rng};

/// S.
const LENGTH: usize = 128;
/// Attention heads of both models.
const HEADS: usize = 12;
const VOCABULARY: usize = 30_522;
/// Hidden sizes of teacher and student; the feed-forward part is four times as wide.
const TEACHER: usize = 768;
const STUDENT: usize = 384;
/// BERT's.
const LAYER_NORM_EPS: f64 = 1e-12;

/// One call of a kernel, with all its tensors.
pub type Call = Box<dyn FnMut() -> Result<(), String>>;

/// Makes the tensors of a call.
type Prepare = Box<dyn Fn(&Device) -> Result<Call, String>>;

/// A kernel on tensors of one size.
pub struct Kernel {
    pub name: &'static str,
    /// Of its tensors.
    pub sizes: String,
    pub judge: Judge,
    /// Floating-point operations of its products, each once; none where it only goes over its tensors.
    pub flops: Option<f64>,
    /// Bytes that nothing spares: each tensor read and written once. A backward pass begins with a gradient of ones, which
    /// is written.
    pub bytes: f64,
    pub prepare: Prepare,
}

impl Kernel {
    /// Whether it is one matrix product and no more.
    pub fn multiplies(&self) -> bool {
        self.name.starts_with("linear")
    }
}

/// How the answer of a kernel is set beside the CPU's.
#[derive(Clone, Copy)]
pub enum Judge {
    /// As before every run.
    SelfTest(Check),
    /// Where the self-test has nothing: a small case, computed on both.
    Compare(Compared),
}

/// Results of a small case; none where a gradient is missing.
pub type Compared = fn(&Device) -> Option<Vec<Tensor<2>>>;

/// Every kernel, on the sizes of a step of 12x768 -> 6x384 with so many sequences of 128 tokens.
pub fn table(batch: usize) -> Vec<Kernel> {
    let rows = batch * LENGTH;
    let mut all = Vec::new();
    for [inputs, outputs] in layers(TEACHER) {
        all.push(forward(rows, inputs, outputs));
    }
    for [inputs, outputs] in layers(STUDENT) {
        all.push(forward(rows, inputs, outputs));
        all.push(gradient_of_inputs(rows, inputs, outputs));
        all.push(gradient_of_weights(rows, inputs, outputs));
    }
    all.extend([
        attends(batch, TEACHER, false),
        attends(batch, STUDENT, true),
        relations(batch, 12),
        relations(batch, 48),
        activates(batch, 4 * TEACHER, false),
        activates(batch, 4 * STUDENT, true),
        normalises(batch, TEACHER, false),
        normalises(batch, STUDENT, true),
        embeds(batch, TEACHER, false),
        embeds(batch, STUDENT, true),
        updates(VOCABULARY, STUDENT),
    ]);
    all
}

/// Inputs and outputs of the linear layers of a block.
fn layers(hidden: usize) -> [[usize; 2]; 3] {
    [[hidden, hidden], [hidden, 4 * hidden], [4 * hidden, hidden]]
}

fn floats(count: usize) -> f64 {
    (size_of::<f32>() * count) as f64
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// What is differentiated where `backward` is asked for.
fn input<const D: usize>(shape: [usize; D], device: &Device, backward: bool) -> Tensor<D> {
    match backward {
        true => random(shape, &device.clone().autodiff()).require_grad(),
        false => random(shape, device),
    }
}

/// Ends a call: computes the gradients of what was tracked, if anything was.
fn end<const D: usize>(y: Tensor<D>, backward: bool) {
    match backward {
        true => drop(y.backward()),
        false => drop(y),
    }
}

fn of_pass(backward: bool, forward: &'static str, both: &'static str) -> &'static str {
    match backward {
        true => both,
        false => forward,
    }
}

/// A product (M, K) times (K, N): 2 M K N operations; both factors are read, the product is written.
fn product(
    name: &'static str,
    sizes: String,
    [m, k, n]: [usize; 3],
    prepare: impl Fn(&Device) -> Call + 'static,
) -> Kernel {
    Kernel {
        name,
        sizes,
        judge: Judge::SelfTest(Check::Linear),
        flops: Some(2.0 * (m * k * n) as f64),
        bytes: floats(m * k + k * n + m * n),
        prepare: Box::new(move |device| Ok(prepare(device))),
    }
}

fn forward(rows: usize, inputs: usize, outputs: usize) -> Kernel {
    let sizes = format!("{rows} x {inputs} x {outputs}");
    product(
        "linear x w",
        sizes,
        [rows, inputs, outputs],
        move |device| {
            let (x, w) = (
                random([rows, inputs], device),
                random([inputs, outputs], device),
            );
            let bias: Tensor<1> = random([outputs], device);
            Box::new(move || {
                let bias = Some(bias.clone());
                drop(linear(KernelChoice::Fused, x.clone(), w.clone(), bias));
                Ok(())
            })
        },
    )
}

fn gradient_of_inputs(rows: usize, inputs: usize, outputs: usize) -> Kernel {
    let sizes = format!("{rows} x {outputs} x {inputs}");
    product(
        "linear dy w^T",
        sizes,
        [rows, outputs, inputs],
        move |device| {
            let dy = random([rows, outputs], device);
            let w: Tensor<2> = random([inputs, outputs], device);
            Box::new(move || {
                let w = w.clone().transpose();
                drop(matmul(KernelChoice::Fused, dy.clone(), w));
                Ok(())
            })
        },
    )
}

fn gradient_of_weights(rows: usize, inputs: usize, outputs: usize) -> Kernel {
    let sizes = format!("{inputs} x {rows} x {outputs}");
    product(
        "linear x^T dy",
        sizes,
        [inputs, rows, outputs],
        move |device| {
            let x: Tensor<2> = random([rows, inputs], device);
            let dy = random([rows, outputs], device);
            Box::new(move || {
                let x = x.clone().transpose();
                drop(matmul(KernelChoice::Fused, x, dy.clone()));
                Ok(())
            })
        },
    )
}

/// Two products of B S S H forward, four backward. Forward q, k, v are read and the output is written; backward its ones
/// are written, these five are read, and three gradients are written.
fn attends(batch: usize, hidden: usize, backward: bool) -> Kernel {
    let products = if backward { 6 } else { 2 };
    let tensors = if backward { 4 + 1 + 5 + 3 } else { 4 };
    let shape = [batch, LENGTH, hidden];
    Kernel {
        name: of_pass(
            backward,
            "attention forward",
            "attention forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH}, {HEADS} heads of {}", hidden / HEADS),
        judge: Judge::SelfTest(Check::Attention {
            width: hidden / HEADS,
        }),
        flops: Some((products * 2 * batch * LENGTH * LENGTH * hidden) as f64),
        bytes: floats(tensors * batch * LENGTH * hidden),
        prepare: Box::new(move |device| {
            let taps = taps(shape, device, backward);
            let lengths = full(batch, device)?;
            Ok(Box::new(move || {
                let y = attention(KernelChoice::Fused, taps.clone(), &lengths, HEADS, None);
                end(y, backward);
                Ok(())
            }))
        }),
    }
}

fn taps(shape: [usize; 3], device: &Device, backward: bool) -> Taps {
    let of = || input(shape, device, backward);
    Taps {
        q: of(),
        k: of(),
        v: of(),
    }
}

fn full(batch: usize, device: &Device) -> Result<Lengths, String> {
    Lengths::new(&vec![LENGTH; batch], LENGTH, device).map_err(|e| e.to_string())
}

/// By pair the scores of both models forward and two products with the student's vectors backward, A S S D of each. Both
/// passes read all projections, the backward pass writes the student's gradients; three numbers by row are written, three
/// read.
fn relations(batch: usize, heads: usize) -> Kernel {
    const PAIRS: [(Pair, f64); 3] = [(Pair::QQ, 1.0), (Pair::KK, 1.0), (Pair::VV, 1.0)];
    let (tokens, pairs) = (batch * LENGTH, PAIRS.len());
    let products = TEACHER + STUDENT + 2 * STUDENT;
    let projections = 2 * TEACHER + 3 * STUDENT;
    Kernel {
        name: "relation loss forward and backward",
        sizes: format!(
            "B {batch} S {LENGTH} A {heads}, {} and {} wide",
            TEACHER / heads,
            STUDENT / heads
        ),
        judge: Judge::SelfTest(Check::Relation {
            student: STUDENT / heads,
            teacher: TEACHER / heads,
        }),
        flops: Some((2 * pairs * tokens * LENGTH * products) as f64),
        bytes: floats(pairs * tokens * (projections + 6 * heads)),
        prepare: Box::new(move |device| {
            let teacher = taps([batch, LENGTH, TEACHER], device, false);
            let student = taps([batch, LENGTH, STUDENT], device, true);
            let lengths = full(batch, device)?;
            Ok(Box::new(move || {
                let kernel = KernelChoice::Fused;
                let loss = relation_loss(kernel, &student, &teacher, &PAIRS, &lengths, heads);
                end(loss.map_err(|e| e.to_string())?.total, true);
                Ok(())
            }))
        }),
    }
}

/// Forward x is read and y written; backward both again, and the gradient of x is written.
fn activates(batch: usize, width: usize, backward: bool) -> Kernel {
    Kernel {
        name: of_pass(backward, "GELU forward", "GELU forward and backward"),
        sizes: format!("B {batch} S {LENGTH} x {width}"),
        judge: Judge::SelfTest(Check::Gelu),
        flops: None,
        bytes: elementwise(batch, width, backward),
        prepare: Box::new(move |device| {
            let x: Tensor<3> = input([batch, LENGTH, width], device, backward);
            let bias: Tensor<1> = input([width], device, backward);
            Ok(Box::new(move || {
                end(gelu(KernelChoice::Fused, x.clone(), bias.clone()), backward);
                Ok(())
            }))
        }),
    }
}

/// A pass over (B, S, width) reads and writes it; the pass back has its ones written, reads two of that size and writes one.
fn elementwise(batch: usize, width: usize, backward: bool) -> f64 {
    let tensors = if backward { 2 + 1 + 3 } else { 2 };
    floats(tensors * batch * LENGTH * width)
}

/// Forward x is read and y written; backward x and the gradient of y are read, and that of x is written.
fn normalises(batch: usize, width: usize, backward: bool) -> Kernel {
    Kernel {
        name: of_pass(
            backward,
            "LayerNorm forward",
            "LayerNorm forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH} x {width}"),
        judge: Judge::Compare(|device| {
            let tracked = device.clone().autodiff();
            let x: Tensor<3> = plain([5, 48], 1, &tracked).reshape([1, 5, 48]);
            let x = x.require_grad();
            let [weight, bias] = [2, 3].map(|seed| plain([1, 48], seed, &tracked).reshape([48]));
            let y = normed(x.clone(), weight, bias);
            let weights = plain([5, 48], 4, &tracked).reshape([1, 5, 48]);
            let gradients = (y.clone() * weights).sum().backward();
            let both = [y.without_autodiff(), x.grad(&gradients)?];
            Some(both.map(|of| of.reshape([5, 48])).into())
        }),
        flops: None,
        bytes: elementwise(batch, width, backward),
        prepare: Box::new(move |device| {
            let x: Tensor<3> = input([batch, LENGTH, width], device, backward);
            let [weight, bias] = [0; 2].map(|_| input::<1>([width], device, backward));
            Ok(Box::new(move || {
                end(normed(x.clone(), weight.clone(), bias.clone()), backward);
                Ok(())
            }))
        }),
    }
}

/// As the model calls it.
fn normed(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<3> {
    layer_norm(x, weight, Some(bias), LAYER_NORM_EPS)
}

/// Forward a row is read and written by token; backward as many are read, and a whole table of gradients is written.
fn embeds(batch: usize, width: usize, backward: bool) -> Kernel {
    let tokens = batch * LENGTH;
    let rows = if backward {
        4 * tokens + VOCABULARY
    } else {
        2 * tokens
    };
    Kernel {
        name: of_pass(
            backward,
            "embedding forward",
            "embedding forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH} of {VOCABULARY} x {width}"),
        judge: Judge::Compare(|device| {
            let tracked = device.clone().autodiff();
            let table = plain([40, 16], 1, &tracked).require_grad();
            let y = embedded(table.clone(), ids(1, 40, device));
            let weights = plain([LENGTH, 16], 2, &tracked).reshape([1, LENGTH, 16]);
            let gradients = (y.clone() * weights).sum().backward();
            let y = y.without_autodiff().reshape([LENGTH, 16]);
            Some(vec![y, table.grad(&gradients)?])
        }),
        flops: None,
        bytes: floats(rows * width),
        prepare: Box::new(move |device| {
            let table: Tensor<2> = input([VOCABULARY, width], device, backward);
            let ids = ids(batch, VOCABULARY, device);
            Ok(Box::new(move || {
                end(embedded(table.clone(), ids.clone()), backward);
                Ok(())
            }))
        }),
    }
}

/// As the model calls it.
fn embedded(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    embedding(table, ids)
}

/// (B, S) of random ids.
fn ids(batch: usize, vocabulary: usize, device: &Device) -> Tensor<2, Int> {
    let mut rng = Rng::new(3);
    let ids = (0..batch * LENGTH).map(|_| rng.below(vocabulary as u64) as i32);
    let ids = TensorData::new(ids.collect::<Vec<i32>>(), [batch, LENGTH]);
    Tensor::from_data(ids, device)
}

/// Parameter, gradient and two moments are read; all but the gradient are written.
fn updates(rows: usize, width: usize) -> Kernel {
    Kernel {
        name: "AdamW",
        sizes: format!("{rows} x {width}"),
        judge: Judge::Compare(|device| {
            let [parameter, gradient] = [1, 2].map(|seed| plain([7, 33], seed, device));
            let first = AdamWMoments {
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            };
            let (parameter, moments) = updated(parameter, gradient, first);
            Some(vec![parameter, moments.first, moments.second])
        }),
        flops: None,
        bytes: floats(7 * rows * width),
        prepare: Box::new(move |device| {
            let [parameter, gradient] = [0; 2].map(|_| random::<2>([rows, width], device));
            let moments = AdamWMoments {
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            };
            // Moved through the call, as in training: a buffer that nobody else holds is updated where it is.
            let mut state = Some((parameter, moments));
            Ok(Box::new(move || {
                let (parameter, moments) = state.take().ok_or("the update before failed")?;
                state = Some(updated(parameter, gradient.clone(), moments));
                Ok(())
            }))
        }),
    }
}

/// As the trainer calls it.
fn updated(
    parameter: Tensor<2>,
    gradient: Tensor<2>,
    moments: AdamWMoments<2>,
) -> (Tensor<2>, AdamWMoments<2>) {
    let scalars = AdamWScalars {
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-6,
        weight_decay: 0.01,
        time: 10,
        gradient_scale: 0.5,
    };
    adamw(parameter, gradient, moments, scalars)
}

/// The same numbers between -1 and 1 on every device.
fn plain(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut rng = Rng::new(seed);
    let number = |_| rng.below(2001) as f32 / 1000.0 - 1.0;
    let numbers: Vec<f32> = (0..shape[0] * shape[1]).map(number).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}
