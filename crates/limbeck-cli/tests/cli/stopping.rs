//! Runs that are interrupted, killed or out of disk, and what they leave for the next one.

use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::running::Running;
use crate::scene::{Outcome, Scene, corpus, set_hang_up};

const CHECKPOINT: &str = "student/checkpoint.safetensors";
/// So many steps print more JSON than a pipe and a reader's buffer hold (64 and 8 KiB on Linux): such a run cannot end
/// before the test has read what it waits for.
const STEPS: &str = "steps=400";
const LONG: [&str; 5] = ["--json", "--set", STEPS, "--set", "checkpoint_every=25"];

/// Steps and weights of a long run that nothing disturbs.
fn undisturbed() -> &'static (Vec<String>, Vec<u8>) {
    static RUN: OnceLock<(Vec<String>, Vec<u8>)> = OnceLock::new();
    RUN.get_or_init(|| {
        let scene = Scene::new();
        scene.distill(&LONG).done();
        (
            scene.steps("student/metrics.jsonl"),
            scene.read("student/model.safetensors"),
        )
    })
}

#[track_caller]
fn resumes_as_if_undisturbed(scene: &Scene) {
    scene
        .run(&["distill", "--out", "student", "--resume", "--json"])
        .done();
    let (steps, weights) = undisturbed();
    assert_eq!(steps.len(), 400);
    assert_eq!(&scene.steps("student/metrics.jsonl"), steps);
    assert!(
        &scene.read("student/model.safetensors") == weights,
        "the resumed run made another student"
    );
    assert!(
        !scene.path(CHECKPOINT).exists(),
        "a finished run needs no checkpoint"
    );
    assert!(!scene.path("student/metrics.jsonl.part").exists());
}

/// A scene with a run that was stopped, and the step that it stopped after.
fn stopped(flags: &[&str]) -> (Scene, u64) {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &[&LONG, flags].concat());
    run.until("step", 3);
    run.signal("-INT");
    let stopped = run.until("stopped", 3);
    assert_eq!(run.end().code, Some(1));
    (scene, stopped["step"].as_u64().expect("a step"))
}

#[test]
fn an_interrupted_run_saves_and_goes_on_as_if_nothing_had_been() {
    let (scene, step) = stopped(&[]);
    assert_eq!(
        scene.files("student"),
        ["checkpoint.safetensors", "metrics.jsonl.part"]
    );
    assert_eq!(scene.steps("student/metrics.jsonl.part").len() as u64, step);
    resumes_as_if_undisturbed(&scene);
}

#[test]
fn a_run_that_accumulates_goes_on_as_if_nothing_had_been() {
    let accumulate = ["--set", "accumulate=3"];
    let whole = Scene::new();
    whole.distill(&[&LONG, &accumulate[..]].concat()).done();
    let card = whole.text("student/README.md");
    assert!(card.contains("400 of 3 x 4 sequences"), "{card}");
    assert!(card.contains("| Lines read | 4800, "), "{card}");
    let (scene, _) = stopped(&accumulate);
    scene
        .run(&["distill", "--out", "student", "--resume", "--json"])
        .done();
    for file in ["metrics.jsonl", "model.safetensors"] {
        let path = format!("student/{file}");
        assert!(scene.read(&path) == whole.read(&path), "{file} differs");
    }
}

#[test]
fn a_terminated_run_saves_too() {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &LONG);
    run.until("step", 5);
    run.signal("-TERM");
    let stopped = run.until("stopped", 5);
    let outcome = run.end();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    let mut run =
        Running::start(scene.command(&["distill", "--out", "student", "--resume", "--json"]));
    assert_eq!(run.until("start", 0)["step"], stopped["step"]);
    run.signal("-KILL");
    run.end();
}

/// `nohup`: a terminal that hangs up ends a run, unless whoever started it said otherwise.
#[test]
fn a_hang_up_that_was_ignored_stays_ignored() {
    for ignored in [false, true] {
        let scene = Scene::new();
        let mut command = scene.command(&["distill", "--config", "recipe.toml"]);
        command.args(LONG);
        set_hang_up(&mut command, ignored);
        let mut run = Running::start(command);
        run.until("step", 2);
        run.signal("-HUP");
        let outcome = run.end();
        assert_eq!(
            outcome.code,
            Some(i32::from(!ignored)),
            "{}",
            outcome.stderr
        );
        let name = ["student/metrics.jsonl.part", "student/metrics.jsonl"][usize::from(ignored)];
        assert_eq!(scene.steps(name).len() == 400, ignored);
    }
}

#[test]
fn an_interrupted_run_tells_people_how_to_go_on() {
    let scene = Scene::new();
    let run = Running::distill(&scene, &["--set", "steps=1000000"]);
    let metrics = scene.path("student/metrics.jsonl.part");
    let start = Instant::now();
    while metrics.metadata().map_or(0, |file| file.len()) == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no step was taken"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    run.signal("-INT");
    let outcome = run.end();
    let steps = scene.steps("student/metrics.jsonl.part").len();
    let message = format!(
        "Stopped after step {steps}, saved. Resume with: limbeck distill --out student --resume"
    );
    assert_eq!(outcome.stderr.lines().last(), Some(message.as_str()));
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &LONG);
    run.until("step", 30);
    run.signal("-KILL");
    assert_eq!(run.end().code, None);
    assert!(!scene.path("student/model.safetensors").exists());
    resumes_as_if_undisturbed(&scene);
}

#[test]
fn numbers_of_17_digits_survive_a_checkpoint() {
    // The nearest double to the product of 5 and 1e-6 as floats have it; a reader of JSON that saves time gives 5e-6.
    let exact = "learning_rate=0.0000049999999999999996";
    let (scene, _) = stopped(&["--set", exact]);
    scene
        .run(&["distill", "--out", "student", "--resume"])
        .done();
    let recipe = String::from_utf8(scene.read("student/recipe.toml")).expect("UTF-8");
    let recipe: toml::Table = recipe.parse().expect("TOML");
    assert_eq!(
        recipe["learning_rate"].as_float(),
        Some(0.0000049999999999999996)
    );
}

#[test]
fn a_full_disk_stops_the_run_and_leaves_the_last_checkpoint_whole() {
    let larger = [
        "--set",
        "student.hidden=24",
        "--set",
        "student.layers=2",
        "--set",
        "student.init=random",
    ];
    let (scene, step) = stopped(&larger);
    let before = scene.read(CHECKPOINT);
    // The limit lies between the metrics of a whole run and a checkpoint; without the trap the signal would kill.
    let blocks_of_512 = 200;
    assert!(
        before.len() > 512 * blocks_of_512,
        "{} bytes fit under the limit",
        before.len()
    );
    let mut limited = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks_of_512}; exec \"$@\"");
    limited
        .current_dir(scene.path(""))
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_limbeck")]);
    limited.args(["distill", "--out", "student", "--resume"]);
    let outcome = Outcome::from(limited.output().expect("starting sh"));
    let (_, message) = outcome.stderr.split_once("limbeck: ").expect("an error");
    let expected = format!("cannot write {CHECKPOINT}: File too large (os error 27)");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(outcome.code, Some(1));
    assert!(
        scene.read(CHECKPOINT) == before,
        "the last checkpoint was touched"
    );
    assert_eq!(
        scene.files("student"),
        ["checkpoint.safetensors", "metrics.jsonl.part"]
    );
    let mut run =
        Running::start(scene.command(&["distill", "--out", "student", "--resume", "--json"]));
    assert_eq!(run.until("step", 0)["step"].as_u64(), Some(step + 1));
    run.signal("-KILL");
    run.end();
}

#[test]
fn damaged_checkpoints_are_refused() {
    let (scene, _) = stopped(&[]);
    let whole = scene.read(CHECKPOINT);
    let resume = |bytes: &[u8]| {
        scene.write(CHECKPOINT, bytes);
        scene.run(&["distill", "--out", "student", "--resume"])
    };
    let refused = |bytes: &[u8], start: &str, end: &str| {
        let outcome = resume(bytes);
        let message = outcome.stderr.trim_end();
        assert!(
            message.starts_with(&format!("limbeck: checkpoint: {start}")) && message.ends_with(end),
            "{message}"
        );
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    };
    let again = "use an earlier one or start again";
    refused(&whole[..whole.len() / 2], "incomplete or damaged (", again);
    refused(b"", "incomplete or damaged (", again);
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    refused(
        &changed,
        "checksum ",
        ": the file was damaged; use an earlier one",
    );
    let mut header = whole.clone();
    let seed = header
        .windows(7)
        .position(|bytes| bytes == b"seed = ")
        .expect("the recipe in the header");
    header[seed + 7] ^= 1;
    refused(
        &header,
        "checksum ",
        ": the file was damaged; use an earlier one",
    );
    refused(
        &scene.read("teacher/model.safetensors"),
        "this safetensors file is not a checkpoint of limbeck",
        "",
    );
}

#[test]
fn nothing_to_resume_is_wrong_use() {
    let scene = Scene::new();
    let resume = ["distill", "--out", "student", "--resume"];
    let message = "nothing to resume: student/checkpoint.safetensors does not exist (a finished run removes its checkpoint)";
    scene.run(&resume).refused(2, message);
    scene.distill(&[]).done();
    scene.run(&resume).refused(2, message);
}

#[test]
fn overwriting_forgets_the_stopped_run() {
    let (scene, _) = stopped(&[]);
    scene.distill(&["--overwrite"]).done();
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 3);
    assert!(!scene.path(CHECKPOINT).exists());
}

#[test]
fn another_teacher_or_corpus_is_not_resumed_with() {
    let (scene, _) = stopped(&[]);
    let resume = || scene.run(&["distill", "--out", "student", "--resume"]);
    let text = scene.text("corpus.txt");
    scene.write("corpus.txt", format!("{text}one more line\n"));
    let (was, is) = (text.len(), text.len() + 14);
    resume().refused(
        2,
        &format!(
            "the run began with a different corpus file 1 (corpus.txt, {was} bytes; now corpus.txt, {is} bytes). \
             Restore it, or start a new run"
        ),
    );
    scene.write("corpus.txt", text);
    let teacher = scene.read("teacher/model.safetensors");
    let mut other = teacher.clone();
    *other.last_mut().expect("bytes") ^= 1;
    scene.write("teacher/model.safetensors", other);
    let outcome = resume();
    assert!(
        outcome
            .stderr
            .contains("the run began with a different teacher (checksum "),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(2));
    scene.write("teacher/model.safetensors", teacher);
    resume().done();
}

#[test]
fn a_run_killed_before_its_first_checkpoint_can_be_started_again() {
    let scene = Scene::new();
    let mut run = Running::distill(
        &scene,
        &[&LONG[..], &["--set", "checkpoint_every=1000"]].concat(),
    );
    run.until("step", 2);
    run.signal("-KILL");
    run.end();
    assert_eq!(
        scene.files("student"),
        [".limbeck.lock", "metrics.jsonl.part"]
    );
    scene.distill(&[]).done();
}

#[test]
fn a_corpus_that_fails_in_mid_run_loses_no_step() {
    let scene = Scene::new();
    // The last block is not UTF-8; it is read when those before it are used up.
    let mut text = corpus(400).into_bytes();
    text.extend(b"caf\xe9\n");
    scene.write("corpus.txt", text);
    let outcome = scene.distill(&[
        "--set",
        "shuffle=8",
        "--set",
        "steps=400",
        "--set",
        "heldout=0",
    ]);
    assert_eq!(outcome.code, Some(1));
    let saved = outcome.stderr.lines().last().expect("a message");
    assert!(
        saved.contains("Saved at step ")
            && saved.ends_with("limbeck distill --out student --resume"),
        "{saved}"
    );
    assert!(scene.path(CHECKPOINT).exists());
}

/// A kill between a checkpoint and its evaluation, and one in the middle of a line: the evaluation is made up for, and the
/// file of the resumed run is that of the undisturbed one, byte for byte.
#[test]
fn an_evaluation_that_a_kill_cut_off_is_made_up_for() {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &LONG);
    run.until("evaluated", 50);
    run.signal("-KILL");
    run.end();
    let part = "student/metrics.jsonl.part";
    let end = format!(r#","step":{}}}"#, saved_step(&scene));
    let is_cut_off = |line: &str| line.contains(r#""evaluated""#) && line.contains(&end);
    let text = scene.text(part);
    let lines = text.split_inclusive('\n');
    let kept: String = lines.filter(|line| !is_cut_off(line)).collect();
    scene.write(part, kept + r#"{"event":"evaluated","parts":{"K-K":0.1,"#);
    resumes_as_if_undisturbed(&scene);
    let undisturbed = Scene::new();
    undisturbed.distill(&LONG).done();
    let metrics = "student/metrics.jsonl";
    assert_eq!(scene.text(metrics), undisturbed.text(metrics));
}

/// The step of the checkpoint, from its header: JSON in a string of JSON.
fn saved_step(scene: &Scene) -> u64 {
    let bytes = scene.read(CHECKPOINT);
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.split_once(r#"\"step\":"#).expect("a header");
    let (step, _) = rest.split_once(',').expect("more of the header");
    step.parse().expect("a number")
}

#[test]
fn a_damaged_line_of_the_numbers_is_named_and_the_others_are_kept() {
    let (scene, step) = stopped(&[]);
    let part = "student/metrics.jsonl.part";
    let mut bytes = scene.read(part);
    let second = bytes.iter().position(|b| *b == b'\n').expect("a line") + 3;
    bytes[second] = 0xff;
    scene.write(part, bytes);
    let outcome = scene.run(&["distill", "--out", "student", "--resume", "--json"]);
    let start = outcome.done().events("start").remove(0);
    let reported = start["metrics_damage"].as_str().expect("a reason");
    let what = "is damaged in line 2, which is left out; without the numbers of 1 steps; the student is not affected";
    assert_eq!(reported, format!("metrics.jsonl.part {what}"));
    assert!(step > 2);
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 399);
}

/// A kill after the end, before the checkpoint is removed, leaves a run that can be resumed to the same end.
#[test]
fn a_run_killed_while_it_puts_its_files_away_ends_when_resumed() {
    let (scene, _) = stopped(&[]);
    let checkpoint = scene.read(CHECKPOINT);
    scene
        .run(&["distill", "--out", "student", "--resume"])
        .done();
    let whole = scene.text("student/metrics.jsonl");
    // As it is if the numbers were renamed and the checkpoint is still there.
    scene.write(CHECKPOINT, checkpoint);
    scene
        .run(&["distill", "--out", "student", "--resume"])
        .done();
    assert_eq!(scene.text("student/metrics.jsonl"), whole);
}
