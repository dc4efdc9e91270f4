//! `limbeck encode`: one object a line, whatever the line is.

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::scene::Outcome;
use crate::scene::{Scene, TEACHER_HIDDEN};
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
        *words = words.map(|at, x| if at >= 10 * TEACHER_HIDDEN { 3e38 } else { x });
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
