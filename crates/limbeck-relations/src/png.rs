//! PNG, written by hand: maps are small and have few colours, so that a palette does what a compressor would, and a page in
//! a browser need not load one.

use std::collections::BTreeMap;

use crate::{Pixels, Rgb};

/// A PNG file of the cells; `zlib` makes a zlib stream of bytes, such as [`stored`].
pub fn png(pixels: &Pixels, zlib: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = |n: usize| (n as u32).to_be_bytes();
    let palette = palette(pixels);
    let colour_type = if palette.is_some() { 3 } else { 2 };
    let mut header = [size(pixels.columns), size(pixels.rows())].concat();
    header.extend([8, colour_type, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    let mut raw = Vec::new();
    for row in pixels.cells.chunks(pixels.columns.max(1)) {
        // Each row starts with its filter: none.
        raw.push(0);
        match &palette {
            Some(palette) => raw.extend(
                row.iter()
                    .map(|cell| palette.get(cell).copied().unwrap_or(0)),
            ),
            None => raw.extend(row.as_flattened()),
        }
    }
    if let Some(palette) = palette {
        let mut colours = vec![[0; 3]; palette.len()];
        for (colour, place) in palette {
            colours[usize::from(place)] = colour;
        }
        chunk(&mut file, b"PLTE", colours.as_flattened());
    }
    chunk(&mut file, b"IDAT", &zlib(&raw));
    chunk(&mut file, b"IEND", &[]);
    file
}

/// Each colour's place in a palette, if they are few enough for one.
fn palette(pixels: &Pixels) -> Option<BTreeMap<Rgb, u8>> {
    let mut palette = BTreeMap::new();
    for cell in &pixels.cells {
        if !palette.contains_key(cell) {
            palette.insert(*cell, u8::try_from(palette.len()).ok()?);
        }
    }
    Some(palette)
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(data);
    let check = crc32(&file[start..]);
    file.extend(check.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 * (crc & 1))
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// A zlib stream of bytes that are stored as they are.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let mut stream = vec![0x78, 0x01];
    let blocks = bytes.len().div_ceil(BLOCK).max(1);
    for at in 0..blocks {
        let block = &bytes[at * BLOCK..bytes.len().min((at + 1) * BLOCK)];
        let length = block.len() as u16;
        stream.push(u8::from(at + 1 == blocks));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

/// Bytes in base64.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| {
            bits << 8 | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[index as usize]),
                false => '=',
            });
        }
    }
    text
}

/// The bytes of a text in base64 or base64url, with or without its padding; none if it is neither.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        let texts = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (bytes, text) in texts {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn both_kinds_of_base64_are_read() {
        let bytes = Some(vec![0xfb, 0xef, 0xff, 0xfe]);
        for text in ["++///g==", "--___g"] {
            assert_eq!(from_base64(text), bytes, "{text}");
        }
        for text in ["Zm9v YmFy", "Zg==Zg==", "Zm9v)"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn check_sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(stored(b"Wikipedia")[16..], [0x11, 0xe6, 0x03, 0x98]);
    }

    #[test]
    fn few_colours_make_a_palette_and_many_do_not() {
        let few = Pixels {
            columns: 2,
            cells: vec![[1, 2, 3], [4, 5, 6], [4, 5, 6], [1, 2, 3]],
        };
        let file = png(&few, stored);
        assert_eq!(file[16..26], [0, 0, 0, 2, 0, 0, 0, 2, 8, 3]);
        let many = (0..=256_u16)
            .map(|n| [n as u8, (n >> 8) as u8, 0])
            .collect();
        assert_eq!(
            png(
                &Pixels {
                    columns: 257,
                    cells: many
                },
                stored
            )[25],
            2
        );
    }

    #[test]
    fn long_streams_have_many_blocks() {
        let stream = stored(&[7; 70_000]);
        assert_eq!(stream.len(), 70_000 + 2 + 2 * 5 + 4);
    }
}
