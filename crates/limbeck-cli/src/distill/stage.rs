//! The stages of a run: one, or that of a teacher assistant and that of the student.

use std::path::{Path, PathBuf};

use limbeck_onnx::Format;

/// A stage, and the folder of the whole run.
pub struct Stage {
    part: Part,
    run: PathBuf,
    export: Vec<Format>,
}

/// What a stage is of its run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of a run without an assistant.
    Whole,
    /// The first of two.
    Assistant,
    /// The second of two.
    Student,
}

impl Stage {
    /// Of the run in a folder, whose student is exported in these formats.
    pub fn new(part: Part, run: &Path, export: &[Format]) -> Self {
        let (run, export) = (run.to_owned(), export.to_vec());
        Self { part, run, export }
    }

    /// Its name, where there are two.
    pub fn name(&self) -> Option<&'static str> {
        match self.part {
            Part::Whole => None,
            Part::Assistant => Some("assistant"),
            Part::Student => Some("student"),
        }
    }

    /// Whether it makes what only teaches.
    pub fn is_assistant(&self) -> bool {
        self.part == Part::Assistant
    }

    /// What it makes.
    pub fn result(&self) -> &'static str {
        self.name().unwrap_or("student")
    }

    /// ` of the assistant`, behind a number of steps; nothing where there is one stage.
    pub fn of(&self) -> String {
        self.name()
            .map_or_else(String::new, |name| format!(" of the {name}"))
    }

    /// Its place among the others, for people; none where there is one stage.
    pub fn heading(&self) -> Option<&'static str> {
        match self.part {
            Part::Whole => None,
            Part::Assistant => Some("stage 1 of 2: the teacher teaches an assistant"),
            Part::Student => Some("stage 2 of 2: the assistant teaches the student"),
        }
    }

    /// The command that goes on with the run. Formats to export are of a command, not of the run.
    pub fn resume(&self) -> String {
        let command = format!("limbeck distill --out {} --resume", self.run.display());
        let formats: Vec<&str> = self.export.iter().map(|format| format.name()).collect();
        match formats.is_empty() {
            true => command,
            false => format!("{command} --export {}", formats.join(",")),
        }
    }

    /// What can be done before the first checkpoint of the stage.
    pub fn without_checkpoint(&self) -> String {
        match self.name() {
            None => "There is no checkpoint yet. Fix that, then start again".to_owned(),
            Some(name) => format!(
                "There is no checkpoint of the {name} yet. Fix that, then go on with: {}",
                self.resume()
            ),
        }
    }
}
