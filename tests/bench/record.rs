//! Records a run for the page, which plays it while its engine loads, and its student, which reads sentences there before there is
//! another run: `cargo xtask bench record FILE` writes FILE and the folder `student` beside it.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use it::talk::{Asker, Memory, Message, with_engine};
use it::{cpu, in_steps};
use limbeck_model::Folder;
use limbeck_protocol::{Command, Event, Export, Halt, RunState};
use limbeck_recipe::{DeviceChoice, Recipe, Step};
use limbeck_relations::Quantised;
use serde_json::{Value, json};

/// Steps that are told in one frame of the recording.
const STEPS_A_FRAME: usize = 10;
/// Steps between two looks at the student in the recording: few at first, when much happens, and never more than this.
const STEPS_A_LOOK: u64 = 32;
/// What both models read: few tokens, for the recording has their vectors in each look.
const SENTENCE: &str = "The engineer gave the teacher her notes because she had asked for them.";
/// Steps to either side of 0 in the table of words, which is nearly all of the student: brotli packs them to less than the 8 bits that
/// they are stored in.
const LARGEST_WORD: f32 = 18.0;
/// The same of every other matrix.
const LARGEST_WEIGHT: f32 = 127.0;
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
    // Its paths are relative to its folder; the page names files from the root of the project.
    recipe.teacher.insert_str(0, "assets/");
    for text in &mut recipe.corpus {
        text.insert_str(0, "assets/");
    }
    recipe.device = DeviceChoice::Cpu;
    recipe.checkpoint_every = recipe.steps / 12;
    let texts: Vec<Vec<u8>> = recipe.corpus.iter().map(|path| read(path)).collect();
    let (reported, exported) = pollster::block_on(with_engine(Memory::new(cpu()), async |asker| {
        let names = recipe.corpus.clone();
        give_teacher(asker, &root.join(&recipe.teacher), &recipe.teacher);
        asker.ask(Command::Texts { names }, texts);
        asker.ask(Command::Start { recipe }, Vec::new());
        let text = SENTENCE.to_owned();
        asker.ask(Command::Sentence { text }, Vec::new());
        let end = Event::State {
            state: RunState::Ended {
                halt: Halt::Finished,
            },
        };
        let run = asker
            .until(|event| match event {
                Event::Refused { control, message } => panic!("{control:?}: {message}"),
                _ => *event == end,
            })
            .await;
        let what = Export::Student;
        asker.ask(Command::Export { what }, Vec::new());
        let is_files = |event: &Event| matches!(event, Event::Files { .. });
        (run, asker.until(is_files).await)
    }));
    let recording = recording(reported);
    let out = root.join(out);
    std::fs::write(&out, recording.to_string()).unwrap();
    write_student(exported, &out.with_file_name("student"));
    ExitCode::SUCCESS
}

/// What of the student's folder is not its teacher's, with weights of few bits.
fn write_student(exported: Vec<Message>, folder: &Path) {
    let Some((_, Event::Files { files, .. }, blobs)) = exported.into_iter().next_back() else {
        unreachable!("it was waited for")
    };
    let largest = |name: &str| match name.ends_with("word_embeddings.weight") {
        true => LARGEST_WORD,
        false => LARGEST_WEIGHT,
    };
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files.iter().zip(blobs) {
        let bytes = match &**name {
            "config.json" => bytes,
            "model.safetensors" => in_steps(&bytes, largest),
            _ => continue,
        };
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn give_teacher(asker: &Asker, folder: &Path, name: &str) {
    let folder = Folder::read(folder).unwrap();
    let files = folder.files();
    let (files, blobs) = files.map(|(n, b)| (n.to_owned(), b.to_vec())).unzip();
    let name = name.to_owned();
    asker.ask(Command::Teacher { name, files }, blobs);
}

/// What the page's player reads: who ran, and frames with their time in seconds. Of the looks at the student those are kept
/// that come after ever more steps, and the last one.
fn recording(reported: Vec<Message>) -> Value {
    // A run begins with a sentence of its own, which is of no use here.
    let is_sentence = |(_, event, _): &Message| matches!(event, Event::Sentence { .. });
    let from = reported.iter().rposition(is_sentence).unwrap();
    let is_sample = |(_, event, _): &Message| matches!(event, Event::Taps { .. });
    let last = reported.iter().rposition(is_sample).unwrap();
    let mut info = Value::Null;
    let mut frames = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut seconds = 0.0;
    let mut tokens = 0;
    let mut next = 0;
    let is_due = |index, step, next| index > from && (step >= next || index == last);
    for (index, (_, event, blobs)) in reported.into_iter().enumerate() {
        let kept = match &event {
            Event::Started { run } => {
                info = json!(run);
                false
            }
            Event::Steps { steps: some } => {
                seconds += some.iter().map(|step| step.seconds).sum::<f64>();
                steps.extend(some.iter().cloned().map(rounded));
                if steps.len() >= STEPS_A_FRAME {
                    frames.push(frame(seconds, &steps_event(&mut steps)));
                }
                false
            }
            Event::Evaluated { .. } => true,
            Event::Sentence { tokens: some, .. } => {
                tokens = some.len();
                index == from
            }
            // It comes before the taps of the same step.
            Event::Similarity { step, .. } => is_due(index + 1, *step, next),
            Event::Taps { step, .. } => {
                let due = is_due(index, *step, next);
                if due {
                    next = step + (step / 3).clamp(1, STEPS_A_LOOK);
                }
                due
            }
            _ => false,
        };
        if !kept {
            continue;
        }
        if !steps.is_empty() {
            frames.push(frame(seconds, &steps_event(&mut steps)));
        }
        frames.push(match blobs.is_empty() {
            true => frame(seconds, &event),
            false => frame_with_blobs(seconds, &event, &blobs, tokens),
        });
    }
    json!({ "info": info, "frames": frames })
}

fn steps_event(steps: &mut Vec<Step>) -> Event {
    Event::Steps {
        steps: std::mem::take(steps),
    }
}

fn rounded(step: Step) -> Step {
    let round = |x: f64| (x * DECIMALS).round() / DECIMALS;
    Step {
        loss: round(step.loss),
        parts: (step.parts.into_iter())
            .map(|(part, value)| (part, round(value)))
            .collect(),
        learning_rate: (step.learning_rate * 1e7).round() / 1e7,
        gradient_norm: round(step.gradient_norm),
        seconds: round(step.seconds),
        ..step
    }
}

fn frame(seconds: f64, event: &Event) -> Value {
    json!({ "at": (seconds * 100.0).round() / 100.0, "event": event })
}

/// Each layer's (3, S, H) is kept in rows of H numbers, as [`Quantised`] writes them, and cosines (N, N) in rows of N; `width` is
/// the length of a row.
fn frame_with_blobs(seconds: f64, event: &Event, blobs: &[Vec<u8>], tokens: usize) -> Value {
    let width = match event {
        Event::Similarity { texts, .. } => texts.len(),
        _ => blobs[0].len() / (4 * 3 * tokens),
    };
    let quantised = blobs.iter().map(|blob| {
        let values = blob.as_chunks::<4>().0.iter();
        let values: Vec<f32> = values.map(|b| f32::from_le_bytes(*b)).collect();
        let bytes = Quantised::of(&values, width).to_bytes();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    });
    let mut frame = frame(seconds, event);
    frame["width"] = json!(width);
    frame["blobs"] = quantised.collect();
    frame
}
