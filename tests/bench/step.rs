//! `bench step`: teacher 6x384, student 3x192, A_r 12; by default B 8, S 128, on the CPU (`--gpu`: a GPU); dropout off,
//! every sequence full.

use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::Device;
use limbeck_model::Encoder;
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{Config, Init, OutputRecipe, Plan, Recipe, Rng, StudentRecipe};
use limbeck_train::{Event, Phase, Run};
use serde_json::{Value, json};

use crate::shared::{self, cpu_name, median, number, rounded, threads};

const VOCABULARY: usize = 30_522;
const RELATION_HEADS: usize = 12;
const WARM_UP: usize = 2;

struct Sizes {
    batch: usize,
    length: usize,
    steps: usize,
    gpu: bool,
}

pub fn main(arguments: &[String]) -> ExitCode {
    let sizes = Sizes {
        batch: number(arguments, "--batch", 8),
        length: number(arguments, "--length", 128),
        steps: number(arguments, "--steps", 8),
        gpu: arguments.iter().any(|flag| flag == "--gpu"),
    };
    let ours = pollster::block_on(ours(&sizes));
    println!("{ours}");
    if sizes.gpu {
        return ExitCode::SUCCESS; // PyTorch would be on the CPU
    }
    let Some(peer) = pytorch(&sizes) else {
        eprintln!(
            "torch is not installed: no ratio (`cargo xtask setup --only golden` installs it)"
        );
        return ExitCode::SUCCESS;
    };
    println!("{peer}");
    let ratio = ours["step_ms"].as_f64().unwrap() / peer["step_ms"].as_f64().unwrap();
    println!(
        "{}",
        json!({ "name": "ratio", "limbeck_over_pytorch": rounded(ratio, 2) })
    );
    ExitCode::SUCCESS
}

fn teacher(device: &Device) -> Encoder {
    let config = json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2,
    });
    let config = Config::parse("bench", config.to_string().as_bytes()).unwrap();
    Encoder::random(&config, 1, device).unwrap()
}

async fn ours(sizes: &Sizes) -> Value {
    let device = match sizes.gpu {
        true => it::gpu().await,
        false => it::cpu(),
    };
    let teacher = teacher(&device);
    let recipe = Recipe {
        student: StudentRecipe {
            dropout: 0.0,
            init: Init::Random,
            ..StudentRecipe::default()
        },
        relation_heads: Some(RELATION_HEADS),
        output: OutputRecipe::none(),
        corpus: vec!["bench".into()],
        max_length: sizes.length,
        ..Recipe::default()
    };
    let plan = Plan::new(&recipe, teacher.config()).unwrap();
    let mut run = Run::new(plan, teacher).await.unwrap();
    let batch = batch(sizes);
    let mut totals = Vec::new();
    let mut phases: [Vec<f64>; 5] = Default::default();
    let mut losses = Vec::new();
    for index in 0..WARM_UP + sizes.steps {
        let start = Instant::now();
        let mut last = start;
        let mut parts = [0.0; 5];
        let mut done = |phase: Phase| {
            parts[phase as usize] += last.elapsed().as_secs_f64() * 1e3;
            last = Instant::now();
        };
        let batches = std::slice::from_ref(&batch);
        let Event::Step(event) = run.step_observed(batches, &mut done).await.unwrap() else {
            panic!("skipped")
        };
        losses.push(event.loss);
        if index >= WARM_UP {
            totals.push(start.elapsed().as_secs_f64() * 1e3);
            phases
                .iter_mut()
                .zip(parts)
                .for_each(|(phase, ms)| phase.push(ms));
        }
    }
    assert!(
        losses.last() < losses.first(),
        "the benchmark does not learn: {losses:?}"
    );
    let [teacher, student, loss, backward, optimizer] = phases.map(milliseconds);
    let step = milliseconds(totals);
    json!({
        "name": "limbeck", "backend": if sizes.gpu { "wgpu" } else { "flex" }, "batch": sizes.batch, "length": sizes.length, "step_ms": step,
        "teacher_ms": teacher, "student_ms": student, "loss_ms": loss, "backward_ms": backward, "optimizer_ms": optimizer,
        "tokens_per_s": (sizes.batch * sizes.length) as f64 / step * 1e3, "peak_bytes": peak_bytes(),
        "threads": threads(), "cpu": cpu_name(),
    })
}

fn batch(sizes: &Sizes) -> Batch {
    let mut rng = Rng::new(3);
    let ids = (0..sizes.batch * sizes.length)
        .map(|_| 1 + rng.below(VOCABULARY as u64 - 1) as u32)
        .collect();
    Batch {
        ids,
        lengths: vec![sizes.length; sizes.batch],
        padded: sizes.length,
        sources: vec![(0, 0); sizes.batch],
    }
}

/// The median, to a tenth.
fn milliseconds(values: Vec<f64>) -> f64 {
    rounded(median(values), 1)
}

/// Largest resident memory of this process so far; Linux only.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The same step in PyTorch.
fn pytorch(sizes: &Sizes) -> Option<Value> {
    let arguments = [
        ("--batch", sizes.batch),
        ("--length", sizes.length),
        ("--steps", sizes.steps),
        ("--relation-heads", RELATION_HEADS),
    ];
    shared::pytorch("step.py", &arguments.map(|(flag, n)| (flag, n.to_string())))
}
