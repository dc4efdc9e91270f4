//! `limbeck export`: files that another runtime opens, and that give what `limbeck encode` gives.

use rten::{Model, Value};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use serde_json::json;

use crate::scene::{Outcome, Scene};
use crate::weights;

const FILES: [&str; 3] = ["model.onnx", "model_fp16.onnx", "model_quantized.onnx"];
const TEXT: &str = "The teacher reads two words.\n";

/// The output of that name for one text.
fn run(file: Vec<u8>, ids: &[i32], output: &str) -> Vec<f32> {
    let model = Model::load(file).expect("a file that opens");
    let row = |values: Vec<i32>| Value::from(Tensor::from_data(&[1, ids.len()], values));
    let mut inputs = vec![
        (
            model.node_id("input_ids").expect("ids"),
            row(ids.to_vec()).into(),
        ),
        (
            model.node_id("attention_mask").expect("a mask"),
            row(vec![1; ids.len()]).into(),
        ),
    ];
    if let Ok(types) = model.node_id("token_type_ids") {
        inputs.push((types, row(vec![0; ids.len()]).into()));
    }
    let output = model.node_id(output).expect(output);
    let mut outputs = model.run(inputs, &[output], None).expect("a run");
    let tensor: Tensor<f32> = outputs.remove(0).try_into().expect("f32");
    tensor.to_vec()
}

fn numbers(json: &serde_json::Value) -> Vec<f32> {
    let of = |x: &serde_json::Value| x.as_f64().expect("a number") as f32;
    json.as_array().expect("a list").iter().map(of).collect()
}

/// What `limbeck encode` gives of the text: ids, last hidden states, sentence vector.
fn encoded(scene: &Scene, model: &str) -> (Vec<i32>, Vec<f32>, Vec<f32>) {
    let line = |flags: &[&str]| -> serde_json::Value {
        let flags = [&["--model", model], flags].concat();
        let outcome = scene.encode(&flags, TEXT).done();
        serde_json::from_str(&outcome.stdout).expect("a line of JSON")
    };
    let tokens = line(&["--tokens"]);
    let hidden = tokens["hidden"].as_array().expect("hidden states");
    let hidden = hidden.iter().flat_map(numbers).collect();
    let ids = numbers(&tokens["ids"]).iter().map(|x| *x as i32).collect();
    (ids, hidden, numbers(&line(&[])["embedding"]))
}

fn farthest(got: &[f32], exact: &[f32]) -> f32 {
    assert_eq!(got.len(), exact.len());
    let pairs = got.iter().zip(exact);
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[track_caller]
fn refuses(outcome: &Outcome, code: i32, part: &str) {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(code), ""));
    assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
}

#[test]
fn a_student_runs_elsewhere_with_the_same_vectors() {
    let scene = Scene::new();
    scene.distill(&["--out", "student"]).done();
    let export = ["export", "--model", "student", "--pooled"];
    let outcome = scene.run(&export).done();
    assert!(outcome.stderr.contains("kB, int8"), "{}", outcome.stderr);
    assert_eq!(scene.files("student/onnx"), FILES);
    let (ids, hidden, vector) = encoded(&scene, "student");
    let file = scene.read("student/onnx/model.onnx");
    let worst = farthest(&run(file.clone(), &ids, "last_hidden_state"), &hidden);
    assert!(worst < 1e-5, "{worst:.1e}");
    let worst = farthest(&run(file, &ids, "sentence_embedding"), &vector);
    assert!(worst < 1e-5, "{worst:.1e}");
    let narrow = run(
        scene.read("student/onnx/model_quantized.onnx"),
        &ids,
        "sentence_embedding",
    );
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    let cosine = dot(&narrow, &vector) / (dot(&narrow, &narrow) * dot(&vector, &vector)).sqrt();
    assert!(cosine > 0.99, "{cosine}");
    // Nothing is written over unless asked for, and nothing before all is known to be free.
    scene.remove("student/onnx/model.onnx");
    refuses(&scene.run(&export), 2, "model_fp16.onnx is there already");
    assert_eq!(scene.files("student/onnx"), FILES[1..]);
    scene
        .run(&[&export[..], &["--overwrite", "--formats", "f32"]].concat())
        .done();
    assert_eq!(scene.files("student/onnx"), FILES);
    // Each once, whatever the order; what a killed program left goes.
    scene.write("twice/.limbeck-abcdef", "half a file");
    let twice = ["--out", "twice", "--formats", "onnx,int8,f32"];
    scene.run(&[&export[..], &twice].concat()).done();
    assert_eq!(scene.files("twice"), ["model.onnx", "model_quantized.onnx"]);
    // They are of those weights: not of those of a longer run.
    let longer = [
        "distill", "--out", "student", "--resume", "--set", "steps=5",
    ];
    scene.run(&longer).done();
    assert!(!scene.path("student/onnx").exists());
    scene.run(&export).done();
    // They are of that student: the next one must not find them beside it.
    scene.write("student/onnx/model_q4.onnx", "somebody's");
    scene.distill(&["--out", "student", "--overwrite"]).done();
    assert_eq!(scene.files("student/onnx"), ["model_q4.onnx"]);
}

/// Rotary positions, windows, gates, learnt distances and slopes are in the graph, too.
#[test]
fn a_model_of_each_kind_runs_elsewhere() {
    for golden in [
        "tiny-modernbert",
        "tiny-mpnet",
        "tiny-nomic",
        "tiny-gte",
        "tiny-jina",
    ] {
        let scene = Scene::new();
        // Config and weights over those of the tiny BERT, whose tokenizer stays.
        scene.copy_golden(golden, "teacher");
        let (ids, hidden, vector) = encoded(&scene, "teacher");
        let export = ["export", "--model", "teacher", "--pooled"];
        scene
            .run(&[&export[..], &["--formats", "f32"]].concat())
            .done();
        let file = scene.read("teacher/onnx/model.onnx");
        let worst = farthest(&run(file.clone(), &ids, "last_hidden_state"), &hidden);
        assert!(worst < 1e-5, "{golden}: {worst:.1e}");
        let worst = farthest(&run(file, &ids, "sentence_embedding"), &vector);
        assert!(worst < 1e-5, "{golden}: {worst:.1e}");
    }
}

#[test]
fn a_fine_tuned_model_gives_its_logits() {
    let scene = Scene::new();
    scene.write(
        "train.tsv",
        "sentence\tlabel\na white cat\tcat\na black dog\tdog\ncats\tcat\ndogs\tdog\n",
    );
    for (pooling, folder) in [("cls", "first"), ("mean", "mean")] {
        let flags = [
            "finetune",
            "--model",
            "teacher",
            "--train",
            "train.tsv",
            "--dev",
            "train.tsv",
            "--out",
            folder,
        ];
        let more = [
            "--pooling",
            pooling,
            "--seeds",
            "1",
            "--epochs",
            "1",
            "--device",
            "cpu",
        ];
        scene.run(&[&flags[..], &more].concat()).done();
        scene
            .run(&[
                "export",
                "--model",
                folder,
                "--out",
                "files",
                "--formats",
                "f32",
                "--overwrite",
            ])
            .done();
        let logits = run(
            scene.read("files/model.onnx"),
            &encoded(&scene, "teacher").0,
            "logits",
        );
        assert_eq!(logits.len(), 2);
        assert!(logits.iter().all(|x| x.is_finite()) && logits[0] != logits[1]);
        refuses(
            &scene.run(&["export", "--model", folder, "--pooled"]),
            2,
            "was fine-tuned, so its file gives logits (2 classes)",
        );
    }
}

#[test]
fn what_cannot_be_exported_is_said() {
    let scene = Scene::new();
    refuses(
        &scene.run(&["export", "--model", "nowhere"]),
        1,
        "there is no folder nowhere",
    );
    let loud = Scene::new();
    weights::edit_each(&loud, |stored| stored.map(|_, x| 1e6 * x));
    refuses(
        &loud.run(&["export", "--model", "teacher"]),
        2,
        "write it as f32 or int8 (--formats f32,int8)",
    );
    assert!(!loud.path("teacher/onnx").exists());
    refuses(
        &scene.run(&["export", "--model", "teacher", "--formats", "q4"]),
        2,
        "there is f32, f16 and int8",
    );
    scene.write("file", "in the way");
    refuses(
        &scene.run(&["export", "--model", "teacher", "--out", "file"]),
        1,
        "cannot make the folder file: ",
    );
    let module = |index: usize, path: &str, kind: &str| json!({"idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = json!([
        module(0, "", "Transformer"),
        module(1, "1_Pooling", "Pooling")
    ]);
    scene.write("teacher/modules.json", modules.to_string());
    let pooling = json!({"word_embedding_dimension": 24, "pooling_mode_mean_tokens": true, "include_prompt": false});
    scene.write("teacher/1_Pooling/config.json", pooling.to_string());
    refuses(
        &scene.run(&["export", "--model", "teacher", "--pooled"]),
        2,
        "leaves the tokens of a prompt out",
    );
    assert!(!scene.path("teacher/onnx").exists());
    scene.set_config("model_type", "t5");
    refuses(
        &scene.run(&["export", "--model", "teacher"]),
        1,
        "`t5` is not supported",
    );
}

#[test]
fn a_run_exports_its_student_at_the_end_on_request() {
    let scene = Scene::new();
    let run = ["--out", "student", "--export", "onnx,int8,f32", "--json"];
    let outcome = scene.distill(&run).done();
    let exported = outcome.events("exported");
    let files: Vec<_> = exported.iter().map(|event| &event["file"]).collect();
    assert_eq!(
        files,
        [
            "student/onnx/model.onnx",
            "student/onnx/model_quantized.onnx"
        ]
    );
    let as_export_writes = |files: &[&str], formats: &str| {
        let flags = ["export", "--model", "student", "--out", "apart"];
        let more = ["--formats", formats, "--overwrite"];
        scene.run(&[&flags[..], &more].concat()).done();
        assert_eq!(scene.files("student/onnx"), files);
        for file in files {
            let [ours, other] =
                ["student/onnx", "apart"].map(|f| scene.read(&format!("{f}/{file}")));
            assert!(ours == other, "{file}");
        }
    };
    as_export_writes(&[FILES[0], FILES[2]], "f32,int8");
    assert!(!scene.text("student/recipe.toml").contains("int8"));
    // A longer run makes another student, and what was exported is not of it.
    let longer = ["--resume", "--set", "steps=5", "--export", "f16"];
    let outcome = scene.run(&[&["distill", "--out", "student"][..], &longer].concat());
    assert!(outcome.done().stderr.contains("kB, f16"));
    as_export_writes(&[FILES[1]], "f16");
}

#[test]
fn a_student_that_cannot_be_exported_is_refused_before_the_first_step() {
    let scene = Scene::new();
    let [hidden, heads, layers] = ["hidden=8192", "heads=64", "layers=1"];
    let sizes = [hidden, heads, layers].map(|size| format!("student.{size}"));
    let mut flags = vec!["--out", "student", "--export", "int8,f32"];
    let set = ["student.init=\"random\"", "relation_heads=4"];
    let sizes = sizes.iter().map(String::as_str).chain(set);
    flags.extend(sizes.flat_map(|size| ["--set", size]));
    let outcome = scene.distill(&flags);
    let part = "limbeck: the student cannot be exported with --export: the file would have ";
    assert!(outcome.stderr.starts_with(part), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("write it as f16 or int8"));
    assert_eq!(outcome.code, Some(2));
    assert!(!scene.path("student").exists());
    let outcome = scene.distill(&["--out", "student", "--export", "q4"]);
    outcome.misused("invalid value 'q4' for '--export <TYPES>': there is f32, f16 and int8");
}

#[test]
fn an_export_that_fails_leaves_the_student_whole() {
    let scene = Scene::new();
    scene.write("student/onnx", "somebody's file, in the way");
    let outcome = scene.distill(&["--out", "student", "--overwrite", "--export", "f32"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.trim_end().ends_with(
            "The student in student is whole. Fix that, then export it with: limbeck export --model student"
        ),
        "{}",
        outcome.stderr
    );
    scene.encode(&["--model", "student"], TEXT).done();
}

/// Ctrl-c while files are written: all of them become whole, and nothing that was begun is left.
#[cfg(unix)]
#[test]
fn an_interrupted_export_leaves_whole_files() {
    const WORDS: usize = 200_000;
    let scene = Scene::new();
    // A table that takes a while to write.
    weights::edit(&scene, |tensors| {
        let words = tensors
            .get_mut("embeddings.word_embeddings.weight")
            .expect("a table");
        let row = words.bytes.len() / words.shape[0];
        words.shape[0] = WORDS;
        let rows = words.bytes.iter().copied().cycle();
        words.bytes = rows.take(WORDS * row).collect();
    });
    let mut config = scene.json("teacher/config.json");
    config["vocab_size"] = WORDS.into();
    scene.write("teacher/config.json", config.to_string());
    let export = ["export", "--model", "teacher", "--out"];
    scene.run(&[&export[..], &["whole"]].concat()).done();
    let expected = FILES.map(|file| scene.read(&format!("whole/{file}")));
    let mut caught = 0;
    for out in ["a", "b", "c", "d", "e", "f"] {
        let mut child = scene.piped(&[&export[..], &[out]].concat());
        let is_begun = || {
            let is_there = scene.path(out).is_dir() && !scene.files(out).is_empty();
            is_there
                && FILES
                    .iter()
                    .any(|file| !scene.path(out).join(file).exists())
        };
        let mut is_running = true;
        while is_running && !is_begun() {
            is_running = child.try_wait().expect("a child").is_none();
        }
        if is_running {
            // SAFETY: the child has not been waited for to its end, so its id is its own.
            unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
            caught += 1;
        }
        child.wait().expect("the end");
        assert_eq!(scene.files(out), FILES, "{out}");
        for (file, whole) in FILES.iter().zip(&expected) {
            let is_whole = scene.read(&format!("{out}/{file}")) == *whole;
            assert!(is_whole, "{out}/{file} is not whole");
        }
    }
    assert!(caught > 0, "no export was interrupted");
}
