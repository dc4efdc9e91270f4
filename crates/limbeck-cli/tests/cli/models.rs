//! Model folders: every layout that must give the same embeddings, and every damage that must be named.

#[cfg(unix)]
use std::process::{Command, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

#[cfg(unix)]
use crate::scene::Outcome;
use crate::scene::Scene;
use crate::weights;

const TEXT: &str = "The teacher reads two words.\nsmall student\n";
const WEIGHTS: &str = "teacher/model.safetensors";

fn embeddings(scene: &Scene) -> String {
    scene.encode(&[], TEXT).done().stdout
}

#[track_caller]
fn refused(scene: &Scene, message: &str) {
    scene.encode(&[], TEXT).refused(1, message);
}

/// The same text must give the same embeddings, bit by bit, after the change.
#[track_caller]
fn same_after(change: impl FnOnce(&Scene)) {
    let scene = Scene::new();
    let before = embeddings(&scene);
    change(&scene);
    assert_eq!(embeddings(&scene), before);
}

#[test]
fn weights_of_16_bits_are_read_as_the_values_they_hold() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let scene = Scene::new();
        let exact = embeddings(&scene);
        weights::edit_each(&scene, |stored| stored.rounded(dtype));
        let rounded = embeddings(&scene);
        assert_ne!(rounded, exact, "the weights must not all fit {dtype:?}");
        scene.copy_golden("tiny-bert", "teacher");
        weights::edit_each(&scene, |stored| stored.cast(dtype));
        assert_eq!(embeddings(&scene), rounded, "{dtype:?}");
    }
}

#[test]
fn weights_of_64_bits_are_read() {
    same_after(|scene| weights::edit_each(scene, |stored| stored.cast(Dtype::F64)));
}

#[test]
fn a_model_inside_another_is_found_by_its_prefix() {
    same_after(|scene| weights::rename_each(scene, |name| format!("bert.{name}")));
}

#[test]
fn old_names_of_layer_norms_are_understood() {
    same_after(|scene| {
        weights::rename_each(scene, |name| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta")
        });
    });
}

#[test]
fn shards_are_read_by_their_index() {
    same_after(|scene| {
        weights::shard(scene);
    });
}

#[test]
fn pytorch_weights_are_read() {
    same_after(|scene| {
        scene.remove(WEIGHTS);
        scene.copy_golden("tiny-bert-pytorch", "teacher");
    });
}

#[test]
fn a_vocabulary_alone_is_a_tokenizer() {
    same_after(|scene| scene.remove("teacher/tokenizer.json"));
}

#[test]
fn cut_off_weights_are_refused_with_their_size() {
    let scene = Scene::new();
    let whole = scene.read(WEIGHTS);
    let header = u64::from_le_bytes(*whole.first_chunk().expect("a header length"));
    for (size, reason) in [
        (4, "4 bytes are too few for a safetensors file".to_owned()),
        (
            100,
            format!("the file is cut off: its header alone is {header} bytes, the file only 100"),
        ),
        (
            20_000,
            "the file is cut off or too long: its 20000 bytes are not what its header announces"
                .to_owned(),
        ),
    ] {
        scene.write(WEIGHTS, &whole[..size]);
        refused(
            &scene,
            &format!("{WEIGHTS}: {reason}. Download the file again, or copy it whole"),
        );
    }
}

#[test]
fn a_header_of_2_to_the_60_bytes_is_refused_before_memory_is_taken() {
    let scene = Scene::new();
    let mut bytes = scene.read(WEIGHTS);
    bytes[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    scene.write(WEIGHTS, bytes);
    refused(
        &scene,
        "teacher/model.safetensors: the file claims a header of 1152921504606846976 bytes, more than any safetensors file \
         has. Download the file again, or copy it whole",
    );
}

#[test]
fn damaged_pytorch_weights_are_refused() {
    let scene = Scene::new();
    scene.remove(WEIGHTS);
    scene.copy_golden("tiny-bert-pytorch", "teacher");
    let whole = scene.read("teacher/pytorch_model.bin");
    for bytes in [&whole[..whole.len() / 2], b"not a pickle", b""] {
        scene.write("teacher/pytorch_model.bin", bytes);
        let outcome = scene.encode(&[], TEXT);
        let message = outcome.stderr.trim_end();
        let start = "limbeck: teacher/pytorch_model.bin: ";
        let end = ". Download the file again, or copy it whole";
        assert!(
            message.starts_with(start) && message.ends_with(end),
            "{message}"
        );
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let scene = Scene::new();
    let count = weights::read(&scene, WEIGHTS).len() - 1;
    weights::edit(&scene, |tensors| {
        drop(tensors.remove("encoder.layer.1.output.dense.weight"))
    });
    let message = format!(
        "no tensor `encoder.layer.1.output.dense.weight` in the weights ({count} tensors, such as \
         `embeddings.LayerNorm.bias`), but config.json requires it"
    );
    refused(&scene, &message);
    scene.distill(&[]).refused(1, &message);
}

#[test]
fn weights_of_something_else_are_refused() {
    let scene = Scene::new();
    weights::edit(&scene, |tensors| {
        tensors.retain(|name, _| name == "pooler.dense.bias")
    });
    refused(
        &scene,
        "no tensor `embeddings.word_embeddings.weight` in the weights (1 tensor, such as `pooler.dense.bias`), but \
         config.json requires it",
    );
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let scene = Scene::new();
    scene.set_config("intermediate_size", 48);
    refused(
        &scene,
        "tensor `encoder.layer.0.intermediate.dense.weight` has shape [40, 24], but config.json requires [48, 24]",
    );
}

#[test]
fn a_tensor_of_whole_numbers_is_refused() {
    let scene = Scene::new();
    weights::edit_each(&scene, |stored| stored.cast(Dtype::I32));
    refused(
        &scene,
        "tensor `embeddings.word_embeddings.weight` is of type I32; weights must be F32, F16, BF16 or F64",
    );
}

#[test]
fn a_missing_shard_is_named() {
    let scene = Scene::new();
    let [_, second] = weights::shard(&scene);
    scene.remove(&format!("teacher/{second}"));
    refused(&scene, &format!("teacher: no {second}. {LAYOUT}"));
}

const LAYOUT: &str = "A Hugging Face model folder holds config.json, model.safetensors (or its shards, or \
                      pytorch_model.bin) and tokenizer.json (or vocab.txt)";

#[test]
fn each_missing_file_is_named() {
    for (removed, named) in [
        (&["config.json"][..], "config.json"),
        (&["model.safetensors"][..], "model.safetensors"),
    ] {
        let scene = Scene::new();
        removed
            .iter()
            .for_each(|file| scene.remove(&format!("teacher/{file}")));
        refused(&scene, &format!("teacher: no {named}. {LAYOUT}"));
        scene
            .run(&["inspect", "teacher"])
            .refused(1, &format!("teacher: no {named}. {LAYOUT}"));
    }
}

#[test]
fn a_folder_without_a_vocabulary_is_told_how_to_make_a_tokenizer() {
    let scene = Scene::new();
    scene.remove("teacher/tokenizer.json");
    scene.remove("teacher/vocab.txt");
    refused(
        &scene,
        "tokenizer: there is no tokenizer.json, and no other file with a vocabulary; without one, vocab.txt of BERT and MPNet is read, and \
         RoBERTa's vocab.json with merges.txt. Make a tokenizer.json: python -c \"from transformers import AutoTokenizer; \
         AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\"",
    );
}

/// Tokens that the model has no rows for may stand in the last line of a corpus: it is said before the first step.
#[test]
fn a_tokenizer_with_more_tokens_than_rows_trains_nothing() {
    let scene = Scene::new();
    scene.write("teacher/added_tokens.json", "{\"aspirin\": 113}");
    let message = "the tokenizer has 114 tokens, such as `aspirin` with id 113, and the model rows for 113. Give the model rows for \
        them all (resize_token_embeddings of transformers), or remove the added tokens from the tokenizer's files";
    scene.distill(&[]).refused(1, message);
    scene.run(&["inspect", "teacher"]).refused(1, message);
    let outcome = scene.encode(&[], "aspirin\n");
    let beyond = "limbeck: token id 113 is beyond the model's vocabulary of 113";
    assert!(outcome.stderr.starts_with(beyond), "{}", outcome.stderr);
    scene.encode(&[], "the teacher\n").done();
}

#[test]
fn a_config_that_is_not_json_is_refused() {
    let scene = Scene::new();
    scene.write("teacher/config.json", "model_type: bert\n");
    refused(
        &scene,
        "teacher/config.json: not JSON: no JSON value is written like that (line 1, column 1), in `model_type: bert`",
    );
    // A file is quoted, and not obeyed by the terminal.
    scene.write("teacher/config.json", "model\x1b[2J\r\u{9b}31m");
    refused(
        &scene,
        "teacher/config.json: not JSON: no JSON value is written like that (line 1, column 1), in `model\u{fffd}[2J\u{fffd}\u{fffd}31m`",
    );
    scene.write("teacher/config.json", "[]");
    refused(&scene, "teacher/config.json: not a JSON object");
}

#[test]
fn a_config_without_a_size_is_refused() {
    let scene = Scene::new();
    scene.set_config("hidden_size", serde_json::Value::Null);
    refused(
        &scene,
        "teacher/config.json: hidden_size is null, and must be an integer from 0, such as 12 (not 12.0)",
    );
    scene.set_config("hidden_size", 0);
    refused(&scene, "teacher/config.json: hidden_size is 0");
}

#[test]
fn models_of_another_kind_are_refused_with_those_that_run() {
    for (field, value, message) in [
        (
            "model_type",
            "gpt2",
            "teacher/config.json: model_type `gpt2` is not supported; supported: bert, roberta, xlm-roberta, camembert, distilbert, electra, modernbert, mpnet, nomic_bert, gte, new, eurobert, qwen3, gemma3_text, deberta-v2",
        ),
        (
            "hidden_act",
            "gelu_fast",
            "teacher/config.json: hidden_act `gelu_fast` is not supported; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu",
        ),
        (
            "position_embedding_type",
            "relative_key",
            "teacher/config.json: position_embedding_type `relative_key` is not supported; supported: absolute",
        ),
    ] {
        let scene = Scene::new();
        scene.set_config(field, value);
        refused(&scene, message);
        scene.distill(&[]).refused(1, message);
    }
}

#[test]
fn heads_that_do_not_divide_the_hidden_size_are_refused() {
    let scene = Scene::new();
    scene.set_config("num_attention_heads", 5);
    refused(
        &scene,
        "teacher/config.json: num_attention_heads (5) does not divide hidden_size (24)",
    );
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let scene = Scene::new();
    let mut tokenizer = scene.json("teacher/tokenizer.json");
    tokenizer["model"]["vocab"]["teacher"] = 500.into();
    scene.write("teacher/tokenizer.json", tokenizer.to_string());
    refused(
        &scene,
        "token id 500 is beyond the model's vocabulary of 113: this tokenizer belongs to another model",
    );
}

#[test]
fn a_damaged_tokenizer_is_refused() {
    let scene = Scene::new();
    scene.write("teacher/tokenizer.json", "{");
    scene.encode(&[], TEXT).failed(
        "teacher/tokenizer.json: not JSON: it ends before a closing } (line 1, column 1), in `{`",
    );
}

#[test]
fn inspect_tells_what_a_model_is() {
    let scene = Scene::new();
    let outcome = scene
        .run(&["inspect", "teacher", "--json", "--student-hidden", "18"])
        .done();
    let expected = serde_json::json!({
        "model_type": "bert", "layers": 2, "hidden": 24, "heads": 3, "ffn": 40, "vocabulary": 113, "tokenizer": 113,
        "max_length": 40, "layer_norm_eps": 0.001, "parameters": 12_728, "relation_heads": [1, 2, 3, 6], "not_read": [],
    });
    assert_eq!(outcome.objects(), [expected]);
    let people = scene.run(&["inspect", "teacher"]).done().stdout;
    assert!(
        people.contains("relation_heads   [1,2,3,4,6,8,12,24]\n"),
        "{people}"
    );
}

#[test]
fn inspect_refuses_a_tokenizer_that_lacks_its_unknown_token() {
    let scene = Scene::new();
    let mut file = scene.json("teacher/tokenizer.json");
    let vocabulary = file["model"]["vocab"].as_object_mut().expect("tokens");
    vocabulary.remove("[UNK]").expect("the unknown token");
    scene.write("teacher/tokenizer.json", file.to_string());
    let message =
        "the vocabulary in tokenizer.json has no `[UNK]`, its token for words that it lacks";
    let outcome = scene.run(&["inspect", "teacher"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(message), "{outcome:?}");
}

/// A teacher of each family is inspected, teaches, and has a student of its own family that encodes.
#[test]
fn each_family_teaches_and_has_students() {
    for (golden, model_type, layers, hidden) in [
        ("tiny-distilbert", "distilbert", "n_layers", "dim"),
        (
            "tiny-electra",
            "electra",
            "num_hidden_layers",
            "hidden_size",
        ),
        (
            "tiny-modernbert",
            "modernbert",
            "num_hidden_layers",
            "hidden_size",
        ),
        ("tiny-mpnet", "mpnet", "num_hidden_layers", "hidden_size"),
        ("tiny-nomic", "nomic_bert", "n_layer", "n_embd"),
        ("tiny-gte", "gte", "num_hidden_layers", "hidden_size"),
        // JinaBERT's model_type is BERT's.
        ("tiny-jina", "bert", "num_hidden_layers", "hidden_size"),
    ] {
        let scene = Scene::new();
        // Config and weights over those of the tiny BERT, whose tokenizer stays.
        scene.copy_golden(golden, "teacher");
        let facts = scene
            .run(&["inspect", "teacher", "--json"])
            .done()
            .objects();
        assert_eq!(
            (&facts[0]["model_type"], &facts[0]["hidden"]),
            (&model_type.into(), &24.into())
        );
        // Poolers and heads are no news.
        assert_eq!(facts[0]["not_read"], serde_json::json!([]));
        // Wider than ELECTRA's tables of 16, which a student takes over as they are.
        scene.distill(&["--set", "student.hidden=18"]).done();
        let config = scene.json("student/config.json");
        assert_eq!(
            (&config["model_type"], &config[layers], &config[hidden]),
            (&model_type.into(), &1.into(), &18.into())
        );
        let encoded = scene.encode(&["--model", "student"], TEXT).done().objects();
        assert_eq!(encoded[0]["embedding"].as_array().map(Vec::len), Some(18));
        // Those that transformers has in an encoder of this kind and one layer: no more, no less.
        let (prefix, count) = match model_type {
            "modernbert" => ("model.".to_owned(), 8),
            "nomic_bert" => ("nomic_bert.".to_owned(), 13),
            "gte" => ("gte.".to_owned(), 15),
            "bert" => (String::new(), 19),
            _ => (format!("{model_type}."), 16),
        };
        let is_of_first = |name: &&str| {
            let later = |layer| format!(".{layer}.");
            !(1..4).any(|layer| name.contains(&later(layer)))
        };
        let teacher = weights::read(&scene, WEIGHTS);
        let expected = teacher.keys().filter_map(|name| name.strip_prefix(&prefix));
        let mut expected: Vec<&str> = expected.filter(is_of_first).collect();
        let student = weights::read(&scene, "student/model.safetensors");
        let mut found: Vec<&str> = student.keys().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found.len() >= count, "{found:?}");
        assert_eq!(found, expected, "{model_type}");
    }
}

/// Teachers of the kinds that only teach are inspected and encode; their students are ModernBERT models with their tokens.
#[test]
fn kinds_that_only_teach_have_modernbert_students() {
    for (golden, model_type, key_heads) in [
        ("tiny-eurobert", "eurobert", Some(2)),
        ("tiny-qwen3", "qwen3", Some(2)),
        ("tiny-gemma3", "gemma3_text", Some(1)),
        ("tiny-gemma3-causal", "gemma3_text", Some(1)),
        ("tiny-deberta", "deberta-v2", None),
        ("tiny-deberta-apart", "deberta-v2", None),
    ] {
        let scene = Scene::new();
        // Config and weights over those of the tiny BERT, whose tokenizer stays.
        scene.copy_golden(golden, "teacher");
        let facts = scene.run(&["inspect", "teacher", "--json"]).done();
        let facts = &facts.objects()[0];
        assert_eq!(
            (
                &facts["model_type"],
                &facts["students"],
                &facts["key_value_heads"]
            ),
            (
                &model_type.into(),
                &"modernbert".into(),
                &serde_json::json!(key_heads)
            )
        );
        assert_eq!(facts["not_read"], serde_json::json!([]));
        let encoded = scene.encode(&[], TEXT).done().objects();
        assert_eq!(encoded[0]["embedding"].as_array().map(Vec::len), Some(24));
        let size = [
            "--set",
            "student.hidden=12",
            "--set",
            "student.heads=2",
            "--set",
            "relation_heads=4",
        ];
        let refused = scene.distill(&[&size[..], &["--set", "student.init=\"teacher\""]].concat());
        assert_eq!(refused.code, Some(2));
        let message = format!(
            "student.init: a teacher of the kind `{model_type}` has no students of its kind here: they are of the kind `modernbert`"
        );
        assert!(refused.stderr.contains(&message), "{}", refused.stderr);
        assert!(!scene.path("student").exists());
        scene
            .distill(&[&size[..], &["--set", "student.init=\"random\""]].concat())
            .done();
        let config = scene.json("student/config.json");
        assert_eq!(config["model_type"], "modernbert");
        let card = scene.text("student/README.md");
        let shared = "heads of queries share: in pairs with queries they are repeated";
        assert_eq!(card.contains(shared), key_heads.is_some(), "{card}");
        let encoded = scene.encode(&["--model", "student"], TEXT).done().objects();
        assert_eq!(encoded[0]["embedding"].as_array().map(Vec::len), Some(12));
        // Q-K and K-K are of different widths there.
        let models = ["relations", "--teacher", "teacher", "--student", "student"];
        let drawn = [
            "--device",
            "cpu",
            "--text",
            "two words",
            "--pairs",
            "qk,kk",
            "-o",
            "maps.json",
        ];
        scene.run(&[&models[..], &drawn].concat()).done();
        let why = format!(
            "models of the kind `{model_type}` can be teachers here, and encode texts, but not be trained or exported; a model of the \
             kind `modernbert` can have its tokens"
        );
        let exported = scene.run(&["export", "--model", "teacher"]);
        assert!(exported.stderr.contains(&why), "{}", exported.stderr);
        assert!(exported.code != Some(0) && !scene.path("teacher/onnx").exists());
    }
}

/// A student of GTE's own code, which calls the family `new`, is written for transformers.
#[test]
fn a_teacher_in_older_keys_has_a_student_in_those_of_transformers() {
    let scene = Scene::new();
    scene.copy_golden("tiny-gte", "teacher");
    let config = serde_json::json!({
        "model_type": "new", "vocab_size": 113, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 20, "max_position_embeddings": 40, "hidden_act": "gelu", "layer_norm_eps": 4e-4,
        "type_vocab_size": 1, "pad_token_id": 0, "rope_theta": 30.0, "rope_scaling": {"type": "ntk", "factor": 16.0},
    });
    scene.write("teacher/config.json", config.to_string());
    scene.distill(&[]).done();
    let student = scene.json("student/config.json");
    assert_eq!(
        (&student["model_type"], &student["rope_parameters"]),
        (
            &"gte".into(),
            &serde_json::json!({"rope_type": "linear", "rope_theta": 480.0, "factor": 2.0})
        )
    );
    let encoded = scene.encode(&["--model", "student"], TEXT).done().objects();
    assert_eq!(encoded.len(), 2);
}

/// A layer with a window is no teacher of relations, and one without rotary positions has none that are turned.
#[test]
fn layers_and_taps_that_teach_nothing_are_refused() {
    let scene = Scene::new();
    let rotated = ["--set", "tap=rotated"];
    scene.distill(&rotated).refused(
        2,
        "the recipe has a mistake:\n  tap: `rotated` is for models with rotary positions, and the teacher (bert) has none; leave \
         tap out",
    );
    scene.copy_golden("tiny-modernbert", "teacher");
    scene.distill(&["--set", "teacher_layer=3"]).refused(
        2,
        "the recipe has a mistake:\n  teacher_layer: layer 3 of the teacher attends to near tokens alone, so it has no relations \
         among all tokens that a student could learn; these attend to all: [1, 4]",
    );
    scene.distill(&rotated).done();
    let recipe = scene.text("student/recipe.toml");
    assert!(recipe.contains("tap = \"rotated\"\n"), "{recipe}");
    // What no flag says, the recipe does, whatever else flags say.
    let attention = |file: &str| {
        let models = ["relations", "--teacher", "teacher", "--student", "student"];
        let what = ["--heads", "2", "--layer", "4", "--pairs", "qk"];
        let text = [
            "--text",
            "the teacher and two small students",
            "--device",
            "cpu",
        ];
        let flags = [&models[..], &what, &text, &["--out", file]].concat();
        scene.run(&flags).done();
        scene.json(file)["pairs"].clone()
    };
    let turned = attention("turned.json");
    let content = recipe.replace("tap = \"rotated\"\n", "");
    scene.write("student/recipe.toml", content);
    assert!(turned.is_object() && turned != attention("content.json"));
}

#[test]
fn devices_name_the_cpu_and_one_that_is_chosen() {
    let devices = Scene::new().run(&["devices", "--json"]).done().objects();
    assert_eq!(devices[0]["device"], "cpu");
    assert!(devices[0]["cores"].as_u64() >= Some(1));
    let chosen = devices.iter().filter(|device| device["auto"] == true);
    assert_eq!(chosen.count(), 1, "{devices:?}");
}

#[test]
fn another_number_of_threads_than_cores_is_said() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let scene = Scene::new();
    let mut command = scene.command(&["devices"]);
    command.env("RAYON_NUM_THREADS", (cores + 1).to_string());
    let output = command.output().expect("limbeck starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = format!("cpu   {} threads on {cores} core", cores + 1);
    assert!(text.starts_with(&said), "{text}");
}

/// As in a container or under cron.
#[test]
fn graphics_libraries_are_quiet_without_a_runtime_folder() {
    for folder in [None, Some(""), Some("relative")] {
        let scene = Scene::new();
        let mut command = scene.command(&["devices"]);
        command.env_remove("XDG_RUNTIME_DIR");
        command.envs(folder.map(|folder| ("XDG_RUNTIME_DIR", folder)));
        let output = command.output().expect("limbeck starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\ngpu "), "{text}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{folder:?}");
    }
}

/// Every command that reads weights says which of them is no number, and where.
#[test]
fn weights_that_are_not_numbers_are_named_with_their_place() {
    for (value, word) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "infinity"),
        (f32::NEG_INFINITY, "-infinity"),
    ] {
        let scene = Scene::new();
        let name = "encoder.layer.1.attention.self.query.weight";
        weights::edit(&scene, |tensors| {
            let query = tensors.get_mut(name).expect("a query");
            *query = query.map(|at, x| if at >= 24 + 2 { value } else { x });
        });
        let message = format!(
            "the weights of teacher hold {word} in {name}, first at [1, 2]. No model computes with that: download the weights \
             again, or take those of an earlier step"
        );
        refused(&scene, &message);
        scene.run(&["inspect", "teacher"]).refused(1, &message);
        scene.distill(&[]).refused(1, &message);
        assert!(!scene.path("student").exists());
        scene.copy_golden("tiny-bert", "whole");
        for (teacher, student) in [("whole", "teacher"), ("teacher", "whole")] {
            let models = ["relations", "--teacher", teacher, "--student", student];
            let rest = ["--device", "cpu", "--text", "two words", "-o", "out.json"];
            scene
                .run(&[&models[..], &rest].concat())
                .refused(1, &message);
        }
    }
}

/// Weights of 64 bits may be numbers that f32 does not have.
#[test]
fn weights_beyond_32_bits_are_refused() {
    let scene = Scene::new();
    weights::edit_each(&scene, |stored| stored.cast(Dtype::F64));
    weights::edit(&scene, |tensors| {
        let bias = tensors
            .get_mut("embeddings.LayerNorm.bias")
            .expect("a bias");
        bias.bytes[..8].copy_from_slice(&1e300_f64.to_le_bytes());
    });
    let outcome = scene.encode(&[], TEXT);
    let start = "limbeck: the weights of teacher hold infinity in embeddings.LayerNorm.bias, first at [0]. ";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
}

#[test]
fn an_epsilon_that_is_no_number_above_0_is_refused() {
    for (eps, shown) in [(-1.0, "-1"), (0.0, "0")] {
        let scene = Scene::new();
        scene.set_config("layer_norm_eps", eps);
        refused(
            &scene,
            &format!(
                "teacher/config.json: layer_norm_eps is {shown}, and must be a number above 0, such as 1e-12"
            ),
        );
    }
    let scene = Scene::new();
    let config = scene.text("teacher/config.json").replace("0.001", "NaN");
    scene.write("teacher/config.json", config);
    let outcome = scene.encode(&[], TEXT);
    let start = "limbeck: teacher/config.json: not JSON: ";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
}

/// A charsmap of SentencePiece: its trie and its texts.
fn charsmap(trie: &[u32], texts: &str) -> Value {
    let length = 4 * trie.len() as u32;
    let units = [&[length][..], trie].concat();
    let mut bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    bytes.extend(texts.as_bytes());
    BASE64_STANDARD.encode(bytes).into()
}

/// A trie of one letter, `a`, with a leaf that has this value.
fn trie_of_a(value: u32) -> Vec<u32> {
    let (root, leaf) = (256, 300);
    let place = root ^ u32::from(b'a');
    let mut trie = vec![0; 512];
    trie[0] = root << 10;
    trie[place as usize] = (place ^ leaf) << 10 | 1 << 8 | u32::from(b'a');
    trie[leaf as usize] = value;
    trie
}

/// Replaces a part of the teacher's tokenizer.
fn set_tokenizer(scene: &Scene, part: &str, value: Value) {
    let mut tokenizer = scene.json("teacher/tokenizer.json");
    tokenizer[part] = value;
    scene.write("teacher/tokenizer.json", tokenizer.to_string());
}

/// What the library of tokenizers takes and then panics on, when it reads the file or at the first text.
#[test]
fn a_tokenizer_that_makes_its_library_panic_is_refused() {
    let precompiled = |map: Value| json!({ "type": "Precompiled", "precompiled_charsmap": map });
    let nested = |part: Value| json!({ "type": "Sequence", "normalizers": [part] });
    let template = |single: Value, tokens: Value| {
        let (kind, pair) = ("TemplateProcessing", &single);
        json!({ "type": kind, "single": single, "pair": pair, "special_tokens": tokens })
    };
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let second = json!({ "Sequence": { "id": "B", "type_id": 0 } });
    let special = json!({ "SpecialToken": { "id": "[NO]", "type_id": 0 } });
    let no = json!({ "[NO]": { "id": "[NO]", "ids": [1, 2], "tokens": ["[NO]"] } });
    let cases = [
        (
            "normalizer",
            precompiled(Value::Null),
            "is not a text in base64",
        ),
        (
            "normalizer",
            nested(precompiled("!!!!".into())),
            "is not base64: ",
        ),
        ("normalizer", precompiled("".into()), "is damaged: "),
        ("normalizer", precompiled(charsmap(&[], "")), "is damaged: "),
        (
            "normalizer",
            nested(precompiled(charsmap(&[1000 << 10], ""))),
            "is damaged: ",
        ),
        (
            "normalizer",
            json!({ "precompiled_charsmap": charsmap(&[1000 << 10], "") }),
            "is damaged: ",
        ),
        (
            "normalizer",
            precompiled(charsmap(&trie_of_a(9), "x\0")),
            "is damaged: ",
        ),
        (
            "normalizer",
            precompiled(charsmap(&trie_of_a(1), "ä\0")),
            "is damaged: ",
        ),
        (
            "pre_tokenizer",
            json!({ "type": "FixedLength", "length": 0 }),
            "a length of 0",
        ),
        (
            "post_processor",
            template(json!([special, text]), json!({})),
            "the special token `[NO]`, which is not among its special_tokens",
        ),
        (
            "post_processor",
            template(json!([special, text]), no),
            "`[NO]` has not as many ids as tokens",
        ),
        (
            "post_processor",
            template(json!([text, second]), json!({})),
            "neither that text, A",
        ),
    ];
    for (part, value, reason) in cases {
        let scene = Scene::new();
        set_tokenizer(&scene, part, value);
        for outcome in [
            scene.encode(&[], "a teacher\n"),
            scene.run(&["inspect", "teacher"]),
            scene.distill(&[]),
        ] {
            let message = outcome.stderr.trim_end();
            assert!(
                message.starts_with("limbeck: tokenizer: tokenizer.json cannot be read: its ")
                    && message.contains(reason)
                    && message.lines().count() == 1,
                "{part}, {reason}: {message}"
            );
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
        }
    }
}

#[test]
fn a_charsmap_that_is_whole_is_applied() {
    let scene = Scene::new();
    scene.keep_tokenizer_json();
    let map = charsmap(&trie_of_a(2), "-\0e\0");
    set_tokenizer(
        &scene,
        "normalizer",
        json!({ "type": "Precompiled", "precompiled_charsmap": map }),
    );
    assert_eq!(
        scene.encode(&[], "tha\n").done().stdout,
        scene.encode(&[], "the\n").done().stdout
    );
}

/// A pipe that nobody writes to would keep the program waiting, and a device may give bytes without end.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_before_it_is_opened() {
    let why =
        "it is a pipe, a socket or a device, not a regular file; write its content to a file first";
    let (encode, distill) = (
        &["encode", "--device", "cpu", "--model", "teacher"][..],
        &["distill", "--config", "recipe.toml"][..],
    );
    for (file, arguments) in [
        ("teacher/config.json", encode),
        ("teacher/tokenizer.json", encode),
        ("teacher/model.safetensors", encode),
        ("teacher/model.safetensors", &["inspect", "teacher"]),
        ("teacher/model.safetensors", distill),
        ("teacher/pytorch_model.bin", encode),
        ("recipe.toml", distill),
        ("recipe.toml", &["config", "check", "recipe.toml"]),
        (
            "student/checkpoint.safetensors",
            &["distill", "--out", "student", "--resume"],
        ),
        (
            "student/recipe.toml",
            &[
                "relations",
                "--teacher",
                "teacher",
                "--student",
                "student",
                "--text",
                "a",
                "-o",
                "out.json",
            ],
        ),
    ] {
        let scene = Scene::new();
        scene.copy_golden("tiny-bert", "student");
        if file.ends_with(".bin") {
            scene.remove(WEIGHTS);
        }
        std::fs::remove_file(scene.path(file)).ok();
        make_pipe(&scene, file);
        let outcome = in_time(scene.command(arguments));
        let message = format!("limbeck: cannot read {file}: {why}");
        assert!(
            outcome.stderr.starts_with(&message),
            "{arguments:?}: {}",
            outcome.stderr
        );
        assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
    }
}

#[cfg(unix)]
fn make_pipe(scene: &Scene, file: &str) {
    let made = Command::new("mkfifo").arg(scene.path(file)).status();
    assert!(made.expect("running mkfifo").success());
}

/// Runs a program that could wait for ever.
#[cfg(unix)]
fn in_time(mut command: Command) -> Outcome {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("starting limbeck");
    let start = Instant::now();
    while child.try_wait().expect("its state").is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().expect("ending it");
            panic!("{command:?} waits for ever");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output").into()
}
