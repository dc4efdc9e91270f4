//! The engine behind the page: a run told from start to end, taken up where it was, and refused with a reason.

use std::collections::BTreeMap;

use burn::tensor::Device;
use it::talk::{Asker, Memory, Told, with_engine};
use it::{cpu, gpu};
use limbeck_engine::To;
use limbeck_model::{Encoder, Folder};
use limbeck_protocol::{Command, Control, Event, Export, Halt, RunState, StepRecord, VERSION};
use limbeck_recipe::{Recipe, StudentRecipe};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::tiny_bert;

/// Gives teacher and texts.
async fn provide(asker: &mut Asker, text: &str) {
    let (names, blobs): (Vec<_>, Vec<_>) = tiny_bert()
        .files()
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
        .unzip();
    let name = "tiny-bert".into();
    asker.ask(Command::Teacher { name, files: names }, blobs);
    let names = vec!["words.txt".into()];
    asker.ask(Command::Texts { names }, vec![text.into()]);
    asker.until(|e| matches!(e, Event::Texts { .. })).await;
}

/// Lines of different lengths, of words that the tiny vocabulary has in part.
fn text() -> String {
    let line = |n: usize| format!("{}line {n} of a text\n", "a small word and ".repeat(n % 4));
    (0..60).map(line).collect()
}

fn recipe() -> Recipe {
    Recipe {
        student: StudentRecipe {
            layers: 2,
            hidden: 12,
            heads: 3,
            ffn: None,
            dropout: 0.1,
        },
        relation_heads: Some(6),
        max_length: 12,
        batch: 4,
        steps: 9,
        heldout: 0.2,
        checkpoint_every: 4,
        ..Recipe::default()
    }
}

fn steps(heard: &[Told]) -> Vec<StepRecord> {
    let mut steps = Vec::new();
    for (_, event, _) in heard {
        if let Event::Steps { steps: some } = event {
            steps.extend(some.iter().cloned());
        }
    }
    steps
}

fn is(state: &RunState) -> impl Fn(&Event) -> bool {
    let wanted = Event::State {
        state: state.clone(),
    };
    move |event| *event == wanted
}

const FINISHED: RunState = RunState::Ended {
    halt: Halt::Finished,
};

fn start(asker: &Asker) {
    asker.ask(Command::Start { recipe: recipe() }, Vec::new());
}

/// The run of `recipe`, not interrupted.
async fn whole_run(device: &Device) -> Vec<StepRecord> {
    with_engine(Memory::new(device.clone()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        steps(&asker.until(is(&FINISHED)).await)
    })
    .await
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_is_told_from_start_to_end() {
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker.until(is(&FINISHED)).await;
        let taken: Vec<u64> = steps(&heard).iter().map(|step| step.step).collect();
        assert_eq!(taken, (1..=9).collect::<Vec<_>>());
        let measured: Vec<u64> = heard
            .iter()
            .filter_map(|(_, event, _)| match event {
                Event::Evaluated { evaluation } => Some(evaluation.step),
                _ => None,
            })
            .collect();
        assert_eq!(measured, [0, 4, 8, 9]);
        let maps = heard
            .iter()
            .rev()
            .find_map(|(_, event, blobs)| match event {
                Event::Maps {
                    tokens,
                    pairs,
                    heads,
                    ..
                } => Some((tokens, pairs, heads, blobs)),
                _ => None,
            });
        let (tokens, pairs, heads, blobs) = maps.unwrap();
        assert_eq!(blobs.len(), 2 * pairs.len());
        let bytes = 4 * heads * tokens.len() * tokens.len();
        assert!(blobs.iter().all(|blob| blob.len() == bytes));
        asker.ask(
            Command::Export {
                what: Export::Student,
            },
            Vec::new(),
        );
        let heard = asker.until(|e| matches!(e, Event::Files { .. })).await;
        let (to, event, blobs) = heard.into_iter().next_back().unwrap();
        let Event::Files { files, .. } = event else {
            unreachable!()
        };
        assert_eq!(to, To::One(7));
        let files: BTreeMap<_, _> = files.into_iter().zip(blobs).collect();
        let card = String::from_utf8_lossy(&files["README.md"]).into_owned();
        assert!(card.contains("tiny-bert"), "{card}");
        let student = Encoder::from_folder(&Folder::from_files("student", files), &cpu()).unwrap();
        assert_eq!(student.config().hidden_size, 12);
    })
    .await;
}

/// Paused in its middle, then taken up by another engine on the same files: the losses are those of the whole run, bit for
/// bit.
async fn taken_up(device: Device) {
    let whole = whole_run(&device).await;
    let place = Memory::new(device);
    let first = with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker
            .until(|e| matches!(e, Event::Steps { steps } if steps[0].step == 5))
            .await;
        asker.ask(Command::Pause, Vec::new());
        let mut taken = steps(&heard);
        taken.extend(steps(
            &asker
                .until(|e| matches!(e, Event::Kept { step, .. } if *step > 4))
                .await,
        ));
        taken
    })
    .await;
    let rest = with_engine(place, async |asker| {
        let hello = Command::Hello {
            version: VERSION,
            since_step: 0,
        };
        asker.ask(hello, Vec::new());
        let heard = asker.until(is(&RunState::Idle)).await;
        let offered = heard.iter().find_map(|(_, event, _)| match event {
            Event::Saved { run } => run.clone(),
            _ => None,
        });
        assert_eq!(offered.unwrap().step, first.len() as u64);
        asker.ask(Command::Restore, Vec::new());
        let before = steps(&asker.until(is(&RunState::Paused)).await);
        // They come through JSON, whose reader may be off by a last bit.
        assert_eq!(before.len(), first.len());
        for (kept, taken) in before.iter().zip(&first) {
            assert!((kept.loss - taken.loss).abs() <= 1e-12 * taken.loss);
        }
        asker.ask(Command::Step, Vec::new());
        asker.ask(Command::Resume, Vec::new());
        steps(&asker.until(is(&FINISHED)).await)
    })
    .await;
    let joined: Vec<StepRecord> = first.into_iter().chain(rest).collect();
    // Memory is what the device holds at the moment, and not the run's.
    let numbers = |steps: &[StepRecord]| -> Vec<(u64, Vec<f64>, f64)> {
        let of = |s: &StepRecord| (s.step, s.by_pair.clone(), s.gradient_norm);
        steps.iter().map(of).collect()
    };
    assert_eq!(numbers(&joined), numbers(&whole));
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_is_taken_up_where_it_was() {
    taken_up(cpu()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_on_the_gpu_is_taken_up_where_it_was() {
    taken_up(gpu().await).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn what_cannot_be_is_refused_where_it_is_fixed() {
    with_engine(Memory::new(cpu()), async |asker| {
        start(asker);
        assert_eq!(asker.refusal().await.0, Control::Teacher);
        let names = vec!["empty.txt".into()];
        asker.ask(Command::Texts { names }, vec![b" \n\n".to_vec()]);
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Texts);
        assert!(message.contains("empty.txt"), "{message}");
        provide(asker, &text()).await;
        let mut wrong = recipe();
        wrong.student.heads = 5;
        wrong.relation_heads = Some(7);
        asker.ask(Command::Start { recipe: wrong }, Vec::new());
        assert_eq!(
            asker.refusal().await.0,
            Control::Field("student.heads".into())
        );
        assert_eq!(
            asker.refusal().await.0,
            Control::Field("relation_heads".into())
        );
        asker.ask(Command::Resume, Vec::new());
        assert_eq!(asker.refusal().await.0, Control::Run);
        let name = "notes.txt".into();
        asker.ask(
            Command::Checkpoint { name },
            vec![b"not a checkpoint".to_vec()],
        );
        assert_eq!(asker.refusal().await.0, Control::Checkpoint);
        let text = String::new();
        asker.ask(Command::Maps { text }, Vec::new());
        assert_eq!(asker.refusal().await.0, Control::Sentence);
    })
    .await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_second_engine_does_not_train() {
    let place = Memory {
        claimed: true,
        ..Memory::new(cpu())
    };
    with_engine(place, async |asker| {
        provide(asker, &text()).await;
        start(asker);
        assert_eq!(
            asker.refusal().await,
            (Control::Run, "another trains".into())
        );
    })
    .await;
}

/// A full storage is told, and the run goes on to its end.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_full_storage_does_not_stop_a_run() {
    let place = Memory {
        quota: 10_000,
        ..Memory::new(cpu())
    };
    with_engine(place, async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker.until(is(&FINISHED)).await;
        assert_eq!(steps(&heard).len(), 9);
        let reasons = heard.iter().filter_map(|(_, event, _)| match event {
            Event::Kept { only_in_memory, .. } => Some(only_in_memory.clone().unwrap()),
            _ => None,
        });
        assert!(reasons.count() >= 3);
    })
    .await;
}

/// A checkpoint that was damaged in the storage is refused, and a new run can begin.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_damaged_checkpoint_is_no_end() {
    let place = Memory::new(cpu());
    with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
    })
    .await;
    if let Some(file) = place.files.borrow_mut().get_mut("checkpoint.safetensors") {
        let middle = file.len() / 2;
        file[middle] ^= 0x40;
    }
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Checkpoint);
        assert!(message.contains("damaged"), "{message}");
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
    })
    .await;
}
