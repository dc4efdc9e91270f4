//! Runs over texts in two languages: how much is read of each, how far the student is from its teacher on each, and the teachers
//! that read both.

use std::fs;

use limbeck_recipe::batching::is_held_out;
use serde_json::{Value, json};

use crate::scene::{Scene, golden_folder};

const ENGLISH: &str =
    "a small student learns from large teacher and reads two books week the last layer of model";
const GERMAN: &str =
    "ein kleiner Schüler lernt von einem großen Lehrer die Wörter eines Satzes stehen in Beziehung";
/// A run of 4 steps, all within its warm-up, which can be made longer.
const FLAGS: [&str; 15] = [
    "--corpus",
    "en.txt",
    "de.txt",
    "--set",
    "heldout=0.2",
    "--set",
    "student.heads=2",
    "--set",
    "student.hidden=16",
    "--set",
    "warmup=4",
    "--set",
    "checkpoint_every=4",
    "--set",
    "seed=3",
];

/// Different lines of 3 to 8 words.
fn text(words: &str, lines: usize) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let word = |line: usize, at: usize| words[(line * 7 + at * (1 + line % 5)) % words.len()];
    let line = |line: usize| {
        let words: Vec<&str> = (0..3 + line % 6).map(|at| word(line, at)).collect();
        words.join(" ") + "\n"
    };
    (0..lines).map(line).collect()
}

/// XLM-R's tokenizer, with the model in this folder of goldens; and a text of each language, one of them short.
fn two_languages(model: &str) -> Scene {
    let scene = Scene::new();
    scene.remove("teacher/vocab.txt");
    for golden in ["tiny-xlmr", model] {
        scene.copy_golden(golden, "teacher");
    }
    scene.write("en.txt", text(ENGLISH, 60));
    scene.write("de.txt", text(GERMAN, 25));
    scene
}

fn evaluations(scene: &Scene, folder: &str) -> Vec<Value> {
    let text = scene.text(&format!("{folder}/metrics.jsonl"));
    let lines = text.lines().map(serde_json::from_str);
    let lines = lines.map(|line| line.expect("JSON"));
    lines
        .filter(|line: &Value| line["event"] == "evaluated")
        .collect()
}

/// The numbers of all lines are those of the files, by their lines.
#[track_caller]
fn adds_up(evaluation: &Value) {
    let files = evaluation["files"].as_array().expect("files");
    let names: Vec<&Value> = files.iter().map(|file| &file["file"]).collect();
    assert_eq!(names, ["en.txt", "de.txt"]);
    let lines: Vec<f64> = files
        .iter()
        .map(|file| file["lines"].as_f64().expect("a number"))
        .collect();
    assert!(lines.iter().all(|lines| *lines > 1.0), "{lines:?}");
    let parts = evaluation["parts"].as_object().expect("parts");
    assert_eq!(parts.len(), 4, "{parts:?}");
    for (part, value) in parts {
        let of_file = |file: &Value| file["parts"][part].as_f64().expect("a number");
        let values: Vec<f64> = files.iter().map(of_file).collect();
        assert_ne!(values[0], values[1], "{part}");
        let sum = lines[0] * values[0] + lines[1] * values[1];
        let mean = sum / (lines[0] + lines[1]);
        let value = value.as_f64().expect("a number");
        assert!(
            (value - mean).abs() <= 1e-9 * mean,
            "{part}: {value}, {mean}"
        );
    }
}

/// Of both kinds of multilingual teachers; and a run that is stopped between its steps is the whole one.
#[test]
fn a_run_over_two_languages_measures_each() {
    for (model, pad) in [("tiny-xlmr", 1), ("tiny-multilingual", 0)] {
        let scene = two_languages(model);
        let run = |out: &str, flags: &[&str]| {
            let flags = [&FLAGS[..], &["--out", out], flags].concat();
            scene.distill(&flags).done()
        };
        let weights = ["--corpus-weights", "1", "3"];
        let whole = run("whole", &[&weights[..], &["--set", "steps=9"]].concat());
        assert!(
            whole.stderr.contains("\n  de.txt: Q-Q "),
            "{}",
            whole.stderr
        );
        run("student", &[&weights[..], &["--set", "steps=4"]].concat());
        let longer = [
            "distill", "--out", "student", "--resume", "--set", "steps=9",
        ];
        scene.run(&longer).done();
        for file in ["model.safetensors", "metrics.jsonl"] {
            let [one, other] =
                ["whole", "student"].map(|folder| scene.read(&format!("{folder}/{file}")));
            assert!(one == other, "{model}: {file}");
        }
        let measured = evaluations(&scene, "whole");
        assert_eq!(measured.len(), 4);
        measured.iter().for_each(adds_up);

        let card = scene.text("whole/README.md");
        for said in [
            "| Data | en.txt (25.0 % of the lines), de.txt (75.0 % of the lines) |",
            "The parts of the loss file by file:",
            "\n| de.txt | ",
        ] {
            assert!(card.contains(said), "no {said} in {card}");
        }
        let recipe = scene.text("whole/recipe.toml");
        assert!(recipe.contains("corpus_weights = [1.0, 3.0]\n"), "{recipe}");
        assert_eq!(scene.json("whole/config.json")["pad_token_id"], pad);
        scene.encode(&["--model", "whole"], text(GERMAN, 3)).done();

        // Each line once an epoch is another run, and is measured on the same lines.
        let plain = run("plain", &["--set", "steps=9", "--json"]);
        assert_ne!(
            scene.steps("plain/metrics.jsonl"),
            scene.steps("whole/metrics.jsonl")
        );
        let before = evaluations(&scene, "plain");
        assert_eq!(before[0], measured[0], "the student before its first step");
        let last = plain.events("evaluated").pop().expect("an evaluation");
        assert_eq!(last["files"], before[3]["files"]);
    }
}

/// What has no weight is measured all the same.
#[test]
fn a_language_of_weight_0_is_only_measured() {
    let scene = two_languages("tiny-multilingual");
    let run = |out: &str, flags: &[&str]| {
        let flags = [&FLAGS[..], &["--out", out, "--set", "steps=6"], flags].concat();
        scene.distill(&flags).done();
        scene.steps(&format!("{out}/metrics.jsonl"))
    };
    let english = run("english", &["--corpus-weights", "1", "0"]);
    evaluations(&scene, "english").iter().for_each(adds_up);
    // The text that has no weight makes no difference to the steps.
    scene.write("de.txt", text(GERMAN, 10));
    assert_eq!(run("other", &["--corpus-weights", "0.1", "0"]), english);
    assert_ne!(run("both", &["--corpus-weights", "1", "1"]), english);
}

#[test]
fn weights_must_fit_the_corpus() {
    let scene = two_languages("tiny-multilingual");
    for (setting, mistake) in [
        (
            "[1]",
            "1 weight for 2 paths of corpus; give each path or glob one",
        ),
        ("[1, -0.5]", "must be 0 or more, and finite, not -0.5"),
        ("[nan, 1]", "must be 0 or more, and finite, not NaN"),
        ("[inf, 1]", "must be 0 or more, and finite, not inf"),
        (
            "[0, 0]",
            "no weight is above 0, so that no line would be trained on",
        ),
    ] {
        let setting = format!("corpus_weights={setting}");
        let flags = [&FLAGS[..], &["--set", "steps=6", "--set", &setting]].concat();
        let message = format!("the recipe has a mistake:\n  corpus_weights: {mistake}");
        scene.distill(&flags).refused(2, &message);
    }
    scene.write("blank.txt", "\n");
    let flags = [
        "--corpus",
        "en.txt",
        "blank.txt",
        "--corpus-weights",
        "1",
        "1",
    ];
    let message = "'blank.txt' of the corpus has a weight, but no line of text of its own: it is blank, or a path before it names it, too. \
                   Leave it out, or give it the weight 0";
    scene.distill(&flags).refused(1, message);
    // Each of its lines would be passed over, in every block.
    let held: String = text(GERMAN, 60)
        .lines()
        .filter(|line| is_held_out(line, 0.2))
        .map(|line| format!("{line}\n"))
        .collect();
    let lines = held.lines().count();
    assert!(lines > 1);
    scene.write("de.txt", &held);
    let weights = ["--set", "steps=6", "--corpus-weights", "1", "1"];
    let message = format!(
        "'de.txt' of the corpus has a weight, but no line to train on: all of its {lines} lines are held out for evaluation \
         (heldout = 0.2). Add lines to it, hold out fewer, or give it the weight 0"
    );
    let flags = [&FLAGS[..], &weights].concat();
    scene.distill(&flags).refused(1, &message);
    let flags = [&flags[..], &["--set", "heldout=0.01"]].concat();
    scene.distill(&flags).done();
    let flags = ["--corpus", "en.txt", "--corpus-weights", "-1"];
    let message = "corpus_weights: must be 0 or more, and finite, not -1";
    let outcome = scene.distill(&flags);
    assert!(outcome.stderr.contains(message), "{outcome:?}");
    assert_eq!(outcome.code, Some(2));
}

/// Texts of one batch, which transformers pads with token 1 and limbeck with token 0.
#[test]
fn a_multilingual_minilm_gives_the_vectors_of_transformers() {
    let path = golden_folder().join("multilingual.json");
    let golden: Value = serde_json::from_slice(&fs::read(path).expect("the golden")).expect("JSON");
    let scene = two_languages("tiny-multilingual");
    let texts = golden["texts"].as_array().expect("texts").iter();
    let texts: Vec<&str> = texts.map(|text| text.as_str().expect("a text")).collect();
    let encoded = scene
        .encode(&["--batch", "8"], texts.join("\n") + "\n")
        .done();
    let vectors = golden["vectors"].as_array().expect("vectors");
    let rows = encoded.objects();
    assert_eq!(rows.len(), vectors.len());
    for (row, expected) in rows.iter().zip(vectors) {
        let [ours, theirs] = [&row["embedding"], expected].map(|vector| {
            let numbers = vector.as_array().expect("a vector").iter();
            numbers
                .map(|x| x.as_f64().expect("a number"))
                .collect::<Vec<_>>()
        });
        assert_eq!(ours.len(), theirs.len());
        let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f64::max);
        assert!(largest < 1e-5, "{largest}: {}", json!(row));
    }
}
