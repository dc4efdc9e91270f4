//! JSON lines: each an object, whose field is a document, or each a string that is one.

use limbeck_recipe::{Documents, PAIR, json_in_words, json_kind, json_line};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Deserializer, Map, Value};

/// Bytes of a line of JSON, at most: a document of any use is far smaller, and the line is in memory as a whole.
pub const MOST_BYTES: usize = 16 << 20;
/// Keys that a message names before it only counts them.
const NAMED: usize = 12;

/// Text that is JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One object a line; the keys of the first, where they are known.
    Lines(Vec<String>),
    /// One list a line.
    Lists,
    /// One string a line.
    Strings,
    /// One value over all of the text.
    Document,
}

impl Kind {
    /// Of a text that begins with `head`, or is no more than that.
    pub(crate) fn of(head: &str, is_whole: bool) -> Option<Self> {
        let text = head.trim_start();
        if !text.starts_with(['{', '[', '"']) {
            return None;
        }
        let mut values = Deserializer::from_str(text).into_iter::<Value>();
        let first = values.next()?;
        let (value, rest) = text.split_at(values.byte_offset().min(text.len()));
        let is_line = rest
            .lines()
            .next()
            .is_none_or(|line| line.trim().is_empty());
        match first {
            Ok(Value::Object(object)) if is_line && !value.contains('\n') => {
                Some(Self::Lines(keys(&object)))
            }
            Ok(Value::Object(_)) => is_line.then_some(Self::Document),
            Ok(Value::Array(_)) if is_line && are_all(Value::is_array, rest, is_whole) => {
                Some(Self::Lists)
            }
            Ok(Value::String(_)) => {
                let are_strings = is_line && are_all(Value::is_string, rest, is_whole);
                are_strings.then_some(Self::Strings)
            }
            Ok(_) => rest.trim().is_empty().then_some(Self::Document),
            // As far as it goes, it is JSON.
            Err(e) if e.is_eof() && !is_whole => {
                let first_line = text.chars().next().filter(|_| !text.contains('\n'));
                Some(match first_line {
                    Some('{') => Self::Lines(Vec::new()),
                    Some('"') => Self::Strings,
                    _ => Self::Document,
                })
            }
            Err(_) => None,
        }
    }
}

/// The text of a line's field, nothing if it is blank, or why there is none. Of a line that is `cut` there is more than
/// [`MOST_BYTES`].
///
/// # Errors
/// The line is too long or no JSON object, or has no such field, or no string in it.
pub fn document(line: &str, cut: bool, field: &str) -> Result<Option<String>, String> {
    Ok(texts(line, cut, [field])?.map(|[text]| text))
}

/// What a line of JSON is as a document, nothing if it is blank, or why it is none.
///
/// # Errors
/// See [`document`]; without fields, the line must be a string.
pub(crate) fn of_documents(
    line: &str,
    cut: bool,
    documents: &Documents,
) -> Result<Option<String>, String> {
    match documents {
        Documents::Lines | Documents::Pairs => string(line, cut),
        Documents::Field(field) => document(line, cut, field),
        Documents::Fields([first, second]) => {
            let texts = texts(line, cut, [first, second])?;
            Ok(texts.map(|[first, second]| format!("{}{PAIR}{second}", first.replace(PAIR, " "))))
        }
    }
}

/// The texts of a line's fields.
fn texts<const N: usize>(
    line: &str,
    cut: bool,
    fields: [&str; N],
) -> Result<Option<[String; N]>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    require_all_of(cut)?;
    let mut object = json_line(line).map_err(|found| {
        let what = match line.trim_start().starts_with('{') {
            true => "not valid JSON",
            false => "not a JSON object",
        };
        format!(
            "{what} ({found}). With --corpus-field every line must be a JSON object; leave it out for plain text"
        )
    })?;
    let all = keys(&object);
    let mut texts = fields.map(|_| String::new());
    for (text, field) in texts.iter_mut().zip(fields) {
        *text = match object.remove(field) {
            Some(Value::String(text)) => text,
            Some(other) => {
                let kind = json_kind(&other);
                return Err(format!(
                    "the field `{field}` is {kind}, not a string. Name another field, or leave the line out"
                ));
            }
            None => {
                let keys = list(&all);
                let of_pairs = match field.contains(',') {
                    true => ". Two fields are those of pairs: add --corpus-pairs",
                    false => "",
                };
                return Err(format!("no field `{field}`; its keys are {keys}{of_pairs}"));
            }
        };
    }
    Ok(Some(texts))
}

/// The text of a line that is a string, nothing if the line is blank, or why there is none. Of a line that is `cut` there is more
/// than [`MOST_BYTES`].
///
/// # Errors
/// The line is too long, or no JSON string.
fn string(line: &str, cut: bool) -> Result<Option<String>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    require_all_of(cut)?;
    let found = match serde_json::from_str(line) {
        Ok(Value::String(text)) => return Ok(Some(text)),
        Ok(other) => format!("it is {}", json_kind(&other)),
        Err(e) => json_in_words(&e),
    };
    Err(format!(
        "not a JSON string, as the first lines of the file are ({found}). Make it one, or leave the line out"
    ))
}

/// That a line of JSON is here as a whole.
fn require_all_of(cut: bool) -> Result<(), String> {
    let most = MOST_BYTES >> 20;
    match cut {
        true => Err(format!(
            "longer than {most} MiB, the most that a line of JSON may be"
        )),
        false => Ok(()),
    }
}

/// What the object of a line calls itself: its `id` as it is written, if that is a string or a number.
pub fn id(line: &str) -> Option<&str> {
    let is_name = |c: char| matches!(c, '"' | '-' | '0'..='9');
    member(line, "id").filter(|id| id.starts_with(is_name))
}

/// A member of a valid object as it is written: a number there may have more digits than a [`Value`] keeps.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    /// A value, and what stands behind it.
    fn value<T: DeserializeOwned>(text: &str) -> Option<(T, &str)> {
        let mut values = Deserializer::from_str(text).into_iter();
        let value = values.next()?.ok()?;
        Some((value, &text[values.byte_offset()..]))
    }
    let (mut rest, mut found) = (object.trim_start().strip_prefix('{')?, None);
    loop {
        let (key, behind) = value::<String>(rest)?;
        let of_key = behind.trim_start().strip_prefix(':')?;
        let (IgnoredAny, behind) = value(of_key)?;
        if key == name {
            // Of several the last counts.
            found = of_key.strip_suffix(behind).map(str::trim);
        }
        match behind.trim_start().strip_prefix(',') {
            Some(more) => rest = more,
            None => return found,
        }
    }
}

/// Whether there is more than blank lines, and the others are such values; the last may be cut off.
fn are_all(is: fn(&Value) -> bool, rest: &str, is_whole: bool) -> bool {
    let (rest, cut) = match is_whole {
        true => (rest, ""),
        false => rest.rsplit_once('\n').unwrap_or((rest, "")),
    };
    let is_begun = |cut| serde_json::from_str::<IgnoredAny>(cut).is_err_and(|e| e.is_eof());
    let mut lines = rest
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    (lines.peek().is_some() || !cut.trim().is_empty() && is_begun(cut))
        && lines.all(|line| serde_json::from_str(line).is_ok_and(|value| is(&value)))
}

/// In alphabetical order, whether serde_json keeps that of the file or not.
fn keys(object: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<String> = object.keys().cloned().collect();
    keys.sort();
    keys
}

/// Names in a sentence.
pub(crate) fn list(names: &[String]) -> String {
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 if names.is_empty() => "none".to_owned(),
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
