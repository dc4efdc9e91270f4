//! Folders and files that are not what their names say: what is there is named, and what to do. Every command reads models the
//! same way, so `inspect` stands for all, and `encode` where vectors matter.

use std::fs;

use safetensors::tensor::Dtype;

use crate::scene::{Outcome, Scene};
use crate::weights;

const WEIGHTS: &str = "teacher/model.safetensors";
const TEXT: &str = "The teacher reads two words.\n";
const WORDS: &str = "embeddings.word_embeddings.weight";
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
                       oid sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db\nsize 90868376\n";

#[track_caller]
fn refused(scene: &Scene, model: &str, message: &str) {
    scene.run(&["inspect", model]).refused(1, message);
}

fn rename(scene: &Scene, from: &str, to: &str) {
    let to = scene.path(to);
    fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
    fs::rename(scene.path(from), to).expect("renaming");
}

fn vectors(scene: &Scene) -> Outcome {
    scene.encode(&[], TEXT).done()
}

#[test]
fn a_pointer_of_git_lfs_is_not_the_file() {
    for file in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "pytorch_model.bin",
        "vocab.txt",
    ] {
        let scene = Scene::new();
        if file.ends_with(".bin") {
            scene.remove(WEIGHTS);
        }
        scene.write(&format!("teacher/{file}"), POINTER);
        let message = format!(
            "teacher/{file} is a Git LFS pointer: the file itself (size 90868376) was not fetched. Fetch it: git lfs pull"
        );
        refused(&scene, "teacher", &message);
        scene.distill(&[]).refused(1, &message);
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named_with_where_it_leads() {
    let advice = "Download the model again, or copy its folder with the links followed (cp -rL)";
    for file in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "pytorch_model.bin",
    ] {
        let scene = Scene::new();
        scene.remove(WEIGHTS);
        fs::remove_file(scene.path(&format!("teacher/{file}"))).ok();
        let target = "../../blobs/53aa51";
        std::os::unix::fs::symlink(target, scene.path(&format!("teacher/{file}"))).expect("a link");
        let message = format!("teacher/{file} is a link to {target}, which is not there. {advice}");
        refused(&scene, "teacher", &message);
        // As Git writes it where there are no links.
        fs::remove_file(scene.path(&format!("teacher/{file}"))).expect("removing");
        scene.write(&format!("teacher/{file}"), target);
        let message =
            format!("teacher/{file} is a link to {target} that was written out as text. {advice}");
        refused(&scene, "teacher", &message);
    }
    let scene = Scene::new();
    std::os::unix::fs::symlink("nowhere", scene.path("gone")).expect("a link");
    refused(
        &scene,
        "gone",
        &format!("gone is a link to nowhere, which is not there. {advice}"),
    );
}

#[test]
fn weights_that_are_not_read_are_named_with_what_to_do() {
    let convert = |how: &str| {
        format!(
            "Convert it with transformers: AutoModel.from_pretrained(\"teacher\"{how}).save_pretrained(\"NEW\")"
        )
    };
    let of_others =
        "It was made of other weights: download the model.safetensors of the same model";
    for (files, found, advice) in [
        (&["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"][..],
            "pytorch_model-00001-of-00002.bin, pytorch_model.bin.index.json", convert("")),
        (&["model.fp16.safetensors", "model.fp16.onnx"], "model.fp16.safetensors", "Copy it to teacher/model.safetensors".into()),
        (&["pytorch_model.fp16.bin"], "pytorch_model.fp16.bin", "Copy it to teacher/pytorch_model.bin".into()),
        (&["model-00001-of-00002.safetensors"], "model-00001-of-00002.safetensors",
            "Download model.safetensors.index.json, which says what is in them".into()),
        (&["tf_model.h5", "training_args.bin"], "tf_model.h5", convert(", from_tf=True")),
        (&["flax_model.msgpack"], "flax_model.msgpack", convert(", from_flax=True")),
        (&["a.onnx", "b.gguf", "c.onnx", "d.onnx"], "a.onnx, b.gguf, c.onnx and 1 more", of_others.into()),
        (&["onnx/model.onnx"], "onnx/model.onnx", of_others.into()),
        (&["adapter_model.safetensors"], "adapter_model.safetensors",
            "It is an adapter of another model: merge the two with peft (merge_and_unload), and save the result".into()),
    ] {
        let scene = Scene::new();
        scene.remove(WEIGHTS);
        fs::create_dir(scene.path("teacher/onnx")).expect("a folder");
        for file in files {
            scene.write(&format!("teacher/{file}"), "weights");
        }
        let message = format!(
            "teacher: no model.safetensors (or its shards, or pytorch_model.bin), but {found}, which is not read. {advice}"
        );
        refused(&scene, "teacher", &message);
        scene.encode(&[], TEXT).refused(1, &message);
    }
    // An adapter has no config.json either.
    let scene = Scene::new();
    for file in [WEIGHTS, "teacher/config.json"] {
        scene.remove(file);
    }
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        scene.write(&format!("teacher/{file}"), "{}");
    }
    refused(
        &scene,
        "teacher",
        "teacher: no model.safetensors (or its shards, or pytorch_model.bin), but adapter_config.json, adapter_model.safetensors, \
         which is not read. It is an adapter of another model: merge the two with peft (merge_and_unload), and save the result",
    );
}

/// Names do not make files: what else stands there is said.
#[test]
fn weights_that_are_something_else_are_called_what_they_are() {
    let scene = Scene::new();
    for (bytes, what) in [
        (
            &b"PK\x03\x04\x14\0\x08\x08\0\0"[..],
            "a zip archive, as PyTorch writes weights (pytorch_model.bin)",
        ),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "packed with gzip (gunzip)"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "a web page"),
    ] {
        scene.write("teacher/model.safetensors", bytes);
        let message = format!(
            "teacher/model.safetensors: it is {what}, not a safetensors file. Download the file again, or copy it whole"
        );
        refused(&scene, "teacher", &message);
    }
    scene.remove("teacher/model.safetensors");
    let index = "teacher/model.safetensors.index.json";
    for map in ["{}", "{\"a\": 3}"] {
        scene.write(index, format!("{{\"weight_map\": {map}}}"));
        refused(
            &scene,
            "teacher",
            &format!("{index}: `weight_map` does not name a file for each tensor"),
        );
    }
}

/// A tokenizer's files are JSON like any other, and a vocabulary that is not read is named.
#[test]
fn a_tokenizer_that_cannot_be_read_says_where() {
    let scene = Scene::new();
    for (text, message) in [
        (
            "{\"version\": \"1.0\",\n \"model\": {\"type\": \"Word",
            "it ends before a closing quotation mark (line 2, column 24), in `\"model\": {\"type\": \"Word`",
        ),
        (
            "<!doctype html>",
            "no JSON value is written like that (line 1, column 1), in `<!doctype html>`",
        ),
    ] {
        scene.write("teacher/tokenizer.json", text);
        let message = format!("teacher/tokenizer.json: not JSON: {message}");
        refused(&scene, "teacher", &message);
    }
    scene.write("teacher/tokenizer.json", b"\xef\xbb\xbf{}");
    refused(
        &scene,
        "teacher",
        "teacher/tokenizer.json: not JSON for tokenizers: it begins with a byte order mark. Save it as UTF-8 without one (BOM)",
    );
    scene.remove("teacher/tokenizer.json");
    scene.remove("teacher/vocab.txt");
    scene.write("teacher/spiece.model", "x");
    let outcome = scene.run(&["inspect", "teacher"]);
    let start = "limbeck: tokenizer: there is no tokenizer.json, and limbeck makes no BertTokenizer of spiece.model; ";
    assert!(outcome.stderr.starts_with(start), "{outcome:?}");
}

#[test]
fn a_wrong_config_is_named_before_weights_that_are_not_there() {
    let scene = Scene::new();
    scene.remove(WEIGHTS);
    scene.set_config("num_hidden_layers", 2.5);
    refused(
        &scene,
        "teacher",
        "teacher/config.json: num_hidden_layers is 2.5, and must be an integer from 0, such as 12 (not 12.0)",
    );
}

#[test]
fn a_file_of_the_folder_is_not_the_folder() {
    let message = "teacher/config.json is a file: the model is in teacher; name that folder";
    refused(&Scene::new(), "teacher/config.json", message);
    let scene = Scene::new();
    let inside = scene
        .command(&["inspect", "vocab.txt"])
        .current_dir(scene.path("teacher"))
        .output();
    let inside: Outcome = inside.expect("starting limbeck").into();
    inside.refused(
        1,
        "vocab.txt is a file: the model is in .; name that folder",
    );
    // A file of nothing.
    let message = "corpus.txt is a file, not a folder. Name a Hugging Face model folder, with config.json, model.safetensors and \
                   tokenizer.json";
    refused(&scene, "corpus.txt", message);
}

#[test]
fn the_folder_that_was_meant_is_named() {
    // The folder above, and a folder in it.
    let scene = Scene::new();
    fs::create_dir(scene.path("models")).expect("a folder");
    rename(&scene, "teacher", "models/one");
    refused(
        &scene,
        "models",
        "models has no config.json: the model is in models/one; name that folder",
    );
    fs::create_dir(scene.path("models/one/1_Pooling")).expect("a folder");
    scene.write("models/one/1_Pooling/config.json", "{}");
    refused(
        &scene,
        "models/one/1_Pooling",
        "models/one/1_Pooling has no weights: the model is in models/one; name that folder",
    );
    scene.copy_golden("tiny-bert", "models/two");
    refused(
        &scene,
        "models",
        "models has no config.json: models are in models/one, models/two; name that folder",
    );
    // The hub's cache, whole or its parts.
    let scene = Scene::new();
    let cache = "hub/models--org--name";
    rename(&scene, "teacher", &format!("{cache}/snapshots/abc123"));
    fs::create_dir(scene.path(&format!("{cache}/blobs"))).expect("a folder");
    for folder in [
        "hub".to_owned(),
        cache.to_owned(),
        format!("{cache}/snapshots"),
        format!("{cache}/blobs"),
    ] {
        let message = format!(
            "{folder} has no config.json: the model is in {cache}/snapshots/abc123; name that folder"
        );
        refused(&scene, &folder, &message);
    }
    scene.copy_golden("tiny-bert", &format!("{cache}/snapshots/def456"));
    let of_both = scene.run(&["inspect", cache]).stderr;
    assert!(
        of_both.contains("abc123, ") && of_both.contains("def456; name"),
        "{of_both}"
    );
    fs::create_dir(scene.path(&format!("{cache}/refs"))).expect("a folder");
    scene.write(&format!("{cache}/refs/main"), "def456\n");
    refused(
        &scene,
        cache,
        &format!(
            "{cache} has no config.json: the model is in {cache}/snapshots/def456; name that folder"
        ),
    );
}

#[test]
fn a_table_that_is_stored_once_is_found_by_the_note_or_by_its_head() {
    let scene = Scene::new();
    let expected = vectors(&scene).stdout;
    let head = "cls.predictions.decoder.weight";
    let mut tensors = weights::read(&scene, WEIGHTS);
    let words = tensors.remove(WORDS).expect("a table");
    tensors.insert(head.to_owned(), words.clone());
    let note = |name: &str| {
        [
            ("format".to_owned(), "pt".to_owned()),
            (WORDS.to_owned(), name.to_owned()),
        ]
        .into()
    };
    weights::write_with(&scene, WEIGHTS, &tensors, note(head));
    assert_eq!(vectors(&scene).stdout, expected);
    // Without a note, a head that the config calls tied, or says nothing of.
    weights::write(&scene, WEIGHTS, &tensors);
    assert_eq!(vectors(&scene).stdout, expected);
    scene.set_config("tie_word_embeddings", false);
    let message = format!("no tensor `{WORDS}` in the weights");
    let outcome = scene.encode(&[], TEXT);
    assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
    // A note counts for any name, whatever the config says.
    let other = tensors.remove(head).expect("a table");
    tensors.insert("shared".to_owned(), other);
    weights::write_with(&scene, WEIGHTS, &tensors, note("shared"));
    assert_eq!(vectors(&scene).stdout, expected);
    // A note of what is not there is none.
    tensors.remove("shared");
    weights::write_with(&scene, WEIGHTS, &tensors, note("shared"));
    assert!(scene.encode(&[], TEXT).stderr.contains(&message));
}

#[test]
fn of_several_encoders_the_whole_one_is_taken_and_two_are_refused() {
    let scene = Scene::new();
    let expected = vectors(&scene).stdout;
    let one = weights::read(&scene, WEIGHTS);
    let copy = |prefix: &str, keep: fn(&str) -> bool| {
        let kept = one.iter().filter(move |(name, _)| keep(name));
        let prefix = prefix.to_owned();
        kept.map(move |(name, stored)| (format!("{prefix}{name}"), stored.map(|_, x| x + 1.0)))
    };
    let whole = |_: &str| true;
    let part = |name: &str| !name.contains("layer.1.");
    // Parts of other encoders, before and behind in the alphabet, and tensors whose names only end like a parameter's.
    weights::edit(&scene, |tensors| {
        tensors.extend(copy("aux.", part));
        tensors.extend(copy("zusatz.", part));
        tensors.insert(format!("my_{WORDS}"), one[WORDS].clone());
        tensors.insert("a_stray".to_owned(), one[WORDS].cast(Dtype::I32));
    });
    assert_eq!(vectors(&scene).stdout, expected);
    weights::edit(&scene, |tensors| {
        *tensors = copy("ctx_encoder.", whole)
            .chain(copy("query_encoder.", whole))
            .collect();
    });
    let message = "the weights of teacher hold several whole encoders: their tensors begin with `ctx_encoder.` and \
                   `query_encoder.`. Save the one that you want by itself: in Python, save_pretrained of that part of the model";
    refused(&scene, "teacher", message);
    scene.encode(&[], TEXT).refused(1, message);
    scene.distill(&[]).refused(1, message);
}

#[test]
fn tensors_that_nothing_reads_are_named_by_inspect_and_once_by_distill() {
    let told = "the weights of teacher hold 4 tensors beside the encoder that limbeck does not use: `aux.embeddings.first`, \
                `embeddings.word_embeddings.weight_2`, `encoder.layer.2.output.dense.bias` and 1 more";
    let scene = Scene::new();
    let people = |scene: &Scene| scene.run(&["inspect", "teacher"]).done().stdout;
    let before = people(&scene);
    assert!(!before.contains("does not use"), "{before}");
    let expected = vectors(&scene).stdout;
    let strays = [
        "aux.embeddings.first",
        "embeddings.word_embeddings.weight_2",
        "encoder.layer.2.output.dense.bias",
        "extra.head.weight",
    ];
    weights::edit(&scene, |tensors| {
        let word = tensors[WORDS].clone();
        // Those that models usually have are not among them.
        let usual = [
            "pooler.dense.weight",
            "cls.predictions.bias",
            "embeddings.position_ids",
        ];
        for name in strays.into_iter().chain(usual) {
            tensors.insert(name.to_owned(), word.clone());
        }
    });
    assert_eq!(people(&scene), format!("{before}{told}\n"));
    let facts = scene.run(&["inspect", "teacher", "--json"]).done();
    assert_eq!(facts.objects()[0]["not_read"], serde_json::json!(strays));
    assert_eq!(vectors(&scene).stdout, expected);
    let stderr = scene.distill(&[]).done().stderr;
    assert_eq!(stderr.matches(told).count(), 1, "{stderr}");
}
