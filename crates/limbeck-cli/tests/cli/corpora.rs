//! Corpora: what is refused, and what makes no difference to a run.

use serde_json::json;

use crate::scene::{Scene, corpus, gzip};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A run on this corpus must take the very steps that the plain corpus gives.
#[track_caller]
fn same_run_on(name: &str, bytes: &[u8]) {
    let scene = Scene::new();
    scene.distill(&["--out", "plain"]).done();
    scene.write(name, bytes);
    scene.distill(&["--out", "other", "--corpus", name]).done();
    assert_eq!(
        scene.text("other/metrics.jsonl"),
        scene.text("plain/metrics.jsonl")
    );
}

#[test]
fn gzip_makes_no_difference() {
    same_run_on("corpus.txt.gz", &gzip(&corpus(40)));
}

#[test]
fn old_macs_make_no_difference() {
    same_run_on("mac.txt", corpus(40).replace('\n', "\r").as_bytes());
}

/// A field of JSON lines gives the steps that its texts give, also after a stop; without the field, its name is asked for.
#[test]
fn json_lines_make_no_difference() {
    let scene = Scene::new();
    scene.distill(&["--out", "plain"]).done();
    let text = corpus(40);
    let lines = text.lines().enumerate();
    let lines = lines.map(|(n, text)| format!("{}\n", json!({ "id": n, "text": text })));
    scene.write("corpus.jsonl.gz", gzip(&lines.collect::<String>()));
    let flags = ["--corpus", "corpus.jsonl.gz", "--corpus-field"];
    let by_flag = [&flags[..], &["text", "--out", "flag"]].concat();
    scene.distill(&by_flag).done();
    let expected = scene.text("plain/metrics.jsonl");
    assert_eq!(scene.text("flag/metrics.jsonl"), expected);
    // The run's own recipe has the field.
    scene
        .run(&["distill", "--config", "flag/recipe.toml", "--out", "again"])
        .done();
    assert_eq!(scene.text("again/metrics.jsonl"), expected);
    scene.run(&["config", "check", "flag/recipe.toml"]).done();

    let wrong = "corpus.jsonl.gz, line 1: no field `body`; its keys are id, text";
    scene
        .distill(&[&flags[..], &["body"]].concat())
        .refused(1, wrong);
    let recipe = scene.text("flag/recipe.toml");
    let unnamed = recipe.replace("corpus_field = \"text\"\n", "");
    assert_ne!(unnamed, recipe);
    // Its paths lead from its folder.
    scene.write("flag/unnamed.toml", unnamed);
    let message = "corpus.jsonl.gz is JSON lines: name the field that holds the text, with --corpus-field NAME or `corpus_field` in \
                   a recipe; its keys are id, text";
    scene.distill(&flags[..2]).refused(1, message);
    scene
        .run(&["config", "check", "flag/unnamed.toml"])
        .refused(1, message);
}

/// Of any of the files, before the output folder is made.
#[test]
fn what_is_no_text_is_refused_before_the_first_step() {
    let scene = Scene::new();
    scene.write("data.txt", b"PAR1\x15\x04\x15\xe0\x9f\x01");
    let message = "data.txt is a Parquet file, not text with one document per line. Write its column of texts to a text file, one \
                   document per line; or write it as JSON lines, and name the field with --corpus-field";
    scene
        .distill(&["--corpus", "corpus.txt", "data.txt"])
        .refused(1, message);
    assert!(!scene.path("student").exists());
}

#[test]
fn line_ends_and_a_byte_order_mark_make_no_difference() {
    let windows = format!("{BYTE_ORDER_MARK}{}", corpus(40).replace('\n', "\r\n"));
    same_run_on("windows.txt", windows.as_bytes());
}

#[test]
fn a_last_line_without_an_end_makes_no_difference() {
    same_run_on("open.txt", corpus(40).trim_end().as_bytes());
}

#[test]
fn long_lines_are_cut_and_counted() {
    let scene = Scene::new();
    scene.write("long.txt", "teacher ".repeat(500) + "\n" + &corpus(11));
    // Three batches of 4 are one epoch, so that each line is read once.
    scene
        .distill(&["--corpus", "long.txt", "--set", "heldout=0"])
        .done();
    let card = scene.text("student/README.md");
    assert!(
        card.contains("| Lines read | 12, of which 1 were truncated at max_length |\n"),
        "{card}"
    );
    assert!(
        scene
            .text("student/report.html")
            .contains("12, of which 1 were truncated at max_length")
    );
}

/// On a CPU a batch is as long as its longest line: 4 lines of 5, 5, 7 and 7 tokens have 4 places of padding.
#[test]
fn padding_is_measured() {
    let scene = Scene::new();
    let lines = ["teacher ".repeat(3), "teacher ".repeat(5)].join("\n") + "\n";
    scene.write("lines.txt", lines.repeat(2));
    scene
        .distill(&["--corpus", "lines.txt", "--set", "heldout=0"])
        .done();
    let card = scene.text("student/README.md");
    let share = "| Padding | 14.3 % of all places in the batches |\n";
    assert!(card.contains(share), "{card}");
}

#[test]
fn lines_without_tokens_are_left_out() {
    let scene = Scene::new();
    scene.drop_special_tokens();
    // The tokenizer drops control characters, so nothing is left of such a line.
    scene.write("control.txt", "\u{1}\n".repeat(4) + &corpus(12));
    scene
        .distill(&["--corpus", "control.txt", "--set", "heldout=0"])
        .done();
    let card = scene.text("student/README.md");
    assert!(card.contains("Measured on 12 training lines"), "{card}");
}

#[test]
fn a_corpus_without_text_is_refused() {
    let scene = Scene::new();
    scene.write("blank.txt", "\n  \n\n");
    let message =
        "empty corpus: no line of text in blank.txt. Name files with one document per line";
    scene
        .distill(&["--corpus", "blank.txt"])
        .refused(1, message);
}

#[test]
fn a_corpus_that_the_tokenizer_does_not_know_is_refused() {
    let scene = Scene::new();
    scene.write("emoji.txt", "😀 😀 😀\n🎉\n");
    let message = "the teacher's tokenizer does not know most of the text: 4 of 4 tokens in the lines to evaluate on are \
        unknown to it, and it cannot tell them apart. Use text in a language that it knows, or another teacher";
    scene
        .distill(&["--corpus", "emoji.txt"])
        .refused(1, message);
    // What stands between the texts of a pair is no token of theirs.
    scene.write("pairs.txt", "😀 😀\t🎉\n😀\t\n");
    scene
        .distill(&["--corpus", "pairs.txt", "--corpus-pairs"])
        .refused(1, message);
}

/// Whatever the model calls its unknown token.
#[test]
fn an_unknown_token_of_any_name_is_known() {
    let scene = Scene::new();
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        let file = format!("teacher/{file}");
        scene.write(&file, scene.text(&file).replace("[UNK]", "<?>"));
    }
    scene.write("emoji.txt", "😀 😀 😀\n🎉\n");
    let outcome = scene.distill(&["--corpus", "emoji.txt"]);
    assert!(
        outcome.stderr.contains("4 of 4 tokens"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn no_corpus_is_wrong_use() {
    let scene = Scene::new();
    let message = "the recipe has a mistake:\n  corpus: no file or glob given";
    scene.distill(&["--set", "corpus=[]"]).refused(2, message);
}

#[test]
fn a_glob_that_matches_nothing_is_refused() {
    let scene = Scene::new();
    let folder = scene.path("").canonicalize().expect("the folder");
    let outcome = scene.distill(&["--corpus", "texts/*.txt"]);
    let folder = folder.display();
    outcome.refused(
        1,
        &format!("no file matches 'texts/*.txt' (relative to {folder}). Check the path, or quote the glob"),
    );
}

#[test]
fn a_folder_as_corpus_is_refused() {
    let message = "'teacher' is a folder. Name the files in it, for example 'teacher/*.txt'";
    Scene::new()
        .distill(&["--corpus", "teacher/"])
        .refused(1, message);
}

#[test]
fn text_in_another_encoding_is_named_by_file_and_line() {
    let scene = Scene::new();
    scene.write(
        "latin.txt",
        [corpus(6).as_bytes(), b"gro\xdf\n", corpus(6).as_bytes()].concat(),
    );
    let message = "latin.txt, line 7: not valid UTF-8 at byte 4 of the line. Convert the file (iconv -f LATIN1 -t UTF-8, \
                   if that is its encoding), \
                   or remove the line";
    scene
        .distill(&["--corpus", "corpus.txt", "latin.txt"])
        .failed(message);
}

#[test]
fn a_damaged_gzip_file_is_refused() {
    let scene = Scene::new();
    let packed = gzip(&corpus(400));
    scene.write("cut.gz", &packed[..packed.len() / 2]);
    let outcome = scene.distill(&["--corpus", "cut.gz"]);
    let start = "limbeck: cut.gz: the gzip data is truncated or damaged after ";
    assert!(outcome.stderr.contains(start), "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .trim_end()
            .ends_with("and download or compress the file again"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn a_corpus_of_held_out_lines_alone_gives_no_batch() {
    let scene = Scene::new();
    let held_out = |text: &str| {
        scene.write("one.txt", text);
        let outcome =
            scene.distill(&["--overwrite", "--corpus", "one.txt", "--set", "heldout=0.5"]);
        (outcome.code != Some(0)).then_some(outcome)
    };
    let refusal = corpus(40)
        .lines()
        .find_map(held_out)
        .expect("about half of the lines are held out");
    refusal.failed(
        "the corpus yields no batch: all of its lines are held out or have no tokens. Put each document on a line of its own, add lines, or hold out fewer (now 50 %)",
    );
}
