//! Runs that are interrupted, killed or out of disk, and what they leave for the next one.

use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::Running;
use crate::scene::{Outcome, Scene, corpus, set_hang_up};
use crate::weights::{self, Tensors};

const CHECKPOINT: &str = "student/checkpoint.safetensors";
const METRICS: &str = "student/metrics.jsonl";
const PART: &str = "student/metrics.jsonl.part";
const WEIGHTS: &str = "student/model.safetensors";
/// So many steps print more JSON than a pipe and a reader's buffer hold (64 and 8 KiB on Linux): such a run cannot end
/// before the test has read what it waits for.
const STEPS: &str = "steps=400";
const LONG: [&str; 5] = ["--json", "--set", STEPS, "--set", "checkpoint_every=25"];

/// Numbers and weights of a long run that nothing disturbs.
fn undisturbed() -> &'static (String, Vec<u8>) {
    static RUN: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    RUN.get_or_init(|| {
        let scene = Scene::new();
        scene.distill(&LONG).done();
        assert_eq!(scene.steps(METRICS).len(), 400);
        (scene.text(METRICS), scene.read(WEIGHTS))
    })
}

fn resume(scene: &Scene) -> Outcome {
    scene.run(&["distill", "--out", "student", "--resume", "--json"])
}

#[track_caller]
fn resumes_as_if_undisturbed(scene: &Scene) {
    let outcome = resume(scene).done();
    assert_eq!(outcome.events("start")[0]["metrics_damage"], Value::Null);
    is_complete(scene);
}

/// Requires the folder of a run that nothing disturbed.
#[track_caller]
fn is_complete(scene: &Scene) {
    let (numbers, weights) = undisturbed();
    assert_eq!(&scene.text(METRICS), numbers);
    assert!(
        &scene.read(WEIGHTS) == weights,
        "the resumed run made another student"
    );
    for left in [CHECKPOINT, PART] {
        assert!(!scene.path(left).exists(), "a finished run needs no {left}");
    }
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
    assert_eq!(scene.steps(PART).len() as u64, step);
    // It is no model yet.
    let message = "student holds a run that is not finished, and no model yet. Finish it with: limbeck distill --out student --resume";
    scene.run(&["inspect", "student"]).refused(1, message);
    resumes_as_if_undisturbed(&scene);
}

/// The pooling is a file of the teacher, and the vectors that are compared do not change in mid-run.
#[test]
fn a_run_goes_on_with_the_pooling_that_it_began_with() {
    let scene = Scene::new();
    scene.copy_golden("sentence/cls", "teacher");
    let mut run = Running::distill(&scene, &LONG);
    run.until("step", 3);
    run.signal("-INT");
    run.until("stopped", 3);
    run.end();
    let whole = Scene::new();
    whole.copy_golden("sentence/cls", "teacher");
    whole.distill(&LONG).done();
    scene.copy_golden("sentence/max", "teacher");
    let refused = resume(&scene);
    assert_eq!(refused.code, Some(2));
    let message = "limbeck: the run began with a different teacher";
    assert!(refused.stderr.starts_with(message), "{}", refused.stderr);
    scene.copy_golden("sentence/cls", "teacher");
    resume(&scene).done();
    for file in [METRICS, WEIGHTS] {
        assert!(scene.read(file) == whole.read(file), "{file} differs");
    }
    assert_ne!(undisturbed().0, whole.text(METRICS), "the mean's cosine");
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
    let flags = ["--set", "steps=1000000", "--export", "int8,onnx"];
    let run = Running::distill(&scene, &flags);
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
    let steps = scene.steps(PART).len();
    let message = format!(
        "Stopped after step {steps}, saved. Resume with: limbeck distill --out student --resume --export int8,f32"
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
    // The limit lies between the metrics of a whole run and a checkpoint. The signal that comes with it must not kill.
    let blocks_of_512 = 200;
    assert!(
        before.len() > 512 * blocks_of_512,
        "{} bytes fit under the limit",
        before.len()
    );
    let mut limited = Command::new("sh");
    let script = format!("ulimit -f {blocks_of_512}; exec \"$@\"");
    limited
        .current_dir(scene.path(""))
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_limbeck")]);
    limited.args(["distill", "--out", "student", "--resume"]);
    let outcome = Outcome::from(limited.output().expect("starting sh"));
    let (_, message) = outcome.stderr.split_once("limbeck: ").expect("an error");
    let expected = format!("cannot write {CHECKPOINT}: File too large (os error 27)");
    assert!(message.starts_with(&expected), "{message}");
    let what_now = format!(
        "\n  The checkpoint of step {step} is whole. Fix that, then resume with: limbeck distill --out student --resume\n"
    );
    assert!(message.ends_with(&what_now), "{message}");
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
        let (what, how) = message.split_once("\n  ").expect("two lines");
        assert!(
            what.starts_with(&format!("limbeck: checkpoint: {start}")) && what.ends_with(end),
            "{message}"
        );
        assert_eq!(
            how,
            format!(
                "The file is {CHECKPOINT}, and limbeck keeps no other: put a copy of yours in its place, or start the run anew, with \
                 --overwrite instead of --resume"
            )
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
    let message = "nothing to resume: neither student/checkpoint.safetensors nor resume.safetensors, which a finished run leaves, is there";
    let unfinished = "A run that ends before its first checkpoint leaves nothing to go on from: start it again, without --resume";
    scene
        .run(&resume)
        .refused(2, &format!("{message}. {unfinished}"));
    scene.distill(&[]).done();
    let finished = "the run in student is finished: it has taken its 3 steps. To make it longer, add --set steps=N, with N above 3";
    scene.run(&resume).refused(2, finished);
    scene.remove("student/resume.safetensors");
    scene.run(&resume).refused(2, message);
}

#[test]
fn overwriting_forgets_the_stopped_run() {
    let (scene, _) = stopped(&[]);
    scene.distill(&["--overwrite"]).done();
    assert_eq!(scene.steps(METRICS).len(), 3);
    assert!(!scene.path(CHECKPOINT).exists());
}

/// Ways to change the lines of a corpus, and what is said of it: the first 64 bytes hold lines 1 to 3.
type Change = (fn(&mut Vec<String>), &'static str);
const CHANGES: [Change; 5] = [
    (
        |lines| lines[1] = lines[1].replace('e', "a"),
        "it differs in lines 1 to 3",
    ),
    (
        |lines| lines.push("one more line\n".to_owned()),
        "it goes on after line 40, where it ended",
    ),
    (
        |lines| lines.truncate(20),
        "it ends in line 20, after 629 of 1290 bytes",
    ),
    (|lines| lines.reverse(), "it differs in lines 1 to 3"),
    (|lines| lines.swap(0, 39), "it differs in lines 1 to 3"),
];

fn changed(change: fn(&mut Vec<String>), text: &str) -> String {
    let lines = text.split_inclusive('\n').map(str::to_owned);
    let mut lines: Vec<String> = lines.collect();
    change(&mut lines);
    lines.concat()
}

fn told(how: &str) -> String {
    format!(
        "corpus.txt has changed since the run began: {how}. Restore it to go on with this run, or start a new one"
    )
}

#[test]
fn another_teacher_or_corpus_is_not_resumed_with() {
    let (scene, _) = stopped(&[]);
    let resume = || scene.run(&["distill", "--out", "student", "--resume"]);
    let text = scene.text("corpus.txt");
    for (change, how) in CHANGES {
        scene.write("corpus.txt", changed(change, &text));
        resume().refused(2, &told(how));
    }
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
    is_complete(&scene);
}

/// A corpus that is changed while a run reads it ends the run at the next epoch, saved. With the corpus as it was, the run
/// goes on as if nothing had been: no changed line was learnt from.
#[test]
fn a_corpus_that_changes_in_mid_run_is_noticed_before_it_is_learnt() {
    for (change, how) in CHANGES {
        let scene = Scene::new();
        let text = scene.text("corpus.txt");
        let mut run = Running::distill(&scene, &LONG);
        run.until("step", 3);
        scene.write("corpus.txt", changed(change, &text));
        let outcome = run.end();
        let (_, message) = outcome.stderr.split_once("limbeck: ").expect("an error");
        let start = format!("{}\n  Saved at step {}. ", told(how), saved_step(&scene));
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(outcome.code, Some(1));
        scene
            .run(&["distill", "--out", "student", "--resume"])
            .refused(2, &told(how));
        scene.write("corpus.txt", text);
        resumes_as_if_undisturbed(&scene);
    }
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
    without_evaluation(&scene, saved_step(&scene));
    let text = scene.text(PART);
    scene.write(PART, text + r#"{"event":"evaluated","parts":{"K-K":0.1,"#);
    resumes_as_if_undisturbed(&scene);
}

/// The first evaluation too, which stands before every step.
#[test]
fn a_lost_evaluation_of_the_fresh_student_is_made_up_for_in_its_place() {
    let (scene, _) = stopped(&[]);
    without_evaluation(&scene, 0);
    resumes_as_if_undisturbed(&scene);
}

fn without_evaluation(scene: &Scene, step: u64) {
    let text = scene.text(PART);
    let of_step = format!(r#","step":{step},"#);
    let is_cut_off = |line: &str| line.contains(r#""evaluated""#) && line.contains(&of_step);
    let lines = text.split_inclusive('\n');
    let kept: String = lines.filter(|line| !is_cut_off(line)).collect();
    assert!(kept.len() < text.len());
    scene.write(PART, kept);
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
    let mut bytes = scene.read(PART);
    let second = bytes.iter().position(|b| *b == b'\n').expect("a line") + 3;
    bytes[second] = 0xff;
    scene.write(PART, bytes);
    let outcome = resume(&scene).done();
    let start = outcome.events("start").remove(0);
    let missing = "without the numbers of 1 step; the student is not affected";
    assert_eq!(
        start["metrics_damage"],
        format!("metrics.jsonl.part is damaged in line 2, which is left out; {missing}")
    );
    assert_eq!(
        outcome.events("done")[0]["metrics_damage"],
        format!("metrics.jsonl is {missing}")
    );
    assert!(step > 2);
    assert_eq!(scene.steps(METRICS).len(), 399);
}

/// A run that took its last step and cannot write its report: checkpoint and numbers are as they are when the end of a run
/// begins. What an end leaves is removed.
fn about_to_end() -> Scene {
    let scene = Scene::new();
    let mut run = Running::distill(&scene, &LONG);
    run.until("step", 3);
    scene.write("student/report.html/in_the_way", "");
    let outcome = run.end();
    assert!(outcome.stderr.contains("cannot write student/report.html"));
    std::fs::remove_dir_all(scene.path("student/report.html")).expect("removing a folder");
    for file in scene.files("student") {
        let path = format!("student/{file}");
        if ![CHECKPOINT, PART].contains(&path.as_str()) {
            scene.remove(&path);
        }
    }
    scene
}

/// Whatever is done to the file of numbers, what of it is wrong is said, and what is kept is right.
#[test]
fn damaged_numbers_are_never_taken_for_right_ones() {
    let scene = about_to_end();
    let (checkpoint, part) = (scene.read(CHECKPOINT), scene.read(PART));
    let right: Vec<&str> = undisturbed().0.lines().collect();
    let ends: Vec<usize> = (0..part.len()).filter(|i| part[*i] == b'\n').collect();
    // Multiplied by an odd number that is far from the size of a line, so that places are all over the file.
    for (round, place) in (0..40).map(|n| (n, n * 7919 % (part.len() - 300))) {
        let mut damaged = part.clone();
        let line = ends.partition_point(|end| *end < place) % (ends.len() - 2);
        let (from, to) = (ends[line] + 1, ends[line + 1] + 1);
        match round % 8 {
            0 => damaged[place] ^= 1 << (round % 7),
            1 => damaged[place] = 0xff,
            2 => damaged.truncate(place),
            3 => drop(damaged.drain(place..place + 150)),
            4 => damaged[place..place + 150].fill(0),
            5 => drop(damaged.drain(from..to)),
            6 => damaged.insert(place, b'7'),
            _ => {
                let digit = (place..).find(|i| damaged[*i].is_ascii_digit());
                let digit = digit.expect("a digit");
                damaged[digit] = if damaged[digit] == b'1' { b'2' } else { b'1' };
            }
        }
        scene.write(CHECKPOINT, &checkpoint);
        scene.write(PART, &damaged);
        let start = resume(&scene).done().events("start").remove(0);
        let numbers = scene.text(METRICS);
        let mut rest = right.iter();
        for line in numbers.lines() {
            assert!(rest.any(|r| *r == line), "round {round} at {place}: {line}");
        }
        let is_whole = numbers.lines().count() == right.len();
        let is_told = start["metrics_damage"].is_string();
        assert!(is_whole || is_told, "round {round} at {place}: {start}");
    }
    // What is in the file twice, or in another order, is not lost.
    let text = String::from_utf8(part).expect("text");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    scene.write(CHECKPOINT, &checkpoint);
    scene.write(PART, [&lines[200..], &lines[..250]].concat().concat());
    resumes_as_if_undisturbed(&scene);
}

/// A kill at any moment of the end leaves a folder that is complete or can be resumed: every state from the last step on, in
/// the order in which files are written and removed.
#[test]
fn a_run_killed_at_any_moment_of_its_end_is_complete_or_resumes() {
    let scene = about_to_end();
    let (checkpoint, part) = (scene.read(CHECKPOINT), scene.read(PART));
    resumes_as_if_undisturbed(&scene);
    let mut written: Vec<String> = scene.files("student");
    let age = |file: &String| scene.path("student").join(file).metadata()?.modified();
    written.sort_by_key(|file| age(file).expect("a time"));
    assert_eq!(written.last().map(String::as_str), Some("metrics.jsonl"));
    let contents: Vec<Vec<u8>> = written
        .iter()
        .map(|file| scene.read(&format!("student/{file}")))
        .collect();
    for count in 0..=written.len() {
        // With the rest of a file that was being written.
        let put_back = |scene: &Scene| {
            std::fs::remove_dir_all(scene.path("student")).expect("removing a folder");
            for (file, bytes) in written.iter().zip(&contents).take(count) {
                scene.write(&format!("student/{file}"), bytes);
            }
            scene.write("student/.limbeck-a1b2c3", "half of");
            scene.write("student/.limbeck.lock", "1234567");
            scene.write(CHECKPOINT, &checkpoint);
        };
        put_back(&scene);
        scene.write(PART, &part);
        resumes_as_if_undisturbed(&scene);
        assert_eq!(scene.files("student").len(), written.len());
    }
    // Without the file of numbers, which goes before the checkpoint.
    scene.write(CHECKPOINT, &checkpoint);
    resumes_as_if_undisturbed(&scene);
    // Without the checkpoint there is nothing to resume, and nothing is missing.
    let finished = "the run in student is finished: it has taken its 400 steps. To make it longer, add --set steps=N, with N above 400";
    resume(&scene).refused(2, finished);
    is_complete(&scene);
}

/// Writes the checkpoint anew with another header or other tensors, and the checksum that they have.
fn forge(scene: &Scene, header: impl Fn(&str) -> String, change: impl Fn(&mut Tensors)) {
    let mut metadata = weights::metadata(scene, CHECKPOINT);
    let mut tensors = weights::read(scene, CHECKPOINT);
    change(&mut tensors);
    let header = header(&metadata["limbeck"]);
    let mut sum = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        sum.update(&(bytes.len() as u64).to_le_bytes());
        sum.update(bytes);
    };
    part(b"limbeck");
    part(header.as_bytes());
    for (name, stored) in &tensors {
        part(name.as_bytes());
        part(format!("{:?} {:?}", stored.dtype, stored.shape).as_bytes());
        part(&stored.bytes);
    }
    metadata.insert("crc32".into(), format!("{:08x}", sum.finalize()));
    metadata.insert("limbeck".into(), header);
    weights::write_with(scene, CHECKPOINT, &tensors, metadata);
}

/// The step that breaks a student leaves the checkpoint before it as it is.
#[test]
fn a_student_that_breaks_leaves_the_last_checkpoint_whole() {
    let (scene, step) = stopped(&[]);
    let raise = |header: &str| {
        let raised = header.replace("learning_rate = 0.01", "learning_rate = 1e300");
        assert_ne!(raised, header, "the recipe in the header");
        raised
    };
    forge(&scene, raise, |_| ());
    let before = scene.read(CHECKPOINT);
    let outcome = scene.run(&["distill", "--out", "student", "--resume"]);
    let (_, message) = outcome.stderr.split_once("limbeck: ").expect("an error");
    let start = format!("the student broke at step {}: its weights hold ", step + 1);
    let end = format!("\n  The checkpoint of step {step} is from before that\n");
    assert!(
        message.starts_with(&start) && message.ends_with(&end),
        "{message}"
    );
    assert_eq!(outcome.code, Some(1));
    assert!(
        scene.read(CHECKPOINT) == before,
        "the checkpoint was touched"
    );
}

#[test]
fn a_checkpoint_of_a_broken_student_is_not_resumed() {
    let (scene, _) = stopped(&[]);
    let name = "student.encoder.layer.0.attention.self.key.bias";
    forge(&scene, str::to_owned, |tensors| {
        let bias = tensors.get_mut(name).expect("a bias");
        *bias = bias.map(|at, x| if at == 5 { f32::INFINITY } else { x });
    });
    scene.run(&["distill", "--out", "student", "--resume"]).refused(
        1,
        &format!(
            "checkpoint: its weights hold infinity in {name}, first at [5]. Use an earlier one, or start \
             again"
        ),
    );
}

/// A kill may leave temporary files wherever a run writes; the next run in the folder removes them.
#[test]
fn temporary_files_of_a_killed_run_are_removed() {
    let (scene, _) = stopped(&[]);
    for file in ["student/.limbeck-a", "student/1_Pooling/.limbeck-b"] {
        scene.write(file, "half");
    }
    scene
        .run(&["distill", "--out", "student", "--resume"])
        .done();
    let left = |scene: &Scene| {
        let files = scene.files("student").into_iter();
        files
            .filter(|file| file.contains(".limbeck"))
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&scene), [""; 0]);
    scene.write("student/1_Pooling/.limbeck-c", "half");
    let mut run = Running::distill(&scene, &[&LONG[..], &["--overwrite"]].concat());
    run.until("step", 3);
    run.signal("-KILL");
    run.end();
    let files = scene.files("student").into_iter();
    let files: Vec<String> = files.filter(|file| file.starts_with("1_Pooling")).collect();
    assert_eq!(files, [""; 0], "nothing of the student before");
}
