//! Files of labelled text: TSV, CSV or JSON lines, as rows of named columns.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::Path;

use limbeck_corpus::{CorpusError, other_than_text, unpacked_name, unpacked_whole};
use limbeck_model::open_file;
use limbeck_recipe::json_line;
use limbeck_score::require_closed_quotes;
use serde_json::{Map, Value};

use crate::error::CliError;

/// Bytes of a file of labelled text, at most, packed or not: all of it is in memory.
const MOST_BYTES: u64 = 1 << 30;

/// A file with a header, or the keys of its objects.
#[derive(Debug)]
pub struct Table {
    /// The file, for messages.
    pub name: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// What stands below.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// The line that it starts in, from 1.
    pub line: u64,
    /// One for each column; none where a JSON object has no text, number or truth value under that key.
    pub fields: Vec<Option<String>>,
}

#[derive(Clone, Copy)]
enum Format {
    Tsv,
    Csv,
    JsonLines,
}

/// Reads a file by its extension or, where that says nothing, by its first line.
///
/// # Errors
/// It cannot be read, is empty, not UTF-8, or has a line that does not fit its format.
pub fn read(path: &Path) -> Result<Table, CliError> {
    let (name, bytes) = bytes(path)?;
    let text = text(&bytes, &name)?;
    if text.trim().is_empty() {
        return Err(wrong(format!(
            "{name} is empty; expected a line that names the columns, such as sentence<TAB>label, and one example a line \
             below it"
        )));
    }
    let table = match format(path, text) {
        Format::Tsv => tab_separated(name, text),
        Format::Csv => comma_separated(name, text),
        Format::JsonLines => json_lines(name, text),
    }?;
    require_different_names(&table)?;
    Ok(table)
}

/// The first line of a file as names of columns, whatever stands below.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn header(path: &Path) -> Result<Vec<String>, CliError> {
    let (name, bytes) = bytes(path)?;
    let text = text(&bytes, &name)?;
    Ok(header_of(path, name, text))
}

/// The same of a file whose name for messages and text are known.
pub fn header_of(path: &Path, name: String, text: &str) -> Vec<String> {
    let first = text.lines().find(|line| !line.is_empty());
    let first = first.unwrap_or_default();
    let table = match format(path, text) {
        Format::Tsv => tab_separated(name, first),
        Format::Csv => comma_separated(name, first),
        Format::JsonLines => json_lines(name, first),
    };
    table.map(|table| table.columns).unwrap_or_default()
}

/// What is wrong with a file.
pub fn wrong(text: String) -> CliError {
    CliError::Labelled(text)
}

/// A file's name for messages, and its bytes: unpacked, with lines that end in LF where CR alone ended them.
///
/// # Errors
/// It cannot be read or unpacked, or is too large.
pub fn bytes(path: &Path) -> Result<(String, Vec<u8>), CliError> {
    let name = path.display().to_string();
    let read = open_file(path).and_then(|file| match file.metadata()?.len() {
        0..=MOST_BYTES => unpacked_whole(Box::new(BufReader::new(file)), MOST_BYTES),
        _ => Ok(None),
    });
    let read = read.map_err(CliError::file("read", path))?;
    let mut bytes = read.ok_or_else(|| {
        let most = MOST_BYTES >> 20;
        wrong(format!(
            "{name} holds more than {most} MiB of text, the most that is read of labelled text, because all of it is in memory. Leave rows out"
        ))
    })?;
    if !bytes.contains(&b'\n') {
        let ends = bytes.iter_mut().filter(|byte| **byte == b'\r');
        ends.for_each(|end| *end = b'\n');
    }
    Ok((name, bytes))
}

/// A file's extension in small letters, without what packing adds.
pub fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let extension = Path::new(unpacked_name(&name)).extension()?;
    Some(extension.to_string_lossy().into_owned())
}

/// A file as text.
///
/// # Errors
/// It is not UTF-8, or no text at all.
pub fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, CliError> {
    if let Some(what) = other_than_text(bytes) {
        return Err(wrong(format!(
            "{name} is {what}. Write it as TSV, CSV or JSON lines, or as CoNLL for tags of words, in UTF-8"
        )));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let in_line = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count();
        CorpusError::NotUtf8 {
            file: name.to_owned(),
            line: lines as u64 + 1,
            byte: in_line + 1,
        }
        .into()
    })
}

/// The extension of a file that says by it that it is CSV or JSON.
pub fn named_table(path: &Path) -> Option<String> {
    extension(path).filter(|known| ["csv", "jsonl", "ndjson", "json"].contains(&known.as_str()))
}

fn format(path: &Path, text: &str) -> Format {
    match extension(path).as_deref() {
        Some("tsv") => return Format::Tsv,
        Some("csv") => return Format::Csv,
        Some("jsonl" | "ndjson" | "json") => return Format::JsonLines,
        _ => {}
    }
    let first = text.trim_start().lines().next().unwrap_or_default();
    match first {
        _ if first.starts_with('{') => Format::JsonLines,
        _ if first.contains('\t') || !first.contains(',') => Format::Tsv,
        _ => Format::Csv,
    }
}

/// TSV has no quoting: a tab separates, a quote is a character like any other.
fn tab_separated(name: String, text: &str) -> Result<Table, CliError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty());
    let mut records = lines.map(|(line, number)| {
        let fields = line.split('\t').map(str::to_owned);
        (number, fields.collect::<Vec<_>>())
    });
    let (_, columns) = records.next().unwrap_or_default();
    let hint = "a tab within a field? TSV has no way to write one; use CSV or JSON lines";
    rows(name, columns, records, hint)
}

fn comma_separated(name: String, text: &str) -> Result<Table, CliError> {
    require_closed_quotes(text.as_bytes()).map_err(|found| wrong(format!("{name}, {found}")))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(format!("{name} is not CSV: {e}")))?;
        let line = record.position().map_or(0, |position| {
            let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
            // A record starts behind the blank lines that the reader counts in.
            let rest = text.get(from..).unwrap_or_default();
            let blank = rest.chars().take_while(|c| ['\r', '\n'].contains(c));
            position.line() + blank.filter(|c| *c == '\n').count() as u64
        });
        let fields = record.iter().map(str::to_owned);
        records.push((line, fields.collect::<Vec<_>>()));
    }
    let mut records = records.into_iter();
    let (_, columns) = records.next().unwrap_or_default();
    let hint = "a comma outside quotes?";
    rows(name, columns, records, hint)
}

fn rows(
    name: String,
    columns: Vec<String>,
    records: impl Iterator<Item = (u64, Vec<String>)>,
    hint: &str,
) -> Result<Table, CliError> {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| column.trim().to_owned())
        .collect();
    let row = |(line, fields): (u64, Vec<String>)| {
        if fields.len() != columns.len() {
            return Err(wrong(format!(
                "{name}, line {line}: {}, but the first line names {} ({}). Is it {hint}",
                fields_found(fields.len()),
                columns.len(),
                columns.join(", "),
            )));
        }
        Ok(Row {
            line,
            fields: fields.into_iter().map(Some).collect(),
        })
    };
    let rows = records.map(row).collect::<Result<_, _>>()?;
    Ok(Table {
        name,
        columns,
        rows,
    })
}

fn fields_found(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    }
}

/// The keys of the first object are the columns.
fn json_lines(name: String, text: &str) -> Result<Table, CliError> {
    let mut objects: Vec<(u64, Map<String, Value>)> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let object = json_line(line).map_err(|found| {
            wrong(format!(
                "{name}, line {number}: expected one JSON object a line, such as {{\"sentence\": \"...\", \"label\": \"...\"}} ({found})"
            ))
        })?;
        objects.push((number, object));
    }
    let first = objects.first().map(|(_, object)| object.keys().cloned());
    let columns: Vec<String> = first.map(Iterator::collect).unwrap_or_default();
    let rows = objects.iter().map(|(line, object)| Row {
        line: *line,
        fields: columns
            .iter()
            .map(|key| object.get(key).and_then(plain))
            .collect(),
    });
    Ok(Table {
        rows: rows.collect(),
        columns,
        name,
    })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn require_different_names(table: &Table) -> Result<(), CliError> {
    let mut seen = BTreeSet::new();
    match table.columns.iter().find(|column| !seen.insert(*column)) {
        Some(twice) => Err(wrong(format!(
            "{}: the first line names the column `{twice}` twice",
            table.name
        ))),
        None => Ok(()),
    }
}
