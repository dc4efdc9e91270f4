//! The device report: are its results right, and how fast is it?

use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::{Check, Lengths, Taps, matmul, relation_loss, tested};
use limbeck_protocol::{EngineInfo, Figure};
use limbeck_recipe::{DeviceChoice, KernelChoice, Pair};

use crate::World;

/// B, A, S, and widths of relation heads of student and teacher: a step of the smaller presets.
const SHAPE: (usize, usize, usize, usize, usize) = (8, 8, 64, 8, 16);
/// Side of the square matrices that are multiplied.
const SIDE: usize = 256;
/// Number of timed repetitions, of which the best counts; the first call, which compiles, is not timed.
const TIMES: usize = 3;

/// Everything about the place, its devices, their self-test and their speed.
pub async fn figures<W: World>(world: &W) -> Vec<Figure> {
    let info = world.info().await;
    let mut figures = about(&info);
    let mut choices = vec![("CPU", DeviceChoice::Cpu)];
    if info.adapter.is_some() {
        choices.push(("GPU", DeviceChoice::Gpu));
    }
    for (name, choice) in choices {
        match world.open(choice).await {
            Ok(opened) => {
                let of_device = measure(world, &opened.device).await;
                figures.extend(of_device.into_iter().map(|f| Figure {
                    name: format!("{name}: {}", f.name),
                    ..f
                }));
            }
            Err(reason) => figures.push(figure(name, reason)),
        }
    }
    figures
}

fn figure(name: impl Into<String>, value: impl Into<String>) -> Figure {
    Figure {
        name: name.into(),
        value: value.into(),
    }
}

fn about(info: &EngineInfo) -> Vec<Figure> {
    let mut figures = vec![
        figure("Engine", format!("{:?}, {}", info.kind, info.software)),
        figure("CPU", &info.cpu),
    ];
    match &info.adapter {
        None => figures.push(figure("GPU", "none")),
        Some(adapter) => {
            let kind = if adapter.software { " (software)" } else { "" };
            figures.push(figure("GPU", format!("{}{kind}", adapter.name)));
            figures.push(figure(
                "f16 in shaders",
                if adapter.f16 { "yes" } else { "no" },
            ));
            let limits = adapter.limits.iter();
            figures.extend(limits.map(|(name, value)| figure(name, value.to_string())));
        }
    }
    figures
}

async fn measure<W: World>(world: &W, device: &Device) -> Vec<Figure> {
    let (_, _, _, student, teacher) = SHAPE;
    let checks = [
        Check::Relation { student, teacher },
        Check::Attention { width: 16 },
        Check::Embedding,
        Check::Gelu,
        Check::LayerNorm { width: 384 },
        Check::Linear,
        Check::Projections,
        Check::AdamW,
    ];
    let verdict = match tested(device, &checks).await.failure() {
        None => "passed".to_owned(),
        Some(failure) => format!("FAILED: {failure}"),
    };
    let mut figures = vec![figure("self-test of the kernels", verdict)];
    let (b, a, s, ds, dt) = SHAPE;
    let shape = format!("B {b}, A {a}, S {s}, D {ds} and {dt}");
    let kernels = [
        ("our kernel", KernelChoice::Fused),
        ("plain operations", KernelChoice::Naive),
    ];
    for (name, kernel) in kernels {
        let loss = async || relation(device, kernel).await;
        let name = format!("relation loss and gradient, {name} ({shape})");
        figures.push(figure(name, time(world, loss, None).await));
    }
    let flops = 2.0 * (SIDE as f64).powi(3);
    for (name, kernel) in kernels {
        let product = async || multiply(device, kernel).await;
        let name = format!("matmul of {SIDE} x {SIDE} matrices, {name}");
        figures.push(figure(name, time(world, product, Some(flops)).await));
    }
    figures
}

/// The best time of some, in milliseconds, and the rate where the operations are known.
async fn time<W: World>(
    world: &W,
    work: impl AsyncFn() -> Result<(), String>,
    flops: Option<f64>,
) -> String {
    let mut best = f64::INFINITY;
    for turn in 0..=TIMES {
        world.breathe().await;
        let start = world.seconds();
        if let Err(error) = work().await {
            return format!("failed: {error}");
        }
        if turn > 0 {
            best = best.min(world.seconds() - start);
        }
    }
    let time = format!("{:.2} ms", best * 1e3);
    match flops {
        Some(flops) if best > 0.0 => format!("{time}, {:.1} GFLOP/s", flops / best / 1e9),
        _ => time,
    }
}

async fn relation(device: &Device, kernel: KernelChoice) -> Result<(), String> {
    let (b, a, s, ds, dt) = SHAPE;
    let random = |width: usize, device: &Device| {
        Tensor::<3>::random([b, s, a * width], Distribution::Default, device)
    };
    let tracked = device.clone().autodiff();
    let tap = || random(ds, &tracked).require_grad();
    let student = Taps {
        q: tap(),
        k: tap(),
        v: tap(),
    };
    let plain = || random(dt, device);
    let teacher = Taps {
        q: plain(),
        k: plain(),
        v: plain(),
    };
    let lengths = Lengths::new(&vec![s; b], s, device).map_err(|e| e.to_string())?;
    let pairs = [Pair::QQ, Pair::KK, Pair::VV].map(|pair| (pair, 1.0));
    let loss = relation_loss(kernel, &student, &teacher, &pairs, &lengths, a);
    let gradients = loss.map_err(|e| e.to_string())?.total.backward();
    let gradient = student.v.grad(&gradients).ok_or("no gradient came")?;
    finish(gradient.sum()).await
}

async fn multiply(device: &Device, kernel: KernelChoice) -> Result<(), String> {
    let matrix = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, device);
    finish(matmul(kernel, matrix(), matrix()).sum()).await
}

/// Reads a number back, which is when a device has done its work.
async fn finish(sum: Tensor<1>) -> Result<(), String> {
    let data = sum.into_data_async().await;
    data.map(|_| ()).map_err(|e| e.to_string())
}
