//! Packed texts: every kind gives the lines of the plain text, wherever it is entered, and says where it is damaged.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use bzip2::write::BzEncoder;
use limbeck_corpus::{unpacked, unpacked_whole};
use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).expect("a writer");
    packed.write_all(bytes).expect("packing");
    packed.finish().expect("packing")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packed = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(bytes).expect("packing");
    packed.finish().expect("packing")
}

type Pack = fn(&[u8]) -> Vec<u8>;

const KINDS: [(&str, Pack); 4] = [("gzip", gzip), ("zstd", zstd), ("xz", xz), ("bzip2", bzip2)];

/// Lines that do not repeat, so that packing them leaves much.
fn text(lines: usize) -> String {
    let mut rng = Rng::new(5);
    let line = |n| format!("line {n} {:x} {:x}\n", rng.next_u64(), rng.next_u64());
    (0..lines).map(line).collect()
}

#[test]
fn every_kind_is_known_by_its_bytes_and_gives_the_same_blocks() {
    let folder = folder();
    let text = text(3000);
    let plain = open(&[&write(&folder, "plain.txt", &text)]).expect("a corpus");
    let limits = limits(500);
    let expected = blocks(&plain, Position::default(), limits);
    for (kind, pack) in KINDS {
        // The name says something else.
        let path = write(&folder, "corpus.txt", pack(text.as_bytes()));
        let corpus = open(&[&path]).expect(kind);
        let held = corpus.clone().fingerprinted().expect(kind);
        for corpus in [&corpus, &held] {
            assert_eq!(
                blocks(corpus, Position::default(), limits),
                expected,
                "{kind}"
            );
            for (index, block) in expected.iter().enumerate() {
                assert_eq!(
                    blocks(corpus, block.start, limits),
                    expected[index..],
                    "{kind}"
                );
            }
        }
    }
}

/// Gives one byte at a time, as a pipe may.
struct Slow(Vec<u8>);

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.as_slice().read(&mut into[..1])?;
        Ok(self.0.drain(..self.0.len().min(1)).len())
    }
}

/// Has nothing yet.
struct Waiting;

impl Read for Waiting {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::TimedOut.into())
    }
}

#[test]
fn a_packing_is_known_by_its_bytes_however_few_come_at_once() {
    for (kind, pack) in KINDS {
        let packed = pack(b"one\ntwo\n");
        let mut text = unpacked(Box::new(BufReader::new(Slow(packed)))).expect(kind);
        let mut line = String::new();
        text.read_line(&mut line).expect(kind);
        assert_eq!(line, "one\n", "{kind}");
    }
    // Who types a line is not asked for more of them.
    let typed = Slow(b"B\n".to_vec()).chain(Waiting);
    let mut typed = unpacked(Box::new(BufReader::new(typed))).expect("a line");
    let mut line = String::new();
    typed.read_line(&mut line).expect("a line");
    assert_eq!(line, "B\n");
}

/// Packed or not, whoever needs all of a text at once takes no more of it than it has room for.
#[test]
fn a_text_is_read_as_a_whole_or_not_at_all() {
    let plain: Pack = |bytes| bytes.to_vec();
    let text = text(500);
    let length = text.len() as u64;
    for (kind, pack) in KINDS.into_iter().chain([("plain", plain)]) {
        for (most, expected) in [(length, Some(&text)), (length - 1, None), (0, None)] {
            let packed = io::Cursor::new(pack(text.as_bytes()));
            let found = unpacked_whole(Box::new(packed), most).expect(kind);
            assert_eq!(found.as_deref(), expected.map(|t| t.as_bytes()), "{kind}");
        }
    }
}

#[test]
fn a_plain_text_may_have_any_name() {
    let folder = folder();
    for name in ["a.gz", "b.zst", "c.xz", "d.bz2"] {
        let path = write(&folder, name, "one\ntwo\n");
        assert_eq!(texts(&open(&[&path]).expect(name)).len(), 2);
        // But nothing at all is no file of that kind.
        let path = write(&folder, name, "");
        let error = open(&[&path]).expect_err(name).to_string();
        assert!(
            error.contains("truncated or damaged after 0 bytes"),
            "{error}"
        );
    }
}

#[test]
fn members_follow_each_other_and_zeros_may_end_the_file() {
    for (kind, pack) in KINDS {
        let members = [pack(b"one\ntw"), pack(b""), pack(b"o\nthree\n")].concat();
        let expected = [(1, "one"), (2, "two"), (3, "three")];
        assert_texts(&members, &expected);
        assert_texts([&members[..], &[0; 512]].concat(), &expected);
        // Other bytes there are damage.
        let folder = folder();
        let path = write(&folder, "corpus", [&members[..], b"\0\0junk"].concat());
        let error = open(&[&path]).expect_err(kind).to_string();
        let start = format!(
            "{}: the {kind} data is truncated or damaged after 14 bytes of text (",
            pattern(&path)
        );
        assert!(error.starts_with(&start), "{error}");
        let end = format!("Test it with {kind} -t, and download or compress the file again");
        assert!(error.ends_with(&end), "{error}");
    }
}

#[test]
fn frames_of_zstd_that_hold_no_data_are_passed_over() {
    let skipped = |bytes: &[u8]| {
        let length = (bytes.len() as u32).to_le_bytes();
        [&b"\x53\x2a\x4d\x18"[..], &length, bytes].concat()
    };
    let text = [
        skipped(b"a table of contents"),
        zstd(b"one\n"),
        skipped(b""),
        zstd(b"two\n"),
    ];
    assert_texts(text.concat(), &[(1, "one"), (2, "two")]);
    let folder = folder();
    let cut = skipped(b"cut off");
    let path = write(&folder, "cut.zst", &cut[..cut.len() - 1]);
    let error = open(&[&path]).expect_err("a cut").to_string();
    assert!(
        error.contains("the zstd data is truncated or damaged after 0 bytes"),
        "{error}"
    );
}

/// Cut anywhere, or with a byte changed anywhere: an error with the place, or the very lines of the whole.
#[test]
fn damage_is_an_error_and_never_other_text() {
    let folder = folder();
    let text = text(40);
    for (kind, pack) in KINDS {
        let packed = pack(text.as_bytes());
        let lines = |bytes: &[u8]| -> Result<Vec<String>, String> {
            let path = write(&folder, "corpus", bytes);
            let corpus = open(&[&path]).map_err(|e| e.to_string())?;
            let blocks = corpus.blocks(Position::default(), limits(7));
            let blocks: Result<Vec<_>, _> = blocks.collect();
            let lines = blocks.map_err(|e| e.to_string())?.into_iter();
            Ok(lines.flat_map(|b| b.lines).map(|line| line.text).collect())
        };
        let whole = lines(&packed).expect(kind);
        for end in 12..packed.len() {
            let error = lines(&packed[..end]).expect_err("a cut");
            assert!(
                error.contains(&format!("the {kind} data is truncated")),
                "{end}: {error}"
            );
        }
        let mut changed = 0;
        for at in (12..packed.len()).step_by(3) {
            let mut bytes = packed.clone();
            bytes[at] ^= 0x10;
            match lines(&bytes) {
                Ok(found) => assert_eq!(found, whole, "{kind}, byte {at}"),
                Err(error) => {
                    assert!(
                        error.contains(&format!("the {kind} data is truncated")),
                        "{error}"
                    );
                    changed += 1;
                }
            }
        }
        assert!(
            changed * 3 > packed.len() / 2,
            "{kind}: {changed} of {}",
            packed.len()
        );
    }
}

#[test]
fn memory_is_bounded_for_a_packed_text() {
    const LINES: usize = 1 << 19;
    let folder = folder();
    let text = "a line of text that repeats\n".repeat(LINES);
    for (kind, pack) in KINDS {
        let path = write(&folder, "corpus", pack(text.as_bytes()));
        let ((), peak) = peak_bytes(|| {
            let corpus = open(&[&path]).expect(kind);
            let counted = corpus.count_lines().expect(kind);
            assert_eq!(counted, [LINES as u64]);
        });
        assert!(
            peak < text.len() / 2,
            "{kind}: {peak} bytes for a text of {}",
            text.len()
        );
    }
}

#[test]
fn a_name_loses_what_packing_added_to_it() {
    for (name, plain) in [
        ("train.tsv.gz", "train.tsv"),
        ("a.b.CSV.ZST", "a.b.CSV"),
        ("dev.xz", "dev"),
        ("dev.bz2.bz2", "dev.bz2"),
        ("train.tsv", "train.tsv"),
        ("gz", "gz"),
        ("train.zip", "train.zip"),
    ] {
        assert_eq!(limbeck_corpus::unpacked_name(name), plain);
    }
}
