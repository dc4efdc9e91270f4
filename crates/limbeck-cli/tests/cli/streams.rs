//! Standard output that cannot be written.

use std::process::Stdio;

use crate::scene::{Outcome, Scene};

/// One command for each way in which the binary prints.
const PRINTING: [&[&str]; 6] = [
    &["config", "example"],
    &["config", "schema"],
    &["config", "check", "recipe.toml"],
    &["inspect", "teacher"],
    &["inspect", "teacher", "--json"],
    &[
        "encode",
        "--device",
        "cpu",
        "--model",
        "teacher",
        "corpus.txt",
    ],
];

fn printing_to(arguments: &[&str], stdout: impl Into<Stdio>) -> Outcome {
    let scene = Scene::new();
    scene
        .command(arguments)
        .stdout(stdout)
        .output()
        .expect("starting limbeck")
        .into()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    for arguments in PRINTING {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let message = "cannot write to standard output: No space left on device (os error 28)";
        printing_to(arguments, full).refused(1, message);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for arguments in PRINTING {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let outcome = printing_to(arguments, writer);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

/// A run whose messages cannot be written goes on: its reader has gone, or the log's disk is full.
#[test]
fn a_run_needs_nobody_to_talk_to() {
    for flags in [&["--json"][..], &[]] {
        for full in [false, true] {
            let scene = Scene::new();
            let arguments = [&["distill", "--config", "recipe.toml"], flags].concat();
            let mut command = scene.command(&arguments);
            if full && cfg!(target_os = "linux") {
                let full = || std::fs::File::options().write(true).open("/dev/full");
                command.stdout(full().expect("/dev/full"));
                command.stderr(full().expect("/dev/full"));
            } else {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                command.stdout(writer.try_clone().expect("its other handle"));
                command.stderr(writer);
            }
            let status = command.status().expect("starting limbeck");
            assert_eq!(status.code(), Some(0), "{flags:?} {full}");
            assert_eq!(scene.steps("student/metrics.jsonl").len(), 3);
        }
    }
}
