//! A corpus whose parts have weights: their shares of the lines, that a part that ends begins anew, and that a run can be resumed
//! at any batch.

use std::collections::HashMap;

use super::*;

/// A text of so many lines of different lengths, some of them blank.
fn text(name: &str, lines: usize) -> String {
    let line = |n: usize| format!("{name} {n}{}\n{}", " w".repeat(n % 7), "\n".repeat(n % 2));
    (0..lines).map(line).collect()
}

/// Two languages: 400 lines in two files that one pattern names, and 30 lines in a packed file.
fn two_languages(folder: &TempDir, weights: &[f64]) -> Result<Corpus, CorpusError> {
    write(folder, "en-1.txt", text("one", 150));
    write(folder, "en-2.txt", text("two", 250));
    write(folder, "de.gz", gzip(text("drei", 30).as_bytes()));
    let patterns = ["en-*.txt", "de.gz"].map(|name| pattern(folder.path().join(name)));
    weighted(Corpus::open(&patterns, None)?, weights, 0.0)
}

/// A corpus of a run that holds so much out.
fn weighted(corpus: Corpus, weights: &[f64], heldout: f64) -> Result<Corpus, CorpusError> {
    corpus.weighted(Some(weights), limits(8), heldout)
}

/// How many lines of each part the batches have: the first two files are one.
fn of_each(batches: &[Loaded]) -> [usize; 2] {
    let sources = sources(batches);
    let second = sources.iter().filter(|(file, _)| *file == 2).count();
    [sources.len() - second, second]
}

fn everything() -> LoaderSettings {
    LoaderSettings {
        held_out: 0.0,
        ..settings()
    }
}

#[test]
fn each_part_has_its_share_of_the_lines_from_the_first_block_on() {
    let folder = folder();
    for (weights, share) in [([3.0, 1.0], 0.25), ([1.0, 1.0], 0.5), ([0.2, 0.05], 0.2)] {
        let corpus = two_languages(&folder, &weights).expect("a corpus");
        let settings = everything();
        let all = load(&corpus, settings, DataPosition::default(), 400);
        let mut by_block: HashMap<u64, Vec<Loaded>> = HashMap::new();
        for loaded in all {
            by_block.entry(loaded.next.block).or_default().push(loaded);
        }
        let last = by_block.keys().max().copied().unwrap_or_default();
        assert!(last > 3, "{last} blocks");
        for (block, batches) in by_block.iter().filter(|(block, _)| **block < last) {
            let [first, second] = of_each(batches);
            let expected = share * (first + second) as f64;
            assert!(
                (second as f64 - expected).abs() <= 2.0,
                "{weights:?}, block {block}: {first} and {second}"
            );
        }
    }
}

#[test]
fn a_weighted_run_can_be_resumed_after_any_batch() {
    let folder = folder();
    let corpus = two_languages(&folder, &[1.0, 0.5]).expect("a corpus");
    let corpus = corpus.fingerprinted().expect("readable");
    for keep_last in [true, false] {
        let settings = LoaderSettings {
            keep_last,
            ..settings()
        };
        let all = load(&corpus, settings, DataPosition::default(), 150);
        let lines = sources(&all);
        let times = |source| lines.iter().filter(|other| **other == source).count();
        assert!(
            lines
                .iter()
                .any(|source| source.0 == 2 && times(*source) > 2)
        );
        resumes_anywhere(&corpus, settings, &all);
    }
}

/// Lines of a block are sorted by length: equal ones would share their batches.
#[test]
fn a_block_with_room_for_more_ends_where_its_lines_would_come_again() {
    let folder = folder();
    let corpus = two_languages(&folder, &[400.0, 20.0]).expect("a corpus");
    let settings = LoaderSettings {
        limits: limits(100_000),
        keep_last: true,
        ..everything()
    };
    let all = load(&corpus, settings, DataPosition::default(), 700);
    let blocks = all.last().map_or(0, |loaded| loaded.next.block);
    assert!(blocks > 1, "{blocks} blocks");
    let first = all.into_iter().filter(|loaded| loaded.next.block == 0);
    let lines = sources(&first.collect::<Vec<_>>());
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
    assert_eq!(lines.len(), 420);
}

#[test]
fn a_part_of_weight_0_is_not_trained_on() {
    let folder = folder();
    let corpus = two_languages(&folder, &[0.0, 7.0]).expect("a corpus");
    let all = load(&corpus, everything(), DataPosition::default(), 60);
    let lines = sources(&all);
    assert!(lines.iter().all(|(file, _)| *file == 2));
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 30);
}

#[test]
fn held_out_lines_are_never_trained_on_and_a_corpus_of_nothing_else_is_refused() {
    let folder = folder();
    let corpus = two_languages(&folder, &[3.0, 1.0]).expect("a corpus");
    let trained = trained_sources(&corpus);
    let all = load(&corpus, settings(), DataPosition::default(), 500);
    let seen: HashSet<_> = sources(&all).into_iter().collect();
    assert_eq!(seen, trained.into_iter().collect());
    let none = LoaderSettings {
        held_out: 1.0,
        ..settings()
    };
    let error = loader_error(&corpus, tokenise, none);
    assert!(error.starts_with("the corpus yields no batch"), "{error}");
}

/// Nothing would ever be read of it, and nothing would say so.
#[test]
fn a_part_whose_lines_are_all_held_out_has_no_weight() {
    let folder = folder();
    let (heldout, lines) = (0.25, (0..60).map(|n| format!("line {n}\n")));
    let is_held = |line: &String| is_held_out(line.trim_end(), heldout);
    let (held, trained): (Vec<String>, Vec<String>) = lines.partition(is_held);
    assert!(held.len() > 2 && trained.len() > 2);
    write(&folder, "trained.txt", trained.concat());
    let told = |held: &[String], heldout: f64| {
        write(&folder, "held.txt", held.concat());
        let patterns = ["trained.txt", "held.txt"].map(|name| pattern(folder.path().join(name)));
        let corpus = Corpus::open(&patterns, None).expect("a corpus");
        assert!(weighted(corpus.clone(), &[1.0, 0.0], heldout).is_ok());
        let weighted = weighted(corpus, &[1.0, 0.5], heldout).err();
        weighted.map(|error| error.to_string())
    };
    let message = |lines: &str| {
        Some(format!(
            "'held.txt' of the corpus has a weight, but no line to train on: {lines} held out for evaluation (heldout = 0.25). Add lines to it, \
             hold out fewer, or give it the weight 0"
        ))
    };
    let count = held.len();
    assert_eq!(
        told(&held, heldout),
        message(&format!("all of its {count} lines are"))
    );
    assert_eq!(told(&held[..1], heldout), message("its only line is"));
    assert_eq!(told(&held, 0.0), None);
    assert_eq!(told(&[held, trained].concat(), heldout), None);
}

#[test]
fn weights_that_do_not_fit_the_corpus_are_refused() {
    let folder = folder();
    let refused = |corpus: Result<Corpus, CorpusError>| corpus.expect_err("refused").to_string();
    assert_eq!(
        refused(two_languages(&folder, &[1.0])),
        "1 weight for 2 files of text; give each one"
    );
    let path = folder.path().join("en-1.txt");
    let again = [pattern(folder.path().join("en-*.txt")), pattern(path)];
    let again = Corpus::open(&again, None).expect("a corpus");
    assert_eq!(
        refused(weighted(again.clone(), &[1.0, 2.0], 0.0)),
        "'en-1.txt' of the corpus has a weight, but no line of text of its own: it is blank, or a path before it names it, too. Leave it out, or give it the weight 0"
    );
    assert!(weighted(again.clone(), &[1.0, 0.0], 0.0).is_ok());
    assert!(again.weighted(None, limits(8), 0.0).is_ok());
    let blank = write(&folder, "blank.txt", "\n \n");
    let corpus = open(&[&write(&folder, "a.txt", "a\n"), &blank]).expect("a corpus");
    assert!(refused(weighted(corpus, &[1.0, 1.0], 0.0)).starts_with("'blank.txt' of the corpus"));
}

#[test]
fn a_position_without_weights_is_written_as_before() {
    let written = serde_json::to_value(DataPosition::default()).expect("JSON");
    assert!(written.get("parts").is_none());
    let read: DataPosition = serde_json::from_value(written).expect("a position");
    assert_eq!(read, DataPosition::default());
}

#[test]
fn held_out_lines_come_from_all_parts() {
    let folder = folder();
    let corpus = two_languages(&folder, &[1.0, 0.0]).expect("a corpus");
    assert_eq!(corpus.measured_parts(), ["en-*.txt", "de.gz"]);
    let found = |count| held_out(&corpus, limits(7), 0.5, count).expect("readable");
    let of = |part: usize, count| {
        let lines = found(count);
        lines.iter().filter(|(of, _)| *of == part).count()
    };
    let all = found(1000);
    let short = of(1, 1000);
    assert!((8..=22).contains(&short), "{short}");
    assert_eq!((of(0, 10), of(1, 10)), (5, 5));
    assert_eq!((of(0, 7), of(1, 7)), (4, 3));
    assert_eq!((of(0, 100), of(1, 100)), (100 - short, short));
    // Those of all files in order, where all have room.
    let expected = texts(&corpus).into_iter().map(|(_, _, text)| text);
    let expected: Vec<String> = expected.filter(|text| is_held_out(text, 0.5)).collect();
    let lines: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
    assert_eq!(lines, expected);
}

#[test]
fn parts_are_measured_apart_where_there_are_several_and_not_too_many() {
    let names = |parts: Vec<&str>| {
        let texts = parts
            .into_iter()
            .map(|name| (name.to_owned(), b"a b\n"[..].into()));
        let corpus = Corpus::in_memory(texts.collect(), None).expect("a corpus");
        corpus.measured_parts()
    };
    assert!(names(vec!["a"]).is_empty());
    assert_eq!(names(vec!["a", "b", "a"]), ["a (1)", "b", "a (3)"]);
    assert_eq!(names(vec!["x/a", "b"]), ["a", "b"]);
    assert_eq!(names(vec!["a"; 32]).len(), 32);
    assert!(names(vec!["a"; 33]).is_empty());
}
