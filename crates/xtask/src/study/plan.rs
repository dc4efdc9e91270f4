//! What is studied: `docs/study/study.toml`, and the recipe of every arm that follows from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::shell::{self, Error, Result};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What all runs share.
    recipe: Table,
    /// How long a run may be, in the order of the tables.
    #[serde(rename = "budget")]
    pub budgets: Vec<Budget>,
    /// Sizes of students.
    #[serde(rename = "student")]
    pub students: Vec<Student>,
    /// What is compared, in the order in which it runs.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
}

/// How long a run may be; one for all arms, so that what differs is the arm.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name on the command line.
    pub name: String,
    /// For people.
    pub title: String,
    recipe: Table,
    /// Students of each arm, each with a seed of its own.
    pub seeds: u64,
    /// How the students are fine-tuned.
    pub tuning: Tuning,
}

/// How students are fine-tuned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Heads of each student, each with a seed of its own.
    pub seeds: u64,
    /// Passes over the training file.
    pub epochs: u64,
    /// Texts of a step.
    pub batch: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Maximum tokens of a text.
    pub max_length: u64,
    /// What the head reads, as `limbeck finetune --pooling` takes it.
    pub pooling: String,
    /// The arms that are fine-tuned; all unless given.
    arms: Option<Vec<String>>,
}

/// A size of student.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Student {
    /// Its name on the command line.
    pub name: String,
    recipe: Table,
}

/// One way to make a student.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name on the command line.
    pub name: String,
    /// For people.
    pub title: String,
    /// Whether anything is trained.
    #[serde(default)]
    pub kind: Kind,
    /// The students that it is for; all unless given.
    students: Option<Vec<String>>,
    #[serde(default)]
    recipe: Table,
}

/// How an arm's model comes about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// By `limbeck distill`.
    #[default]
    Distilled,
    /// By `limbeck baseline`.
    Copied,
    /// It is there already.
    Teacher,
}

/// One model of the study: an arm with a student, a budget and a seed.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The arm.
    pub arm: &'a Arm,
    /// The student's size.
    pub student: &'a Student,
    /// The budget.
    pub budget: &'a Budget,
    /// The recipe's seed.
    pub seed: u64,
}

impl Study {
    /// Reads the file and checks that its names can tell arms apart.
    ///
    /// # Errors
    /// It cannot be read, or is no study.
    pub fn read(path: &Path) -> Result<Self> {
        let text = shell::read(path)?;
        Self::parse(&text).map_err(|message| Error::Wrong(format!("{}: {message}", path.display())))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It is no study.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let study: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        let unique = |what: &str, mut names: Vec<String>| {
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            twice.map_or(Ok(()), |pair| {
                Err(format!("{what} `{}` is there twice", pair[0]))
            })
        };
        unique(
            "budget",
            study.budgets.iter().map(|b| b.name.clone()).collect(),
        )?;
        unique(
            "student",
            study.students.iter().map(|s| s.name.clone()).collect(),
        )?;
        for student in &study.students {
            let arms = study.arms.iter().filter(|arm| arm.is_for(student));
            unique("arm", arms.map(|arm| arm.name.clone()).collect())?;
        }
        Ok(study)
    }

    /// The budget of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn budget(&self, name: &str) -> Result<&Budget> {
        let known: Vec<&str> = self.budgets.iter().map(|b| b.name.as_str()).collect();
        let found = self.budgets.iter().find(|budget| budget.name == name);
        found.ok_or_else(|| unknown("budget", name, &known))
    }

    /// The students of these names, or all.
    ///
    /// # Errors
    /// There is none of a name.
    pub fn students(&self, names: &[String]) -> Result<Vec<&Student>> {
        let known: Vec<&str> = self.students.iter().map(|s| s.name.as_str()).collect();
        all_known("student", names, &known)?;
        let wanted = |student: &&Student| names.is_empty() || names.contains(&student.name);
        Ok(self.students.iter().filter(wanted).collect())
    }

    /// The arms of these names, or all.
    ///
    /// # Errors
    /// There is none of a name.
    pub fn arms(&self, names: &[String]) -> Result<Vec<&Arm>> {
        let known: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        all_known("arm", names, &known)?;
        let wanted = |arm: &&Arm| names.is_empty() || names.contains(&arm.name);
        Ok(self.arms.iter().filter(wanted).collect())
    }

    /// The recipe of a model, but for teacher, corpus and folder, which belong to a machine.
    pub fn recipe(&self, job: &Job) -> Table {
        let mut recipe = self.recipe.clone();
        for over in [&job.budget.recipe, &job.student.recipe, &job.arm.recipe] {
            merge(&mut recipe, over);
        }
        // A seed of a file is below 2^63, as TOML demands.
        recipe.insert("seed".to_owned(), Value::Integer(job.seed.cast_signed()));
        sorted(recipe)
    }

    /// A hash of all that decides about a model: its recipe, and how it comes about. All jobs share the teacher.
    pub fn hash(&self, job: &Job) -> String {
        match job.arm.kind {
            Kind::Teacher => "teacher".to_owned(),
            kind => short_hash(&format!("{kind:?}\n{}", self.recipe(job))),
        }
    }
}

impl Budget {
    /// Whether an arm is fine-tuned.
    pub fn tunes(&self, arm: &Arm) -> bool {
        let named = self.tuning.arms.as_ref();
        named.is_none_or(|names| names.contains(&arm.name))
    }
}

impl Tuning {
    /// A hash of all that decides about a fine-tuned model but the model itself and the texts.
    pub fn hash(&self) -> String {
        let Self {
            epochs,
            batch,
            learning_rate,
            max_length,
            pooling,
            ..
        } = self;
        short_hash(&format!(
            "{epochs} {batch} {learning_rate} {max_length} {pooling}"
        ))
    }
}

impl Arm {
    /// Whether it is for a student.
    pub fn is_for(&self, student: &Student) -> bool {
        let named = self.students.as_ref();
        named.is_none_or(|names| names.contains(&student.name))
    }
}

impl std::fmt::Display for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.arm.kind {
            Kind::Teacher => f.write_str("the teacher"),
            _ => write!(
                f,
                "{}, {}, budget {}, seed {}",
                self.arm.name, self.student.name, self.budget.name, self.seed
            ),
        }
    }
}

/// Puts the fields of one table over those of another; tables in it are merged, anything else is replaced.
fn merge(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The same with its keys in order: a table keeps that of the file where another crate of a build asks toml for it, and a
/// hash must not depend on that.
fn sorted(table: Table) -> Table {
    let ordered: BTreeMap<String, Value> = table.into_iter().collect();
    let fields = ordered.into_iter().map(|(key, value)| match value {
        Value::Table(below) => (key, Value::Table(sorted(below))),
        other => (key, other),
    });
    fields.collect()
}

fn all_known(what: &str, names: &[String], known: &[&str]) -> Result<()> {
    let stranger = names.iter().find(|name| !known.contains(&name.as_str()));
    stranger.map_or(Ok(()), |name| Err(unknown(what, name, known)))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let mut known = known.to_vec();
    // An arm may be there once for each student.
    known.dedup();
    let known = known.join(", ");
    Error::Wrong(format!("the study has no {what} `{name}`; it has {known}"))
}

/// The first 12 digits of SHA-256: enough to tell the recipes of a study apart.
pub fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
