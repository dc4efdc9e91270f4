//! A folder with a tiny teacher, a corpus and a recipe, and the program at work in it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::oracle::{self, Done, Fault, Finding};
use super::process::{Outcome, PATIENCE, Running};
use super::{copy, files, write};
use crate::places::Places;
use crate::shell::{self, Error, Result};

/// A student so small that a run takes a fraction of a second, with several checkpoints and evaluations in it.
const RECIPE: &str = r#"teacher = "teacher"
corpus = ["corpus.txt"]
heldout = 0.2
max_length = 16
batch = 4
steps = 40
learning_rate = 0.01
shuffle = 16
checkpoint_every = 5
device = "cpu"

[student]
layers = 1
hidden = 12
heads = 3
"#;
const LINES: usize = 40;
/// Address space of an attacked process, in KiB: nothing here needs a tenth of it, and what wants all memory of the machine
/// must not get it.
const MEMORY: u64 = 8 << 20;

/// What a run of the scene's recipe reads.
pub const INPUTS: [&str; 3] = ["teacher", "corpus.txt", "recipe.toml"];
/// Starts the run of the recipe.
pub const START: [&str; 3] = ["distill", "--config", "recipe.toml"];
/// Resumes it.
pub const RESUME: [&str; 4] = ["distill", "--out", "student", "--resume"];

/// Where everything comes from.
pub struct Source {
    limbeck: PathBuf,
    goldens: PathBuf,
}

impl Source {
    /// The built program and the tiny teacher of the goldens.
    ///
    /// # Errors
    /// The program has not been built.
    pub fn new(places: &Places) -> Result<Self> {
        let limbeck = places.release_binary("limbeck");
        if !limbeck.is_file() {
            return Err(Error::Missing {
                what: format!("{} does not exist", limbeck.display()),
                remedy: "cargo xtask build".to_owned(),
            });
        }
        let goldens = places.root.join("tests/golden");
        Ok(Self { limbeck, goldens })
    }

    /// A folder of the goldens.
    pub fn golden(&self, name: &str) -> PathBuf {
        self.goldens.join(name)
    }
}

/// The folder of one try.
pub struct Scene {
    folder: PathBuf,
    limbeck: PathBuf,
    log: String,
    /// What was found so far.
    pub findings: Vec<Finding>,
}

impl Scene {
    /// A new folder with the inputs of a run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(source: &Source, folder: PathBuf) -> Result<Self> {
        copy(&source.golden("tiny-bert"), &folder.join("teacher"))?;
        write(&folder.join("corpus.txt"), corpus().as_bytes())?;
        write(&folder.join("recipe.toml"), RECIPE.as_bytes())?;
        Ok(Self {
            folder,
            limbeck: source.limbeck.clone(),
            log: String::new(),
            findings: Vec::new(),
        })
    }

    /// Where a file or folder of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Every file below these files and folders, by its path from the scene's folder; what is not there is left out.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn files(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut all = BTreeMap::new();
        for name in names {
            let path = self.path(name);
            if path.is_dir() {
                let below = files(&path)?.into_iter();
                all.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
            } else if path.is_file() {
                all.insert((*name).to_owned(), shell::read_bytes(&path)?);
            }
        }
        Ok(all)
    }

    /// The program with these arguments, behind another program that starts it, if there is one.
    pub fn command(&mut self, before: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let limit = format!("ulimit -v {MEMORY}; exec \"$@\"");
        command
            .current_dir(&self.folder)
            .env_remove("RUST_BACKTRACE")
            // Without it graphics drivers print an error of theirs.
            .env("XDG_RUNTIME_DIR", &self.folder)
            .args(["-c", &limit, "sh"])
            .args(before)
            .arg(&self.limbeck)
            .args(arguments);
        let words: Vec<String> = before
            .iter()
            .chain([&"limbeck"])
            .chain(arguments)
            .map(|word| format!("{word:?}"))
            .collect();
        self.note(&words.join(" "));
        command
    }

    /// Starts the program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, arguments: &[&str]) -> Result<Running> {
        Running::start(&mut self.command(&[], arguments))
    }

    /// Runs the program to its end, with this input, and judges it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&mut self, arguments: &[&str], input: &[u8]) -> Result<Outcome> {
        let running = Running::start_with(&mut self.command(&[], arguments), input)?;
        self.end(running, Done::Nothing)
    }

    /// Waits for the end of a process and judges it.
    ///
    /// # Errors
    /// The system does not say how the process does.
    pub fn end(&mut self, running: Running, done: Done) -> Result<Outcome> {
        let outcome = running.end(PATIENCE)?;
        let ended = match (outcome.code, outcome.signal) {
            (Some(code), _) => format!("  exit code {code}"),
            (None, signal) => format!("  signal {}", signal.unwrap_or_default()),
        };
        self.note(&ended);
        if !outcome.stderr.is_empty() {
            self.note(&format!("  stderr: {}", oracle::tail(&outcome.stderr)));
        }
        self.findings.extend(oracle::judge(&outcome, done));
        Ok(outcome)
    }

    /// Keeps a line of what is done, for whoever repeats it.
    pub fn note(&mut self, line: &str) {
        self.log += line;
        self.log.push('\n');
    }

    /// Keeps a finding.
    pub fn found(&mut self, fault: Fault, what: impl Into<String>) {
        self.findings.push(Finding::new(fault, what));
    }

    /// Notes every one of these files that is no longer what it was.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn untouched(&mut self, names: &[&str], was: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let is = self.files(names)?;
        self.findings.extend(oracle::touched(&is, was));
        Ok(())
    }

    /// Fails the attack itself if what it prepares does not work undisturbed.
    ///
    /// # Errors
    /// It does not.
    pub fn require(&self, holds: bool, what: &str) -> Result<()> {
        match holds && self.findings.is_empty() {
            true => Ok(()),
            false => Err(Error::Wrong(format!(
                "{what}, without any attack, in {}:\n{}{:?}",
                self.folder.display(),
                self.log,
                self.findings
            ))),
        }
    }

    /// Removes the folder, or leaves it if something was found, with what was done and the flags that repeat it.
    ///
    /// # Errors
    /// It cannot be removed or written.
    pub fn close(self, flags: &str) -> Result<()> {
        if self.findings.is_empty() {
            return remove(&self.folder);
        }
        let mut text = format!(
            "cargo xtask attack {flags}\n\nin this folder, as the last command left it:\n{}\n",
            self.log
        );
        for finding in &self.findings {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "found {finding}");
        }
        shell::write(&self.path("ATTACK.txt"), text.as_bytes())
    }
}

/// Removes a folder.
fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).map_err(shell::file_error(folder))
}

/// Different lines of 3 to 8 words of the teacher's vocabulary.
fn corpus() -> String {
    let words: Vec<&str> = "the teacher student layer small large model token words head relation attention read query \
                            key value between two all one"
        .split_whitespace()
        .collect();
    let word = |line: usize, at: usize| words[(line * 7 + at * (1 + line % 5)) % words.len()];
    let line = |line: usize| -> Vec<&str> { (0..3 + line % 6).map(|at| word(line, at)).collect() };
    (0..LINES)
        .map(|number| line(number).join(" ") + "\n")
        .collect()
}
