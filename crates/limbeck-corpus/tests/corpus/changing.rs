//! Corpora that change: what a run began with is what it reads, or it is told which file is another and where.

use limbeck_corpus::{Batches, Fingerprint};

use super::*;

const LINES: usize = 300;

fn lines() -> Vec<String> {
    let line = |n: usize| format!("line {n} of the text{}\n", " and more".repeat(n % 4));
    (1..=LINES).map(line).collect()
}

fn fingerprinted(paths: &[&Path]) -> Corpus {
    let corpus = open(paths).expect("a corpus");
    corpus.fingerprinted().expect("a readable corpus")
}

/// What is wrong when the corpus is opened again.
fn resumed(before: &Corpus, paths: &[&Path]) -> Option<String> {
    let fingerprint = before.fingerprint().expect("a fingerprint").clone();
    let corpus = open(paths).expect("a corpus");
    let again = corpus.unchanged_since(fingerprint);
    again.err().map(|error| error.to_string())
}

/// What is wrong when it is read on in mid-run.
fn read_on(corpus: &Corpus) -> Option<String> {
    let failed = corpus.blocks(Position::default(), limits(1000));
    failed.filter_map(Result::err).next().map(|e| e.to_string())
}

fn said(path: &Path, how: &str) -> Option<String> {
    let file = pattern(path);
    Some(format!(
        "{file} has changed since the run began: {how}. Restore it to go on with this run, or start a new one"
    ))
}

/// A way to change a corpus, and what is said of it.
type Change = (fn(&mut Vec<String>), &'static str);

/// Of 300 lines, by 64 bytes, which are two or three of them.
const CHANGES: [Change; 6] = [
    (
        |lines| lines[99] = lines[99].replace("text", "best"),
        "it differs in lines 100 to 102",
    ),
    (
        |lines| lines[LINES - 1].replace_range(..1, "L"),
        "it differs in lines 299 to 300",
    ),
    (
        |lines| lines.push("one more\n".to_owned()),
        "it goes on after line 300, where it ended",
    ),
    (
        |lines| lines.truncate(LINES / 2),
        "it ends in line 150, after 5067 of 10242 bytes",
    ),
    (|lines| lines.reverse(), "it differs in lines 1 to 2"),
    (
        |lines| lines.swap(199, 203),
        "it differs in lines 198 to 200",
    ),
];

#[test]
fn a_changed_file_is_named_with_the_place() {
    for (change, how) in CHANGES {
        let folder = folder();
        let first = write(&folder, "first.txt", "another file\n");
        let path = write(&folder, "corpus.txt", lines().concat());
        let corpus = fingerprinted(&[&first, &path]);
        assert_eq!(resumed(&corpus, &[&first, &path]), None);
        assert_eq!(read_on(&corpus), None);
        let mut changed = lines();
        change(&mut changed);
        fs::write(&path, changed.concat()).expect("writing");
        assert_eq!(read_on(&corpus), said(&path, how));
        assert_eq!(resumed(&corpus, &[&first, &path]), said(&path, how));
        fs::write(&path, lines().concat()).expect("writing");
        assert_eq!(resumed(&corpus, &[&first, &path]), None);
    }
}

/// Whatever is changed, in each of many places: the lines that are said hold it, and are few.
#[test]
fn the_place_holds_the_change() {
    let folder = folder();
    let path = write(&folder, "corpus.txt", lines().concat());
    let corpus = fingerprinted(&[&path]);
    for number in (1..=LINES).step_by(7) {
        let mut changed = lines();
        changed[number - 1] = changed[number - 1].replace("text", "next");
        fs::write(&path, changed.concat()).expect("writing");
        let message = read_on(&corpus).expect("an error");
        let numbers: Vec<usize> = message
            .rsplit_once("began: ")
            .expect("a place")
            .1
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        assert!(first <= number && number <= last, "{number}: {message}");
        assert!(last - first <= 3, "{message}");
    }
}

/// At the edges of pieces and of buffers, a byte more and a byte less.
#[test]
fn every_length_is_known() {
    for size in [1, 63, 64, 65, 128, 65_535, 65_536, 65_600, 131_072] {
        let folder = folder();
        let text = "a\n".repeat(size / 2 + 1)[..size].to_owned();
        let path = write(&folder, "corpus.txt", &text);
        let corpus = fingerprinted(&[&path]);
        assert_eq!(read_on(&corpus), None, "{size}");
        fs::write(&path, text.clone() + "b").expect("writing");
        let longer = read_on(&corpus).expect("an error");
        assert!(longer.contains("it goes on after line "), "{longer}");
        assert_eq!(resumed(&corpus, &[&path]), Some(longer));
        if size > 1 {
            fs::write(&path, &text[..size - 1]).expect("writing");
            let shorter = read_on(&corpus).expect("an error");
            assert!(
                shorter.contains(&format!("after {} of {size} bytes", size - 1)),
                "{shorter}"
            );
            assert_eq!(resumed(&corpus, &[&path]), Some(shorter));
        }
    }
}

#[test]
fn a_packed_file_is_placed_by_its_bytes() {
    let folder = folder();
    let path = write(&folder, "corpus.txt.gz", gzip(lines().concat().as_bytes()));
    let corpus = fingerprinted(&[&path]);
    assert_eq!(read_on(&corpus), None);
    let mut changed = lines();
    changed[99] = changed[99].replace("text", "best");
    fs::write(&path, gzip(changed.concat().as_bytes())).expect("writing");
    let message = read_on(&corpus).expect("an error");
    let place = "corpus.txt.gz has changed since the run began: it differs in bytes ";
    assert!(message.contains(place), "{message}");
    assert!(message.contains(" of the packed file."), "{message}");
    assert_eq!(resumed(&corpus, &[&path]), Some(message));
}

#[test]
fn another_number_of_files_is_refused() {
    let folder = folder();
    let (one, two) = (
        write(&folder, "one.txt", "one\n"),
        write(&folder, "two.txt", "two\n"),
    );
    let corpus = fingerprinted(&[&one, &two]);
    let message = "the number of files of the corpus has changed since the run began: 1 instead of 2 (one.txt, two.txt). Restore \
                   them to go on with this run, or start a new one";
    assert_eq!(resumed(&corpus, &[&one]), Some(message.to_owned()));
}

/// A corpus that is changed while a run reads it gives the batches of the unchanged one, and then the error: no student is
/// trained on what was not there when the run began.
#[test]
fn no_changed_line_reaches_a_batch() {
    for (change, _) in CHANGES {
        let folder = folder();
        let path = write(&folder, "corpus.txt", lines().concat());
        let corpus = fingerprinted(&[&path]);
        let start = DataPosition::default();
        let expected = load(&corpus, settings(), start.clone(), 400);
        let mut batches = Batches::new(corpus, tokenise, settings(), start);
        let mut given: Vec<_> = batches.by_ref().take(10).map(Result::ok).collect();
        let mut changed = lines();
        change(&mut changed);
        fs::write(&path, changed.concat()).expect("writing");
        let mut error = None;
        for loaded in batches {
            match loaded {
                Ok(loaded) => given.push(Some(loaded)),
                Err(e) => error = Some(e),
            }
        }
        assert!(
            matches!(error, Some(CorpusError::Altered { .. })),
            "{error:?}"
        );
        let expected: Vec<_> = expected.into_iter().map(Some).collect();
        assert_eq!(given, expected[..given.len()]);
    }
}

/// Blocks can start at each end of another, also in the middle of a piece.
#[test]
fn a_fingerprint_makes_no_difference_to_what_is_read() {
    let folder = folder();
    let plain = small_corpus(&folder);
    let held = plain.clone().fingerprinted().expect("a readable corpus");
    let all = blocks(&plain, Position::default(), limits(7));
    assert_eq!(blocks(&held, Position::default(), limits(7)), all);
    for (index, block) in all.iter().enumerate() {
        assert_eq!(blocks(&held, block.start, limits(7)), all[index..]);
    }
}

#[test]
fn a_fingerprint_survives_json() {
    let folder = folder();
    let corpus = small_corpus(&folder).fingerprinted().expect("a corpus");
    let fingerprint = corpus.fingerprint().expect("a fingerprint");
    let json = serde_json::to_string(fingerprint).expect("JSON");
    let read: Fingerprint = serde_json::from_str(&json).expect("a fingerprint");
    assert_eq!(&read, fingerprint);
}

/// A large corpus is never in memory, and its fingerprint neither grows with it: 4,096 pieces.
#[test]
fn memory_is_bounded_for_a_fingerprint() {
    let folder = folder();
    let path = write_long_line(&folder, "start", 64 * MIB as u64, "end");
    let (corpus, peak) = peak_bytes(|| fingerprinted(&[&path]));
    assert!(peak < MIB, "{peak} bytes for a fingerprint");
    let (_, peak) = peak_bytes(|| resumed(&corpus, &[&path]));
    assert!(peak < MIB, "{peak} bytes to compare");
    let (_, peak) = peak_bytes(|| blocks(&corpus, Position::default(), limits(10)));
    assert!(peak < MIB, "{peak} bytes to read");
    let json = serde_json::to_string(&corpus.fingerprint()).expect("JSON");
    assert!(
        json.len() < 64 << 10,
        "{} bytes in a checkpoint",
        json.len()
    );
}
