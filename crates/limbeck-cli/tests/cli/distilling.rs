//! `limbeck distill` from start to end: files, numbers and events.

use serde_json::Value;

use crate::scene::{Scene, TEACHER_HIDDEN};
use crate::weights;

const STUDENT_FILES: [&str; 15] = [
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "modules.json",
    "recipe.toml",
    "report.html",
    "report.svg",
    "resume.safetensors",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
];

/// A weight that is a number, and with which nothing computes one.
const HUGE: f32 = 3e38;

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_student_is_a_hugging_face_folder_that_encodes() {
    let scene = Scene::new();
    scene.distill(&[]).done();
    assert_eq!(scene.files("student"), STUDENT_FILES);
    assert_eq!(
        weights::metadata(&scene, "student/model.safetensors")["format"],
        "pt"
    );
    assert_eq!(scene.sizes("student"), [1, 12, 3, 40]);
    let config = scene.json("student/config.json");
    assert_eq!(
        (&config["torch_dtype"], &config["architectures"][0]),
        (&"float32".into(), &"BertModel".into())
    );
    assert_eq!(
        scene.read("student/tokenizer.json"),
        scene.read("teacher/tokenizer.json")
    );
    let embedding = scene
        .encode(&["--model", "student"], "a word\n")
        .done()
        .objects()[0]["embedding"]
        .clone();
    assert_eq!(embedding.as_array().map(Vec::len), Some(12));
}

#[test]
fn half_precision_halves_the_weights() {
    let scene = Scene::new();
    scene.distill(&["--out", "whole"]).done();
    scene.distill(&["--set", "precision=f16"]).done();
    assert_eq!(scene.json("student/config.json")["torch_dtype"], "float16");
    let (half, whole) = ("student/model.safetensors", "whole/model.safetensors");
    for (name, stored) in weights::read(&scene, whole) {
        let expected = stored.cast(safetensors::Dtype::F16);
        assert_eq!(
            weights::read(&scene, half)[&name].bytes,
            expected.bytes,
            "{name}"
        );
    }
    scene.encode(&["--model", "student"], "a word\n").done();
}

#[test]
fn metrics_have_one_line_a_step_and_the_loss_falls() {
    let scene = Scene::new();
    scene
        .distill(&[
            "--set",
            "steps=60",
            "--set",
            "output.share=0.5",
            "--set",
            "output.cosine=1",
            "--set",
            "student.dropout=0",
            "--set",
            "student.init=random",
        ])
        .done();
    let steps: Vec<Value> = scene
        .steps("student/metrics.jsonl")
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let numbers: Vec<u64> = steps
        .iter()
        .filter_map(|step| step["step"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    let relations = |step: &Value| -> f64 {
        let pairs = ["K-K", "Q-Q", "V-V"].iter();
        pairs.map(|pair| number(&step["parts"][*pair])).sum()
    };
    let losses: Vec<f64> = steps.iter().map(relations).collect();
    let (before, after) = (mean(&losses[..10]), mean(&losses[50..]));
    assert!(
        after < 0.8 * before,
        "the loss went from {before} to {after}"
    );
    for step in &steps {
        let parts = step["parts"].as_object().expect("parts");
        let names: Vec<&String> = parts.keys().collect();
        match number(&step["step"]) > 30.0 {
            true => assert_eq!(names, ["K-K", "Q-Q", "V-V", "cosine"]),
            false => assert_eq!(names, ["K-K", "Q-Q", "V-V"]),
        }
        let sum: f64 = parts.values().map(number).sum();
        assert!((sum - number(&step["loss"])).abs() < 1e-6, "{step}");
    }
}

#[test]
fn the_held_out_lines_come_nearer_to_the_teacher() {
    let scene = Scene::new();
    scene
        .distill(&["--set", "steps=60", "--set", "heldout=0.2"])
        .done();
    let card = scene.text("student/README.md");
    let rows: Vec<&str> = card
        .lines()
        .filter(|line| {
            ["| Q-Q", "| K-K", "| V-V", "| cosine"]
                .iter()
                .any(|p| line.starts_with(p))
        })
        .collect();
    assert_eq!(rows.len(), 4, "{card}");
    for row in rows {
        let cells: Vec<f64> = row
            .split('|')
            .filter_map(|cell| cell.trim().parse().ok())
            .collect();
        assert!(cells.len() == 2 && cells[1] < cells[0], "{row}");
    }
    assert!(
        card.contains(" held-out lines of the corpus, which the student never saw."),
        "{card}"
    );
}

/// Every evaluation has all nine pairs, apart from the parts of the loss; card, terminal and report compare the first with the last.
#[test]
fn every_pair_is_measured_whether_it_is_trained_or_not() {
    let scene = Scene::new();
    let outcome = scene
        .distill(&[
            "--set",
            "steps=6",
            "--set",
            "checkpoint_every=3",
            "--set",
            "pairs={ qq = 1, vk = 0.5 }",
            "--set",
            "output.cosine=3",
        ])
        .done();
    let metrics = scene.text("student/metrics.jsonl");
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let (evaluations, steps): (Vec<Value>, Vec<Value>) =
        lines.partition(|line| line["event"] == "evaluated");
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object().expect("an object");
        object.keys().cloned().collect()
    };
    let at: Vec<f64> = evaluations.iter().map(|e| number(&e["step"])).collect();
    assert_eq!(at, [0.0, 3.0, 6.0]);
    for evaluation in &evaluations {
        assert_eq!(keys(&evaluation["parts"]), ["Q-Q", "V-K", "cosine"]);
        assert_eq!(
            keys(&evaluation["untrained"]),
            ["K-K", "K-Q", "K-V", "Q-K", "Q-V", "V-Q", "V-V"]
        );
    }
    for step in steps {
        let parts = keys(&step["parts"]);
        assert!(
            parts
                .iter()
                .all(|p| ["Q-Q", "V-K", "cosine"].contains(&p.as_str()))
        );
        let weighted = |(part, weight): (&str, f64)| match step["parts"][part].as_f64() {
            Some(value) => value * weight,
            None => 0.0,
        };
        let sum: f64 = [("Q-Q", 1.0), ("V-K", 0.5), ("cosine", 3.0)]
            .map(weighted)
            .iter()
            .sum();
        assert!((sum - number(&step["loss"])).abs() < 1e-6, "{step}");
    }
    let cell = |pair: &str| {
        let value = |of: &Value| match of["parts"][pair].as_f64() {
            Some(kl) => kl,
            None => number(&of["untrained"][pair]),
        };
        format!(
            "{:.4} → {:.4}",
            value(&evaluations[0]),
            value(&evaluations[2])
        )
    };
    for row in [
        format!(
            "| Q | **{}** | {} | {} |",
            cell("Q-Q"),
            cell("Q-K"),
            cell("Q-V")
        ),
        format!(
            "| K | {} | {} | {} |",
            cell("K-Q"),
            cell("K-K"),
            cell("K-V")
        ),
        format!(
            "| V | {} | **{}** | {} |",
            cell("V-Q"),
            cell("V-K"),
            cell("V-V")
        ),
    ] {
        assert!(scene.text("student/README.md").contains(&row), "{row}");
        assert!(outcome.stderr.contains(&row), "{row}\n{}", outcome.stderr);
    }
    for file in ["student/report.html", "student/report.svg"] {
        assert!(scene.text(file).contains("nine pairs"), "{file}");
    }
}

#[test]
fn json_prints_every_event_and_nothing_else() {
    let scene = Scene::new();
    let outcome = scene
        .distill(&["--json", "--set", "checkpoint_every=2"])
        .done();
    let kinds: Vec<Value> = outcome
        .objects()
        .iter()
        .map(|object| object["event"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "start",
            "step",
            "step",
            "evaluated",
            "step",
            "evaluated",
            "done"
        ]
    );
    assert_eq!(outcome.stderr, "");
    let evaluated = outcome.events("evaluated").remove(0);
    assert_eq!(evaluated["step"], 2);
    for part in ["Q-Q", "K-K", "V-V", "cosine"] {
        assert!(number(&evaluated["parts"][part]) > 0.0, "{evaluated}");
    }
    assert!(number(&evaluated["untrained"]["Q-K"]) > 0.0, "{evaluated}");
    assert_eq!(outcome.events("done")[0]["out"], "student");
}

#[test]
fn people_read_progress_on_standard_error() {
    let outcome = Scene::new().distill(&[]).done();
    assert_eq!(outcome.stdout, "");
    for part in [
        "Relation heads   12",
        "| part of the loss | copied student | after |",
        "| cosine | ",
        "report:  student/report.html",
    ] {
        assert!(
            outcome.stderr.contains(part),
            "no `{part}` in\n{}",
            outcome.stderr
        );
    }
}

#[test]
fn the_report_says_what_the_student_was_before() {
    let scene = Scene::new();
    for (init, card, page) in [
        (
            "teacher",
            "| part of the loss | copied student | after |",
            ">copied student<",
        ),
        (
            "random",
            "| part of the loss | before | after |",
            ">before<",
        ),
    ] {
        let init = format!("student.init={init}");
        scene.distill(&["--overwrite", "--set", &init]).done();
        assert!(scene.text("student/README.md").contains(card), "{card}");
        assert!(scene.text("student/report.html").contains(page), "{page}");
    }
}

#[test]
fn the_same_seed_gives_the_same_student() {
    let scene = Scene::new();
    let runs = [("one", "seed=1"), ("same", "seed=1"), ("other", "seed=2")];
    for (out, seed) in runs {
        scene.distill(&["--out", out, "--set", seed]).done();
    }
    let [one, same, other] = runs.map(|(out, _)| scene.read(&format!("{out}/model.safetensors")));
    assert!(one == same, "the same seed gave another student");
    assert!(one != other, "another seed gave the same student");
}

#[test]
fn pairs_and_their_weights_make_the_loss() {
    let scene = Scene::new();
    let outcome = scene
        .distill(&[
            "--json",
            "--set",
            "pairs={ vv = 0.5, qk = 2, kv = 0 }",
            "--set",
            "output.share=0",
        ])
        .done();
    for step in outcome.events("step") {
        let pairs = step["parts"].as_object().expect("pairs");
        assert_eq!(pairs.keys().collect::<Vec<_>>(), ["Q-K", "V-V"]);
        let weighted = 2.0 * number(&pairs["Q-K"]) + 0.5 * number(&pairs["V-V"]);
        assert!((weighted - number(&step["loss"])).abs() < 1e-6, "{step}");
    }
    assert!(
        scene
            .text("student/README.md")
            .contains("| Pairs | 2 x Q-K, 0.5 x V-V |")
    );
}

#[test]
fn minilm_v1_teaches_attention_and_values_over_the_attention_heads() {
    let scene = Scene::new();
    scene.distill(&["--set", "objective=minilm-v1"]).done();
    let card = scene.text("student/README.md");
    for fact in [
        "| Pairs | Q-K, V-V |",
        "| Relation heads | 3 |",
        "| Objective | MiniLM attention and value relation |",
    ] {
        assert!(card.contains(fact), "no `{fact}` in\n{card}");
    }
}

#[test]
fn an_output_folder_with_files_is_left_alone_unless_told_otherwise() {
    let scene = Scene::new();
    scene.write("student/notes.txt", "mine");
    let message = "the output folder student is not empty. Choose another with --out, or overwrite it with --overwrite";
    scene.distill(&[]).refused(2, message);
    assert_eq!(scene.files("student"), ["notes.txt"]);
    scene.distill(&["--overwrite"]).done();
    assert_eq!(scene.text("student/notes.txt"), "mine");
    assert!(
        scene
            .files("student")
            .contains(&"model.safetensors".to_owned())
    );
}

#[test]
fn a_student_never_replaces_its_teacher() {
    let scene = Scene::new();
    let before = scene.read("teacher/model.safetensors");
    scene.distill(&["--out", "./teacher", "--overwrite"]).refused(
        2,
        "the output folder ./teacher is the teacher's: the student would replace it. Choose another with --out",
    );
    assert_eq!(scene.read("teacher/model.safetensors"), before);
}

#[test]
fn nothing_of_an_earlier_student_stays_beside_a_new_one() {
    let scene = Scene::new();
    scene.write("student/merges.txt", "of another tokenizer");
    scene.write("student/model-00001-of-00002.safetensors", "a shard");
    scene.distill(&["--overwrite"]).done();
    let files = scene.files("student");
    assert!(
        !files
            .iter()
            .any(|file| file == "merges.txt" || file.starts_with("model-")),
        "{files:?}"
    );
}

#[test]
fn an_output_folder_that_cannot_be_made_is_refused() {
    let scene = Scene::new();
    scene.distill(&["--out", "corpus.txt/student"]).refused(
        1,
        "cannot make the folder corpus.txt/student: Not a directory (os error 20)",
    );
    let is_none = |out: &str| {
        let message = format!("the output folder {out} is not a folder. Choose another with --out");
        scene.distill(&["--out", out]).refused(2, &message);
    };
    is_none("corpus.txt");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", scene.path("link")).expect("a link");
        is_none("link");
    }
}

#[test]
fn a_teacher_that_overflows_stops_the_run_and_names_the_lines() {
    let scene = Scene::new();
    weights::edit(&scene, |tensors| {
        let query = tensors
            .get_mut("encoder.layer.1.attention.self.query.weight")
            .expect("a query");
        *query = query.map(|_, _| HUGE);
    });
    let outcome = scene.distill(&[
        "--set",
        "steps=9",
        "--set",
        "batch=2",
        "--set",
        "student.init=random",
    ]);
    assert_eq!(outcome.code, Some(1));
    let skipped = |line: &&str| {
        line.starts_with("step ")
            && line.contains(" skipped: the loss was not a number, on corpus.txt, line ")
    };
    assert_eq!(
        outcome.stderr.lines().filter(skipped).count(),
        2,
        "{}",
        outcome.stderr
    );
    let (_, end) = outcome.stderr.split_once("limbeck: ").expect("an error");
    let (message, lines) = end
        .trim_end()
        .split_once("\n  ")
        .expect("lines after the message");
    assert_eq!(
        message,
        "the loss was not a number in 3 consecutive steps (up to step 3). Lower learning_rate, increase warmup, or \
         inspect the lines of the last batch"
    );
    let named: Vec<&str> = lines.split("; ").collect();
    assert_eq!(named.len(), 2, "{lines}");
    for line in named {
        let number = line
            .strip_prefix("corpus.txt, line ")
            .and_then(|number| number.parse().ok());
        assert!(
            number.is_some_and(|n: usize| (1..=40).contains(&n)),
            "{line}"
        );
    }
}

#[test]
fn a_step_that_is_not_a_number_is_skipped_and_counted() {
    let scene = Scene::new();
    let digit: usize = scene.json("teacher/tokenizer.json")["model"]["vocab"]["5"]
        .as_u64()
        .expect("an id") as usize;
    weights::edit(&scene, |tensors| {
        let words = tensors
            .get_mut("embeddings.word_embeddings.weight")
            .expect("a table");
        *words = words.map(|at, x| {
            match at / TEACHER_HIDDEN == digit {
                // Opposite ones, whose difference is infinite.
                true if at.is_multiple_of(2) => HUGE,
                true => -HUGE,
                false => x,
            }
        });
    });
    // Four batches an epoch, of which one holds the line that the teacher fails on.
    scene.write(
        "spoilt.txt",
        format!(
            "{}5 5 5\n{}",
            crate::scene::corpus(7),
            "large model\n".repeat(8)
        ),
    );
    let outcome = scene
        .distill(&[
            "--json",
            "--corpus",
            "spoilt.txt",
            "--set",
            "steps=8",
            "--set",
            "heldout=0",
            "--set",
            "student.init=random",
        ])
        .done();
    let skipped = outcome.events("skipped");
    assert_eq!((skipped.len(), outcome.events("step").len()), (2, 6));
    let named = |event: &Value| {
        event["lines"]
            .as_str()
            .is_some_and(|lines| lines.split("; ").any(|l| l == "spoilt.txt, line 8"))
    };
    assert!(skipped.iter().all(named), "{skipped:?}");
    assert_eq!(outcome.events("done")[0]["skipped"], 2);
    assert!(
        scene
            .text("student/README.md")
            .contains("| Steps skipped | 2 (loss not a number) |")
    );
}

/// What an update makes of the weights with such a learning rate is not a number: that is found out before anything is written,
/// whichever step was the last.
#[test]
fn a_student_that_breaks_is_never_written() {
    for (steps, every) in [("1", "1000"), ("2", "1000"), ("9", "1"), ("9", "1000")] {
        let scene = Scene::new();
        let (steps, every) = (
            format!("steps={steps}"),
            format!("checkpoint_every={every}"),
        );
        let outcome = scene.distill(&[
            "--set",
            "learning_rate=1e300",
            "--set",
            "warmup=0",
            "--set",
            &steps,
            "--set",
            &every,
        ]);
        let (_, message) = outcome.stderr.split_once("limbeck: ").expect("an error");
        assert!(
            message.starts_with("the student broke at step 1: its weights hold NaN in embeddings.word_embeddings.weight, first at [")
                && message.contains("Lower learning_rate (now 1e300), or increase warmup (now 0 steps)"),
            "{message}"
        );
        assert_eq!(outcome.code, Some(1));
        assert_eq!(
            scene.files("student"),
            ["metrics.jsonl.part"],
            "{steps} {every}"
        );
    }
}

/// Weights that are numbers, but compute none: no student either.
#[test]
fn a_student_that_computes_no_numbers_is_never_written() {
    let scene = Scene::new();
    let flags = ["learning_rate=1e37", "warmup=0", "steps=1"].map(|set| ["--set", set]);
    let outcome = scene.distill(&flags.concat());
    let message = "the student broke by step 1: its relations on the held-out lines are not numbers any more. Lower learning_rate \
                   (now 1e37), or increase warmup, and start again";
    outcome.failed(message);
    assert_eq!(scene.files("student"), ["metrics.jsonl.part"]);
}

/// A folder's name is a text in the card, and no markup.
#[cfg(unix)]
#[test]
fn names_are_no_markup_in_the_card() {
    let scene = Scene::new();
    let name = "a_b|<img src=x onerror=alert(1)>_[x](y)`&";
    scene.copy_golden("tiny-bert", name);
    let texts = name.replace("a_b", "c");
    scene.write(&texts, scene.read("corpus.txt"));
    scene
        .distill(&["--teacher", name, "--corpus", &texts])
        .done();
    let card = scene.text("student/README.md");
    let shown = r"a_b\|&lt;img src=x onerror=alert(1)&gt;\_\[x\](y)\`&amp;";
    assert!(
        card.contains(&format!("| Teacher | {shown}, 2 layers")),
        "{card}"
    );
    let corpus = shown.replace("a_b", "c");
    assert!(card.contains(&format!("| Data | {corpus} |")), "{card}");
    assert!(
        card.contains(&format!("| Corpus files | {corpus} (")),
        "{card}"
    );
    assert!(!card.contains("<img"), "{card}");
}

#[test]
fn a_card_names_the_paper_of_its_objective() {
    let scene = Scene::new();
    for (objective, tag, paper, other) in [
        (
            "minilm-v2",
            "minilmv2",
            "[MiniLMv2](https://arxiv.org/abs/2012.15828)",
            "2002.10957",
        ),
        (
            "minilm-v1",
            "minilm",
            "[MiniLM](https://arxiv.org/abs/2002.10957)",
            "2012.15828",
        ),
    ] {
        let set = format!("objective={objective}");
        scene.distill(&["--overwrite", "--set", &set]).done();
        let card = scene.text("student/README.md");
        assert!(
            card.contains(&format!("- distillation\n- {tag}\n- limbeck\n")),
            "{card}"
        );
        assert!(
            card.contains(&format!("by the method of {paper} (Wang et al. ")),
            "{card}"
        );
        assert!(!card.contains(other), "{card}");
    }
}
