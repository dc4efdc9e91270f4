//! What a zip is made of: the entries of its directory, read and written, and their checksum. The crate `zip` with what it needs
//! was 30 kB of the page, compressed: half of that tables.

use std::ops::Range;

/// How an entry is packed: not at all.
pub const STORED: u16 = 0;
/// With deflate.
pub const DEFLATED: u16 = 8;
/// Bytes of an entry's header, without its name and extra field.
pub const HEADER: u64 = 30;
/// Bytes at the end of a file in which the place of its directory is found: a record with a comment behind it.
pub const END: u64 = 22 + 0xffff;

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
    let (bytes, start) = (number(tail, at + 12, 4), number(tail, at + 16, 4));
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
        enlarge(&mut sizes, directory.get(extra..extra + length(30))?);
        let entry = Entry {
            path,
            start: before + sizes[2],
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

/// Takes numbers that have no room in 32 bits from where they are: bytes, packed bytes, start, as far as they are there.
fn enlarge(sizes: &mut [u64; 3], mut extra: &[u8]) {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(number(head, 2, 2) as usize) else {
            return;
        };
        if number(head, 0, 2) == LARGE {
            let large = sizes
                .iter_mut()
                .filter(|size| **size == u64::from(u32::MAX));
            for (size, place) in large.zip(0..) {
                *size = number(field, 8 * place, 8);
            }
        }
        extra = rest;
    }
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
        let mut sizes = [u64::from(u32::MAX), 7, u64::from(u32::MAX)];
        enlarge(&mut sizes, &extra);
        assert_eq!(sizes, [5 << 32, 7, 3]);
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
