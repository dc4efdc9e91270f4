//! Recipes: what is read from where, and that every mistake is told.

use serde_json::Value;

use crate::scene::Scene;

const FIELDS: &str = "`teacher`, `teacher_layer`, `student`, `relation_heads`, `pairs`, `tap`, `objective`, `output`, `corpus`, `corpus_field`, \
                      `corpus_pairs`, `corpus_weights`, `heldout`, `max_length`, `batch`, `accumulate`, `steps`, `assistant_steps`, `learning_rate`, `warmup`, `weight_decay`, `beta1`, `beta2`, \
                      `epsilon`, `clip`, `seed`, `shuffle`, `checkpoint_every`, `device`, `kernel`, `compute`, `precision`, `out`";

/// A recipe with this mistake must be refused as wrong use, with this as the only mistake.
#[track_caller]
fn mistaken(settings: &[&str], mistake: &str) {
    let flags: Vec<&str> = settings
        .iter()
        .flat_map(|setting| ["--set", setting])
        .collect();
    let message = format!("the recipe has a mistake:\n  {mistake}");
    Scene::new().distill(&flags).refused(2, &message);
}

/// The recipe that a run says it follows.
#[track_caller]
fn followed(scene: &Scene, flags: &[&str]) -> Value {
    let outcome = scene.distill(&[&["--json"], flags].concat()).done();
    outcome.events("start")[0]["recipe"].clone()
}

#[test]
fn flags_and_settings_win_over_the_file() {
    let scene = Scene::new();
    let flags = [
        "--out",
        "other",
        "--set",
        "student.layers=2",
        "--set",
        "steps=1",
        "--set",
        "precision=f16",
    ];
    let recipe = followed(&scene, &flags);
    assert_eq!(
        recipe["student"],
        serde_json::json!({ "layers": 2, "hidden": 12, "heads": 3, "dropout": 0.0, "init": "teacher" })
    );
    let fields = ["out", "steps", "precision", "batch"].map(|field| recipe[field].clone());
    assert_eq!(
        fields,
        // As the folder that it makes has it.
        [".".into(), 1.into(), "f16".into(), Value::from(4)]
    );
    assert_eq!(scene.json("other/config.json")["num_hidden_layers"], 2);
}

#[test]
fn a_run_needs_no_file() {
    let scene = Scene::new();
    let flags = [
        "distill",
        "--teacher",
        "teacher",
        "--corpus",
        "*.txt",
        "--device",
        "cpu",
    ];
    let settings = [
        "--set",
        "max_length=16",
        "--set",
        "steps=1",
        "--set",
        "batch=2",
        "--set",
        "student.hidden=12",
        "--set",
        "student.layers=1",
    ];
    scene.run(&[&flags[..], &settings].concat()).done();
    assert_eq!(scene.json("student/config.json")["hidden_size"], 12);
}

#[test]
fn the_recipe_of_a_student_makes_the_same_student() {
    let scene = Scene::new();
    scene
        .distill(&[
            "--set",
            "pairs={ qk = 2, vv = 0.5 }",
            "--set",
            "student.dropout=0",
        ])
        .done();
    scene
        .run(&[
            "distill",
            "--config",
            "student/recipe.toml",
            "--out",
            "again",
        ])
        .done();
    for file in ["metrics.jsonl", "model.safetensors", "config.json"] {
        assert_eq!(
            scene.read(&format!("again/{file}")),
            scene.read(&format!("student/{file}")),
            "{file}"
        );
    }
}

#[test]
fn no_teacher_is_wrong_use() {
    let scene = Scene::new();
    let message = "no teacher: name its folder, or its id on the Hugging Face hub, with --teacher, or `teacher` in the recipe";
    scene
        .run(&["distill", "--corpus", "corpus.txt"])
        .refused(2, message);
    scene.write("empty.toml", "");
    scene
        .run(&["config", "check", "empty.toml"])
        .refused(2, message);
}

#[test]
fn an_unknown_field_is_refused_with_those_there_are() {
    let scene = Scene::new();
    let reason = format!("unknown field `stpes`, expected one of {FIELDS}");
    scene
        .run(&["distill", "--set", "stpes=1"])
        .refused(2, &format!("the recipe: {reason}"));
    scene.write("typo.toml", "stpes = 1\n");
    scene
        .run(&["distill", "--config", "typo.toml"])
        .refused(2, &format!("typo.toml: {reason}"));
    scene
        .run(&["config", "check", "typo.toml"])
        .refused(2, &format!("typo.toml: {reason}"));
}

#[test]
fn a_setting_of_the_wrong_type_is_refused() {
    let scene = Scene::new();
    for (setting, reason) in [
        (
            "steps=many",
            "`steps`: expected a whole number, 0 or more, found \"many\"",
        ),
        (
            "seed=18446744073709551615",
            "`seed`: expected a whole number up to 9223372036854775807, found 18446744073709551615",
        ),
        ("student=3", "`student`: expected a table, found 3"),
        (
            "objective=v3",
            "`objective`: unknown variant `v3`, expected `minilm-v2` or `minilm-v1`",
        ),
    ] {
        scene
            .run(&["distill", "--set", setting])
            .refused(2, &format!("the recipe: {reason}"));
    }
    scene.write(
        "large.toml",
        "teacher = \"teacher\"\nseed = 18446744073709551615\n",
    );
    let outcome = scene.run(&["config", "check", "large.toml"]);
    let start = "limbeck: large.toml, line 2, column 8: this number is too large\n";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
}

#[test]
fn a_setting_below_a_value_is_refused() {
    let flags = ["distill", "--set", "steps=3", "--set", "steps.more=1"];
    Scene::new()
        .run(&flags)
        .refused(2, "--set steps.more: `steps` is not a table");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let scene = Scene::new();
    let misused = |arguments: &[&str], message: &str| scene.run(arguments).misused(message);
    misused(
        &["distill", "--set", "steps"],
        "invalid value 'steps' for '--set <KEY=VALUE>': `steps` is not key=value",
    );
    misused(
        &["distill", "--device", "tpu"],
        "invalid value 'tpu' for '--device <DEVICE>': `tpu` is not auto, cpu or gpu",
    );
    misused(
        &[
            "distill", "--resume", "--out", "student", "--config", "a.toml",
        ],
        "the argument '--resume' cannot be used with '--config <FILE>'",
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_at_the_place() {
    let scene = Scene::new();
    for (text, message) in [
        (
            "batch = 4\nsteps = \n",
            "broken.toml, line 2, column 9: a value is missing behind the =\n  2 | steps =\n    |         ^",
        ),
        (
            "\u{feff}teacher = \"a\r\nsteps = 3\r\n",
            "broken.toml, line 1, column 13: a text in quotes has no closing quote in its line\n  1 | teacher = \"a\n    |             ^",
        ),
        (
            "[student]\nlayers = 1\n\n[student]\nhidden = 12\n",
            "broken.toml, line 4, column 2: `student` stands here for the second time, after line 1: remove one of the two\n  4 | \
             [student]\n    |  ^",
        ),
        (
            "teacher = \"C:\\models\"\n",
            "broken.toml, line 1, column 15: in double quotes a backslash begins an escape, and \\m is none: write \\\\ for a backslash, \
             or put the text in single quotes\n  1 | teacher = \"C:\\models\"\n    |               ^",
        ),
        (
            "steps = 3\0\n",
            "broken.toml, line 1, column 9: the control character U+0000 stands here, which no text file needs: remove it\n  1 | steps \
             = 3\u{2400}\n    |         ^",
        ),
    ] {
        scene.write("broken.toml", text);
        for command in [
            &["distill", "--config", "broken.toml"][..],
            &["config", "check", "broken.toml"],
        ] {
            scene.run(command).refused(2, message);
        }
    }
    let utf_16: Vec<u8> = "\u{feff}steps = 3\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    scene.write("broken.toml", utf_16);
    scene.run(&["config", "check", "broken.toml"]).refused(
        2,
        "broken.toml is UTF-16, and TOML must be UTF-8. Save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
    );
}

#[test]
fn a_recipe_that_is_not_there_is_refused() {
    let message = "cannot read nowhere.toml: No such file or directory (os error 2)";
    Scene::new()
        .run(&["distill", "--config", "nowhere.toml"])
        .refused(1, message);
}

#[test]
fn relation_heads_must_divide_both_hidden_sizes() {
    mistaken(
        &["relation_heads=8"],
        "relation_heads: 8 relation heads do not divide both hidden sizes, 12 (student) and 24 (teacher); these do: \
         [1, 2, 3, 4, 6, 12]",
    );
}

#[test]
fn attention_heads_must_divide_the_hidden_size() {
    mistaken(
        &["student.heads=5"],
        "student.heads: 5 attention heads do not divide the hidden size 12; these do: [1, 2, 3, 4, 6, 12]",
    );
}

#[test]
fn mixed_precision_needs_kernels_and_a_gpu() {
    mistaken(
        &["compute=mixed", "kernel=naive"],
        "compute: `mixed` has no plain tensor operations; set kernel to `fused`, or leave compute out",
    );
    let said = |setting: &str| {
        let outcome = Scene::new().distill(&["--json", "--device", "cpu", "--set", setting]);
        outcome.done().events("start")[0]["teacher_computed"].clone()
    };
    let no_effect = "in f32: compute = \"mixed\" has no effect on the CPU";
    assert_eq!(said("compute=mixed"), no_effect);
    assert_eq!(said("compute=auto"), Value::Null);
}

#[test]
fn a_layer_must_exist() {
    mistaken(
        &["teacher_layer=3"],
        "teacher_layer: layer 3 does not exist: the teacher has layers 1 to 2",
    );
    mistaken(
        &["teacher_layer=0"],
        "teacher_layer: layer 0 does not exist: the teacher has layers 1 to 2",
    );
}

#[test]
fn a_student_starts_from_layers_that_exist() {
    mistaken(
        &["student.from_layers=[3]"],
        "student.from_layers: layer 3 does not exist: the teacher has layers 1 to 2",
    );
    mistaken(
        &["student.init=random", "student.from_layers=[1]"],
        "student.from_layers: student.init is `random`, which takes nothing from the teacher's layers; leave from_layers \
         out, or set init to `teacher`",
    );
}

#[test]
fn sequences_must_fit_the_teacher() {
    mistaken(
        &["max_length=41"],
        "max_length: must be 3 to 40 (the teacher's positions), not 41",
    );
}

#[test]
fn pairs_must_be_pairs_with_weight() {
    mistaken(
        &["pairs={ xy = 1 , qq = 1 }"],
        "pairs: `xy` is not a pair; the nine pairs are qq, qk, qv, kq, kk, kv, vq, vk, vv",
    );
    mistaken(&["pairs={ qq = 0 }"], "pairs: no pair has a weight above 0");
    mistaken(
        &["pairs={ qq = -1, kk = 1 }"],
        "pairs: the weight of qq must be 0 or more, not -1",
    );
}

#[test]
fn minilm_v1_compares_equal_attention_heads_of_the_last_layer() {
    let v1 = "objective=minilm-v1";
    mistaken(
        &[v1, "student.heads=4"],
        "student.heads: minilm-v1 compares attention heads one by one: the teacher has 3, the student 4; make them equal \
         or use minilm-v2",
    );
    mistaken(
        &[v1, "teacher_layer=1"],
        "teacher_layer: minilm-v1 uses the last layer, 2; omit teacher_layer or use minilm-v2",
    );
    mistaken(
        &[v1, "pairs={ qq = 1 }"],
        "pairs: minilm-v1 compares Q-K and V-V; omit pairs or use minilm-v2",
    );
}

#[test]
fn mistakes_of_the_output_stage_are_told() {
    for share in ["-0.1", "1.5", "nan"] {
        let told = share.replace("nan", "NaN");
        mistaken(
            &[&format!("output.share={share}")],
            &format!("output.share: must be from 0 (no output stage) to 1, not {told}"),
        );
    }
    mistaken(&["output.l2=-1"], "output.l2: must be 0 or more, not -1");
    mistaken(
        &["output.cosine=0"],
        "output.share: no part of the output stage has a weight above 0; give one to output.cosine, or set the share to 0",
    );
}

#[test]
fn check_lists_every_mistake_at_once() {
    let scene = Scene::new();
    let text = "teacher = 'teacher'\nmax_length = 50\nlearning_rate = nan\nheldout = 0.9\nwarmup = 5000\nteacher_layer = 7\n\
                [student]\nhidden = 12\nheads = 5\n";
    scene.write("mistakes.toml", text);
    let message = "the recipe has 8 mistakes:\
        \n  corpus: no file or glob given\
        \n  max_length: must be 3 to 40 (the teacher's positions), not 50\
        \n  learning_rate: must be above 0, not NaN\
        \n  heldout: must be from 0 to 0.5, not 0.9\
        \n  student.heads: 5 attention heads do not divide the hidden size 12; these do: [1, 2, 3, 4, 6, 12]\
        \n  teacher_layer: layer 7 does not exist: the teacher has layers 1 to 2\
        \n  student.layers: 3 is more than the teacher's 2, and the student starts from the teacher; take at most 2, or set \
        student.init to `random`\
        \n  warmup: a warm-up of 5000 steps is longer than the run of 1000";
    scene
        .run(&["config", "check", "mistakes.toml"])
        .refused(2, message);
}

/// The pooling is the teacher's, as in the run; and only `init` gives way to a table.
#[test]
fn check_and_set_take_a_recipe_at_its_word() {
    let scene = Scene::new();
    scene.copy_golden("sentence/cls", "teacher");
    let told = scene.run(&["config", "check", "recipe.toml"]).done().stdout;
    assert!(told.contains("from step 1, cls pooling\n"), "{told}");
    scene
        .run(&["distill", "--config", "recipe.toml", "--set", "teacher.x=1"])
        .refused(2, "--set teacher.x: `teacher` is not a table");
}

#[test]
fn check_tells_what_a_run_would_do() {
    let outcome = Scene::new().run(&["config", "check", "recipe.toml"]).done();
    for line in [
        "Teacher layer    2 of 2",
        "Start            layer 2 of the teacher, 12 of 24 columns",
        "Pairs            Q-Q, K-K, V-V",
        "Relation heads   12",
        "Output stage     relations, 10 x cosine from step 1, mean pooling",
        "Steps            3 of 4 sequences, up to 16 tokens",
    ] {
        assert!(
            outcome.stdout.lines().any(|found| found == line),
            "no `{line}` in\n{}",
            outcome.stdout
        );
    }
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_example_is_a_recipe() {
    let scene = Scene::new();
    let example = scene.run(&["config", "example"]).done().stdout;
    let example = example
        .replace("all-MiniLM-L6-v2", "teacher")
        .replace("texts/*.txt", "corpus.txt");
    // The teacher here is smaller than the one that the example names, and than the student.
    scene.write(
        "example.toml",
        example
            .replace("max_length = 128", "max_length = 40")
            .replace("init = \"teacher\"", "init = \"random\""),
    );
    scene.run(&["config", "check", "example.toml"]).done();
}

#[test]
fn the_schema_has_every_field_with_its_help() {
    let scene = Scene::new();
    let text = scene.run(&["config", "schema"]).done().stdout;
    let schema: Value = serde_json::from_str(&text).expect("a JSON Schema");
    let properties = schema["properties"].as_object().expect("fields");
    let mut known: Vec<&str> = FIELDS
        .split(", ")
        .map(|field| field.trim_matches('`'))
        .collect();
    known.sort_unstable();
    let mut found: Vec<&str> = properties.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, known);
    let silent = properties
        .iter()
        .find(|(_, field)| field["description"].as_str().is_none_or(str::is_empty));
    assert_eq!(silent, None, "a field without help");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_schema_has_every_field_of_the_example() {
    let scene = Scene::new();
    let schema: Value = serde_json::from_str(&scene.run(&["config", "schema"]).done().stdout)
        .expect("a JSON Schema");
    let example: toml::Table = scene
        .run(&["config", "example"])
        .done()
        .stdout
        .parse()
        .expect("TOML");
    assert!(example.len() > 15, "{example:?}");
    for (field, value) in &example {
        let default = &schema["properties"][field]["default"];
        let given = ["teacher", "corpus"].contains(&field.as_str());
        assert!(
            given || *default == serde_json::json!(value),
            "{field}: {default} in the schema, {value} in the example"
        );
    }
}

#[test]
fn the_version_names_the_program() {
    let version = Scene::new().run(&["--version"]).done().stdout;
    assert!(version.starts_with("limbeck 0."), "{version}");
}

/// The recipes that come with limbeck are listed and printed, and a run starts from one; what is none of them is refused
/// with their names.
#[test]
fn recipes_have_names() {
    let scene = Scene::new();
    let list = scene.run(&["recipes"]).done().stdout;
    assert!(
        list.starts_with("quick ") && list.lines().count() == 10,
        "{list}"
    );
    let printed = scene.run(&["recipes", "paper-6x384-base"]).done().stdout;
    assert!(
        printed.starts_with("# The paper's student of 6 x 384"),
        "{printed}"
    );
    assert!(printed.contains("\nwarmup = 4000\n"), "{printed}");
    let flags = [
        "distill",
        "--recipe",
        "quick",
        "--teacher",
        "teacher",
        "--corpus",
        "corpus.txt",
        "--json",
        "--device",
        "cpu",
    ];
    let smaller = [
        "student.layers=1",
        "student.hidden=12",
        "student.heads=3",
        "max_length=16",
        "steps=1",
    ];
    let smaller: Vec<&str> = smaller.iter().flat_map(|field| ["--set", field]).collect();
    let recipe = scene
        .run(&[&flags[..], &smaller].concat())
        .done()
        .events("start")[0]["recipe"]
        .clone();
    let fields = ["learning_rate", "checkpoint_every", "steps"].map(|field| recipe[field].as_f64());
    assert_eq!(fields, [Some(6e-4), Some(100.0), Some(1.0)]);
    let message = "there is no recipe `quickest`; these come with limbeck: quick, paper-6x384-base, paper-6x768-base, \
                   paper-6x384-large, paper-12x384-large, multilingual-6x384, multilingual-12x384, multilingual-6x768, v1, \
                   v1-assistant";
    scene
        .run(&["distill", "--recipe", "quickest"])
        .refused(2, message);
}

/// What a run takes is known before it takes it: an allocation that fails would abort without a word.
#[cfg(target_os = "linux")]
#[test]
fn a_run_beyond_the_memory_is_refused_with_what_to_lower() {
    for (sets, field, message) in [
        (
            &["student.hidden=8192", "student.heads=8"][..],
            "student.hidden",
            "Lower student.hidden (now 8192): it is what most of that is for",
        ),
        (
            &["batch=65536", "max_length=40"],
            "batch",
            "Lower batch (now 65536): it is what most of that is for",
        ),
    ] {
        let scene = Scene::new();
        let mut flags = vec![
            "distill",
            "--config",
            "recipe.toml",
            "--set",
            "student.init=random",
        ];
        flags.extend(sets.iter().flat_map(|set| ["--set", set]));
        let outcome = scene.run_within(3_000_000, &flags);
        let start = format!("limbeck: the recipe has a mistake:\n  {field}: a run takes about ");
        let told = outcome.stderr.trim_end();
        assert!(
            told.starts_with(&start) && told.ends_with(message),
            "{told}"
        );
        assert!(
            told.contains(" GB of memory, and ") && told.contains(" GB are free here."),
            "{told}"
        );
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
        assert!(!scene.path("student").exists());
    }
}

/// A tensor is one buffer, and what a GPU puts into one is limited.
#[cfg(feature = "gpu")]
#[test]
fn a_tensor_beyond_the_buffers_of_a_gpu_is_refused_with_what_to_lower() {
    let scene = Scene::new();
    let sets = "batch=65536 max_length=40 student.init=random student.ffn=65536";
    let mut flags = vec!["--device", "gpu"];
    flags.extend(sets.split(' ').flat_map(|set| ["--set", set]));
    let outcome = scene.distill(&flags);
    let told = &outcome.stderr;
    let figures = "the values of one batch in a layer of the student take 1374 GB, and a buffer of this GPU holds ";
    assert!(told.contains(figures), "{told}");
    assert!(told.contains("B. Lower "), "{told}");
    assert_eq!(outcome.code, Some(2), "{told}");
    assert!(!scene.path("student").exists());
}
