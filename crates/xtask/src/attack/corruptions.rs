//! Damaged files of every kind that the program reads: it says what is wrong, or its result is that of the whole file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::damage::damage;
use super::oracle::{self, Done, Fault};
use super::process::{Outcome, PATIENCE, Running};
use super::scene::{INPUTS, RESUME, START, Scene, Source};
use super::serving::{self, OFFER};
use super::socket::Link;
use super::{Attack, copy, files, write};
use crate::shell::{self, Result};

/// The finished student of the base, its stopped run, and the stopped run of serve.
const DONE: &str = "done";
const STUDENT: &str = "student";
const KEPT: &str = "kept";
/// What a resumed run reads, its own files in the greater number.
const STOPPED: [&str; 3] = [STUDENT, "corpus.txt", "teacher"];
/// Where the run is stopped, and so is that of serve.
const STOPPED_AFTER: u64 = 12;
/// About as long as a run takes.
const LONGEST_RUN: Duration = Duration::from_millis(300);
/// Sentences for `limbeck encode`.
const LINES: &[u8] = b"the teacher reads two small words\n\nkey\n";

/// Damages files.
pub struct Corruptions {
    base: Scene,
}

impl Corruptions {
    /// Makes a finished student, a stopped run, and a stopped run of serve.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut base = Scene::new(source, base.to_owned())?;
        let outcome = base.run(&[&START[..], &["--json"]].concat(), b"")?;
        base.require(outcome.succeeded(), "a run failed")?;
        let recipe = serving::told_recipe(&outcome.stdout).unwrap_or_default();
        let student = base.path(STUDENT);
        copy(&student, &base.path(DONE))?;
        stop_a_run(&mut base)?;
        stop_serving(&mut base, &recipe)?;
        Ok(Self { base })
    }

    fn whole(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        files(&self.base.path(DONE))
    }
}

/// Leaves the run of the recipe in the middle. A process that prints more than a pipe holds would wait, but it does not
/// print so much; so it may end before the signal, and is started again.
fn stop_a_run(base: &mut Scene) -> Result<()> {
    let step = format!("\"step\":{STOPPED_AFTER},");
    for _ in 0..50 {
        let mut running = base.start(&[&START[..], &["--json", "--overwrite"]].concat())?;
        running.until(PATIENCE, |text| text.contains(&step).then_some(()))?;
        running.signal("INT");
        base.end(running, Done::Nothing)?;
        if base.path(STUDENT).join("checkpoint.safetensors").is_file() {
            return Ok(());
        }
    }
    base.require(false, "no run could be stopped before its end")
}

/// Leaves the same run in the middle in the folder of serve.
fn stop_serving(base: &mut Scene, recipe: &Value) -> Result<()> {
    let (running, link) = serving::serve(base, &OFFER)?;
    let socket = link.as_ref().and_then(serving::greet);
    let stopped = socket.and_then(|mut socket| {
        socket.send(&json!({ "start": { "recipe": recipe } }), &[]);
        // It waits until the run has begun, and comes before the first step.
        socket.send(&json!("pause"), &[]);
        for _ in 0..STOPPED_AFTER {
            socket.send(&json!("step"), &[]);
        }
        socket.send(&json!("stop"), &[]);
        socket.find(|event| event["state"]["state"]["ended"]["halt"] == "stopped")
    });
    running.signal("INT");
    base.end(running, Done::Nothing)?;
    base.require(stopped.is_some(), "the run of serve could not be stopped")
}

impl Attack for Corruptions {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        let groups: [&[&str]; 5] = [&INPUTS, &[DONE], &STOPPED, &[KEPT], &["corpus.txt"]];
        let group = groups[rng.usize(..groups.len())];
        for name in [DONE, STUDENT, KEPT] {
            copy(&self.base.path(name), &scene.path(name))?;
        }
        let mut names: Vec<String> = scene.files(group)?.into_keys().collect();
        names.retain(|name| !is_only_for_people(name));
        let name = &names[rng.usize(..names.len())];
        if group == ["corpus.txt"] {
            return self.in_mid_run(scene, name, &names, rng);
        }
        harm(scene, name, &names, rng)?;
        match group {
            [DONE] => read_student(scene, rng),
            [STUDENT, ..] => self.resume(scene, name),
            [KEPT] => self.restore(scene),
            _ => self.read_inputs(scene, name, rng),
        }
    }
}

/// What the program writes and never reads.
fn is_only_for_people(name: &str) -> bool {
    [".html", ".svg", "README.md", "done/metrics.jsonl"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Damages a file, removes it, or puts another in its place.
///
/// # Errors
/// It cannot be read or written.
pub fn harm(scene: &mut Scene, name: &str, names: &[String], rng: &mut Rng) -> Result<()> {
    let path = scene.path(name);
    let what = match rng.usize(..20) {
        0 => {
            std::fs::remove_file(&path).map_err(shell::file_error(&path))?;
            "removed".to_owned()
        }
        1 => {
            let other = &names[rng.usize(..names.len())];
            write(&path, &shell::read_bytes(&scene.path(other))?)?;
            format!("replaced by {other}")
        }
        _ => {
            let mut bytes = shell::read_bytes(&path)?;
            let what = damage(&mut bytes, rng);
            write(&path, &bytes)?;
            what
        }
    };
    scene.note(&format!("{name}: {what}"));
    Ok(())
}

/// Vectors of a model are finite numbers, or the program says why not: then this is false. Before the program's own name stand
/// words that start it.
///
/// # Errors
/// It cannot be started.
pub fn encode(scene: &mut Scene, before: &[&str], model: &str) -> Result<bool> {
    let arguments = ["encode", "--device", "cpu", "--model", model];
    let running = Running::start_with(&mut scene.command(before, &arguments), LINES)?;
    let outcome = scene.end(running, Done::Nothing)?;
    if !outcome.succeeded() {
        return Ok(false);
    }
    let vector = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let values = line["embedding"].as_array()?;
        (!values.is_empty() && values.iter().all(Value::is_number)).then_some(())
    };
    let whole = outcome.stdout.lines().filter_map(vector).count();
    if whole != 3 {
        scene.found(
            Fault::Silent,
            format!("success, and {whole} of 3 vectors are finite numbers"),
        );
    }
    Ok(true)
}

fn relations(scene: &mut Scene, rng: &mut Rng) -> Result<()> {
    let out = ["out.html", "out.svg", "out.png", "out.json", "out.csv"][rng.usize(..5)];
    let models = [
        "relations",
        "--teacher",
        "teacher",
        "--student",
        DONE,
        "--device",
        "cpu",
    ];
    scene.run(
        &[&models[..], &["--text", "the small student", "-o", out]].concat(),
        b"",
    )?;
    Ok(())
}

/// Whatever only reads a model leaves it as it is.
fn read_student(scene: &mut Scene, rng: &mut Rng) -> Result<()> {
    let read = ["teacher", DONE];
    let was = scene.files(&read)?;
    match rng.usize(..3) {
        0 => {
            scene.run(&["inspect", DONE], b"")?;
        }
        1 => drop(encode(scene, &[], DONE)?),
        _ => relations(scene, rng)?,
    }
    scene.untouched(&read, &was)
}

impl Corruptions {
    /// What a new run, or a run that goes on, makes of damaged inputs.
    fn read_inputs(&self, scene: &mut Scene, name: &str, rng: &mut Rng) -> Result<()> {
        let read = [&INPUTS[..], &[DONE]].concat();
        let was = scene.files(&read)?;
        match rng.usize(..6) {
            0 => {
                scene.run(&["inspect", "teacher", "--json"], b"")?;
            }
            1 => drop(encode(scene, &[], "teacher")?),
            2 => relations(scene, rng)?,
            3 => {
                scene.run(&["config", "check", "recipe.toml"], b"")?;
            }
            4 => self.resume(scene, name)?,
            _ => drop(distil(scene, &[])?),
        }
        scene.untouched(&read, &was)
    }

    /// Resumes the stopped run: the student is that of the undisturbed run, and its numbers are, unless damage is told.
    fn resume(&self, scene: &mut Scene, name: &str) -> Result<()> {
        let was = scene.files(&INPUTS)?;
        let outcome = scene.run(&RESUME, b"")?;
        if outcome.succeeded() {
            let excused = name.contains("metrics") && oracle::tells_of_damage(&outcome);
            let student = files(&scene.path(STUDENT))?;
            if let Some(what) = oracle::differences(&student, &self.whole()?, !excused) {
                scene.found(Fault::Silent, what);
            }
        }
        scene.untouched(&INPUTS, &was)
    }

    /// The texts change while a new run reads them: it ends as if they had not, or says so. Before its file of numbers is there,
    /// it has not read them yet, and any texts are its texts.
    fn in_mid_run(
        &self,
        scene: &mut Scene,
        name: &str,
        names: &[String],
        rng: &mut Rng,
    ) -> Result<()> {
        let student = scene.path(STUDENT);
        if student.exists() {
            std::fs::remove_dir_all(&student).map_err(shell::file_error(&student))?;
        }
        let mut running = scene.start(&START)?;
        running.wait(LONGEST_RUN.mul_f64(rng.f64()))?;
        let has_read =
            ["metrics.jsonl.part", "metrics.jsonl"].map(|file| student.join(file).exists());
        harm(scene, name, names, rng)?;
        let was = scene.files(&INPUTS)?;
        let outcome = scene.end(running, Done::Nothing)?;
        if has_read.contains(&true) && outcome.succeeded() && !oracle::tells_of_change(&outcome) {
            let student = files(&student)?;
            if let Some(what) = oracle::differences(&student, &self.whole()?, true) {
                scene.found(Fault::Silent, what);
            }
        }
        scene.untouched(&INPUTS, &was)
    }

    /// Restores the run of serve and exports its student, which is that of the undisturbed run.
    fn restore(&self, scene: &mut Scene) -> Result<()> {
        let (running, link) = serving::serve(scene, &[])?;
        let told = link.as_ref().and_then(exported);
        running.signal("INT");
        let outcome = scene.end(running, Done::Nothing)?;
        match (link, told) {
            (None, _) if !outcome.succeeded() => {}
            (None, _) => scene.found(Fault::Other, "it printed no link"),
            (_, None) => scene.found(
                Fault::Other,
                "neither a student nor a word why there is none",
            ),
            (_, Some(Err(_))) => {}
            (_, Some(Ok(weights))) => {
                let whole = self.whole()?;
                if whole.get("model.safetensors") != Some(&weights) {
                    scene.found(
                        Fault::Silent,
                        "serve exports another student than the undisturbed run's",
                    );
                }
            }
        }
        Ok(())
    }
}

/// A new run of damaged inputs; it may be another run than the whole ones', but ends. Whether it made a student.
///
/// # Errors
/// It cannot be started.
pub fn distil(scene: &mut Scene, flags: &[&str]) -> Result<bool> {
    let short = ["--overwrite", "--set", "steps=4"];
    let mut running: Running = scene.start(&[&START[..], &short, flags].concat())?;
    let mut done = Done::Nothing;
    if !running.wait(PATIENCE / 4)? {
        running.signal("INT");
        done = Done::Sent(2);
    }
    let outcome: Outcome = scene.end(running, done)?;
    if !outcome.succeeded() {
        return Ok(false);
    }
    let weights = files(&scene.path(STUDENT))?.remove("model.safetensors");
    match weights.map(|weights| oracle::not_finite(&weights)) {
        Some(Ok(None)) => {}
        other => scene.found(
            Fault::Silent,
            format!("success, and the student's weights are {other:?}"),
        ),
    }
    Ok(true)
}

/// The weights that the restored run has at its end, or why there are none in the engine's words; nothing if it is silent.
fn exported(link: &Link) -> Option<std::result::Result<Vec<u8>, String>> {
    let mut socket = serving::greet(link)?;
    socket.send(&json!("restore"), &[]);
    socket.send(&json!("resume"), &[]);
    let refused = |event: &Value| event["refused"]["message"].as_str().map(str::to_owned);
    let ended = |event: &Value| event["state"]["state"]["ended"].is_object();
    let (event, _) = socket.find(|event| refused(event).is_some() || ended(event))?;
    if let Some(message) = refused(&event) {
        return Some(Err(message));
    }
    socket.send(&json!({ "export": { "what": "student" } }), &[]);
    let (event, mut parts) =
        socket.find(|event| refused(event).is_some() || event["files"].is_object())?;
    if let Some(message) = refused(&event) {
        return Some(Err(message));
    }
    let names = event["files"]["files"].as_array()?;
    let at = names.iter().position(|name| name == "model.safetensors")?;
    (at < parts.len()).then(|| Ok(parts.swap_remove(at)))
}
