//! `limbeck distill --resume` with what may change: more steps, even of a finished run, other places of the inputs, another current
//! folder.

use crate::scene::{CORPUS_LINES, Scene, corpus};

const WEIGHTS: &str = "model.safetensors";
/// Within the warm-up a learning rate does not depend on the number of steps.
const SHORT: [&str; 6] = [
    "--set",
    "warmup=4",
    "--set",
    "checkpoint_every=4",
    "--set",
    "steps=4",
];

fn same_student(scene: &Scene, one: &str, other: &str) {
    for file in [WEIGHTS, "metrics.jsonl", "resume.safetensors"] {
        let [a, b] = [one, other].map(|folder| scene.read(&format!("{folder}/{file}")));
        // What the last checkpoint holds beside its tensors says that the run was made longer.
        assert!(
            file == "resume.safetensors" || a == b,
            "{file} of {one} and {other}"
        );
        assert!(!a.is_empty() && a.len().abs_diff(b.len()) < 64, "{file}");
    }
}

/// A run that ends within its warm-up and is made longer is the longer run, bit for bit.
#[test]
fn a_finished_run_is_made_longer() {
    let scene = Scene::new();
    let run = |out: &str, flags: &[&str]| scene.distill(&[&["--out", out], flags].concat()).done();
    run("whole", &[&SHORT[..4], &["--set", "steps=9"]].concat());
    run("student", &SHORT);
    let shorter = scene.read("student/model.safetensors");
    let resume = ["distill", "--out", "student", "--resume", "--set"];
    let longer = scene.run(&[&resume[..], &["steps=9"]].concat()).done();
    let said = "4 steps become 9: the learning rate, at most 0.01 after 4 steps of warm-up, falls to 0 behind step 9 and no longer \
                behind step 4. In step 5 it is 8.33e-3, where it was 0";
    assert!(longer.stderr.contains(said), "{}", longer.stderr);
    assert!(shorter != scene.read("student/model.safetensors"));
    same_student(&scene, "student", "whole");
    let recipe = scene.text("student/recipe.toml");
    assert!(
        recipe.contains("steps = 9\n") && recipe.contains("warmup = 4\n"),
        "{recipe}"
    );
    for file in ["student/README.md", "student/report.html"] {
        let text = scene.text(file);
        for said in [
            "9 of 4 sequences",
            "until step 4 the learning rate was that of a run of 4 steps",
        ] {
            assert!(text.contains(said), "{file} does not say {said}");
        }
    }
    let fewer = scene.run(&[&resume[..], &["steps=8"]].concat());
    fewer.refused(2, "the run in student has taken 9 steps, and `steps=8` is fewer. Set at least 9, or start a new run");
    // Once more, from what the longer run left; the warm-up stays what it was.
    scene.run(&[&resume[..], &["steps=12"]].concat()).done();
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 12);
    let card = scene.text("student/README.md");
    assert!(card.contains("of 4 steps; until step 9 the"), "{card}");
}

/// Where the warm-up is not named, it is the one that the run had.
#[test]
fn the_warm_up_of_a_longer_run_stays() {
    let scene = Scene::new();
    scene.distill(&["--set", "steps=20"]).done();
    let resume = [
        "distill", "--out", "student", "--resume", "--set", "steps=40",
    ];
    scene.run(&resume).done();
    assert!(scene.text("student/recipe.toml").contains("warmup = 2\n"));
}

#[test]
fn what_would_be_another_run_is_refused() {
    let scene = Scene::new();
    scene.distill(&[]).done();
    let before = scene.read("student/model.safetensors");
    for (setting, had) in [
        ("learning_rate=0.02", "0.01"),
        ("student.layers=2", "1"),
        ("batch=8", "4"),
        ("warmup=2", "the default"),
        ("checkpoint_every=1", "500"),
    ] {
        let outcome = scene.run(&[
            "distill", "--out", "student", "--resume", "--set", "steps=9", "--set", setting,
        ]);
        let start = format!(
            "limbeck: `--set {setting}` would make another run of the one that goes on, which has {had} there. "
        );
        assert!(outcome.stderr.starts_with(&start), "{}", outcome.stderr);
        assert_eq!(outcome.code, Some(2));
    }
    scene.write("other/text.txt", corpus(CORPUS_LINES + 1));
    let other = [
        "distill",
        "--out",
        "student",
        "--resume",
        "--set",
        "steps=9",
        "--corpus",
        "other/text.txt",
    ];
    let outcome = scene.run(&other);
    for said in ["text.txt", "has changed since the run began"] {
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(scene.read("student/model.safetensors") == before);
    // What the run has already is no change.
    let same = [
        "distill", "--out", "student", "--resume", "--set", "steps=4", "--set", "batch=4",
    ];
    scene.run(&same).done();
}

/// From another folder, and with teacher and texts in other places.
#[test]
fn a_run_goes_on_wherever_its_inputs_are() {
    let scene = Scene::new();
    let run = |out: &str, flags: &[&str]| scene.distill(&[&["--out", out], flags].concat()).done();
    run("whole", &[&SHORT[..4], &["--set", "steps=9"]].concat());
    run("student", &SHORT);
    scene.write("elsewhere/empty", "");
    let mut away = scene.command(&[
        "distill",
        "--out",
        "../student",
        "--resume",
        "--set",
        "steps=6",
    ]);
    away.current_dir(scene.path("elsewhere"));
    let outcome = away.output().expect("starting limbeck");
    assert!(outcome.status.success(), "{outcome:?}");
    for (from, to) in [
        ("teacher", "elsewhere/model"),
        ("corpus.txt", "elsewhere/texts.txt"),
    ] {
        std::fs::rename(scene.path(from), scene.path(to)).expect("moving an input");
    }
    let longer = [
        "distill", "--out", "student", "--resume", "--set", "steps=9",
    ];
    let advice = "\n  If it has moved, say where it is now: limbeck distill --out student --resume";
    let message = "there is no folder teacher. Name a Hugging Face model folder, with config.json, model.safetensors and tokenizer.json";
    let message = format!("{message}{advice} --teacher MODEL");
    scene.run(&longer).refused(1, &message);
    let moved = [
        "--teacher",
        "elsewhere/model",
        "--corpus",
        "elsewhere/texts.txt",
    ];
    let outcome = scene.run(&[&longer[..], &moved[..2]].concat());
    let end = format!("{advice} --corpus FILES\n");
    assert!(outcome.stderr.ends_with(&end), "{}", outcome.stderr);
    scene.run(&[&longer[..], &moved].concat()).done();
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 9);
    let recipe = scene.text("student/recipe.toml");
    assert!(
        recipe.contains("teacher = \"../elsewhere/model\"\n"),
        "{recipe}"
    );
}

/// The usual warm-up of a long run, which nobody named, is not shortened with it.
#[cfg(unix)]
#[test]
fn a_stopped_run_is_not_made_shorter_than_its_warm_up() {
    use crate::running::Running;

    let scene = Scene::new();
    let steps = ["--set", "steps=1000000"];
    let json = ["--out", "student", "--json"];
    let mut run = Running::distill(&scene, &[&json[..], &steps].concat());
    run.until("step", 2);
    run.signal("-INT");
    run.end();
    let resume = ["distill", "--out", "student", "--resume", "--set"];
    scene.run(&[&resume[..], &["steps=3999"]].concat()).refused(
        2,
        "the run in student warms up for 4000 steps, and `steps=3999` is fewer. Set at least 4000, or start a new run",
    );
}
