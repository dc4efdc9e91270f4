//! Tokens as a person reads them. Byte-level BPE writes each byte of a text as a letter (`Ġ` for a space, `Ã©` for `é`), and may cut
//! through a character.

use std::fmt::Write;
use std::ops::Range;

/// Stands for a space, as in the vocabularies of SentencePiece.
const SPACE: char = '\u{2581}';

/// The byte that a letter of a byte-level vocabulary stands for: itself where it is printed, and else one of those behind U+00FF,
/// in order of the bytes.
fn byte(letter: char) -> Option<u8> {
    let is_printed = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u8::try_from(u32::from(letter)) {
        Ok(byte) => Some(byte).filter(|byte| is_printed(*byte)),
        Err(_) => {
            let place = u32::from(letter) - 0x100;
            (0..=u8::MAX)
                .filter(|byte| !is_printed(*byte))
                .nth(place as usize)
        }
    }
}

/// The bytes of a token of byte-level BPE; none if it is not written in its letters.
pub fn bytes(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte).collect()
}

/// The labels of tokens that follow each other, of their bytes. A character whose bytes are in several tokens is in each label, with
/// the number of the part: `‹猫 1/3›`. Bytes that are no character are shown as numbers: `‹E7›`.
pub fn of_bytes(tokens: &[Vec<u8>]) -> Vec<String> {
    let mut labels = vec![String::new(); tokens.len()];
    let mut start = 0;
    let places = tokens.iter().map(|token| {
        let place = start..start + token.len();
        start = place.end;
        place
    });
    let places: Vec<Range<usize>> = places.collect();
    let all = tokens.concat();
    let mut at = 0;
    for chunk in all.utf8_chunks() {
        for c in chunk.valid().chars() {
            let character = at..at + c.len_utf8();
            at = character.end;
            let overlaps =
                |place: &Range<usize>| place.start < character.end && character.start < place.end;
            let parts: Vec<usize> = (0..places.len())
                .filter(|i| overlaps(&places[*i]))
                .collect();
            for (number, index) in (1..).zip(&parts) {
                let label = &mut labels[*index];
                // Writing to a string cannot fail.
                let _ = match (c, parts.len()) {
                    (' ', _) => write!(label, "{SPACE}"),
                    (_, 1) => write!(label, "{c}"),
                    (_, count) => write!(label, "\u{2039}{c} {number}/{count}\u{203a}"),
                };
            }
        }
        for byte in chunk.invalid() {
            if let Some(index) = places.iter().position(|place| place.contains(&at)) {
                let _ = write!(labels[index], "\u{2039}{byte:02X}\u{203a}");
            }
            at += 1;
        }
    }
    labels
}
