//! Runs that are killed at a random moment or system call, interrupted, refused by the disk or started twice, and resumed:
//! the student and its numbers must be those of a run that nothing disturbed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::oracle::{self, Done, Fault, KILL};
use super::process::Running;
use super::scene::{INPUTS, RESUME, START, Scene, Source};
use super::{Attack, files};
use crate::shell::Result;

/// Runs of different kinds: gradients that add up, dropout, blocks of a few lines, half the precision, a teacher assistant.
const RUNS: [&[&str]; 5] = [
    &[],
    &["--set", "accumulate=3", "--set", "student.dropout=0"],
    &["--set", "shuffle=3", "--set", "checkpoint_every=3"],
    &["--set", "precision=f16", "--set", "heldout=0"],
    &["--set", "assistant_steps=20", "--set", "steps=20"],
];

/// System calls by which files change or are opened, under all their names, and about how often a run makes them.
const CALLS: [(&str, usize); 9] = [
    ("?write", 90),
    ("?rename,?renameat,?renameat2", 22),
    ("?open,?openat", 140),
    ("?unlink,?unlinkat", 16),
    ("?fsync", 22),
    ("?fdatasync", 16),
    ("?ftruncate", 3),
    ("?mkdir,?mkdirat", 22),
    ("?read", 200),
];

/// What a full, failing or read-only disk answers.
const ERRORS: [&str; 4] = ["ENOSPC", "EIO", "EROFS", "EINTR"];

/// A run that nothing disturbed.
struct Undisturbed {
    flags: &'static [&'static str],
    student: BTreeMap<String, Vec<u8>>,
    time: Duration,
}

/// Kills and resumes runs.
pub struct Kills {
    runs: Vec<Undisturbed>,
    strace: bool,
}

impl Kills {
    /// Runs every recipe to its end, undisturbed.
    ///
    /// # Errors
    /// One does not get there.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut runs = Vec::new();
        for (number, flags) in RUNS.into_iter().enumerate() {
            let mut scene = Scene::new(source, base.join(number.to_string()))?;
            let start = Instant::now();
            let outcome = scene.run(&[&START[..], flags].concat(), b"")?;
            let time = start.elapsed();
            scene.require(outcome.succeeded(), "a run failed")?;
            let student = files(&scene.path("student"))?;
            runs.push(Undisturbed {
                flags,
                student,
                time,
            });
        }
        let strace = can_trace();
        eprintln!(
            "kills: {}",
            match strace {
                true => "at random moments, and with strace at random system calls",
                false =>
                    "at random moments only; strace, for random system calls, is not there or may not trace",
            }
        );
        Ok(Self { runs, strace })
    }
}

/// How strace follows a process to which this happens. Where it stops only at the calls in question it is quicker, but strace 6.1
/// never sends a signal then.
fn flags(what: &str) -> Vec<&'static str> {
    let mut flags = vec!["-f", "-qqq", "-o", "/dev/null"];
    if what.starts_with("error") {
        flags.push("--seccomp-bpf");
    }
    flags
}

/// Whether strace is there and may kill what it traces.
pub fn can_trace() -> bool {
    let run = |what: &str, script| {
        let inject = format!("inject=write:{what}:when=1");
        let mut strace = Command::new("strace");
        strace
            .args(flags(what))
            .args(["-e", "trace=write", "-e", &inject, "sh", "-c", script]);
        strace.output().is_ok_and(|output| output.status.success())
    };
    let (fails, dies) = ("error=EIO", "signal=KILL");
    run(fails, "! echo lost") && run(dies, "exit 0") && !run(dies, "echo survived")
}

impl Attack for Kills {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        let run = &self.runs[rng.usize(..self.runs.len())];
        let inputs = scene.files(&INPUTS)?;
        for _ in 0..rng.usize(1..=6) {
            let Some(arguments) = next(scene, run) else {
                break;
            };
            disturb(scene, rng, &arguments, run.time, self.strace)?;
        }
        if let Some(arguments) = next(scene, run) {
            let outcome = scene.run(&arguments, b"")?;
            if !outcome.succeeded() {
                scene.found(Fault::Other, "the run cannot be taken up");
            }
        }
        // A process that was killed in its last moment leaves its lock; the next one takes it.
        let mut student = files(&scene.path("student"))?;
        student.retain(|name, _| !name.ends_with(".limbeck.lock"));
        if let Some(what) = oracle::differences(&student, &run.student, true) {
            scene.found(Fault::Silent, what);
        }
        scene.untouched(&INPUTS, &inputs)
    }
}

/// How a person goes on: resumes what can be resumed, else starts; none if the run is done.
fn next(scene: &Scene, run: &Undisturbed) -> Option<Vec<&'static str>> {
    let there = |name: &str| scene.path("student").join(name).exists();
    let weights = there("model.safetensors");
    let with_assistant = there("assistant") && there("recipe.toml") && !weights;
    if there("checkpoint.safetensors") || with_assistant {
        return Some(RESUME.to_vec());
    }
    let done = there("metrics.jsonl") && weights;
    (!done).then(|| [&START[..], run.flags].concat())
}

/// One process, or two at once, and what happens to it.
///
/// # Errors
/// It cannot be started.
pub fn disturb(
    scene: &mut Scene,
    rng: &mut Rng,
    arguments: &[&str],
    time: Duration,
    strace: bool,
) -> Result<()> {
    // Most of the time goes by before the first step and after the last, so beyond the end is the rarest.
    let moment = time.mul_f64(1.2 * rng.f64());
    match rng.usize(..if strace { 8 } else { 4 }) {
        0 => {
            let running = scene.start(arguments)?;
            end_by(scene, running, "KILL", KILL, moment)?;
        }
        1 | 2 => {
            let (name, number) = [("TERM", 15), ("INT", 2), ("HUP", 1)][rng.usize(..3)];
            let running = scene.start(arguments)?;
            end_by(scene, running, name, number, moment)?;
        }
        3 => two_at_once(scene, rng, arguments, moment)?,
        4..=6 => {
            traced(scene, rng, arguments, "signal=KILL", Done::Sent(KILL))?;
        }
        _ => {
            let what = format!("error={}", ERRORS[rng.usize(..ERRORS.len())]);
            traced(scene, rng, arguments, &what, Done::CallFailed)?;
        }
    }
    Ok(())
}

/// Sends a signal after a while, and waits for the end.
fn end_by(
    scene: &mut Scene,
    mut running: Running,
    name: &str,
    number: i32,
    moment: Duration,
) -> Result<()> {
    running.wait(moment)?;
    running.signal(name);
    scene.note(&format!("  SIG{name} after {} ms", moment.as_millis()));
    scene.end(running, Done::Sent(number))?;
    Ok(())
}

/// The second process comes a little later, and one of them may be killed.
fn two_at_once(
    scene: &mut Scene,
    rng: &mut Rng,
    arguments: &[&str],
    moment: Duration,
) -> Result<()> {
    let mut first = scene.start(arguments)?;
    first.wait(moment.mul_f64(rng.f64()))?;
    let second = scene.start(arguments)?;
    let [killed, left] = match rng.bool() {
        true => [first, second],
        false => [second, first],
    };
    if rng.bool() {
        end_by(scene, killed, "KILL", KILL, moment)?;
    } else {
        scene.end(killed, Done::Nothing)?;
    }
    scene.end(left, Done::Nothing)?;
    Ok(())
}

/// A process to which something happens at one of its system calls.
fn traced(
    scene: &mut Scene,
    rng: &mut Rng,
    arguments: &[&str],
    what: &str,
    done: Done,
) -> Result<()> {
    let (calls, count) = CALLS[rng.usize(..CALLS.len())];
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:{what}:when={}", rng.usize(1..=count));
    // It ends as the traced one does.
    let which = ["-e", "signal=none", "-e", &trace, "-e", &inject];
    let before = [&["strace"], &flags(what)[..], &which].concat();
    let running = Running::start(&mut scene.command(&before, arguments))?;
    scene.end(running, done)?;
    Ok(())
}
