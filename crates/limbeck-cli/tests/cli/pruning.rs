//! Students with fewer tokens than their teacher: what they keep, what they leave, and that a stopped run keeps the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::running::Running;
use crate::scene::{Outcome, Scene};
use crate::weights;

/// What is said while the tokens of a corpus are counted.
const COUNTING: &str = "counting tokens";

/// Tokens of the teacher of the scene.
const WHOLE: usize = 113;
const PRUNED: [&str; 2] = ["--set", "student.vocabulary=60"];

fn distill(scene: &Scene, out: &str, flags: &[&str]) -> Outcome {
    scene.distill(&[&["--out", out][..], flags].concat())
}

/// The token ids and the tokens that a model makes of a text.
fn tokens(scene: &Scene, model: &str, text: &str) -> (Vec<u64>, Vec<String>) {
    let outcome = scene.encode(&["--model", model, "--tokens"], text).done();
    let object = outcome.objects().remove(0);
    let list = |name: &str| object[name].as_array().expect(name).clone();
    let ids = list("ids")
        .iter()
        .map(|id| id.as_u64().expect("an id"))
        .collect();
    let text = |token: &Value| token.as_str().expect("a token").to_owned();
    (ids, list("tokens").iter().map(text).collect())
}

fn vocabulary(scene: &Scene, folder: &str) -> serde_json::Map<String, Value> {
    let json = scene.json(&format!("{folder}/tokenizer.json"));
    json["model"]["vocab"]
        .as_object()
        .expect("a vocabulary")
        .clone()
}

fn words(scene: &Scene, folder: &str) -> weights::Stored {
    let mut all = weights::read(scene, &format!("{folder}/model.safetensors"));
    all.remove("embeddings.word_embeddings.weight")
        .expect("the table of words")
}

#[test]
fn a_student_keeps_the_tokens_that_its_corpus_has_most() {
    let scene = Scene::new();
    assert_eq!(vocabulary(&scene, "teacher").len(), WHOLE);
    let outcome = distill(&scene, "student", &PRUNED).done();
    assert!(
        outcome
            .stderr
            .contains("Vocabulary       60 of 113 tokens, covering 100.00 % of the corpus;"),
        "{outcome:?}"
    );
    let kept = vocabulary(&scene, "student");
    assert_eq!(
        (
            kept.len(),
            scene.json("student/config.json")["vocab_size"].as_u64()
        ),
        (60, Some(60))
    );
    assert_eq!(words(&scene, "student").shape, [60, 12]);
    for word in [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "teacher",
        "student",
        "attention",
    ] {
        assert!(kept.contains_key(word), "{word} of {kept:?}");
    }
    // Ids are those of the smaller table, and tokens what they were.
    let text = "the student reads two layers";
    let (ids, own) = tokens(&scene, "student", text);
    assert!(ids.iter().all(|id| *id < 60), "{ids:?}");
    for (id, token) in ids.iter().zip(&own) {
        assert_eq!(kept[token].as_u64(), Some(*id));
    }
    let of_corpus = "the teacher and the student read all words";
    let [own, whole] = ["student", "teacher"].map(|model| tokens(&scene, model, of_corpus));
    assert_eq!(own.1[1], whole.1[1]);
    assert_eq!(
        own.1.concat().replace("##", ""),
        whole.1.concat().replace("##", "")
    );
    for file in ["README.md", "report.html"] {
        let text = scene.text(&format!("student/{file}"));
        assert!(text.contains("60 of 113 tokens"), "{file}");
    }
    let recipe = scene.text("student/recipe.toml");
    assert!(recipe.contains("\nvocabulary = 60\n"), "{recipe}");
    // Files that say of other ids are not there.
    let files: BTreeSet<String> = scene.files("student").into_iter().collect();
    assert!(
        !files.contains("vocab.txt") && files.contains("tokenizer.json"),
        "{files:?}"
    );
}

#[test]
fn a_share_of_the_corpus_is_kept() {
    let scene = Scene::new();
    let sizes = ["0.5", "0.9", "1.0"].map(|share| {
        let set = format!("student.vocabulary={share}");
        let outcome = distill(&scene, share, &["--set", &set, "--json"]).done();
        let start = outcome.events("start").remove(0);
        let found = start["vocabulary"]["share"].as_f64().expect("a share");
        assert!(
            found >= share.parse().expect("a number"),
            "{share}: {found}"
        );
        let kept = vocabulary(&scene, share).len();
        assert_eq!(start["vocabulary"]["kept"], kept);
        kept
    });
    assert!(
        sizes.is_sorted_by(|a, b| a < b) && sizes[2] < WHOLE,
        "{sizes:?}"
    );
}

/// The teacher with the rows of some tokens computes of them what it computes with all: the student that starts from it has its
/// rows, and a run that keeps all tokens is the run that prunes nothing.
#[test]
fn rows_are_those_of_the_teacher() {
    let scene = Scene::new();
    scene
        .run(&["baseline", "--config", "recipe.toml", "--out", "whole"])
        .done();
    let flags = [
        &["baseline", "--config", "recipe.toml", "--out", "pruned"][..],
        &PRUNED,
    ]
    .concat();
    let outcome = scene.run(&flags).done();
    assert!(outcome.stderr.contains("60 of 113 tokens"), "{outcome:?}");
    let (whole, pruned) = (words(&scene, "whole"), words(&scene, "pruned"));
    let before = vocabulary(&scene, "whole");
    let row = |table: &weights::Stored, id: &Value| {
        let width = table.bytes.len() / table.shape[0];
        let start = id.as_u64().expect("an id") as usize * width;
        table.bytes[start..start + width].to_vec()
    };
    for (token, id) in vocabulary(&scene, "pruned") {
        assert!(row(&pruned, &id) == row(&whole, &before[&token]), "{token}");
    }
    // What a run of the same recipe starts from.
    let still = ["--set", "learning_rate=1e-30", "--set", "weight_decay=0.0"];
    distill(&scene, "run", &[&PRUNED[..], &still].concat()).done();
    assert!(scene.read("run/model.safetensors") == scene.read("pruned/model.safetensors"));
    distill(&scene, "all", &["--set", "student.vocabulary=113"]).done();
    distill(&scene, "none", &[]).done();
    assert_eq!(
        scene.steps("all/metrics.jsonl"),
        scene.steps("none/metrics.jsonl")
    );
    assert!(scene.read("all/model.safetensors") == scene.read("none/model.safetensors"));
}

#[test]
fn a_stopped_run_goes_on_with_the_same_tokens() {
    let scene = Scene::new();
    let flags = [
        "--set",
        "student.vocabulary=0.8",
        "--set",
        "steps=6",
        "--set",
        "checkpoint_every=2",
    ];
    let whole = distill(&scene, "whole", &flags).done();
    assert!(whole.stderr.contains(COUNTING), "{whole:?}");
    distill(
        &scene,
        "part",
        &[
            &flags[..4],
            &["--set", "steps=4", "--set", "checkpoint_every=2"],
        ]
        .concat(),
    )
    .done();
    // A run that is made longer takes its tokens from what it left, and counts nothing.
    let longer = scene
        .run(&["distill", "--out", "part", "--resume", "--set", "steps=6"])
        .done();
    assert!(!longer.stderr.contains(COUNTING), "{longer:?}");
    for file in ["tokenizer.json", "config.json"] {
        assert!(
            scene.read(&format!("part/{file}")) == scene.read(&format!("whole/{file}")),
            "{file}"
        );
    }
    let long = [
        &flags[..2],
        &["--set", "steps=400", "--set", "checkpoint_every=50"],
    ]
    .concat();
    let mut run = Running::distill(
        &scene,
        &[&["--out", "stopped", "--json"], &long[..]].concat(),
    );
    run.until("step", 20);
    run.signal("-INT");
    run.until("stopped", 20);
    assert_eq!(run.end().code, Some(1));
    scene
        .run(&["distill", "--out", "stopped", "--resume"])
        .done();
    distill(&scene, "undisturbed", &long).done();
    assert_eq!(
        scene.steps("stopped/metrics.jsonl"),
        scene.steps("undisturbed/metrics.jsonl")
    );
    assert!(scene.read("stopped/model.safetensors") == scene.read("undisturbed/model.safetensors"));
}

/// The assistant is pruned, and its student has its tokens.
#[test]
fn an_assistant_is_pruned_once() {
    let scene = Scene::new();
    let flags = [
        "--set",
        "student.vocabulary=0.7",
        "--set",
        "assistant_steps=2",
    ];
    distill(&scene, "student", &flags).done();
    let [assistant, student] =
        ["student/assistant", "student"].map(|folder| vocabulary(&scene, folder));
    assert_eq!(assistant, student);
    assert!(student.len() < WHOLE, "{}", student.len());
    let card = scene.text("student/README.md");
    assert!(
        card.contains("| Vocabulary | the tokens of the assistant"),
        "{card}"
    );
}

#[test]
fn relations_of_a_pruned_student_are_compared_on_its_tokens() {
    let scene = Scene::new();
    distill(&scene, "student", &PRUNED).done();
    let flags = [
        "relations",
        "--teacher",
        "teacher",
        "--student",
        "student",
        "--text",
        "the teacher and two small students",
        "--out",
        "maps.json",
        "--device",
        "cpu",
    ];
    scene.run(&flags).done();
    let json = scene.json("maps.json");
    let drawn = json["tokens"].as_array().expect("tokens").len();
    assert_eq!(
        drawn,
        tokens(&scene, "student", "the teacher and two small students")
            .0
            .len()
    );
}

#[test]
fn numbers_that_are_no_vocabulary_are_refused() {
    let scene = Scene::new();
    for (value, message) in [
        (
            "0",
            "must be a whole number of tokens above 1, such as 32000, or a share of the corpus's tokens above 0 and up to 1, such as 0.9995, not 0",
        ),
        ("-5", "such as 0.9995, not -5"),
        ("2.5", "such as 0.9995, not 2.5"),
        ("nan", "such as 0.9995, not NaN"),
        (
            "114",
            "114 tokens are more than the teacher's 113; take fewer, or leave it out to keep all",
        ),
        (
            "4",
            "4 tokens are fewer than the 5 that are kept whatever the text is",
        ),
    ] {
        let outcome = distill(
            &scene,
            "student",
            &["--set", &format!("student.vocabulary={value}")],
        );
        let expected = "student.vocabulary: ";
        assert!(
            outcome.stderr.contains(expected) && outcome.stderr.contains(message),
            "{value}: {}",
            outcome.stderr
        );
        assert!(!scene.path("student/model.safetensors").exists());
    }
    let text = distill(&scene, "student", &["--set", "student.vocabulary=many"]);
    assert!(
        text.stderr
            .contains("`student.vocabulary`: expected a number, found \"many\""),
        "{text:?}"
    );
    distill(&scene, "former", &[]).done();
    let folder = distill(
        &scene,
        "student",
        &[
            "--set",
            "student.init.folder=former",
            "--set",
            "student.vocabulary=40",
        ],
    );
    assert!(
        folder
            .stderr
            .contains("student.vocabulary: the student starts from the model in"),
        "{folder:?}"
    );
    let no_text = scene.run(&[
        "baseline",
        "--teacher",
        "teacher",
        "--out",
        "copied",
        "--set",
        "student.vocabulary=40",
    ]);
    assert!(
        no_text.stderr.contains("name the corpus in the recipe"),
        "{no_text:?}"
    );
}

/// A token beyond the table has no row to keep.
#[test]
fn a_teacher_with_too_few_rows_is_refused() {
    let scene = Scene::new();
    let mut json = scene.json("teacher/tokenizer.json");
    let token = serde_json::json!({
        "id": WHOLE, "content": "[X]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false
    });
    json["added_tokens"]
        .as_array_mut()
        .expect("tokens")
        .push(token);
    scene.write("teacher/tokenizer.json", json.to_string());
    for command in ["baseline", "distill"] {
        let outcome = scene.run(&[&[command, "--config", "recipe.toml"][..], &PRUNED].concat());
        let message =
            "the tokenizer has 114 tokens, such as `[X]` with id 113, and the model rows for 113";
        assert!(outcome.stderr.contains(message), "{command}: {outcome:?}");
    }
}
