//! `task.toml`: one file that says which files a task has and what they mean.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Arguments;
use super::task::{Kind, Said};
use crate::error::CliError;

/// The name of the file in a folder that `--train` names.
pub const NAME: &str = "task.toml";

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
        refuse_flags(arguments, &file)?;
        return read(&file);
    }
    let text = arguments.text_column.clone();
    require_one_or_two("--text-column", text.len()).map_err(CliError::Usage)?;
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
        said: Said {
            text,
            label: arguments.label_column.clone(),
            kind: arguments.task,
            ..Said::default()
        },
    })
}

/// A flag beside the file would leave open which of the two holds.
fn refuse_flags(arguments: &Arguments, file: &Path) -> Result<(), CliError> {
    let given = [
        ("--dev", arguments.dev.is_some()),
        ("--text-column", !arguments.text_column.is_empty()),
        ("--label-column", arguments.label_column.is_some()),
        ("--task", arguments.task.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CliError::Usage(format!(
            "{flag} beside {}, which says that already; leave the flag out, or change the file",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn read(file: &Path) -> Result<Asked, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::file("read", file))?;
    let name = file.display();
    let wrong = |reason: String| CliError::Usage(format!("{name}: {reason}"));
    let task: TaskFile = toml::from_str(&text).map_err(|e| wrong(in_words(&e, &text)))?;
    let of_field = |field: &str, reason: String| wrong(format!("`{field}`: {reason}"));
    let folder = file.parent().unwrap_or(Path::new(""));
    for (field, path) in [("train", &task.train), ("dev", &task.dev)] {
        if !folder.join(path).is_file() {
            let path = folder.join(path);
            return Err(of_field(
                field,
                format!("there is no file {}", path.display()),
            ));
        }
    }
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

/// With the line, which names the field.
fn in_words(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    // What is missing stands in no line.
    let span = error.span().filter(|_| !message.starts_with("missing"));
    let Some(span) = span else {
        return message.to_owned();
    };
    let before = text.get(..span.start).unwrap_or_default();
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    format!("line {}, `{line}`: {message}", number + 1)
}

fn require_one_or_two(what: &str, count: usize) -> Result<(), String> {
    match count {
        0..=2 => Ok(()),
        _ => Err(format!(
            "{what} names {count} columns; expected one, or two for pairs"
        )),
    }
}
