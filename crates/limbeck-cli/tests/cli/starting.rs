//! Students that start from the model in a folder, and those that it does not fit.

use std::fs;

use serde_json::json;

use crate::running::Running;
use crate::scene::{Outcome, Scene, TEACHER_HIDDEN};
use crate::weights;

/// The recipe of the scene without the student's sizes.
const OPEN: &str = r#"
teacher = "teacher"
corpus = ["corpus.txt"]
max_length = 16
batch = 4
steps = 3
learning_rate = 0.01
device = "cpu"

[student]
init = { folder = "former" }
"#;
/// So small a rate that no weight moves.
const STILL: [&str; 4] = ["--set", "learning_rate=1e-30", "--set", "weight_decay=0.0"];

/// A scene with a former student of 1 x 12 in `former`, and a recipe `open.toml` that goes on with it.
fn scene() -> Scene {
    let scene = Scene::new();
    let flags = ["--out", "former", "--set", "student.ffn=20"];
    scene.distill(&flags).done();
    scene.write("open.toml", OPEN);
    scene
}

fn distill(scene: &Scene, flags: &[&str]) -> Outcome {
    scene.run(&[&["distill", "--config", "open.toml"][..], flags].concat())
}

#[track_caller]
fn has_the_former_weights(scene: &Scene, folder: &str) {
    let [former, found] = ["former", folder]
        .map(|folder| weights::read(scene, &format!("{folder}/model.safetensors")));
    assert!(former.len() > 10 && former.len() == found.len());
    for (name, tensor) in &found {
        assert!(tensor.bytes == former[name].bytes, "{name} of {folder}");
    }
}

#[test]
fn a_student_starts_from_the_model_in_a_folder() {
    let scene = scene();
    distill(&scene, &STILL).done();
    has_the_former_weights(&scene, "student");
    assert_eq!(scene.sizes("student"), [1, 12, 3, 20]);
    let card = scene.text("student/README.md");
    assert!(card.contains("| Start | the weights of former |"), "{card}");
    let recipe = scene.text("student/recipe.toml");
    assert!(
        recipe.contains("layers = 1\nhidden = 12\nheads = 3\n"),
        "{recipe}"
    );
    assert!(recipe.contains("folder = \"../former\""), "{recipe}");
    // The recipe that it leaves, and a setting over another start, do the same.
    for (out, flags) in [
        ("again", &["--config", "student/recipe.toml"][..]),
        (
            "set",
            &[
                "--config",
                "recipe.toml",
                "--set",
                "student.init=random",
                "--set",
                "student.init.folder=former",
            ],
        ),
    ] {
        let flags = [&["distill", "--out", out][..], flags, &STILL].concat();
        scene.run(&flags).done();
        has_the_former_weights(&scene, out);
    }
    distill(&scene, &["--out", "taught"]).done();
    let [former, taught] =
        ["former", "taught"].map(|folder| scene.read(&format!("{folder}/model.safetensors")));
    assert!(former != taught, "three steps must change it");
}

#[test]
fn a_baseline_is_copied_from_the_folder_too() {
    let scene = scene();
    let outcome = scene
        .run(&["baseline", "--config", "open.toml", "--out", "copied"])
        .done();
    assert!(
        outcome
            .stderr
            .contains("Start            the weights of former"),
        "{outcome:?}"
    );
    has_the_former_weights(&scene, "copied");
}

#[test]
fn a_model_of_another_size_and_dropout_is_taught() {
    let scene = scene();
    scene.copy_golden("tiny-bert", "former");
    distill(
        &scene,
        &[&STILL[..], &["--set", "student.dropout=0.3"]].concat(),
    )
    .done();
    let config = scene.json("student/config.json");
    let found = [
        &config["hidden_size"],
        &config["num_hidden_layers"],
        &config["hidden_dropout_prob"],
    ];
    let former = scene.json("former/config.json");
    let dropout = &former["hidden_dropout_prob"];
    assert_ne!(dropout, &json!(0.3));
    assert_eq!(found, [&TEACHER_HIDDEN.into(), &2.into(), dropout]);
    let card = scene.text("student/README.md");
    for pair in ["Q-Q", "K-K", "V-V"] {
        let row = format!("| {pair}, KL in nats | 0.0000 | 0.0000 |");
        assert!(card.contains(&row), "{card}");
    }
}

/// With this done to the former student, it is refused as wrong use before anything is written, with this at the end.
#[track_caller]
fn refused(change: impl FnOnce(&Scene), flags: &[&str], message: &str) {
    let scene = scene();
    change(&scene);
    let outcome = distill(&scene, flags);
    assert_eq!(outcome.stderr.trim_end(), format!("limbeck: {message}"));
    assert_eq!(outcome.code, Some(2));
    assert!(!scene.path("student").exists());
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_what_was_found() {
    let mistake = |message: &str| format!("the recipe has a mistake:\n  {message}");
    let set = |field: &'static str, value: u64| {
        move |scene: &Scene| scene.set_field("former/config.json", &format!("/{field}"), value)
    };
    refused(
        |_| (),
        &["--set", "student.layers=2", "--set", "student.ffn=24"],
        "the recipe has 2 mistakes:\n  \
         student.layers: must be 1, as in the model in former that the student starts from, not 2; leave it out, or set it to 1\n  \
         student.ffn: must be 20, as in the model in former that the student starts from, not 24; leave it out, or set it to 20",
    );
    refused(
        |scene| scene.copy_golden("tiny-distilbert", "former"),
        &[],
        &mistake(
            "student.init: the model in former is of the kind `distilbert`, and the teacher of `bert`; name a folder with a model \
             of the kind `bert`",
        ),
    );
    refused(
        set("vocab_size", 112),
        &[],
        &mistake(
            "student.init: the model in former has a vocabulary of 112 tokens, and the teacher one of 113; name a folder with a \
             model that has the teacher's tokens",
        ),
    );
    refused(
        set("max_position_embeddings", 12),
        &[],
        &mistake("max_length: must be 3 to 12 (the positions of the model in former), not 16"),
    );
    refused(
        |_| (),
        &["--set", "student.from_layers=[1]"],
        &mistake(
            "student.from_layers: student.init is a folder, which takes nothing from the teacher's layers; leave from_layers out, \
             or set init to `teacher`",
        ),
    );
    refused(
        |_| (),
        &["--set", "assistant_steps=3"],
        &mistake(
            "student.init: an assistant, as deep as the teacher, cannot start from the model in former; leave assistant_steps \
             out, or set student.init to `teacher` or `random`",
        ),
    );
}

#[test]
fn a_model_with_other_tokens_is_refused_with_the_first() {
    let swapped = |scene: &Scene| {
        for (token, id) in [("a", 18), ("b", 17)] {
            scene.set_field(
                "former/tokenizer.json",
                &format!("/model/vocab/{token}"),
                id,
            );
        }
    };
    refused(
        swapped,
        &[],
        "the recipe has a mistake:\n  student.init: the tokenizer of the model in former has `b` for id 17 instead of `a`, which \
         is the teacher's; name a folder with a model that has the teacher's tokens",
    );
    let cased =
        |scene: &Scene| scene.set_field("former/tokenizer_config.json", "/do_lower_case", false);
    let scene = scene();
    cased(&scene);
    let outcome = distill(&scene, &[]);
    let message = "student.init: the tokenizer of the model in former makes [2, 1, 1, 3] of the text `The Student` instead of ";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    // What is written in another way and does the same is no difference.
    scene.set_field("former/tokenizer_config.json", "/do_lower_case", true);
    scene.remove("former/tokenizer.json");
    distill(&scene, &[]).done();
}

#[test]
fn the_model_to_start_from_is_never_written_over() {
    let scene = scene();
    let before = scene.files("former");
    distill(&scene, &["--overwrite", "--out", "former"]).refused(
        2,
        "the output folder former is the starting model's: the student would replace it. Choose another with --out",
    );
    fs::create_dir(scene.path("out")).expect("a folder");
    fs::rename(scene.path("former"), scene.path("out/former")).expect("moving a folder");
    distill(&scene, &["--overwrite", "--out", "out", "--set", "student.init.folder=out/former"]).refused(
        2,
        "the starting model out/former is in the output folder out, where it could be removed or overwritten. Move it, or choose \
         another folder with --out",
    );
    assert_eq!(scene.files("out/former"), before);
    distill(&scene, &[]).refused(
        1,
        "there is no folder former. Name a Hugging Face model folder, with config.json, model.safetensors and tokenizer.json",
    );
}

#[test]
fn a_run_that_began_with_a_model_goes_on_with_the_same_only() {
    let long = [
        "--json",
        "--set",
        "steps=400",
        "--set",
        "checkpoint_every=25",
    ];
    let whole = scene();
    distill(&whole, &long).done();
    let scene = scene();
    let mut run =
        Running::start(scene.command(&[&["distill", "--config", "open.toml"][..], &long].concat()));
    run.until("step", 3);
    run.signal("-INT");
    run.until("stopped", 3);
    run.end();
    let resume = ["distill", "--out", "student", "--resume"];
    let former = scene.read("former/config.json");
    scene.set_field("former/config.json", "/note", "changed");
    let outcome = scene.run(&resume);
    assert_eq!(outcome.code, Some(2));
    let message = "limbeck: the run began with a different starting model (checksum ";
    assert!(outcome.stderr.starts_with(message), "{}", outcome.stderr);
    scene.write("former/config.json", former);
    scene.run(&resume).done();
    for file in ["metrics.jsonl", "model.safetensors"] {
        let path = format!("student/{file}");
        assert!(scene.read(&path) == whole.read(&path), "{file} differs");
    }
}

#[test]
fn a_student_reads_as_many_tokens_as_the_model_that_it_starts_from() {
    let scene = scene();
    let length = |folder: &str| {
        scene.json(&format!("{folder}/sentence_bert_config.json"))["max_seq_length"].clone()
    };
    assert_ne!(length("former"), 9);
    scene.set_field("former/sentence_bert_config.json", "/max_seq_length", 9);
    distill(&scene, &[]).done();
    assert_eq!(length("student"), 9);
    let card = scene.text("student/README.md");
    assert!(card.contains("mean pooling, of up to 9 tokens |"), "{card}");
    let baseline = ["baseline", "--config", "open.toml", "--out", "copied"];
    scene.run(&baseline).done();
    assert_eq!(length("copied"), 9);
}

#[test]
fn a_card_promises_no_more_of_the_vectors_than_the_former_model_holds() {
    let scene = scene();
    let card = |flags: &[&str]| {
        distill(&scene, &[flags, &["--overwrite"]].concat()).done();
        scene.text("student/README.md")
    };
    let usable = "can be used as they are; fine-tune";
    let alone = card(&["--set", "output.share=0"]);
    assert!(!alone.contains(usable), "{alone}");
    assert!(
        alone.contains("can be used as they are only if that model's could"),
        "{alone}"
    );
    let trained = card(&[]);
    assert!(trained.contains(usable), "{trained}");
}

#[test]
fn a_start_that_names_no_folder_says_how_to_name_one() {
    let scene = scene();
    for (set, message) in [
        (
            "student.init=f1",
            "`f1` is neither `teacher` nor `random`; to start from the model in a folder of that name: init = { folder = \"f1\" }, \
             or --set student.init.folder=f1",
        ),
        (
            "student.init=folder",
            "`folder` must name the folder of the model to start from: init = { folder = \"DIR\" }, or --set \
             student.init.folder=DIR",
        ),
        (
            "student.init.folder=",
            "the name of the folder is empty; name the folder of the model to start from",
        ),
    ] {
        scene.distill(&["--set", set]).refused(
            2,
            &format!("recipe.toml with --set: `student.init`: {message}"),
        );
    }
}
