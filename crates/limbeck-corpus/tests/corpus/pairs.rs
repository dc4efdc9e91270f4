//! A corpus of pairs of texts: lines with a tab, or two fields of JSON lines.

use limbeck_corpus::Batches;
use limbeck_recipe::{Documents, PAIR};

use super::*;

fn pairs(path: &Path) -> Result<Corpus, CorpusError> {
    Corpus::open(&[pattern(path)], Documents::Pairs)
}

fn fields(path: &Path) -> Result<Corpus, CorpusError> {
    let documents = Documents::of(Some("query, passage"), true).expect("two fields");
    Corpus::open(&[pattern(path)], documents)
}

fn texts_of(corpus: &Corpus) -> Vec<String> {
    texts(corpus).into_iter().map(|(_, _, text)| text).collect()
}

#[test]
fn fields_are_named_with_a_comma() {
    let of = |field| Documents::of(field, true);
    assert_eq!(of(None), Ok(Documents::Pairs));
    let both = ["query", "passage"].map(str::to_owned);
    assert_eq!(of(Some(" query,passage ")), Ok(Documents::Fields(both)));
    for wrong in ["query", "a,b,c", "query,", ","] {
        let told = of(Some(wrong)).expect_err("no two names");
        assert!(told.ends_with(&format!(", not \"{wrong}\"")), "{told}");
    }
    for twice in ["a,a", " query , query"] {
        let told = of(Some(twice)).expect_err("one name");
        let message = format!("\"{twice}\" names one field for both texts of a pair;");
        assert!(told.starts_with(&message), "{told}");
    }
    // Of one text the name may have a comma.
    let one = Documents::of(Some("a,b"), false);
    assert_eq!(one, Ok(Documents::Field("a,b".to_owned())));
}

#[test]
fn a_line_with_a_tab_is_a_pair() {
    let folder = folder();
    let lines = "a cat\tan animal\n\none text\nthree\tare\tmore than two\n";
    // A table that is nothing but pairs has that name, too.
    let even = "a cat\tan animal\na \"dog\"\tanother\nx\ty\nz\tw\n";
    // A quote is a character like any other, closed or not.
    let quoted = "\"Tis a cat\tan animal\na dog\t\"another\" one\nx \"\t\"y\n\nz\t\"w\n";
    for (name, text) in [
        ("pairs.txt", lines),
        ("pairs.tsv", even),
        ("quoted.tsv", quoted),
        ("quoted.txt", quoted),
    ] {
        let path = write(&folder, name, text);
        let expected: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(texts_of(&pairs(&path).expect("a corpus")), expected);
    }
    let old = write(&folder, "old.tsv", even.replace('\n', "\r"));
    let expected: Vec<&str> = even.lines().collect();
    assert_eq!(texts_of(&pairs(&old).expect("a corpus")), expected);
    let strings = write(&folder, "strings.jsonl", "\"a\\tb\"\n\"c\\td\"\n");
    assert_eq!(
        texts_of(&pairs(&strings).expect("a corpus")),
        ["a\tb", "c\td"]
    );
}

#[test]
fn two_fields_of_json_lines_are_a_pair() {
    let folder = folder();
    let json = "{\"passage\": \"b\\td\", \"query\": \"a\\tc\", \"id\": 1}\n\n{\"query\": \"e\", \"passage\": \"f\"}\n";
    let path = write(&folder, "pairs.jsonl", json);
    // The first text gives up its tab: a second one says no more.
    let expected = ["a c\tb\td", "e\tf"];
    assert_eq!(texts_of(&fields(&path).expect("a corpus")), expected);
    let path = write(
        &folder,
        "lacking.jsonl",
        "{\"query\": \"e\"}\n{\"query\": \"e\"}\n",
    );
    let told = fields(&path).expect_err("a field is missing").to_string();
    assert!(
        told.ends_with("line 1: no field `passage`; its keys are query"),
        "{told}"
    );
    let told = pairs(&path).expect_err("no field is named").to_string();
    let advice = "name the fields of both texts of a pair, with --corpus-field NAME,NAME or `corpus_field` in a recipe";
    assert!(told.contains(advice), "{told}");
}

/// A first text that is longer than any sequence does not take away the second.
#[test]
fn each_text_of_a_pair_is_cut_by_itself() {
    let folder = folder();
    let (long, few) = ("worö".repeat(100), BlockLimits::for_max_length(2));
    let line = format!("{long}\tsecond\nfirst\t{long}\nfirst\tsecond\n");
    let json = format!("{{\"query\": \"{long}\", \"passage\": \"second\"}}\n");
    let of_lines = pairs(&write(&folder, "long.txt", line)).expect("a corpus");
    let of_fields = fields(&write(&folder, "long.jsonl", json)).expect("a corpus");
    // 64 bytes end within a letter.
    let begin = &long[..few.line_bytes - 1];
    assert!(!long.is_char_boundary(few.line_bytes));
    let first = (format!("{begin}{PAIR}second"), true);
    let second = (format!("first{PAIR}{begin}"), true);
    let third = (format!("first{PAIR}second"), false);
    for (corpus, expected) in [
        (of_lines, vec![first.clone(), second, third]),
        (of_fields, vec![first]),
    ] {
        let lines = blocks(&corpus, Position::default(), few);
        let lines = lines.into_iter().flat_map(|block| block.lines);
        let found: Vec<(String, bool)> = lines.map(|line| (line.text, line.cut)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_no_list_of_pairs_is_refused() {
    let folder = folder();
    let rows = "a\tb\nc\td\ne\tf\n";
    for (name, text, message) in [
        (
            "named.tsv",
            format!("query\tpassage\n{rows}"),
            "Its first row is query, passage. Write two of its columns",
        ),
        (
            "three.tsv",
            "1\ta\tb\n2\tc\td\n".to_owned(),
            "Its first row is 1, a, b. Write two of its columns",
        ),
        (
            "three.txt",
            "1\ta\tb\n2\tc\td\n3\te\tf\n4\tg\th\n".to_owned(),
            "Its first row is 1, a, b. Write two of its columns",
        ),
        (
            "named.txt",
            format!("\"question1\"\t\"question2\"\n{rows}"),
            "Its first row is question1, question2. Write two of its columns",
        ),
        (
            "protected.tsv",
            "\"a\tcat\"\tan animal\n\"a\tdog\"\tanother\n".to_owned(),
            "without quotes, with a tab between the two texts",
        ),
        (
            "lists.jsonl",
            "[\"a\", \"b\"]\n[\"c\", \"d\"]\n".to_owned(),
            "with a tab between them (jq -r '@tsv')",
        ),
    ] {
        let told = pairs(&write(&folder, name, text))
            .expect_err(name)
            .to_string();
        assert!(told.contains(message), "{told}");
    }
}

/// Wherever it stands, a line may have more tabs than one: the second text has them.
#[test]
fn a_line_of_pairs_may_have_more_tabs() {
    let folder = folder();
    for wide in 0..8 {
        let lines = (0..8).map(|at| match at == wide {
            true => "a\tb\tc\n",
            false => "a\tb\n",
        });
        let path = write(&folder, "tabs.tsv", lines.collect::<String>());
        let corpus = pairs(&path).expect("pairs");
        let read = blocks(&corpus, Position::default(), BlockLimits::for_max_length(8));
        assert_eq!(read.iter().map(|block| block.lines.len()).sum::<usize>(), 8);
    }
}

/// Who forgets that lines are pairs is told how they are read as such.
#[test]
fn two_columns_are_named_as_pairs() {
    let folder = folder();
    let rows = "a\tb\nc\td\ne\tf\ng\th\n";
    let path = write(&folder, "two.tsv", rows);
    let open = |documents: Documents| {
        let opened = Corpus::open(&[pattern(&path)], documents);
        opened.expect_err("a table").to_string()
    };
    let told = open(Documents::Lines);
    assert!(
        told.contains("with --corpus-pairs reads each row"),
        "{told}"
    );
    let told = open(Documents::Fields(["a", "b"].map(str::to_owned)));
    assert!(told.contains("are pairs without --corpus-field"), "{told}");
    let lines = write(&folder, "two.jsonl", "{\"a\": \"x\", \"b\": \"y\"}\n");
    let told = Corpus::open(&[pattern(&lines)], Documents::Field("a,b".to_owned()));
    let told = told.expect_err("no such field").to_string();
    assert!(told.contains("add --corpus-pairs"), "{told}");
}

/// Types come with their tokens, in the order of the batch, and padding has type 0.
#[test]
fn a_batch_has_the_types_of_its_tokens() {
    let folder = folder();
    let text = "a b\tc\nd\ne f\tg h i\n";
    let corpus = pairs(&write(&folder, "pairs.txt", text)).expect("a corpus");
    let tokenise = |lines: &[&str]| {
        let mut encoded = tokenise(lines)?;
        for (line, encoded) in lines.iter().zip(&mut encoded) {
            if let Some((first, _)) = line.split_once(PAIR) {
                let firsts = 1 + first.split_whitespace().count();
                encoded.types = (0..encoded.ids.len())
                    .map(|at| u32::from(at >= firsts))
                    .collect();
            }
        }
        Ok(encoded)
    };
    let settings = LoaderSettings {
        batch: 3,
        held_out: 0.0,
        ..settings()
    };
    let batches = Batches::new(corpus, tokenise, settings, DataPosition::default());
    let batch = batches
        .take(1)
        .next()
        .expect("one")
        .expect("readable")
        .batch;
    assert_eq!(batch.types.len(), batch.ids.len());
    let rows = batch.types.chunks(batch.padded).zip(&batch.sources);
    for (types, (_, line)) in rows {
        let expected: &[u32] = match line {
            1 => &[0, 0, 0, 1, 1, 0, 0, 0],
            2 => &[0; 8],
            _ => &[0, 0, 0, 1, 1, 1, 1, 0],
        };
        assert_eq!(types, expected, "line {line}");
    }
    let without = Batch::pad(&[&[1, 2]], vec![(0, 1)], 0, 1, 4).with_types(&[&[]]);
    assert_eq!(without.types, [0_u32; 0]);
}
