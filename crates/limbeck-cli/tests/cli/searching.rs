//! `limbeck search`: lines ranked by the cosines of the vectors that `limbeck encode` gives.

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

use crate::scene::{Outcome, Scene};

const LINES: [&str; 6] = [
    "the teacher reads two words",
    "small student",
    "",
    "key value query",
    "a large model",
    "attention of one head",
];

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("texts.txt", LINES.join("\n"));
    scene
}

fn search(scene: &Scene, flags: &[&str]) -> Outcome {
    let usual = ["search", "--device", "cpu", "--model", "teacher"];
    scene.run(&[&usual[..], flags].concat())
}

/// The vector of a text by `limbeck encode`.
fn vector(scene: &Scene, flags: &[&str], text: &str) -> Vec<f64> {
    let object = scene.encode(flags, text).done().objects().remove(0);
    let numbers = object["embedding"].as_array().expect("numbers").clone();
    numbers.iter().filter_map(Value::as_f64).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Requires the cosines of what `limbeck encode` gives with these flags for query and lines, and their order.
#[track_caller]
fn ranks(scene: &Scene, answer: &Value, of_query: &[&str], of_lines: &[&str]) {
    let query = vector(scene, of_query, answer["query"].as_str().expect("a query"));
    let hits = answer["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), 5, "an empty line is no text");
    let mut last = f64::INFINITY;
    for hit in hits {
        let (text, line) = (hit["text"].as_str(), hit["line"].as_u64());
        let text = text.expect("a text");
        assert_eq!(text, LINES[line.expect("a line") as usize - 1]);
        let score = hit["score"].as_f64().expect("a score");
        let exact = cosine(&query, &vector(scene, of_lines, text));
        assert!((score - exact).abs() < 1e-6, "{score} for {exact}");
        assert!(score <= last, "{score} behind {last}");
        last = score;
    }
}

#[test]
fn lines_are_ranked_by_the_cosines_of_their_vectors() {
    let scene = scene();
    let outcome = search(
        &scene,
        &["texts.txt", "small student", "two words", "--json"],
    )
    .done();
    let answers = outcome.objects();
    assert_eq!(answers.len(), 2);
    for answer in &answers {
        ranks(&scene, answer, &[], &[]);
    }
    let first = &answers[0]["hits"][0];
    assert_eq!(
        (&first["line"], &first["file"]),
        (&json!(2), &json!("texts.txt"))
    );
    assert!(
        first["score"]
            .as_f64()
            .is_some_and(|score| score > 0.999_999)
    );
}

#[test]
fn people_read_scores_places_and_texts() {
    let scene = scene();
    scene.write("more.txt", "small students\n");
    let flags = [
        "texts.txt",
        "small student",
        "--top",
        "1",
        "--also",
        "more.txt",
    ];
    let one = search(&scene, &flags).done().stdout;
    assert_eq!(one, "1.0000  texts.txt:2  small student\n");
    let flags = [
        "texts.txt",
        "small students",
        "--top",
        "1",
        "--also",
        "more.txt",
    ];
    let also = search(&scene, &flags).done().stdout;
    assert_eq!(also, "1.0000  more.txt:1  small students\n");
    // A line of a file that is named twice is no two hits.
    scene.write("sub/note.txt", "");
    let flags = [
        "more.txt",
        "small students",
        "--also",
        "more.txt",
        "--also",
        "sub/../more.txt",
    ];
    let twice = search(&scene, &flags).done().stdout;
    assert_eq!(twice, "1.0000  more.txt:1  small students\n");
    let flags = ["texts.txt", "small student", "a large model", "--top", "1"];
    let two = search(&scene, &flags).done().stdout;
    assert_eq!(
        two,
        "small student\n1.0000  texts.txt:2  small student\n\na large model\n1.0000  texts.txt:5  a large model\n\n"
    );
}

#[test]
fn queries_come_from_standard_input_one_by_one() {
    let scene = scene();
    let mut child = scene.piped(&[
        "search",
        "--device",
        "cpu",
        "--model",
        "teacher",
        "--json",
        "texts.txt",
    ]);
    let mut input = child.stdin.take().expect("a piped input");
    let mut output = BufReader::new(child.stdout.take().expect("a piped output"));
    let mut ask = |lines: &[u8]| {
        input.write_all(lines).expect("writing");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("an answer");
        serde_json::from_str::<Value>(&answer).expect("an object")
    };
    // The second is asked when the first is answered.
    let answers = [ask(b"small student\n"), ask(b"\n a large model \r\n")];
    drop(input);
    Outcome::from(child.wait_with_output().expect("the end")).done();
    let queries: Vec<&Value> = answers.iter().map(|answer| &answer["query"]).collect();
    assert_eq!(queries, ["small student", "a large model"]);
    let lines: Vec<&Value> = answers.iter().map(|a| &a["hits"][0]["line"]).collect();
    assert_eq!(lines, [&json!(2), &json!(5)]);
}

#[test]
fn queries_and_lines_get_the_prompts_of_the_folder() {
    let scene = scene();
    let file = "teacher/config_sentence_transformers.json";
    let prompts = json!({"prompts": {"query": "query value ", "passage": "the words "}});
    scene.write(file, prompts.to_string());
    let outcome = search(&scene, &["texts.txt", "small student", "--json"]).done();
    let (of_query, of_lines) = (["--prompt", "query"], ["--prompt", "passage"]);
    ranks(&scene, &outcome.objects()[0], &of_query, &of_lines);
    let same = vector(&scene, &of_lines, "small student");
    assert!(cosine(&same, &vector(&scene, &of_query, "small student")) < 0.999_9);
}

#[test]
fn what_cannot_be_searched_is_said() {
    let scene = scene();
    search(&scene, &["no.txt", "a"]).refused(
        1,
        "cannot read no.txt: No such file or directory (os error 2)",
    );
    scene.write("empty.txt", "\n \n");
    search(&scene, &["empty.txt", "a"]).refused(
        2,
        "there is nothing to search in empty.txt: no line has a text",
    );
    search(&scene, &["texts.txt", "a", "--top", "0"])
        .misused("invalid value '0' for '--top <N>': `0` is not a number of lines above 0");
    search(&scene, &["-"]).refused(
        2,
        "standard input holds either the lines or the queries: put the queries after the file, or give the lines as a file",
    );
    scene.write("latin.txt", b"small\ngro\xdf\n");
    let outcome = search(&scene, &["latin.txt", "small"]);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.stdout, "1.0000  latin.txt:1  small\n");
    let start = "limbeck: latin.txt, line 2: not valid UTF-8 at byte 4 of the line";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
}

#[test]
fn json_lines_are_searched_by_their_field() {
    let scene = scene();
    let line = |text: &&str| format!("{}\n", json!({ "title": "x", "body": text }));
    let lines: String = LINES.iter().map(line).collect();
    scene.write("texts.jsonl", format!("{lines}{{\"body\": null}}\n"));
    let flags = [
        "--corpus-field",
        "body",
        "texts.jsonl",
        "small student",
        "--json",
    ];
    let outcome = search(&scene, &flags);
    assert_eq!(outcome.code, Some(1));
    ranks(&scene, &outcome.objects()[0], &[], &[]);
    let said = "limbeck: texts.jsonl, line 7: the field `body` is null, not a string. Name another field, or leave the line out\n\
                limbeck: 1 of 6 lines (blank ones aside) is left out of the search; the first is texts.jsonl, line 7\n";
    assert_eq!(outcome.stderr, said);
}
