//! `bench attention`: forward and backward of one layer's attention (12 heads of 64, one sequence), with all keys, with a
//! window of 128 tokens, and with a window, rotary positions and a bias: time and memory by S, on the CPU (`--gpu`: a GPU).
//! `--gate` fails if a window does not save time, or if memory grows faster than S.

use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::{Attending, Lengths, Rotation, Taps, attention};
use limbeck_recipe::{KernelChoice, Reach};
use serde_json::json;

use crate::clock::median;
use crate::memory::peak_extra_bytes;
use crate::shared::{number, rounded};

const HEADS: usize = 12;
const WIDTH: usize = 64;
const LENGTHS: [usize; 3] = [512, 1024, 2048];
/// Bytes may grow so much where S doubles: twice, and some room for what grows not at all or with blocks.
const MOST_GROWTH: f64 = 2.2;
/// Of the time that all keys take, what a window of 128 may at S = 1024: it sees an eighth of them, and whole blocks.
const MOST_TIME: f64 = 0.6;

/// What a call has beside its vectors.
#[derive(Clone, Copy)]
enum Way {
    AllKeys,
    Window,
    WindowRotaryBias,
}

impl Way {
    const ALL: [Self; 3] = [Self::AllKeys, Self::Window, Self::WindowRotaryBias];

    fn name(self) -> &'static str {
        match self {
            Self::AllKeys => "all keys",
            Self::Window => "window 128",
            Self::WindowRotaryBias => "window 128, rotary, bias",
        }
    }

    fn attending(self, length: usize, device: &Device) -> Attending {
        let mut how = Attending::default();
        if !matches!(self, Self::AllKeys) {
            how.reach = Reach::local(64);
        }
        if matches!(self, Self::WindowRotaryBias) {
            how.rotation = Some(Rotation::new(10_000.0, length, WIDTH));
            let shape = [HEADS, 2 * length - 1];
            let bias = Tensor::random(shape, Distribution::Default, &device.clone().autodiff());
            how.bias = Some(bias.require_grad());
        }
        how
    }
}

struct Point {
    milliseconds: f64,
    bytes: Option<u64>,
}

pub fn main(arguments: &[String]) -> ExitCode {
    let flag = |flag: &str| arguments.iter().any(|argument| argument == flag);
    pollster::block_on(async {
        let device = match flag("--gpu") {
            true => it::gpu().await,
            false => it::cpu(),
        };
        let runs = number(arguments, "--runs", 5);
        let mut points = Vec::new();
        for length in LENGTHS {
            for way in Way::ALL {
                let point = measured(way, length, runs, &device).await;
                println!(
                    "{}",
                    json!({
                        "case": way.name(), "length": length, "device": format!("{device:?}"),
                        "ms": rounded(point.milliseconds, 2), "peak_extra_bytes": point.bytes,
                    })
                );
                points.push(point);
            }
        }
        let complaints = complaints(&points);
        if flag("--gate") {
            for why in &complaints {
                eprintln!("attention: {why}");
            }
            return ExitCode::from(u8::from(!complaints.is_empty()));
        }
        ExitCode::SUCCESS
    })
}

async fn measured(way: Way, length: usize, runs: usize, device: &Device) -> Point {
    let tracked = device.clone().autodiff();
    let vectors = || {
        let shape = [1, length, HEADS * WIDTH];
        Tensor::<3>::random(shape, Distribution::Default, &tracked).require_grad()
    };
    let taps = Taps {
        q: vectors(),
        k: vectors(),
        v: vectors(),
    };
    let lengths = Lengths::new(&[length], length, device).unwrap();
    let how = way.attending(length, device);
    let once = || async {
        let (kernel, taps) = (KernelChoice::Fused, taps.clone());
        let q = taps.q.clone();
        let gradients = attention(kernel, taps, &lengths, HEADS, how.clone(), None)
            .sum()
            .backward();
        // A number of the gradient is there when all is computed.
        it::read(q.grad(&gradients).unwrap().slice([0..1, 0..1, 0..1])).await;
    };
    once().await; // Threads, tables and pipelines exist from here on.
    let bytes = peak_extra_bytes(device, once()).await;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        once().await;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    Point {
        milliseconds: median(times),
        bytes,
    }
}

/// What is not as it should be; points are by length, then by way.
fn complaints(points: &[Point]) -> Vec<String> {
    let mut complaints = Vec::new();
    let of = |length: usize, way: Way| {
        let row = LENGTHS.iter().position(|l| *l == length).unwrap();
        &points[row * Way::ALL.len() + way as usize]
    };
    let ratio = of(1024, Way::Window).milliseconds / of(1024, Way::AllKeys).milliseconds;
    println!(
        "{}",
        json!({ "case": "window over all keys, S 1024", "ratio": rounded(ratio, 2) })
    );
    if ratio > MOST_TIME {
        complaints.push(format!(
            "a window of 128 takes {ratio:.2} of the time of 1024 keys, not at most {MOST_TIME}"
        ));
    }
    for way in Way::ALL {
        let (Some(half), Some(whole)) = (of(1024, way).bytes, of(2048, way).bytes) else {
            continue;
        };
        let growth = whole as f64 / half as f64;
        if growth > MOST_GROWTH {
            complaints.push(format!(
                "{}: {growth:.2} times the bytes for twice the tokens, not at most {MOST_GROWTH}",
                way.name()
            ));
        }
    }
    complaints
}
