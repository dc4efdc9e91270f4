//! What is to be learnt: texts or pairs of texts, each with a class or a score, or sentences whose words have tags.

use std::path::{Path, PathBuf};

use limbeck_score::{Metric, are_chunks};

use super::conll::{self, Conll};
use super::table::{self, Row, Table, wrong};
use crate::error::CliError;
use crate::words::listed;

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
pub const LABEL: &str = "label";
const SCORE: &str = "score";
/// So many classes are taken for classes, however few examples there are.
const FEW: usize = 20;
/// At most so many labels are listed in a message.
const LISTED: usize = 10;

/// What kind of answer a task asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A class of each text or pair.
    Classification,
    /// A score of each text or pair.
    Regression,
    /// A tag of each word.
    Tokens,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Classification, Self::Regression, Self::Tokens];

    /// As flags and files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
            Self::Tokens => "tokens",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("`{text}` is not classification, regression or tokens"))
    }
}

/// What the person says of the files, where their columns do not.
#[derive(Debug, Default)]
pub struct Said {
    /// The column of the text, or those of a pair.
    pub text: Vec<String>,
    /// The column of the class or score.
    pub label: Option<String>,
    /// What is asked for.
    pub kind: Option<Kind>,
    /// The classes or tags, in the order of the model's outputs.
    pub labels: Option<Vec<String>>,
    /// What the best epoch and seed are chosen by.
    pub metric: Option<String>,
    /// What says all this, for messages, where it is not flags.
    pub file: Option<PathBuf>,
}

impl Said {
    /// Whether anything is said of columns or kind, or a task file says it all.
    pub fn is_something(&self) -> bool {
        self.names_columns() || self.kind.is_some() || self.file.is_some()
    }

    /// Whether columns are named.
    fn names_columns(&self) -> bool {
        !self.text.is_empty() || self.label.is_some()
    }
}

/// What a model gives for a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// One of these classes, by name.
    Classes(Vec<String>),
    /// A number.
    Score,
    /// For each of its words one of these tags, by name.
    Tags(Vec<String>),
}

/// A text, or several.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// One.
    One(String),
    /// A pair.
    Pair(String, String),
    /// A sentence, word by word.
    Words(Vec<String>),
}

/// What is known of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Index of its class.
    Class(usize),
    /// Its score.
    Score(f32),
    /// Index of the tag of each word.
    Tags(Vec<usize>),
}

/// A text, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What the model reads.
    pub text: Text,
    /// What the model should give.
    pub target: Target,
}

/// A task with its examples.
#[derive(Debug)]
pub struct Task {
    /// What is learnt.
    pub goal: Goal,
    /// What predictions are judged by; the best epoch has the highest first one.
    pub metrics: [Metric; 2],
    /// What it is learnt from.
    pub train: Vec<Example>,
    /// What it is judged by.
    pub dev: Vec<Example>,
}

/// A labelled file.
pub enum Labelled {
    /// Texts or pairs, with classes or scores.
    Table(Columns),
    /// Sentences with tags.
    Conll(Conll),
}

/// A table of which it is known what its columns mean.
pub struct Columns {
    table: Table,
    text: Vec<usize>,
    label: usize,
    regression: bool,
}

impl Goal {
    /// The names of the classes or tags; none of a score.
    pub fn labels(&self) -> Option<&[String]> {
        match self {
            Self::Classes(labels) | Self::Tags(labels) => Some(labels),
            Self::Score => None,
        }
    }

    /// What is asked for.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Classes(_) => Kind::Classification,
            Self::Score => Kind::Regression,
            Self::Tags(_) => Kind::Tokens,
        }
    }

    /// Numbers that a model gives for a text, or for a word.
    pub fn outputs(&self) -> usize {
        self.labels().map_or(1, <[String]>::len)
    }

    /// Whether the tags mark chunks of words, such as names.
    pub fn has_chunks(&self) -> bool {
        matches!(self, Self::Tags(tags) if are_chunks(tags))
    }

    /// What predictions are judged by.
    pub fn metrics(&self) -> [Metric; 2] {
        match self {
            Self::Score => [Metric::Spearman, Metric::Pearson],
            Self::Tags(_) if self.has_chunks() => [Metric::F1, Metric::Accuracy],
            Self::Classes(_) | Self::Tags(_) => [Metric::Accuracy, Metric::MacroF1],
        }
    }

    /// The same with the labels in the order that a task file names.
    fn with(self, labels: &[String], file: &Path) -> Result<Self, CliError> {
        let file = file.display();
        let mut sorted = labels.to_vec();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(wrong(format!(
                "{file}: `labels` names `{}` twice",
                twice[0]
            )));
        }
        if labels.len() < 2 {
            return Err(wrong(format!(
                "{file}: `labels` names {}; expected at least two",
                labels.len()
            )));
        }
        match self {
            Self::Classes(_) => Ok(Self::Classes(labels.to_vec())),
            Self::Tags(_) => Ok(Self::Tags(labels.to_vec())),
            Self::Score => Err(wrong(format!(
                "{file}: `labels` names classes, but these files hold scores; leave it out"
            ))),
        }
    }
}

impl Task {
    /// Whether the model reads two texts at a time.
    pub fn has_pairs(&self) -> bool {
        let first = self.train.first();
        first.is_some_and(|example| matches!(example.text, Text::Pair(..)))
    }
}

/// Reads both files of a task.
///
/// # Errors
/// One sentence that says what was found and what was expected.
pub fn read(train: &Path, dev: &Path, said: &Said) -> Result<Task, CliError> {
    let (train, dev) = (Labelled::read(train, said)?, Labelled::read(dev, said)?);
    if train.describe() != dev.describe() {
        return Err(wrong(format!(
            "{} holds {}, but {} holds {}; expected the same columns in both",
            train.name(),
            train.describe(),
            dev.name(),
            dev.describe(),
        )));
    }
    let found = train.goal()?;
    let (goal, known) = match (&said.labels, &said.file) {
        (Some(labels), Some(file)) => (found.with(labels, file)?, file.display().to_string()),
        _ => (found, train.name().to_owned()),
    };
    Ok(Task {
        metrics: metrics(&goal, said)?,
        train: train.examples(&goal, &known)?,
        dev: dev.examples(&goal, &known)?,
        goal,
    })
}

/// The goal's, the one first that the person names.
fn metrics(goal: &Goal, said: &Said) -> Result<[Metric; 2], CliError> {
    let metrics = goal.metrics();
    let Some(named) = &said.metric else {
        return Ok(metrics);
    };
    let [first, second] = metrics.map(Metric::key);
    match named.as_str() {
        named if named == first => Ok(metrics),
        named if named == second => Ok([metrics[1], metrics[0]]),
        named => {
            let file = said.file.as_deref().unwrap_or(Path::new("task.toml"));
            Err(wrong(format!(
                "{}: `metric` is `{named}`, but this task is judged by `{first}` and `{second}`; name one of them",
                file.display()
            )))
        }
    }
}

impl Labelled {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or its columns are not known.
    pub fn read(path: &Path, said: &Said) -> Result<Self, CliError> {
        let is_conll = match said.kind {
            Some(Kind::Tokens) => {
                conll::require_words(path)?;
                true
            }
            Some(kind) if conll::is_named(path) => {
                return Err(wrong(format!(
                    "{}: by its name this is a CoNLL file, whose task is `{}`, not `{}`; leave the task out, or rename the file",
                    path.display(),
                    Kind::Tokens.name(),
                    kind.name()
                )));
            }
            Some(_) => false,
            // Names of columns speak for a table only where the file's own name does not.
            None => conll::is_named(path) || (!said.names_columns() && conll::is_conll(path)?),
        };
        match is_conll {
            true if said.names_columns() => Err(wrong(format!(
                "{}: the columns of a CoNLL file have no names: the first is the word, the last its tag. Leave out the names of \
                 the text and label columns",
                path.display()
            ))),
            true => Ok(Self::Conll(conll::read(path)?)),
            false => Ok(Self::Table(columns(path, said)?)),
        }
    }

    /// The file, for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(columns) => &columns.table.name,
            Self::Conll(conll) => &conll.name,
        }
    }

    /// What is asked for.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Table(columns) if columns.regression => Kind::Regression,
            Self::Table(_) => Kind::Classification,
            Self::Conll(_) => Kind::Tokens,
        }
    }

    /// Whether its texts come in pairs.
    pub fn has_pairs(&self) -> bool {
        matches!(self, Self::Table(columns) if columns.text.len() > 1)
    }

    /// What the file holds, in words.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Table(columns) => columns.describe(),
            Self::Conll(_) => "sentences with tags",
        }
    }

    /// What can be learnt from the file.
    fn goal(&self) -> Result<Goal, CliError> {
        match self {
            Self::Table(columns) if columns.regression => Ok(Goal::Score),
            Self::Table(columns) => Ok(Goal::Classes(columns.labels()?)),
            Self::Conll(conll) => Ok(Goal::Tags(conll.tags()?)),
        }
    }

    /// The examples of the file for this goal, which is of its kind. `known` names what has the goal's labels.
    ///
    /// # Errors
    /// A label is unknown, or a field empty or no number.
    pub fn examples(&self, goal: &Goal, known: &str) -> Result<Vec<Example>, CliError> {
        match (self, goal) {
            (Self::Table(columns), Goal::Classes(labels)) => columns.classified(labels, known),
            (Self::Table(columns), _) => columns.scored(),
            (Self::Conll(conll), goal) => conll.examples(goal.labels().unwrap_or(&[]), known),
        }
    }
}

impl Conll {
    /// Every tag that occurs, in order.
    fn tags(&self) -> Result<Vec<String>, CliError> {
        let all = self.sentences.iter().flat_map(|sentence| &sentence.tags);
        let mut tags: Vec<String> = all.cloned().collect();
        sort(&mut tags);
        tags.dedup();
        match tags.as_slice() {
            [only] => Err(wrong(format!(
                "every word of {} has the tag `{only}`, its last column; expected at least two different ones",
                self.name
            ))),
            _ => Ok(tags),
        }
    }

    fn examples(&self, tags: &[String], known: &str) -> Result<Vec<Example>, CliError> {
        let example = |sentence: &conll::Sentence| {
            let lines = sentence.tags.iter().zip(sentence.line..);
            let targets = lines.map(|(tag, line)| {
                let place = tags.iter().position(|known| known == tag);
                place.ok_or_else(|| unknown(&self.name, line, ("tag", tag), known, tags))
            });
            Ok(Example {
                text: Text::Words(sentence.words.clone()),
                target: Target::Tags(targets.collect::<Result<_, CliError>>()?),
            })
        };
        self.sentences.iter().map(example).collect()
    }
}

fn unknown(
    file: &str,
    line: u64,
    (what, label): (&str, &str),
    known: &str,
    labels: &[String],
) -> CliError {
    wrong(format!(
        "{file}, line {line}: the {what} `{label}` does not occur in {known}; expected one of {}",
        listed(labels, LISTED)
    ))
}

fn columns(path: &Path, said: &Said) -> Result<Columns, CliError> {
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
                    listed(&table.columns, LISTED)
                )));
            }
        },
    };
    let mut named = [&text[..], &[label]].concat();
    named.sort_unstable();
    if let Some(twice) = named.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(format!(
            "{}: the column `{}` is named for more than one thing; the text, the second text of a pair and the label each need a \
             column of their own",
            table.name, table.columns[twice[0]]
        )));
    }
    if table.rows.is_empty() {
        return Err(wrong(format!(
            "{} has a line that names its columns and no example below it; expected one a line",
            table.name
        )));
    }
    Ok(Columns {
        text,
        label,
        regression: said.kind.map_or(is_score, |kind| kind == Kind::Regression),
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
            listed(&table.columns, LISTED)
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
            listed(&table.columns, LISTED)
        ))
    })
}

/// Whether these are names of the columns of a table: a text's, and a label's.
pub fn are_of_a_table(names: &[String]) -> bool {
    let has = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    let of_text = SINGLE.iter().chain(PAIRS.iter().flatten());
    of_text.copied().any(has) && [LABEL, SCORE].into_iter().any(has)
}

/// By number where all are whole numbers, else by letter.
fn sort(labels: &mut [String]) {
    let number = |label: &String| label.parse::<i64>().ok();
    match labels.iter().all(|label| number(label).is_some()) {
        true => labels.sort_by_key(number),
        false => labels.sort(),
    }
}

impl Columns {
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
                    listed(&labels[..2], LISTED)
                )))
            }
            _ => Ok(labels),
        }
    }

    fn classified(&self, labels: &[String], known: &str) -> Result<Vec<Example>, CliError> {
        self.examples(|row| {
            let label = self.label(row)?;
            let class = labels.iter().position(|known| known == label);
            class
                .map(Target::Class)
                .ok_or_else(|| unknown(&self.table.name, row.line, ("label", label), known, labels))
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
            let first = text(self.text[0])?;
            Ok(Example {
                text: match self.text.get(1) {
                    Some(at) => Text::Pair(first, text(*at)?),
                    None => Text::One(first),
                },
                target: target(row)?,
            })
        };
        self.table.rows.iter().map(example).collect()
    }
}
