//! `bench step`: teacher 6x384, student 3x192, A_r 12; by default B 8, S 128; dropout off, every sequence full.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use limbeck_model::{Config, Encoder, Rng};
use limbeck_train::batching::Batch;
use limbeck_train::{Event, Phase, Plan, Recipe, Run, StudentRecipe};
use serde_json::{Value, json};

const VOCABULARY: usize = 30_522;
const RELATION_HEADS: usize = 12;
const WARM_UP: usize = 2;

struct Sizes {
    batch: usize,
    length: usize,
    steps: usize,
}

pub fn main(arguments: &[String]) -> ExitCode {
    let number = |flag: &str, default: usize| {
        let at = arguments.iter().position(|a| a == flag);
        at.and_then(|at| arguments.get(at + 1))
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let sizes = Sizes {
        batch: number("--batch", 8),
        length: number("--length", 128),
        steps: number("--steps", 8),
    };
    let ours = pollster::block_on(ours(&sizes));
    println!("{ours}");
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
        json!({ "name": "ratio", "limbeck_over_pytorch": (ratio * 100.0).round() / 100.0 })
    );
    ExitCode::SUCCESS
}

fn teacher() -> Encoder {
    let config = json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2,
    });
    let config = Config::parse("bench", config.to_string().as_bytes()).unwrap();
    Encoder::random(&config, 1, &it::cpu()).unwrap()
}

async fn ours(sizes: &Sizes) -> Value {
    let teacher = teacher();
    let recipe = Recipe {
        student: StudentRecipe {
            dropout: 0.0,
            ..StudentRecipe::default()
        },
        relation_heads: Some(RELATION_HEADS),
        corpus: vec!["bench".into()],
        max_length: sizes.length,
        ..Recipe::default()
    };
    let plan = Plan::new(&recipe, teacher.config()).unwrap();
    let mut run = Run::new(plan, teacher).unwrap();
    let batch = batch(sizes);
    let mut totals = Vec::new();
    let mut phases: [Vec<f64>; 5] = Default::default();
    let mut losses = Vec::new();
    for index in 0..WARM_UP + sizes.steps {
        let start = Instant::now();
        let mut last = start;
        let mut parts = [0.0; 5];
        let mut done = |phase: Phase| {
            parts[phase as usize] = last.elapsed().as_secs_f64() * 1e3;
            last = Instant::now();
        };
        let Event::Step(event) = run.step_observed(&batch, &mut done).await.unwrap() else {
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
    let [teacher, student, loss, backward, optimizer] = phases.map(median);
    let step = median(totals);
    json!({
        "name": "limbeck", "backend": "flex", "batch": sizes.batch, "length": sizes.length, "step_ms": step,
        "teacher_ms": teacher, "student_ms": student, "loss_ms": loss, "backward_ms": backward, "optimizer_ms": optimizer,
        "tokens_per_s": (sizes.batch * sizes.length) as f64 / step * 1e3, "peak_bytes": peak_bytes(),
        "threads": std::thread::available_parallelism().map_or(1, usize::from), "cpu": cpu_name(),
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2] * 10.0).round() / 10.0
}

/// Largest resident memory of this process so far; Linux only.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn cpu_name() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

/// The same step in PyTorch, if a Python with torch is found: `LIMBECK_PYTHON`, or `python3`.
fn pytorch(sizes: &Sizes) -> Option<Value> {
    let python =
        std::env::var_os("LIMBECK_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer/step.py");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let output = Command::new(python)
        .arg(script)
        .args([
            "--batch",
            &sizes.batch.to_string(),
            "--length",
            &sizes.length.to_string(),
        ])
        .args([
            "--steps",
            &sizes.steps.to_string(),
            "--threads",
            &threads.to_string(),
        ])
        .args(["--relation-heads", &RELATION_HEADS.to_string()])
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).ok())?
}
