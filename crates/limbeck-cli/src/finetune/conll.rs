//! CoNLL files: a word and its tag a line, an empty line between sentences.

use std::path::Path;

use limbeck_recipe::counted;
use limbeck_score::is_chunk_tag;

use super::table::{self, wrong};
use crate::error::CliError;

/// Extensions of such files.
const EXTENSIONS: [&str; 4] = ["conll", "bio", "iob", "iob2"];
/// What begins a line between documents.
const DOCUMENT: &str = "-DOCSTART-";
const EXPECTED: &str = "expected a word and its tag in each line, with a tab or spaces between, and an empty line between sentences";

/// The sentences of a file.
#[derive(Debug)]
pub struct Conll {
    /// The file, for messages.
    pub name: String,
    /// At least one.
    pub sentences: Vec<Sentence>,
}

/// Words with tags.
#[derive(Debug, Default)]
pub struct Sentence {
    /// The line of the first word, from 1; the others follow without a gap.
    pub line: u64,
    /// What the first column has.
    pub words: Vec<String>,
    /// What the last column has, one for each word.
    pub tags: Vec<String>,
}

/// Whether a file is one of these: by its extension or, unless that says that it is CSV or JSON, by its first line.
///
/// # Errors
/// It cannot be read.
pub fn is_conll(path: &Path) -> Result<bool, CliError> {
    match table::extension(path).as_deref() {
        Some(known) if EXTENSIONS.contains(&known) => return Ok(true),
        Some("csv" | "jsonl" | "ndjson" | "json") => return Ok(false),
        _ => {}
    }
    let (name, bytes) = table::bytes(path)?;
    let text = table::text(&bytes, &name)?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    let columns = first.map(columns).unwrap_or_default();
    Ok(match columns.as_slice() {
        [first, ..] if *first == DOCUMENT => true,
        // A letter alone may be the name of a column.
        [_, .., last] => *last == "O" || (is_chunk_tag(last) && last.contains('-')),
        _ => false,
    })
}

/// Reads a file. Lines that begin with `-DOCSTART-` are skipped.
///
/// # Errors
/// It cannot be read, holds no word, or has a line that does not fit.
pub fn read(path: &Path) -> Result<Conll, CliError> {
    let (name, bytes) = table::bytes(path)?;
    let text = table::text(&bytes, &name)?;
    let mut sentences: Vec<Sentence> = Vec::new();
    let (mut width, mut is_within) = (None, false);
    for (line, number) in text.lines().zip(1..) {
        let fields = columns(line);
        if line.trim().is_empty() || fields[0] == DOCUMENT {
            is_within = false;
            continue;
        }
        let found = fields.len();
        let &mut (first, at) = width.get_or_insert((found, number));
        let [word, .., tag] = fields.as_slice() else {
            return Err(wrong(format!(
                "{name}, line {number}: one column, `{}`; {EXPECTED}",
                fields[0]
            )));
        };
        if found != first {
            return Err(wrong(format!(
                "{name}, line {number}: {}, but line {at} has {first}; expected as many in every line",
                counted(found, "column")
            )));
        }
        if let Some(which) = [(word, "word"), (tag, "tag")]
            .into_iter()
            .find_map(|(field, which)| field.trim().is_empty().then_some(which))
        {
            return Err(wrong(format!(
                "{name}, line {number}: the {which} is empty; {EXPECTED}"
            )));
        }
        if !is_within {
            sentences.push(Sentence {
                line: number,
                ..Sentence::default()
            });
            is_within = true;
        }
        if let Some(sentence) = sentences.last_mut() {
            sentence.words.push((*word).to_owned());
            sentence.tags.push((*tag).to_owned());
        }
    }
    match sentences.is_empty() {
        true => Err(wrong(format!("{name} has no sentence; {EXPECTED}"))),
        false => Ok(Conll { name, sentences }),
    }
}

/// By tabs where a line has one, else by spaces.
fn columns(line: &str) -> Vec<&str> {
    match line.contains('\t') {
        true => line.split('\t').map(str::trim).collect(),
        false => {
            let fields = line.split(' ').filter(|field| !field.is_empty());
            let fields: Vec<&str> = fields.collect();
            if fields.is_empty() { vec![""] } else { fields }
        }
    }
}
