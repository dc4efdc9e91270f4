//! A deserialiser's errors in a person's words.

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
        Some((found, expected)) => format!("expected {}, found {}", kind(expected), value(found)),
        None => message.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn types_of_rust_are_said_in_words() {
        for (message, words) in [
            (
                "invalid type: string \"many\", expected u64",
                "expected a whole number, 0 or more, found \"many\"",
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
}
