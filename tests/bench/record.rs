//! Records a run for the page, which plays it while its engine loads: `cargo xtask bench record FILE`.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use it::cpu;
use it::talk::{Asker, Memory, Told, with_engine};
use limbeck_model::Folder;
use limbeck_protocol::{Command, Event, Halt, RunState, StepRecord};
use limbeck_recipe::{DeviceChoice, Recipe};
use serde_json::{Value, json};

/// Steps that are told in one frame of the recording.
const STEPS_A_FRAME: usize = 10;
/// Decimals of losses and norms.
const DECIMALS: f64 = 1e5;

/// Distils as `assets/demo.toml` says and writes what the engine tells.
pub fn main(arguments: &[String]) -> ExitCode {
    let Some(out) = arguments.first() else {
        eprintln!("record FILE.json");
        return ExitCode::from(2);
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| std::fs::read(root.join(path)).unwrap();
    let mut recipe: Recipe =
        toml::from_str(&String::from_utf8(read("assets/demo.toml")).unwrap()).unwrap();
    recipe.device = DeviceChoice::Cpu;
    recipe.checkpoint_every = recipe.steps / 12;
    let texts: Vec<Vec<u8>> = recipe.corpus.iter().map(|path| read(path)).collect();
    let told = pollster::block_on(with_engine(Memory::new(cpu()), async |asker| {
        let names = recipe.corpus.clone();
        give_teacher(asker, &root.join(&recipe.teacher), &recipe.teacher);
        asker.ask(Command::Texts { names }, texts);
        asker.ask(Command::Start { recipe }, Vec::new());
        let end = Event::State {
            state: RunState::Ended {
                halt: Halt::Finished,
            },
        };
        asker
            .until(|event| match event {
                Event::Refused { control, message } => panic!("{control:?}: {message}"),
                _ => *event == end,
            })
            .await
    }));
    let recording = recording(told);
    std::fs::write(root.join(out), recording.to_string()).unwrap();
    ExitCode::SUCCESS
}

fn give_teacher(asker: &Asker, folder: &Path, name: &str) {
    let folder = Folder::read(folder).unwrap();
    let files = folder.files();
    let (files, blobs) = files.map(|(n, b)| (n.to_owned(), b.to_vec())).unzip();
    let name = name.to_owned();
    asker.ask(Command::Teacher { name, files }, blobs);
}

/// What the page's player reads: who ran, and frames with their time in seconds.
fn recording(told: Vec<Told>) -> Value {
    let mut info = Value::Null;
    let mut frames = Vec::new();
    let mut steps: Vec<StepRecord> = Vec::new();
    let mut seconds = 0.0;
    for (_, event, blobs) in told {
        match event {
            Event::Started { run } => info = json!(run),
            Event::Steps { steps: some } => {
                seconds += some.iter().map(|step| step.seconds).sum::<f64>();
                steps.extend(some.into_iter().map(rounded));
                if steps.len() >= STEPS_A_FRAME {
                    frames.push(frame(seconds, &steps_event(&mut steps), &[]));
                }
            }
            Event::Evaluated { .. } | Event::Maps { .. } => {
                if !steps.is_empty() {
                    frames.push(frame(seconds, &steps_event(&mut steps), &[]));
                }
                frames.push(frame(seconds, &event, &blobs));
            }
            _ => {}
        }
    }
    json!({ "info": info, "frames": frames })
}

fn steps_event(steps: &mut Vec<StepRecord>) -> Event {
    Event::Steps {
        steps: std::mem::take(steps),
    }
}

fn rounded(step: StepRecord) -> StepRecord {
    let round = |x: f64| (x * DECIMALS).round() / DECIMALS;
    StepRecord {
        loss: round(step.loss),
        by_pair: step.by_pair.into_iter().map(round).collect(),
        learning_rate: (step.learning_rate * 1e7).round() / 1e7,
        gradient_norm: round(step.gradient_norm),
        seconds: round(step.seconds),
        ..step
    }
}

/// Maps are kept in 8 bits a value, p = (q / 255)^2: small probabilities keep more of their digits.
fn frame(seconds: f64, event: &Event, blobs: &[Vec<u8>]) -> Value {
    let quantised = blobs.iter().map(|blob| {
        let values = blob
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        let bytes: Vec<u8> = values.map(|p| (p.sqrt() * 255.0).round() as u8).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    });
    json!({ "at": (seconds * 100.0).round() / 100.0, "event": event, "blobs": quantised.collect::<Vec<_>>() })
}
