//! Whose the output folder is: one run at a time, nobody else's files, and never what a run reads.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lock::{self, Taken};
use crate::running::Running;
use crate::scene::{Outcome, Scene};

/// So many steps print more JSON than a pipe and a reader's buffer hold: such a run does not end by itself.
const LONG: [&str; 5] = [
    "--json",
    "--set",
    "steps=400",
    "--set",
    "checkpoint_every=5",
];

#[track_caller]
fn is_refused_for(outcome: &Outcome, process: u32, saved: &str) {
    let start = format!(
        "limbeck: another limbeck (process {process}) works in the output folder student; it {saved}"
    );
    assert!(outcome.stderr.starts_with(&start), "{outcome:?}");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_second_run_in_a_folder_is_refused_with_the_first_ones_number() {
    let scene = Scene::new();
    let mut first = Running::distill(
        &scene,
        &[&LONG[..], &["--set", "checkpoint_every=1000"]].concat(),
    );
    let process = first.child.id();
    first.until("step", 1);
    let overwrite = || scene.distill(&["--overwrite"]);
    is_refused_for(&scene.distill(&[]), process, "has not saved yet");
    is_refused_for(&overwrite(), process, "has not saved yet");
    let resume = || scene.run(&["distill", "--out", "student", "--resume"]);
    is_refused_for(&resume(), process, "has not saved yet");
    first.signal("-KILL");
    first.end();

    let mut first = Running::distill(&scene, &LONG);
    let process = first.child.id();
    first.until("evaluated", 5);
    is_refused_for(&scene.distill(&[]), process, "last saved ");
    is_refused_for(&overwrite(), process, "last saved ");
    is_refused_for(&resume(), process, "last saved ");
    first.end();
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 400);
    assert!(!scene.path("student/.limbeck.lock").exists());
}

/// Of two that start at once one runs, and the folder is what that one makes of it.
#[test]
fn of_two_at_once_one_runs() {
    let alone = [1, 2].map(|seed| {
        let scene = Scene::new();
        let set = format!("seed={seed}");
        scene.distill(&["--set", "steps=60", "--set", &set]).done();
        scene
    });
    let mut refusals = 0;
    for round in 0..10 {
        let scene = Scene::new();
        if round % 2 == 1 {
            scene.distill(&["--set", "seed=3"]).done();
        }
        let start = |seed: &str| {
            let flags = ["--overwrite", "--set", "steps=60", "--set", seed];
            let flags = [&["distill", "--config", "recipe.toml"][..], &flags].concat();
            let mut command = scene.command(&flags);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("starting limbeck")
        };
        let both = [start("seed=1"), start("seed=2")];
        for child in both {
            let outcome = Outcome::from(child.wait_with_output().expect("its end"));
            // If one has ended before the other begins to look, both have run.
            if outcome.code != Some(0) {
                let place = ") works in the output folder student; it ";
                assert!(outcome.stderr.contains(place), "{outcome:?}");
                assert!(outcome.stderr.contains("(process "), "{outcome:?}");
                assert_eq!(outcome.code, Some(2));
                refusals += 1;
            }
        }
        let recipe = scene.text("student/recipe.toml");
        let seed = usize::from(recipe.contains("seed = 2\n"));
        let alone = &alone[seed];
        assert_eq!(scene.files("student"), alone.files("student"));
        for file in ["model.safetensors", "metrics.jsonl", "recipe.toml"] {
            let name = format!("student/{file}");
            assert!(scene.read(&name) == alone.read(&name), "{file}, {round}");
        }
    }
    assert!(
        (1..=10).contains(&refusals),
        "{refusals} of 10 were refused"
    );
}

/// Whoever looks whether a folder is in use keeps nobody from taking it.
#[test]
fn a_lock_that_is_looked_at_can_be_taken() {
    let scene = Scene::new();
    // As its owner leaves it that was killed.
    scene.write("lock", "17");
    let path = scene.path("lock");
    let look = File::open(&path).expect("the lock's file");
    look.lock_shared().expect("a look");
    // It takes some microseconds, unless the machine is busy.
    let end = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        drop(look);
    });
    let taken = lock::take(&path).expect("a file system with locks");
    assert!(matches!(taken, Taken::Ours(_, Some(before)) if before == "17"));
    end.join().expect("the end of the look");
}

/// For a moment, and on Windows always, nobody knows the number of the one that works in a folder.
#[test]
fn an_owner_without_a_number_is_told_as_such() {
    let scene = Scene::new();
    scene.write("student/README.md", "mine");
    scene.write("student/.limbeck.lock", "");
    let held = File::open(scene.path("student/.limbeck.lock")).expect("the lock's file");
    held.lock().expect("the lock");
    for flags in [&[][..], &["--overwrite"]] {
        scene.distill(flags).refused(
            2,
            "another limbeck (whose process number cannot be read) works in the output folder student; it has not saved yet. \
             Wait for its end, end it, or name another folder with --out",
        );
    }
}

#[test]
fn a_folder_that_a_kill_left_is_taken_over_and_that_is_said() {
    let scene = Scene::new();
    let mut killed = Running::distill(&scene, &LONG);
    let process = killed.child.id();
    killed.until("evaluated", 5);
    killed.signal("-KILL");
    killed.end();
    assert_eq!(scene.text("student/.limbeck.lock"), process.to_string());
    let resumed = scene
        .run(&["distill", "--out", "student", "--resume"])
        .done();
    let reported =
        format!("process {process} ended without releasing student; this one takes it over");
    assert!(resumed.stderr.contains(&reported), "{}", resumed.stderr);
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 400);
    assert!(!scene.path("student/.limbeck.lock").exists());
    let again = scene.distill(&["--overwrite"]).done();
    assert!(!again.stderr.contains("takes it over"), "{}", again.stderr);
}

#[test]
fn a_run_that_comes_to_nothing_leaves_no_folder() {
    let scene = Scene::new();
    scene.write("corpus.txt", "\u{1f600} \u{1f600}\n");
    let outcome = scene.distill(&[]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(!scene.path("student").exists());
}

#[test]
fn an_output_folder_without_a_name_is_refused() {
    let scene = Scene::new();
    let message = "the output folder has no name: `--out` or `out` in the recipe is empty. Name one, or `.` for the current \
                   folder";
    let before = scene.files("");
    scene.distill(&["--out", ""]).refused(2, message);
    scene
        .distill(&["--out", "", "--overwrite"])
        .refused(2, message);
    scene.distill(&["--set", "out=''"]).refused(2, message);
    scene
        .run(&["distill", "--out", "", "--resume"])
        .refused(2, message);
    assert_eq!(scene.files(""), before);
}

/// Teacher, corpus and recipe: directly in the output folder, below it, and by a link in either direction.
#[test]
fn what_a_run_reads_is_never_in_its_way() {
    let scene = Scene::new();
    let lies = |what: &str, path: &str| {
        format!(
            "the {what} {path} is in the output folder out, where it could be removed or overwritten. Move it, or \
             choose another folder with --out"
        )
    };
    let run = |more: &[&str]| {
        let flags = ["--out", "out", "--overwrite"];
        let before = scene.files("");
        let outcome = scene.distill(&[&flags, more].concat());
        assert_eq!(scene.files(""), before, "{more:?}");
        outcome
    };
    scene.write("out/metrics.jsonl", scene.text("corpus.txt"));
    run(&["--corpus", "out/metrics.jsonl"]).refused(2, &lies("corpus file", "out/metrics.jsonl"));
    run(&["--corpus", "out/*.jsonl"]).refused(2, &lies("corpus file", "out/metrics.jsonl"));
    symlink("out/metrics.jsonl", scene.path("linked.txt")).expect("a link");
    run(&["--corpus", "linked.txt"]).refused(2, &lies("corpus file", "linked.txt"));
    symlink("../corpus.txt", scene.path("out/inner.txt")).expect("a link");
    run(&["--corpus", "out/inner.txt"]).refused(2, &lies("corpus file", "out/inner.txt"));

    scene.copy_golden("tiny-bert", "out/teacher");
    run(&["--teacher", "out/teacher"]).refused(2, &lies("teacher", "out/teacher"));
    scene.copy_golden("tiny-bert", "shared");
    scene.write(
        "out/model.safetensors",
        scene.read("shared/model.safetensors"),
    );
    scene.remove("shared/model.safetensors");
    symlink(
        "../out/model.safetensors",
        scene.path("shared/model.safetensors"),
    )
    .expect("a link");
    run(&["--teacher", "shared"]).refused(2, &lies("teacher", "shared/model.safetensors"));
    symlink("teacher", scene.path("same")).expect("a link");
    scene.distill(&["--out", "same", "--overwrite"]).refused(
        2,
        "the output folder same is the teacher's: the student would replace it. Choose another with --out",
    );

    // Its paths lead from its folder.
    let recipe = scene.text("recipe.toml");
    let recipe = recipe.replace("\"teacher\"", "\"../teacher\"");
    let recipe = recipe.replace("\"corpus.txt\"", "\"../corpus.txt\"");
    scene.write("out/recipe.toml", recipe);
    let outcome = scene.run(&[
        "distill",
        "--config",
        "out/recipe.toml",
        "--out",
        "out",
        "--overwrite",
    ]);
    outcome.refused(2, &lies("recipe", "out/recipe.toml"));
    scene.distill(&["--out", "out/student"]).done();
}

/// A folder may be written to and not be listed: what is in it is not known, so it is not empty.
#[test]
fn a_folder_that_cannot_be_listed_is_refused() {
    let scene = Scene::new();
    scene.write("student/README.md", "mine");
    let mode = |mode: &str| {
        let student = scene.path("student");
        let changed = Command::new("chmod").arg(mode).arg(student).status();
        assert!(changed.expect("running chmod").success());
    };
    mode("300");
    for flags in [&[][..], &["--overwrite"]] {
        let mut command = scene.command(&[&["distill", "--config", "recipe.toml"], flags].concat());
        if is_root() {
            // Who may do everything may list every folder, so that right is given up.
            let limbeck = command.get_program().to_owned();
            let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = Command::new("setpriv");
            command
                .arg("--bounding-set=-dac_override,-dac_read_search")
                .arg(limbeck)
                .args(arguments)
                .current_dir(scene.path(""));
        }
        let outcome = Outcome::from(command.output().expect("starting limbeck"));
        outcome.refused(1, "cannot list student: Permission denied (os error 13)");
    }
    mode("700");
    assert_eq!(scene.files("student"), ["README.md"]);
    assert_eq!(scene.text("student/README.md"), "mine");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("running id");
    id.stdout == b"0\n"
}
