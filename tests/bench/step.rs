//! `bench step`: by default teacher 6x384, student 3x192 (`--teacher`, `--student`), both BERT (`--model modernbert`), B 8, S 128,
//! on the CPU (`--gpu`: a GPU, whose kernels are counted, too); A_r 12 (`--relation-heads`), dropout off, every sequence full.

use std::process::ExitCode;

use limbeck_model::Encoder;
use serde_json::{Value, json};

use crate::clock::median;
use crate::cpu;
use crate::launches::counting_launches;
use crate::shared::{self, number, option, rounded};
use crate::steps::{self, Kind, Steps, Times};

const WARM_UP: usize = 2;
const BERT: &str = "bert";
const MODERN_BERT: &str = "modernbert";

struct Sizes {
    step: steps::Sizes,
    steps: usize,
    gpu: bool,
}

pub fn main(arguments: &[String]) -> ExitCode {
    let sizes = Sizes {
        step: steps::Sizes {
            kind: match option(arguments, "--model") {
                None | Some(BERT) => Kind::Bert,
                Some(MODERN_BERT) => Kind::ModernBert,
                Some(other) => panic!("--model is {BERT} or {MODERN_BERT}, not {other}"),
            },
            teacher: layers_and_hidden(arguments, "--teacher", [6, 384]),
            student: layers_and_hidden(arguments, "--student", [3, 192]),
            relation_heads: number(arguments, "--relation-heads", 12),
            batch: number(arguments, "--batch", 8),
            length: number(arguments, "--length", 128),
        },
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

/// Such as 6x384 after a flag.
fn layers_and_hidden(arguments: &[String], flag: &str, default: [usize; 2]) -> [usize; 2] {
    let number = |text: &str| text.parse().expect("a number");
    option(arguments, flag).map_or(default, |text| {
        let (layers, hidden) = text.split_once('x').expect("layers x hidden size");
        [number(layers), number(hidden)]
    })
}

async fn ours(sizes: &Sizes) -> Value {
    let device = match sizes.gpu {
        true => it::gpu().await,
        false => it::cpu(),
    };
    let config = sizes.step.teacher_config().unwrap();
    let flops = sizes.step.flops(&sizes.step.plan(&config).unwrap());
    let teacher = Encoder::random(&config, 1, &device).unwrap();
    let mut steps = Steps::new(&sizes.step, teacher, None).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..WARM_UP + sizes.steps {
        all.push(steps.take(false).await.unwrap());
    }
    let losses: Vec<f64> = all.iter().map(|times| times.loss).collect();
    assert!(
        losses.last() < losses.first(),
        "the benchmark does not learn: {losses:?}"
    );
    let all = &all[WARM_UP..];
    let launches = sizes.gpu.then(|| {
        let one = || pollster::block_on(steps.take(false)).unwrap();
        counting_launches(one).1.values().sum::<u64>()
    });
    let milliseconds = |of: &dyn Fn(&Times) -> f64| {
        let seconds = median(all.iter().map(of).collect());
        rounded(1e3 * seconds, 1)
    };
    let step = milliseconds(&|times| times.seconds);
    let [teacher, student, loss, backward, optimizer] =
        [0, 1, 2, 3, 4].map(|at| milliseconds(&|times| times.phases[at]));
    json!({
        "name": "limbeck", "backend": if sizes.gpu { "wgpu" } else { "flex" }, "batch": sizes.step.batch,
        "length": sizes.step.length, "step_ms": step, "teacher_ms": teacher, "student_ms": student, "loss_ms": loss,
        "backward_ms": backward, "optimizer_ms": optimizer, "tokens_per_s": sizes.step.tokens() as f64 / step * 1e3,
        "gflops": rounded(flops / step / 1e6, 1),
        "launches": launches, "peak_bytes": peak_bytes(), "threads": cpu::threads(), "cpu": cpu::name(),
    })
}

/// Largest resident memory of this process so far; Linux only.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The same step in PyTorch.
fn pytorch(sizes: &Sizes) -> Option<Value> {
    let step = &sizes.step;
    let model = match step.kind {
        Kind::Bert => BERT,
        Kind::ModernBert => MODERN_BERT,
    };
    let size = |[layers, hidden]: [usize; 2]| format!("{layers}x{hidden}");
    let arguments = [
        ("--model", model.to_owned()),
        ("--teacher", size(step.teacher)),
        ("--student", size(step.student)),
        ("--batch", step.batch.to_string()),
        ("--length", step.length.to_string()),
        ("--steps", sizes.steps.to_string()),
        ("--relation-heads", step.relation_heads.to_string()),
    ];
    shared::pytorch("step.py", &arguments)
}
