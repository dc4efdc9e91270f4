//! The engine behind the page: a run told from start to end, taken up where it was, and refused with a reason.

use std::collections::BTreeMap;

use burn::tensor::Device;
use it::talk::{Asker, Memory, Message, with_engine};
use it::{cpu, gpu, in_steps, read};
use limbeck_engine::{To, seal, unseal};
use limbeck_kernels::relation;
use limbeck_model::{Encoder, Folder, Precision, TokenBatch};
use limbeck_protocol::{Command, Control, Event, Export, Found, Halt, RunState, VERSION};
use limbeck_recipe::{Config, Evaluation, Init, Pair, Part, Recipe, Step, StudentRecipe};
use limbeck_relations::Projections;
use safetensors::SafeTensors;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::encoder::tiny_bert;

/// Gives teacher and texts.
async fn provide(asker: &mut Asker, text: &str) {
    provide_with(asker, &tiny_bert(), text).await;
}

/// The teacher, and as many texts as the recipe has weights for.
async fn provide_for(asker: &mut Asker, recipe: &Recipe) {
    provide(asker, &text()).await;
    let Some(weights) = &recipe.corpus_weights else {
        return;
    };
    let texts = (1..=weights.len()).map(|n| (format!("{n}.txt"), text().replace("small", "large")));
    let (names, texts) = texts.map(|(name, text)| (name, text.into_bytes())).unzip();
    asker.ask(Command::Texts { names }, texts);
    asker.until(|e| matches!(e, Event::Texts { .. })).await;
}

async fn provide_with(asker: &mut Asker, teacher: &Folder, text: &str) {
    let (names, blobs): (Vec<_>, Vec<_>) = teacher
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
            dropout: 0.1,
            ..StudentRecipe::default()
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

fn steps(heard: &[Message]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (_, event, _) in heard {
        if let Event::Steps { steps: some } = event {
            steps.extend(some.iter().cloned());
        }
    }
    steps
}

/// The last `Sentence` that was told.
struct Sentence {
    tokens: Vec<String>,
    special: Vec<bool>,
    left_out: u64,
    heads: usize,
    layers: Vec<Vec<u8>>,
}

fn sentence(heard: &[Message]) -> Sentence {
    let reported = heard
        .iter()
        .rev()
        .find_map(|(_, event, blobs)| match event {
            Event::Sentence {
                tokens,
                special,
                left_out,
                attention_heads,
                ..
            } => Some(Sentence {
                tokens: tokens.clone(),
                special: special.clone(),
                left_out: *left_out,
                heads: *attention_heads,
                layers: blobs.clone(),
            }),
            _ => None,
        });
    reported.unwrap()
}

/// Every `Taps` that was told: its step and layers.
fn samples(heard: &[Message]) -> Vec<(u64, Vec<Vec<u8>>)> {
    let samples = heard.iter().filter_map(|(_, event, blobs)| match event {
        Event::Taps { step, .. } => Some((*step, blobs.clone())),
        _ => None,
    });
    samples.collect()
}

/// As a page takes them in.
fn taps(size: usize, heads: usize, layers: &[Vec<u8>]) -> Projections {
    let floats = |bytes: &Vec<u8>| {
        let all = bytes.as_chunks::<4>().0.iter();
        all.map(|b| f32::from_le_bytes(*b)).collect()
    };
    Projections::new(size, heads, layers.iter().map(floats).collect()).unwrap()
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
    start_with(asker, recipe());
}

fn start_with(asker: &Asker, recipe: Recipe) {
    asker.ask(Command::Start { recipe }, Vec::new());
}

/// The run of a recipe, not interrupted.
async fn whole_run(device: &Device, recipe: Recipe) -> Vec<Step> {
    with_engine(Memory::new(device.clone()), async |asker| {
        provide_for(asker, &recipe).await;
        start_with(asker, recipe);
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
        let sentence = sentence(&heard);
        assert_eq!(sentence.layers.len(), 2);
        let bytes = 4 * 3 * sentence.tokens.len() * 24;
        assert!(sentence.layers.iter().all(|layer| layer.len() == bytes));
        let samples = samples(&heard);
        let seen: Vec<u64> = samples.iter().map(|(step, _)| *step).collect();
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
        assert!(
            [0, 1, 4, 8, 9].iter().all(|step| seen.contains(step)),
            "{seen:?}"
        );
        let bytes = bytes / 2;
        let whole = |layers: &Vec<Vec<u8>>| layers.iter().all(|layer| layer.len() == bytes);
        assert!(
            samples
                .iter()
                .all(|(_, layers)| layers.len() == 2 && whole(layers))
        );
        assert!(samples.windows(2).all(|pair| pair[0].1 != pair[1].1));
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

/// Paused after step `middle`, then taken up by another engine on the same files: the losses are those of the whole run, bit
/// for bit.
async fn taken_up(device: Device, recipe: Recipe, middle: u64) {
    let whole = whole_run(&device, recipe.clone()).await;
    // Each step is told at once.
    let place = Memory::ticking(device, 1.0);
    let first = with_engine(place.clone(), async |asker| {
        provide_for(asker, &recipe).await;
        start_with(asker, recipe);
        let heard = asker
            .until(|e| matches!(e, Event::Steps { steps } if steps[0].step == middle))
            .await;
        asker.ask(Command::Pause, Vec::new());
        let mut taken = steps(&heard);
        taken.extend(steps(
            &asker
                .until(|e| matches!(e, Event::Checkpoint { step, .. } if *step >= middle))
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
    let joined: Vec<Step> = first.into_iter().chain(rest).collect();
    // Memory is what the device holds at the moment, and not the run's.
    let numbers = |steps: &[Step]| -> Vec<(u64, BTreeMap<Part, f64>, f64)> {
        let of = |s: &Step| (s.step, s.parts.clone(), s.gradient_norm);
        steps.iter().map(of).collect()
    };
    assert_eq!(numbers(&joined), numbers(&whole));
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_is_taken_up_where_it_was() {
    taken_up(cpu(), recipe(), 5).await;
}

/// Weights are those of the texts that a page gave, of which each is measured by itself.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_over_weighted_texts_is_taken_up_where_it_was() {
    let weighted = Recipe {
        corpus_weights: Some(vec![1.0, 3.0]),
        ..recipe()
    };
    taken_up(cpu(), weighted.clone(), 5).await;
    with_engine(Memory::new(cpu()), async |asker| {
        provide_for(asker, &weighted).await;
        start_with(asker, weighted);
        let heard = asker.until(is(&FINISHED)).await;
        let last = heard
            .into_iter()
            .rev()
            .find_map(|(_, event, _)| match event {
                Event::Evaluated { evaluation } => Some(evaluation),
                _ => None,
            });
        let files = last.unwrap().files;
        let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
        assert_eq!(names, ["1.txt", "2.txt"]);
        // Their lines are the same.
        assert!(files[0].lines > 0 && files[0].parts == files[1].parts);
    })
    .await;
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        let three = Recipe {
            corpus_weights: Some(vec![1.0; 3]),
            ..recipe()
        };
        start_with(asker, three);
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Texts);
        let mistake = "corpus_weights: 3 weights for 1 path of corpus; give each path or glob one";
        assert_eq!(message, mistake);
    })
    .await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_run_on_the_gpu_is_taken_up_where_it_was() {
    // A step takes a software adapter in a browser three seconds.
    let short = Recipe {
        steps: 5,
        checkpoint_every: 2,
        ..recipe()
    };
    taken_up(gpu().await, short, 3).await;
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
        let mut other = recipe();
        other.student.init = Init::Folder("former".into());
        asker.ask(Command::Start { recipe: other }, Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Field("student.init".into()));
        assert!(
            message.contains("only `limbeck distill` starts"),
            "{message}"
        );
        let mut staged = recipe();
        staged.assistant_steps = 3;
        asker.ask(Command::Start { recipe: staged }, Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Run);
        assert!(
            message.contains("only `limbeck distill` trains"),
            "{message}"
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
        asker.ask(Command::Sentence { text }, Vec::new());
        assert_eq!(asker.refusal().await.0, Control::Sentence);
    })
    .await;
}

/// A teacher that would end the engine, or teach what is not a number, is refused when it is chosen; the engine goes on.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_teacher_that_would_break_the_engine_is_refused() {
    let changed = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let files = tiny_bert();
        let files = files.files().map(|(name, bytes)| {
            let bytes = bytes.to_vec();
            let bytes = if name == file { change(bytes) } else { bytes };
            (name.to_owned(), bytes)
        });
        Folder::from_files("tiny-bert", files.collect())
    };
    // A library that panics ends a browser's worker.
    let panics = changed("tokenizer.json", &|bytes| {
        let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        json["normalizer"] =
            serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": null });
        json.to_string().into_bytes()
    });
    let has_no_end = changed("tokenizer.json", &|bytes| {
        let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing", "pair": [], "special_tokens": {},
            "single": [{ "SpecialToken": { "id": "[NO]", "type_id": 0 } }],
        });
        json.to_string().into_bytes()
    });
    let not_finite = changed("model.safetensors", &|mut bytes| {
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[8 + header..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    });
    with_engine(Memory::new(cpu()), async |asker| {
        for (teacher, reason) in [
            (panics, "precompiled_charsmap is not a text in base64"),
            (has_no_end, "`[NO]`, which is not among its special_tokens"),
            (not_finite, "the weights of tiny-bert hold NaN in "),
        ] {
            let files = teacher.files();
            let (files, blobs) = files
                .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
                .unzip();
            let name = "tiny-bert".into();
            asker.ask(Command::Teacher { name, files }, blobs);
            let (control, message) = asker.refusal().await;
            assert_eq!(control, Control::Teacher);
            assert!(message.contains(reason), "{message}");
        }
        provide(asker, &text()).await;
    })
    .await;
}

/// What makes a vector of a text comes with the teacher, stays with its run, and is its student's.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_student_pools_as_the_teacher_that_a_page_gave() {
    let modules = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    let pooling = r#"{"word_embedding_dimension": 24, "pooling_mode_cls_token": true}"#;
    let files = tiny_bert();
    let files = files
        .files()
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    let more = [
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", r#"{"max_seq_length": 9}"#),
        ("2_Dense/config.json", "no module asks for this"),
    ];
    let more = more.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let teacher = Folder::from_files("tiny-bert", files.chain(more).collect());
    let expected = {
        let mut files: BTreeMap<String, Vec<u8>> = teacher
            .files()
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
            .collect();
        files.remove("2_Dense/config.json");
        let head = Folder::from_files("tiny-bert", files).sentence_head();
        head.unwrap().of_student(24, 12)
    };
    assert!(expected.words().contains("cls"), "{}", expected.words());
    let place = Memory::new(cpu());
    let is_expected = |student: &Folder| {
        assert_eq!(student.sentence_head().unwrap(), expected);
        assert!(student.get("2_Dense/config.json").is_none());
    };
    with_engine(place.clone(), async |asker| {
        provide_with(asker, &teacher, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
        is_expected(&exported(asker).await);
    })
    .await;
    let names: Vec<String> = place.files.borrow().keys().cloned().collect();
    assert!(!names.iter().any(|name| name.contains('/')), "{names:?}");
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        asker.until(is(&FINISHED)).await;
        is_expected(&exported(asker).await);
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
            Event::Checkpoint { only_in_memory, .. } => Some(only_in_memory.clone().unwrap()),
            _ => None,
        });
        assert!(reasons.count() >= 3);
    })
    .await;
}

/// The tiny teacher with a tokenizer that fails on a word that it does not know, instead of calling it unknown.
fn teacher_that_fails_on_unknown_words() -> Folder {
    let files = tiny_bert();
    let files = files.files().map(|(name, bytes)| {
        let mut bytes = bytes.to_vec();
        if name == "tokenizer.json" {
            let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            // A WordPiece without its unknown token is refused as soon as it is read.
            let vocabulary = json["model"]["vocab"].take();
            json["model"] = serde_json::json!({ "type": "WordLevel", "vocab": vocabulary, "unk_token": "[none]" });
            bytes = json.to_string().into_bytes();
        }
        (name.to_owned(), bytes)
    });
    // BERT's class would make it a WordPiece.
    let config = br#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#.to_vec();
    let files = files.chain([("tokenizer_config.json".to_owned(), config)]);
    Folder::from_files("tiny-bert", files.collect())
}

/// Texts that fail in mid-run lose no step: what was learnt since the last checkpoint is saved before the run ends, and can
/// be taken up.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn texts_that_fail_in_mid_run_lose_no_step() {
    let place = Memory::new(cpu());
    // The last block of 8 lines is one that the tokenizer fails on.
    let text = "the small model\n".repeat(296) + &"the \u{2603}\n".repeat(8);
    let taken = with_engine(place.clone(), async |asker| {
        provide_with(asker, &teacher_that_fails_on_unknown_words(), &text).await;
        let recipe = Recipe {
            steps: 1000,
            heldout: 0.0,
            shuffle: 8,
            checkpoint_every: 1000,
            ..recipe()
        };
        asker.ask(Command::Start { recipe }, Vec::new());
        let failed = RunState::Ended { halt: Halt::Failed };
        let heard = asker.until(is(&failed)).await;
        let taken = steps(&heard).last().unwrap().step;
        let refusal = heard.iter().find_map(|(_, event, _)| match event {
            Event::Refused { control, message } => Some((control.clone(), message.clone())),
            _ => None,
        });
        let (control, message) = refusal.unwrap();
        assert_eq!(control, Control::Texts);
        assert!(
            message.contains("cannot tokenise the lines from words.txt, line "),
            "{message}"
        );
        assert!(
            message.ends_with(&format!("saved after step {taken}")),
            "{message}"
        );
        taken
    })
    .await;
    assert_eq!(taken, 74);
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        let heard = asker.until(is(&RunState::Paused)).await;
        assert_eq!(steps(&heard).len() as u64, taken);
    })
    .await;
}

/// A place that dies between a checkpoint and its evaluation: the evaluation is made up for when the run is taken up, with
/// the numbers that the whole run has.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_evaluation_that_a_kill_cut_off_is_made_up_for() {
    let measured = |heard: &[Message]| -> Vec<Evaluation> {
        let of = |(_, event, _): &Message| match event {
            Event::Evaluated { evaluation } => Some(evaluation.clone()),
            _ => None,
        };
        heard.iter().filter_map(of).collect()
    };
    let place = Memory::new(cpu());
    let whole = with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        measured(&asker.until(is(&FINISHED)).await)
    })
    .await;
    let kept = place.files.borrow()["run.json"].clone();
    let index = unseal(&kept).expect("what was kept is whole");
    let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let evaluations = index["evaluations"].as_array_mut().unwrap();
    assert_eq!(evaluations.len(), 4, "the last one is kept too");
    evaluations.pop();
    let index = seal(&index.to_string()).into_bytes();
    place.files.borrow_mut().insert("run.json".into(), index);
    let resumed = with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        measured(&asker.until(is(&FINISHED)).await)
    })
    .await;
    assert_eq!(resumed.last(), whole.last());
    assert!(whole.iter().all(|e| e.untrained.len() == 6), "{whole:?}");
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

/// So is a saved run whose index was damaged: the page is told as soon as it comes, and a new run takes its place.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_damaged_index_is_told_and_no_end() {
    let place = Memory::new(cpu());
    place
        .files
        .borrow_mut()
        .insert("run.json".into(), b"{\"recipe\": ".to_vec());
    with_engine(place.clone(), async |asker| {
        let version = VERSION;
        asker.ask(
            Command::Hello {
                version,
                since_step: 0,
            },
            Vec::new(),
        );
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Checkpoint);
        assert!(message.contains("run.json is damaged"), "{message}");
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
    })
    .await;
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        asker.until(is(&FINISHED)).await;
    })
    .await;
}

/// Numbers of the curves that were damaged, in an index that can still be read: the run is taken up, and the page is told.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn damaged_numbers_are_told() {
    let place = Memory::new(cpu());
    with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
    })
    .await;
    let kept = String::from_utf8(place.files.borrow()["run.json"].clone()).unwrap();
    let (before, loss) = kept.split_once(r#""loss":"#).unwrap();
    let other = if loss.starts_with('1') { "2" } else { "1" };
    let damaged = format!(r#"{before}"loss":{other}{}"#, &loss[1..]);
    assert_eq!(damaged.len(), kept.len());
    place
        .files
        .borrow_mut()
        .insert("run.json".into(), damaged.into_bytes());
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        asker.until(is(&FINISHED)).await;
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Checkpoint);
        assert!(
            message.contains("run.json of the saved run was damaged"),
            "{message}"
        );
    })
    .await;
}

/// Texts that are not those that the run began with, of the same size: in the storage, and beside an imported checkpoint.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn changed_texts_are_not_gone_on_with() {
    let place = Memory::new(cpu());
    with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
    })
    .await;
    let checkpoint = place.files.borrow()["checkpoint.safetensors"].clone();
    let other = text().replace("line 40 of", "lime 40 of");
    let other_bytes = other.clone().into_bytes();
    place
        .files
        .borrow_mut()
        .insert("text-0".into(), other_bytes);
    let refused = |(control, message): (Control, String)| {
        assert_eq!(control, Control::Checkpoint);
        assert!(
            message.starts_with("words.txt has changed since the run began: it differs in lines 4"),
            "{message}"
        );
    };
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        refused(asker.refusal().await);
    })
    .await;
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &other).await;
        let name = "checkpoint.safetensors".to_owned();
        asker.ask(Command::Checkpoint { name }, vec![checkpoint]);
        refused(asker.refusal().await);
    })
    .await;
}

/// A run by its seed: what it comes to if nothing is in its way.
struct Whole {
    recipe: Recipe,
    steps: Vec<Step>,
    weights: Vec<u8>,
}

impl Whole {
    async fn of(seed: u64) -> (Self, Memory) {
        let recipe = Recipe { seed, ..recipe() };
        let place = Memory::new(cpu());
        let (steps, weights) = with_engine(place.clone(), async |asker| {
            provide(asker, &text()).await;
            let recipe = recipe.clone();
            asker.ask(Command::Start { recipe }, Vec::new());
            let steps = steps(&asker.until(is(&FINISHED)).await);
            (steps, weights(asker).await)
        })
        .await;
        let whole = Self {
            recipe,
            steps,
            weights,
        };
        (whole, place)
    }
}

async fn weights(asker: &mut Asker) -> Vec<u8> {
    let student = exported(asker).await;
    student.get("model.safetensors").unwrap().to_vec()
}

/// The last step that the pages were told is safe.
fn saved_step(heard: &[Message]) -> Option<u64> {
    let saved = heard.iter().filter_map(|(_, event, _)| match event {
        Event::Checkpoint {
            step,
            only_in_memory: None,
            ..
        } => Some(*step),
        _ => None,
    });
    saved.max()
}

/// Opens what a storage holds and takes it to its end: it must be one of these runs, bit for bit, from a step on that is not
/// before `safe`; or there is none, if none was told safe.
async fn takes_up_one_of(place: Memory, runs: &[&Whole], safe: Option<u64>, what: &str) {
    with_engine(place, async |asker| {
        let (version, since_step) = (VERSION, 0);
        let hello = Command::Hello {
            version,
            since_step,
        };
        asker.ask(hello, Vec::new());
        let heard = asker.until(is(&RunState::Idle)).await;
        let refused = heard
            .iter()
            .any(|(_, e, _)| matches!(e, Event::Refused { .. }));
        assert!(!refused, "{what}: {heard:?}");
        let offered = heard.iter().find_map(|(_, event, _)| match event {
            Event::Saved { run } => run.clone(),
            _ => None,
        });
        let Some(offered) = offered else {
            assert_eq!(safe, None, "{what}: a run that was told safe is lost");
            return;
        };
        let run = runs
            .iter()
            .find(|run| run.recipe.seed == offered.recipe.seed);
        let run = run.unwrap_or_else(|| panic!("{what}: offered {offered:?}"));
        asker.ask(Command::Restore, Vec::new());
        let mut heard = asker
            .until(|e| is(&RunState::Paused)(e) || is(&FINISHED)(e))
            .await;
        let from = steps(&heard).last().map_or(0, |step| step.step);
        assert!(
            safe.is_none_or(|safe| safe <= from),
            "{what}: {from} of {safe:?}"
        );
        if !heard.iter().any(|(_, event, _)| is(&FINISHED)(event)) {
            asker.ask(Command::Resume, Vec::new());
            heard.extend(asker.until(is(&FINISHED)).await);
        }
        let refused = heard
            .iter()
            .any(|(_, e, _)| matches!(e, Event::Refused { .. }));
        assert!(!refused, "{what}: {heard:?}");
        let numbers = |steps: &[Step]| -> Vec<u64> { steps.iter().map(|s| s.step).collect() };
        assert_eq!(numbers(&steps(&heard)), numbers(&run.steps), "{what}");
        assert!(
            weights(asker).await == run.weights,
            "{what}: another student"
        );
    })
    .await;
}

/// A storage that fails at any one write, or at that one and all after it, as when its program is killed: what it holds
/// afterwards is a run that can be taken up, the one before or the one that was saved, and never a mixture of both.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_storage_that_fails_at_any_write_holds_a_whole_run() {
    let (first, place) = Whole::of(1).await;
    let (second, _) = Whole::of(2).await;
    let recipe = &second.recipe;
    let mut writes = 0..;
    for number in writes.by_ref() {
        let mut refused = false;
        for until in [number + 1, usize::MAX] {
            let failing = Memory {
                refused: number..until,
                ..place.copy()
            };
            let safe = with_engine(failing.clone(), async |asker| {
                provide(asker, &text()).await;
                let recipe = recipe.clone();
                asker.ask(Command::Start { recipe }, Vec::new());
                saved_step(&asker.until(is(&FINISHED)).await)
            })
            .await;
            refused = failing.writes.get() > number;
            let whole = Memory {
                refused: 0..0,
                ..failing
            };
            let what = format!("writes {number}..{until}");
            takes_up_one_of(whole, &[&first, &second], safe, &what).await;
        }
        if !refused {
            break;
        }
    }
    // What is forgotten and kept of the inputs, two files at the start and three at each of three milestones.
    assert!(writes.start > 12, "{} writes", writes.start);
}

/// The same for a run that was paused and is taken up again on such a storage.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_storage_that_fails_after_a_restart_holds_the_run() {
    let (whole, _) = Whole::of(1).await;
    let place = Memory::ticking(cpu(), 1.0);
    let paused = with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        let recipe = whole.recipe.clone();
        asker.ask(Command::Start { recipe }, Vec::new());
        let second = |e: &Event| matches!(e, Event::Steps { steps } if steps[0].step == 2);
        asker.until(second).await;
        asker.ask(Command::Pause, Vec::new());
        let paused = |e: &Event| matches!(e, Event::Checkpoint { step, .. } if *step > 0);
        saved_step(&asker.until(paused).await)
    })
    .await;
    for number in 0.. {
        let mut refused = false;
        for until in [number + 1, usize::MAX] {
            let failing = Memory {
                refused: number..until,
                ..place.copy()
            };
            let safe = with_engine(failing.clone(), async |asker| {
                asker.ask(Command::Restore, Vec::new());
                asker.until(is(&RunState::Paused)).await;
                asker.ask(Command::Resume, Vec::new());
                saved_step(&asker.until(is(&FINISHED)).await)
            })
            .await;
            refused = failing.writes.get() > number;
            let restarted = Memory {
                refused: 0..0,
                ..failing
            };
            let what = format!("writes {number}..{until}");
            takes_up_one_of(restarted, &[&whole], safe.max(paused), &what).await;
        }
        if !refused {
            assert!(number >= 5, "{number} writes");
            break;
        }
    }
}

async fn ask_sentence(asker: &mut Asker, text: &str) -> Vec<Message> {
    let text = text.to_owned();
    asker.ask(Command::Sentence { text }, Vec::new());
    asker.until(|e| matches!(e, Event::Taps { .. })).await
}

/// The student's files.
async fn exported(asker: &mut Asker) -> Folder {
    exported_as(asker, Export::Student).await
}

async fn exported_as(asker: &mut Asker, what: Export) -> Folder {
    asker.ask(Command::Export { what }, Vec::new());
    let heard = asker.until(|e| matches!(e, Event::Files { .. })).await;
    let Some((_, Event::Files { files, .. }, blobs)) = heard.into_iter().next_back() else {
        unreachable!()
    };
    Folder::from_files("student", files.into_iter().zip(blobs).collect())
}

/// What a page cuts out of the taps, with any layer, pair and number of heads, is what our kernels compute from the models.
async fn taps_are_relations(device: Device) {
    with_engine(Memory::new(device), async |asker| {
        provide(asker, &text()).await;
        let short = Recipe {
            steps: 2,
            ..recipe()
        };
        start_with(asker, short);
        asker.until(is(&FINISHED)).await;
        let text = "a small word of the text";
        let heard = ask_sentence(asker, text).await;
        let sentence = sentence(&heard);
        let size = sentence.tokens.len();
        assert!(size > 5 && sentence.left_out == 0);
        let [(2, from_student)] = &samples(&heard)[..] else {
            panic!("other than the last step")
        };
        let sides = [
            (
                tiny_bert(),
                24,
                taps(size, sentence.heads, &sentence.layers),
            ),
            (exported(asker).await, 12, taps(size, 3, from_student)),
        ];
        let ids = tiny_bert().tokenizer().unwrap();
        let ids = ids.encode(&[text]).unwrap().remove(0).ids;
        let batch = TokenBatch::new(&ids, &[ids.len()], &cpu()).unwrap();
        for (folder, hidden, reported) in sides {
            assert_eq!((reported.layers(), reported.hidden()), (2, hidden));
            let encoder = Encoder::from_folder(&folder, &cpu()).unwrap();
            for layer in [1, 2] {
                let exact = encoder.tap(&batch, layer, None).unwrap();
                for pair in Pair::all() {
                    for heads in [1, 3, 6, 12] {
                        let got = reported.map(layer, pair, heads).unwrap();
                        let exact = relation(&exact, pair, batch.lengths(), heads).unwrap();
                        let exact = read(exact).await;
                        assert_eq!(got.len(), exact.len());
                        for (got, exact) in got.iter().zip(&exact) {
                            let what = format!("{} {pair} {layer} {heads}", folder.name());
                            assert!((got - exact).abs() < 1e-5, "{what}: {got} and {exact}");
                        }
                    }
                }
            }
        }
    })
    .await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn taps_hold_every_relation() {
    taps_are_relations(cpu()).await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn taps_of_the_gpu_hold_every_relation() {
    taps_are_relations(gpu().await).await;
}

/// The last `Similarity` that was told: its step, its sentences, and the cosines of teacher and student.
fn similarity(heard: &[Message]) -> (u64, Vec<String>, [Vec<f32>; 2]) {
    let told = heard
        .iter()
        .rev()
        .find_map(|(_, event, blobs)| match event {
            Event::Similarity { step, texts } => Some((*step, texts.clone(), blobs)),
            _ => None,
        });
    let (step, texts, blobs) = told.unwrap();
    let floats = |bytes: &Vec<u8>| {
        let all = bytes.as_chunks::<4>().0.iter();
        all.map(|b| f32::from_le_bytes(*b)).collect()
    };
    (step, texts, [floats(&blobs[0]), floats(&blobs[1])])
}

/// The cosines that a page draws are those of the vectors that both models make of the sentences one by one, own sentences are
/// beside the held-out ones until the reader goes back to those, and a page that comes later hears of them.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn sentences_are_compared() {
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker.until(is(&FINISHED)).await;
        let (_, heldout, _) = similarity(&heard);
        let count = heldout.len();
        assert!((5..=12).contains(&count), "{heldout:?}");
        assert!(heldout.iter().all(|line| text().contains(line)));
        let own: Vec<String> = (0..5).map(|n| format!("the {n} words of a text")).collect();
        for sentence in &own {
            ask_sentence(asker, sentence).await;
        }
        let (version, since_step) = (VERSION, 9);
        let hello = Command::Hello {
            version,
            since_step,
        };
        asker.ask(hello, Vec::new());
        let heard = asker.until(|e| matches!(e, Event::Taps { .. })).await;
        let (step, texts, told) = similarity(&heard);
        let (lines, others) = texts.split_at(count);
        assert_eq!((step, lines, others), (9, &heldout[..], &own[1..]));
        let tokenizer = tiny_bert().tokenizer().unwrap();
        for (folder, told) in [tiny_bert(), exported(asker).await].into_iter().zip(told) {
            let encoder = Encoder::from_folder(&folder, &cpu()).unwrap();
            let mut vectors = Vec::new();
            for text in &texts {
                let ids = tokenizer.encode(&[text]).unwrap().remove(0).ids;
                let batch = TokenBatch::new(&ids, &[ids.len()], &cpu()).unwrap();
                vectors.push(read(encoder.mean_pooled(&batch).unwrap()).await);
            }
            let product =
                |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let cells = vectors
                .iter()
                .flat_map(|a| vectors.iter().map(move |b| (a, b)));
            assert_eq!(told.len(), texts.len() * texts.len());
            for ((a, b), told) in cells.zip(told) {
                let exact = product(a, b) / (product(a, a) * product(b, b)).sqrt();
                assert!((told - exact).abs() < 1e-5, "{told} and {exact}");
            }
        }
        let (_, texts, _) = similarity(&ask_sentence(asker, "").await);
        assert_eq!(texts, heldout);
    })
    .await;
}

/// What a page gives of a model, so that it reads sentences.
fn given(folder: &Folder) -> (Vec<String>, Vec<Vec<u8>>) {
    let files = folder.files().filter(|(name, _)| {
        ["config.json", "model.safetensors"].contains(name) || name.contains("token")
    });
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    files.unzip()
}

/// Teacher and student of a run read a sentence after it, without a run, as they did in it: to whoever asks alone, own sentences
/// side by side. A run that begins has its own.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_student_reads_without_a_run() {
    let texts = ["a small word of the text", "another line"];
    let (recipe, student, before) = with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker.until(is(&FINISHED)).await;
        let of_run = |(_, event, _): Message| match event {
            Event::Started { run } => Some(run.recipe),
            _ => None,
        };
        let recipe = heard.into_iter().find_map(of_run).unwrap();
        let before = ask_sentence(asker, texts[0]).await;
        (recipe, exported(asker).await, before)
    })
    .await;
    with_engine(Memory::new(cpu()), async |asker| {
        let command = |teacher: &[String], files: &[String]| Command::Student {
            recipe: recipe.clone(),
            teacher: teacher.to_vec(),
            files: files.to_vec(),
        };
        let ((of_teacher, mut blobs), (files, of_student)) = (given(&tiny_bert()), given(&student));
        asker.ask(command(&[], &files), of_student.clone());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Sentence);
        assert!(message.contains("tiny-bert"), "{message}");
        let sentence_of = |text: &str| Command::Sentence { text: text.into() };
        asker.ask(sentence_of(texts[0]), Vec::new());
        let (_, message) = asker.refusal().await;
        assert!(message.contains("start one first"), "{message}");
        asker.ask(
            command(&of_teacher, &of_teacher),
            [blobs.clone(), blobs.clone()].concat(),
        );
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Sentence);
        assert!(message.contains("shape"), "{message}");
        blobs.extend(of_student.clone());
        asker.ask(command(&of_teacher, &files), blobs);
        let heard = ask_sentence(asker, texts[0]).await;
        // That the engine is ready after a refusal, all are told.
        let is_stage = |event: &Event| matches!(event, Event::Stage { .. });
        let mut answers = heard.iter().filter(|(_, event, _)| !is_stage(event));
        assert!(answers.all(|(to, ..)| *to == To::One(7)));
        assert_eq!(samples(&heard), samples(&before));
        assert_eq!(sentence(&heard).layers, sentence(&before).layers);
        assert_eq!(similarity(&heard).1, texts[..1]);
        let heard = ask_sentence(asker, texts[1]).await;
        let (step, compared, [teacher, _]) = similarity(&heard);
        assert_eq!(
            (step, &compared[..], teacher.len()),
            (9, &texts.map(str::to_owned)[..], 4)
        );
        asker.ask(sentence_of(" "), Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Sentence);
        assert!(message.contains("no tokens"), "{message}");
        // A run has its own, whatever comes after it.
        provide(asker, &text()).await;
        let short = Recipe {
            steps: 2,
            ..recipe.clone()
        };
        start_with(asker, short);
        asker.until(is(&FINISHED)).await;
        asker.ask(command(&[], &files), of_student);
        let heard = ask_sentence(asker, texts[0]).await;
        assert!(heard.iter().all(|(to, ..)| *to == To::All));
        assert_eq!(samples(&heard)[0].0, 2);
        assert!(
            similarity(&heard).1.len() > 4,
            "held-out lines are beside it"
        );
    })
    .await;
}

/// A matrix of 8 bits is its steps times the scale of each row, and is refused where it has no scale or another number of them.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn matrices_of_8_bits_are_read() {
    let folder = tiny_bert();
    let encoder = Encoder::from_folder(&folder, &cpu()).unwrap();
    let whole = encoder.to_safetensors(Precision::F32).await.unwrap();
    let with = |weights: Vec<u8>| {
        let files = folder
            .files()
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        let mut files: BTreeMap<String, Vec<u8>> = files.collect();
        files.insert("model.safetensors".into(), weights);
        Folder::from_files("tiny", files)
    };
    let small = in_steps(&whole, |_| 31.0);
    let folder_of_steps = with(small.clone());
    let read = limbeck_model::Weights::open(&folder_of_steps).unwrap();
    assert_eq!(read.strays().unwrap(), Vec::<&str>::new());
    let (stored, whole) = [&small, &whole]
        .map(|file| SafeTensors::deserialize(file).unwrap())
        .into();
    let mut farthest = 0.0_f32;
    for (name, view) in whole.tensors() {
        let exact = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        let values = read.get_of_file(&name, view.shape()).unwrap();
        let scales = stored.tensor(&format!("{name}.scale")).ok().map(|scales| {
            let scales = scales.data().as_chunks::<4>().0.iter();
            scales.map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()
        });
        assert_eq!(scales.is_some(), view.shape().len() == 2, "{name}");
        let width = view.shape().last().copied().unwrap();
        for (at, (value, exact)) in values.iter().zip(exact).enumerate() {
            let step = scales.as_ref().map_or(0.0, |scales| scales[at / width]);
            assert!(
                (value - exact).abs() <= 0.5001 * step,
                "{name} {at}: {value} and {exact}"
            );
            farthest = farthest.max((value - exact).abs());
        }
    }
    assert!(farthest > 0.0, "they were rounded");
    // Names are as long, so that the file stays whole.
    let renamed = |from: &str, to: &str| {
        let place = small
            .windows(from.len())
            .position(|bytes| bytes == from.as_bytes());
        let mut other = small.clone();
        other[place.unwrap()..][..from.len()].copy_from_slice(to.as_bytes());
        let folder = with(other);
        let read = limbeck_model::Weights::open(&folder).and_then(|weights| weights.check());
        read.unwrap_err().to_string()
    };
    let name = "embeddings.position_embeddings.weight.scale";
    let message = renamed(name, &name.replace("scale", "sca1e"));
    assert!(message.contains("is of type I8"), "{message}");
}

/// What both models find for a text, told to whoever asked alone.
async fn found(asker: &mut Asker, text: &str) -> Found {
    let text = text.to_owned();
    asker.ask(Command::Search { text }, Vec::new());
    next_found(asker).await
}

async fn next_found(asker: &mut Asker) -> Found {
    let heard = asker.until(|e| matches!(e, Event::Found { .. })).await;
    match heard.into_iter().next_back() {
        Some((To::One(7), Event::Found { found }, _)) => found,
        other => panic!("{other:?}"),
    }
}

/// That what is found is what the vectors of the lines say, one by one, of the teacher and of the student as it is now; each hit says
/// where the other model has it.
async fn agrees(asker: &mut Asker, query: &str, found: &Found, heldout: &[String]) {
    let count = found.lines as usize;
    // The tiny teacher has 40 positions.
    let tokenizer = tiny_bert().tokenizer().unwrap().truncating(40).unwrap();
    let student = exported(asker).await;
    for (folder, hits, other) in [
        (tiny_bert(), &found.teacher, &found.student),
        (student, &found.student, &found.teacher),
    ] {
        assert_eq!(hits.len(), count.min(10));
        let encoder = Encoder::from_folder(&folder, &cpu()).unwrap();
        let vector = async |text: &str| {
            let ids = tokenizer.encode(&[text]).unwrap().remove(0).ids;
            let batch = TokenBatch::new(&ids, &[ids.len()], &cpu()).unwrap();
            read(encoder.mean_pooled(&batch).unwrap()).await
        };
        let product = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let of_query = vector(query).await;
        let cosine = async |line: &str| {
            let of_line = vector(line).await;
            let norms = product(&of_line, &of_line) * product(&of_query, &of_query);
            product(&of_line, &of_query) / norms.sqrt()
        };
        for (place, hit) in hits.iter().enumerate() {
            let exact = cosine(&hit.text).await;
            assert!((hit.cosine - exact).abs() < 1e-5, "{hit:?} and {exact}");
            let there = hit.other.unwrap() as usize;
            if let Some(same) = other.get(there - 1) {
                assert_eq!(
                    (&same.text, same.other),
                    (&hit.text, Some(place as u64 + 1))
                );
            }
        }
        assert!(hits.is_sorted_by(|a, b| a.cosine >= b.cosine));
        // No held-out line that is not among them is nearer.
        let last = hits.last().unwrap().cosine;
        for line in heldout {
            let is_hit = hits.iter().any(|hit| hit.text == *line);
            let cosine = cosine(line).await;
            assert!(is_hit || cosine <= last + 1e-5, "{line}: {cosine}");
        }
    }
}

/// A search is of the student as it is when it is asked for: a fresh one, one that has learnt since, one that was restored. A text
/// beyond the tokens that are read is cut, and said to be.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn teacher_and_student_search_the_same_lines() {
    let query = "a small word";
    let place = Memory::new(cpu());
    let (last, heldout) = with_engine(place.clone(), async |asker| {
        let text_of_it = query.to_owned();
        asker.ask(Command::Search { text: text_of_it }, Vec::new());
        assert_eq!(asker.refusal().await.0, Control::Search);
        provide(asker, &text()).await;
        start(asker);
        asker.ask(Command::Pause, Vec::new());
        let heard = asker.until(is(&RunState::Paused)).await;
        let (_, heldout, _) = similarity(&heard);
        let fresh = found(asker, query).await;
        assert_eq!(
            (fresh.step, &*fresh.text, fresh.left_out, &*fresh.kind),
            (0, query, 0, "held-out lines")
        );
        let count = fresh.lines as usize;
        assert!(count >= heldout.len() && count > 5, "{count}");
        agrees(asker, query, &fresh, &heldout).await;
        for step in 1..=3 {
            asker.ask(Command::Step, Vec::new());
            let learnt = found(asker, query).await;
            assert_eq!(learnt.step, step);
            assert_eq!(learnt.lines, fresh.lines);
            let cosines = |found: &Found| found.student.iter().map(|hit| hit.cosine).collect();
            let [before, now]: [Vec<f32>; 2] = [&fresh, &learnt].map(cosines);
            assert_ne!(before, now);
            agrees(asker, query, &learnt, &heldout).await;
        }
        let long = "the ".repeat(60);
        let cut = found(asker, &long).await;
        assert_eq!(cut.left_out, 62 - 40);
        assert_eq!(cut.text.chars().count(), 161);
        agrees(asker, &long, &cut, &heldout).await;
        asker.ask(Command::Resume, Vec::new());
        asker.until(is(&FINISHED)).await;
        (found(asker, query).await, heldout)
    })
    .await;
    assert_eq!(last.step, 9);
    with_engine(place, async |asker| {
        asker.ask(Command::Restore, Vec::new());
        asker.until(is(&FINISHED)).await;
        let again = found(asker, query).await;
        assert_eq!(again, last);
        agrees(asker, query, &again, &heldout).await;
    })
    .await;
}

/// While the models read the lines, commands get in between: a pause, and a newer search, which takes the place of the first.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_search_lets_commands_in() {
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        for text in ["a line", "a small word"].map(str::to_owned) {
            asker.ask(Command::Search { text }, Vec::new());
        }
        asker.ask(Command::Pause, Vec::new());
        let is_found = |e: &Event| matches!(e, Event::Found { .. });
        let heard = asker.until(is(&RunState::Paused)).await;
        assert!(!heard.iter().any(|(_, event, _)| is_found(event)));
        assert_eq!(next_found(asker).await.text, "a small word");
        asker.ask(Command::Step, Vec::new());
        let steps = |e: &Event| matches!(e, Event::Steps { .. });
        let heard = asker.until(steps).await;
        assert!(!heard.iter().any(|(_, event, _)| is_found(event)));
    })
    .await;
}

/// The student's folder is the same with and without ONNX files, which are in it in every format.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_student_is_exported_with_onnx_files() {
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
        let plain = exported(asker).await;
        let with = exported_as(asker, Export::StudentWithOnnx).await;
        for (name, bytes) in plain.files() {
            assert!(with.get(name) == Some(bytes), "{name}");
        }
        let [whole, half, byte] = ["model.onnx", "model_fp16.onnx", "model_quantized.onnx"]
            .map(|file| with.get(&format!("onnx/{file}")).unwrap());
        assert!(half.len() < whole.len() && byte.len() < whole.len());
        let weights = plain.get("model.safetensors").unwrap();
        let words = SafeTensors::deserialize(weights).unwrap();
        let words = words.tensor("embeddings.word_embeddings.weight").unwrap();
        let holds = |file: &[u8]| file.windows(words.data().len()).any(|w| w == words.data());
        assert!(holds(whole) && !holds(half) && !holds(byte));
        assert_eq!(with.files().count(), plain.files().count() + 3);
    })
    .await;
}

/// A number that f16 cannot hold leaves out that file alone, and that is said; what has no room is refused before it is computed.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn onnx_files_that_cannot_be_are_left_out() {
    let place = Memory::new(cpu());
    with_engine(place.clone(), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        asker.until(is(&FINISHED)).await;
        let student = exported(asker).await;
        let mut files: BTreeMap<String, Vec<u8>> = student.into_files().collect();
        let weights = files.get_mut("model.safetensors").unwrap();
        let name = "embeddings.LayerNorm.bias";
        let tensors = SafeTensors::deserialize(weights).unwrap();
        let data = tensors.tensor(name).unwrap().data().as_ptr() as usize;
        let at = data - weights.as_ptr() as usize;
        weights[at..at + 4].copy_from_slice(&1e5_f32.to_le_bytes());
        let mut files: Vec<_> = files.into_iter().collect();
        let plain = files.len();
        let left_out = limbeck_engine::onnx::add(&mut files);
        let [reason] = &left_out[..] else {
            panic!("{left_out:?}")
        };
        assert!(reason.contains("in f16 (tensor"), "{reason}");
        assert_eq!(files.len(), plain + 2);
        assert!(files.iter().all(|(path, _)| path != "onnx/model_fp16.onnx"));

        place.free.set(Some(1000));
        let what = Export::StudentWithOnnx;
        asker.ask(Command::Export { what }, Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Run);
        assert!(message.contains("1.0 kB are free"), "{message}");
        exported(asker).await;
    })
    .await;
}

/// The tiny teacher with random weights and more positions.
async fn teacher_of_positions(positions: usize) -> Folder {
    let tiny = tiny_bert();
    let mut config: serde_json::Value =
        serde_json::from_slice(tiny.get("config.json").unwrap()).unwrap();
    config["max_position_embeddings"] = positions.into();
    let config = config.to_string().into_bytes();
    let parsed = Config::parse("config.json", &config).unwrap();
    let encoder = Encoder::random(&parsed, 1, &cpu()).unwrap();
    let weights = encoder.to_safetensors(Precision::F32).await.unwrap();
    let files = tiny.files().map(|(name, bytes)| {
        let bytes = match name {
            "config.json" => config.clone(),
            "model.safetensors" => weights.clone(),
            _ => bytes.to_vec(),
        };
        (name.to_owned(), bytes)
    });
    Folder::from_files("tiny-bert", files.collect())
}

/// Longer than the lines of a batch is no reason to cut; longer than what is drawn or than the models' positions is, and
/// the token at the end stays.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_long_sentence_is_cut_and_said_so() {
    for (teacher, most) in [(tiny_bert(), 40), (teacher_of_positions(160).await, 128)] {
        with_engine(Memory::new(cpu()), async |asker| {
            provide_with(asker, &teacher, &text()).await;
            start(asker);
            asker.until(is(&FINISHED)).await;
            for (words, left_out) in [(most - 2, 0), (most - 1, 1), (10_000, 10_002 - most)] {
                let heard = ask_sentence(asker, &"the ".repeat(words)).await;
                let reported = sentence(&heard);
                assert_eq!(reported.left_out, left_out as u64, "{words} words");
                assert_eq!(reported.tokens.len(), most);
                assert_eq!(
                    (&*reported.tokens[0], &*reported.tokens[most - 1]),
                    ("[CLS]", "[SEP]")
                );
                assert!(reported.special[0] && reported.special[most - 1]);
                assert!(reported.special[1..most - 1].iter().all(|special| !special));
                taps(most, 3, &samples(&heard)[0].1);
            }
        })
        .await;
    }
}

/// A sentence of which nothing can be drawn is refused, and the one before stays.
/// A held-out pair that is too long to be drawn stays a pair: both of its texts lose their ends.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_long_pair_is_drawn_with_both_texts() {
    let [first, second] = ["a small word and ", "the large model "].map(|text| text.repeat(9));
    let text: String = (0..30)
        .map(|n| format!("{n} {first}\t{second}\n"))
        .collect();
    let recipe = Recipe {
        corpus_pairs: true,
        max_length: 40,
        ..recipe()
    };
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text).await;
        start_with(asker, recipe);
        let drawn = sentence(&asker.until(is(&FINISHED)).await);
        assert_eq!((drawn.tokens.len(), drawn.left_out), (20, 20));
        let ends = (0..20).filter(|at| drawn.tokens[*at] == "[SEP]");
        let ends: Vec<usize> = ends.collect();
        assert!(matches!(ends[..], [5..15, 19]), "{:?}", drawn.tokens);
    })
    .await;
}

#[wasm_bindgen_test(unsupported = pollster::test)]
async fn a_sentence_without_tokens_is_refused() {
    with_engine(Memory::new(cpu()), async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let heard = asker.until(is(&FINISHED)).await;
        let heldout = sentence(&heard).tokens;
        let chosen = sentence(&ask_sentence(asker, "the small word").await).tokens;
        assert_ne!(chosen, heldout);
        let text = "\u{200b}\u{7}".to_owned();
        asker.ask(Command::Sentence { text }, Vec::new());
        let (control, message) = asker.refusal().await;
        assert_eq!(control, Control::Sentence);
        assert!(message.contains("no token"), "{message}");
        let text = "  ".to_owned();
        asker.ask(Command::Search { text }, Vec::new());
        assert_eq!(asker.refusal().await.0, Control::Search);
        let (version, since_step) = (VERSION, 9);
        asker.ask(
            Command::Hello {
                version,
                since_step,
            },
            Vec::new(),
        );
        // What a page that comes later needs: the sentence, then the last taps of it.
        let heard = asker
            .until(|e| matches!(e, Event::Taps { step: 9, .. }))
            .await;
        assert_eq!(sentence(&heard).tokens, chosen);
        assert!(heard.iter().any(|(to, _, _)| *to == To::One(7)));
        assert_eq!(sentence(&ask_sentence(asker, " ").await).tokens, heldout);
    })
    .await;
}

/// By a clock on which a step and a look take a second each: 0 and the end are always looked at, and so is the first step;
/// between them looks take one second of 25.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn looks_keep_within_their_share() {
    let place = Memory::ticking(cpu(), 1.0);
    with_engine(place, async |asker| {
        provide(asker, &text()).await;
        let recipe = Recipe {
            steps: 120,
            checkpoint_every: 1000,
            ..recipe()
        };
        asker.ask(Command::Start { recipe }, Vec::new());
        let heard = asker.until(is(&FINISHED)).await;
        let seen: Vec<u64> = samples(&heard).iter().map(|(step, _)| *step).collect();
        assert_eq!(seen, [0, 1, 51, 76, 101, 120]);
    })
    .await;
}

/// By a clock on which a step takes a hundredth of a second: steps are told together, in their order, and before what comes
/// after them.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn quick_steps_are_told_together() {
    with_engine(Memory::ticking(cpu(), 0.01), async |asker| {
        provide(asker, &text()).await;
        let recipe = Recipe {
            steps: 40,
            checkpoint_every: 20,
            ..recipe()
        };
        asker.ask(Command::Start { recipe }, Vec::new());
        let heard = asker.until(is(&FINISHED)).await;
        let reported: Vec<u64> = steps(&heard).iter().map(|step| step.step).collect();
        assert_eq!(reported, (1..=40).collect::<Vec<_>>());
        let tellings = heard
            .iter()
            .filter(|(_, event, _)| matches!(event, Event::Steps { .. }));
        assert!((8..=25).contains(&tellings.count()));
        let before = heard.iter().take_while(|(_, event, _)| {
            !matches!(event, Event::Evaluated { evaluation } if evaluation.step == 20)
        });
        let before: Vec<Message> = before.cloned().collect();
        assert_eq!(steps(&before).len(), 20);
    })
    .await;
}

/// Whoever takes single steps sees each of them, and whoever pauses what is.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn single_steps_are_looked_at() {
    let place = Memory::ticking(cpu(), 1.0);
    with_engine(place, async |asker| {
        provide(asker, &text()).await;
        start(asker);
        let second = |e: &Event| matches!(e, Event::Steps { steps } if steps[0].step == 2);
        asker.until(second).await;
        asker.ask(Command::Pause, Vec::new());
        let heard = asker.until(|e| matches!(e, Event::Taps { .. })).await;
        let paused = samples(&heard)[0].0;
        assert!(
            heard
                .iter()
                .any(|(_, event, _)| is(&RunState::Paused)(event))
        );
        asker.ask(Command::Step, Vec::new());
        asker.ask(Command::Step, Vec::new());
        for step in [paused + 1, paused + 2] {
            let heard = asker.until(|e| matches!(e, Event::Taps { .. })).await;
            assert_eq!(samples(&heard)[0].0, step);
        }
    })
    .await;
}
