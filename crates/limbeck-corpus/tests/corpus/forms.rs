//! What a text is: documents, or something else that is named before a run begins.

use super::*;

/// What is said of a file, without its name.
fn refusal(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let folder = folder();
    let path = write(&folder, name, bytes);
    let error = open(&[&path]).expect_err(name).to_string();
    let (file, said) = error.split_at(pattern(&path).len());
    assert_eq!(file, pattern(&path));
    said.to_owned()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn what_is_no_text_is_named_as_what_it_is() {
    let tar = [&[b'a'; 257][..], b"ustar\0", &[0; 249]].concat();
    let office = [&b"PK\x03\x04\x14\0"[..], &[0; 24], b"[Content_Types].xml"].concat();
    let book = [
        &b"PK\x03\x04"[..],
        &[0; 26],
        b"mimetypeapplication/epub+zip",
    ]
    .concat();
    let zip = [&b"PK\x03\x04"[..], &[0; 26], b"notes.txt"].concat();
    let cases: [(&[u8], &str, &str); 23] = [
        (b"PAR1\x15\x04\x15\xe0", "a Parquet file", "as JSON lines"),
        (b"ARROW1\0\0", "an Arrow file", "as JSON lines"),
        (b"ORC\n\x0b", "an ORC file", "as JSON lines"),
        (b"SQLite format 3\0\x10\0", "an SQLite database", "sqlite3"),
        (b"%PDF-1.7\n%\xe2\xe3\n", "a PDF", "pdftotext"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0",
            "an office file",
            "Save it as text",
        ),
        (b"{\\rtf1\\ansi text}", "an RTF file", "Save it as text"),
        (&office, "an office file", "Save it as text"),
        (&book, "an office file", "Save it as text"),
        (&zip, "a zip archive", "Unpack it"),
        (&tar, "a tar archive", "Unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive", "Unpack it"),
        (
            b"\x04\x22\x4d\x18\x40",
            "packed with lz4",
            "or pack it with gzip",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "a Git LFS pointer, not the file itself",
            "git lfs pull",
        ),
        (
            b"\xff\xfea\0\n\0",
            "UTF-16 text",
            "iconv -f UTF-16 -t UTF-8",
        ),
        (
            b"\xff\xfe\0\0a\0\0\0",
            "UTF-32 text",
            "iconv -f UTF-32 -t UTF-8",
        ),
        (
            b"\x01\x02\0\xfe\xfd\xff\0rest",
            "binary data",
            "Name text files",
        ),
        (&[0; 5000], "binary data", "Name text files"),
        (
            b"\x5d\0\0\x80\0\xff\xff\xff\xff",
            "packed with lzma",
            "pack it with gzip",
        ),
        (
            b"\n<!DOCTYPE html>\n<title>Not found</title>\n",
            "an HTML page",
            "Extract its text",
        ),
        (b"<html>\n", "an HTML page", "in the place of a text"),
        (
            b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n",
            "an XML file",
            "Extract its text",
        ),
        (
            b"[\n {\"text\": \"one\"},\n {\"text\": \"two\"}\n]\n",
            "one JSON document",
            "jq -c",
        ),
    ];
    for (bytes, what, advice) in cases {
        let said = refusal("corpus.txt", bytes);
        let start = format!(" is {what}, not text with one document per line. ");
        assert!(said.starts_with(&start) && said.contains(advice), "{said}");
        // The same inside gzip.
        let said = refusal("corpus.txt.gz", gzip(bytes));
        let start = format!(" is {what}, packed with gzip, not text with one document per line. ");
        assert!(said.starts_with(&start), "{said}");
    }
}

#[test]
fn what_is_packed_twice_is_unpacked_once_by_hand() {
    let bytes = gzip(b"one\ntwo\n");
    for (packed, inner) in [(gzip(&bytes), "gzip"), (gzip(b"\xfd7zXZ\0"), "xz")] {
        let said = refusal("corpus.txt.gz", packed);
        let expected = " is packed twice ({} inside gzip), not text with one document per line. Unpack it once (gzip -d)";
        assert_eq!(said, expected.replace("{}", inner));
    }
}

#[test]
fn words_at_the_beginning_of_a_text_prove_nothing() {
    for text in [
        "ORCA is a whale.\n",
        "PAR10 is a light.\n",
        "LZIP packs.\n",
        "BZh is no header.\n",
    ] {
        assert_texts(text, &[(1, text.trim_end())]);
    }
}

#[test]
fn wide_characters_are_known_without_a_mark() {
    let german = "Über den Fluss\ngeht die alte Brücke\n";
    let russian = "Мама мыла раму\nа папа читал газету\n";
    for text in [german, russian] {
        for (bytes, encoding) in [
            (utf16(text, u16::to_le_bytes), "UTF-16LE"),
            (utf16(text, u16::to_be_bytes), "UTF-16BE"),
        ] {
            let said = refusal("corpus.txt", &bytes);
            let expected = format!(
                " is UTF-16 text, not text with one document per line. Convert it (iconv -f {encoding} -t UTF-8)"
            );
            assert_eq!(said, expected);
        }
    }
    // A letter whose lower byte is zero is no sign against it.
    let latvian = format!("\u{100}dama {german}");
    let said = refusal("corpus.txt", utf16(&latvian.repeat(20), u16::to_le_bytes));
    assert!(said.contains("iconv -f UTF-16LE"), "{said}");
    // Zeros alone make no UTF-16: between names, on either side, or a few in much text.
    for text in [
        "one\0two\0three\0four\0five\0",
        "a line\n\0\0\0\0\0\0\n",
        "\0 odd\n",
    ] {
        let folder = folder();
        let path = write(
            &folder,
            "corpus.txt",
            format!("{text}{}", "plain text\n".repeat(20)),
        );
        assert_eq!(open(&[&path]).map(drop).map_err(|e| e.to_string()), Ok(()));
    }
}

#[test]
fn lines_of_an_old_mac_are_lines() {
    assert_texts("one\rtwo\r\rfour", &[(1, "one"), (2, "two"), (4, "four")]);
    assert_texts("\u{feff}one\rtwo\r", &[(1, "one"), (2, "two")]);
    assert_texts(gzip(b"one\rtwo\r"), &[(1, "one"), (2, "two")]);
    // A text with LF has LF for its line ends, also where the first line is longer than what is looked at.
    assert_texts("one\rstill one\ntwo", &[(1, "one\rstill one"), (2, "two")]);
    let long = "x".repeat((64 << 10) - 1);
    let folder = folder();
    let path = write(&folder, "long.txt", format!("{long}\r\ntwo\rstill two\n"));
    let corpus = open(&[&path]).expect("a corpus");
    assert_eq!(texts(&corpus)[1].2, "two\rstill two");
}

#[test]
fn blocks_of_an_old_mac_start_at_each_end() {
    let folder = folder();
    let text: String = (1..=300)
        .map(|n| format!("line {n} of the text\r"))
        .collect();
    let path = write(&folder, "mac.txt", &text);
    let corpus = open(&[&path]).expect("a corpus");
    let held = corpus.clone().fingerprinted().expect("a corpus");
    let all = blocks(&corpus, Position::default(), limits(7));
    assert_eq!(
        all.iter().map(|block| block.lines.len()).sum::<usize>(),
        300
    );
    for (index, block) in all.iter().enumerate() {
        assert_eq!(blocks(&corpus, block.end, limits(7)), all[index + 1..]);
        assert_eq!(blocks(&held, block.start, limits(7)), all[index..]);
    }
    fs::write(&path, text.replace("line 100 ", "Line 100 ")).expect("writing");
    let said = first_error(&held);
    assert!(said.contains("it differs in lines 97 to 100"), "{said}");
}

#[test]
fn tables_are_known_by_their_columns() {
    let comma = "id,text\n0,\"One, two, \"\"three\"\"\"\n1,plain\n2,\"a\nline\"\n";
    let tab = "text\tlabel\nA film.\t1\nAnother film.\t0\nA third.\t1\n";
    let semicolon = "text;title\r\na;b\r\nc;d\r\ne;f\r\n";
    let unescaped = "id,text\n0,\"He said \"no, no\", twice.\"\n1,\"a\"\n2,\"b\"\n";
    for (name, text, columns) in [
        ("corpus.txt", comma, "id, text"),
        ("corpus.txt", unescaped, "id, text"),
        ("corpus.txt", tab, "text, label"),
        ("corpus.txt", semicolon, "text, title"),
        ("corpus.csv", "a,b\nc,d\n", "a, b"),
    ] {
        let said = refusal(name, text);
        let start = format!(
            " is a table, not text with one document per line. Its first row is {columns}. Write the column"
        );
        assert!(said.starts_with(&start), "{said}");
    }
    let said = refusal("corpus.csv.gz", gzip(b"a,b\nc,d\n"));
    assert!(
        said.starts_with(" is a table, packed with gzip, not"),
        "{said}"
    );
    // Text with commas, whatever it is called.
    for (name, text) in [
        ("corpus.txt", "Hello, world\n".repeat(9)),
        (
            "corpus.csv",
            "One line.\nTwo, or three.\nFour.\n".to_owned(),
        ),
        (
            "corpus.txt",
            "\"Yes,\" she said.\n\"No, no,\" he said, twice.\nSo it went.\nOn, and on.\n"
                .to_owned(),
        ),
    ] {
        let folder = folder();
        let path = write(&folder, name, text);
        assert_eq!(open(&[&path]).map(drop).map_err(|e| e.to_string()), Ok(()));
    }
}

const JSON: &str = "{\"id\": 0, \"text\": \"one \\u00e9\"}\n\n{\"text\":\"two\\nlines\", \"id\": [1, {}]}\r\n{\"text\": \" \"}\n{\"text\": \"four\"}";

#[test]
fn a_field_of_json_lines_is_the_document() {
    let folder = folder();
    let files = [
        write(&folder, "a.jsonl", JSON),
        write(&folder, "b.jsonl.gz", gzip(JSON.as_bytes())),
        write(&folder, "c.txt", format!("\u{feff}{JSON}")),
    ];
    for path in &files {
        let corpus = open_json(&[path], Some("text")).expect("a corpus");
        let expected = [(1, "one é"), (3, "two\nlines"), (5, "four")];
        let found = texts(&corpus);
        let found: Vec<_> = found
            .iter()
            .map(|(_, n, text)| (*n, text.as_str()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(corpus.count_lines().expect("lines"), [3]);
        let all = blocks(&corpus, Position::default(), limits(1));
        for (index, block) in all.iter().enumerate() {
            assert_eq!(blocks(&corpus, block.start, limits(1)), all[index..]);
        }
        assert_eq!(
            open(&[path]).expect_err("no field").to_string(),
            format!(
                "{} is JSON lines: name the field that holds the text, with --corpus-field NAME or `corpus_field` in a recipe; \
                 its keys are id, text",
                pattern(path)
            )
        );
    }
    let memory = Corpus::in_memory(vec![("m".into(), JSON.as_bytes().into())], Some("text"));
    assert_eq!(texts(&memory.expect("a corpus")).len(), 3);
}

#[test]
fn a_run_on_json_lines_can_be_resumed_after_any_batch() {
    let folder = folder();
    let line = |n: usize| {
        format!(
            "{{\"n\": {n}, \"text\": \"line {n}{}\"}}\n",
            " w".repeat(n % 9)
        )
    };
    let text: String = (0..140).map(line).collect();
    let path = write(&folder, "a.jsonl.gz", gzip(text.as_bytes()));
    let corpus = open_json(&[&path], Some("text")).expect("a corpus");
    let corpus = corpus.fingerprinted().expect("a corpus");
    let all = load(&corpus, settings(), DataPosition::default(), 150);
    resumes_anywhere(&corpus, settings(), &all);
}

#[test]
fn a_line_without_a_document_is_named() {
    let folder = folder();
    let good = "{\"text\": \"one\"}\n";
    for (line, reason) in [
        (
            "{\"title\": \"a\", \"body\": \"b\"}",
            "no field `text`; its keys are body, title",
        ),
        ("{}", "no field `text`; its keys are none"),
        (
            "{\"text\": null}",
            "the field `text` is null, not a string. Name another field, or leave the line out",
        ),
        (
            "{\"text\": 7}",
            "the field `text` is a number, not a string. Name another field, or leave the line out",
        ),
        (
            "{\"text\": [\"a\"]}",
            "the field `text` is a list, not a string. Name another field, or leave the line out",
        ),
        (
            "plain text",
            "not a JSON object (column 1: no JSON value is written like that). With --corpus-field every line must be a JSON object; \
                        leave it out for plain text",
        ),
        (
            "{\"text\": \"\\ud800\"}",
            "not valid JSON (column 17: the escape stands for half of a character: what is beyond \\uffff takes two, as \
                        \\ud83d\\ude00 does). With --corpus-field every line must be a JSON object; leave it out for plain text",
        ),
        (
            "{\"text\": \"größe\", \"x\": 'y'}",
            "not valid JSON (column 24: no JSON value is written like that). With --corpus-field every line must be a JSON object; \
                        leave it out for plain text",
        ),
        (
            "7",
            "not a JSON object (it is a number, and must be an object in braces). With --corpus-field every line must be a JSON \
                        object; leave it out for plain text",
        ),
    ] {
        // In the first line it is said when the corpus is opened, of any of its files.
        let whole = write(&folder, "whole.jsonl", good);
        let first = write(&folder, "first.jsonl", format!("{line}\n{good}"));
        let error = open_json(&[&whole, &first], Some("text")).expect_err(line);
        assert_eq!(
            error.to_string(),
            format!("{}, line 1: {reason}", pattern(&first))
        );
        let third = write(
            &folder,
            "third.jsonl",
            format!("{good}{good}{line}\n{good}"),
        );
        let corpus = open_json(&[&third], Some("text")).expect("a corpus");
        assert_eq!(
            first_error(&corpus),
            format!("{}, line 3: {reason}", pattern(&third))
        );
    }
}

#[test]
fn an_id_is_kept_as_it_is_written() {
    for (id, kept) in [
        ("7", Some("7")),
        ("-12345678901234567890123", Some("-12345678901234567890123")),
        ("1.50", Some("1.50")),
        ("\"a \\\"b\\\"\"", Some("\"a \\\"b\\\"\"")),
        ("1, \"id\" : 2 ", Some("2")),
        ("[1]", None),
        ("null", None),
    ] {
        let line = format!(" {{\"a\": {{\"id\": 0}}, \"id\": {id}, \"text\": \"one\"}}\r");
        let document = document(&line, false, "text").expect(id);
        assert_eq!(document.as_deref(), Some("one"), "{id}");
        assert_eq!(limbeck_corpus::id(&line), kept, "{id}");
    }
}

#[test]
fn a_line_of_json_has_a_limit_and_its_text_the_limit_of_a_line() {
    let folder = folder();
    let long = format!("{{\"text\": \"{}\"}}\n", "é".repeat(30_000));
    let path = write(&folder, "long.jsonl", &long);
    let corpus = open_json(&[&path], Some("text")).expect("a corpus");
    let line = &blocks(&corpus, Position::default(), limits(9))[0].lines[0];
    assert_eq!((line.text.len(), line.cut), (512 * 32, true));
    let text = "x".repeat(16 * MIB);
    let path = write(
        &folder,
        "huge.jsonl",
        format!("{{\"text\": \"a\"}}\n{{\"text\": \"{text}\"}}\n"),
    );
    let corpus = open_json(&[&path], Some("text")).expect("a corpus");
    let (error, peak) = peak_bytes(|| first_error(&corpus));
    assert_eq!(
        error,
        format!(
            "{}, line 2: longer than 16 MiB, the most that a line of JSON may be",
            pattern(&path)
        )
    );
    assert!(peak < 64 * MIB, "{peak}");
}

#[test]
fn text_that_begins_like_json_is_text() {
    for text in [
        "[1] A citation.\n[2] Another.\n",
        "{braces} in a line\n",
        "{\nint main;\n}\n",
        "[]: empty\n",
        "{} and more\n",
    ] {
        let folder = folder();
        let path = write(&folder, "corpus.txt", text);
        assert_eq!(
            open(&[&path]).map(drop).map_err(|e| e.to_string()),
            Ok(()),
            "{text}"
        );
    }
    for text in ["{\n \"a\": 1\n}\n", "[1, 2]", "{\"a\": {\n}}\n"] {
        assert!(
            refusal("corpus.txt", text).starts_with(" is one JSON document, not"),
            "{text}"
        );
    }
    // More than what is looked at.
    let items = "{\"text\": \"one\"},\n".repeat(9000);
    assert!(refusal("a.json", format!("[{items}{{}}]")).starts_with(" is one JSON document"));
    let long = format!("{{\"text\": \"{}\"}}\n", "x".repeat(100_000));
    let message = " is JSON lines: name the field that holds the text, with --corpus-field NAME or `corpus_field` in a recipe";
    assert_eq!(refusal("a.json", long), message);
}

#[test]
fn lists_and_tables_are_no_documents_with_a_field_or_without() {
    let folder = folder();
    let lists = write(&folder, "a.jsonl", "[\"one\", 1]\n\n[\"two\", 2]\n");
    let long = write(
        &folder,
        "b.jsonl",
        "[\"three\", 3]\n".repeat(1 + (64 << 10) / 13),
    );
    let table = write(&folder, "c.csv", "id,text\n1,one\n2,two\n3,three\n");
    for field in [None, Some("text")] {
        for (path, what) in [
            (&lists, "JSON lines of lists, not text"),
            (&long, "JSON lines of lists, not text"),
            (&table, "a table, not text"),
        ] {
            let error = open_json(&[path], field).expect_err(what).to_string();
            assert!(error.contains(&format!(" is {what}")), "{error}");
        }
    }
    // Lines that only begin like lists are text.
    let path = write(&folder, "d.txt", "[1]\n[2] Two.\n");
    assert_eq!(open(&[&path]).map(drop).map_err(|e| e.to_string()), Ok(()));
}

#[test]
fn lines_that_are_json_strings_are_what_these_say() {
    let folder = folder();
    let texts = |text: &str| {
        let path = write(&folder, "corpus.jsonl", text);
        let blocks = open(&[&path])?.blocks(Position::default(), limits(100));
        let lines = blocks.map(|block| Ok(block?.lines.into_iter().map(|line| line.text)));
        let lines: Result<Vec<_>, CorpusError> = lines.collect();
        Ok::<Vec<String>, CorpusError>(lines?.into_iter().flatten().collect())
    };
    let strings = "\u{feff}\"I \\\"came\\\".\"\r\n\n \"I\\nsaw: \\u00e9\" \n\"\"\n\"I won.\"";
    let said = ["I \"came\".", "I\nsaw: é", "I won."];
    assert_eq!(texts(strings).expect("strings"), said);
    // Whatever the first lines do not show, and cut as any other.
    let long = "é".repeat(40_000);
    for text in [format!("\"{long}\"\n"), format!("\"short\"\n\"{long}\"\n")] {
        let last = texts(&text).expect("strings").pop().expect("lines");
        assert_eq!(last, "é".repeat(limits(1).line_bytes / 2));
    }
    // Text, of which only some lines are in quotes, or one that may be anything.
    for text in [
        "\"I came.\"\n",
        "\"I came.\"\n\"I saw,\" he said.\n",
        "\"I came.\"\nThen he left.\n",
        "\"I\" came.\n\"I saw.\"\n",
        "He came.\n\"I saw.\"\n",
    ] {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(texts(text).expect("lines"), lines, "{text}");
    }
    // Where it is no string any more, and with a field, that is said.
    let many = "\"I came, I saw.\"\n".repeat(5000);
    for (last, found) in [
        ("\"I won.", "it ends before a closing quotation mark"),
        ("{\"text\": \"I won.\"}", "it is an object"),
    ] {
        let error = texts(&format!("{many}{last}\n"))
            .expect_err(last)
            .to_string();
        let said = format!(
            "corpus.jsonl, line 5001: not a JSON string, as the first lines of the file are ({found}). Make it one, or leave the line out"
        );
        assert!(error.ends_with(&said), "{error}");
    }
    let path = write(&folder, "corpus.jsonl", strings);
    let error = open_json(&[&path], Some("text"))
        .expect_err("no objects")
        .to_string();
    assert!(
        error.contains("line 1: not a JSON object") && error.contains("leave it out"),
        "{error}"
    );
}

#[test]
fn what_is_read_whole_is_told_from_text() {
    let wide = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    for (bytes, what) in [
        (wide("\u{feff}sentence\tlabel\r\n"), "UTF-16 text"),
        (wide("sentence\tlabel\na b\tc\n"), "UTF-16 text"),
        (b"\x1f\x8b\x08\0".to_vec(), "packed with gzip"),
        (b"PK\x03\x04 xl/".to_vec(), "an office file"),
    ] {
        assert_eq!(
            limbeck_corpus::other_than_text(&bytes).as_deref(),
            Some(what)
        );
    }
    for text in [
        "",
        "\u{feff}sentence\tlabel\na\tb\n",
        "{\"text\": 1}\n",
        "LZIP\tB-X\n",
        "gro\u{df}\tA\n",
    ] {
        assert_eq!(
            limbeck_corpus::other_than_text(text.as_bytes()),
            None,
            "{text}"
        );
    }
}
