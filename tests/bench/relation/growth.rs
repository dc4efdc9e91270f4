//! How time and memory of the fused implementation grow with S on the CPU, and the gate that holds its memory to the promise that
//! nothing of size S x S exists.

use std::process::ExitCode;

use limbeck_recipe::{KernelChoice, Pair};
use serde_json::json;

use super::device_name;
use super::inputs::{Inputs, Sizes};
use crate::clock::median;
use crate::memory::peak_extra_bytes;
use crate::shared::rounded;

const LENGTHS: [usize; 5] = [128, 256, 512, 1024, 2048];
/// The exponents are fitted to so many of the largest lengths.
const FITTED: usize = 4;

/// Bytes may grow no faster than S to this power: linear, and some room for what grows not at all or with blocks.
const MOST_BYTES_EXPONENT: f64 = 1.2;
/// What a browser tab or a small GPU can spare.
const MOST_BYTES_AT_4096: u64 = 256 << 20;

fn sizes(length: usize) -> Sizes {
    Sizes {
        batch: 1,
        heads: 4,
        length,
        teacher: 16,
        student: 16,
    }
}

/// Bytes of one S x S buffer of f32 for every relation head.
fn square_buffer(length: usize) -> u64 {
    let Sizes { batch, heads, .. } = sizes(length);
    (size_of::<f32>() * batch * heads * length * length) as u64
}

struct Point {
    length: usize,
    milliseconds: f64,
    bytes: u64,
}

impl Point {
    async fn measured(length: usize, runs: usize, kernel: KernelChoice) -> Self {
        let inputs = Inputs::new(sizes(length), &[Pair::QQ], it::cpu());
        inputs.timed(kernel).await; // Threads and their stacks exist from here on.
        let once = async {
            inputs.timed(kernel).await;
        };
        let bytes = peak_extra_bytes(&inputs.device, once).await.unwrap();
        let mut times = Vec::new();
        for _ in 0..runs {
            times.push(inputs.timed(kernel).await.total());
        }
        let point = Self {
            length,
            milliseconds: median(times),
            bytes,
        };
        println!("{}", point.line(kernel));
        point
    }

    fn line(&self, kernel: KernelChoice) -> serde_json::Value {
        let Sizes {
            batch,
            heads,
            teacher,
            student,
            ..
        } = sizes(self.length);
        json!({
            "case": format!("growth S{}", self.length), "device": device_name(&it::cpu()), "kernel": format!("{kernel:?}"),
            "batch": batch, "heads": heads, "length": self.length, "dt": teacher, "ds": student,
            "ms": rounded(self.milliseconds, 3), "peak_extra_bytes": self.bytes,
        })
    }
}

async fn points(runs: usize) -> Vec<Point> {
    let mut points = Vec::new();
    for length in LENGTHS {
        points.push(Point::measured(length, runs, KernelChoice::Fused).await);
    }
    points
}

/// The power of S that `of` grows with: the slope of a least-squares line through the logarithms.
fn exponent(points: &[Point], of: impl Fn(&Point) -> f64) -> f64 {
    let points = &points[points.len() - FITTED..];
    let logarithms = points
        .iter()
        .map(|point| ((point.length as f64).ln(), of(point).ln()));
    let logarithms: Vec<(f64, f64)> = logarithms.collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / FITTED as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = logarithms.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let variance: f64 = logarithms.iter().map(|p| (p.0 - x).powi(2)).sum();
    covariance / variance
}

fn bytes_exponent(points: &[Point]) -> f64 {
    exponent(points, |point| point.bytes as f64)
}

/// A line for each length, and the exponents.
pub async fn growth(runs: usize) {
    let points = points(runs).await;
    println!(
        "{}",
        json!({
            "case": "growth",
            "time_exponent": rounded(exponent(&points, |point| point.milliseconds), 3),
            "bytes_exponent": rounded(bytes_exponent(&points), 3),
        })
    );
}

/// Fails, and says why, if the fused implementation's memory is not what it promises.
pub async fn gate() -> ExitCode {
    let points = points(1).await;
    let longest = &points[points.len() - 1];
    let measured = Gate {
        exponent: bytes_exponent(&points),
        at_2048: longest.bytes,
        at_4096: Point::measured(4096, 1, KernelChoice::Fused).await.bytes,
        naive_at_2048: Point::measured(longest.length, 1, KernelChoice::Naive)
            .await
            .bytes,
    };
    let complaints = measured.complaints();
    println!(
        "{}",
        json!({
            "case": "gate", "bytes_exponent": rounded(measured.exponent, 3),
            "peak_extra_bytes_2048": measured.at_2048, "peak_extra_bytes_4096": measured.at_4096,
            "square_buffer_2048": square_buffer(2048), "complaints": complaints,
        })
    );
    for why in &complaints {
        eprintln!("memory of the relation loss: {why}");
    }
    ExitCode::from(u8::from(!complaints.is_empty()))
}

/// Peak extra bytes by S, and how those of the fused implementation grow.
struct Gate {
    exponent: f64,
    at_2048: u64,
    at_4096: u64,
    naive_at_2048: u64,
}

impl Gate {
    fn complaints(&self) -> Vec<String> {
        let square = square_buffer(2048);
        let Self {
            exponent,
            at_2048,
            at_4096,
            naive_at_2048,
        } = self;
        let mut complaints = Vec::new();
        if *exponent > MOST_BYTES_EXPONENT {
            complaints.push(format!(
                "bytes grow with S to the power {exponent:.2}, not at most {MOST_BYTES_EXPONENT}"
            ));
        }
        if *at_4096 > MOST_BYTES_AT_4096 {
            complaints.push(format!(
                "S 4096 takes {at_4096} bytes, not at most {MOST_BYTES_AT_4096}"
            ));
        }
        if *at_2048 >= square {
            complaints.push(format!(
                "S 2048 takes {at_2048} bytes, in which (B, A, S, S) of f32 would fit: {square}"
            ));
        }
        // A count that misses what the naive implementation is known to hold would pass anything.
        if *naive_at_2048 < square {
            complaints.push(format!(
                "the count is wrong: the naive implementation was seen to take {naive_at_2048} bytes at S 2048, and holds {square}"
            ));
        }
        complaints
    }
}
