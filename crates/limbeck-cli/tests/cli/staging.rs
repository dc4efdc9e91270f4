//! Runs of two stages: the teacher teaches an assistant, and the assistant the student.

use std::fs;
use std::sync::OnceLock;

use crate::running::Running;
use crate::scene::{Outcome, Scene};

/// So many steps that a run cannot end before a test has read what it waits for.
const FLAGS: [&str; 7] = [
    "--json",
    "--set",
    "assistant_steps=400",
    "--set",
    "steps=400",
    "--set",
    "checkpoint_every=50",
];
const RESULTS: [&str; 4] = [
    "student/assistant/metrics.jsonl",
    "student/assistant/model.safetensors",
    "student/metrics.jsonl",
    "student/model.safetensors",
];
const FINISHED: &str = "the run in student is finished: it has taken its 400 steps. To make it longer, add --set steps=N, with N above 400";

fn resume(scene: &Scene) -> Outcome {
    scene.run(&["distill", "--out", "student", "--resume", "--json"])
}

/// A run that nothing disturbs.
fn undisturbed() -> &'static Scene {
    static RUN: OnceLock<Scene> = OnceLock::new();
    RUN.get_or_init(|| {
        let scene = Scene::new();
        let outcome = scene.distill(&FLAGS).done();
        for kind in ["start", "done"] {
            let stages = outcome.events(kind);
            let names: Vec<&str> = stages.iter().filter_map(|e| e["stage"].as_str()).collect();
            assert_eq!(names, ["assistant", "student"], "{kind}");
        }
        scene
    })
}

#[track_caller]
fn is_as_undisturbed(scene: &Scene) {
    for file in RESULTS {
        assert!(
            scene.read(file) == undisturbed().read(file),
            "{file} differs"
        );
    }
    assert_eq!(scene.files("student"), undisturbed().files("student"));
    resume(scene).refused(2, FINISHED);
}

#[test]
fn the_student_learns_from_an_assistant_that_learnt_from_the_teacher() {
    let scene = undisturbed();
    assert_eq!(scene.sizes("student/assistant")[..2], [2, 12]);
    assert_eq!(scene.sizes("student")[..2], [1, 12]);
    let card = scene.text("student/README.md");
    for row in [
        "| Teacher | teacher |",
        "| Assistant | 2 layers x 12, 3 heads, 0.0 M parameters, distilled from the teacher in 400 steps, in the folder \
         assistant |",
        "| Assistant layer | 2 of 2 |",
        "## How far it is from the assistant",
    ] {
        assert!(card.contains(row), "no {row} in {card}");
    }
    let card = scene.text("student/assistant/README.md");
    assert!(
        card.contains("| Teacher | teacher, 2 layers x 24, 3 heads, "),
        "{card}"
    );
    // Each stage is what it would be alone.
    let whole = fs::read(scene.path("student/model.safetensors")).expect("a student");
    let apart = Scene::new();
    let flags = &FLAGS[3..];
    apart
        .distill(&[flags, &["--out", "assistant", "--set", "student.layers=2"]].concat())
        .done();
    apart
        .distill(&[flags, &["--teacher", "assistant"]].concat())
        .done();
    assert!(apart.read("student/model.safetensors") == whole);
}

#[test]
fn a_run_that_is_stopped_or_killed_in_either_stage_goes_on_as_if_nothing_had_been() {
    for (stage, event, step, signal) in [
        ("assistant", "step", 3, "-KILL"),
        ("assistant", "step", 60, "-INT"),
        ("assistant", "evaluated", 100, "-KILL"),
        ("student", "step", 3, "-KILL"),
        ("student", "step", 60, "-INT"),
        ("student", "evaluated", 100, "-KILL"),
    ] {
        let scene = Scene::new();
        let mut run = Running::distill(&scene, &FLAGS);
        while run.until("start", 0)["stage"] != stage {}
        run.until(event, step);
        run.signal(signal);
        if signal == "-INT" {
            assert_eq!(run.until("stopped", step)["stage"], stage);
        }
        assert_ne!(run.end().code, Some(0));
        // Before anybody may begin another run there.
        let message = "resume its run with --resume, or overwrite it with --overwrite";
        let refused = scene.distill(&FLAGS);
        assert!(refused.stderr.contains(message), "{refused:?}");
        let outcome = resume(&scene).done();
        assert_eq!(outcome.events("start")[0]["stage"], stage);
        is_as_undisturbed(&scene);
    }
}

/// A run whose assistant is whole, and whose student has taken no step.
fn between_stages() -> Scene {
    let (scene, whole) = (Scene::new(), undisturbed());
    let left = whole.files("student").into_iter();
    let left = left.filter(|file| file.starts_with("assistant/") || file == "recipe.toml");
    for file in left {
        let file = format!("student/{file}");
        scene.write(&file, whole.read(&file));
    }
    scene
}

#[test]
fn a_run_that_is_killed_between_its_stages_goes_on_with_the_student() {
    let scene = between_stages();
    // Whoever has taught the assistant is needed no more.
    fs::rename(scene.path("teacher"), scene.path("gone")).expect("moving a folder");
    let outcome = resume(&scene).done();
    let starts = outcome.events("start");
    assert_eq!((starts.len(), &starts[0]["stage"]), (1, &"student".into()));
    is_as_undisturbed(&scene);
}

/// Between the stages, where no checkpoint says what the texts were.
#[test]
fn texts_that_change_between_the_stages_are_refused() {
    let scene = between_stages();
    let texts = scene.text("corpus.txt");
    for (changed, how) in [
        (
            texts.replacen("layer", "query", 1),
            "it differs in lines 1 to 3",
        ),
        (
            texts.clone() + "one more\n",
            "it goes on after line 40, where it ended",
        ),
    ] {
        scene.write("corpus.txt", changed);
        resume(&scene).refused(
            2,
            &format!(
                "corpus.txt has changed since the run began: {how}. Restore it to go on with this run, or start a new one"
            ),
        );
    }
    assert!(!scene.path("student/model.safetensors").exists());
    scene.write("corpus.txt", &texts);
    let record = scene.read("student/assistant/texts.json");
    scene.write("student/assistant/texts.json", "{");
    let outcome = resume(&scene);
    let message = "limbeck: student/assistant/texts.json does not say which texts the assistant was taught on (";
    assert!(outcome.stderr.starts_with(message), "{}", outcome.stderr);
    scene.write("student/assistant/texts.json", record);
    resume(&scene).done();
    is_as_undisturbed(&scene);
}

#[test]
fn the_report_of_the_student_speaks_of_its_assistant() {
    let scene = undisturbed();
    let page = scene.text("student/report.html");
    let picture = scene.text("student/report.svg");
    for said in [
        "3 heads, 0.0 M parameters from an assistant of teacher</h1>",
        "Distance to the assistant</h2>",
        "the assistant’s: from <b>",
        "The student learnt from a teacher assistant, and the assistant from teacher: every distance here is to the assistant.",
        "\"taught_by\":\"assistant\"",
        "KL(assistant ‖ student)",
        ">Student \u{2212} assistant</text>",
    ] {
        assert!(page.contains(said), "no {said}");
    }
    for said in [
        "Distance from the assistant, KL",
        ">Assistant</text>",
        ">assistant</text>",
    ] {
        assert!(picture.contains(said), "no {said}");
    }
    for (file, text) in [("report.html", &page), ("report.svg", &picture)] {
        for wrong in [
            "Distance to the teacher",
            "Distance from the teacher",
            "out of the teacher",
            "teacher’s",
            "the teacher's",
            "KL(teacher",
            ">Teacher</text>",
            ">teacher</text>",
        ] {
            let text = text.split("<script>").next().expect("a page");
            assert!(!text.contains(wrong), "{wrong} in {file}");
        }
    }
    let first = scene.text("student/assistant/report.html");
    assert!(first.contains("Distance to the teacher</h2>"));
}

/// A run that is killed while its first stage opens leaves the folder of the assistant, and in it at most what the texts were.
#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_starts_again() {
    let scene = Scene::new();
    scene.write("student/assistant/.limbeck.lock", "1234567");
    scene.write("student/assistant/texts.json", "{}");
    scene.write("student/.limbeck.lock", "1234567");
    resume(&scene).refused(
        2,
        "nothing to resume: neither student/checkpoint.safetensors nor resume.safetensors, which a finished run leaves, is \
         there. A run that ends before its first checkpoint leaves \
         nothing to go on from: start it again, without --resume",
    );
    scene.distill(&FLAGS).done();
    is_as_undisturbed(&scene);
    // A file of somebody else counts.
    for theirs in ["student/assistant/notes.txt", "student/texts.json"] {
        let scene = Scene::new();
        scene.write(theirs, "mine");
        let refused = scene.distill(&FLAGS);
        let message = "the output folder student is not empty";
        assert!(refused.stderr.contains(message), "{refused:?}");
    }
}

#[test]
fn another_assistant_is_not_resumed_with_and_is_called_by_its_name() {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &FLAGS);
    while run.until("start", 0)["stage"] != "student" {}
    run.until("step", 3);
    run.signal("-INT");
    run.until("stopped", 3);
    run.end();
    let weights = "student/assistant/model.safetensors";
    let mut other = scene.read(weights);
    *other.last_mut().expect("bytes") ^= 1;
    scene.write(weights, other);
    let outcome = resume(&scene);
    assert_eq!(outcome.code, Some(2));
    let message = "limbeck: the run began with a different assistant (checksum ";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

#[test]
fn a_new_run_takes_nothing_from_an_earlier_assistant() {
    let scene = Scene::new();
    let short = ["--set", "assistant_steps=4", "--set", "checkpoint_every=2"];
    scene
        .distill(&[&short[..], &["--set", "seed=7"]].concat())
        .done();
    let assistant = "student/assistant/model.safetensors";
    let before = scene.read(assistant);
    scene
        .distill(&[&short[..], &["--overwrite"]].concat())
        .done();
    assert!(scene.read(assistant) != before);
}

#[test]
fn people_read_which_stage_it_is() {
    let scene = Scene::new();
    let outcome = scene.distill(&["--set", "assistant_steps=2"]).done();
    let mut rest = outcome.stderr.as_str();
    for said in [
        "stage 1 of 2: the teacher teaches an assistant\n",
        "\nassistant: student/assistant\n",
        "stage 2 of 2: the assistant teaches the student\n",
        "\nstudent: student\n",
    ] {
        let (_, after) = rest
            .split_once(said)
            .unwrap_or_else(|| panic!("no {said} in {outcome:?}"));
        rest = after;
    }
}

#[test]
fn the_plans_of_both_stages_are_checked_before_the_first() {
    let scene = Scene::new();
    scene
        .distill(&["--set", "assistant_steps=2", "--set", "student.layers=3"])
        .refused(
            2,
            "the recipe has a mistake:\n  student.layers: 3 is more than the teacher's 2, and the student starts from the teacher; \
             take at most 2, or set student.init to `random`",
        );
    assert!(!scene.path("student").exists());
    let mut recipe = scene.text("recipe.toml");
    recipe.insert_str(0, "assistant_steps = 2\n");
    scene.write("two.toml", recipe);
    let facts = scene.run(&["config", "check", "two.toml"]).done().stdout;
    for fact in [
        "Student          2 layers x 12,",
        "Student          1 layer x 12,",
    ] {
        assert!(facts.contains(fact), "{facts}");
    }
    let baseline = ["baseline", "--config", "two.toml", "--out", "copied"];
    scene.run(&baseline).refused(
        2,
        "the recipe has a mistake:\n  assistant_steps: a baseline is copied from the teacher, and this student starts from an \
         assistant; leave assistant_steps out, or name an assistant that is trained as the teacher",
    );
}
