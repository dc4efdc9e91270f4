//! CoNLL files: a word and its tag a line, an empty line between sentences.

use std::path::Path;

use limbeck_recipe::counted;
use limbeck_relations::clip;
use limbeck_score::is_chunk_tag;

use super::table::{self, wrong};
use super::task::{Kind, are_of_a_table};
use crate::error::CliError;

/// Extensions of such files.
const EXTENSIONS: [&str; 4] = ["conll", "bio", "iob", "iob2"];
/// What begins a line between documents.
const DOCUMENT: &str = "-DOCSTART-";
/// Letters of a line in a message.
const SHOWN: usize = 40;
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

/// Whether a file says by its extension that it is one of these.
pub fn is_named(path: &Path) -> bool {
    let extension = table::extension(path);
    extension.is_some_and(|known| EXTENSIONS.contains(&known.as_str()))
}

/// Whether a file is one of these: by its extension or, unless that says that it is CSV or JSON, by its first line.
///
/// # Errors
/// It cannot be read.
pub fn is_conll(path: &Path) -> Result<bool, CliError> {
    if is_named(path) {
        return Ok(true);
    }
    if table::named_table(path).is_some() {
        return Ok(false);
    }
    let (name, bytes) = table::bytes(path)?;
    let text = table::text(&bytes, &name)?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    let columns = first.map(columns).unwrap_or_default();
    Ok(match columns.as_slice() {
        [first, ..] if *first == DOCUMENT => true,
        // A letter alone may be the name of a column.
        [_, .., last] => is_certain(last),
        _ => false,
    })
}

/// Whether a tag can be nothing else: a letter alone may be the name of a column.
fn is_certain(tag: &str) -> bool {
    tag == "O" || (is_chunk_tag(tag) && tag.contains('-'))
}

/// Refuses what is no file of words, where somebody asks for tags of words: a table of texts.
///
/// # Errors
/// It cannot be read, or is such a table; the message says what was found.
pub fn require_words(path: &Path) -> Result<(), CliError> {
    if is_named(path) {
        return Ok(());
    }
    let refused = |found: String| {
        Err(wrong(format!(
            "{}: the task is `{}`, but {found}; {EXPECTED}. For texts with one label each the task is `{}`",
            path.display(),
            Kind::Tokens.name(),
            Kind::Classification.name(),
        )))
    };
    if let Some(known) = table::named_table(path) {
        return refused(format!("a .{known} file is a table"));
    }
    let (name, bytes) = table::bytes(path)?;
    let text = table::text(&bytes, &name)?;
    let columns = table::header_of(path, name, text);
    if are_of_a_table(&columns) {
        let columns = columns.join("`, `");
        return refused(format!(
            "the first line names the columns `{columns}` of a table"
        ));
    }
    let lines = || {
        text.lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim().is_empty())
    };
    fn with_spaces(line: &str) -> Option<&str> {
        let (first, _) = line.split_once('\t')?;
        Some(first.trim()).filter(|first| first.contains(' '))
    }
    let texts: Vec<(&str, u64)> = lines()
        .filter_map(|(line, number)| Some((with_spaces(line)?, number)))
        .collect();
    match texts.first() {
        Some((first, number)) if 2 * texts.len() > lines().count() => refused(format!(
            "the first column holds texts, in line {number} `{}`",
            clip(first, SHOWN)
        )),
        _ => Ok(()),
    }
}

/// Reads a file. Lines that begin with `-DOCSTART-` are skipped. A comment is refused: `#` may be a word.
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
        let &mut (first, at, begin) = width.get_or_insert((found, number, line));
        let [word, .., tag] = fields.as_slice() else {
            return Err(match line.starts_with('#') {
                true => comment(&name, number, line),
                false => wrong(format!(
                    "{name}, line {number}: one column, `{}`; {EXPECTED}",
                    fields[0]
                )),
            });
        };
        if found != first {
            let mut two = [(line, number), (begin, at)].into_iter();
            if let Some((line, number)) = two.find(|(line, _)| line.starts_with('#')) {
                return Err(comment(&name, number, line));
            }
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
    refuse_comments(&name, &sentences)?;
    refuse_numbers(&name, &sentences)?;
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

/// A comment of as many columns as the words have: its last one is no tag, and those of all words are.
fn refuse_comments(name: &str, sentences: &[Sentence]) -> Result<(), CliError> {
    let words = sentences.iter().flat_map(|sentence| {
        let words = sentence.words.iter().zip(&sentence.tags);
        words.zip(sentence.line..)
    });
    let (hashes, others): (Vec<_>, Vec<_>) =
        words.partition(|((word, _), _)| word.starts_with('#'));
    let is_tagged = |((_, tag), _): &((&String, &String), u64)| is_certain(tag);
    if others.is_empty() || !others.iter().all(is_tagged) {
        return Ok(());
    }
    match hashes.iter().find(|hash| !is_tagged(hash)) {
        Some(((word, tag), line)) => Err(comment(name, *line, &format!("{word} … {tag}"))),
        None => Ok(()),
    }
}

/// A first column that counts: a model would learn the numbers of words, not words.
fn refuse_numbers(name: &str, sentences: &[Sentence]) -> Result<(), CliError> {
    let counts = |sentence: &Sentence| {
        let numbers = sentence.words.iter().map(|word| word.parse::<u32>());
        let numbers = numbers.collect::<Result<Vec<_>, _>>();
        numbers.is_ok_and(|numbers| {
            numbers
                .windows(2)
                .all(|pair| pair[0].checked_add(1) == Some(pair[1]))
        })
    };
    let longest = sentences.iter().max_by_key(|sentence| sentence.words.len());
    match longest {
        Some(longest) if longest.words.len() > 1 && sentences.iter().all(counts) => {
            Err(wrong(format!(
                "{name}, line {}: the first column counts the words (`{}`, `{}`), and must hold them; remove that column",
                longest.line, longest.words[0], longest.words[1]
            )))
        }
        _ => Ok(()),
    }
}

fn comment(name: &str, line: u64, text: &str) -> CliError {
    wrong(format!(
        "{name}, line {line}: `{}` is no word with its tag but a comment, it seems; remove the comments, which begin with `#`",
        clip(text.trim(), SHOWN)
    ))
}
