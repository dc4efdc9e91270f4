//! Text that people and tokenizers wrote, made fit to be shown; and numbers for people.

/// A word as it begins a heading.
pub fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// A token as it can be shown: control characters, and those that turn the text beside them around, as escapes such as
/// `\u{7}`. Letters of every script, combining marks and joined emoji stay as they are.
pub fn visible(token: &str) -> String {
    let mut shown = String::with_capacity(token.len());
    for c in token.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let nothing = matches!(
            c,
            '\u{ad}'
                | '\u{200b}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{2060}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'
        );
        if c.is_control() || turns || nothing {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if shown.trim().is_empty() {
        // A label of blanks would look as if there were none.
        return format!("\u{201c}{shown}\u{201d}");
    }
    shown
}

/// Makes text safe in HTML and XML, as content and in attributes. Characters that XML forbids become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\t' | '\n' => safe.push(c),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// As a field of CSV.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Three significant digits for people; "–" for what is not a number.
pub fn number(x: impl Into<f64>) -> String {
    of_number(x.into())
}

fn of_number(x: f64) -> String {
    let size = x.abs();
    let text = match size {
        _ if !x.is_finite() => return "–".to_owned(),
        0.0 => return "0".to_owned(),
        _ if !(1e-3..1e4).contains(&size) => format!("{x:.1e}"),
        _ => format!(
            "{x:.*}",
            (2 - size.log10().floor() as i32).clamp(0, 5) as usize
        ),
    };
    text.replace('-', "−")
}

/// About how many columns of a fixed-width font a character takes: 2 for East Asian scripts and emoji, 0 for marks that
/// stand on the letter before them.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a | 0x64b..=0x65f => 0,
        0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xe0000..=0xe01ef => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff => 2,
        0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Whether a letter is of a script that is written from right to left.
pub fn is_right_to_left(c: char) -> bool {
    matches!(u32::from(c), 0x590..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff | 0x10800..=0x10fff | 0x1e800..=0x1efff)
}

/// Columns of a text.
pub fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// As much of a text as `most` columns hold, with an ellipsis for what was cut.
pub fn clip(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let (mut shown, mut room) = (String::new(), most.saturating_sub(1));
    for c in text.chars() {
        let Some(left) = room.checked_sub(width(c)) else {
            break;
        };
        room = left;
        shown.push(c);
    }
    shown + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_stay_and_controls_are_shown() {
        for text in [
            "[CLS]",
            "##ing",
            "▁the",
            "שלום",
            "日本語",
            "👩\u{200d}🔬",
            "e\u{301}",
        ] {
            assert_eq!(visible(text), text);
        }
        assert_eq!(visible("a\u{7}b\n"), "a\\u{7}b\\n");
        assert_eq!(visible("\u{202e}abc"), "\\u{202e}abc");
        assert_eq!(
            visible("a\u{61c}b\u{200b}\u{ad}"),
            "a\\u{61c}b\\u{200b}\\u{ad}"
        );
        assert_eq!(visible(" "), "“ ”");
        assert_eq!(visible(""), "“”");
    }

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
        assert_eq!(escape("\u{0}\u{ffff}"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(number(0.123_456), "0.123");
        assert_eq!(number(-12.345_f32), "−12.3");
        assert_eq!(number(1e-7), "1.0e−7");
        assert_eq!((number(0.0), number(f64::NAN)), ("0".into(), "–".into()));
    }

    #[test]
    fn text_is_cut_by_its_width() {
        assert_eq!(clip("teacher", 7), "teacher");
        assert_eq!(clip("teachers", 7), "teache…");
        assert_eq!(clip("日本語の文", 7), "日本語…");
        assert_eq!((columns("日本"), columns("e\u{301}")), (4, 1));
    }
}
