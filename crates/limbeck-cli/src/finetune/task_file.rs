//! `task.toml`: one file that says which files a task has and what they mean.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::Arguments;
use super::task::{Kind, Said};
use crate::error::CliError;
use crate::{config, words};

/// The name of the file in a folder that `--train` names.
pub const NAME: &str = "task.toml";

/// Flags that say what the columns of labelled files mean.
#[derive(Args)]
pub struct ColumnFlags {
    /// The column that holds the text; give it twice for pairs
    #[arg(long, value_name = "NAME")]
    text_column: Vec<String>,
    /// The column of the class or score
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// `classification`, `regression` or `tokens`, where the files do not say
    #[arg(long, value_name = "TASK", value_parser = Kind::parse)]
    task: Option<Kind>,
}

impl ColumnFlags {
    /// What they say.
    ///
    /// # Errors
    /// More than two columns of text are named.
    pub fn said(&self) -> Result<Said, CliError> {
        require_one_or_two("--text-column", self.text_column.len()).map_err(CliError::Usage)?;
        Ok(Said {
            text: self.text_column.clone(),
            label: self.label_column.clone(),
            kind: self.task,
            ..Said::default()
        })
    }

    /// Each flag, and whether it is given.
    fn given(&self) -> [(&'static str, bool); 3] {
        [
            ("--text-column", !self.text_column.is_empty()),
            ("--label-column", self.label_column.is_some()),
            ("--task", self.task.is_some()),
        ]
    }
}

/// What is asked for, by flags or a file.
pub struct Asked {
    /// Labelled text to learn from.
    pub train: PathBuf,
    /// Labelled text to judge by.
    pub dev: PathBuf,
    /// What their columns do not say.
    pub said: Said,
}

/// The fields of a `task.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    train: PathBuf,
    dev: PathBuf,
    task: Option<String>,
    text: Option<OneOrTwo>,
    label: Option<String>,
    labels: Option<Vec<String>>,
    metric: Option<String>,
}

/// The column of a text, or those of a pair.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names")]
enum OneOrTwo {
    One(String),
    More(Vec<String>),
}

/// What the flags ask for: themselves, or through the file that they name.
///
/// # Errors
/// A file is not named, or the task file is wrong: the message names the field.
pub fn asked(arguments: &Arguments) -> Result<Asked, CliError> {
    let folder = arguments.train.as_deref().filter(|train| train.is_dir());
    let file = match (&arguments.task_file, folder) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(folder)) => Some(folder.join(NAME)),
        (None, None) => None,
    };
    if let Some(file) = file {
        let dev = ("--dev", arguments.dev.is_some());
        refuse_flags(&[&[dev], &arguments.columns.given()[..]].concat(), &file)?;
        return read(&file);
    }
    let said = arguments.columns.said()?;
    let missing = |what: &str, flag: &str| {
        let message =
            format!("no {what} file: name it with {flag}, or in a task file with --task-file");
        CliError::Usage(message)
    };
    Ok(Asked {
        train: arguments
            .train
            .clone()
            .ok_or_else(|| missing("training", "--train"))?,
        dev: arguments
            .dev
            .clone()
            .ok_or_else(|| missing("dev", "--dev"))?,
        said,
    })
}

/// The task file that a path names: itself, or the one in a folder.
pub fn in_path(path: &Path) -> Option<PathBuf> {
    let is_toml = super::table::extension(path).as_deref() == Some("toml");
    let within = path.join(NAME);
    match path.is_dir() {
        true => within.is_file().then_some(within),
        false => is_toml.then(|| path.to_owned()),
    }
}

/// The file to judge by of a task file, and what it says of it. The training file need not be there.
///
/// # Errors
/// The task file is wrong, or a flag says something beside it.
pub fn judged_by(file: &Path, flags: &ColumnFlags) -> Result<(PathBuf, Said), CliError> {
    refuse_flags(&flags.given(), file)?;
    let asked = parse(file)?;
    require_file(file, "dev", &asked.dev)?;
    Ok((asked.dev, asked.said))
}

/// A flag beside the file would leave open which of the two holds.
fn refuse_flags(given: &[(&str, bool)], file: &Path) -> Result<(), CliError> {
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CliError::Usage(format!(
            "{flag} beside {}, which says that already; leave the flag out, or change the file",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn read(file: &Path) -> Result<Asked, CliError> {
    let asked = parse(file)?;
    require_file(file, "train", &asked.train)?;
    require_file(file, "dev", &asked.dev)?;
    Ok(asked)
}

fn require_file(file: &Path, field: &str, path: &Path) -> Result<(), CliError> {
    match path.is_file() {
        true => Ok(()),
        false => Err(CliError::Usage(format!(
            "{}: `{field}`: there is no file {}",
            file.display(),
            path.display()
        ))),
    }
}

fn parse(file: &Path) -> Result<Asked, CliError> {
    let text = config::read_text(file)?;
    let name = file.display();
    let wrong = |reason: String| CliError::Usage(format!("{name}: {reason}"));
    let task: TaskFile = toml::from_str(&text)
        .map_err(|e| CliError::Usage(words::of_toml(&name.to_string(), &text, &e)))?;
    let of_field = |field: &str, reason: String| wrong(format!("`{field}`: {reason}"));
    let folder = file.parent().unwrap_or(Path::new(""));
    let kind = task.task.as_deref().map(Kind::parse).transpose();
    let text = match task.text {
        None => Vec::new(),
        Some(OneOrTwo::One(name)) => vec![name],
        Some(OneOrTwo::More(names)) => names,
    };
    require_one_or_two("`text`", text.len()).map_err(wrong)?;
    Ok(Asked {
        train: folder.join(task.train),
        dev: folder.join(task.dev),
        said: Said {
            text,
            label: task.label,
            kind: kind.map_err(|reason| of_field("task", reason))?,
            labels: task.labels,
            metric: task.metric,
            file: Some(file.to_owned()),
        },
    })
}

fn require_one_or_two(what: &str, count: usize) -> Result<(), String> {
    match count {
        0..=2 => Ok(()),
        _ => Err(format!(
            "{what} names {count} columns; expected one, or two for pairs"
        )),
    }
}
