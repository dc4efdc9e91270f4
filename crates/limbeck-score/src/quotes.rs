//! Quotes of a CSV that are left open: its parser takes what follows for a part of the field, and rows are gone without a word.

/// Refuses comma-separated text in which a field begins with a quote that is left open: no other quote follows, or the next one is that of
/// another field, lines below. Text behind a closing quote of the same line is let pass, as by other readers of CSV.
///
/// # Errors
/// The line of the quote, from 1, and what to do.
pub fn require_closed_quotes(text: &[u8]) -> Result<(), String> {
    let mut bytes = text.iter().peekable();
    let (mut line, mut begins_field) = (1_u64, true);
    while let Some(byte) = bytes.next() {
        if begins_field && *byte == b'"' {
            let opened = line;
            let is_closed = loop {
                match bytes.next() {
                    None => break false,
                    // Two quotes are one of the text.
                    Some(b'"') if bytes.next_if_eq(&&b'"').is_none() => break true,
                    Some(b'\n') => line += 1,
                    Some(_) => {}
                }
            };
            let ends_field = matches!(bytes.peek(), None | Some(b',' | b'\r' | b'\n'));
            if !is_closed || (line > opened && !ends_field) {
                return Err(format!(
                    "line {opened}: a field begins with a quote that is left open, so the lines below would belong to it. Close it; if the \
                     quote is part of the text, put the text into quotes and double those in it"
                ));
            }
        }
        begins_field = matches!(byte, b',' | b'\r' | b'\n');
        line += u64::from(*byte == b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::require_closed_quotes;

    #[test]
    fn quotes_that_are_closed_pass() {
        for text in [
            "",
            "a,b\nc,d\n",
            "\"a, b\",c\n\"d \"\"e\"\"\",f",
            "a,\"two\nlines\"\r\nb,\"two\r\nlines\",c\n",
            "a,5\" disk\nb,say \"no\n",
            "a,\"Hello\" he said\nb,\"c\" d\n",
            "a,\"\"\nb,\"\"\"\"\n",
        ] {
            assert_eq!(require_closed_quotes(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_quote_that_is_left_open_is_named_by_its_line() {
        for (text, line) in [
            ("x,\"", 1),
            ("label,text\nx,\"a\ny,b\ny,c\n", 2),
            ("label,text\nx,a\ny,\"b \"\"c\"\"\n", 3),
            // The quote of the next field that has any closes it, and its text follows.
            ("x,\"a\n\ny,b\ny,\"c d\"\n", 1),
            ("\"a\r\nb\",c\r\n\"d,e\r\n\"f\",g\r\n", 3),
        ] {
            let message = require_closed_quotes(text.as_bytes()).expect_err(text);
            let start = format!("line {line}: a field begins with a quote that is left open, ");
            assert!(message.starts_with(&start), "{text}: {message}");
        }
    }
}
