//! Model folders: every layout that must give the same embeddings, and every damage that must be named.

use safetensors::tensor::Dtype;

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
        "no tensor `embeddings.word_embeddings.weight` in the weights (1 tensors, such as `pooler.dense.bias`), but \
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
        (
            &["tokenizer.json", "vocab.txt"][..],
            "tokenizer.json or vocab.txt",
        ),
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
fn a_config_that_is_not_json_is_refused() {
    let scene = Scene::new();
    scene.write("teacher/config.json", "model_type: bert\n");
    refused(
        &scene,
        "teacher/config.json: not JSON: expected value at line 1 column 1",
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
        "teacher/config.json: invalid type: null, expected usize",
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
            "model_type `gpt2` is not supported; supported: bert, roberta, xlm-roberta, camembert, distilbert, electra",
        ),
        (
            "hidden_act",
            "gelu_fast",
            "hidden_act `gelu_fast` is not supported; supported: gelu, gelu_new, gelu_pytorch_tanh, relu, silu",
        ),
        (
            "position_embedding_type",
            "relative_key",
            "position_embedding_type `relative_key` is not supported; supported: absolute",
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
    let outcome = scene.encode(&[], TEXT);
    assert!(
        outcome
            .stderr
            .starts_with("limbeck: tokenizer: tokenizer.json cannot be read: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn inspect_tells_what_a_model_is() {
    let scene = Scene::new();
    let outcome = scene
        .run(&["inspect", "teacher", "--json", "--student-hidden", "18"])
        .done();
    let expected = serde_json::json!({
        "model_type": "bert", "layers": 2, "hidden": 24, "heads": 3, "ffn": 40, "vocabulary": 113, "tokenizer": 113,
        "max_length": 40, "layer_norm_eps": 0.001, "parameters": 12_728, "relation_heads": [1, 2, 3, 6],
    });
    assert_eq!(outcome.objects(), [expected]);
    let people = scene.run(&["inspect", "teacher"]).done().stdout;
    assert!(
        people.contains("relation_heads   [1,2,3,4,6,8,12,24]\n"),
        "{people}"
    );
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
        // Wider than ELECTRA's tables of 16, which a student takes over as they are.
        scene.distill(&["--set", "student.hidden=18"]).done();
        let config = scene.json("student/config.json");
        assert_eq!(
            (&config["model_type"], &config[layers], &config[hidden]),
            (&model_type.into(), &1.into(), &18.into())
        );
        let encoded = scene.encode(&["--model", "student"], TEXT).done().objects();
        assert_eq!(encoded[0]["embedding"].as_array().map(Vec::len), Some(18));
    }
}

#[test]
fn devices_name_the_cpu_and_one_that_is_chosen() {
    let devices = Scene::new().run(&["devices", "--json"]).done().objects();
    assert_eq!(devices[0]["device"], "cpu");
    assert!(devices[0]["cores"].as_u64() >= Some(1));
    let chosen = devices.iter().filter(|device| device["auto"] == true);
    assert_eq!(chosen.count(), 1, "{devices:?}");
}
