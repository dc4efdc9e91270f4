//! Making the models of a study with the program. Each has a folder below the work folder:
//!
//! ```text
//! WORK/BUDGET/STUDENT/ARM-SEED/recipe.toml   what was asked for
//! WORK/BUDGET/STUDENT/ARM-SEED/times         a line when the program starts, one with its seconds when it ends
//! WORK/BUDGET/STUDENT/ARM-SEED/student/      the program's output folder
//! ```

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::interrupt::Interrupt;
use super::plan::{Job, Kind, Study};
use crate::shell::{self, Error, Result};

/// How far a model has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing that one could go on with.
    Absent,
    /// A run left a checkpoint.
    BrokenOff,
    /// All of it is there.
    Finished,
}

/// What makes models, and where.
pub struct Runs<'a> {
    /// The study.
    pub study: &'a Study,
    /// The built `limbeck`.
    pub program: &'a Path,
    /// The teacher's folder.
    pub teacher: &'a Path,
    /// What students are distilled on.
    pub corpus: &'a [PathBuf],
    /// Where the models go.
    pub work: &'a Path,
    /// Where to compute, as `limbeck --device` takes it.
    pub device: Option<&'a str>,
    /// Ctrl-c.
    pub interrupt: &'a Interrupt,
}

/// A finished model.
pub struct Made {
    /// Its folder.
    pub folder: PathBuf,
    /// Time that making it took, over all its runs; none if a run was killed with this program.
    pub seconds: Option<f64>,
}

impl Runs<'_> {
    /// Makes a model, unless it is there; goes on with one that was broken off.
    ///
    /// # Errors
    /// The program fails or is interrupted, or the folder holds a model of another recipe.
    pub fn make(&self, job: &Job) -> Result<Made> {
        if job.arm.kind == Kind::Teacher {
            return Ok(Made {
                folder: self.teacher.to_owned(),
                seconds: None,
            });
        }
        let place = self.place(job);
        let folder = place.join("student");
        let times = place.join("times");
        let state = state(&folder, job.arm.kind);
        let recipe = self.write_recipe(job, &place, state)?;
        let mut command = match (state, job.arm.kind) {
            (State::Finished, _) => {
                let seconds = seconds(&times)?;
                return Ok(Made { folder, seconds });
            }
            (State::BrokenOff, _) => self.resume(&folder),
            (State::Absent, Kind::Copied) => self.copy(&recipe, &folder),
            (State::Absent, _) => self.distill(&recipe, &folder),
        };
        if state == State::Absent {
            // A run that left no checkpoint gave nothing, and its time does not count.
            shell::write(&times, b"")?;
        }
        note(&times, "began")?;
        let began = Instant::now();
        let outcome = self.interrupt.run(&mut command);
        note(&times, &began.elapsed().as_secs_f64().to_string())?;
        outcome?;
        let seconds = seconds(&times)?;
        Ok(Made { folder, seconds })
    }

    /// A student of this recipe that is there and finished.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn finished(&self, job: &Job) -> Result<Option<Made>> {
        let place = self.place(job);
        let folder = place.join("student");
        let recipe = place.join("recipe.toml");
        let is_there = job.arm.kind == Kind::Distilled
            && state(&folder, job.arm.kind) == State::Finished
            && recipe.exists()
            && shell::read(&recipe)? == self.study.recipe(job).to_string();
        match is_there {
            true => Ok(Some(Made {
                folder,
                seconds: seconds(&place.join("times"))?,
            })),
            false => Ok(None),
        }
    }

    /// Where a model and all that is made of it goes.
    fn place(&self, job: &Job) -> PathBuf {
        let name = format!("{}-{}", job.arm.name, job.seed);
        self.work
            .join(&job.budget.name)
            .join(&job.student.name)
            .join(name)
    }

    /// The recipe as a file; refuses to go on with a student of another one.
    fn write_recipe(&self, job: &Job, place: &Path, state: State) -> Result<PathBuf> {
        std::fs::create_dir_all(place).map_err(shell::file_error(place))?;
        let path = place.join("recipe.toml");
        let text = self.study.recipe(job).to_string();
        if state == State::Absent {
            shell::write(&path, text.as_bytes())?;
        } else if shell::read(&path)? != text {
            return Err(Error::Wrong(format!(
                "{} was made with another recipe of this arm; remove the folder, or name another one with --work",
                place.display()
            )));
        }
        Ok(path)
    }

    fn distill(&self, recipe: &Path, out: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.arg("distill").arg("--config").arg(recipe);
        command.arg("--teacher").arg(self.teacher);
        command.arg("--corpus").args(self.corpus);
        command.arg("--out").arg(out).arg("--overwrite");
        self.on_the_device(&mut command);
        command
    }

    fn resume(&self, out: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.arg("distill").arg("--out").arg(out).arg("--resume");
        self.on_the_device(&mut command);
        command
    }

    fn copy(&self, recipe: &Path, out: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.arg("baseline").arg("--config").arg(recipe);
        command.arg("--teacher").arg(self.teacher);
        command.arg("--out").arg(out).arg("--overwrite");
        command
    }

    /// Adds the device, where one is named.
    pub fn on_the_device(&self, command: &mut Command) {
        if let Some(device) = self.device {
            command.args(["--device", device]);
        }
    }
}

/// `limbeck distill` removes the checkpoint last; `limbeck baseline` writes the card last.
fn state(folder: &Path, kind: Kind) -> State {
    let has = |name: &str| folder.join(name).exists();
    match kind {
        Kind::Copied if has("README.md") => State::Finished,
        Kind::Distilled if has("checkpoint.safetensors") => State::BrokenOff,
        Kind::Distilled if has("metrics.jsonl") => State::Finished,
        _ => State::Absent,
    }
}

fn note(times: &Path, line: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(times);
    file.and_then(|mut file| writeln!(file, "{line}"))
        .map_err(shell::file_error(times))
}

/// The sum of the times; none if one is missing.
fn seconds(times: &Path) -> Result<Option<f64>> {
    if !times.exists() {
        return Ok(None);
    }
    let text = shell::read(times)?;
    let lines: Vec<&str> = text.lines().collect();
    let time = |pair: &[&str]| match pair {
        ["began", time] => time.parse::<f64>().ok(),
        _ => None,
    };
    Ok(lines.chunks(2).map(time).sum())
}

/// Where fine-tuned models are while their scores are read.
pub fn scratch(work: &Path) -> PathBuf {
    work.join("tuned")
}

/// Removes a folder and all in it, if it is there.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => std::fs::remove_dir_all(folder).map_err(shell::file_error(folder)),
        false => Ok(()),
    }
}
