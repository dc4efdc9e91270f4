//! The JSON files of a model's folder. Each is read through an [`Object`], which knows the file and the key, so that every
//! error names both. A key that is missing has its default; one that is null has not, unless null means something there.

use serde_json::{Map, Value};

use crate::error::ConfigError;

/// Bytes of a line that an error shows before and behind the place where JSON ends.
const BEFORE: usize = 40;
const BEHIND: usize = 16;
/// Characters of a value that an error shows.
const LONGEST: usize = 60;

/// What the bytes of a file say; `file` names it in errors. A byte order mark is passed over.
///
/// # Errors
/// They are not JSON: why, in which line and column, and what stands there.
pub fn parse_json(file: &str, bytes: &[u8]) -> Result<Value, ConfigError> {
    let wrong = |reason: String| ConfigError::Wrong {
        file: file.to_owned(),
        reason: format!("not JSON: {reason}"),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong("it is UTF-16. Save it as UTF-8".to_owned()));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.trim_ascii().is_empty() {
        return Err(wrong("the file is empty".to_owned()));
    }
    serde_json::from_slice(text).map_err(|error| {
        let place = around(text, &error);
        let place = place.map_or_else(String::new, |place| format!(", in `{place}`"));
        let (line, column) = (error.line(), column(text, &error));
        let words = json_in_words(&error);
        wrong(format!("{words} (line {line}, column {column}){place}"))
    })
}

/// The object in a line of JSON lines.
///
/// # Errors
/// It is none: in which column it goes wrong and why, or which value it is.
pub fn json_line(line: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(value) => Err(format!(
            "it is {}, and must be {}",
            kind(&value),
            <Map<String, Value>>::MUST_BE
        )),
        Err(error) => {
            let column = column(line.as_bytes(), &error);
            Err(format!("column {column}: {}", json_in_words(&error)))
        }
    }
}

/// What a value is, in a person's words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text in quotation marks",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The character of its line at which reading failed, from 1.
fn column(text: &[u8], error: &serde_json::Error) -> usize {
    let line = line_of(text, error).unwrap_or_default();
    // serde_json counts bytes, up to the one that is wrong.
    let before = &line[..error.column().saturating_sub(1).min(line.len())];
    String::from_utf8_lossy(before).chars().count() + 1
}

/// The line in which reading failed.
fn line_of<'a>(text: &'a [u8], error: &serde_json::Error) -> Option<&'a [u8]> {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.nth(error.line().checked_sub(1)?)
}

/// What serde_json says of text that is not JSON, in a person's words; the place is left out.
pub fn json_in_words(error: &serde_json::Error) -> String {
    if error.is_data() {
        return "it is JSON, but not what was expected".to_owned();
    }
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = said.strip_suffix(&place).unwrap_or(&said);
    let found = WORDS.iter().find(|(start, _)| said.starts_with(start));
    found.map_or(said, |(_, words)| words).to_owned()
}

/// What serde_json's messages begin with, and what they mean.
const WORDS: [(&str, &str); 20] = [
    ("EOF while parsing an object", "it ends before a closing }"),
    ("EOF while parsing a list", "it ends before a closing ]"),
    (
        "EOF while parsing a string",
        "it ends before a closing quotation mark",
    ),
    ("EOF while parsing a value", "it ends where a value must be"),
    (
        "expected `:`",
        "a colon is missing between a key and its value",
    ),
    ("expected `,` or `}`", "a comma or a closing } is missing"),
    ("expected `,` or `]`", "a comma or a closing ] is missing"),
    ("expected value", NO_VALUE),
    ("expected ident", NO_VALUE),
    ("trailing comma", "a comma stands behind the last value"),
    (
        "key must be a string",
        "a key must be in double quotation marks",
    ),
    ("invalid number", "no number is written like that"),
    ("number out of range", "a number is too large"),
    ("invalid escape", NO_ESCAPE),
    ("unexpected end of hex escape", HALF),
    ("lone leading surrogate", HALF),
    (
        "control character",
        "a line break or another control character stands in a text, where it must be written as an escape such as \\n",
    ),
    ("invalid unicode code point", "a text is not UTF-8"),
    (
        "trailing characters",
        "more stands behind the end of the JSON",
    ),
    (
        "recursion limit exceeded",
        "lists and objects are nested too deeply",
    ),
];
const NO_VALUE: &str = "no JSON value is written like that";
const NO_ESCAPE: &str = "a backslash begins no escape that JSON knows: a backslash itself is \\\\";
const HALF: &str = "the escape stands for half of a character: what is beyond \\uffff takes two, as \\ud83d\\ude00 does";

/// What stands where reading failed.
fn around(text: &[u8], error: &serde_json::Error) -> Option<String> {
    let line = line_of(text, error)?;
    let at = error.column().saturating_sub(1).min(line.len());
    let shown = &line[at.saturating_sub(BEFORE)..(at + BEHIND).min(line.len())];
    let shown = String::from_utf8_lossy(shown);
    // A cut may go through a character.
    let shown = shown.trim_matches(char::REPLACEMENT_CHARACTER).trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// A file that is one JSON object.
///
/// # Errors
/// See [`parse_json`]; or it is another value.
pub(crate) fn parse_object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    match parse_json(file, bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(ConfigError::Wrong {
            file: file.to_owned(),
            reason: "not a JSON object".to_owned(),
        }),
    }
}

/// The fields of an object in a file.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    /// The file, for errors.
    pub file: &'a str,
    /// All fields.
    pub map: &'a Map<String, Value>,
}

impl Object<'_> {
    pub fn wrong(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::Wrong {
            file: self.file.to_owned(),
            reason: reason.into(),
        }
    }

    /// A value that limbeck knows nothing to do with.
    pub fn unsupported(&self, field: &'static str, value: &str, supported: &str) -> ConfigError {
        ConfigError::Unsupported {
            file: self.file.to_owned(),
            field,
            value: value.to_owned(),
            supported: supported.to_owned(),
        }
    }

    /// A field that must be there.
    pub fn required<T: Kind>(&self, key: &str) -> Result<T, ConfigError> {
        match self.map.get(key) {
            Some(value) => T::of(value).ok_or_else(|| self.other_kind::<T>(key, value, "")),
            None => Err(self.wrong(format!("`{key}` is missing"))),
        }
    }

    /// A field that may be left out. Null is no way to leave it out.
    pub fn optional<T: Kind>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.map.get(key) else {
            return Ok(None);
        };
        let advice = match value {
            Value::Null => ". Leave the key out for its default",
            _ => "",
        };
        let read = T::of(value).ok_or_else(|| self.other_kind::<T>(key, value, advice));
        read.map(Some)
    }

    /// A field that may be left out, and means the same if it is null.
    pub fn nullable<T: Kind>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        match self.map.get(key) {
            Some(Value::Null) => Ok(None),
            _ => self.optional(key),
        }
    }

    fn other_kind<T: Kind>(&self, key: &str, value: &Value, advice: &str) -> ConfigError {
        let (shown, must_be) = (short(value), T::MUST_BE);
        self.wrong(format!("{key} is {shown}, and must be {must_be}{advice}"))
    }
}

/// A value as JSON, cut where it is long.
pub(crate) fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.replace_range(at.., "...");
    }
    text
}

/// A kind of value that a field can have.
pub(crate) trait Kind: Sized {
    /// In words, behind "must be".
    const MUST_BE: &str;

    /// The value, if it is of this kind.
    fn of(value: &Value) -> Option<Self>;
}

impl Kind for usize {
    const MUST_BE: &str = "an integer from 0, such as 12 (not 12.0)";

    fn of(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Kind for u32 {
    const MUST_BE: &str = "an integer from 0 to 4294967295";

    fn of(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Kind for i64 {
    const MUST_BE: &str = "an integer, such as 256 or -1";

    fn of(value: &Value) -> Option<Self> {
        value.as_i64()
    }
}

impl Kind for f64 {
    const MUST_BE: &str = "a number";

    fn of(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl Kind for bool {
    const MUST_BE: &str = "true or false";

    fn of(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Kind for String {
    const MUST_BE: &str = "a text in quotation marks";

    fn of(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Kind for Map<String, Value> {
    const MUST_BE: &str = "an object in braces";

    fn of(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}

/// Texts: one alone, or a list.
impl Kind for Vec<String> {
    const MUST_BE: &str = "a text in quotation marks, or a list of such texts";

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(list) => list.iter().map(String::of).collect(),
            _ => String::of(value).map(|text| vec![text]),
        }
    }
}
