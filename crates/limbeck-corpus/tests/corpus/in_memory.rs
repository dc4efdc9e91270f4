//! Texts in memory: the same lines, batches and positions as from files, and batches without a thread.

use std::cell::Cell;
use std::path::Path;

use limbeck_corpus::Batches;

use super::*;

fn in_memory(texts: &[(&str, &[u8])]) -> Result<Corpus, CorpusError> {
    let texts = texts.iter();
    Corpus::in_memory(
        texts
            .map(|(name, bytes)| ((*name).to_owned(), Arc::from(*bytes)))
            .collect(),
        None,
    )
}

/// The files at `paths`, read into memory under their own names.
fn copied(paths: &[&Path]) -> Corpus {
    let contents: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| (pattern(path), fs::read(path).expect("a test file")))
        .collect();
    let texts: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    in_memory(&texts).expect("a corpus")
}

fn batches(corpus: &Corpus, from: DataPosition, count: usize) -> Vec<Loaded> {
    let batches = Batches::new(corpus.clone(), tokenise, settings(), from);
    batches
        .take(count)
        .collect::<Result<_, _>>()
        .expect("batches")
}

#[test]
fn files_and_memory_give_the_same_batches_and_positions() {
    let folder = folder();
    let files = small_corpus(&folder);
    let paths = ["a.txt", "b.txt.gz"].map(|name| folder.path().join(name));
    let memory = copied(&[&paths[0], &paths[1]]);
    assert_eq!(texts(&memory), texts(&files));
    assert_eq!(
        memory.describe().expect("sizes"),
        files.describe().expect("sizes")
    );
    let start = DataPosition::default();
    let threaded = load(&files, settings(), start.clone(), 290);
    assert_eq!(threaded.last().map(|loaded| loaded.next.epoch), Some(2));
    assert_eq!(batches(&memory, start.clone(), 290), threaded);
    assert_eq!(batches(&files, start.clone(), 290), threaded);
    assert_eq!(load(&memory, settings(), start, 290), threaded);
}

#[test]
fn a_run_in_memory_can_be_resumed_after_any_batch() {
    let folder = folder();
    let _ = small_corpus(&folder);
    let paths = ["a.txt", "b.txt.gz"].map(|name| folder.path().join(name));
    let corpus = copied(&[&paths[0], &paths[1]]);
    let all = batches(&corpus, DataPosition::default(), 290);
    for (index, loaded) in all.iter().enumerate() {
        let rest = batches(&corpus, loaded.next.clone(), all.len() - index - 1);
        assert_eq!(rest, all[index + 1..], "resumed after batch {index}");
    }
}

#[test]
fn gzip_in_memory_is_known_by_its_content() {
    let packed = gzip(b"\xef\xbb\xbfone\r\ntwo");
    let corpus = in_memory(&[("dropped", &packed)]).expect("a corpus");
    assert_eq!(
        texts(&corpus),
        [(0, 1, "one".to_owned()), (0, 2, "two".to_owned())]
    );
    let long: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let packed = gzip(long.as_bytes());
    let half = in_memory(&[("dropped", &packed[..packed.len() / 2])]).expect("its first lines");
    let message = first_error(&half);
    assert!(
        message.starts_with("dropped: the gzip data is truncated or damaged after "),
        "{message}"
    );
}

#[test]
fn texts_without_text_are_refused() {
    assert_eq!(
        in_memory(&[]).expect_err("nothing").to_string(),
        "empty corpus: no text given. Give texts with one document per line"
    );
    for nothing in ["", "\n \r\n\t\n", "\u{feff}"] {
        assert_eq!(
            in_memory(&[("pasted text", nothing.as_bytes())])
                .expect_err("empty")
                .to_string(),
            "empty corpus: no line of text in pasted text. Name files with one document per line"
        );
    }
    let corpus = in_memory(&[("empty", b""), ("full", b"text")]).expect("text");
    assert_eq!(texts(&corpus), [(1, 1, "text".to_owned())]);
}

#[test]
fn messages_call_a_text_by_its_name() {
    let corpus = in_memory(&[("notes.txt", b"fine\nfine\ncaf\xe9\n")]).expect("a corpus");
    assert_eq!(
        first_error(&corpus),
        "notes.txt, line 3: not valid UTF-8 at byte 4 of the line. Convert the file (iconv -f LATIN1 -t UTF-8, if that is its encoding), or \
         remove the line"
    );
    assert_eq!(corpus.name_line((0, 3)), "notes.txt, line 3");
    let failing = |_: &[&str]| Err("no vocabulary".to_owned());
    let corpus = in_memory(&[("notes.txt", b"fine\n")]).expect("a corpus");
    let all = LoaderSettings {
        held_out: 0.0,
        ..settings()
    };
    let mut failed = Batches::new(corpus, failing, all, DataPosition::default());
    let error = failed.next().expect("an item").expect_err("an error");
    assert_eq!(
        error.to_string(),
        "cannot tokenise the lines from notes.txt, line 1 on: no vocabulary"
    );
    assert!(failed.next().is_none(), "it goes on after an error");
}

#[test]
fn lines_are_counted_by_text() {
    let packed = gzip(b"one\n\ntwo\nthree");
    let many = "text\n \n".repeat(5000);
    let corpus = in_memory(&[
        ("a.txt", b"\n\n"),
        ("b.gz", &packed),
        ("c.txt", many.as_bytes()),
    ])
    .expect("a corpus");
    assert_eq!(corpus.count_lines().expect("readable"), [0, 3, 5000]);
}

/// Nothing is prepared before it is asked for, and then one chunk at a time.
#[test]
fn batches_are_prepared_when_they_are_asked_for() {
    let lines: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let corpus = in_memory(&[("lines", lines.as_bytes())]).expect("a corpus");
    let tokenised = Cell::new(0);
    let counting = |lines: &[&str]| {
        tokenised.set(tokenised.get() + lines.len());
        tokenise(lines)
    };
    let all = LoaderSettings {
        held_out: 0.0,
        ..settings()
    };
    let chunk = 2 * 50;
    let mut batches = Batches::new(corpus, counting, all, DataPosition::default());
    assert_eq!(tokenised.get(), 0);
    for batch in 0..60 {
        batches.next().expect("a batch").expect("a batch");
        let chunks = if batch < 50 { 1 } else { 2 };
        // The block holds 130 lines, so its second chunk is smaller.
        assert_eq!(tokenised.get(), (chunks * chunk).min(130));
    }
}
