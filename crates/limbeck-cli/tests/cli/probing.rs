//! `limbeck layers`: what the layers of a teacher are like, what short runs from them come to, and what is refused.

use serde_json::Value;

use crate::scene::{Outcome, Scene, corpus};

/// The bundled teacher: 512 positions, 4 layers of 128.
const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/teacher");
const PAIRS: [[&str; 2]; 4] = [["qq", "Q-Q"], ["kk", "K-K"], ["vv", "V-V"], ["qk", "Q-K"]];

/// A scene with enough lines to hold some out.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("corpus.txt", corpus(200));
    scene
}

/// `limbeck layers` of the small recipe, with more flags.
fn layers(scene: &Scene, flags: &[&str]) -> Outcome {
    let recipe = ["layers", "--config", "recipe.toml", "--device", "cpu"];
    scene.run(&[&recipe, flags].concat())
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Once, however many layers are probed, and not where nothing is probed.
#[test]
fn mixed_precision_that_has_no_effect_is_said() {
    let scene = scene();
    let told = |flags: &[&str]| {
        let outcome = layers(&scene, &[&["--lines", "12"], flags].concat()).done();
        let line =
            "Teacher of the probes computed in f32: compute = \"mixed\" has no effect on the CPU";
        outcome.stderr.lines().filter(|told| *told == line).count()
    };
    assert_eq!(told(&["--set", "compute=mixed", "--probe", "1"]), 1);
    assert_eq!(told(&["--probe", "1"]), 0);
}

#[test]
fn entropy_and_kl_are_those_of_the_maps_that_relations_writes() {
    let scene = Scene::new();
    let text = "the teacher reads two words of all";
    // One text, again and again: its mean is itself.
    scene.write("corpus.txt", format!("{text}\n").repeat(12));
    let outcome = layers(&scene, &["--probe", "0", "--json", "found.json"]).done();
    let found = scene.json("found.json");
    assert_eq!(
        (&found["lines"], &found["usual_layer"]),
        (&12.into(), &2.into())
    );
    assert_eq!(
        (
            list(&found["layers"]).len(),
            list(&found["neighbours"]).len()
        ),
        (2, 1)
    );
    assert!(found["recommended"].is_null() && list(&found["probes"]).is_empty());
    let heads = found["relation_heads"].to_string();
    let models = ["relations", "--teacher", "teacher", "--student", "teacher"];
    let how = [
        "--layer",
        "1",
        "--student-layer",
        "2",
        "--pairs",
        "qq,kk,vv,qk",
    ];
    let rest = [
        "--device",
        "cpu",
        "--text",
        text,
        "--heads",
        &heads,
        "-o",
        "maps.json",
    ];
    scene.run(&[&models[..], &how, &rest].concat()).done();
    let maps = scene.json("maps.json");
    let ln_s = (list(&maps["tokens"]).len() as f64).ln();
    for [pair, _] in PAIRS {
        let of = |who: &str| -> Vec<Vec<f64>> {
            let heads = list(&maps["pairs"][pair][who]).iter();
            heads
                .flat_map(|head| list(head).iter().map(numbers))
                .collect()
        };
        for (layer, who) in ["teacher", "student"].into_iter().enumerate() {
            let rows = of(who);
            let term = |p: &f64| if *p > 0.0 { -p * p.ln() } else { 0.0 };
            let entropy = rows.iter().flatten().map(term).sum::<f64>() / rows.len() as f64;
            let cell = &found["layers"][layer];
            assert_eq!(cell["layer"], layer + 1);
            let (ours, share) = (
                number(&cell["entropy"][pair]),
                number(&cell["share_of_ln_s"][pair]),
            );
            assert!(
                (ours - entropy).abs() < 1e-4,
                "{pair} of {who}: {ours}, {entropy}"
            );
            assert!((share - ours / ln_s).abs() < 1e-9);
        }
        let kl: Vec<f64> = list(&maps["pairs"][pair]["kl"])
            .iter()
            .flat_map(numbers)
            .collect();
        let mean = kl.iter().sum::<f64>() / kl.len() as f64;
        let ours = number(&found["neighbours"][0]["kl"][pair]);
        assert!(
            (ours - mean).abs() < 1e-4 && ours > 1e-3,
            "{pair}: {ours}, {mean}"
        );
    }
    assert!(
        outcome
            .stdout
            .starts_with("Entropy of a row of the relations of teacher in nats")
    );
    assert!(outcome.stdout.contains("\nlayers  ") && outcome.stdout.contains("\n1 to 2  "));
    assert!(outcome.stdout.contains(
        "\nNo layer was probed, and entropy and KL alone do not say which teaches best: limbeck takes layer 2 unless told otherwise.\n"
    ));
    assert!(!outcome.stdout.contains("agreement"));
}

#[test]
fn a_probe_is_the_run_that_distill_takes() {
    let scene = scene();
    let flags = ["--probe", "3", "--lines", "256", "--json", "found.json"];
    layers(&scene, &flags).done();
    let found = scene.json("found.json");
    let (probes, count) = (list(&found["probes"]), number(&found["lines"]));
    assert_eq!((probes.len(), &found["steps"]), (2, &3.into()));
    assert!(count >= 10.0 && found["kind"] == "held-out lines");
    for probe in probes {
        let layer = format!("teacher_layer={}", probe["layer"]);
        let out = format!("student{}", probe["layer"]);
        let set = [
            "--set",
            &layer,
            "--set",
            "heldout=0.1",
            "--out",
            &out,
            "--json",
        ];
        let run = scene.distill(&set).done();
        let evaluated = run.events("evaluated");
        let after = evaluated.last().expect("an evaluation");
        for [key, name] in PAIRS {
            let part = match after["parts"].get(name) {
                Some(kl) => kl,
                None => &after["untrained"][name],
            };
            assert_eq!(&probe["kl_after"][key], part, "{name} of {layer}");
            assert!(number(&probe["kl_before"][key]) > 0.0);
        }
        let [low, high] = [0, 1].map(|end| number(&probe["interval"][end]));
        let [before, after] =
            ["before", "after"].map(|when| number(&probe[format!("agreement_{when}")]));
        assert!(
            -1.0 <= low && low <= after && after <= high && high <= 1.0,
            "{probe}"
        );
        assert_ne!(before, after);
    }
    let best = number(&found["recommended"]);
    assert!(best == 1.0 || best == 2.0);
    let sentence = found["conclusion"].as_str().expect("a sentence");
    assert!(
        sentence.contains(&format!("(teacher_layer = {best})")),
        "{sentence}"
    );
    assert!(
        sentence.contains("95 % interval") && sentence.contains("one seed"),
        "{sentence}"
    );
    // Nothing but the file that was asked for.
    assert!(!scene.path("student").exists());
}

#[test]
fn a_teacher_without_a_recipe_is_drawn_and_probed_in_all_of_its_four_layers() {
    let scene = scene();
    let what = [
        "layers",
        "--teacher",
        BUNDLED,
        "--corpus",
        "corpus.txt",
        "--device",
        "cpu",
    ];
    let how = ["--probe", "1", "--lines", "12", "--set", "batch=4"];
    let files = [
        "--html",
        "found.html",
        "--svg",
        "deep/found.svg",
        "--json",
        "found.json",
    ];
    let outcome = scene.run(&[&what[..], &how, &files].concat()).done();
    assert!(
        outcome
            .stdout
            .ends_with("found.json\nfound.html\ndeep/found.svg\n"),
        "{}",
        outcome.stdout
    );
    let found = scene.json("found.json");
    let student = &found["student"];
    assert_eq!(
        (&student["layers"], &student["hidden"]),
        (&3.into(), &128.into())
    );
    let probed: Vec<&Value> = list(&found["probes"])
        .iter()
        .map(|probe| &probe["layer"])
        .collect();
    assert_eq!(probed, [1, 2, 3, 4]);
    let [html, svg] = ["found.html", "deep/found.svg"].map(|name| scene.text(name));
    let sentence = found["conclusion"].as_str().expect("a sentence");
    assert!(html.contains(sentence) && svg.contains(sentence) && outcome.stdout.contains(sentence));
    assert!(
        sentence.contains(" after 1 step with one seed "),
        "{sentence}"
    );
    for name in ["1 to 2", "3 to 4", "Q-K"] {
        assert!(html.contains(name) && svg.contains(name), "{name}");
    }
    assert_eq!(html.matches("<table>").count(), 3);
    assert!(!html.contains("<script") && !html.contains("NaN") && !svg.contains("NaN"));
}

#[test]
fn layers_with_a_window_are_named_and_left_out() {
    let scene = scene();
    scene.copy_golden("tiny-modernbert", "teacher");
    let outcome = layers(
        &scene,
        &["--probe", "1", "--student", "1x12", "--json", "found.json"],
    )
    .done();
    let left_out = "; layers 2, 3 are left out: they attend to near tokens alone, and have no relations among all\n";
    assert!(outcome.stdout.contains(left_out), "{}", outcome.stdout);
    let found = scene.json("found.json");
    let of = |key: &str| -> Vec<f64> {
        list(&found[key])
            .iter()
            .map(|l| number(&l["layer"]))
            .collect()
    };
    assert_eq!(
        (of("layers"), of("probes")),
        (vec![1.0, 4.0], vec![1.0, 4.0])
    );
    assert_eq!(found["neighbours"][0]["layers"], serde_json::json!([1, 4]));
    layers(&scene, &["--layers", "1,3"]).refused(
        2,
        "layer 3 of the teacher attends to near tokens alone, so it has no relations among all tokens; these layers attend to all: [1, 4]",
    );
    let [all, near] = ["full_attention", "sliding_attention"];
    scene.set_config("layer_types", vec![all, near, all, all]);
    let one = layers(&scene, &["--probe", "0"]).done();
    let left_out =
        "; layer 2 is left out: it attends to near tokens alone, and has no relations among all\n";
    assert!(one.stdout.contains(left_out), "{}", one.stdout);
}

#[test]
fn one_layer_is_held_beside_no_other() {
    let scene = scene();
    let outcome = layers(&scene, &["--probe", "1", "--layers", "1,1"]).done();
    let sentence = "Layer 1 alone was probed, so there is no other to compare it with: limbeck takes layer 2 unless told otherwise.\n";
    assert!(outcome.stdout.ends_with(sentence), "{}", outcome.stdout);
}

#[test]
fn what_cannot_be_probed_is_refused_before_anything_is_computed() {
    let scene = scene();
    for (flags, message) in [
        (
            &["--layers", "2,9"][..],
            "layer 9 does not exist: the teacher has layers 1 to 2",
        ),
        (
            &["--layers", "2", "--probe", "0"],
            "--layers names the layers to probe, and --probe 0 probes none. Leave one of them out",
        ),
        (&["--lines", "9"], "--lines must be 10 or more, not 9"),
        (
            &["--json", "corpus.txt"],
            "the file corpus.txt already exists. Choose another with --json, or replace it with --overwrite",
        ),
        (
            &["--svg", "corpus.txt", "--overwrite"],
            "the file corpus.txt is one of those that are read. Choose another with --svg",
        ),
        (
            &["--html", "layers.svg", "--svg", "./layers.svg"],
            "--html and --svg both name the file ./layers.svg. Give each a name of its own",
        ),
        (
            &["--student", "1x48"],
            "the recipe has a mistake:\n  student.hidden: 48 is more than the teacher's 24, and the student starts from the teacher; \
             take at most 24, or set student.init to `random`",
        ),
    ] {
        layers(&scene, flags).refused(2, message);
    }
    layers(&scene, &["--student", "3by4"]).misused(
        "invalid value '3by4' for '--student <3x192>': `3by4` is not layers x hidden size, such as 3x192",
    );
    scene.write("corpus.txt", corpus(5));
    let few = layers(&scene, &[]);
    assert!(
        few.stderr.starts_with(
            "limbeck: a probe needs at least 10 held-out lines, and this corpus gives "
        )
    );
    assert_eq!((few.code, few.stdout.as_str()), (Some(2), ""));
    scene.write("corpus.txt", "");
    layers(&scene, &[]).refused(
        1,
        "empty corpus: no line of text in corpus.txt. Name files with one document per line",
    );
}

#[cfg(unix)]
#[test]
fn an_interrupt_prints_what_is_finished_and_writes_nothing() {
    use std::io::{BufRead, BufReader};

    use crate::running::Running;

    let scene = scene();
    let recipe = ["layers", "--config", "recipe.toml", "--device", "cpu"];
    let flags = ["--probe", "10000000", "--json", "found.json"];
    let mut run = Running::start(scene.command(&[&recipe[..], &flags].concat()));
    let stderr = run.child.stderr.take().expect("a piped output");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line == "probing layer 1"),
        "it ended without a probe"
    );
    run.signal("-INT");
    let said = lines.find(|line| line.starts_with("Stopped"));
    let expected = "Stopped: this is what was finished. No file was written";
    assert_eq!(said.as_deref(), Some(expected));
    let outcome = run.end();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stdout.starts_with("Entropy of a row"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.contains("No layer was probed"),
        "{}",
        outcome.stdout
    );
    assert!(!scene.path("found.json").exists());
}
