//! What is to be learnt: texts or pairs of texts, each with a class or a score.

use std::path::Path;

use super::table::{self, Row, Table};
use crate::error::CliError;

/// Columns that hold one text each.
const SINGLE: [&str; 2] = ["sentence", "text"];
/// Columns that hold the two texts of a pair.
const PAIRS: [[&str; 2]; 5] = [
    ["sentence1", "sentence2"],
    ["text1", "text2"],
    ["premise", "hypothesis"],
    ["question1", "question2"],
    ["question", "sentence"],
];
/// The column of a class, and that of a score.
const LABEL: &str = "label";
const SCORE: &str = "score";
/// So many classes are taken for classes, however few examples there are.
const FEW: usize = 20;
/// At most so many labels are listed in a message.
const LISTED: usize = 10;

/// What the person says of the files, where their columns do not.
#[derive(Debug, Default)]
pub struct Said {
    /// The column of the text, or those of a pair.
    pub text: Vec<String>,
    /// The column of the class or score.
    pub label: Option<String>,
    /// Whether it is a score.
    pub regression: Option<bool>,
}

/// What a model gives for a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// One of these classes, by name.
    Classes(Vec<String>),
    /// A number.
    Score,
}

/// What is known of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Index of its class.
    Class(usize),
    /// Its score.
    Score(f32),
}

/// A text, or two, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text, or the first of a pair.
    pub first: String,
    /// The second of a pair.
    pub second: Option<String>,
    /// What the model should give.
    pub target: Target,
}

/// A task with its examples.
#[derive(Debug)]
pub struct Task {
    /// What is learnt.
    pub goal: Goal,
    /// What it is learnt from.
    pub train: Vec<Example>,
    /// What it is judged by.
    pub dev: Vec<Example>,
}

/// A table of which it is known what its columns mean.
struct Labelled {
    table: Table,
    text: Vec<usize>,
    label: usize,
    regression: bool,
}

/// Reads both files of a task.
///
/// # Errors
/// One sentence that says what was found and what was expected.
pub fn read(train: &Path, dev: &Path, said: &Said) -> Result<Task, CliError> {
    let (train, dev) = (labelled(train, said)?, labelled(dev, said)?);
    if (train.text.len(), train.regression) != (dev.text.len(), dev.regression) {
        return Err(wrong(format!(
            "{} holds {}, but {} holds {}; expected the same columns in both",
            train.table.name,
            train.describe(),
            dev.table.name,
            dev.describe(),
        )));
    }
    if train.regression {
        return Ok(Task {
            goal: Goal::Score,
            train: train.scored()?,
            dev: dev.scored()?,
        });
    }
    let labels = train.labels()?;
    Ok(Task {
        train: train.classified(&labels, &train.table.name)?,
        dev: dev.classified(&labels, &train.table.name)?,
        goal: Goal::Classes(labels),
    })
}

fn wrong(text: String) -> CliError {
    CliError::Labelled(text)
}

fn labelled(path: &Path, said: &Said) -> Result<Labelled, CliError> {
    let table = table::read(path)?;
    let place = |name: &str| {
        table
            .columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    };
    let text = texts(&table, said, &place)?;
    let (label, is_score) = match &said.label {
        Some(name) => (require(&table, name, &place)?, name == SCORE),
        None => match (place(LABEL), place(SCORE)) {
            (Some(label), None) => (label, false),
            (None, Some(score)) => (score, true),
            (Some(_), Some(_)) => {
                return Err(wrong(format!(
                    "{} has a column `{LABEL}` and a column `{SCORE}`; say which one with --label-column",
                    table.name
                )));
            }
            (None, None) => {
                return Err(wrong(format!(
                    "{} has no column `{LABEL}` or `{SCORE}`, only {}; name it with --label-column",
                    table.name,
                    list(&table.columns)
                )));
            }
        },
    };
    if table.rows.is_empty() {
        return Err(wrong(format!(
            "{} has a line that names its columns and no example below it; expected one a line",
            table.name
        )));
    }
    Ok(Labelled {
        text,
        label,
        regression: said.regression.unwrap_or(is_score),
        table,
    })
}

fn texts(
    table: &Table,
    said: &Said,
    place: &impl Fn(&str) -> Option<usize>,
) -> Result<Vec<usize>, CliError> {
    if !said.text.is_empty() {
        return said
            .text
            .iter()
            .map(|name| require(table, name, place))
            .collect();
    }
    let pair = PAIRS
        .iter()
        .find_map(|[a, b]| Some(vec![place(a)?, place(b)?]));
    let single = || SINGLE.iter().find_map(|name| Some(vec![place(name)?]));
    pair.or_else(single).ok_or_else(|| {
        wrong(format!(
            "the first line of {} must name the columns, such as sentence<TAB>label, but it is {}; add that line, or name the \
             column of the text with --text-column",
            table.name,
            list(&table.columns)
        ))
    })
}

fn require(
    table: &Table,
    name: &str,
    place: &impl Fn(&str) -> Option<usize>,
) -> Result<usize, CliError> {
    place(name).ok_or_else(|| {
        wrong(format!(
            "{} has no column `{name}`, only {}",
            table.name,
            list(&table.columns)
        ))
    })
}

fn list(names: &[String]) -> String {
    let listed = names.iter().take(LISTED).map(|name| format!("`{name}`"));
    let listed = listed.collect::<Vec<_>>().join(", ");
    match names.len() > LISTED {
        true => format!("{listed} and {} more", names.len() - LISTED),
        false => listed,
    }
}

/// By number where all are whole numbers, else by letter.
fn sort(labels: &mut [String]) {
    let number = |label: &String| label.parse::<i64>().ok();
    match labels.iter().all(|label| number(label).is_some()) {
        true => labels.sort_by_key(number),
        false => labels.sort(),
    }
}

impl Labelled {
    fn describe(&self) -> &'static str {
        match (self.text.len(), self.regression) {
            (1, false) => "texts with classes",
            (1, true) => "texts with scores",
            (_, false) => "pairs of texts with classes",
            (_, true) => "pairs of texts with scores",
        }
    }

    /// What stands in a column of a row.
    fn field<'a>(&'a self, row: &'a Row, column: usize) -> Result<&'a str, CliError> {
        row.fields[column].as_deref().ok_or_else(|| {
            wrong(format!(
                "{}, line {}: there is no text or number under `{}`",
                self.table.name, row.line, self.table.columns[column]
            ))
        })
    }

    fn label<'a>(&'a self, row: &'a Row) -> Result<&'a str, CliError> {
        let label = self.field(row, self.label)?.trim();
        match label.is_empty() {
            true => Err(wrong(format!(
                "{}, line {}: the column `{}` is empty; expected a value in every line",
                self.table.name, row.line, self.table.columns[self.label]
            ))),
            false => Ok(label),
        }
    }

    /// Every class that occurs, in order.
    fn labels(&self) -> Result<Vec<String>, CliError> {
        let rows = self.table.rows.iter();
        let mut labels = rows
            .map(|row| Ok(self.label(row)?.to_owned()))
            .collect::<Result<Vec<_>, CliError>>()?;
        sort(&mut labels);
        labels.dedup();
        match &labels[..] {
            [only] => Err(wrong(format!(
                "every example of {} has the label `{only}`; expected at least two different ones",
                self.table.name
            ))),
            // Scores, or texts, under the name of classes: most labels occur once.
            _ if labels.len() > FEW && labels.len() * 2 > self.table.rows.len() => {
                Err(wrong(format!(
                    "{} has {} different labels in {} examples, such as {}; expected a few classes. For scores use --task \
                     regression",
                    self.table.name,
                    labels.len(),
                    self.table.rows.len(),
                    list(&labels[..2])
                )))
            }
            _ => Ok(labels),
        }
    }

    fn classified(&self, labels: &[String], train: &str) -> Result<Vec<Example>, CliError> {
        self.examples(|row| {
            let label = self.label(row)?;
            let class = labels.iter().position(|known| known == label);
            class.map(Target::Class).ok_or_else(|| {
                wrong(format!(
                    "{}, line {}: the label `{label}` does not occur in {train}; expected one of {}",
                    self.table.name,
                    row.line,
                    list(labels)
                ))
            })
        })
    }

    fn scored(&self) -> Result<Vec<Example>, CliError> {
        let examples = self.examples(|row| {
            let label = self.label(row)?;
            let score = label.parse().ok().filter(|score: &f32| score.is_finite());
            score.map(Target::Score).ok_or_else(|| {
                let column = &self.table.columns[self.label];
                wrong(format!(
                    "{}, line {}: `{label}` is not a number, but the column `{column}` holds scores",
                    self.table.name, row.line
                ))
            })
        })?;
        match &examples[..] {
            [first, rest @ ..] if rest.iter().all(|other| other.target == first.target) => {
                Err(wrong(format!(
                    "every example of {} has the same score; expected different ones",
                    self.table.name
                )))
            }
            _ => Ok(examples),
        }
    }

    fn examples(
        &self,
        target: impl Fn(&Row) -> Result<Target, CliError>,
    ) -> Result<Vec<Example>, CliError> {
        let example = |row: &Row| {
            let text = |at: usize| Ok::<_, CliError>(self.field(row, at)?.to_owned());
            Ok(Example {
                first: text(self.text[0])?,
                second: self.text.get(1).map(|at| text(*at)).transpose()?,
                target: target(row)?,
            })
        };
        self.table.rows.iter().map(example).collect()
    }
}
