//! Sentence vectors as the folder's files say: those of sentence-transformers, from the teacher and from its student.

use std::fs;

use serde_json::{Value, json};

use crate::scene::{Scene, golden_folder};

/// What SentenceTransformer says, see tests/golden/sentence.py.
fn golden() -> Value {
    let path = golden_folder().join("sentence.json");
    serde_json::from_slice(&fs::read(path).expect("the golden")).expect("JSON")
}

/// A scene whose teacher has this head of the goldens.
fn with_head(name: &str) -> Scene {
    let scene = Scene::new();
    if name != "no-modules" {
        scene.copy_golden(&format!("sentence/{name}"), "teacher");
    }
    scene
}

fn lines(golden: &Value) -> String {
    let texts = golden["texts"].as_array().expect("texts").iter();
    let lines = texts.map(|text| format!("{}\n", text.as_str().expect("a text")));
    lines.collect()
}

fn numbers(vector: &Value) -> Vec<f64> {
    let numbers = vector.as_array().expect("a vector").iter();
    numbers.map(|x| x.as_f64().expect("a number")).collect()
}

/// The largest difference between the vectors that limbeck prints and others.
fn difference(printed: &[Value], vectors: &Value) -> f64 {
    let vectors = vectors.as_array().expect("vectors");
    assert_eq!(printed.len(), vectors.len());
    let mut largest = 0.0_f64;
    for (ours, theirs) in printed.iter().zip(vectors) {
        let (ours, theirs) = (numbers(&ours["embedding"]), numbers(theirs));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            largest = largest.max((ours - theirs).abs());
        }
    }
    largest
}

/// The output stage compares the vectors that the folders make: the cosine at the end of a run is that of what `encode`
/// gives for teacher and student, whatever the pooling.
#[test]
fn the_output_stage_pools_as_the_folder_says() {
    let line = "the small teacher head reads all words between two values\n";
    let mut ends: Vec<f64> = Vec::new();
    for (head, words) in [
        ("no-modules", "mean pooling"),
        ("cls", "cls pooling"),
        ("old-max", "max pooling"),
        ("lasttoken", "lasttoken pooling"),
        ("weightedmean", "weightedmean pooling"),
        ("two-modes", "lasttoken + cls pooling"),
    ] {
        let scene = with_head(head);
        scene.write("corpus.txt", line.repeat(20));
        let sizes = ["--set", "student.hidden=24", "--set", "output.share=1"];
        scene.distill(&sizes).done();
        let card = scene.text("student/README.md");
        let stage = format!("| Output stage | relations, 10 x cosine from step 1, {words} |");
        assert!(card.contains(&stage), "{card}");
        let vector = |model: &str| {
            let encoded = scene.encode(&["--model", model], line).done();
            numbers(&encoded.objects()[0]["embedding"])
        };
        let (teacher, student) = (vector("teacher"), vector("student"));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms = dot(&teacher, &teacher) * dot(&student, &student);
        let expected = 1.0 - dot(&teacher, &student) / norms.sqrt();
        let metrics = scene.text("student/metrics.jsonl");
        let last = metrics.lines().last().expect("a line");
        let last: Value = serde_json::from_str(last).expect("JSON");
        let measured = last["parts"]["cosine"].as_f64().expect("a cosine");
        assert!(
            (measured - expected).abs() < 2e-6,
            "{head}: {measured}, not {expected}"
        );
        assert!(
            ends.iter().all(|end| (end - measured).abs() > 1e-5),
            "{ends:?}"
        );
        ends.push(measured);
    }
}

#[test]
fn every_head_gives_the_vectors_of_sentence_transformers() {
    let golden = golden();
    let heads = golden["vectors"].as_object().expect("heads");
    assert!(heads.len() >= 20, "{} heads", heads.len());
    for (name, prompts) in heads {
        let scene = with_head(name);
        for (prompt, vectors) in prompts.as_object().expect("prompts") {
            for batch in ["1", "32"] {
                let mut flags = vec!["--batch", batch];
                if !prompt.is_empty() {
                    flags.extend(["--prompt", prompt]);
                }
                let printed = scene.encode(&flags, lines(&golden)).done().objects();
                let difference = difference(&printed, vectors);
                assert!(
                    difference <= 1e-5,
                    "{name}, prompt `{prompt}`: {difference}"
                );
            }
        }
    }
}

#[test]
fn heads_that_differ_give_other_vectors() {
    let golden = golden();
    let mean = &golden["vectors"]["mean"][""];
    for name in [
        "cls",
        "max",
        "mean_sqrt_len_tokens",
        "weightedmean",
        "lasttoken",
        "normalized",
        "length",
    ] {
        let printed = with_head(name).encode(&[], lines(&golden)).done().objects();
        let difference = difference(&printed, mean);
        assert!(difference > 0.01, "{name}: {difference}");
    }
}

#[test]
fn texts_that_lose_their_end_are_counted() {
    let golden = golden();
    for (name, flags, said) in [
        (
            "length",
            &[][..],
            "2 of 6 texts were cut: the model reads 9 tokens of a text",
        ),
        (
            "no-modules",
            &[],
            "1 of 6 texts was cut: the model reads 40 tokens of a text",
        ),
        (
            "length",
            &["--max-length", "40"],
            "1 of 6 texts was cut: the model reads 40 tokens of a text",
        ),
        (
            "length",
            &["--tokens"],
            "2 of 6 texts were cut: the model reads 9 tokens of a text",
        ),
    ] {
        let outcome = with_head(name).encode(flags, lines(&golden)).done();
        let said = format!("{said}; the first is standard input, line ");
        assert!(
            outcome.stderr.starts_with(&said),
            "{name} {flags:?}: {}",
            outcome.stderr
        );
    }
    assert_eq!(with_head("length").encode(&[], "key\n").done().stderr, "");
}

#[test]
fn an_encoder_in_a_folder_of_its_own_is_found() {
    let golden = golden();
    let scene = with_head("old-length");
    for file in scene.files("teacher") {
        if !file.contains('/') && file != "modules.json" {
            let bytes = scene.read(&format!("teacher/{file}"));
            scene.write(&format!("teacher/0_Transformer/{file}"), bytes);
            scene.remove(&format!("teacher/{file}"));
        }
    }
    scene.set_field("teacher/modules.json", "/0/path", "0_Transformer");
    let printed = scene.encode(&[], lines(&golden)).done().objects();
    assert!(difference(&printed, &golden["vectors"]["old-length"][""]) <= 1e-5);
}

#[test]
fn a_prompt_that_the_folder_does_not_name_is_wrong_use() {
    let names =
        "there is no prompt `passage`; config_sentence_transformers.json names `document`, `query`";
    with_head("prompts")
        .encode(&["--prompt", "passage"], "a\n")
        .refused(2, names);
    let none = "there is no prompt `passage`: config_sentence_transformers.json names none";
    with_head("old-mean")
        .encode(&["--prompt", "passage"], "a\n")
        .refused(2, none);
}

#[test]
fn a_head_that_is_not_supported_is_refused_by_its_name() {
    const SUPPORTED: &str = "supported are Transformer, Pooling, Dense and Normalize of sentence-transformers, the first two first. \
                             Without modules.json the folder is read with mean pooling";
    let module = |kind: &str| format!("the module `{kind}` is not supported; {SUPPORTED}");
    let word_weights = "sentence_transformers.models.WordWeights";
    let layers = "sentence_transformers.models.WeightedLayerPooling";
    for (file, field, value, reason) in [
        ("modules.json", "/3/type", json!(word_weights), module(word_weights)),
        ("modules.json", "/3/type", json!("custom.Normalize"), module("custom.Normalize")),
        ("modules.json", "/1/type", json!(layers), format!("module 1 is `{layers}`, not Pooling; {SUPPORTED}")),
        ("modules.json", "/2/path", json!("../2_Dense"), "the path `../2_Dense` leads out of the folder".into()),
        ("modules.json", "/1/path", json!("pooling"), String::new()),
        (
            "1_Pooling/config.json",
            "/pooling_mode",
            json!("median"),
            "pooling_mode `median` is not supported; supported: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken"
                .into(),
        ),
        (
            "1_Pooling/config.json",
            "/embedding_dimension",
            json!(25),
            "embedding_dimension is 25, but the model's hidden size is 24".into(),
        ),
        (
            "2_Dense/config.json",
            "/activation_function",
            json!("torch.nn.modules.activation.Hardtanh"),
            "activation_function `torch.nn.modules.activation.Hardtanh` is not supported; supported are these of torch.nn: \
             Identity, Tanh, GELU, ReLU, Sigmoid, SiLU"
                .into(),
        ),
        (
            "2_Dense/config.json",
            "/in_features",
            json!(23),
            "in_features is 23, but the vector before it is 24 wide".into(),
        ),
        ("2_Dense/config.json", "/use_residual", json!(true), "a Dense with `use_residual` is not supported".into()),
        (
            "3_Normalize/config.json",
            "/module_input_name",
            json!("token_embeddings"),
            "a Normalize on `token_embeddings` is not supported, only on `sentence_embedding`".into(),
        ),
        (
            "sentence_bert_config.json",
            "/transformer_task",
            json!("fill-mask"),
            "transformer_task `fill-mask` is not supported, only `feature-extraction`".into(),
        ),
        (
            "config_sentence_transformers.json",
            "/default_prompt_name",
            json!("passage"),
            "there is no prompt `passage`; config_sentence_transformers.json names `document`, `query`".into(),
        ),
    ] {
        let scene = with_head("dense");
        scene.set_field(&format!("teacher/{file}"), field, value);
        let message = match reason.is_empty() {
            true => "teacher/pooling/config.json: modules.json names it, but it is not there".to_owned(),
            false => format!("teacher/{file}: {reason}"),
        };
        scene.encode(&[], "a\n").refused(1, &message);
        scene.distill(&["--out", "student"]).failed(&message);
        assert!(!scene.path("student").exists(), "{file} {field}");
    }
}

#[test]
fn a_student_makes_its_vectors_as_its_teacher_does() {
    for (name, hidden, words) in [
        ("cls", "12", "cls pooling, of up to 40 tokens"),
        (
            "two-modes",
            "12",
            "lasttoken + cls pooling, of up to 40 tokens",
        ),
        (
            "normalized",
            "12",
            "mean pooling, normalised, of up to 40 tokens",
        ),
        ("length", "12", "mean pooling, of up to 9 tokens"),
        (
            "without-prompt",
            "12",
            "cls pooling without the prompt, of up to 40 tokens",
        ),
        (
            "dense",
            "24",
            "cls pooling, Dense 24 to 10, normalised, of up to 40 tokens",
        ),
        (
            "two-dense",
            "24",
            "max pooling, Dense 24 to 12, Dense 12 to 6, of up to 40 tokens",
        ),
        (
            "dense",
            "12",
            "cls pooling, normalised, of up to 40 tokens; without the teacher's Dense, which takes vectors of 24 columns and \
             not the student's 12",
        ),
    ] {
        let scene = with_head(name);
        let hidden = format!("student.hidden={hidden}");
        let said = scene.distill(&["--set", &hidden]).done().stderr;
        assert!(
            said.contains(&format!("Sentence vectors {words}\n")),
            "{name}: {said}"
        );
        assert!(
            scene
                .text("student/README.md")
                .contains(&format!("| Sentence vectors | {words} |"))
        );
        // The copied weights of the whole teacher give the teacher's vectors through the student's head, and no other.
        if hidden.ends_with("24") {
            for file in ["config.json", "model.safetensors"] {
                scene.write(
                    &format!("student/{file}"),
                    scene.read(&format!("teacher/{file}")),
                );
            }
            let golden = golden();
            let printed = scene
                .encode(&["--model", "student"], lines(&golden))
                .done()
                .objects();
            assert!(
                difference(&printed, &golden["vectors"][name][""]) <= 1e-5,
                "{name}"
            );
        }
    }
}

#[test]
fn a_student_inherits_prompts_and_the_case_of_letters() {
    let scene = with_head("default-prompt");
    scene.distill(&[]).done();
    let theirs = scene.json("teacher/config_sentence_transformers.json");
    let ours = scene.json("student/config_sentence_transformers.json");
    assert_eq!(ours["prompts"], theirs["prompts"]);
    assert_eq!(ours["default_prompt_name"], "query");
    let scene = with_head("old-lower-case");
    scene.distill(&[]).done();
    let vectors = |text: &str| scene.encode(&["--model", "student"], text).done().stdout;
    assert_eq!(vectors("THE TEACHER\n"), vectors("the teacher\n"));
    assert_ne!(vectors("the teacher\n"), vectors("the student\n"));
}

#[test]
fn a_student_with_random_weights_reads_no_positions_that_it_was_not_trained_on() {
    let scene = Scene::new();
    let length =
        |scene: &Scene| scene.json("student/sentence_bert_config.json")["max_seq_length"].clone();
    scene.distill(&[]).done();
    assert_eq!(length(&scene), 40);
    scene
        .distill(&["--overwrite", "--set", "student.init=random"])
        .done();
    assert_eq!(length(&scene), 16);
}
