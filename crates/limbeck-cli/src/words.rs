//! Errors of a deserialiser, and lists, in a person's words.

use std::fmt::Display;

/// Characters of a line that are shown, and how many of them at most stand before the place that is pointed at.
const SHOWN: usize = 90;
const BEFORE: usize = 60;

/// Why text is not the TOML that it should be: the file, the place, what is wrong there and what was expected, and the line with
/// the place pointed at.
pub fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> String {
    let sentence = of_place(text, error);
    let place = error.span().filter(|_| !is_absence(error));
    let Some(place) = place.map(|span| Place::of(text, span.start)) else {
        return format!("{file}: {sentence}");
    };
    let (line, column) = (place.line, place.column);
    let excerpt = place.excerpt();
    format!("{file}, line {line}, column {column}: {sentence}\n{excerpt}")
}

/// What is missing stands in no line.
fn is_absence(error: &toml::de::Error) -> bool {
    error.message().starts_with("missing field")
}

/// A place in a text, which people count from 1.
struct Place<'a> {
    line: usize,
    column: usize,
    text: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, at: usize) -> Self {
        let at = text.floor_char_boundary(at.min(text.len()));
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        // A byte order mark is seen by nobody.
        let mark = text[start..].strip_prefix('\u{feff}').map_or(0, |_| 1);
        let column = text[start..at].chars().count().max(mark) - mark + 1;
        let line = text[start..].split('\n').next().unwrap_or_default();
        let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r');
        Self {
            line: before.matches('\n').count() + 1,
            // A carriage return is no column.
            column: column.min(line.chars().count() + 1),
            text: line.trim_end(),
        }
    }

    /// The line, or what stands around the place in a long one, and a caret below the place.
    fn excerpt(&self) -> String {
        let from = match self.text.chars().count() > SHOWN {
            true => (self.column - 1).saturating_sub(BEFORE),
            false => 0,
        };
        let shown = self.text.chars().skip(from).take(SHOWN).map(visible);
        let shown: String = shown.collect();
        let number = self.line.to_string();
        let (gutter, caret) = (" ".repeat(number.len()), " ".repeat(self.column - 1 - from));
        format!("  {number} | {shown}\n  {gutter} | {caret}^")
    }
}

/// A character that takes one column: of a control character its picture.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\0'..'\u{20}' => char::from_u32(0x2400 + c as u32).unwrap_or(' '),
        '\u{7f}' => '\u{2421}',
        c => c,
    }
}

/// What is wrong at the place of an error of the parser.
pub fn of_place(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let span = error.span().unwrap_or_default();
    let found = text.get(span.clone()).unwrap_or_default();
    let rest = text.get(span.start..).unwrap_or_default();
    let is_control = |c: &char| c.is_control() && !"\t\r\n".contains(*c);
    let control = found.chars().chain(rest.chars().next()).find(is_control);
    if let Some(control) = control {
        return format!(
            "the control character U+{:04X} stands here, which no text file needs: remove it",
            control as u32
        );
    }
    if message == "duplicate key" {
        let other = line_of_first(text, span.start, found);
        let other = other.map_or_else(String::new, |line| format!(", after line {line}"));
        return format!("`{found}` stands here for the second time{other}: remove one of the two");
    }
    if message.starts_with("missing escaped value") {
        let escape = rest.chars().next().unwrap_or(' ');
        return format!(
            "in double quotes a backslash begins an escape, and \\{escape} is none: write \\\\ for a backslash, or put the text in \
             single quotes"
        );
    }
    if message.starts_with("string values must be quoted") {
        return match found.trim() {
            "" => "a value is missing behind the =".to_owned(),
            found => format!(
                "`{found}` is no value: text needs quotes (\"...\"), a number only digits (1000, 0.5, 6e-4)"
            ),
        };
    }
    if message.starts_with("invalid unquoted key") {
        return format!(
            "`{found}` cannot stand in a key: letters from a to z, digits, - and _ can"
        );
    }
    // A text without its quote would go on to the end of the line.
    if message.starts_with("invalid literal string") && rest.starts_with('}') {
        return NO_VALUE.to_owned();
    }
    if message.ends_with("any valid TOML value") || message.ends_with(" value was too large") {
        return "this number is too large".to_owned();
    }
    // What is TOML, but not of the right kind.
    if ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|start| message.starts_with(start))
    {
        return plain(message);
    }
    let known = SYNTAX.iter().find(|(start, _)| message.starts_with(start));
    known.map_or_else(|| plain(message), |(_, words)| (*words).to_owned())
}

/// The line of the first of two keys, of which the second stands at `at`, where one line certainly is.
fn line_of_first(text: &str, at: usize, key: &str) -> Option<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let names_table = match text[start..at].trim() {
        "" => false,
        "[" | "[[" => true,
        // It is the end of a dotted key, or in a table in braces.
        _ => return None,
    };
    let (mut found, mut begin, mut is_in_table) = (None, 0, false);
    for (line, number) in text[..start].split_inclusive('\n').zip(1..) {
        let before = &text[..begin];
        begin += line.len();
        let line = line.trim_start();
        let is_header = line.starts_with('[');
        let rest = line.trim_start_matches('[').trim_start();
        let rest = rest.strip_prefix(key).map(str::trim_start);
        let has_key = rest.is_some_and(|rest| rest.starts_with(['=', ']', '.']));
        // Within a text or a list of several lines no key begins.
        if !(is_header || has_key) || before.parse::<toml::Table>().is_err() {
            continue;
        }
        is_in_table |= is_header;
        if is_header && !names_table {
            found = None;
        } else if has_key && (is_header == names_table || !is_in_table) {
            found = Some(number);
        }
    }
    found
}

const NO_NUMBER: &str = "no number is written like that: 1000, 0.5 and 6e-4 are numbers";
const NO_VALUE: &str = "a key needs a = and its value behind it, as in steps = 1000";
const NO_DATE: &str = "no date or time is written like that; a text needs quotes";
const NO_COMMA_IN_LIST: &str = "a comma, or the ] that closes the list, is missing before this";
const NO_COMMA_IN_TABLE: &str = "a comma, or the } that closes the table, is missing before this";
const NO_QUOTE: &str = "a text in quotes has no closing quote in its line";
const NO_QUOTES: &str = "a text in three quotes has no closing three quotes";

/// What the parser's messages begin with, and what they mean.
const SYNTAX: [(&str, &str); 47] = [
    ("invalid basic string", NO_QUOTE),
    ("invalid literal string", NO_QUOTE),
    ("invalid multi-line basic string", NO_QUOTES),
    ("invalid multi-line literal string", NO_QUOTES),
    (
        "too few unicode value digits",
        "\\x needs two hexadecimal digits of a character, \\u four, \\U eight",
    ),
    (
        "invalid value, expected unicode",
        "\\x, \\u or \\U is followed by the number of no character",
    ),
    ("key with no value", NO_VALUE),
    ("missing value", NO_VALUE),
    (
        "cannot extend value",
        "this has a value already, so nothing can be put into it",
    ),
    ("unclosed table", "the name of a table has no closing ]"),
    (
        "unclosed array table",
        "the name of a table has no closing ]]",
    ),
    ("missing comma between array", NO_COMMA_IN_LIST),
    ("unclosed array", NO_COMMA_IN_LIST),
    ("missing comma between key", NO_COMMA_IN_TABLE),
    ("extra assignment between", NO_COMMA_IN_TABLE),
    ("invalid inline table", NO_COMMA_IN_TABLE),
    ("unclosed inline table", NO_COMMA_IN_TABLE),
    ("extra comma", "there is a comma too many"),
    ("extra `=`", "there is a = too many"),
    ("unexpected leading zero", "a number must not begin with 0"),
    (
        "`_` may only",
        "in a number, _ may stand only between digits",
    ),
    (
        "invalid boolean",
        "true and false are written in small letters, without anything behind them",
    ),
    ("invalid date", NO_DATE),
    ("invalid time", NO_DATE),
    ("invalid offset", NO_DATE),
    (
        "invalid key-value pair",
        "a line needs a key, as in steps = 1000",
    ),
    ("unquoted keys cannot be empty", "a name is missing here"),
    (
        "keys cannot be multi-line",
        "a key cannot be in three quotes",
    ),
    (
        "unexpected key or value",
        "more stands behind the value: every key needs a line of its own, and a number has no commas",
    ),
    (
        "carriage return must be",
        "a line ends in a carriage return alone: save the file with the line ends of Unix or Windows (LF or CRLF)",
    ),
    ("cannot recurse", "tables and lists are nested too deeply"),
    (
        "radix must be lowercase",
        "0x, 0o and 0b, which begin a number, are written in small letters",
    ),
    (
        "integers with a radix",
        "a number that begins with 0x, 0o or 0b has no sign",
    ),
    ("redundant numeric sign", "a number has one sign at most"),
    (
        "integer number overflowed",
        "this number has no digits, or too many",
    ),
    (
        "floating-point number overflowed",
        "this number is too large",
    ),
    (
        "unexpected `=` in array",
        "a list has values alone, without keys",
    ),
    ("missing array opening", "this ] closes no list"),
    ("missing inline table opening", "this } closes no table"),
    ("invalid binary number", NO_NUMBER),
    ("invalid octal number", NO_NUMBER),
    ("invalid hexadecimal number", NO_NUMBER),
    ("invalid integer number", NO_NUMBER),
    ("invalid float", NO_NUMBER),
    ("invalid mantissa", NO_NUMBER),
    ("invalid fraction", NO_NUMBER),
    ("invalid exponent", NO_NUMBER),
];

/// What is wrong with a field of TOML: its key, what was expected and what was found.
pub fn of_field(error: &toml::de::Error) -> String {
    let text = error.to_string();
    match text.trim_end().rsplit_once("\nin ") {
        Some((message, key)) => format!("{key}: {}", plain(message)),
        None => plain(text.trim_end()),
    }
}

/// A message of serde, without the names of Rust's types.
pub fn plain(message: &str) -> String {
    let wrong = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| message.strip_prefix(start));
    match wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        Some((found, expected)) => match (kind(expected), value(found)) {
            (kind, found) if kind.starts_with("a whole number") && is_too_large(found) => {
                format!(
                    "expected a whole number up to {}, found {}",
                    i64::MAX,
                    found.trim_matches('"')
                )
            }
            (kind, found) => format!("expected {kind}, found {found}"),
        },
        None => message.to_owned(),
    }
}

/// Whether it is a whole number beyond TOML's: a flag's was then taken for a text.
fn is_too_large(found: &str) -> bool {
    let digits = found.trim_matches('"');
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    is_number && digits.parse::<i64>().is_err()
}

/// What was expected.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    }
}

/// What was found: a value, without its kind, or the kind of what has many.
fn value(found: &str) -> &str {
    match found {
        "sequence" => "a list",
        "map" => "a table",
        found => {
            let kinds = ["string ", "integer ", "floating point ", "boolean "];
            let value = kinds.iter().find_map(|kind| found.strip_prefix(kind));
            value.map_or(found, |value| value.trim_matches('`'))
        }
    }
}

/// So many names at most, in a sentence, and how many more there are.
pub fn listed(names: &[impl Display], most: usize) -> String {
    let first = names.iter().take(most).map(|name| format!("`{name}`"));
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len() > most {
        true => format!("{first} and {} more", names.len() - most),
        false => first,
    }
}

#[cfg(test)]
mod tests {
    use super::{of_toml, plain};

    #[test]
    fn types_of_rust_are_said_in_words() {
        for (message, words) in [
            (
                "invalid type: string \"many\", expected u64",
                "expected a whole number, 0 or more, found \"many\"",
            ),
            (
                "invalid type: string \"18446744073709551615\", expected u64",
                "expected a whole number up to 9223372036854775807, found 18446744073709551615",
            ),
            (
                "invalid type: string \"100\", expected u64",
                "expected a whole number, 0 or more, found \"100\"",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                "expected a whole number, 0 or more, found -1",
            ),
            (
                "invalid type: floating point `1.5`, expected i32",
                "expected a whole number, found 1.5",
            ),
            (
                "invalid type: sequence, expected struct Student",
                "expected a table, found a list",
            ),
            (
                "invalid type: boolean `true`, expected a string",
                "expected text in quotes, found true",
            ),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "expected a number, found \"a, expected b\"",
            ),
            ("missing field `teacher`", "missing field `teacher`"),
        ] {
            assert_eq!(plain(message), words);
        }
    }
    /// A broken text, the line and the column of the place, how the sentence begins, and the line that is shown.
    type Broken = (&'static str, (usize, usize), &'static str, &'static str);
    const BROKEN: &[Broken] = &[
        (
            "a = 1\nb = \"x\n",
            (2, 7),
            "a text in quotes has no closing",
            "b = \"x",
        ),
        (
            "a = 'x\n",
            (1, 7),
            "a text in quotes has no closing",
            "a = 'x",
        ),
        ("a = \"\"\"x\n", (2, 1), "a text in three quotes", ""),
        (
            "steps 3\n",
            (1, 7),
            "a key needs a = and its value",
            "steps 3",
        ),
        ("steps\n", (1, 6), "a key needs a = and its value", "steps"),
        (
            "steps: 3\n",
            (1, 8),
            "a key needs a = and its value",
            "steps: 3",
        ),
        (
            "steps =\n",
            (1, 8),
            "a value is missing behind the =",
            "steps =",
        ),
        (
            "a = 1\n\na = 2\n",
            (3, 1),
            "`a` stands here for the second time, after line 1",
            "a = 2",
        ),
        (
            "[student]\na = 1\n[student]\n",
            (3, 2),
            "`student` stands here for the second time, after line 1",
            "[student]",
        ),
        (
            "x = { a = 1, a = 2 }\n",
            (1, 14),
            "`a` stands here for the second time:",
            "x = { a = 1, a = 2 }",
        ),
        (
            "[t]\na = 1\n[u]\nx = { a = 1, a = 2 }\n",
            (4, 14),
            "`a` stands here for the second time:",
            "x = { a = 1, a = 2 }",
        ),
        (
            "[t]\na = 1\n[u]\nx.a = 1\nx.a = 2\n",
            (5, 3),
            "`a` stands here for the second time:",
            "x.a = 2",
        ),
        (
            "[t]\na = 1\n[u]\na = 1\n[v]\n[[u]]\n",
            (6, 3),
            "`u` stands here for the second time, after line 3",
            "[[u]]",
        ),
        (
            "a.b = 1\n[a]\n",
            (2, 2),
            "`a` stands here for the second time, after line 1",
            "[a]",
        ),
        (
            "b = 1\na = \"\"\"\nb = 2\n[b]\n\"\"\"\nb = 3\n",
            (6, 1),
            "`b` stands here for the second time, after line 1",
            "b = 3",
        ),
        (
            "a = 1\na.b = 2\n",
            (2, 1),
            "this has a value already",
            "a.b = 2",
        ),
        (
            "steps = 12abc\n",
            (1, 9),
            "`12abc` is no value: text needs quotes",
            "steps = 12abc",
        ),
        (
            "steps = 1.2.3\n",
            (1, 12),
            "no number is written like that",
            "steps = 1.2.3",
        ),
        (
            "steps = 1,000\n",
            (1, 10),
            "more stands behind the value",
            "steps = 1,000",
        ),
        (
            "steps = 012\n",
            (1, 9),
            "a number must not begin with 0",
            "steps = 012",
        ),
        (
            "steps = 1__0\n",
            (1, 10),
            "in a number, _ may stand",
            "steps = 1__0",
        ),
        (
            "steps = 0X10\n",
            (1, 9),
            "0x, 0o and 0b, which begin a number, are",
            "steps = 0X10",
        ),
        (
            "steps = +0x10\n",
            (1, 9),
            "a number that begins with 0x, 0o or 0b has no sign",
            "steps = +0x10",
        ),
        (
            "steps = --1\n",
            (1, 10),
            "a number has one sign at most",
            "steps = --1",
        ),
        (
            "steps = 0x\n",
            (1, 9),
            "this number has no digits, or too many",
            "steps = 0x",
        ),
        (
            "steps = 0xg\n",
            (1, 11),
            "no number is written like that",
            "steps = 0xg",
        ),
        (
            "a = [b = 1]\n",
            (1, 8),
            "a list has values alone",
            "a = [b = 1]",
        ),
        ("a = {b}\n", (1, 7), "a key needs a =", "a = {b}"),
        (
            "a = 1e400\n",
            (1, 5),
            "this number is too large",
            "a = 1e400",
        ),
        ("a = ]\n", (1, 5), "this ] closes no list", "a = ]"),
        ("a = }\n", (1, 5), "this } closes no table", "a = }"),
        (
            "rate = .5\n",
            (1, 8),
            "no number is written like that",
            "rate = .5",
        ),
        (
            "steps = 99999999999999999999\n",
            (1, 9),
            "this number is too large",
            "steps = 99999999999999999999",
        ),
        (
            "x = True\n",
            (1, 5),
            "true and false are written in small",
            "x = True",
        ),
        (
            "x = \"C:\\models\"\n",
            (1, 9),
            "in double quotes a backslash begins an escape, and \\m is none",
            "x = \"C:\\models\"",
        ),
        (
            "x = \"\\u12\"\n",
            (1, 10),
            "\\x needs two hexadecimal digits of a character, \\u four",
            "x = \"\\u12\"",
        ),
        (
            "[student\na = 1\n",
            (1, 9),
            "the name of a table has no closing ]",
            "[student",
        ),
        (
            "a = [\"x\", \"y\"\nb = 3\n",
            (2, 1),
            "a comma, or the ] that closes the list",
            "b = 3",
        ),
        (
            "a = [\"x\" \"y\"]\n",
            (1, 10),
            "a comma, or the ] that closes the list",
            "a = [\"x\" \"y\"]",
        ),
        (
            "a = { b = 1\nc = 2\n",
            (2, 1),
            "a comma, or the } that closes the table",
            "c = 2",
        ),
        (
            "a = [1,,2]\n",
            (1, 8),
            "there is a comma too many",
            "a = [1,,2]",
        ),
        ("a == 1\n", (1, 4), "there is a = too many", "a == 1"),
        (
            "\u{feff}steps 3\r\n",
            (1, 7),
            "a key needs a = and its value",
            "steps 3",
        ),
        (
            "a = 1\r\nsteps 3\r\n",
            (2, 7),
            "a key needs a = and its value",
            "steps 3",
        ),
        (
            "a = 1\rb = 2\n",
            (1, 7),
            "a line ends in a carriage return alone",
            "a = 1\u{240d}b = 2",
        ),
        (
            "a = 1\0\n",
            (1, 5),
            "the control character U+0000 stands here",
            "a = 1\u{2400}",
        ),
        (
            "\0a = 1\n",
            (1, 1),
            "the control character U+0000 stands here",
            "\u{2400}a = 1",
        ),
        (
            "a = \"x\0y\"\n",
            (1, 7),
            "the control character U+0000 stands here",
            "a = \"x\u{2400}y\"",
        ),
        (
            "# c\0d\n",
            (1, 4),
            "the control character U+0000 stands here",
            "# c\u{2400}d",
        ),
        (
            "größe = 1\n",
            (1, 3),
            "`öß` cannot stand in a key",
            "größe = 1",
        ),
        (
            "x = 2024-13-01\n",
            (1, 5),
            "no date or time is written like that",
            "x = 2024-13-01",
        ),
        ("= 3\n", (1, 1), "a name is missing here", "= 3"),
        (
            "{\"steps\": 3}\n",
            (1, 1),
            "a line needs a key",
            "{\"steps\": 3}",
        ),
    ];

    #[test]
    fn broken_toml_is_said_with_its_place() {
        for (text, place, sentence, shown) in BROKEN {
            let error = text.parse::<toml::Table>().expect_err(text);
            let message = of_toml("r.toml", text, &error);
            let (line, column) = *place;
            let start = format!("r.toml, line {line}, column {column}: {sentence}");
            assert!(message.starts_with(&start), "{text:?}: {message}");
            let caret = " ".repeat(column - 1) + "^";
            let end = format!("\n  {line} | {shown}\n    | {caret}");
            assert!(message.ends_with(&end), "{text:?}: {message}");
            assert!(!message.contains("expected"), "{text:?}: {message}");
        }
    }

    #[test]
    fn the_other_of_two_keys_is_in_the_same_table() {
        let text = "[a]\nx = 1\n[b]\nx = 2\nx = 3\n";
        let error = text.parse::<toml::Table>().expect_err("twice");
        let message = of_toml("r.toml", text, &error);
        assert!(
            message.starts_with(
                "r.toml, line 5, column 1: `x` stands here for the second time, after line 4:"
            ),
            "{message}"
        );
    }

    #[test]
    fn a_value_of_another_kind_is_pointed_at() {
        type Numbers = std::collections::BTreeMap<String, u64>;
        for (text, sentence) in [
            (
                "a = 1\nb = \"x\"\n",
                "expected a whole number, 0 or more, found \"x\"",
            ),
            (
                "a = 1\nb = -3\n",
                "expected a whole number, 0 or more, found -3",
            ),
        ] {
            let error = toml::from_str::<Numbers>(text).expect_err("no number");
            let message = of_toml("t.toml", text, &error);
            let start = format!("t.toml, line 2, column 5: {sentence}\n");
            assert!(message.starts_with(&start), "{message}");
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let long = format!("corpus = [{}\"z\" \"z\"]\n", "\"a\", ".repeat(2000));
        let error = long.parse::<toml::Table>().expect_err("no comma");
        let message = of_toml("r.toml", &long, &error);
        let lines: Vec<&str> = message.lines().collect();
        assert!(message.len() < 400 && lines.len() == 3, "{message}");
        let at = lines[2].find('^').expect("a caret");
        assert!(
            lines[1][..at].ends_with("\"z\" ") && lines[1][at..].starts_with("\"z\"]"),
            "{message}"
        );
    }
}
