//! What has been measured: a file of JSON lines that grows by a line for each score of each model.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shell::{self, Error, Result};

/// What a score is of. Two of the same are one measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The arm's name.
    pub arm: String,
    /// The student's; none for the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub student: Option<String>,
    /// The budget's; none for the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// The recipe's seed; none for the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// A hash of the recipe.
    pub recipe: String,
    /// The task, where it is the score of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// A hash of how it was fine-tuned, and the seed of the head, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<(String, u64)>,
    /// What was measured.
    pub metric: String,
}

/// A score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Of what.
    pub of: Key,
    /// None where it is not defined, such as the correlation of equal cosines.
    pub value: Option<f64>,
    /// The 95 % interval over the rows of the task, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Which examples of the dev file were right, in its order: a `1` or a `0` each, where it is the accuracy of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// Time that the measuring took. Everything else is the same on every machine, within rounding.
    pub seconds: f64,
}

/// What all results of a file share: hashes of the teacher's weights and of the texts it was distilled on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// SHA-256 of the teacher's weights.
    pub teacher: String,
    /// SHA-256 of the texts, one after the other.
    pub corpus: String,
}

/// The file, and what is in it.
pub struct Results {
    path: PathBuf,
    /// In the order of the file.
    pub lines: Vec<Line>,
}

impl Results {
    /// Reads a file, or begins one; `ground` must be that of the file.
    ///
    /// # Errors
    /// It cannot be read, holds something else, or is of another teacher or other texts.
    pub fn open(path: &Path, ground: &Ground) -> Result<Self> {
        if !path.exists() {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                std::fs::create_dir_all(parent).map_err(shell::file_error(parent))?;
            }
            shell::write(path, line_of(ground)?.as_bytes())?;
        }
        mend(path)?;
        let (found, lines) = Self::parse(path)?;
        if found.as_ref() != Some(ground) {
            return Err(Error::Wrong(format!(
                "{} holds results of another teacher or other texts; give the ones of its first line, or another file \
                 with --results",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            lines,
        })
    }

    /// The lines of a file; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Vec<Line>> {
        match path.exists() {
            true => Ok(Self::parse(path)?.1),
            false => Ok(Vec::new()),
        }
    }

    fn parse(path: &Path) -> Result<(Option<Ground>, Vec<Line>)> {
        let text = shell::read(path)?;
        let wrong = |(number, error): (usize, serde_json::Error)| {
            Error::Wrong(format!(
                "{}, line {number}: this is no line of results ({error}); remove the line, and it is measured again",
                path.display()
            ))
        };
        let mut numbered = text.lines().enumerate();
        let ground = numbered
            .next()
            .map(|(_, line)| serde_json::from_str(line).map_err(|e| wrong((1, e))))
            .transpose()?;
        let lines = numbered
            .map(|(at, line)| serde_json::from_str(line).map_err(|e| wrong((at + 1, e))))
            .collect::<Result<Vec<Line>>>()?;
        Ok((ground, lines))
    }

    /// Whether something has been measured.
    pub fn has(&self, key: &Key) -> bool {
        self.lines.iter().any(|line| line.of == *key)
    }

    /// Adds what has not been measured before.
    ///
    /// # Errors
    /// The file cannot be written to.
    pub fn add(&mut self, line: Line) -> Result<()> {
        if self.has(&line.of) {
            return Ok(());
        }
        let text = line_of(&line)?;
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().append(true).open(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        write().map_err(shell::file_error(&self.path))?;
        self.lines.push(line);
        Ok(())
    }
}

/// Cuts off a last line without its end: whoever wrote it was killed.
fn mend(path: &Path) -> Result<()> {
    let bytes = shell::read_bytes(path)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if whole == bytes.len() {
        return Ok(());
    }
    eprintln!(
        "{}: the last line was cut off and is measured again",
        path.display()
    );
    let file: std::io::Result<File> = OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(whole as u64))
        .map_err(shell::file_error(path))
}

fn line_of(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|e| Error::Wrong(format!("a result cannot be written: {e}")))?;
    Ok(format!("{text}\n"))
}
