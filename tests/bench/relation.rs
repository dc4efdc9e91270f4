//! `bench relation`: the relation loss alone, forward and backward, by implementation and device; what it takes of memory, how near it
//! comes to what the machine can do, and how it grows with S.

mod ceilings;
mod growth;
mod inputs;

use std::process::ExitCode;

use burn::tensor::Device;
use limbeck_oracle::judge::relative_l2;
use limbeck_recipe::{KernelChoice, Pair};
use serde_json::{Value, json};

use crate::clock::median;
use crate::cpu;
use crate::memory::peak_extra_bytes;
use crate::shared::{self, least, number, option, rounded};
use ceilings::Ceilings;
use inputs::{Inputs, Sizes, Times};

/// How far the implementations may be from each other before the clock starts: relative, of the loss and in L2 of each gradient.
const SAME: f64 = 1e-4;

/// FLOPs of a score besides the products: in the forward pass two maxima, two subtractions of them, two additions to the
/// sums, a difference, and its product added; in the backward pass two subtractions, two factors, a difference.
const ROW_FLOPS: [usize; 2] = [9, 5];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Cpu,
    Gpu,
}

struct Case {
    on: On,
    sizes: Sizes,
    pairs: &'static [Pair],
}

/// What the ceilings compare a case with.
pub struct Measured {
    pub name: String,
    /// Of the fused implementation.
    pub seconds: f64,
    pub useful_flops: f64,
    pub executed_flops: f64,
    pub exponentials: f64,
    /// Of the same minute.
    pub ceilings: Ceilings,
}

struct Interleaved {
    naive: Vec<Times>,
    fused: Vec<Times>,
}

impl Interleaved {
    fn naive_totals(&self) -> Vec<f64> {
        self.naive.iter().map(|times| times.total()).collect()
    }

    fn fused_totals(&self) -> Vec<f64> {
        self.fused.iter().map(|times| times.total()).collect()
    }
}

pub fn main(arguments: &[String]) -> ExitCode {
    pollster::block_on(async {
        if arguments.iter().any(|argument| argument == "--gate") {
            return growth::gate().await;
        }
        let only = option(arguments, "--only").unwrap_or_default();
        all(only, number(arguments, "--runs", 7).max(1)).await;
        ExitCode::SUCCESS
    })
}

/// Every case whose name holds `only`.
async fn all(only: &str, runs: usize) {
    let mut on_the_cpu = Vec::new();
    for case in cases().iter().filter(|case| case.name().contains(only)) {
        let times = case.measure(runs).await;
        if case.on == On::Cpu {
            on_the_cpu.push(case.measured(&times, Ceilings::measured(runs)));
        }
    }
    if !on_the_cpu.is_empty() || "ceilings".contains(only) {
        println!("{}", ceilings::line(runs, &on_the_cpu));
    }
    if "growth".contains(only) {
        growth::growth(runs).await;
    }
}

fn cases() -> Vec<Case> {
    const SELF: &[Pair] = &[Pair::QQ];
    const MIXED: &[Pair] = &[Pair::QK];
    const THREE: &[Pair] = &[Pair::QQ, Pair::KK, Pair::VV];
    let case = |on, [batch, heads, length, teacher, student]: [usize; 5], pairs| Case {
        on,
        sizes: Sizes {
            batch,
            heads,
            length,
            teacher,
            student,
        },
        pairs,
    };
    vec![
        case(On::Cpu, [8, 12, 512, 32, 16], SELF),
        case(On::Cpu, [8, 48, 128, 8, 4], SELF),
        case(On::Cpu, [8, 12, 128, 32, 16], SELF),
        case(On::Cpu, [2, 8, 512, 64, 64], SELF),
        case(On::Cpu, [8, 12, 128, 32, 16], MIXED),
        case(On::Cpu, [8, 12, 128, 32, 16], THREE),
        case(On::Gpu, [2, 12, 256, 32, 16], SELF),
        case(On::Gpu, [2, 12, 512, 32, 16], SELF),
    ]
}

impl Case {
    /// Such as `cpu B8 A12 S512 Dt32 Ds16 Q-Q`.
    fn name(&self) -> String {
        let Sizes {
            batch,
            heads,
            length,
            teacher,
            student,
        } = self.sizes;
        let on = match self.on {
            On::Cpu => "cpu",
            On::Gpu => "gpu",
        };
        let pairs: Vec<String> = self.pairs.iter().map(Pair::to_string).collect();
        let pairs = pairs.join("+");
        format!("{on} B{batch} A{heads} S{length} Dt{teacher} Ds{student} {pairs}")
    }

    async fn device(&self) -> Device {
        match self.on {
            On::Cpu => it::cpu(),
            On::Gpu => it::gpu().await,
        }
    }

    /// Scores of one model: P * B * A * S * S.
    fn scores(&self) -> usize {
        self.pairs.len() * self.sizes.rows() * self.sizes.length
    }

    /// What the formula asks for, each product once: forward the scores of both models and what a score goes through,
    /// backward the gradient of rows and of columns.
    fn useful_flops(&self) -> usize {
        let Sizes {
            teacher, student, ..
        } = self.sizes;
        self.scores() * (2 * (student + teacher) + 4 * student + ROW_FLOPS.iter().sum::<usize>())
    }

    /// With the scores that the backward pass computes again instead of keeping them.
    fn executed_flops(&self) -> usize {
        let Sizes {
            teacher, student, ..
        } = self.sizes;
        self.useful_flops() + self.scores() * 2 * (student + teacher)
    }

    /// Of two models, forward and again backward.
    fn exponentials(&self) -> usize {
        4 * self.scores()
    }

    /// Traffic that nothing spares: both passes read every projection once and the backward pass writes the student's
    /// gradients; by row, KL and two log-sum-exp are written, and these and the gradient of KL read.
    fn bytes_at_least(&self, projections: usize) -> usize {
        let Sizes {
            teacher, student, ..
        } = self.sizes;
        let vectors = projections * self.sizes.rows() * (3 * student + 2 * teacher);
        let rows = 6 * self.pairs.len() * self.sizes.rows();
        size_of::<f32>() * (vectors + rows)
    }

    /// Prints the case's line.
    async fn measure(&self, runs: usize) -> Interleaved {
        let inputs = Inputs::new(self.sizes, self.pairs, self.device().await);
        self.assert_the_kernels_agree(&inputs).await;
        let peaks = peaks(&inputs).await;
        let times = interleaved(&inputs, runs).await;
        let torch = self.torch(runs).unwrap_or_default();
        println!("{}", self.line(&inputs, peaks, &times, &torch));
        times
    }

    fn measured(&self, times: &Interleaved, ceilings: Ceilings) -> Measured {
        Measured {
            name: self.name(),
            seconds: median(times.fused_totals()) / 1e3,
            useful_flops: self.useful_flops() as f64,
            executed_flops: self.executed_flops() as f64,
            exponentials: self.exponentials() as f64,
            ceilings,
        }
    }

    fn line(
        &self,
        inputs: &Inputs,
        [naive_bytes, fused_bytes]: [Option<u64>; 2],
        times: &Interleaved,
        torch: &Value,
    ) -> Value {
        let (naive, fused) = (median(times.naive_totals()), median(times.fused_totals()));
        let part = |of: fn(&Times) -> f64| rounded(median(times.fused.iter().map(of).collect()), 3);
        let over_fused = |milliseconds: f64| rounded(milliseconds / fused, 2);
        let gflops = |flops: usize| rounded(flops as f64 / fused / 1e6, 2);
        let torch_ms = torch["total_ms"].as_f64();
        json!({
            "case": self.name(), "device": device_name(&inputs.device), "runs": times.fused.len(),
            "naive_ms": rounded(naive, 3), "fused_ms": rounded(fused, 3), "torch_ms": torch_ms,
            "forward_ms": part(|times| times.forward), "backward_ms": part(|times| times.backward),
            "naive_over_fused": over_fused(naive), "torch_over_fused": torch_ms.map(over_fused),
            "least_ms": {
                "naive": rounded(least(times.naive_totals()), 3),
                "fused": rounded(least(times.fused_totals()), 3),
                "torch": torch["least_ms"],
            },
            "gflops": gflops(self.useful_flops()), "gflops_executed": gflops(self.executed_flops()),
            "exponentials": self.exponentials(), "bytes_at_least": self.bytes_at_least(inputs.projections().len()),
            "peak_extra_bytes_naive": naive_bytes, "peak_extra_bytes_fused": fused_bytes,
        })
    }

    /// A fast wrong answer is worth nothing, and neither is a right one where every answer is right.
    async fn assert_the_kernels_agree(&self, inputs: &Inputs) {
        let name = self.name();
        assert!(inputs.carries_signal().await, "{name}: no signal");
        let naive = inputs.answer(KernelChoice::Naive).await;
        let fused = inputs.answer(KernelChoice::Fused).await;
        let off = |got: &[f32], expected: &[f32]| {
            let expected: Vec<f64> = expected.iter().map(|x| f64::from(*x)).collect();
            relative_l2(got, &expected)
        };
        let loss = off(&[fused.loss], &[naive.loss]);
        assert!(loss < SAME, "{name}: the loss is off by {loss:.1e}");
        for (got, expected) in fused.gradients.iter().zip(&naive.gradients) {
            let gradient = off(got, expected);
            assert!(
                gradient < SAME,
                "{name}: a gradient is off by {gradient:.1e}"
            );
        }
    }

    /// The same in PyTorch, which is timed on the CPU alone.
    fn torch(&self, runs: usize) -> Option<Value> {
        if self.on == On::Gpu {
            return None;
        }
        let Sizes {
            batch,
            heads,
            length,
            teacher,
            student,
        } = self.sizes;
        let pairs: Vec<String> = self.pairs.iter().map(|pair| pair.key()).collect();
        let arguments = [
            ("--batch", batch.to_string()),
            ("--heads", heads.to_string()),
            ("--length", length.to_string()),
            ("--teacher", teacher.to_string()),
            ("--student", student.to_string()),
            ("--pairs", pairs.join(",")),
            ("--runs", runs.to_string()),
        ];
        shared::pytorch("relation.py", &arguments)
    }
}

/// Peak extra bytes of the naive and of the fused implementation.
async fn peaks(inputs: &Inputs) -> [Option<u64>; 2] {
    let of = async |kernel| {
        let once = async {
            inputs.timed(kernel).await;
        };
        peak_extra_bytes(&inputs.device, once).await
    };
    [of(KernelChoice::Naive).await, of(KernelChoice::Fused).await]
}

/// Times of the naive and of the fused implementation, in turn, so that a machine that slows down slows both.
async fn interleaved(inputs: &Inputs, runs: usize) -> Interleaved {
    let (mut naive, mut fused) = (Vec::new(), Vec::new());
    inputs.timed(KernelChoice::Fused).await; // The pool of a GPU has just given its pages back.
    for _ in 0..runs {
        naive.push(inputs.timed(KernelChoice::Naive).await);
        fused.push(inputs.timed(KernelChoice::Fused).await);
    }
    Interleaved { naive, fused }
}

/// The name of the part that computes.
fn device_name(device: &Device) -> String {
    let name = if *device == Device::flex() {
        cpu::name()
    } else {
        device.identity().map(|identity| identity.name)
    };
    name.unwrap_or_else(|| format!("{device:?}"))
}
