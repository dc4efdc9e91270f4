//! `limbeck evaluate` and `limbeck baseline`: models beside each other, on tasks without training.

use limbeck_score::{Metric, Separator, Task};
use serde_json::Value;

use crate::scene::{CORPUS_LINES, Outcome, Scene, corpus, gzip};
use crate::weights;

/// Pairs of lines with scores.
fn similarity() -> String {
    let lines = corpus(CORPUS_LINES);
    let lines: Vec<&str> = lines.lines().collect();
    let pair = |pair: usize| {
        let (first, second) = (lines[2 * pair], lines[2 * pair + 1]);
        format!("{first}\t{second}\t{}\n", (pair * 7) % 5)
    };
    let rows: String = (0..CORPUS_LINES / 2).map(pair).collect();
    format!("sentence1\tsentence2\tscore\n{rows}")
}

fn retrieval() -> String {
    let row = |(at, line): (usize, &str)| format!("{line},\"the {line}, word {at}\"\n");
    let rows: String = corpus(CORPUS_LINES).lines().enumerate().map(row).collect();
    format!("text,meaning\n{rows}")
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("tasks/sts.tsv", similarity());
    scene.write("tasks/meanings.csv", retrieval());
    scene
}

fn evaluate(scene: &Scene, flags: &[&str]) -> Outcome {
    scene.run(&[&["evaluate", "--device", "cpu"], flags].concat())
}

/// The lines of `--csv`, in fields.
fn fields(outcome: &Outcome) -> Vec<Vec<String>> {
    let lines = outcome.stdout.lines().skip(1);
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    lines.map(fields).collect()
}

fn vectors(scene: &Scene, texts: &[&str]) -> Vec<Vec<f32>> {
    let printed = scene.encode(&[], texts.join("\n") + "\n").done().objects();
    let vector = |object: &Value| {
        let numbers = object["embedding"].as_array().expect("a vector").iter();
        numbers
            .map(|x| x.as_f64().expect("a number") as f32)
            .collect()
    };
    printed.iter().map(vector).collect()
}

#[test]
fn scores_are_those_of_the_vectors_that_encode_prints() {
    let scene = scene();
    let flags = [
        "--models", "teacher", "--tasks", "tasks", "--csv", "--among", "8",
    ];
    let lines = fields(&evaluate(&scene, &flags).done());
    let all: Vec<usize> = (0..CORPUS_LINES).collect();
    let mut at = 0;
    for (name, metrics) in [
        ("tasks/meanings.csv", [Metric::AccuracyAt1, Metric::Mrr]),
        ("tasks/sts.tsv", [Metric::Spearman, Metric::Pearson]),
    ] {
        let separator = match name.ends_with(".csv") {
            true => Separator::Comma,
            false => Separator::Tab,
        };
        let task = Task::parse(name, separator, &scene.text(name)).expect("a task");
        let answers = task.answers(&vectors(&scene, &task.texts()), 8);
        for metric in metrics {
            let line = &lines[at];
            let expected = task
                .measure(metric, &answers, &all[..task.rows()])
                .expect("a score");
            assert_eq!(
                (line[0].as_str(), line[6].as_str()),
                (name, metric.to_string().as_str())
            );
            let value: f64 = line[7].parse().expect("a number");
            // Another order of texts pads them otherwise, and a rank may turn on a rounding.
            assert!(
                (value - expected).abs() <= 1e-5,
                "{metric}: {value}, not {expected}"
            );
            at += 1;
        }
    }
    assert_eq!(lines.len(), at);
}

#[test]
fn packed_tasks_are_those_that_they_were() {
    let scene = scene();
    let scores = |tasks: &str| {
        let flags = ["--models", "teacher", "--tasks", tasks, "--csv"];
        let lines = fields(&evaluate(&scene, &flags).done());
        lines
            .iter()
            .map(|line| line[6..10].to_vec())
            .collect::<Vec<_>>()
    };
    let plain = scores("tasks");
    assert_eq!(plain.len(), 4);
    scene.write("packed/sts.TSV.gz", gzip(&similarity()));
    scene.write("packed/meanings.csv.gz", gzip(&retrieval()));
    assert_eq!(scores("packed"), plain);
    // As on an old Mac.
    scene.write("cr.tsv", similarity().replace('\n', "\r"));
    assert_eq!(scores("cr.tsv"), plain[2..]);
}

#[test]
fn what_is_no_text_of_a_task_is_named() {
    let scene = scene();
    let wide: Vec<u8> = format!("\u{feff}{}", similarity())
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    scene.write("wide.tsv", wide);
    evaluate(&scene, &["--models", "teacher", "--tasks", "wide.tsv"]).refused(
        1,
        "wide.tsv is UTF-16 text. Write it as TSV, CSV or JSON lines, or as CoNLL for tags of words, in UTF-8",
    );
    scene.write("latin.tsv", b"sentence1\tsentence2\tscore\na\tgro\xdf\t1\n");
    let latin = evaluate(&scene, &["--models", "teacher", "--tasks", "latin.tsv"]);
    assert!(latin.stderr.contains("latin.tsv, line 2"), "{latin:?}");
    assert_eq!(latin.code, Some(1));
    let none = ["--models", "teacher", "--tasks", "tasks", "--batch", "0"];
    evaluate(&scene, &none)
        .misused("invalid value '0' for '--batch <N>': `0` is not a whole number above 0");
}

#[test]
fn a_model_is_compared_with_the_first() {
    let scene = scene();
    scene.distill(&[]).done();
    let flags = [
        "--models",
        "teacher",
        "teacher",
        "student",
        "--tasks",
        "tasks/sts.tsv",
    ];
    let lines = fields(&evaluate(&scene, &[&flags[..], &["--csv"]].concat()).done());
    assert_eq!(lines.len(), 6);
    let [share, p] = [10, 11];
    assert_eq!((lines[0][share].as_str(), lines[0][p].as_str()), ("1", ""));
    assert_eq!((lines[2][share].as_str(), lines[2][p].as_str()), ("1", "1"));
    assert_ne!(lines[4][share], "1");
    let p: f64 = lines[4][p].parse().expect("a number");
    assert!(p > 0.0 && p <= 1.0, "{p}");
    let [low, value, high] = [8, 7, 9].map(|at| lines[4][at].parse::<f64>().expect("a number"));
    assert!(low <= value && value <= high, "{low} {value} {high}");

    let text = evaluate(&scene, &flags).done().stdout;
    let markdown = evaluate(&scene, &[&flags[..], &["--markdown"]].concat())
        .done()
        .stdout;
    assert!(
        text.starts_with("tasks/sts.tsv: similarity, 20 pairs\nmodel "),
        "{text}"
    );
    assert!(markdown.contains("\n| model | parameters | on disk | sentences/s | Spearman | Pearson | of the first |\n|---|---:|"));
    for text in [text, markdown] {
        assert_eq!(
            text.lines()
                .filter(|line| line.contains("100.0 %, p = 1.000"))
                .count(),
            1,
            "{text}"
        );
        assert!(
            text.contains("p: how likely a difference from teacher as large"),
            "{text}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_intervals() {
    let scene = scene();
    let interval = |seed: &str| {
        let flags = [
            "--models",
            "teacher",
            "--tasks",
            "tasks/sts.tsv",
            "--csv",
            "--seed",
            seed,
        ];
        fields(&evaluate(&scene, &flags).done())[0][8..10].to_vec()
    };
    assert_eq!(interval("3"), interval("3"));
    assert_ne!(interval("3"), interval("4"));
}

#[test]
fn the_page_has_a_bar_for_each_model_and_needs_nothing_else() {
    let scene = scene();
    let flags = [
        "--models",
        "teacher",
        "teacher",
        "--tasks",
        "tasks",
        "--html",
        "out/page.html",
    ];
    evaluate(&scene, &flags).done();
    let page = scene.text("out/page.html");
    assert_eq!(page.matches("<rect ").count(), 4);
    for text in [
        "tasks/sts.tsv: similarity, 20 pairs",
        "the right one of 40",
        "accuracy@1",
        "<!doctype html>",
    ] {
        assert!(page.contains(text), "no {text}");
    }
    for outside in ["http", "<script", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_task_that_is_none_is_refused_before_a_model_is_read() {
    let scene = scene();
    scene.write("classes.tsv", "sentence\tclass\na\tnoun\n");
    scene.write("none/notes.txt", "no task");
    let expected = "Expected is a first line with the columns `sentence1`, `sentence2` and `score` (similarity), or with two \
                    columns of text, such as `lemma` and `definition` (retrieval)";
    let refused = |tasks: &str, flags: &[&str], code: i32, message: &str| {
        let models = ["--models", "nowhere", "--tasks", tasks];
        evaluate(&scene, &[&models[..], flags].concat()).refused(code, message);
    };
    let classes = "the column `class` holds classes: name it with --label-column (or call it `label`), for models that limbeck \
                   finetune wrote";
    refused(
        "classes.tsv",
        &[],
        2,
        &format!("classes.tsv: {classes}. {expected}"),
    );
    refused(
        "none",
        &[],
        2,
        "the folder none has no task: no file that ends in .tsv or .csv or .conll or .bio or .iob or .iob2",
    );
    refused(
        "missing.tsv",
        &[],
        1,
        "cannot read missing.tsv: No such file or directory (os error 2)",
    );
    refused(
        "tasks",
        &["--among", "1"],
        2,
        "--among must be 2 or more, not 1",
    );
    let outcome = evaluate(&scene, &["--models", "nowhere", "--tasks", "tasks"]);
    assert!(
        outcome
            .stderr
            .starts_with("limbeck: there is no folder nowhere. "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn vectors_that_are_all_alike_have_no_correlation_and_that_is_said() {
    let scene = scene();
    scene.distill(&[]).done();
    // One token a text, and the same one: every cosine is 1.
    scene.write(
        "student/modules.json",
        r#"[{"type":"sentence_transformers.models.Transformer","path":""},
        {"type":"sentence_transformers.models.Pooling","path":"1_Pooling"},
        {"type":"sentence_transformers.models.Dense","path":"2_Dense"}]"#,
    );
    let dense = r#"{"in_features":12,"out_features":1,"bias":false,"activation_function":"torch.nn.modules.activation.ReLU"}"#;
    scene.write("student/2_Dense/config.json", dense);
    scene.write(
        "student/2_Dense/model.safetensors",
        zeros("linear.weight", &[1, 12]),
    );
    let flags = ["--models", "teacher", "student", "--tasks", "tasks/sts.tsv"];
    let text = evaluate(&scene, &flags).done().stdout;
    assert!(
        text.contains(
            "undefined: all cosines are alike  undefined: all cosines are alike             –"
        ),
        "{text}"
    );
    let csv = fields(&evaluate(&scene, &[&flags[..], &["--csv"]].concat()).done());
    assert_eq!(csv[2][7..], ["", "", "", "", "", "", "", "", ""]);
}

fn zeros(name: &str, shape: &[usize]) -> Vec<u8> {
    let bytes = vec![0; 4 * shape.iter().product::<usize>()];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes);
    safetensors::serialize([(name, view.expect("a tensor"))], None).expect("a file")
}

#[test]
fn a_baseline_is_the_student_before_the_first_step() {
    let scene = Scene::new();
    let set = [
        "--set",
        "student.hidden=24",
        "--set",
        "student.layers=1",
        "--set",
        "student.heads=4",
        "--set",
        "max_length=16",
    ];
    let flags = [
        "--teacher",
        "teacher",
        "--out",
        "copied",
        "--set",
        "student.from_layers=[2]",
    ];
    let outcome = scene
        .run(&[&["baseline"][..], &flags, &set].concat())
        .done();
    assert_eq!(outcome.stdout, "");
    for said in [
        "Start            layer 2 of the teacher",
        "copied student: copied",
        "mean pooling",
    ] {
        assert!(
            outcome.stderr.contains(said),
            "no {said} in {}",
            outcome.stderr
        );
    }
    let teacher = weights::read(&scene, "teacher/model.safetensors");
    let copied = weights::read(&scene, "copied/model.safetensors");
    assert!(copied.len() > 10, "{} tensors", copied.len());
    for (name, tensor) in &copied {
        let source = name.replace("layer.0.", "layer.1.");
        assert!(
            tensor.bytes == teacher[&source].bytes,
            "{name} is not {source}"
        );
    }
    let card = scene.text("copied/README.md");
    assert!(card.contains("# A copied student, not trained"), "{card}");
    assert!(
        card.contains("| Start | layer 2 of the teacher |") && !card.contains("| Steps |"),
        "{card}"
    );
    scene.encode(&["--model", "copied"], "a word\n").done();
    assert!(
        !scene
            .files("copied")
            .iter()
            .any(|file| file.contains("metrics") || file.contains("report"))
    );
}

#[test]
fn a_baseline_starts_as_a_run_of_the_same_recipe() {
    let scene = Scene::new();
    scene
        .run(&["baseline", "--config", "recipe.toml", "--out", "copied"])
        .done();
    // So small a rate that no weight moves: a run's student is the one that it began with.
    let still = ["--set", "learning_rate=1e-30", "--set", "weight_decay=0.0"];
    scene
        .distill(&[&still[..], &["--out", "student"]].concat())
        .done();
    let [copied, student] =
        ["copied", "student"].map(|out| weights::read(&scene, &format!("{out}/model.safetensors")));
    for (name, tensor) in &student {
        assert!(tensor.bytes == copied[name].bytes, "{name}");
    }
}

#[test]
fn a_baseline_that_copies_nothing_or_writes_over_its_teacher_is_refused() {
    let scene = Scene::new();
    let refused = |flags: &[&str], message: &str| {
        scene
            .run(&[&["baseline", "--config", "recipe.toml"], flags].concat())
            .refused(2, message);
    };
    refused(
        &["--out", "copied", "--set", "student.init=random"],
        "the recipe has a mistake:\n  student.init: a baseline is copied from the teacher, and `random` copies nothing; leave it \
         out, or set it to `teacher`",
    );
    refused(
        &["--out", "teacher"],
        "the output folder teacher is the teacher's: the student would replace it. Choose another with --out",
    );
    scene.write("full/file", "");
    refused(
        &["--out", "full"],
        "the output folder full is not empty. Choose another with --out, or overwrite it with --overwrite",
    );
    scene.run(&["baseline", "--out", "copied"]).refused(
        2,
        "no teacher: name its folder, or its id on the Hugging Face hub, with --teacher, or `teacher` in the recipe",
    );
    assert!(!scene.path("copied").exists());
}

/// Fine-tunes the teacher on rows that one word decides, into a folder of this name.
fn tune(scene: &Scene, out: &str, flags: &[&str]) {
    let usual = [
        ["--model", "teacher"],
        ["--out", out],
        ["--device", "cpu"],
        ["--batch", "8"],
        ["--learning-rate", "0.01"],
        ["--seeds", "2"],
    ];
    let usual = usual.into_iter().filter(|[name, _]| !flags.contains(name));
    let usual: Vec<&str> = usual.flatten().collect();
    scene
        .run(&[&["finetune"], &usual[..], flags].concat())
        .done();
}

fn labelled(range: std::ops::Range<usize>) -> String {
    let row = |number: usize| {
        let (word, label) = [("small", "no"), ("large", "yes")][number % 2];
        format!(
            "the {word} {}\t{label}\n",
            ["model", "token", "head"][number % 3]
        )
    };
    "sentence\tlabel\n".to_owned() + &range.map(row).collect::<String>()
}

#[test]
fn fine_tuned_models_are_compared_on_labelled_text() {
    let scene = Scene::new();
    scene.write("train.tsv", labelled(0..48));
    scene.write("dev.tsv", labelled(101..141));
    let files = ["--train", "train.tsv", "--dev", "dev.tsv"];
    tune(&scene, "good", &[&files[..], &["--epochs", "6"]].concat());
    tune(
        &scene,
        "mean",
        &[&files[..], &["--epochs", "6", "--pooling", "mean"]].concat(),
    );
    // Too small a rate to learn anything.
    tune(
        &scene,
        "poor",
        &[&files[..], &["--epochs", "1", "--learning-rate", "1e-9"]].concat(),
    );
    let flags = ["--models", "good", "mean", "poor", "--tasks", "dev.tsv"];
    let lines = fields(&evaluate(&scene, &[&flags[..], &["--csv"]].concat()).done());
    assert_eq!(lines.len(), 6);
    for (at, name) in ["good", "mean", "poor"].into_iter().enumerate() {
        let results = scene.json(&format!("{name}/results.json"));
        let predictions = scene.text(&format!("{name}/predictions.jsonl"));
        let right = predictions.lines().filter(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["label"] == line["predicted"]
        });
        let line = &lines[2 * at];
        assert_eq!(line[6], "accuracy");
        let value: f64 = line[7].parse().expect("a number");
        assert_eq!(value, right.count() as f64 / 40.0, "{name}");
        assert_eq!(line[12], "2");
        let mean: f64 = line[13].parse().expect("a number");
        assert_eq!(Some(mean), results["mean"]["accuracy"].as_f64());
        assert_eq!(lines[2 * at + 1][6], "macro F1");
    }
    assert_eq!((lines[0][7].as_str(), lines[2][7].as_str()), ("1", "1"));
    let p: f64 = lines[4][11].parse().expect("a number");
    assert!(p < 0.01, "{p}");
    let text = evaluate(&scene, &flags).done().stdout;
    assert!(
        text.starts_with("dev.tsv: classification, 40 rows\nmodel "),
        "{text}"
    );
    assert!(
        text.contains("100.0 ± 0.0 (2)") && text.contains("over seeds: the same score"),
        "{text}"
    );
}

#[test]
fn scores_and_tags_have_their_own_metrics() {
    let scene = scene();
    let scored = |range: std::ops::Range<usize>| {
        let row =
            |number: usize| format!("the model{}\t{}\n", " large".repeat(number % 4), number % 4);
        "text\tscore\n".to_owned() + &range.map(row).collect::<String>()
    };
    scene.write("scores.tsv", scored(0..40));
    tune(
        &scene,
        "scorer",
        &[
            "--train",
            "scores.tsv",
            "--dev",
            "scores.tsv",
            "--epochs",
            "4",
        ],
    );
    let tags: String = (0..30)
        .map(|number| ["the O\nsmall B-A\n\n", "large B-B\nmodel I-B\n\n"][number % 2])
        .collect();
    scene.write("names.conll", tags);
    tune(
        &scene,
        "tagger",
        &[
            "--train",
            "names.conll",
            "--dev",
            "names.conll",
            "--epochs",
            "6",
        ],
    );
    for (model, task, metrics) in [
        ("scorer", "scores.tsv", ["Spearman", "Pearson"]),
        ("tagger", "names.conll", ["F1", "accuracy"]),
    ] {
        let flags = ["--models", model, "--tasks", task, "tasks/sts.tsv", "--csv"];
        let lines = fields(&evaluate(&scene, &flags).done());
        assert_eq!(lines.len(), 4);
        let best = scene.json(&format!("{model}/results.json"));
        for (line, metric) in lines.iter().zip(metrics) {
            assert_eq!(line[6], metric);
            let value: f64 = line[7].parse().expect("a number");
            let seeds = best["seeds"].as_array().expect("seeds");
            let written = seeds
                .iter()
                .find(|seed| seed["seed"] == best["written_seed"]);
            let written = written.expect("the written seed");
            let at = written["best_epoch"].as_u64().expect("a number") as usize - 1;
            let expected = written["epochs"][at][metric.to_lowercase()].as_f64();
            let expected = expected.expect("a score");
            assert!(
                (value - expected).abs() < 1e-6,
                "{metric}: {value}, not {expected}"
            );
        }
        // Vectors of a fine-tuned model are those of its encoder, and no seeds measured them.
        assert_eq!(lines[2][6..].len(), 10);
        assert_eq!(lines[2][12..], ["", "", "", ""]);
    }
}

#[test]
fn a_model_without_the_head_for_a_task_is_refused() {
    let scene = scene();
    scene.write("dev.tsv", labelled(0..40));
    scene.write("names.conll", "the O\nsmall B-A\n\nlarge B-A\n");
    let refused = |model: &str, task: &str, code: i32, message: &str| {
        evaluate(&scene, &["--models", model, "--tasks", task]).refused(code, message);
    };
    refused(
        "teacher",
        "dev.tsv",
        2,
        "teacher has no head for dev.tsv, which holds texts with classes: run limbeck finetune --model teacher, and name the \
         folder that it writes",
    );
    tune(
        &scene,
        "tuned",
        &["--train", "dev.tsv", "--dev", "dev.tsv", "--epochs", "1"],
    );
    refused(
        "tuned",
        "names.conll",
        2,
        "tuned is fine-tuned for classification, but names.conll holds sentences with tags",
    );
    scene.write("other.tsv", "sentence\tlabel\na\tno\nb\tmaybe\n");
    refused(
        "tuned",
        "other.tsv",
        1,
        "other.tsv, line 3: the label `maybe` does not occur in tuned; expected one of `no`, `yes`",
    );
}

/// The lines of a sentence of CoNLL, from `word tag` pairs.
fn sentence(words: &str) -> String {
    words.replace(", ", "\n") + "\n\n"
}

#[test]
fn taggers_are_compared_on_the_words_that_all_of_them_judge() {
    let scene = Scene::new();
    let known = "the O, small B-A, two O, large B-B, model I-B";
    scene.write("train.conll", sentence(known).repeat(30));
    let files = ["--train", "train.conll", "--dev", "train.conll"];
    tune(&scene, "long", &[&files[..], &["--epochs", "8"]].concat());
    // The same model, cut to two special tokens and three words.
    for file in scene.files("long") {
        scene.write(
            &format!("short/{file}"),
            scene.read(&format!("long/{file}")),
        );
    }
    scene.set_field("short/results.json", "/max_length", 5);
    // Behind the cut the tags are such that whoever reads so far is wrong.
    let other = "the O, small B-A, two O, large O, model O";
    scene.write("dev.conll", sentence(other).repeat(10));
    let scores = |models: &[&str]| {
        let flags = [&["--models"], models, &["--tasks", "dev.conll", "--csv"]].concat();
        let lines = fields(&evaluate(&scene, &flags).done());
        let taken = |line: &Vec<String>| [6, 7, 15].map(|at| line[at].clone());
        lines.iter().map(taken).collect::<Vec<_>>()
    };
    let line =
        |metric: &str, value: &str, left_out: &str| [metric, value, left_out].map(str::to_owned);
    assert_eq!(scores(&["long"])[1], line("accuracy", "0.6", "0"));
    assert_eq!(
        scores(&["long", "short"]),
        [
            line("F1", "1", "0"),
            line("accuracy", "1", "0"),
            line("F1", "1", "20"),
            line("accuracy", "1", "20"),
        ]
    );
    let table = |models: &[&str]| {
        let flags = [&["--models"], models, &["--tasks", "dev.conll"]].concat();
        evaluate(&scene, &flags).done().stdout
    };
    let text = table(&["long", "short"]);
    let heading = "dev.conll: tokens, 10 sentences, 30 of their 50 words\nmodel ";
    assert!(text.starts_with(heading), "{text}");
    for said in [
        "  words left out  ",
        " words left out: a model makes no token of them, or cuts them off at its length. They count for no model",
    ] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    let text = table(&["long"]);
    assert!(
        text.starts_with("dev.conll: tokens, 10 sentences\nmodel "),
        "{text}"
    );
    assert!(!text.contains("left out"), "{text}");
}

#[test]
fn heads_of_another_kind_than_the_file_are_refused() {
    let scene = Scene::new();
    scene.write("dev.tsv", labelled(0..40));
    let pairs = labelled(0..40).replace("the ", "the\t");
    scene.write(
        "pairs.tsv",
        pairs.replace("sentence\t", "premise\thypothesis\t"),
    );
    for (out, file) in [("single", "dev.tsv"), ("paired", "pairs.tsv")] {
        tune(
            &scene,
            out,
            &["--train", file, "--dev", file, "--epochs", "1"],
        );
    }
    let refused = |model: &str, task: &str, message: &str| {
        evaluate(&scene, &["--models", model, "--tasks", task]).refused(2, message);
    };
    refused(
        "paired",
        "dev.tsv",
        "paired is fine-tuned for pairs of texts, but dev.tsv holds texts with classes; name the columns of its texts with \
         --text-column",
    );
    refused(
        "single",
        "pairs.tsv",
        "single is fine-tuned for single texts, but pairs.tsv holds pairs of texts with classes; name the columns of its texts \
         with --text-column",
    );
    evaluate(&scene, &["--models", "paired", "--tasks", "pairs.tsv"]).done();
    scene.set_field(
        "single/config.json",
        "/problem_type",
        "multi_label_classification",
    );
    refused(
        "single",
        "dev.tsv",
        "the head of single gives several labels of a text (problem_type multi_label_classification in its config.json), which \
         limbeck evaluate does not judge; name models with one label of a text",
    );
}

#[test]
fn columns_of_other_names_are_judged_by_flags_or_a_task_file() {
    let scene = Scene::new();
    scene.write("dev.tsv", labelled(0..40));
    let files = ["--train", "dev.tsv", "--dev", "dev.tsv"];
    tune(&scene, "tuned", &[&files[..], &["--epochs", "1"]].concat());
    let own = labelled(0..40).replace("sentence\tlabel", "said\tverdict");
    scene.write("task/own.tsv", own);
    let file = "train = \"gone.tsv\"\ndev = \"own.tsv\"\ntext = \"said\"\nlabel = \"verdict\"\n";
    scene.write("task/task.toml", file);
    let flags = |tasks: &'static str| ["--models", "tuned", "--csv", "--tasks", tasks];
    let judged = |flags: &[&str]| fields(&evaluate(&scene, flags).done())[0][6..10].to_vec();
    let expected = judged(&flags("dev.tsv"));
    let columns = ["--text-column", "said", "--label-column", "verdict"];
    assert_eq!(
        judged(&[&flags("task/own.tsv")[..], &columns].concat()),
        expected
    );
    for task in ["task/task.toml", "task"] {
        assert_eq!(judged(&flags(task)), expected, "{task}");
    }
    evaluate(&scene, &[&flags("task")[..], &columns[2..]].concat()).refused(
        2,
        "--label-column beside task/task.toml, which says that already; leave the flag out, or change the file",
    );
    evaluate(&scene, &[&flags("task/own.tsv")[..], &["--label-column", "none"]].concat()).refused(
        1,
        "the first line of task/own.tsv must name the columns, such as sentence<TAB>label, but it is `said`, `verdict`; add that \
         line, or name the column of the text with --text-column",
    );
    scene.remove("task/own.tsv");
    evaluate(&scene, &flags("task"))
        .refused(2, "task/task.toml: `dev`: there is no file task/own.tsv");
}
