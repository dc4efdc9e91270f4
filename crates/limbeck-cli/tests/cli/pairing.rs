//! Runs over pairs of texts.

use serde_json::json;

use crate::scene::{CORPUS_LINES, Scene};

/// Pairs of the words of the corpus, and how a line of them is written.
fn pairs(between: &str, ends: [&str; 2]) -> String {
    let words = [
        "the model",
        "a small student reads",
        "two words",
        "the teacher",
    ];
    let line = |n: usize| {
        let [first, second] = [words[n % 4], words[(n / 4 + 1) % 4]];
        format!("{}{first} {n}{between}{second}{}\n", ends[0], ends[1])
    };
    (0..CORPUS_LINES).map(line).collect()
}

/// Pairs are not the two texts in one; a run over them can be made longer; and JSON lines give the run of lines with a tab.
#[test]
fn pairs_are_read_as_cross_encoders_read_them() {
    let scene = Scene::new();
    scene.write("pairs.tsv", pairs("\t", ["", ""]));
    scene.write("joined.txt", pairs(" ", ["", ""]));
    let json = ["{\"premise\": \"", "\"}"];
    scene.write("pairs.jsonl", pairs("\", \"hypothesis\": \"", json));
    let run = |out: &str, flags: &[&str]| {
        let all = ["--out", out, "--set", "heldout=0.2", "--corpus"];
        scene.distill(&[&all[..], flags].concat())
    };
    run("lines", &["pairs.tsv", "--corpus-pairs"]).done();
    run("joined", &["joined.txt"]).done();
    let fields = [
        "pairs.jsonl",
        "--corpus-pairs",
        "--corpus-field",
        "premise,hypothesis",
    ];
    run("fields", &fields).done();
    let weights = |folder: &str| scene.read(&format!("{folder}/model.safetensors"));
    assert!(weights("lines") == weights("fields"));
    assert!(weights("lines") != weights("joined"));
    assert!(
        scene
            .text("lines/recipe.toml")
            .contains("corpus_pairs = true\n")
    );
    let card = scene.text("lines/README.md");
    assert!(card.contains("| Data | pairs.tsv (pairs) |"), "{card}");

    run(
        "student",
        &[
            "pairs.tsv",
            "--corpus-pairs",
            "--set",
            "steps=6",
            "--set",
            "warmup=3",
        ],
    )
    .done();
    run(
        "short",
        &["pairs.tsv", "--corpus-pairs", "--set", "warmup=3"],
    )
    .done();
    let longer = ["distill", "--out", "short", "--resume", "--set", "steps=6"];
    scene.run(&longer).done();
    assert!(weights("short") == weights("student"));

    let layers = [
        "layers",
        "--config",
        "recipe.toml",
        "--corpus",
        "pairs.tsv",
        "--corpus-pairs",
        "--probe",
        "0",
    ];
    scene.run(&layers).done();
}

#[test]
fn what_is_no_pair_is_refused_before_the_first_step() {
    let scene = Scene::new();
    scene
        .distill(&["--corpus-pairs"])
        .failed(&format!(
            "the recipe says that a line is two texts with a tab between them (corpus_pairs = true), and of {CORPUS_LINES} lines none has a tab. Put \
             one between the texts of a pair, or leave corpus_pairs out"
        ));
    scene
        .distill(&["--corpus-pairs", "--corpus-field", "text"])
        .refused(
            2,
            "the recipe has a mistake:\n  corpus_field: corpus_pairs = true needs the fields of both texts, with a comma between them, \
             such as \"premise,hypothesis\", not \"text\"",
        );
    scene.write("pairs.tsv", pairs("\t", ["", ""]));
    let refused = scene.distill(&["--corpus", "pairs.tsv"]);
    assert!(
        refused.stderr.contains("pairs.tsv is a table"),
        "{refused:?}"
    );
}

/// A model of one token type reads both texts as of that type.
#[test]
fn a_model_without_types_reads_pairs() {
    let scene = Scene::new();
    let config = scene.json("teacher/config.json");
    assert_eq!(config["type_vocab_size"], json!(2));
    scene.remove("teacher/vocab.txt");
    scene.copy_golden("tiny-xlmr", "teacher");
    scene.write("pairs.txt", pairs("\t", ["", ""]));
    let flags = [
        "--corpus",
        "pairs.txt",
        "--corpus-pairs",
        "--set",
        "student.heads=2",
        "--set",
        "student.hidden=16",
    ];
    scene.distill(&flags).done();
}
