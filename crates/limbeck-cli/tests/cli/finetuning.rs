//! `limbeck finetune`: labelled files in, a model with its scores out, and one sentence where the files are wrong.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::{Value, json};

#[cfg(unix)]
use crate::running::Running;
use crate::scene::{Outcome, Scene, gzip};

/// Words of the tiny teacher's vocabulary that say nothing about the class.
const WORDS: [&str; 8] = [
    "teacher", "student", "layer", "model", "token", "words", "head", "query",
];

/// Rows of a task that one word decides: with `small` the label is `no`, with `large` it is `yes`.
fn rows(count: usize, from: usize) -> Vec<(String, &'static str)> {
    let row = |number: usize| {
        let (word, label) = [("small", "no"), ("large", "yes")][number % 2];
        let at = |step: usize| WORDS[(number / 2 * step + number) % WORDS.len()];
        (format!("the {} {word} {}", at(3), at(5)), label)
    };
    (from..from + count).map(row).collect()
}

fn tsv(rows: &[(String, &str)]) -> String {
    let lines = rows
        .iter()
        .map(|(text, label)| format!("{text}\t{label}\n"));
    "sentence\tlabel\n".to_owned() + &lines.collect::<String>()
}

/// A scene with `train.tsv` and `dev.tsv`.
fn task() -> Scene {
    let scene = Scene::new();
    scene.write("train.tsv", tsv(&rows(48, 0)));
    scene.write("dev.tsv", tsv(&rows(16, 101)));
    scene
}

/// What a test says unless it says otherwise.
const USUAL: [[&str; 2]; 9] = [
    ["--model", "teacher"],
    ["--train", "train.tsv"],
    ["--dev", "dev.tsv"],
    ["--out", "tuned"],
    ["--device", "cpu"],
    ["--batch", "8"],
    ["--learning-rate", "0.01"],
    ["--epochs", "6"],
    ["--seeds", "2"],
];

fn arguments<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let usual = USUAL.into_iter().filter(|[name, _]| !flags.contains(name));
    let usual: Vec<&str> = usual.flatten().collect();
    [&["finetune"], &usual[..], flags].concat()
}

/// Fine-tunes the tiny teacher on `train.tsv` and `dev.tsv`, or what the flags name.
fn finetune(scene: &Scene, flags: &[&str]) -> Outcome {
    scene.run(&arguments(flags))
}

/// Tunes the model in `model`, one seed without dropout.
fn learn(scene: &Scene, epochs: &str, files: &[&str]) {
    let usual = "--model model --seeds 1 --dropout 0 --epochs";
    let flags: Vec<&str> = usual.split(' ').chain([epochs]).collect();
    finetune(scene, &[files, &flags].concat()).done();
}

/// Shape of each tensor of a safetensors file.
fn shapes(scene: &Scene, name: &str) -> BTreeMap<String, Vec<usize>> {
    let bytes = scene.read(name);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let shapes = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec()));
    shapes.collect()
}

fn tensor(scene: &Scene, file: &str, name: &str) -> Vec<u8> {
    let bytes = scene.read(file);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    view.data().to_vec()
}

#[test]
fn a_task_that_one_word_decides_is_learnt() {
    let scene = task();
    let outcome = finetune(&scene, &["--json"]).done();
    let results = scene.json("tuned/results.json");
    assert_eq!(results["mean"]["accuracy"], 1.0, "{results:#}");
    assert_eq!(results["mean"]["macro_f1"], 1.0);
    assert_eq!(results["std"]["accuracy"], 0.0);
    assert_eq!(results["labels"], json!(["no", "yes"]));
    let first = |event: &Value| event["loss"].as_f64().expect("a loss");
    let epochs = outcome.events("epoch");
    assert_eq!(epochs.len(), 12);
    assert!(first(&epochs[5]) < 0.2 * first(&epochs[0]), "{epochs:#?}");
    assert_ne!(epochs[0]["loss"], epochs[6]["loss"], "the seeds are one");
    assert_eq!(outcome.events("step").len(), 2 * 6 * 6);
    let files = scene.files("tuned");
    let expected = [
        "README.md",
        "config.json",
        "model.safetensors",
        "predictions.jsonl",
        "results.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(files, expected);
    let config = scene.json("tuned/config.json");
    assert_eq!(
        config["architectures"],
        json!(["BertForSequenceClassification"])
    );
    assert_eq!(config["id2label"], json!({ "0": "no", "1": "yes" }));
    assert_eq!(config["label2id"], json!({ "no": 0, "yes": 1 }));
    assert_eq!(config["problem_type"], "single_label_classification");
    let right = scene.text("tuned/predictions.jsonl");
    assert_eq!(right.lines().count(), 16);
    for line in right.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON object");
        assert_eq!(line["label"], line["predicted"]);
    }
    assert!(
        scene
            .text("tuned/README.md")
            .contains("| mean | | 100.0 ± 0.0 | 100.0 ± 0.0 |")
    );
    scene
        .encode(&["--model", "tuned"], "a small model\n")
        .done();
}

#[test]
fn equal_runs_write_equal_files() {
    let (one, other) = (task(), task());
    for scene in [&one, &other] {
        finetune(scene, &["--epochs", "2"]).done();
    }
    for file in one.files("tuned") {
        let file = format!("tuned/{file}");
        assert!(one.read(&file) == other.read(&file), "{file} differs");
    }
    finetune(&other, &["--epochs", "2", "--seed", "43", "--overwrite"]).done();
    let seeds = |scene: &Scene| scene.json("tuned/results.json")["seeds"].clone();
    assert_eq!(
        seeds(&one)[1],
        seeds(&other)[0],
        "seed 43 is another in another run"
    );
    assert_ne!(seeds(&one)[0], seeds(&other)[0]);
}

#[test]
fn every_family_gets_the_head_that_transformers_has_for_it() {
    let heads: [(&str, &str, &str, &[&str]); 8] = [
        (
            "tiny-bert",
            "BertForSequenceClassification",
            "bert.",
            &["bert.pooler.dense", "classifier"],
        ),
        (
            "tiny-xlmr",
            "XLMRobertaForSequenceClassification",
            "roberta.",
            &["classifier.dense", "classifier.out_proj"],
        ),
        (
            "tiny-distilbert",
            "DistilBertForSequenceClassification",
            "distilbert.",
            &["pre_classifier", "classifier"],
        ),
        (
            "tiny-electra",
            "ElectraForSequenceClassification",
            "electra.",
            &["classifier.dense", "classifier.out_proj"],
        ),
        (
            "tiny-modernbert",
            "ModernBertForSequenceClassification",
            "model.",
            &["head.dense", "classifier"],
        ),
        (
            "tiny-nomic",
            "NomicBertForSequenceClassification",
            "nomic_bert.",
            &["nomic_bert.pooler.dense", "classifier"],
        ),
        (
            "tiny-gte",
            "GteForSequenceClassification",
            "gte.",
            &["gte.pooler.dense", "classifier"],
        ),
        (
            "tiny-jina",
            "JinaBertForSequenceClassification",
            "bert.",
            &["bert.pooler.dense", "classifier"],
        ),
    ];
    for (golden, class, prefix, [dense, output]) in
        heads.map(|(g, c, p, h)| (g, c, p, [h[0], h[1]]))
    {
        let scene = task();
        scene.copy_golden("tiny-bert", "model");
        scene.copy_golden(golden, "model");
        learn(&scene, "10", &[]);
        assert_eq!(
            scene.json("tuned/config.json")["architectures"],
            json!([class])
        );
        let accuracy = scene.json("tuned/results.json")["mean"]["accuracy"].clone();
        assert_eq!(accuracy, 1.0, "{golden}");
        let mut shapes = shapes(&scene, "tuned/model.safetensors");
        let width = if golden == "tiny-xlmr" { 32 } else { 24 };
        for (name, shape) in [(dense, vec![width, width]), (output, vec![2, width])] {
            let bias = shapes.remove(&format!("{name}.bias"));
            let has_bias = name != "head.dense";
            let expected = has_bias.then(|| shape[..1].to_vec());
            assert_eq!(bias, expected, "{golden} {name}");
            assert_eq!(shapes.remove(&format!("{name}.weight")), Some(shape));
        }
        let norm = shapes.remove("head.norm.weight");
        assert_eq!(norm, (golden == "tiny-modernbert").then(|| vec![width]));
        assert!(
            shapes.keys().all(|name| name.starts_with(prefix)),
            "{shapes:?}"
        );
    }
}

#[test]
fn a_head_on_the_mean_is_a_module_of_sentence_transformers() {
    let scene = task();
    finetune(&scene, &["--pooling", "mean"]).done();
    assert_eq!(scene.json("tuned/results.json")["mean"]["accuracy"], 1.0);
    let modules = scene.json("tuned/modules.json");
    let paths: Vec<&Value> = modules
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| &m["path"])
        .collect();
    assert_eq!(paths, ["", "1_Pooling", "2_Dense"]);
    assert_eq!(
        scene.json("tuned/config.json")["architectures"],
        json!(["BertModel"])
    );
    let head = shapes(&scene, "tuned/2_Dense/model.safetensors");
    assert_eq!(
        head,
        BTreeMap::from([
            ("linear.bias".to_owned(), vec![2]),
            ("linear.weight".to_owned(), vec![2, 24]),
        ])
    );
}

/// Whatever opens the folder, and the setting of sentence-transformers is none of transformers.
#[test]
fn a_model_of_small_letters_stays_one() {
    for pooling in ["cls", "mean"] {
        let scene = task();
        scene.copy_golden("sentence/old-lower-case", "teacher");
        let flags = ["--pooling", pooling, "--epochs", "1", "--seeds", "1"];
        finetune(&scene, &flags).done();
        let normalizer = &scene.json("tuned/tokenizer.json")["normalizer"];
        let by_itself = normalizer.to_string().contains("Lowercase");
        assert_eq!(by_itself, pooling == "cls", "{normalizer}");
        let vectors = |text: &str| scene.encode(&["--model", "tuned"], text).done().stdout;
        assert_eq!(vectors("THE TEACHER\n"), vectors("the teacher\n"));
        assert_ne!(vectors("the teacher\n"), vectors("the student\n"));
    }
}

#[test]
fn frozen_layers_keep_every_bit() {
    let scene = task();
    finetune(&scene, &["--freeze", "1", "--epochs", "1", "--seeds", "1"]).done();
    let same = |name: &str| {
        let before = tensor(&scene, "teacher/model.safetensors", name);
        tensor(&scene, "tuned/model.safetensors", &format!("bert.{name}")) == before
    };
    for kept in [
        "embeddings.word_embeddings.weight",
        "embeddings.LayerNorm.bias",
        "encoder.layer.0.attention.self.query.weight",
        "encoder.layer.0.output.LayerNorm.bias",
    ] {
        assert!(same(kept), "{kept} was frozen and changed");
    }
    assert!(!same("encoder.layer.1.attention.self.query.weight"));
    assert!(!same("pooler.dense.weight"));
    finetune(&scene, &["--freeze", "3", "--overwrite"]).refused(
        2,
        "--freeze 3: the model has 2 layers; name 0 (the embeddings alone) to 2",
    );
}

#[test]
fn one_task_is_the_same_in_every_format() {
    let scene = task();
    let write = |name: &str, rows: &[(String, &str)]| {
        let csv = rows
            .iter()
            .map(|(text, label)| format!("{label},\"{text}, \"\"so\"\"\"\n"));
        scene.write(
            &format!("{name}.csv"),
            "label,text\n".to_owned() + &csv.collect::<String>(),
        );
        let json = rows.iter().map(|(text, label)| {
            format!(
                "{}\n",
                json!({ "said": format!("{text}, \"so\""), "verdict": label })
            )
        });
        scene.write(&format!("{name}.json"), json.collect::<String>());
        let tsv = rows
            .iter()
            .map(|(text, label)| format!("{text}, \"so\"\t{label}\r\n"));
        scene.write(
            &format!("{name}.txt"),
            "\u{feff}Sentence\tLabel\r\n".to_owned() + &tsv.collect::<String>(),
        );
    };
    write("a", &rows(48, 0));
    write("b", &rows(16, 101));
    let quick = ["--epochs", "1", "--overwrite"];
    let names = ["--text-column", "said", "--label-column", "verdict"];
    let mut seeds = Vec::new();
    for (extension, flags) in [("csv", &[][..]), ("json", &names[..]), ("txt", &[])] {
        let (train, dev) = (format!("a.{extension}"), format!("b.{extension}"));
        let files = ["--train", &train, "--dev", &dev];
        finetune(&scene, &[&quick, &files[..], flags].concat()).done();
        seeds.push(scene.json("tuned/results.json")["seeds"].clone());
    }
    assert_eq!(seeds[0], seeds[1]);
    assert_eq!(seeds[0], seeds[2]);
    for (flags, column) in [
        (
            ["--text-column", "sentence", "--text-column", "Sentence"],
            "Sentence",
        ),
        (
            ["--text-column", "label", "--label-column", "label"],
            "Label",
        ),
    ] {
        let files = ["--train", "a.txt", "--dev", "b.txt", "--overwrite"];
        finetune(&scene, &[&files[..], &flags].concat()).refused(
            1,
            &format!(
                "a.txt: the column `{column}` is named for more than one thing; the text, the second text of a pair and the label \
                 each need a column of their own"
            ),
        );
    }
}

#[test]
fn pairs_differ_from_their_texts_in_another_order() {
    let scene = Scene::new();
    // The label says which of the two texts is the small one: without token types or order nothing can be learnt.
    let line = |number: usize| {
        let word = WORDS[number / 2 % WORDS.len()];
        match number % 2 {
            0 => format!("small {word}\tlarge {word}\tfirst\n"),
            _ => format!("large {word}\tsmall {word}\tsecond\n"),
        }
    };
    let file = |range: std::ops::Range<usize>| {
        "sentence1\tsentence2\tlabel\n".to_owned() + &range.map(line).collect::<String>()
    };
    scene.write("train.tsv", file(0..48));
    scene.write("dev.tsv", file(50..66));
    finetune(&scene, &["--epochs", "10"]).done();
    let results = scene.json("tuned/results.json");
    assert_eq!(results["mean"]["accuracy"], 1.0, "{results:#}");
}

#[test]
fn scores_are_learnt_and_judged_by_correlation() {
    let scene = Scene::new();
    let file = |range: std::ops::Range<usize>| {
        let line = |number: usize| {
            let count = number % 4;
            let words = vec!["large"; count].join(" ");
            format!(
                "the {} {words}\t{:.1}\n",
                WORDS[number / 4 % 8],
                count as f64 * 0.5
            )
        };
        "sentence\tscore\n".to_owned() + &range.map(line).collect::<String>()
    };
    scene.write("train.tsv", file(0..64));
    scene.write("dev.tsv", file(64..84));
    finetune(&scene, &["--epochs", "20"]).done();
    let results = scene.json("tuned/results.json");
    let spearman = results["mean"]["spearman"].as_f64().expect("a score");
    assert!(spearman > 0.9, "{results:#}");
    let config = scene.json("tuned/config.json");
    assert_eq!(config["problem_type"], "regression");
    assert_eq!(config["id2label"], json!({ "0": "score" }));
    finetune(&scene, &["--balance", "--overwrite"]).refused(
        2,
        "--balance weights classes, but these files hold scores; leave it out",
    );
}

#[test]
fn balanced_weights_change_nothing_where_classes_are_balanced() {
    let scene = task();
    let quick = ["--epochs", "1", "--overwrite"];
    let seeds = |flags: &[&str]| {
        finetune(&scene, &[&quick, flags].concat()).done();
        scene.json("tuned/results.json")["seeds"].clone()
    };
    assert_eq!(seeds(&[]), seeds(&["--balance"]));
    let mut unbalanced = rows(48, 0);
    unbalanced.retain(|(text, label)| *label == "yes" || text.contains("query"));
    scene.write("train.tsv", tsv(&unbalanced));
    assert_ne!(seeds(&[]), seeds(&["--balance"]));
}

/// The file, what stands in it, and what is said of it.
const REFUSED: [(&str, &str, &str); 21] = [
    (
        "train.tsv",
        "",
        "train.tsv is empty; expected a line that names the columns, such as sentence<TAB>label, and one example a line below it",
    ),
    (
        "train.tsv",
        "sentence\tlabel\n",
        "train.tsv has a line that names its columns and no example below it; expected one a line",
    ),
    (
        "train.tsv",
        "the small model\tno\nthe large model\tyes\n",
        "the first line of train.tsv must name the columns, such as sentence<TAB>label, but it is `the small model`, `no`; add \
             that line, or name the column of the text with --text-column",
    ),
    (
        "train.tsv",
        "sentence\tsentiment\na\tno\n",
        "train.tsv has no column `label` or `score`, only `sentence`, `sentiment`; name it with --label-column",
    ),
    (
        "train.tsv",
        "sentence\tlabel\tscore\na\tno\t1\n",
        "train.tsv has a column `label` and a column `score`; say which one with --label-column",
    ),
    (
        "train.tsv",
        "sentence\tlabel\tlabel\na\tno\tno\n",
        "train.tsv: the first line names the column `label` twice",
    ),
    (
        "train.tsv",
        "sentence\tlabel\n\na\tno\nb\tc\tyes\n",
        "train.tsv, line 4: 3 fields, but the first line names 2 (sentence, label). Is it a tab within a field? TSV has no way to \
             write one; use CSV or JSON lines",
    ),
    (
        "train.tsv",
        "sentence\tlabel\na\tno\nb\n",
        "train.tsv, line 3: 1 field, but the first line names 2 (sentence, label). Is it a tab within a field? TSV has no way to \
             write one; use CSV or JSON lines",
    ),
    (
        "train.tsv",
        "sentence\tlabel\na\tno\nb\t \n",
        "train.tsv, line 3: the column `label` is empty; expected a value in every line",
    ),
    (
        "train.tsv",
        "sentence\tlabel\na\tno\nb\tno\n",
        "every example of train.tsv has the label `no`; expected at least two different ones",
    ),
    (
        "dev.tsv",
        "sentence\tlabel\na\tno\nb\tmaybe\n",
        "dev.tsv, line 3: the label `maybe` does not occur in train.tsv; expected one of `no`, `yes`",
    ),
    (
        "dev.tsv",
        "sentence\tscore\na\t1\nb\t2\n",
        "train.tsv holds texts with classes, but dev.tsv holds texts with scores; expected the same columns in both",
    ),
    (
        "train.csv",
        "sentence,label\n\na,no\n\"b,yes\nc,no\n",
        "train.csv, line 4: a field begins with a quote that is left open, so the lines below would belong to it. Close it; if the \
         quote is part of the text, put the text into quotes and double those in it",
    ),
    (
        // As many fields as the first line names, and the rows below gone.
        "train.csv",
        "label,sentence\nno,a\nyes,\"b\nno,c\nyes,\"d e\"\nno,f\n",
        "train.csv, line 3: a field begins with a quote that is left open, so the lines below would belong to it. Close it; if the \
         quote is part of the text, put the text into quotes and double those in it",
    ),
    (
        "train.csv",
        "sentence,label\na, b,no\nc,yes\n",
        "train.csv, line 2: 3 fields, but the first line names 2 (sentence, label). Is it a comma outside quotes?",
    ),
    (
        "train.jsonl",
        "{\"sentence\": \"a\", \"label\": 0}\n{\"sentence\": \"b\"}\n",
        "train.jsonl, line 2: there is no text or number under `label`",
    ),
    (
        "train.jsonl",
        "{\"sentence\": \"a\", \"label\": 0}\nb\n",
        "train.jsonl, line 2: expected one JSON object a line, such as {\"sentence\": \"...\", \"label\": \"...\"} (column 1: no JSON value is written like that)",
    ),
    (
        "train.jsonl",
        "{\"sentence\": \"a\", \"label\": 0}\n{\"sentence\": \"größe\", \"label\" 1}\n",
        "train.jsonl, line 2: expected one JSON object a line, such as {\"sentence\": \"...\", \"label\": \"...\"} (column 31: a \
         colon is missing between a key and its value)",
    ),
    (
        "train.jsonl",
        "{\"sentence\": \"a\", \"label\": 0}\n[\"b\", 1]\n",
        "train.jsonl, line 2: expected one JSON object a line, such as {\"sentence\": \"...\", \"label\": \"...\"} (it is a list, and \
         must be an object in braces)",
    ),
    (
        "train.tsv",
        "sentence\tscore\na\t1\nb\tgood\n",
        "train.tsv, line 3: `good` is not a number, but the column `score` holds scores",
    ),
    (
        "train.tsv",
        "sentence\tscore\na\t1\nb\t1.0\n",
        "every example of train.tsv has the same score; expected different ones",
    ),
];

#[test]
fn bad_files_are_refused_in_one_sentence() {
    let good = tsv(&rows(8, 0));
    for (name, content, message) in REFUSED {
        let scene = Scene::new();
        scene.write("train.tsv", &good);
        scene.write(
            "dev.tsv",
            if content.contains("score") {
                content
            } else {
                &good
            },
        );
        scene.write(name, content);
        if name == "dev.tsv" {
            scene.write("train.tsv", &good);
        }
        let train = if name == "dev.tsv" { "train.tsv" } else { name };
        finetune(&scene, &["--train", train]).refused(1, message);
        assert!(!scene.path("tuned").exists());
    }
    let scene = Scene::new();
    let many = (0..30).map(|number| format!("a\t{number}.5\n"));
    scene.write(
        "train.tsv",
        "sentence\tlabel\n".to_owned() + &many.collect::<String>(),
    );
    scene.write("dev.tsv", &good);
    finetune(&scene, &[]).refused(
        1,
        "train.tsv has 30 different labels in 30 examples, such as `0.5`, `1.5`; expected a few classes. For scores use --task \
         regression",
    );
    scene.write("train.tsv", b"sentence\tlabel\na\tno\nb \xe9\tyes\n");
    let outcome = finetune(&scene, &[]);
    assert!(
        outcome.stderr.contains("train.tsv, line 3"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.code, Some(1));
    // As spreadsheets write it.
    let wide = "\u{feff}sentence\tlabel\r\na\tno\r\nb\tyes\r\n".encode_utf16();
    let wide: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
    for (bytes, what) in [
        (&wide[..], "UTF-16 text"),
        (b"PK\x03\x04 [Content_Types].xml", "an office file"),
    ] {
        scene.write("train.tsv", bytes);
        finetune(&scene, &[]).refused(
            1,
            &format!(
                "train.tsv is {what}. Write it as TSV, CSV or JSON lines, or as CoNLL for tags of words, in UTF-8"
            ),
        );
    }
}

/// Packed, or with lines that CR alone ends: the same rows.
#[test]
fn how_a_file_is_written_makes_no_difference() {
    let scene = task();
    let scores = |train: &str, dev: &str| {
        let flags = [
            "--train",
            train,
            "--dev",
            dev,
            "--epochs",
            "1",
            "--seeds",
            "1",
            "--overwrite",
        ];
        finetune(&scene, &flags).done();
        scene.json("tuned/results.json")["seeds"].clone()
    };
    let plain = scores("train.tsv", "dev.tsv");
    let csv = tsv(&rows(16, 101)).replace('\t', ",");
    scene.write("train.tsv.gz", gzip(&tsv(&rows(48, 0))));
    scene.write("dev.csv.gz", gzip(&csv));
    assert_eq!(scores("train.tsv.gz", "dev.csv.gz"), plain);
    scene.write("train.tsv", tsv(&rows(48, 0)).replace('\n', "\r"));
    scene.write("dev.csv", csv.replace('\n', "\r"));
    assert_eq!(scores("train.tsv", "dev.csv"), plain);
    let packed = scene.read("train.tsv.gz");
    scene.write("half.tsv.gz", &packed[..packed.len() / 2]);
    finetune(&scene, &["--train", "half.tsv.gz", "--overwrite"])
        .refused(1, "cannot read half.tsv.gz: incomplete deflate stream");
}

/// Before it is read: it is a hole, and takes no place on the disk.
#[test]
fn a_file_that_memory_cannot_hold_is_refused() {
    let scene = task();
    let file = std::fs::File::create(scene.path("huge.tsv")).expect("a file");
    file.set_len((1 << 30) + 1).expect("a hole");
    let message = "huge.tsv holds more than 1024 MiB of text, the most that is read of labelled text, because all of it is in memory. \
                   Leave rows out";
    finetune(&scene, &["--train", "huge.tsv"]).refused(1, message);
}

#[test]
fn the_folders_of_others_are_left_alone() {
    let scene = task();
    finetune(&scene, &["--out", "teacher", "--overwrite"]).refused(
        2,
        "the output folder teacher is the model's: the fine-tuned model would replace it. Choose another with --out",
    );
    scene.write("tuned/notes.txt", "mine");
    finetune(&scene, &[]).refused(
        2,
        "the output folder tuned is not empty. Choose another with --out, or overwrite it with --overwrite",
    );
    finetune(&scene, &["--max-length", "4000", "--out", "other"]).refused(
        2,
        "a sequence has 4000 tokens, but the model has positions for 40; set max_length to 40 or less",
    );
    assert!(!scene.path("other").exists());
    finetune(&scene, &["--overwrite", "--epochs", "1"]).done();
    assert_eq!(scene.text("tuned/notes.txt"), "mine");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing() {
    let scene = task();
    let flags = arguments(&["--json", "--epochs", "1000"]);
    let mut run = Running::start(scene.command(&flags));
    run.until("step", 3);
    run.signal("-INT");
    run.until("stopped", 0);
    assert_eq!(run.end().code, Some(1));
    assert!(!scene.path("tuned").exists());
}

/// Sentences in which one word decides the tags of itself and of the next: `large` begins a name of two words.
fn conll(range: std::ops::Range<usize>, separator: &str) -> String {
    let line = |word: &str, tag: &str| format!("{word}{separator}X{separator}{tag}\n");
    let sentence = |number: usize| {
        let word = |step: usize| WORDS[(number * step + number / 3) % WORDS.len()];
        let named = match number % 3 {
            0 => line("small", "B-A"),
            1 => line("large", "B-B") + &line(word(1), "I-B"),
            _ => line("two", "O"),
        };
        format!("{}{named}{}\n", line("the", "O"), line(word(5), "O"))
    };
    "-DOCSTART- -X- O\n\n".to_owned() + &range.map(sentence).collect::<String>()
}

/// A scene with `train.conll` and `dev.conll`.
fn tagging() -> Scene {
    let scene = Scene::new();
    scene.write("train.conll", conll(0..60, " "));
    scene.write("dev.conll", conll(101..119, "\t"));
    scene
}

const OF_TOKENS: [&str; 4] = ["--train", "train.conll", "--dev", "dev.conll"];

#[test]
fn every_family_learns_to_tag_words_with_the_head_of_transformers() {
    for (golden, class, prefix) in [
        ("tiny-bert", "BertForTokenClassification", "bert."),
        ("tiny-xlmr", "XLMRobertaForTokenClassification", "roberta."),
        (
            "tiny-distilbert",
            "DistilBertForTokenClassification",
            "distilbert.",
        ),
        ("tiny-electra", "ElectraForTokenClassification", "electra."),
        (
            "tiny-modernbert",
            "ModernBertForTokenClassification",
            "model.",
        ),
        (
            "tiny-nomic",
            "NomicBertForTokenClassification",
            "nomic_bert.",
        ),
        ("tiny-gte", "GteForTokenClassification", "gte."),
        ("tiny-jina", "JinaBertForTokenClassification", "bert."),
    ] {
        let scene = tagging();
        scene.copy_golden("tiny-bert", "model");
        scene.copy_golden(golden, "model");
        learn(&scene, "40", &OF_TOKENS);
        let results = scene.json("tuned/results.json");
        assert_eq!(results["mean"]["f1"], 1.0, "{golden}: {results:#}");
        assert_eq!(results["mean"]["accuracy"], 1.0);
        assert_eq!(
            (&results["task"], &results["head"]),
            (&json!("tokens"), &json!("tokens"))
        );
        assert_eq!(results["labels"], json!(["B-A", "B-B", "I-B", "O"]));
        assert_eq!(results["dev_examples"], 18);
        let config = scene.json("tuned/config.json");
        assert_eq!(config["architectures"], json!([class]));
        assert_eq!(config["id2label"]["2"], "I-B");
        assert_eq!(config["problem_type"], Value::Null);
        let mut shapes = shapes(&scene, "tuned/model.safetensors");
        let width = if golden == "tiny-xlmr" { 32 } else { 24 };
        assert_eq!(shapes.remove("classifier.weight"), Some(vec![4, width]));
        assert_eq!(shapes.remove("classifier.bias"), Some(vec![4]));
        for (name, shape) in [
            ("head.dense.weight", vec![24, 24]),
            ("head.norm.weight", vec![24]),
        ] {
            let expected = (golden == "tiny-modernbert").then_some(shape);
            assert_eq!(shapes.remove(name), expected, "{golden}");
        }
        assert!(
            shapes.keys().all(|name| name.starts_with(prefix)),
            "{shapes:?}"
        );
        let lines = scene.text("tuned/predictions.jsonl");
        assert_eq!(lines.lines().count(), 18);
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("a JSON object");
            assert_eq!(line["labels"], line["predicted"]);
            let words = line["words"].as_array().expect("words").len();
            assert_eq!(line["logits"].as_array().map(Vec::len), Some(words));
        }
        let card = scene.text("tuned/README.md");
        assert!(card.contains("| mean | | 100.0 | 100.0 |"), "{card}");
        assert!(card.contains("AutoModelForTokenClassification"), "{card}");
    }
}

#[test]
fn words_that_are_cut_off_are_told_and_do_not_count() {
    let scene = tagging();
    // A word of ten pieces is labelled by its first; of the long sentence six words of pieces remain.
    let long = "small x B-A\n".to_owned() + &"the x O\n".repeat(9) + "\n";
    scene.write("dev.conll", conll(101..119, " ") + &long);
    let flags = [
        "--max-length",
        "8",
        "--json",
        "--epochs",
        "1",
        "--seeds",
        "1",
    ];
    let outcome = finetune(&scene, &[&OF_TOKENS[..], &flags].concat()).done();
    let start = &outcome.events("start")[0];
    assert_eq!(
        (&start["truncated"], &start["lost_words"]),
        (&json!(1), &json!(4))
    );
    let lines = scene.text("tuned/predictions.jsonl");
    let last: Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    let predicted = last["predicted"].as_array().expect("a list");
    assert_eq!(predicted.iter().filter(|tag| tag.is_null()).count(), 4);
    assert!(predicted[5].is_string() && predicted[6].is_null(), "{last}");
    let text = finetune(
        &scene,
        &[
            &OF_TOKENS[..],
            &flags[..2],
            &["--epochs", "1", "--overwrite"],
        ]
        .concat(),
    );
    assert!(
        text.done()
            .stderr
            .contains("1 of them, to 8 tokens; 4 words have no token left and do not count"),
    );
}

#[test]
fn tags_that_mark_no_chunks_are_judged_as_classes() {
    let scene = tagging();
    let plain = |text: String| {
        text.replace("B-A", "ADJ")
            .replace("B-B", "DET")
            .replace("I-B", "NOUN")
            .replace(" O\n", " X\n")
    };
    scene.write("a.txt", plain(conll(0..60, " ")));
    scene.write("b.txt", plain(conll(101..119, " ")));
    let files = ["--train", "a.txt", "--dev", "b.txt"];
    let flags = [
        "--task",
        "tokens",
        "--balance",
        "--freeze",
        "0",
        "--epochs",
        "12",
    ];
    finetune(&scene, &[&files[..], &flags].concat()).done();
    let results = scene.json("tuned/results.json");
    assert_eq!(results["mean"]["macro_f1"], 1.0, "{results:#}");
    assert_eq!(results["mean"]["f1"], Value::Null);
    // The content says what the extension does not.
    scene.write("c.txt", conll(0..60, " "));
    let files = ["--train", "c.txt", "--dev", "dev.conll", "--overwrite"];
    finetune(&scene, &[&files[..], &["--epochs", "1"]].concat()).done();
    assert_eq!(scene.json("tuned/results.json")["task"], "tokens");
}

#[test]
fn bad_conll_files_are_refused_in_one_sentence() {
    const EXPECTED: &str = "expected a word and its tag in each line, with a tab or spaces between, and an empty line between \
                            sentences";
    for (content, message) in [
        ("", format!("train.conll has no sentence; {EXPECTED}")),
        (
            "-DOCSTART- O\n\n",
            format!("train.conll has no sentence; {EXPECTED}"),
        ),
        (
            "the O\nmodel\n",
            format!("train.conll, line 2: one column, `model`; {EXPECTED}"),
        ),
        (
            "the DT O\n\nmodel B-A\n",
            "train.conll, line 3: 2 columns, but line 1 has 3; expected as many in every line".to_owned(),
        ),
        (
            "the\tO\n\tB-A\n",
            format!("train.conll, line 2: the word is empty; {EXPECTED}"),
        ),
        (
            "the\tO\nmodel\t\n",
            format!("train.conll, line 2: the tag is empty; {EXPECTED}"),
        ),
        (
            "1\tO\n\n1\tO\n2\tB-A\n3\tO\n",
            "train.conll, line 3: the first column counts the words (`1`, `2`), and must hold them; remove that column".to_owned(),
        ),
        (
            "the O\nmodel O\n",
            "every word of train.conll has the tag `O`, its last column; expected at least two different ones".to_owned(),
        ),
        (
            "the O\nmodel B-A\n",
            "dev.conll, line 2: the tag `B-B` does not occur in train.conll; expected one of `B-A`, `O`".to_owned(),
        ),
    ] {
        let scene = Scene::new();
        scene.write("train.conll", content);
        scene.write("dev.conll", "the O\nlarge B-B\n");
        finetune(&scene, &OF_TOKENS).refused(1, &message);
        assert!(!scene.path("tuned").exists());
    }
    let scene = tagging();
    scene.write("dev.tsv", tsv(&rows(8, 0)));
    finetune(&scene, &["--train", "train.conll"]).refused(
        1,
        "train.conll holds sentences with tags, but dev.tsv holds texts with classes; expected the same columns in both",
    );
    let named = ["--task", "tokens", "--label-column", "pos"];
    finetune(&scene, &[&OF_TOKENS[..], &named].concat()).refused(
        1,
        "train.conll: the columns of a CoNLL file have no names: the first is the word, the last its tag. Leave out the names of \
         the text and label columns",
    );
    finetune(&scene, &[&OF_TOKENS[..], &["--pooling", "mean"]].concat()).refused(
        2,
        "--pooling makes one vector of a text, but these files have a tag for each word; leave it out",
    );
}

/// A folder `task` of two files under other names of columns.
fn renamed() -> Scene {
    let scene = task();
    for (name, rows) in [("a", rows(48, 0)), ("b", rows(16, 101))] {
        let text = tsv(&rows).replace("sentence\tlabel", "said\tverdict");
        scene.write(&format!("task/{name}.tsv"), text);
    }
    scene
}

fn write_task(scene: &Scene, extra: &str) {
    let text = format!(
        "train = \"a.tsv\"\ndev = \"b.tsv\"\ntext = \"said\"\nlabel = \"verdict\"\n{extra}"
    );
    scene.write("task/task.toml", text);
}

fn tune_briefly(scene: &Scene, flags: &[&str]) -> Outcome {
    let usual =
        "finetune --model teacher --out tuned --device cpu --epochs 2 --seeds 1 --overwrite";
    let usual: Vec<&str> = usual.split(' ').collect();
    scene.run(&[&usual[..], flags].concat())
}

#[test]
fn a_task_file_says_what_flags_say() {
    let scene = renamed();
    write_task(&scene, "");
    tune_briefly(&scene, &["--train", "task"]).done();
    let by_folder = scene.json("tuned/results.json");
    assert_eq!(by_folder["labels"], json!(["no", "yes"]));
    let flags = [
        "--train",
        "task/a.tsv",
        "--dev",
        "task/b.tsv",
        "--text-column",
        "said",
        "--label-column",
        "verdict",
    ];
    tune_briefly(&scene, &flags).done();
    assert_eq!(scene.json("tuned/results.json"), by_folder);
    write_task(
        &scene,
        "task = \"classification\"\nlabels = [\"yes\", \"no\"]\nmetric = \"macro_f1\"\n",
    );
    tune_briefly(&scene, &["--task-file", "task/task.toml"]).done();
    assert_eq!(
        scene.json("tuned/results.json")["labels"],
        json!(["yes", "no"])
    );
    assert_eq!(scene.json("tuned/config.json")["id2label"]["0"], "yes");
    let card = scene.text("tuned/README.md");
    assert!(
        card.contains("| seed | best epoch | macro F1 | accuracy |"),
        "{card}"
    );
}

#[test]
fn task_files_that_fit_nothing_are_refused() {
    let scene = renamed();
    for (extra, code, message) in [
        (
            "labels = [\"yes\"]",
            1,
            "task/task.toml: `labels` names 1; expected at least two",
        ),
        (
            "labels = [\"yes\", \"yes\"]",
            1,
            "task/task.toml: `labels` names `yes` twice",
        ),
        (
            "labels = [\"yes\", \"maybe\"]",
            1,
            "task/a.tsv, line 2: the label `no` does not occur in task/task.toml; expected one of `yes`, `maybe`",
        ),
        (
            "metric = \"f1\"",
            1,
            "task/task.toml: `metric` is `f1`, but this task is judged by `accuracy` and `macro_f1`; name one of them",
        ),
        (
            "task = \"tagging\"",
            2,
            "task/task.toml: `task`: `tagging` is not classification, regression or tokens",
        ),
        (
            "metrics = \"f1\"",
            2,
            "task/task.toml, line 5, column 1: unknown field `metrics`, expected one of `train`, `dev`, `task`, \
             `text`, `label`, `labels`, `metric`\n  5 | metrics = \"f1\"\n    | ^",
        ),
        (
            "metric = \"f1\n",
            2,
            "task/task.toml, line 5, column 13: a text in quotes has no closing quote in its line\n  5 | metric = \"f1\n    |             ^",
        ),
        (
            "labels = [\"yes\" \"no\"]\n",
            2,
            "task/task.toml, line 5, column 17: a comma, or the ] that closes the list, is missing before this\n  5 | labels = \
             [\"yes\" \"no\"]\n    |                 ^",
        ),
        (
            "metric = 7\n",
            2,
            "task/task.toml, line 5, column 10: expected text in quotes, found 7\n  5 | metric = 7\n    |          ^",
        ),
    ] {
        write_task(&scene, extra);
        tune_briefly(&scene, &["--train", "task"]).refused(code, message);
    }
    scene.write("task/task.toml", "train = \"a.tsv\"\ndev = \"c.tsv\"\n");
    tune_briefly(&scene, &["--train", "task"])
        .refused(2, "task/task.toml: `dev`: there is no file task/c.tsv");
    tune_briefly(&scene, &["--train", "task", "--dev", "dev.tsv"]).refused(
        2,
        "--dev beside task/task.toml, which says that already; leave the flag out, or change the file",
    );
    tune_briefly(&scene, &["--train", "train.tsv"]).refused(
        2,
        "no dev file: name it with --dev, or in a task file with --task-file",
    );
}

#[test]
fn comments_of_a_conll_file_are_refused_by_line() {
    let scene = tagging();
    let refused = |text: &str, line: u64, shown: &str| {
        scene.write("dev.conll", text);
        finetune(&scene, &OF_TOKENS).refused(
            1,
            &format!(
                "dev.conll, line {line}: `{shown}` is no word with its tag but a comment, it seems; remove the comments, which \
                 begin with `#`"
            ),
        );
    };
    refused(
        "the X O\nsmall X B-A\n\n# id 12\t3\nthe X O\n",
        4,
        "# id 12\t3",
    );
    refused("small X B-A\n\n#12\nthe X O\n", 3, "#12");
    refused(
        "# sentence 1 of 2\nthe X O\nsmall X B-A\n",
        1,
        "# sentence 1 of 2",
    );
    refused("# id 1\nthe X O\nsmall X B-A\n", 1, "# … 1");
    // A word of a post is none.
    scene.write("dev.conll", "#the X O\n# X O\nsmall X B-A\n");
    finetune(
        &scene,
        &[&OF_TOKENS[..], &["--epochs", "1", "--seeds", "1"]].concat(),
    )
    .done();
}

#[test]
fn tables_are_not_read_as_words_nor_words_as_tables() {
    let scene = task();
    let refused = |train: &str, task: &str, found: &str| {
        let flags = ["--train", train, "--dev", train, "--task", task];
        finetune(&scene, &flags).refused(1, &format!("{train}: {found}"));
    };
    let expected = "expected a word and its tag in each line, with a tab or spaces between, and an empty line between sentences. \
                    For texts with one label each the task is `classification`";
    let of_table = |found: &str| format!("the task is `tokens`, but {found}; {expected}");
    refused(
        "train.tsv",
        "tokens",
        &of_table("the first line names the columns `sentence`, `label` of a table"),
    );
    scene.write("bare.txt", "the small model\tno\nthe large model\tyes\n");
    refused(
        "bare.txt",
        "tokens",
        &of_table("the first column holds texts, in line 1 `the small model`"),
    );
    scene.write("train.csv", "sentence,label\nthe,O\n");
    refused("train.csv", "tokens", &of_table("a .csv file is a table"));
    scene.write("train.conll", conll(0..60, "\t"));
    refused(
        "train.conll",
        "classification",
        "by its name this is a CoNLL file, whose task is `tokens`, not `classification`; leave the task out, or rename the file",
    );
    let flags = ["--train", "train.conll", "--dev", "train.conll"];
    for column in [["--text-column", "the"], ["--label-column", "O"]] {
        finetune(&scene, &[&flags[..], &column].concat()).refused(
            1,
            "train.conll: the columns of a CoNLL file have no names: the first is the word, the last its tag. Leave out the names \
             of the text and label columns",
        );
    }
}

/// What batches take is known before it is taken.
#[cfg(target_os = "linux")]
#[test]
fn batches_beyond_the_memory_are_refused_with_what_to_lower() {
    let scene = task();
    let text = "the teacher reads a small model ".repeat(6);
    let rows: Vec<(String, &str)> = (0..40_000)
        .map(|number| (text.clone(), ["no", "yes"][number % 2]))
        .collect();
    scene.write("many.tsv", tsv(&rows));
    let flags = arguments(&["--train", "many.tsv", "--batch", "65536"]);
    let outcome = scene.run_within(2_000_000, &flags);
    let told = outcome.stderr.trim_end();
    let start = "limbeck: fine-tuning with batches of 40000 texts of up to 40 tokens takes about ";
    let end = "are free here. Lower --batch (now 65536) or --max-length, or take a smaller model";
    assert!(told.starts_with(start) && told.ends_with(end), "{told}");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
    assert!(!scene.path("tuned").exists());
}

/// A kind that only teaches is not trained, and whoever asks learns what can have its tokens.
#[test]
fn a_kind_that_only_teaches_is_not_fine_tuned() {
    let scene = task();
    scene.copy_golden("tiny-eurobert", "teacher");
    finetune(&scene, &[]).refused(
        2,
        "teacher: models of the kind `eurobert` can be teachers here, and encode texts, but not be trained or exported; a model of \
         the kind `modernbert` can have its tokens",
    );
    assert!(!scene.path("tuned").exists());
}
