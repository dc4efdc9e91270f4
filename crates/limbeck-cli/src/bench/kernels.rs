//! The table of kernels: what each is called on, how it is judged, what it takes of floating-point operations and memory at
//! least, and the call that is timed.

use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::{
    AdamWParameter, AdamWScalars, Attending, Check, Ids, Lengths, Projection, Projections,
    Rotation, Taps, attention, embedding, feed_forward, gelu, layer_norm, linear, matmul,
    projections, relation_loss, rotary, update_all,
};
use limbeck_recipe::{KernelChoice, Kernels, Mixed, Pair, Rng};

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
    /// How its answer is set beside the CPU's, as before every run.
    pub judge: Check,
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

    /// Whether it is in mixed precision.
    pub fn is_mixed(&self) -> bool {
        matches!(self.judge, Check::Mixed { .. })
    }
}

/// Every kernel, on the sizes of a step of 12x768 -> 6x384 with so many sequences of 128 tokens; the teacher's linear layers in mixed
/// precision, too, if the device has that.
pub fn table(batch: usize, mixed: Option<Mixed>) -> Vec<Kernel> {
    let rows = batch * LENGTH;
    let mut all = Vec::new();
    for [inputs, outputs] in layers(TEACHER) {
        all.push(forward(rows, inputs, outputs, None));
        if mixed.is_some() {
            all.push(forward(rows, inputs, outputs, mixed));
        }
    }
    for [inputs, outputs] in layers(STUDENT) {
        all.push(forward(rows, inputs, outputs, None));
        all.push(gradient_of_inputs(rows, inputs, outputs));
        all.push(gradient_of_weights(rows, inputs, outputs));
    }
    all.extend([
        projects(batch, TEACHER, false),
        projects(batch, STUDENT, true),
        attends(batch, TEACHER, false),
        attends(batch, STUDENT, true),
        relations(batch, 12),
        relations(batch, 48),
        feeds(batch, TEACHER, false),
        feeds(batch, STUDENT, true),
        activates(batch, 4 * TEACHER, false),
        activates(batch, 4 * STUDENT, true),
        turns(batch, TEACHER, false),
        turns(batch, STUDENT, true),
        normalises(batch, TEACHER, false),
        normalises(batch, STUDENT, true),
        embeds(batch, TEACHER, false),
        embeds(batch, STUDENT, true),
        optimises(6, STUDENT),
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
        judge: Check::Linear,
        flops: Some(2.0 * (m * k * n) as f64),
        bytes: floats(m * k + k * n + m * n),
        prepare: Box::new(move |device| Ok(prepare(device))),
    }
}

fn forward(rows: usize, inputs: usize, outputs: usize, mixed: Option<Mixed>) -> Kernel {
    let sizes = format!("{rows} x {inputs} x {outputs}");
    let kernels = Kernels::default().mixing(mixed);
    let (name, judge) = match mixed {
        None => ("linear x w", Check::Linear),
        Some(mixed) => {
            let (width, inner) = (TEACHER, 4 * TEACHER);
            let judge = Check::Mixed {
                width,
                inner,
                mixed,
            };
            ("linear x w, mixed precision", judge)
        }
    };
    let kernel = product(name, sizes, [rows, inputs, outputs], move |device| {
        let (x, w) = (
            random([rows, inputs], device),
            random([inputs, outputs], device),
        );
        let bias: Tensor<1> = random([outputs], device);
        Box::new(move || {
            let bias = Some(bias.clone());
            drop(linear(kernels, x.clone(), w.clone(), bias));
            Ok(())
        })
    });
    Kernel { judge, ..kernel }
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

/// Three products of M H H forward, six backward. Forward the states and the weights are read and three vectors are written; backward
/// ones are written for each, and each product reads its factors: states once, and writes.
fn projects(batch: usize, hidden: usize, backward: bool) -> Kernel {
    let rows = batch * LENGTH;
    let (narrow, weights) = (rows * hidden, 3 * hidden * hidden);
    let products = if backward { 9 } else { 3 };
    // The concatenation that this differentiates reads and writes the three once more; ones are written for all.
    let back = 9 * narrow + (3 * narrow + weights + narrow) + (4 * narrow + weights);
    Kernel {
        name: of_pass(
            backward,
            "attention's projections forward",
            "attention's projections forward and backward",
        ),
        sizes: format!("{rows} x {hidden} x 3 * {hidden}"),
        judge: Check::Projections,
        flops: Some(2.0 * (products * rows * hidden * hidden) as f64),
        bytes: floats(4 * narrow + weights + if backward { back } else { 0 }),
        prepare: Box::new(move |device| {
            let states: Tensor<3> = input([batch, LENGTH, hidden], device, backward);
            let by = Projections {
                weights: [(); 3].map(|()| input([hidden, hidden], device, backward)),
                biases: Some([(); 3].map(|()| input([hidden], device, backward))),
            };
            Ok(Box::new(move || {
                let (states, by) = (states.clone(), by.clone());
                let (Taps { q, k, v }, _) = projections(KernelChoice::Fused, states, by);
                match backward {
                    true => end(Tensor::cat(vec![q, k, v], 0), true),
                    false => end(q, false),
                }
                Ok(())
            }))
        }),
    }
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
        judge: Check::Attention {
            width: hidden / HEADS,
        },
        flops: Some((products * 2 * batch * LENGTH * LENGTH * hidden) as f64),
        bytes: floats(tensors * batch * LENGTH * hidden),
        prepare: Box::new(move |device| {
            let taps = taps(shape, device, backward);
            let lengths = full(batch, device)?;
            Ok(Box::new(move || {
                let how = Attending::default();
                let y = attention(
                    KernelChoice::Fused,
                    taps.clone(),
                    &lengths,
                    HEADS,
                    how,
                    None,
                );
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
        judge: Check::Relation {
            student: STUDENT / heads,
            teacher: TEACHER / heads,
        },
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

/// Two products of M H F, and four more backward. Forward x, both weights and what GELU gives, twice, and y; backward its argument is
/// written, ones are, and each product reads its factors, the first the argument too, and writes.
fn feeds(batch: usize, hidden: usize, backward: bool) -> Kernel {
    let (rows, inner) = (batch * LENGTH, 4 * hidden);
    let (narrow, wide, weights) = (rows * hidden, rows * inner, hidden * inner);
    let back = 5 * narrow + 6 * wide + 4 * weights;
    let products = if backward { 6 } else { 2 };
    Kernel {
        name: of_pass(
            backward,
            "feed-forward part forward",
            "feed-forward part forward and backward",
        ),
        sizes: format!("{rows} x {hidden} x {inner}"),
        judge: Check::FeedForward,
        flops: Some(2.0 * (products * rows * hidden * inner) as f64),
        bytes: floats(2 * (narrow + wide + weights) + if backward { back } else { 0 }),
        prepare: Box::new(move |device| {
            let x: Tensor<2> = input([rows, hidden], device, backward);
            let projection = |from, to| Projection {
                weight: input([from, to], device, backward),
                bias: input([to], device, backward),
            };
            let (up, down) = (projection(hidden, inner), projection(inner, hidden));
            Ok(Box::new(move || {
                let (x, up, down) = (x.clone(), up.clone(), down.clone());
                let (fed, _) = feed_forward(KernelChoice::Fused, x, up, down);
                end(fed, backward);
                Ok(())
            }))
        }),
    }
}

/// GELU by itself, as a gated feed-forward part has it. Forward x is read and y is written; backward ones are written, they and x are
/// read, and the gradient of x is written and read again for that of the bias.
fn activates(batch: usize, width: usize, backward: bool) -> Kernel {
    let tensors = if backward { 2 + 1 + 4 } else { 2 };
    Kernel {
        name: of_pass(backward, "GELU forward", "GELU forward and backward"),
        sizes: format!("B {batch} S {LENGTH} x {width}"),
        judge: Check::Gelu,
        flops: None,
        bytes: floats(tensors * batch * LENGTH * width),
        prepare: Box::new(move |device| {
            let x: Tensor<3> = input([batch, LENGTH, width], device, backward);
            let bias: Tensor<1> = input([width], device, backward);
            Ok(Box::new(move || {
                let y = gelu(KernelChoice::Fused, x.clone(), Some(bias.clone()));
                end(y, backward);
                Ok(())
            }))
        }),
    }
}

/// Rotary positions of queries or keys. Forward x is read and y is written; backward ones are written and read, and the gradient of x
/// is written.
fn turns(batch: usize, hidden: usize, backward: bool) -> Kernel {
    /// Of ModernBERT.
    const THETA: f64 = 160_000.0;
    let tensors = if backward { 2 + 3 } else { 2 };
    let width = hidden / HEADS;
    Kernel {
        name: of_pass(
            backward,
            "rotary positions forward",
            "rotary positions forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH}, {HEADS} heads of {width}"),
        judge: Check::Rotary,
        flops: None,
        bytes: floats(tensors * batch * LENGTH * hidden),
        prepare: Box::new(move |device| {
            let x: Tensor<3> = input([batch, LENGTH, hidden], device, backward);
            let rotation = Rotation::new(THETA, LENGTH, width);
            Ok(Box::new(move || {
                let y = rotary(KernelChoice::Fused, x.clone(), &rotation, HEADS);
                end(y, backward);
                Ok(())
            }))
        }),
    }
}

/// Of x and a residual, as in a block. Forward both are read and y is written; backward ones are written, they and both terms are
/// read, and the gradient of their sum is written.
fn normalises(batch: usize, width: usize, backward: bool) -> Kernel {
    let tensors = if backward { 3 + 1 + 4 } else { 3 };
    Kernel {
        name: of_pass(
            backward,
            "LayerNorm forward",
            "LayerNorm forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH} x {width}"),
        judge: Check::LayerNorm { width },
        flops: None,
        bytes: floats(tensors * batch * LENGTH * width),
        prepare: Box::new(move |device| {
            let term = || input::<3>([batch, LENGTH, width], device, backward);
            let (x, residual) = (term(), term());
            let [weight, bias] = [0; 2].map(|_| input::<1>([width], device, backward));
            Ok(Box::new(move || {
                let (x, residual) = (x.clone(), Some(residual.clone()));
                let (weight, bias) = (weight.clone(), bias.clone());
                let y = layer_norm(
                    KernelChoice::Fused,
                    x,
                    residual,
                    weight,
                    Some(bias),
                    LAYER_NORM_EPS,
                );
                end(y, backward);
                Ok(())
            }))
        }),
    }
}

/// Of words, positions and types. Forward a row of each is read and one written by token; backward ones are written and read, and
/// whole tables of gradients are written.
fn embeds(batch: usize, width: usize, backward: bool) -> Kernel {
    let tokens = batch * LENGTH;
    let rows = if backward {
        6 * tokens + VOCABULARY + LENGTH + 2
    } else {
        4 * tokens
    };
    Kernel {
        name: of_pass(
            backward,
            "embedding forward",
            "embedding forward and backward",
        ),
        sizes: format!("B {batch} S {LENGTH} of {VOCABULARY} x {width}"),
        judge: Check::Embedding,
        flops: None,
        bytes: floats(rows * width),
        prepare: Box::new(move |device| {
            let table = |rows| input::<2>([rows, width], device, backward);
            let shape = [batch, LENGTH];
            let positions = (0..batch * LENGTH).map(|at| (at % LENGTH) as u32);
            let positions = Ids::new(positions.collect::<Vec<u32>>(), shape);
            let tables = vec![
                (table(VOCABULARY), ids(batch, VOCABULARY)),
                (table(LENGTH), positions),
                (table(2), Ids::new(vec![0; batch * LENGTH], shape)),
            ];
            Ok(Box::new(move || {
                end(embedding(KernelChoice::Fused, tables.clone()), backward);
                Ok(())
            }))
        }),
    }
}

/// (B, S) of random ids.
fn ids(batch: usize, vocabulary: usize) -> Ids {
    let mut rng = Rng::new(3);
    let ids = (0..batch * LENGTH).map(|_| rng.below(vocabulary as u64) as u32);
    Ids::new(ids.collect::<Vec<u32>>(), [batch, LENGTH])
}

/// The norm of the gradients, and AdamW, of all parameters of a student, as a step ends. For the norm the gradients are read; for the
/// update they are read again with values and two moments, and all but the gradients are written.
fn optimises(layers: usize, hidden: usize) -> Kernel {
    let shapes = shapes_of_student(layers, hidden);
    let numbers: usize = shapes.iter().map(|[rows, columns]| rows * columns).sum();
    Kernel {
        name: "AdamW and norm",
        sizes: format!("{} parameters of {layers}x{hidden}", shapes.len()),
        judge: Check::AdamW,
        flops: None,
        bytes: floats(8 * numbers),
        prepare: Box::new(move |device| {
            let shapes = shapes.clone();
            let of_all = || shapes.iter().map(|shape| random::<2>(*shape, device));
            let gradients: Vec<Tensor<2>> = of_all().collect();
            // Moved through the call, as in training: a buffer that nobody else holds is updated where it is.
            let mut state: Vec<AdamWParameter> = of_all().map(fresh).collect();
            Ok(Box::new(move || {
                let gradients = gradients.iter().cloned().map(Some).collect();
                state = updated(&shapes, std::mem::take(&mut state), gradients);
                Ok(())
            }))
        }),
    }
}

/// A table of words, and of each layer the matrices and the vectors, which are as many.
fn shapes_of_student(layers: usize, hidden: usize) -> Vec<[usize; 2]> {
    let wide = 4 * hidden;
    let square = [[hidden, hidden]; 4];
    let vectors = [[1, hidden]; 9];
    let layer = square
        .into_iter()
        .chain([[hidden, wide], [wide, hidden], [1, wide]])
        .chain(vectors);
    let layers = (0..layers).flat_map(|_| layer.clone());
    [[VOCABULARY, hidden]].into_iter().chain(layers).collect()
}

fn fresh(values: Tensor<2>) -> AdamWParameter {
    AdamWParameter {
        values,
        moments: None,
        time: 1,
        decays: true,
    }
}

/// As a step ends.
fn updated(
    shapes: &[[usize; 2]],
    parameters: Vec<AdamWParameter>,
    gradients: Vec<Option<Tensor<2>>>,
) -> Vec<AdamWParameter> {
    let scalars = AdamWScalars {
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-6,
        weight_decay: 0.01,
        time: 1,
        gradient_scale: 0.5,
    };
    let fused = KernelChoice::Fused;
    let (updated, squares) = update_all(fused, shapes, parameters, gradients, scalars);
    drop(squares);
    let again = |(values, moments)| AdamWParameter {
        moments: Some(moments),
        ..fresh(values)
    };
    updated.into_iter().map(again).collect()
}
