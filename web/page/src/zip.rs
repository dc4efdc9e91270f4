//! What a zip is made of: the entries of its directory, read and written, and their checksum. The crate `zip` with what it needs
//! was 30 kB of the page, compressed: half of that tables.

use std::ops::Range;

/// How an entry is packed: not at all.
pub const STORED: u16 = 0;
/// With deflate.
pub const DEFLATED: u16 = 8;
/// Bytes of an entry's header, without its name and extra field.
pub const HEADER: u64 = 30;
/// Bytes at the end of a file in which the place of its directory is found: records with a comment behind them.
pub const END: u64 = LARGE_END as u64 + 22 + 0xffff;

/// Bytes of a record of 64 bits and of what says where it is, before the record that every zip ends with.
const LARGE_END: usize = 56 + 20;
const LARGE_DIRECTORY: [u8; 4] = *b"PK\x06\x06";
const PLACE_OF_IT: [u8; 4] = *b"PK\x06\x07";
/// Bytes of a directory that is read: that of a million files.
const LARGEST_DIRECTORY: u64 = 100_000_000;
const DIRECTORY: [u8; 4] = *b"PK\x05\x06";
const IN_DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const IN_FILE: [u8; 4] = *b"PK\x03\x04";
/// A flag: what is packed is encrypted.
const ENCRYPTED: u64 = 1;
/// A flag: the name is UTF-8.
const UTF8: u16 = 1 << 11;
/// The number of an extra field with sizes of 64 bits.
const LARGE: u64 = 1;
/// 1 January 1980, the first day that there is.
const DAY: u16 = 0x21;
/// 2.0: whoever reads a zip reads this one.
const VERSION: u16 = 20;

/// A file in a zip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where it is to be unpacked to.
    pub path: String,
    /// Where its header begins.
    pub start: u64,
    /// Bytes in the zip.
    pub packed: u64,
    /// Bytes unpacked.
    pub bytes: u64,
    /// Of the unpacked bytes; see [`Crc`].
    pub crc: u32,
    /// [`STORED`], [`DEFLATED`] or another.
    pub method: u16,
    /// Whether it needs a password.
    pub encrypted: bool,
}

/// The number of `width` bytes at a place, little endian; 0 beyond the end.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..at + width).unwrap_or_default();
    let digits = bytes.iter().rev();
    digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Where in a file of `length` bytes, which ends with `tail`, the directory of a zip lies; and how many bytes lie before the zip.
pub fn directory(tail: &[u8], length: u64) -> Option<(Range<u64>, u64)> {
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(&DIRECTORY) && at + 22 + number(record, 20, 2) as usize <= tail.len()
    };
    let at = (0..=tail.len().checked_sub(22)?).rev().find(is_end)?;
    let is_large = |large: &usize| {
        let starts = |at: usize, with| tail[at..].starts_with(with);
        starts(*large, &LARGE_DIRECTORY) && starts(large + 56, &PLACE_OF_IT)
    };
    // Also where 32 bits would do: whoever packs what comes from a pipe does not know yet.
    let (at, bytes, start) = match at.checked_sub(LARGE_END).filter(is_large) {
        Some(large) => (
            large,
            number(tail, large + 40, 8),
            number(tail, large + 48, 8),
        ),
        None => (at, number(tail, at + 12, 4), number(tail, at + 16, 4)),
    };
    if bytes > LARGEST_DIRECTORY {
        return None;
    }
    let end = length - tail.len() as u64 + at as u64;
    let from = end.checked_sub(bytes)?;
    Some((from..end, from.checked_sub(start)?))
}

/// The files that a directory lists; `before` are the bytes that lie before the zip.
pub fn entries(mut directory: &[u8], before: u64) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while directory.starts_with(&IN_DIRECTORY) {
        let length = |at: usize| number(directory, at, 2) as usize;
        let (name, extra) = (46, 46 + length(28));
        let next = extra + length(30) + length(32);
        let path = String::from_utf8_lossy(directory.get(name..extra)?).into_owned();
        let mut sizes = [24, 20, 42].map(|at| number(directory, at, 4));
        enlarge(&mut sizes, directory.get(extra..extra + length(30))?)?;
        let entry = Entry {
            path,
            start: before.checked_add(sizes[2])?,
            packed: sizes[1],
            bytes: sizes[0],
            crc: number(directory, 16, 4) as u32,
            method: number(directory, 10, 2) as u16,
            encrypted: number(directory, 8, 2) & ENCRYPTED != 0,
        };
        if !entry.path.ends_with(['/', '\\']) {
            entries.push(entry);
        }
        directory = directory.get(next..)?;
    }
    directory.is_empty().then_some(entries)
}

/// Takes numbers that have no room in 32 bits from where they are: bytes, packed bytes, start. None if that is too short.
fn enlarge(sizes: &mut [u64; 3], mut extra: &[u8]) -> Option<()> {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(number(head, 2, 2) as usize) else {
            break;
        };
        if number(head, 0, 2) == LARGE {
            let large = sizes
                .iter_mut()
                .filter(|size| **size == u64::from(u32::MAX));
            for (size, place) in large.zip(0..) {
                *size = number(field.get(8 * place..8 * place + 8)?, 0, 8);
            }
        }
        extra = rest;
    }
    Some(())
}

/// How many bytes after the beginning of an entry's header its own bytes begin; none if that is no header.
pub fn skip(header: &[u8]) -> Option<u64> {
    let is_whole = header.len() as u64 == HEADER && header.starts_with(&IN_FILE);
    is_whole.then(|| HEADER + number(header, 26, 2) + number(header, 28, 2))
}

/// What a header in the file and one in the directory have in common.
fn common(entry: &Entry) -> Vec<u8> {
    let how = [VERSION, UTF8, entry.method, 0, DAY].map(u16::to_le_bytes);
    let sizes = [entry.crc, entry.packed as u32, entry.bytes as u32].map(u32::to_le_bytes);
    // No extra field.
    let lengths = [entry.path.len() as u16, 0].map(u16::to_le_bytes);
    [
        how.as_flattened(),
        sizes.as_flattened(),
        lengths.as_flattened(),
    ]
    .concat()
}

/// What comes before an entry in a zip that ends before 4 GB.
pub fn head(entry: &Entry) -> Vec<u8> {
    [&IN_FILE, &*common(entry), entry.path.as_bytes()].concat()
}

/// What comes behind the entries of a zip: its directory, which begins at `start`, and the end.
pub fn tail(entries: &[Entry], start: u64) -> Vec<u8> {
    let mut tail = Vec::new();
    for entry in entries {
        tail.extend(IN_DIRECTORY);
        tail.extend(VERSION.to_le_bytes());
        tail.extend(common(entry));
        // No comment, other disk or attributes.
        tail.extend([0; 10]);
        tail.extend((entry.start as u32).to_le_bytes());
        tail.extend(entry.path.as_bytes());
    }
    let (count, bytes) = (entries.len() as u16, tail.len() as u32);
    tail.extend(DIRECTORY);
    tail.extend([0, 0, count, count].map(u16::to_le_bytes).as_flattened());
    tail.extend([bytes, start as u32].map(u32::to_le_bytes).as_flattened());
    tail.extend([0; 2]);
    tail
}

/// The checksum of an entry, CRC-32. Its table is made when it is needed: written down, it is a kilobyte that does not shrink.
pub struct Crc {
    table: [u32; 256],
    sum: u32,
}

impl Crc {
    /// Of nothing yet.
    pub fn new() -> Self {
        let step = |value: u32| match value & 1 {
            1 => value >> 1 ^ 0xedb8_8320,
            _ => value >> 1,
        };
        let table = std::array::from_fn(|byte| (0..8).fold(byte as u32, |value, _| step(value)));
        Self {
            table,
            sum: u32::MAX,
        }
    }

    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.sum = bytes.iter().fold(self.sum, |sum, byte| {
            sum >> 8 ^ self.table[(sum as u8 ^ byte) as usize]
        });
    }

    /// Of all bytes so far.
    pub fn sum(&self) -> u32 {
        !self.sum
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipArchive, ZipWriter};

    use super::*;

    /// A zip as another program writes it: of three files, one in a folder that has an entry of its own.
    fn theirs(options: SimpleFileOptions, comment: &str) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_directory("model", options).expect("a folder");
        for (path, size) in [
            ("model/config.json", 9),
            ("model/\u{e4}.bin", 70_000),
            ("empty", 0),
        ] {
            writer.start_file(path, options).expect("a file");
            writer.write_all(&vec![7; size]).expect("bytes");
        }
        writer.set_comment(comment).expect("a comment");
        writer.finish().expect("a zip").into_inner()
    }

    fn stored() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
    }

    fn read(whole: &[u8]) -> Option<Vec<Entry>> {
        let tail = &whole[whole.len().saturating_sub(END as usize)..];
        let (range, before) = directory(tail, whole.len() as u64)?;
        entries(&whole[range.start as usize..range.end as usize], before)
    }

    #[test]
    fn a_zip_of_another_program_is_read() {
        for (before, options, comment) in [
            (0, stored(), ""),
            (0, stored(), "PK\u{5}\u{6} is how a zip ends"),
            (1000, stored(), ""),
            (0, stored().large_file(true), ""),
        ] {
            let whole = [vec![0; before], theirs(options, comment)].concat();
            let entries = read(&whole).expect("a directory");
            let paths: Vec<&str> = entries.iter().map(|entry| &*entry.path).collect();
            assert_eq!(paths, ["model/config.json", "model/\u{e4}.bin", "empty"]);
            for (entry, size) in entries.iter().zip([9, 70_000, 0]) {
                assert_eq!((entry.bytes, entry.packed), (size, size));
                assert_eq!((entry.method, entry.encrypted), (STORED, false));
                let mut crc = Crc::new();
                crc.add(&vec![7; size as usize]);
                assert_eq!(entry.crc, crc.sum());
                assert!(whole[entry.start as usize..].starts_with(&IN_FILE));
            }
        }
    }

    #[test]
    fn another_program_reads_a_zip_of_ours() {
        let files = [
            ("student/model.onnx", &b"weights"[..]),
            ("student/\u{e4}.txt", &b""[..]),
        ];
        let (mut whole, mut all) = (Vec::new(), Vec::new());
        for (path, bytes) in files {
            let mut crc = Crc::new();
            crc.add(bytes);
            let entry = Entry {
                path: path.into(),
                start: whole.len() as u64,
                packed: bytes.len() as u64,
                bytes: bytes.len() as u64,
                crc: crc.sum(),
                ..Entry::default()
            };
            whole.extend([&*head(&entry), bytes].concat());
            all.push(entry);
        }
        whole.extend(tail(&all, whole.len() as u64));
        assert_eq!(read(&whole), Some(all));
        let mut archive = ZipArchive::new(Cursor::new(whole)).expect("a zip");
        assert_eq!(archive.len(), 2);
        for (path, bytes) in files {
            let mut unpacked = Vec::new();
            let mut file = archive.by_name(path).expect("the file");
            // It compares the checksum.
            file.read_to_end(&mut unpacked).expect("it is whole");
            assert_eq!(unpacked, bytes);
        }
    }

    #[test]
    fn sizes_of_64_bits_are_read() {
        let mut extra = vec![9, 0, 1, 0, 0xff, 1, 0, 16, 0];
        extra.extend([5_u64 << 32, 3].map(u64::to_le_bytes).as_flattened());
        let sizes = [u64::from(u32::MAX), 7, u64::from(u32::MAX)];
        let mut large = sizes;
        assert_eq!(enlarge(&mut large, &extra), Some(()));
        assert_eq!(large, [5 << 32, 7, 3]);
        // Too short for what it says.
        extra[7] = 8;
        assert_eq!(enlarge(&mut sizes.clone(), &extra), None);
    }

    /// A zip with an end of 64 bits, of a directory of so many bytes at a place.
    fn with_large_end(whole: &[u8], bytes: u64, start: u64) -> Vec<u8> {
        let (body, end) = whole.split_at(whole.len() - 22);
        let record = [44, 0x2d_002d, 0].map(u64::to_le_bytes);
        let counts = [3, 3, bytes, start].map(u64::to_le_bytes);
        let place = (body.len() as u64).to_le_bytes();
        let parts = [
            body,
            &LARGE_DIRECTORY,
            &record.as_flattened()[..20],
            counts.as_flattened(),
            &PLACE_OF_IT,
            &[0; 4],
            &place,
            &1_u32.to_le_bytes(),
            end,
        ];
        parts.concat()
    }

    #[test]
    fn an_end_of_64_bits_is_read() {
        let whole = theirs(stored(), "");
        let expected = read(&whole);
        assert!(expected.is_some());
        let at = whole.len() - 22;
        let (bytes, start) = (number(&whole, at + 12, 4), number(&whole, at + 16, 4));
        // Beside fields of 32 bits that say the same, as where a pipe was packed.
        let large = with_large_end(&whole, bytes, start);
        assert_eq!(large.len(), whole.len() + LARGE_END);
        assert_eq!(read(&large), expected);
        // And in place of them.
        let mut without = large;
        let at = without.len() - 22;
        without[at + 8..at + 20].fill(0xff);
        assert_eq!(read(&without), expected);
        let before = [&[0; 1000], &*without].concat();
        let moved = read(&before).map(|entries| entries[0].start);
        assert_eq!(moved, Some(1000 + expected.unwrap_or_default()[0].start));
    }

    #[test]
    fn numbers_that_cannot_be_are_no_zip() {
        let whole = theirs(stored(), "");
        for (bytes, start) in [(u64::MAX, 0), (0, u64::MAX), (LARGEST_DIRECTORY + 1, 0)] {
            let large = with_large_end(&whole, bytes, start);
            let tail = &large[large.len() - 22 - LARGE_END..];
            assert_eq!(directory(tail, 1 << 40), None, "{bytes} {start}");
        }
        let (range, _) = directory(&whole, whole.len() as u64).expect("a zip");
        let listed = &whole[range.start as usize..range.end as usize];
        assert!(entries(listed, 0).is_some());
        assert_eq!(entries(listed, u64::MAX), None);
    }

    #[test]
    fn an_entry_begins_behind_its_header() {
        let whole = theirs(stored(), "");
        let entry = &read(&whole).expect("a zip")[0];
        let header = &whole[entry.start as usize..][..HEADER as usize];
        let start = (entry.start + skip(header).expect("a header")) as usize;
        assert_eq!(whole[start..start + entry.bytes as usize], [7; 9]);
        assert_eq!(skip(&header[1..]), None);
        assert_eq!(skip(&[0; HEADER as usize]), None);
    }

    #[test]
    fn what_is_cut_off_is_no_zip() {
        let whole = theirs(stored(), "");
        for length in [0, 21, 22, 500, whole.len() - 1] {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        let hole = [&whole[..whole.len() - 200], &whole[whole.len() - 100..]].concat();
        assert_eq!(read(&hole), None);
    }

    #[test]
    fn a_checksum_is_that_of_everybody() {
        let mut crc = Crc::new();
        crc.add(b"1234");
        crc.add(b"56789");
        assert_eq!(crc.sum(), 0xcbf4_3926);
    }
}
