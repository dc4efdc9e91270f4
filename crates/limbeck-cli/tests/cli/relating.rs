//! `limbeck relations`: pictures and numbers of one sentence, whatever the sentence is.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde_json::{Value, json};

use crate::scene::{Outcome, Scene};

/// The bundled teacher: 512 positions, 4 layers of 128.
const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/teacher");

/// A scene with a student, made by three steps.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.distill(&["--out", "student"]).done();
    scene
}

fn relations(scene: &Scene, text: &str, flags: &[&str]) -> Outcome {
    let models = ["relations", "--teacher", "teacher", "--student", "student"];
    let rest = ["--device", "cpu", "--text", text];
    scene.run(&[&models[..], &rest, flags].concat())
}

fn json_of(scene: &Scene, text: &str, flags: &[&str]) -> Value {
    let out = ["-o", "out.json", "--overwrite"];
    relations(scene, text, &[&out, flags].concat()).done();
    scene.json("out.json")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn row(value: &Value) -> Vec<f64> {
    list(value).iter().filter_map(Value::as_f64).collect()
}

/// Requires that every element is closed and that text and attributes hold no markup.
#[track_caller]
fn assert_is_xml(text: &str) {
    let mut open = Vec::new();
    let mut parts = text.split('<');
    assert_eq!(parts.next(), Some(""), "it starts with an element");
    for part in parts {
        let (tag, content) = part.split_once('>').expect("every tag ends");
        for text in [tag, content] {
            assert!(!text.chars().any(|c| c.is_control()), "{text:?}");
            let entities = text.split('&').skip(1);
            assert!(
                entities
                    .clone()
                    .all(|e| e.split_once(';').is_some_and(|(name, _)| name.len() < 6))
            );
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(name.to_owned()),
        }
    }
    assert!(open.is_empty(), "{open:?} is not closed");
}

/// Width and height of a PNG whose pixels are all there.
#[track_caller]
fn png_size(bytes: &[u8]) -> (usize, usize) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| {
        bytes[at..at + 4]
            .iter()
            .fold(0, |n, b| n << 8 | usize::from(*b))
    };
    let (width, height, colour_type) = (number(16), number(20), bytes[25]);
    let (mut at, mut packed) = (8, Vec::new());
    while at < bytes.len() {
        let length = number(at);
        if &bytes[at + 4..at + 8] == b"IDAT" {
            packed.extend(&bytes[at + 8..at + 8 + length]);
        }
        at += length + 12;
    }
    let mut pixels = Vec::new();
    let read = ZlibDecoder::new(&packed[..]).read_to_end(&mut pixels);
    read.expect("a zlib stream");
    let a_pixel = if colour_type == 2 { 3 } else { 1 };
    assert_eq!(pixels.len(), height * (1 + width * a_pixel));
    (width, height)
}

#[test]
fn the_numbers_are_rows_of_probabilities_and_their_kl() {
    let scene = scene();
    let all = "qq,qk,qv,kq,kk,kv,vq,vk,vv";
    let json = json_of(
        &scene,
        "the teacher reads two words",
        &["--pairs", all, "--heads", "3"],
    );
    let tokens = list(&json["tokens"]).len();
    assert_eq!(
        (
            &json["relation_heads"],
            &json["teacher_layer"],
            &json["student_layer"]
        ),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(json["pairs"].as_object().map(|pairs| pairs.len()), Some(9));
    for (key, pair) in json["pairs"].as_object().into_iter().flatten() {
        assert_eq!(
            (list(&pair["teacher"]).len(), list(&pair["kl"]).len()),
            (3, 3),
            "{key}"
        );
        for head in 0..3 {
            for at in 0..tokens {
                let [p, q] = ["teacher", "student"].map(|who| row(&pair[who][head][at]));
                for row in [&p, &q] {
                    assert_eq!(row.len(), tokens);
                    assert!(
                        (row.iter().sum::<f64>() - 1.0).abs() < 1e-6,
                        "{key} {row:?}"
                    );
                }
                let kl: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
                let reported = pair["kl"][head][at].as_f64().unwrap_or(f64::NAN);
                // JSON has the shortest digits of an f32: half a rounding of each probability.
                assert!(
                    (reported - kl.max(0.0)).abs() < 5e-7,
                    "{key}: {reported} and {kl}"
                );
            }
        }
    }
    assert!(
        row(&json["pairs"]["vv"]["kl"][0])
            .iter()
            .any(|kl| *kl > 0.0)
    );
    let teacher = &json["pairs"]["qk"]["teacher"][0];
    assert_ne!(teacher[0][1], teacher[1][0], "Q-K is not symmetric");
}

#[test]
fn the_students_recipe_says_what_is_compared() {
    let scene = Scene::new();
    let set = [
        "--set",
        "teacher_layer=1",
        "--set",
        "relation_heads=4",
        "--set",
        "pairs={qq=1,kk=1,vv=1,qk=1}",
    ];
    scene
        .distill(&[&["--out", "student"], &set[..]].concat())
        .done();
    let json = json_of(&scene, "two words", &[]);
    let found = [&json["teacher_layer"], &json["relation_heads"]];
    assert_eq!(found, [&json!(1), &json!(4)]);
    assert_eq!(json["pairs"].as_object().map(|pairs| pairs.len()), Some(4));
    let json = json_of(
        &scene,
        "two words",
        &["--layer", "2", "--heads", "3", "--pairs", "kk,kk"],
    );
    let found = [&json["teacher_layer"], &json["relation_heads"]];
    assert_eq!(found, [&json!(2), &json!(3)]);
    assert_eq!(json["pairs"].as_object().map(|pairs| pairs.len()), Some(1));
    scene.remove("student/recipe.toml");
    let json = json_of(&scene, "two words", &[]);
    let found = [&json["teacher_layer"], &json["relation_heads"]];
    assert_eq!(found, [&json!(2), &json!(12)]);
    assert_eq!(json["pairs"].as_object().map(|pairs| pairs.len()), Some(3));
}

#[test]
fn a_model_is_no_way_from_itself() {
    let scene = scene();
    let flags = [
        "--student",
        "teacher",
        "--teacher",
        "teacher",
        "--text",
        "two words",
    ];
    let out = ["relations", "--device", "cpu", "-o", "out.json"];
    scene.run(&[&out[..], &flags].concat()).done();
    let json = scene.json("out.json");
    for pair in ["qq", "kk", "vv"] {
        for head in list(&json["pairs"][pair]["kl"]) {
            assert!(row(head).iter().all(|kl| *kl == 0.0));
        }
    }
}

#[test]
fn each_ending_gives_its_file() {
    let scene = scene();
    for name in [
        "out.html",
        "deep/er/out.svg",
        "out.PNG",
        "out.json",
        "out.csv",
    ] {
        let reported = relations(&scene, "the teacher reads", &["-o", name]).done();
        assert!(
            reported.stdout.starts_with("Q-Q  KL ")
                && reported.stdout.ends_with(&format!("{name}\n"))
        );
        assert_eq!(reported.stderr, "");
    }
    let svg = scene.text("deep/er/out.svg");
    assert_is_xml(&svg);
    // Three pairs: two scales as rasters; as shapes, teacher, student and difference large, and small of each of 12 heads.
    let counts = |svg: &str| ["<image ", "<g "].map(|kind| svg.matches(kind).count());
    assert_eq!(counts(&svg), [3 * 2, 3 * (3 + 3 * 12)]);
    let (width, height) = png_size(&scene.read("out.PNG"));
    assert!(width > 1000 && height > 1000);
    let html = scene.text("out.html");
    assert_eq!(
        html.matches("<svg ").count(),
        6,
        "three pairs, light and dark"
    );
    assert!(!html.contains("<script") && !html.contains("NaN"));
    relations(
        &scene,
        "the teacher reads",
        &["-o", "one.svg", "--head", "2", "--pairs", "vk"],
    )
    .done();
    let one = scene.text("one.svg");
    assert_eq!(counts(&one), [2, 3]);
    assert!(one.contains("V-K · relation head 2 of 12"));
    let csv = scene.text("out.csv");
    let size = list(&scene.json("out.json")["tokens"]).len();
    assert_eq!(csv.lines().count(), 1 + 3 * 12 * size * size);
    assert!(csv.starts_with("pair,head,row,column,from,to,teacher,student,"));
}

#[test]
fn lines_are_drawn_instead_of_maps() {
    let scene = scene();
    let with = |name, flags: &[&str]| {
        let all = [&["-o", name, "--pairs", "qq", "--head", "1"], flags].concat();
        relations(&scene, "the teacher reads", &all).done();
    };
    with("lines.svg", &["--lines"]);
    let svg = scene.text("lines.svg");
    assert_is_xml(&svg);
    let curves = svg.matches("<path ").count();
    assert!(
        (12..=2 * 3 * 6).contains(&curves),
        "{curves} lines of 6 tokens in two models"
    );
    assert!(!svg.contains("<image ") && svg.contains("For each token, the 3 strongest"));
    with("lines.png", &["--lines"]);
    with("maps.png", &[]);
    let [lines, maps] = ["lines.png", "maps.png"].map(|name| scene.read(name));
    assert!(png_size(&lines).0 > 1000 && lines != maps);
}

#[test]
fn one_token_is_enough_and_none_is_not() {
    let scene = scene();
    assert_eq!(
        json_of(&scene, "key", &[])["tokens"],
        json!(["[CLS]", "key", "[SEP]"])
    );
    let message = "the text has no token to draw relations of; give --text at least one word";
    for text in ["", "  \n", "\u{7}\u{1b}"] {
        relations(&scene, text, &["-o", "none.html"]).refused(2, message);
    }
    assert!(!scene.path("none.html").exists());
}

#[test]
fn a_lone_token_without_special_ones_is_enough() {
    let scene = Scene::new();
    scene.drop_special_tokens();
    scene.distill(&["--out", "student"]).done();
    let json = json_of(&scene, "key", &["--pairs", "qq", "--heads", "1"]);
    assert_eq!(
        (&json["tokens"], &json["pairs"]["qq"]["teacher"]),
        (&json!(["key"]), &json!([[[1.0]]]))
    );
    for name in ["out.html", "out.svg", "out.png"] {
        relations(&scene, "key", &["-o", name]).done();
    }
    assert_is_xml(&scene.text("out.svg"));
}

#[test]
fn ten_thousand_words_are_cut_and_still_a_picture() {
    let scene = Scene::new();
    let text = "river ".repeat(10_000);
    for name in ["long.svg", "long.png"] {
        let flags = [
            "--pairs", "qq", "--heads", "2", "--device", "cpu", "-o", name,
        ];
        let models = [
            "relations",
            "--teacher",
            BUNDLED,
            "--student",
            BUNDLED,
            "--text",
            &text,
        ];
        let reported = scene.run(&[&models[..], &flags].concat()).done();
        assert_eq!(
            reported.stderr,
            "The text has 10002 tokens; truncated to 512, the models' limit\n"
        );
    }
    let svg = scene.text("long.svg");
    assert_is_xml(&svg);
    assert!(
        svg.contains(">river</text>") && svg.len() < 4_000_000,
        "{} bytes",
        svg.len()
    );
    assert!(png_size(&scene.read("long.png")).0 > 3000);
}

#[test]
fn every_script_is_shown_and_none_is_run() {
    let scene = Scene::new();
    let words = [
        ("large", "日"),
        ("small", "שלום"),
        ("read", "<"),
        ("query", "👩\u{200d}🔬"),
        ("value", "script"),
    ];
    let mut tokenizer = scene.json("teacher/tokenizer.json");
    let vocabulary = tokenizer["model"]["vocab"]
        .as_object_mut()
        .expect("a vocabulary");
    for (before, now) in words {
        let id = vocabulary.remove(before).expect("a word of the golden");
        vocabulary.insert(now.into(), id);
    }
    scene.write("teacher/tokenizer.json", tokenizer.to_string());
    scene.remove("teacher/vocab.txt");
    scene.distill(&["--out", "student"]).done();
    let text = "日 שלום 👩\u{200d}🔬 <script>alert(1)</script>\u{7} & \"";
    for name in ["out.html", "out.svg", "out.png"] {
        relations(&scene, text, &["-o", name, "--pairs", "qq"]).done();
    }
    let (html, svg) = (scene.text("out.html"), scene.text("out.svg"));
    assert_is_xml(&svg);
    for label in [
        ">日</text>",
        ">שלום</text>",
        ">&lt;</text>",
        ">script</text>",
    ] {
        assert!(svg.contains(label) && html.contains(label), "{label}");
    }
    assert!(!html.contains("<script") && !html.contains('\u{7}'));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{7} &amp; &quot;"));
    png_size(&scene.read("out.png"));
}

#[test]
fn other_tokenizers_are_refused() {
    let scene = scene();
    let swap = |a: &str, b: &str| {
        let text = scene.text("student/tokenizer.json");
        let swapped = text
            .replace(&format!("\"{a}\":"), "\"\u{0}\":")
            .replace(&format!("\"{b}\":"), &format!("\"{a}\":"));
        scene.write("student/tokenizer.json", swapped.replace('\u{0}', b));
    };
    swap("the", "two");
    let outcome = relations(&scene, "words", &["-o", "out.svg"]);
    assert!(
        outcome
            .stderr
            .starts_with("limbeck: teacher and student have different tokenizers: token "),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("` for the teacher and `"));
    assert_eq!(outcome.code, Some(2));
    let models = [
        "relations",
        "--teacher",
        "teacher",
        "--student",
        BUNDLED,
        "--text",
        "words",
    ];
    let outcome = scene.run(&[&models[..], &["-o", "out.svg"]].concat());
    assert!(
        outcome
            .stderr
            .contains("different tokenizers: the teacher's has "),
        "{}",
        outcome.stderr
    );
    assert!(!scene.path("out.svg").exists());
}

#[test]
fn what_does_not_fit_the_models_is_wrong_use() {
    let scene = scene();
    let refused = |flags: &[&str], message: &str| {
        relations(&scene, "words", &[&["-o", "out.svg"], flags].concat()).refused(2, message);
    };
    refused(
        &["--heads", "8"],
        "8 relation heads do not divide both hidden sizes, 12 (student) and 24 (teacher); these do: [1, 2, 3, 4, 6, 12]",
    );
    refused(
        &["--layer", "3"],
        "layer 3 does not exist: the teacher has layers 1 to 2",
    );
    refused(
        &["--layer", "0"],
        "layer 0 does not exist: the teacher has layers 1 to 2",
    );
    refused(
        &["--student-layer", "2"],
        "layer 2 does not exist: the student has layers 1 to 1",
    );
    refused(
        &["--head", "13"],
        "relation head 13 does not exist: there are heads 1 to 12; --heads sets how many",
    );
    let outcome = relations(&scene, "words", &["-o", "out.svg", "--pairs", "qq,xy"]);
    assert!(
        outcome
            .stderr
            .contains("`xy` is not a pair; the nine pairs are qq, qk,"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(2));
}

#[test]
fn outputs_that_cannot_be_are_named() {
    let scene = scene();
    for name in ["out.gif", "out"] {
        relations(&scene, "words", &["-o", name]).refused(
            2,
            &format!(
                "cannot tell the format of {name} from its name: end it in .html, .svg, .png, .json or .csv"
            ),
        );
    }
    relations(&scene, "words", &["-o", "student/config.json"]).refused(
        2,
        "the file student/config.json already exists. Choose another with --out, or replace it with --overwrite",
    );
    let flags = ["-o", "student/config.json", "--overwrite"];
    relations(&scene, "words", &flags).refused(
        2,
        "the file student/config.json is one of the model's. Choose another with --out",
    );
    let outcome = relations(&scene, "words", &["-o", "corpus.txt/out.svg"]);
    assert!(
        outcome
            .stderr
            .starts_with("limbeck: cannot make the folder corpus.txt: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
}

/// The recipe decides what is compared: one that cannot be read is not passed over, unless flags say everything.
#[test]
fn a_recipe_that_cannot_be_read_is_refused() {
    let scene = scene();
    let end = "It says which heads, layer and pairs the student was trained on. Restore the file, or name them all with --heads, \
               --layer and --pairs";
    for (bytes, start) in [
        (
            &b"heldout = 0 # caf\xe9"[..],
            "student/recipe.toml is not UTF-8 at byte 18, as TOML must be. ",
        ),
        (
            b"steps",
            "student/recipe.toml, line 1, column 6: a key needs a = and its value behind it",
        ),
        (
            b"batches = 7",
            "student/recipe.toml: unknown field `batches`",
        ),
    ] {
        scene.write("student/recipe.toml", bytes);
        let outcome = relations(&scene, "two words", &["-o", "out.json"]);
        let message = outcome.stderr.trim_end();
        assert!(
            message.starts_with(&format!("limbeck: {start}")) && message.ends_with(end),
            "{message}"
        );
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
        assert!(!scene.path("out.json").exists());
        let all = ["--heads", "2", "--layer", "1", "--pairs", "kk"];
        assert_eq!(json_of(&scene, "two words", &all)["relation_heads"], 2);
        scene.remove("out.json");
    }
}

/// Both models read two texts as one sequence, the second with a type of its own; a tab in a text makes no pair of it.
#[test]
fn a_second_text_is_read_after_the_first() {
    let scene = scene();
    let pair = json_of(&scene, "the model", &["--second", "two words"]);
    let labels = |numbers: &Value| -> Vec<String> {
        let tokens = list(&numbers["tokens"]).iter();
        tokens
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let separators = labels(&pair).iter().filter(|t| *t == "[SEP]").count();
    assert_eq!(separators, 2, "{:?}", labels(&pair));
    // The same tokens, all of them of the first type.
    let typed = json_of(&scene, "the model [SEP] two words", &[]);
    assert_eq!(labels(&typed), labels(&pair));
    assert_ne!(typed["pairs"], pair["pairs"]);
    let [tab, space] = ["\t", " "].map(|between| format!("the model{between}two words"));
    let [tab, space] = [tab, space].map(|text| json_of(&scene, &text, &[])["pairs"].clone());
    assert_eq!(tab, space);
}

/// To BERT it is a space; to others a tab is a character like any other, and no text loses it.
#[test]
fn a_tab_reaches_the_tokenizer() {
    let scene = Scene::new();
    scene.keep_tokenizer_json();
    let by_spaces = json!({
        "type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false,
    });
    for (part, value) in [("/normalizer", Value::Null), ("/pre_tokenizer", by_spaces)] {
        scene.set_field("teacher/tokenizer.json", part, value);
    }
    scene.distill(&["--out", "student"]).done();
    let tab = json_of(&scene, "the\tmodel two", &["--second", "the\tmodel"]);
    let expected = json!(["[CLS]", "[UNK]", "two", "[SEP]", "[UNK]", "[SEP]"]);
    assert_eq!(tab["tokens"], expected);
    let alone = json_of(&scene, "the\tmodel two", &[]);
    assert_eq!(alone["tokens"], json!(["[CLS]", "[UNK]", "two", "[SEP]"]));
}
