//! The corpus: what is read from files, which lines become which batches, and that a run can be resumed at any batch.

mod changing;
mod forms;
mod in_memory;
mod packed;
mod pairs;
mod weights;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use limbeck_corpus::{
    Block, BlockLimits, Corpus, CorpusError, Loaded, Loader, LoaderSettings, document, held_out,
};
use limbeck_recipe::batching::{
    Batch, DataPosition, Encoded, Position, Rng, is_held_out, plan_batches, shuffled,
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

// ---- Memory: what the current thread has allocated, and the most it ever had -------------------------------------

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let live = LIVE_BYTES.get() + bytes;
    LIVE_BYTES.set(live);
    PEAK_BYTES.set(PEAK_BYTES.get().max(live));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most bytes that `work` had allocated on this thread at one time.
fn peak_bytes<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let result = work();
    (result, (PEAK_BYTES.get() - before) as usize)
}

// ---- Files and readers -------------------------------------------------------------------------------------------

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("writing a test file");
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("packing");
    packed.finish().expect("packing")
}

fn pattern(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn open_json(paths: &[&Path], field: Option<&str>) -> Result<Corpus, CorpusError> {
    Corpus::open(&paths.iter().map(pattern).collect::<Vec<_>>(), field)
}

fn open(paths: &[&Path]) -> Result<Corpus, CorpusError> {
    open_json(paths, None)
}

fn limits(block_lines: usize) -> BlockLimits {
    BlockLimits {
        block_lines,
        ..BlockLimits::for_max_length(512)
    }
}

fn blocks(corpus: &Corpus, start: Position, limits: BlockLimits) -> Vec<Block> {
    corpus
        .blocks(start, limits)
        .collect::<Result<_, _>>()
        .expect("readable")
}

fn first_error(corpus: &Corpus) -> String {
    let failed = corpus
        .blocks(Position::default(), limits(1000))
        .find_map(Result::err);
    failed.expect("an error").to_string()
}

/// File index, line number and text of all lines.
fn texts(corpus: &Corpus) -> Vec<(usize, u64, String)> {
    blocks(corpus, Position::default(), limits(1000))
        .into_iter()
        .flat_map(|block| block.lines)
        .map(|line| (line.file, line.number, line.text))
        .collect()
}

fn assert_texts(bytes: impl AsRef<[u8]>, expected: &[(u64, &str)]) {
    let folder = folder();
    let corpus = open(&[&write(&folder, "corpus.txt", bytes)]).expect("a corpus");
    let expected: Vec<_> = expected
        .iter()
        .map(|(number, text)| (0, *number, (*text).to_owned()))
        .collect();
    assert_eq!(texts(&corpus), expected);
}

#[test]
fn line_ends_marks_and_blank_lines_are_not_text() {
    assert_texts("one\ntwo\n", &[(1, "one"), (2, "two")]);
    assert_texts("one\ntwo", &[(1, "one"), (2, "two")]);
    assert_texts("one\r\ntwo\r\n", &[(1, "one"), (2, "two")]);
    assert_texts("one\r\ntwo\r", &[(1, "one"), (2, "two")]);
    assert_texts(
        "\u{feff}one\r\n\u{feff}two",
        &[(1, "one"), (2, "\u{feff}two")],
    );
    assert_texts("\u{feff}\n\n \t\r\n two \n\n", &[(4, " two ")]);
    assert_texts("a\rb\n", &[(1, "a\rb")]);
}

#[test]
fn gzip_is_unpacked_with_all_of_its_members_whatever_its_name() {
    assert_texts(gzip(b"\xef\xbb\xbfone\r\ntwo"), &[(1, "one"), (2, "two")]);
    let members = [gzip(b"one\ntw"), gzip(b""), gzip(b"o\nthree\n")].concat();
    assert_texts(members, &[(1, "one"), (2, "two"), (3, "three")]);
}

#[test]
fn truncated_gzip_names_the_file() {
    let folder = folder();
    let mut rng = Rng::new(1);
    let text: String = (0..20_000)
        .map(|_| format!("{:x}\n", rng.next_u64()))
        .collect();
    let packed = gzip(text.as_bytes());
    let path = write(&folder, "half.txt.gz", &packed[..packed.len() / 2]);
    let message = first_error(&open(&[&path]).expect("its first line is whole"));
    let start = format!(
        "{}: the gzip data is truncated or damaged after ",
        pattern(&path)
    );
    assert!(message.starts_with(&start), "{message}");
    assert!(message.ends_with("Test it with gzip -t, and download or compress the file again"));

    // Only the check sum is missing.
    let path = write(&folder, "tail.gz", &packed[..packed.len() - 3]);
    assert!(first_error(&open(&[&path]).expect("a corpus")).contains("truncated or damaged"));
    // Nothing but a name.
    let path = write(&folder, "nothing.gz", "");
    let error = open(&[&path]).expect_err("no gzip").to_string();
    assert!(
        error.contains("truncated or damaged after 0 bytes"),
        "{error}"
    );
}

#[test]
fn invalid_utf8_names_file_line_and_byte() {
    let folder = folder();
    let mut bytes = b"fine\n\n".repeat(8);
    bytes.extend_from_slice(&[b'a'; 202]);
    bytes.extend_from_slice(b"\xe9t\xe9\nfine\n");
    let path = write(&folder, "corpus.txt", &bytes);
    assert_eq!(
        first_error(&open(&[&path]).expect("the first line is fine")),
        format!(
            "{}, line 17: not valid UTF-8 at byte 203 of the line. Convert the file (iconv -f LATIN1 -t UTF-8, if that is its encoding), or \
             remove the line",
            pattern(&path)
        )
    );
    // A character that the end of the file cuts, and one behind a byte order mark.
    for (bytes, byte) in [(&b"ok \xc3"[..], 4), (b"\xef\xbb\xbfok \xff", 7)] {
        let error = open(&[&write(&folder, "end.txt", bytes)]).expect_err("not UTF-8");
        assert!(
            matches!(error, CorpusError::NotUtf8 { line: 1, byte: at, .. } if at == byte),
            "{error}"
        );
    }
}

#[test]
fn an_empty_corpus_is_refused() {
    let folder = folder();
    let nothing = write(&folder, "a.txt", "");
    let blank = write(&folder, "b.txt", "\n \r\n\t\n");
    let packed = write(&folder, "c.txt.gz", gzip(b""));
    let mark = write(&folder, "d.txt", "\u{feff}");
    assert_eq!(
        open(&[&nothing]).expect_err("empty").to_string(),
        format!(
            "empty corpus: no line of text in {}. Name files with one document per line",
            pattern(&nothing)
        )
    );
    assert_eq!(
        open(&[&nothing, &blank, &packed, &mark])
            .expect_err("empty")
            .to_string(),
        format!(
            "empty corpus: no line of text in {}, {}, {} and 1 more. Name files with one document per line",
            pattern(&nothing),
            pattern(&blank),
            pattern(&packed)
        )
    );
    assert_eq!(
        Corpus::open(&[], None).expect_err("empty").to_string(),
        "empty corpus: no file given. Name text files or globs, with one document per line"
    );
    let text = write(&folder, "e.txt", "text");
    assert_eq!(
        texts(&open(&[&nothing, &blank, &text]).expect("text")).len(),
        1
    );
}

#[test]
fn globs_are_sorted_and_every_file_comes_once() {
    let folder = folder();
    for name in ["b.txt", "a.txt", "c.md", ".hidden.txt", "od[d].txt"] {
        write(&folder, name, name);
    }
    fs::create_dir(folder.path().join("sub.txt")).expect("a folder");
    write(&folder, "sub.txt/deep.txt", "deep");
    let at = |name: &str| pattern(folder.path().join(name));
    let found = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|name| at(name)).collect();
        let corpus = Corpus::open(&patterns, None).expect("files");
        texts(&corpus)
            .into_iter()
            .map(|(_, _, text)| text)
            .collect()
    };
    assert_eq!(found(&["*.txt"]), ["a.txt", "b.txt", "od[d].txt"]);
    assert_eq!(
        found(&["c.md", "?.txt", "*"]),
        ["c.md", "a.txt", "b.txt", "od[d].txt"]
    );
    assert_eq!(
        found(&["b.txt", "./a.txt", "a.txt", "b.txt"]),
        ["b.txt", "a.txt"]
    );
    assert_eq!(found(&["od[d].txt"]), ["od[d].txt"]);
    assert_eq!(found(&["**/deep.txt"]), ["deep"]);
}

#[test]
fn a_pattern_without_files_is_named() {
    let folder = folder();
    let here = std::env::current_dir().expect("a current folder");
    let missing = pattern(folder.path().join("*.txt"));
    assert_eq!(
        Corpus::open(std::slice::from_ref(&missing), None)
            .expect_err("no file")
            .to_string(),
        format!(
            "no file matches '{missing}' (relative to {}). Check the path, or quote the glob",
            here.display()
        )
    );
    let name = pattern(folder.path());
    assert_eq!(
        Corpus::open(&[format!("{name}/")], None)
            .expect_err("a folder")
            .to_string(),
        format!("'{name}' is a folder. Name the files in it, for example '{name}/*.txt'")
    );
    assert_eq!(
        Corpus::open(&["***".to_owned()], None)
            .expect_err("no glob")
            .to_string(),
        "'***' is not a valid glob: wildcards are either regular `*` or recursive `**`"
    );
}

#[cfg(unix)]
#[test]
fn devices_and_unreadable_files_are_refused() {
    assert_eq!(
        open(&[Path::new("/dev/null")])
            .expect_err("a device")
            .to_string(),
        "'/dev/null' is not a regular file. Write its text to a file, which every epoch can read again"
    );
    let folder = folder();
    let path = write(&folder, "gone.txt", "text");
    let corpus = open(&[&path]).expect("a corpus");
    fs::remove_file(&path).expect("removing a test file");
    let message = first_error(&corpus);
    assert!(
        message.starts_with(&format!("cannot read {}: ", pattern(&path))),
        "{message}"
    );
    assert!(message.ends_with("Check that the file exists and that you may read it"));
}

#[test]
fn a_line_is_cut_between_characters() {
    let folder = folder();
    let path = write(
        &folder,
        "corpus.txt",
        "\u{feff}12345678\r\n123456789\n1234567é\n123456é\r\nend",
    );
    let limits = BlockLimits {
        line_bytes: 8,
        ..limits(10)
    };
    let lines = blocks(
        &open(&[&path]).expect("a corpus"),
        Position::default(),
        limits,
    )
    .remove(0)
    .lines;
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line.text.as_str(), line.cut, line.number))
        .collect();
    assert_eq!(
        found,
        [
            ("12345678", false, 1),
            ("12345678", true, 2),
            ("1234567", true, 3),
            ("123456é", false, 4),
            ("end", false, 5),
        ]
    );
}

/// `start`, letters as far as a file is looked at, zero bytes up to `size`, and `end` on a line of its own. The zeros take no room on
/// disk.
fn write_long_line(folder: &TempDir, start: &str, size: u64, end: &str) -> PathBuf {
    let path = folder.path().join("long.txt");
    let mut file = File::create(&path).expect("a test file");
    file.write_all(start.as_bytes()).expect("writing");
    file.write_all(&[b'x'; 64 << 10]).expect("writing");
    file.set_len(size).expect("a sparse file");
    file.seek(SeekFrom::End(0)).expect("seeking");
    file.write_all(format!("\n{end}").as_bytes())
        .expect("writing");
    path
}

#[test]
fn memory_is_bounded_for_one_very_long_line() {
    let folder = folder();
    let size = 64 * MIB as u64;
    let path = write_long_line(&folder, "start", size, "end");
    let read = || {
        let corpus = open(&[&path]).expect("a corpus");
        blocks(&corpus, Position::default(), limits(10)).remove(0)
    };
    let (block, peak) = peak_bytes(read);
    assert_eq!(block.lines.len(), 2);
    assert_eq!(block.lines[0].text.len(), 512 * 32);
    assert!(block.lines[0].cut && block.lines[0].text.starts_with("start"));
    assert_eq!(
        (block.lines[1].text.as_str(), block.lines[1].number),
        ("end", 2)
    );
    assert!(peak < MIB, "{peak} bytes for a line of {size}");
    // The measurement itself: the whole line would be seen.
    let (_, whole) = peak_bytes(|| fs::read(&path).map(|bytes| bytes.len()));
    assert!(whole >= size as usize);
}

#[test]
fn blocks_keep_their_limits_and_can_start_at_each_end() {
    let folder = folder();
    let text: String = (0..57)
        .map(|n| format!("line {n} {}\r\n{}", "x".repeat(n % 23), "\n".repeat(n % 3)))
        .collect();
    let plain = write(&folder, "a.txt", format!("\u{feff}{text}"));
    let packed = write(&folder, "b.txt.gz", gzip(text.trim_end().as_bytes()));
    let empty = write(&folder, "c.txt", "");
    let corpus = open(&[&plain, &packed, &empty]).expect("a corpus");
    let limits = BlockLimits {
        block_lines: 5,
        block_bytes: 100,
        line_bytes: 40,
    };
    let all = blocks(&corpus, Position::default(), limits);
    let bytes = |block: &Block| {
        block
            .lines
            .iter()
            .map(|line| line.text.len())
            .sum::<usize>()
    };
    assert!(
        all.iter()
            .all(|block| (1..=5).contains(&block.lines.len()) && bytes(block) <= 100)
    );
    assert!(all.iter().any(|block| block.lines.len() == 5));
    assert!(
        all.iter()
            .any(|block| block.lines.len() < 5 && bytes(block) > 60)
    );
    assert!(
        all.iter()
            .any(|block| block.lines.iter().any(|line| line.file == 0)
                && block.lines.iter().any(|line| line.file == 1))
    );
    assert_eq!(
        all.iter().map(|block| block.lines.len()).sum::<usize>(),
        2 * 57
    );
    for (index, block) in all.iter().enumerate() {
        assert_eq!(
            blocks(&corpus, block.end, limits),
            all[index + 1..],
            "after block {index}"
        );
    }
}

#[test]
fn a_position_of_another_corpus_is_refused() {
    let folder = folder();
    let plain = write(&folder, "a.txt", "one\ntwo\n");
    let packed = write(&folder, "b.txt.gz", gzip(b"one\ntwo\n"));
    let corpus = open(&[&plain, &packed]).expect("a corpus");
    let resume = |file, byte| {
        let start = Position {
            file,
            byte,
            line: 1,
        };
        corpus
            .blocks(start, limits(9))
            .find_map(Result::err)
            .map(|error| error.to_string())
    };
    for (file, path) in [(0, &plain), (1, &packed)] {
        assert_eq!(resume(file, 4), None);
        for byte in [3, 5, 100] {
            assert_eq!(
                resume(file, byte),
                Some(format!(
                    "{}: byte {byte} is no longer the start of line 2: the corpus has changed since the run began. \
                     Restore its files, or start a new run",
                    pattern(path)
                ))
            );
        }
    }
    assert!(resume(7, 4).is_some_and(|message| message.starts_with("file 8 of 2: ")));
}

#[test]
fn files_and_lines_have_names() {
    let folder = folder();
    let packed = gzip(b"one\n");
    let a = write(&folder, "a.txt", "one\ntwo\n");
    let b = write(&folder, "b.txt.gz", &packed);
    let corpus = open(&[&a, &b]).expect("a corpus");
    let summaries = corpus.describe().expect("files");
    let described: Vec<_> = summaries
        .iter()
        .map(|file| (file.name.as_str(), file.bytes))
        .collect();
    assert_eq!(described, [("a.txt", 8), ("b.txt.gz", packed.len() as u64)]);
    assert_eq!(
        corpus.name_line((1, 17)),
        format!("{}, line 17", pattern(&b))
    );
}

// ---- Orders and batches ------------------------------------------------------------------------------------------

#[test]
fn random_numbers_are_those_of_splitmix64() {
    // The reference outputs for this seed that accompany splitmix64.c.
    let expected = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    let mut rng = Rng::new(1_234_567);
    assert_eq!(expected.map(|_| rng.next_u64()), expected);
}

#[test]
fn every_permutation_is_about_as_likely() {
    let mut counts = BTreeMap::new();
    for seed in 0..6000 {
        *counts.entry(shuffled(3, seed, 0, 0)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 6);
    // 1000 each; the standard deviation is 29.
    assert!(
        counts.values().all(|count| (850..1150).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn the_order_depends_on_seed_epoch_and_block() {
    let order = shuffled(100, 1, 2, 3);
    assert_eq!(shuffled(100, 1, 2, 3), order);
    for other in [
        shuffled(100, 9, 2, 3),
        shuffled(100, 1, 9, 3),
        shuffled(100, 1, 2, 9),
        shuffled(100, 2, 1, 3),
    ] {
        assert_ne!(other, order);
        assert_eq!(other.iter().collect::<HashSet<_>>().len(), 100);
    }
}

#[test]
fn lines_are_held_out_for_ever_by_their_text() {
    // Where these texts fall in 0 .. 1, computed apart from this crate.
    for (text, at) in [
        ("a", 0.010_753_497_314),
        ("The cat sat on the mat.", 0.489_039_514_469),
        ("Ångström", 0.832_220_671_601),
    ] {
        assert!(
            is_held_out(text, at + 1e-9) && !is_held_out(text, at - 1e-9),
            "{text}"
        );
    }
    let held = (0..20_000)
        .filter(|n| is_held_out(&format!("line {n}"), 0.05))
        .count();
    // 1000; the standard deviation is 31.
    assert!((850..1150).contains(&held), "{held}");
    assert!(!(0..1000).any(|n| is_held_out(&format!("line {n}"), 0.0)));
    assert!((0..1000).all(|n| is_held_out(&format!("line {n}"), 1.0)));
}

#[test]
fn held_out_lines_come_in_order_up_to_a_count() {
    let folder = folder();
    let text: String = (0..300).map(|n| format!("line {n}\n")).collect();
    let corpus = open(&[&write(&folder, "corpus.txt", &text)]).expect("a corpus");
    let expected: Vec<_> = text.lines().filter(|line| is_held_out(line, 0.1)).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|line| (0, (*line).to_owned()))
        .collect();
    assert!(expected.len() > 10);
    let found = |fraction, count| held_out(&corpus, limits(7), fraction, count).expect("readable");
    assert_eq!(found(0.1, 1000), expected);
    assert_eq!(found(0.1, 10), expected[..10]);
    assert!(found(0.1, 0).is_empty() && found(0.0, 10).is_empty());
}

#[test]
fn batches_of_similar_length_waste_little_padding() {
    let mut rng = Rng::new(7);
    let lengths: Vec<usize> = (0..403).map(|_| 3 + rng.below(125) as usize).collect();
    let waste = |plan: &[Vec<usize>]| -> usize {
        plan.iter()
            .map(|members| {
                let longest = members
                    .iter()
                    .map(|&index| lengths[index])
                    .max()
                    .unwrap_or(0);
                members
                    .iter()
                    .map(|&index| longest - lengths[index])
                    .sum::<usize>()
            })
            .sum()
    };
    let unsorted: Vec<Vec<usize>> = (0..400)
        .collect::<Vec<_>>()
        .chunks(8)
        .map(<[usize]>::to_vec)
        .collect();
    let plan = plan_batches(&lengths, 8, false, &mut rng);
    assert!(
        waste(&plan) * 10 < waste(&unsorted),
        "{} {}",
        waste(&plan),
        waste(&unsorted)
    );

    let mut planned = plan.concat();
    planned.sort_unstable();
    assert_eq!(planned, (0..400).collect::<Vec<_>>());
    assert!(plan.iter().all(|members| members.len() == 8));
    let longest: Vec<_> = plan.iter().map(|members| lengths[members[7]]).collect();
    assert!(!longest.is_sorted(), "batches come from short to long");

    let all = plan_batches(&lengths, 8, true, &mut rng);
    assert_eq!((all.len(), all.concat().len()), (51, 403));
    let ties = plan_batches(&[5; 100], 4, false, &mut rng);
    assert!(
        ties.iter()
            .all(|members| members.is_sorted() && members[3] == members[0] + 3),
        "equal lengths keep their order: {ties:?}"
    );
    assert!(plan_batches(&[], 2, true, &mut rng).is_empty());
}

#[test]
fn sequences_are_padded_on_the_right() {
    let sources = vec![(0, 4), (1, 2)];
    let batch = Batch::pad(&[&[7, 8, 9], &[5]], sources.clone(), 1, 4, 512);
    assert_eq!(batch.ids, [7, 8, 9, 1, 5, 1, 1, 1]);
    assert_eq!(
        (&batch.lengths[..], batch.padded, batch.tokens()),
        (&[3, 1][..], 4, 4)
    );
    assert_eq!(batch.sources, sources);
    let padded = |length: usize, multiple, most| {
        Batch::pad(&[&vec![3; length]], vec![(0, 1)], 0, multiple, most).padded
    };
    assert_eq!(
        [
            padded(8, 8, 128),
            padded(9, 8, 128),
            padded(9, 8, 12),
            padded(9, 1, 128)
        ],
        [8, 16, 12, 9]
    );
}

// ---- The loader --------------------------------------------------------------------------------------------------

const MAX_LENGTH: usize = 12;

/// One token a word between a 1 and a 2, the shape of a BERT tokenizer.
fn tokenise(lines: &[&str]) -> Result<Vec<Encoded>, String> {
    let encode = |line: &&str| {
        let words: Vec<u32> = line
            .split_whitespace()
            .map(|word| 3 + word.len() as u32)
            .collect();
        let kept = &words[..words.len().min(MAX_LENGTH - 2)];
        Encoded {
            ids: [&[1], kept, &[2]].concat(),
            types: Vec::new(),
            truncated: kept.len() < words.len(),
        }
    };
    Ok(lines.iter().map(encode).collect())
}

fn settings() -> LoaderSettings {
    LoaderSettings {
        batch: 2,
        max_length: MAX_LENGTH,
        pad_id: 0,
        pad_to_multiple: 4,
        held_out: 0.1,
        keep_last: true,
        seed: 42,
        limits: BlockLimits {
            block_lines: 130,
            ..BlockLimits::for_max_length(MAX_LENGTH)
        },
    }
}

/// 280 lines in two files, one of them packed: three blocks, and two chunks in the first two of them.
fn small_corpus(folder: &TempDir) -> Corpus {
    let mut rng = Rng::new(3);
    let mut text = |name: &str| -> String {
        (0..140)
            .map(|n| {
                format!(
                    "{name} {n}{}\r\n{}",
                    " w".repeat(rng.below(14) as usize),
                    "\n".repeat(n % 2)
                )
            })
            .collect()
    };
    let plain = write(folder, "a.txt", text("plain"));
    let packed = write(
        folder,
        "b.txt.gz",
        gzip(text("packed").trim_end().as_bytes()),
    );
    open(&[&plain, &packed]).expect("a corpus")
}

/// Whatever batch of these a run ends after, those that follow are the same.
fn resumes_anywhere(corpus: &Corpus, settings: LoaderSettings, all: &[Loaded]) {
    for (index, loaded) in all.iter().enumerate() {
        let written = serde_json::to_string(&loaded.next).expect("JSON");
        let from = serde_json::from_str(&written).expect("the same position");
        let rest = load(corpus, settings, from, all.len() - index - 1);
        assert_eq!(rest, all[index + 1..], "resumed after batch {index}");
    }
}

fn load(
    corpus: &Corpus,
    settings: LoaderSettings,
    from: DataPosition,
    count: usize,
) -> Vec<Loaded> {
    let loader = Loader::start(corpus.clone(), tokenise, settings, from).expect("a thread");
    loader
        .take(count)
        .collect::<Result<_, _>>()
        .expect("batches")
}

/// The batches of the first epoch.
fn first_epoch(corpus: &Corpus, settings: LoaderSettings) -> Vec<Loaded> {
    let loader = Loader::start(corpus.clone(), tokenise, settings, DataPosition::default())
        .expect("a thread");
    let batches = loader.map(|loaded| loaded.expect("a batch"));
    batches
        .take_while(|loaded| loaded.next.epoch == 0)
        .collect()
}

fn sources(batches: &[Loaded]) -> Vec<(usize, u64)> {
    batches
        .iter()
        .flat_map(|loaded| loaded.batch.sources.clone())
        .collect()
}

fn trained_sources(corpus: &Corpus) -> Vec<(usize, u64)> {
    let lines = texts(corpus);
    let trained = lines
        .iter()
        .filter(|(_, _, text)| !is_held_out(text, settings().held_out));
    trained.map(|(file, number, _)| (*file, *number)).collect()
}

#[test]
fn a_run_can_be_resumed_after_any_batch() {
    let folder = folder();
    let corpus = small_corpus(&folder);
    for keep_last in [true, false] {
        let settings = LoaderSettings {
            keep_last,
            ..settings()
        };
        let all = load(&corpus, settings, DataPosition::default(), 290);
        let passed =
            |seen: fn(&DataPosition) -> u64| all.iter().map(|loaded| seen(&loaded.next)).max();
        assert_eq!(passed(|at| at.epoch), Some(2), "epoch borders");
        assert_eq!(passed(|at| at.block), Some(2), "block borders");
        assert_eq!(passed(|at| at.chunk), Some(1), "chunk borders");
        resumes_anywhere(&corpus, settings, &all);
    }
}

#[test]
fn the_seed_decides_the_batches() {
    let folder = folder();
    let corpus = small_corpus(&folder);
    let start = DataPosition::default();
    let one = load(&corpus, settings(), start.clone(), 200);
    assert_eq!(load(&corpus, settings(), start.clone(), 200), one);
    let other = LoaderSettings {
        seed: 43,
        ..settings()
    };
    assert_ne!(load(&corpus, other, start, 1)[0].batch, one[0].batch);
}

#[test]
fn every_line_that_is_not_held_out_comes_once_an_epoch() {
    let folder = folder();
    let corpus = small_corpus(&folder);
    let trained = trained_sources(&corpus);
    assert!(
        (200..280).contains(&trained.len()),
        "{} of 280",
        trained.len()
    );
    let epoch = first_epoch(&corpus, settings());
    let mut seen = sources(&epoch);
    assert_ne!(seen, trained, "lines are not shuffled");
    seen.sort_unstable();
    assert_eq!(seen, trained);
    assert_eq!(
        epoch.last().map(|loaded| loaded.next.lines),
        Some(trained.len() as u64)
    );
    let next = load(
        &corpus,
        settings(),
        DataPosition::default(),
        2 * epoch.len(),
    )
    .split_off(epoch.len());
    assert!(next.iter().all(|loaded| loaded.next.epoch == 1));
    assert_ne!(
        sources(&next),
        sources(&epoch),
        "each epoch has its own order"
    );
    let mut seen = sources(&next);
    seen.sort_unstable();
    assert_eq!(seen, trained);
}

#[test]
fn without_keep_last_all_batches_are_full() {
    let folder = folder();
    let corpus = small_corpus(&folder);
    let trained = trained_sources(&corpus);
    let full = LoaderSettings {
        batch: 11,
        keep_last: false,
        ..settings()
    };
    let epoch = first_epoch(&corpus, full);
    assert!(epoch.iter().all(|loaded| loaded.batch.lengths.len() == 11));
    let seen = sources(&epoch);
    assert!(seen.len() > trained.len() - 3 * 11 && seen.len() < trained.len());
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    assert!(seen.iter().all(|source| trained.contains(source)));

    // A corpus smaller than one batch is trained on all the same.
    let large = LoaderSettings {
        batch: 1000,
        keep_last: false,
        limits: limits(1000),
        ..settings()
    };
    assert_eq!(
        first_epoch(&corpus, large)[0].batch.lengths.len(),
        trained.len()
    );
}

#[test]
fn truncated_lines_are_counted() {
    let folder = folder();
    let long = "w ".repeat(11);
    let cut = "w".repeat(MAX_LENGTH * 32 + 1);
    let path = write(
        &folder,
        "corpus.txt",
        format!("one\n{long}\n{cut}\ntwo\nthree\n"),
    );
    let corpus = open(&[&path]).expect("a corpus");
    let all = LoaderSettings {
        held_out: 0.0,
        ..settings()
    };
    let two_epochs = load(&corpus, all, DataPosition::default(), 6);
    let counted = |loaded: &Loaded| (loaded.next.lines, loaded.next.truncated_lines);
    assert_eq!(
        (counted(&two_epochs[2]), counted(&two_epochs[5])),
        ((5, 2), (10, 4))
    );
    assert!(
        two_epochs
            .iter()
            .all(|loaded| loaded.batch.padded <= MAX_LENGTH)
    );
}

fn loader_error<T>(corpus: &Corpus, tokenise: T, settings: LoaderSettings) -> String
where
    T: Fn(&[&str]) -> Result<Vec<Encoded>, String> + Send + 'static,
{
    let mut loader = Loader::start(corpus.clone(), tokenise, settings, DataPosition::default())
        .expect("a thread");
    let error = loader
        .by_ref()
        .take(1000)
        .find_map(Result::err)
        .expect("an error");
    assert!(loader.next().is_none(), "the loader goes on after: {error}");
    error.to_string()
}

#[test]
fn an_epoch_without_batches_is_an_error() {
    let folder = folder();
    let corpus = small_corpus(&folder);
    let all_held_out = LoaderSettings {
        held_out: 1.0,
        ..settings()
    };
    let message = "the corpus yields no batch: all of its lines are held out or have no tokens. Put each document on a line of its own, add lines, or hold \
                   out fewer (now 100 %)";
    assert_eq!(loader_error(&corpus, tokenise, all_held_out), message);
    let no_tokens = |lines: &[&str]| {
        Ok(vec![
            Encoded {
                ids: vec![],
                types: vec![],
                truncated: false
            };
            lines.len()
        ])
    };
    assert!(loader_error(&corpus, no_tokens, settings()).contains("have no tokens"));
}

#[test]
fn errors_of_the_thread_arrive() {
    let folder = folder();
    let path = write(&folder, "corpus.txt", b"only\nline \xff\n");
    let corpus = open(&[&path]).expect("a corpus");
    let by_line = LoaderSettings {
        limits: limits(1),
        held_out: 0.0,
        ..settings()
    };
    assert!(
        loader_error(&corpus, tokenise, by_line).contains(", line 2: not valid UTF-8 at byte 6")
    );
    let place = format!(
        "cannot tokenise the lines from {}, line 1 on: ",
        pattern(&path)
    );
    let failing = |_: &[&str]| Err("no vocabulary".to_owned());
    assert_eq!(
        loader_error(&corpus, failing, by_line),
        format!("{place}no vocabulary")
    );
    let forgetful = |_: &[&str]| Ok(vec![]);
    assert_eq!(
        loader_error(&corpus, forgetful, by_line),
        format!("{place}0 sequences for 1 line")
    );
    let long = |_: &[&str]| {
        Ok(vec![Encoded {
            ids: vec![1; 13],
            types: vec![],
            truncated: false,
        }])
    };
    assert_eq!(
        loader_error(&corpus, long, by_line),
        format!("{place}13 tokens, more than max_length = 12")
    );
    let panicking =
        |lines: &[&str]| -> Result<Vec<Encoded>, String> { panic!("{} lines", lines.len()) };
    assert_eq!(
        loader_error(&corpus, panicking, by_line),
        "the thread that prepares batches failed: 1 lines"
    );
}

#[test]
fn dropping_the_loader_stops_its_thread() {
    let folder = folder();
    // Reading the second line takes many seconds; the queue of the other corpus is full at once.
    let endless = open(&[&write_long_line(&folder, "one\n", 16 << 30, "end")]).expect("a corpus");
    for corpus in [small_corpus(&folder), endless] {
        let held_by_thread = Arc::new(());
        let guard = held_by_thread.clone();
        let tokenise = move |lines: &[&str]| {
            let _held = &guard;
            tokenise(lines)
        };
        let by_line = LoaderSettings {
            limits: limits(1),
            held_out: 0.0,
            ..settings()
        };
        let mut loader =
            Loader::start(corpus, tokenise, by_line, DataPosition::default()).expect("a thread");
        loader.next().expect("a batch").expect("a batch");
        std::thread::sleep(Duration::from_millis(50));
        let (dropped, is_dropped) = channel();
        std::thread::spawn(move || {
            drop(loader);
            dropped.send(())
        });
        let patience = Duration::from_secs(5);
        is_dropped.recv_timeout(patience).expect("dropping hangs");
        assert_eq!(
            Arc::strong_count(&held_by_thread),
            1,
            "the thread still runs"
        );
    }
}
