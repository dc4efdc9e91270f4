//! `limbeck encode`: one object a line, whatever the line is.

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::scene::Outcome;
use crate::scene::{Scene, TEACHER_HIDDEN, gzip};
use crate::weights;

fn shape(value: &Value) -> Vec<usize> {
    match value.as_array() {
        None => Vec::new(),
        Some(items) => [
            vec![items.len()],
            items.first().map(shape).unwrap_or_default(),
        ]
        .concat(),
    }
}

#[test]
fn each_line_gives_one_embedding() {
    let objects = Scene::new()
        .encode(&[], "the teacher\n\nsmall student\n")
        .done()
        .objects();
    assert_eq!(objects.len(), 3);
    for object in &objects {
        assert_eq!(object.as_object().map(|fields| fields.len()), Some(1));
        assert_eq!(shape(&object["embedding"]), [TEACHER_HIDDEN]);
    }
    assert_ne!(objects[0], objects[2]);
}

#[test]
fn an_empty_line_without_special_tokens_gives_an_embedding_too() {
    let scene = Scene::new();
    scene.drop_special_tokens();
    let outcome = scene.encode(&[], "the teacher\n\nsmall student\n");
    assert_eq!(outcome.done().objects().len(), 3);
}

#[test]
fn no_text_gives_nothing() {
    assert_eq!(Scene::new().encode(&[], "").done().stdout, "");
}

#[test]
fn padding_beside_a_longer_line_changes_an_embedding_by_roundings_only() {
    let scene = Scene::new();
    let embedding = |batch: &str| {
        let outcome = scene
            .encode(
                &["--batch", batch],
                "key\nthe teacher reads two small words\n",
            )
            .done();
        outcome.objects()[0]["embedding"]
            .as_array()
            .expect("numbers")
            .iter()
            .filter_map(Value::as_f64)
            .collect::<Vec<_>>()
    };
    let (alone, padded) = (embedding("1"), embedding("2"));
    let largest = alone.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    assert!(largest > 0.1);
    for (a, b) in alone.iter().zip(&padded) {
        // 64 roundings of the largest value: two layers of sums over 24 to 40 numbers.
        assert!(
            (a - b).abs() <= 64.0 * f64::from(f32::EPSILON) * largest,
            "{a} and {b}"
        );
    }
}

#[test]
fn tokens_and_taps_of_a_layer_have_a_row_a_token() {
    let scene = Scene::new();
    let outcome = scene
        .encode(&["--layer", "1", "--tokens", "--taps"], "the teacher\n\n")
        .done();
    let objects = outcome.objects();
    assert_eq!(
        objects[0]["tokens"],
        serde_json::json!(["[CLS]", "the", "teacher", "[SEP]"])
    );
    for (object, tokens) in objects.iter().zip([4, 2]) {
        assert_eq!(shape(&object["ids"]), [tokens]);
        for part in ["hidden", "q", "k", "v"] {
            assert_eq!(shape(&object[part]), [tokens, TEACHER_HIDDEN], "{part}");
        }
    }
}

#[test]
fn layers_differ_and_the_last_is_the_default() {
    let scene = Scene::new();
    let hidden = |flags: &[&str]| {
        scene
            .encode(&[&["--tokens"], flags].concat(), "the teacher\n")
            .done()
            .stdout
    };
    let [embeddings, first, second] = ["0", "1", "2"].map(|layer| hidden(&["--layer", layer]));
    assert!(embeddings != first && first != second);
    assert_eq!(hidden(&[]), second);
}

#[test]
fn a_layer_that_does_not_exist_is_wrong_use() {
    let message = "layer 3 does not exist: the model has layers 1 to 2";
    Scene::new()
        .encode(&["--tokens", "--layer", "3"], "a\n")
        .refused(2, message);
}

#[test]
fn more_tokens_than_positions_are_wrong_use() {
    let message = "a sequence has 41 tokens, but the model has positions for 40; set max_length to 40 or less";
    Scene::new()
        .encode(&["--max-length", "41"], "a\n")
        .refused(2, message);
}

#[test]
fn taps_need_tokens() {
    let message = "the following required arguments were not provided:\n  --tokens";
    Scene::new().encode(&["--taps"], "").misused(message);
}

#[test]
fn long_lines_are_cut_at_the_length_asked_for() {
    let scene = Scene::new();
    let text = "teacher ".repeat(100);
    for (flags, tokens) in [
        (&["--tokens"][..], 40),
        (&["--tokens", "--max-length", "7"], 7),
    ] {
        assert_eq!(
            shape(&scene.encode(flags, &text).done().objects()[0]["ids"]),
            [tokens]
        );
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_make_no_difference() {
    let scene = Scene::new();
    let plain = scene
        .encode(&[], "the teacher\n\nsmall student\n")
        .done()
        .stdout;
    assert_eq!(
        scene
            .encode(&[], "\u{feff}the teacher\r\n\r\nsmall student")
            .done()
            .stdout,
        plain
    );
}

#[test]
fn files_are_read_in_the_order_given() {
    let scene = Scene::new();
    scene.write("one.txt", "the teacher\n");
    scene.write("two.txt", "small student\n");
    let both = scene
        .encode(&[], "small student\nthe teacher\n")
        .done()
        .stdout;
    assert_eq!(
        scene.encode(&["two.txt", "one.txt"], "").done().stdout,
        both
    );
    assert_eq!(
        scene
            .encode(&["two.txt", "-"], "the teacher\n")
            .done()
            .stdout,
        both
    );
    scene.encode(&["three.txt"], "").refused(
        1,
        "cannot read three.txt: No such file or directory (os error 2)",
    );
}

#[test]
fn text_in_another_encoding_is_named_by_its_line() {
    let scene = Scene::new();
    scene.write("latin.txt", b"fine\ngro\xdf\n");
    for (flags, place) in [(&["latin.txt"][..], "latin.txt"), (&[], "standard input")] {
        let outcome = scene.encode(flags, b"fine\ngro\xdf\n");
        let start = format!("limbeck: {place}, line 2: not valid UTF-8 at byte 4 of the line");
        assert!(outcome.stderr.starts_with(&start), "{}", outcome.stderr);
        assert_eq!(outcome.code, Some(1));
    }
}

#[test]
fn a_layer_is_asked_for_with_tokens() {
    let outcome = Scene::new().encode(&["--layer", "1"], "a\n");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("--tokens"), "{}", outcome.stderr);
}

/// Such a model has nothing but numbers, and computes none.
#[test]
fn what_is_no_number_is_refused_and_no_null() {
    let scene = Scene::new();
    weights::edit(&scene, |tensors| {
        let words = tensors
            .get_mut("embeddings.word_embeddings.weight")
            .expect("a table");
        // All words but [PAD], [UNK], [CLS] and [SEP].
        // Their difference is infinite.
        let opposite = |at: usize| if at.is_multiple_of(2) { 3e38 } else { -3e38 };
        *words = words.map(|at, x| {
            if at >= 10 * TEACHER_HIDDEN {
                opposite(at)
            } else {
                x
            }
        });
    });
    for flags in [&[][..], &["--tokens"], &["--tokens", "--taps"]] {
        let outcome = scene.encode(flags, "\nthe teacher\n");
        let message = "limbeck: standard input, line 2: the model computes what is not a number for this text, so there is no vector \
                       of it. Its weights are too large for 32-bit floats: take another model, or one of an earlier step\n";
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), message));
        assert_eq!(
            outcome.stdout.lines().count(),
            1,
            "the line before is encoded"
        );
        assert!(!outcome.stdout.contains("null"));
    }
}

/// A text of 20 MB took 2.5 GB to tokenise.
#[cfg(target_os = "linux")]
#[test]
fn a_line_of_20_megabytes_takes_no_more_memory_than_its_beginning() {
    let scene = Scene::new();
    let line = "the teacher reads a small model ".repeat(650_000);
    assert!(line.len() > 20_000_000);
    scene.write("long.txt", format!("small\n{line}\nstudent\n"));
    scene.write("short.txt", format!("small\n{}\nstudent\n", &line[..2000]));
    let encode = ["encode", "--device", "cpu", "--model", "teacher"];
    let short = scene.run(&[&encode[..], &["short.txt"]].concat()).done();
    let long = scene.run_within(2_000_000, &[&encode[..], &["long.txt"]].concat());
    let long = long.done();
    assert_eq!(long.stdout, short.stdout);
    let cut = |file: &str| {
        format!(
            "1 of 3 texts was cut: the model reads 40 tokens of a text; the first is {file}, line 2\n"
        )
    };
    assert_eq!(long.stderr, cut("long.txt"));
    assert_eq!(short.stderr, cut("short.txt"));
}

/// Texts that do not fit into memory together are encoded in parts: an allocation that fails would abort without a word.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_beyond_the_memory_is_encoded_in_parts_that_fit() {
    const LINES: usize = 40_000;
    let scene = Scene::new();
    let line = "the teacher reads a small model ".repeat(5) + "\n";
    scene.write("many.txt", line.repeat(LINES));
    let flags = "encode --device cpu --model teacher --batch 1000000 many.txt";
    let flags: Vec<&str> = flags.split(' ').collect();
    let outcome = scene.run_within(1_000_000, &flags).done();
    assert_eq!(outcome.stdout.lines().count(), LINES);
    let told = outcome.stderr.trim_end();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("40000 texts of up to "), "{told}");
    assert!(
        told.contains(" tokens do not fit into memory together ("),
        "{told}"
    );
    let most = told
        .strip_suffix(" does")
        .and_then(|told| told.rsplit_once(" --batch "));
    let most: usize = most.expect("an advice").1.parse().expect("a number");
    assert!((100..LINES).contains(&most), "{told}");
    // What is free differs a little from start to start.
    let batch = (most / 2).to_string();
    let flags = [&flags[..6], &[&batch, "many.txt"]].concat();
    let again = scene.run_within(1_000_000, &flags).done();
    assert_eq!(again.stderr, "");
    assert_eq!(again.stdout.lines().count(), LINES);
}

/// A failure that nobody foresaw, here that the system gives no thread: what is said of it is true of the command.
#[cfg(target_os = "linux")]
#[test]
fn an_internal_error_speaks_of_no_checkpoint() {
    let scene = Scene::new();
    let mut command = scene.command(&[
        "encode",
        "--device",
        "cpu",
        "--model",
        "teacher",
        "corpus.txt",
    ]);
    command.env("RUST_MIN_STACK", (1_u64 << 46).to_string());
    let outcome = Outcome::from(command.output().expect("starting limbeck"));
    let end = "limbeck: internal error, see above. Nothing of yours was changed. Please report it, with the command and the lines \
               above (if the GPU failed, try --device cpu)\n";
    assert!(outcome.stderr.ends_with(end), "{}", outcome.stderr);
    assert_eq!(outcome.code, Some(1));
}

/// The vectors of JSON lines.
fn embeddings(outcome: &crate::scene::Outcome) -> Vec<Vec<f64>> {
    let vector = |object: &Value| {
        let numbers = object["embedding"].as_array().expect("numbers");
        numbers.iter().filter_map(Value::as_f64).collect()
    };
    outcome.objects().iter().map(vector).collect()
}

/// Lines of one to thirty words, no two neighbours of the same length.
fn mixed_lines(count: usize) -> String {
    let words = ["the", "teacher", "reads", "two", "small", "words"];
    let line = |at: usize| {
        let words = (0..1 + at * 7 % 30).map(|word| words[(at + word) % words.len()]);
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    (0..count).map(line).collect()
}

#[track_caller]
fn are_near(a: &[Vec<f64>], b: &[Vec<f64>], most: f64) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs())
    });
    let worst = worst.fold(0.0, f64::max);
    assert!(worst <= most, "{worst:.1e}");
}

#[test]
fn lines_of_any_length_keep_their_order_and_their_vectors_in_any_batches() {
    let scene = Scene::new();
    scene.write("lines.txt", mixed_lines(5000));
    let encode = |flags: &[&str]| {
        let flags = [flags, &["lines.txt"]].concat();
        embeddings(&scene.encode(&flags, "").done())
    };
    let alone = encode(&["--batch", "1"]);
    assert_eq!(alone.len(), 5000);
    for flags in [
        &[][..],
        &["--batch", "32"],
        &["--batch-tokens", "64"],
        &["--batch", "7", "--batch-tokens", "1"],
    ] {
        are_near(&encode(flags), &alone, 1e-6);
    }
}

#[test]
fn lines_that_are_no_text_are_named_and_the_others_encoded() {
    let scene = Scene::new();
    let outcome = scene.encode(&[], b"small\ngro\xdf\nstudent\n\xff\n");
    let expected = scene.encode(&[], "small\nstudent\n").done().stdout;
    assert_eq!((outcome.code, &outcome.stdout), (Some(1), &expected));
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(said.len(), 3, "{}", outcome.stderr);
    for (said, place) in said.iter().zip(["line 2: ", "line 4: "]) {
        let start = format!("limbeck: standard input, {place}not valid UTF-8 at byte ");
        assert!(said.starts_with(&start), "{said}");
    }
    assert_eq!(
        said[2],
        "limbeck: 2 of 4 lines are left out, so there are fewer vectors than lines; the first is standard input, line 2"
    );
    let many = scene.encode(&[], b"\xff\n".repeat(1000));
    assert_eq!((many.code, many.stdout.as_str()), (Some(1), ""));
    assert_eq!(many.stderr.lines().count(), 11, "ten are named");
}

/// Shape, and bytes of the numbers, of an array in the format of numpy.
fn array(file: &[u8], floats: &str) -> ([usize; 2], Vec<u8>) {
    assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert_eq!((10 + length) % 64, 0, "the numbers are aligned");
    let header = std::str::from_utf8(&file[10..10 + length]).expect("ASCII");
    let start = format!("{{'descr': '{floats}', 'fortran_order': False, 'shape': (");
    let shape = header.strip_prefix(&start).expect("a dictionary");
    let (shape, rest) = shape.split_once("), }").expect("a shape");
    assert!(rest.trim_matches(' ') == "\n", "{rest:?}");
    let (rows, width) = shape.split_once(", ").expect("two axes");
    let shape = [rows, width].map(|axis| axis.parse().expect("a number"));
    (shape, file[10 + length..].to_vec())
}

#[test]
fn an_array_holds_the_vectors_of_the_json_lines() {
    let scene = Scene::new();
    let lines = mixed_lines(70);
    let json = embeddings(&scene.encode(&[], &lines).done());
    let npy = |flags: &[&str]| {
        let flags = [&["--format", "npy", "--out", "vectors.npy"], flags].concat();
        let outcome = scene.encode(&flags, &lines).done();
        assert_eq!(outcome.stdout, "");
        let file = scene.read("vectors.npy");
        scene.remove("vectors.npy");
        file
    };
    let rows = |numbers: Vec<f64>| {
        numbers
            .chunks(TEACHER_HIDDEN)
            .map(<[f64]>::to_vec)
            .collect()
    };
    let (shape, bytes) = array(&npy(&[]), "<f4");
    assert_eq!(shape, [70, TEACHER_HIDDEN]);
    let (floats, _) = bytes.as_chunks::<4>();
    let floats = floats.iter().map(|x| f64::from(f32::from_le_bytes(*x)));
    let single: Vec<Vec<f64>> = rows(floats.collect());
    are_near(&single, &json, 1e-6);
    let (shape, bytes) = array(&npy(&["--precision", "f16"]), "<f2");
    assert_eq!(shape, [70, TEACHER_HIDDEN]);
    let (halves, _) = bytes.as_chunks::<2>();
    let halves = halves.iter().map(|x| half::f16::from_le_bytes(*x).to_f64());
    let half: Vec<Vec<f64>> = rows(halves.collect());
    let largest = json
        .iter()
        .flatten()
        .fold(0.0, |most: f64, x| most.max(x.abs()));
    are_near(&half, &json, largest / 2048.0);
    assert!(half != single);
    // Of no lines, too.
    let empty = ["--format", "npy", "--out", "empty.npy"];
    scene.encode(&empty, "").done();
    assert_eq!(
        array(&scene.read("empty.npy"), "<f4").0,
        [0, TEACHER_HIDDEN]
    );
}

#[test]
fn vectors_have_length_1_on_request() {
    let scene = Scene::new();
    let lines = mixed_lines(9);
    let [plain, normalized] =
        [&[][..], &["--normalize"]].map(|flags| embeddings(&scene.encode(flags, &lines).done()));
    for (plain, normalized) in plain.iter().zip(&normalized) {
        let norm = plain.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() > 0.1, "{norm}");
        let scaled: Vec<f64> = plain.iter().map(|x| x / norm).collect();
        are_near(&[scaled], std::slice::from_ref(normalized), 1e-6);
    }
}

#[test]
fn a_file_of_vectors_is_there_whole_or_not_at_all() {
    let scene = Scene::new();
    let out = ["--out", "new/vectors.jsonl"];
    let expected = scene.encode(&[], "small\nstudent\n").done().stdout;
    assert_eq!(scene.encode(&out, "small\nstudent\n").done().stdout, "");
    assert_eq!(scene.text("new/vectors.jsonl"), expected);
    scene.encode(&out, "small\n").refused(
        2,
        "the file new/vectors.jsonl already exists. Choose another with --out, or replace it with --overwrite",
    );
    // Also where the last line has no vector.
    weights::edit(&scene, |tensors| {
        let words = tensors
            .get_mut("embeddings.word_embeddings.weight")
            .expect("a table");
        // Their difference is infinite.
        let opposite = |at: usize| if at.is_multiple_of(2) { 3e38 } else { -3e38 };
        *words = words.map(|at, x| {
            if at >= 10 * TEACHER_HIDDEN {
                opposite(at)
            } else {
                x
            }
        });
    });
    let outcome = scene.encode(&["--out", "other/vectors.jsonl"], "\n\nthe teacher\n");
    outcome.failed(
        "standard input, line 3: the model computes what is not a number for this text, so there is no vector of it. Its weights are \
         too large for 32-bit floats: take another model, or one of an earlier step",
    );
    assert_eq!(scene.files("other"), [""; 0]);
    let again = [&out[..], &["--overwrite"]].concat();
    assert_eq!(scene.encode(&again, "the teacher\n").code, Some(1));
    assert_eq!(scene.text("new/vectors.jsonl"), expected);
    assert_eq!(scene.files("new"), ["vectors.jsonl"]);
}

/// The message names the file that was asked for, not the one that is written beside it.
#[cfg(target_os = "linux")]
#[test]
fn a_place_where_nothing_can_be_written_is_named() {
    let outcome = Scene::new().encode(&["--out", "/proc/vectors.jsonl"], "small\n");
    let message = "cannot write /proc/vectors.jsonl: No such file or directory (os error 2)";
    outcome.refused(1, message);
}

#[test]
fn formats_that_do_not_go_together_are_wrong_use() {
    let scene = Scene::new();
    for (flags, part) in [
        (&["--format", "npy"][..], "--format npy needs --out FILE"),
        (
            &["--precision", "f16"],
            "--precision f16 is of --format npy",
        ),
        (
            &["--format", "npy", "--out", "a.npy", "--tokens"],
            "texts differ in their number of tokens",
        ),
    ] {
        let outcome = scene.encode(flags, "small\n");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

/// Somebody who does not read the vectors holds up the reading of the texts, and no memory is filled.
#[test]
fn what_is_not_taken_is_not_read_ahead() {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    let scene = Scene::new();
    let mut child = scene.piped(&["encode", "--device", "cpu", "--model", "teacher"]);
    let mut input = child.stdin.take().expect("a piped input");
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let writer = std::thread::spawn(move || {
        let line = b"the teacher reads two small words\n".repeat(100);
        while count.load(Ordering::SeqCst) < 64 << 20 && input.write_all(&line).is_ok() {
            count.fetch_add(line.len(), Ordering::SeqCst);
        }
    });
    let mut before = usize::MAX;
    while written.load(Ordering::SeqCst) != before {
        before = written.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(3));
    }
    child.kill().expect("ending limbeck");
    child.wait().expect("the end of limbeck");
    writer.join().expect("the end of the writer");
    // More than what a pipe holds, and less than all.
    assert!(before > 100 << 10, "nothing was read: {before} bytes");
    assert!(before < 4 << 20, "{before} bytes were read");
}

#[test]
fn a_file_of_vectors_replaces_no_input_and_nothing_that_is_no_file() {
    let scene = Scene::new();
    scene.write("texts.txt", "one\n");
    scene.write("there.jsonl", "mine\n");
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    let out = |out: &str| {
        scene.run(&[
            "encode",
            "--device",
            "cpu",
            "--model",
            "teacher",
            "texts.txt",
            "--overwrite",
            "--out",
            out,
        ])
    };
    for (place, why) in [
        ("texts.txt", "is one of those that are read"),
        ("teacher/model.safetensors", "is one of the model's"),
        ("folder", "is a folder, a link or a device"),
        ("new/", "has no name"),
    ] {
        let message = format!("the file {place} {why}. Choose another with --out");
        out(place).refused(2, &message);
    }
    assert_eq!(scene.text("texts.txt"), "one\n");
    out("there.jsonl").done();
    assert!(scene.text("there.jsonl").contains("embedding"));
}

/// Looking at a pipe does not take its writer away.
#[cfg(unix)]
#[test]
fn lines_come_from_a_named_pipe_too() {
    let scene = Scene::new();
    let made = std::process::Command::new("mkfifo")
        .arg(scene.path("pipe"))
        .status();
    assert!(made.expect("starting mkfifo").success());
    let pipe = scene.path("pipe");
    let writer = std::thread::spawn(move || std::fs::write(pipe, "one\ntwo\n"));
    let outcome = scene
        .run(&["encode", "--device", "cpu", "--model", "teacher", "pipe"])
        .done();
    writer.join().expect("the writer").expect("a pipe");
    assert_eq!(outcome.stdout.lines().count(), 2);
}

#[test]
fn the_field_of_json_lines_is_encoded_and_the_line_named() {
    let scene = Scene::new();
    scene.write(
        "texts.jsonl",
        "\u{feff}{\"id\": \"a-1\", \"text\": \"the teacher\"}\n\n \r\n{\"text\": \"\", \"id\": 7}\r\n\
         {\"text\": \"small \\u0073tudent\", \"id\": [1]}",
    );
    let plain = embeddings(&scene.encode(&[], "the teacher\n\nsmall student\n").done());
    for flag in ["--corpus-field", "--field"] {
        let outcome = scene.encode(&[flag, "text", "texts.jsonl"], "").done();
        assert_eq!(outcome.stderr, "");
        are_near(&embeddings(&outcome), &plain, 1e-6);
        let objects = outcome.objects();
        // Blank lines are none, and count as lines of the file.
        let lines = objects.iter().map(|object| object["line"].as_u64());
        assert_eq!(lines.collect::<Vec<_>>(), [Some(1), Some(4), Some(5)]);
        let ids: Vec<Option<&Value>> = objects.iter().map(|object| object.get("id")).collect();
        let [text, number] = [Value::from("a-1"), Value::from(7)];
        assert_eq!(ids, [Some(&text), Some(&number), None]);
        let first = outcome.stdout.lines().next().expect("a line");
        assert!(
            first.starts_with("{\"line\":1,\"id\":\"a-1\",\"embedding\":["),
            "{first}"
        );
    }
    let taps = ["--field", "text", "--tokens", "--taps", "texts.jsonl"];
    let objects = scene.encode(&taps, "").done().objects();
    assert_eq!(objects[2]["line"], 5);
    assert_eq!(shape(&objects[2]["q"]), [4, TEACHER_HIDDEN]);
    let array_of = [
        "--field",
        "text",
        "--format",
        "npy",
        "--out",
        "a.npy",
        "texts.jsonl",
    ];
    scene.encode(&array_of, "").done();
    assert_eq!(array(&scene.read("a.npy"), "<f4").0, [3, TEACHER_HIDDEN]);
}

/// Python and JavaScript write ids of more digits than 64 bits have.
#[test]
fn a_long_id_keeps_all_of_its_digits() {
    let scene = Scene::new();
    let line = "{\"id\": 12345678901234567890123, \"text\": \"small\"}\n";
    let said = scene.encode(&["--field", "text"], line).done().stdout;
    let start = "{\"line\":1,\"id\":12345678901234567890123,\"embedding\":[";
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn broken_json_lines_are_named_and_the_others_encoded() {
    let scene = Scene::new();
    let mut bytes = b"{\"text\": \"small\"}\n{\"text\": \"a\nplain text\n{\"title\": \"b\"}\n{\"text\": 7}\n{\"text\": \"gro\xdf\"}\n".to_vec();
    // More than a line may have, of which more than the 16 MiB that are read.
    bytes.extend(b"{\"text\": \"");
    bytes.extend(b"word ".repeat(4 << 20));
    bytes.extend(b"\"}\n{\"text\": \"student\"}\n");
    scene.write("texts.jsonl", &bytes);
    let outcome = scene.encode(&["--field", "text", "texts.jsonl"], "");
    let expected = embeddings(&scene.encode(&[], "small\nstudent\n").done());
    are_near(&embeddings(&outcome), &expected, 1e-6);
    let lines: Vec<_> = outcome
        .objects()
        .iter()
        .map(|object| object["line"].as_u64())
        .collect();
    assert_eq!((outcome.code, lines), (Some(1), vec![Some(1), Some(8)]));
    let said: Vec<&str> = outcome.stderr.lines().collect();
    let reasons = [
        "not valid JSON (",
        "not a JSON object (",
        "no field `text`; its keys are title",
        "the field `text` is a number, not a string. Name another field, or leave the line out",
        "not valid UTF-8 at byte 14 of the line",
        "longer than 16 MiB, the most that a line of JSON may be",
    ];
    assert_eq!(said.len(), reasons.len() + 1, "{}", outcome.stderr);
    for ((said, reason), line) in said.iter().zip(reasons).zip(2..) {
        let start = format!("limbeck: texts.jsonl, line {line}: {reason}");
        assert!(said.starts_with(&start), "{said}\nfor {start}");
    }
    let end = "limbeck: 6 of 8 lines (blank ones aside) are left out and have no vector; the first is texts.jsonl, line 2";
    assert_eq!(said[6], end);
}

/// Half a text of 16 MiB is no text; one of 2 MiB is cut as any other.
#[test]
fn a_long_text_in_json_is_cut_as_any_other() {
    let scene = Scene::new();
    let text = "the teacher reads ".repeat(120_000);
    let outcome = scene.encode(&["--field", "text"], format!("{{\"text\": \"{text}\"}}\n"));
    let outcome = outcome.done();
    let cut = "1 of 1 texts was cut: the model reads 40 tokens of a text; the first is standard input, line 1\n";
    assert_eq!(outcome.stderr, cut);
    let plain = scene.encode(&[], &text[..4000]).done();
    are_near(&embeddings(&outcome), &embeddings(&plain), 1e-6);
}

#[test]
fn json_that_is_read_as_it_stands_is_pointed_out_once_a_file() {
    let scene = Scene::new();
    let outcome = scene.encode(&[], "{\"text\": \"small\"}\n{\"text\": \"student\"}\n");
    assert_eq!(
        outcome.done().stderr,
        "standard input, line 1 is a JSON object, and is read as it stands. Name the field with the text with --corpus-field\n"
    );
    let outcome = scene.encode(&[], "\"small\"\n\"student\"\n").done();
    assert_eq!(
        outcome.stderr,
        "standard input, line 1 is a JSON string, and is read as it stands, with its quotes. To read what it says, write the texts \
         to a file first (jq -r .)\n"
    );
    for text in ["{small} student\n", "\"small\" student\n"] {
        assert_eq!(scene.encode(&[], text).done().stderr, "");
    }
}

/// Ctrl-c while a file is written: neither the file nor what was begun is left.
#[cfg(unix)]
#[test]
fn an_interrupted_file_of_vectors_leaves_nothing() {
    use std::io::Write;
    let scene = Scene::new();
    let out = "encode --device cpu --model teacher --format npy --out new/vectors.npy";
    let mut child = scene.piped(&out.split(' ').collect::<Vec<_>>());
    let mut input = child.stdin.take().expect("a piped input");
    input
        .write_all(
            b"the teacher reads two small words\n"
                .repeat(10_000)
                .as_slice(),
        )
        .expect("a reader");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !scene.path("new").is_dir() || scene.files("new").is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing is begun");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // SAFETY: the child runs, for its input is open.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    assert_eq!(child.wait().expect("the end").code(), Some(1));
    assert_eq!(scene.files("new"), [""; 0]);
}

#[test]
fn nothing_is_encoded_in_batches_of_nothing() {
    let scene = Scene::new();
    for (flag, value) in [
        ("--batch", "0"),
        ("--batch-tokens", "0"),
        ("--batch", "many"),
    ] {
        let message = format!(
            "invalid value '{value}' for '{flag} <N>': `{value}` is not a whole number above 0"
        );
        scene.encode(&[flag, value], "small\n").misused(&message);
    }
}

#[test]
fn packed_lines_are_read_as_those_of_a_corpus() {
    let scene = Scene::new();
    let plain = mixed_lines(500);
    let packed = gzip(&plain);
    scene.write("lines.txt.gz", &packed);
    let expected = scene.encode(&[], &plain).done().stdout;
    assert_eq!(scene.encode(&["lines.txt.gz"], "").done().stdout, expected);
    assert_eq!(scene.encode(&[], &packed).done().stdout, expected);
    // Lines that end as on an old Mac; the second text is longer than what tells that.
    for text in [plain.clone(), "small student\n".repeat(6000) + &plain] {
        scene.write("lf.txt", &text);
        scene.write("cr.txt", text.replace('\n', "\r"));
        let lf = scene.encode(&["lf.txt"], "").done().stdout;
        assert!(scene.encode(&["cr.txt"], "").done().stdout == lf);
    }
    scene.write("half.gz", &packed[..packed.len() / 2]);
    let outcome = scene.encode(&["--out", "new/vectors.jsonl", "half.gz"], "");
    outcome.failed("cannot read half.gz: incomplete deflate stream");
    assert_eq!(scene.files("new"), [""; 0]);
}
