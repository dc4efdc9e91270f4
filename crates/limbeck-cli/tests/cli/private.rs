//! What a folder that may be published says of the machine that made it: nothing.

use crate::running::Running;
use crate::scene::Scene;

/// Requires that no file of a folder holds one of the texts, in any byte.
#[track_caller]
fn holds_none(scene: &Scene, folder: &str, secrets: &[String]) {
    let files = scene.files(folder);
    assert!(files.len() > 5, "{folder}: {files:?}");
    for file in files {
        let bytes = scene.read(&format!("{folder}/{file}"));
        for secret in secrets {
            let is_there = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!is_there, "{folder}/{file} holds {secret}");
        }
    }
}

/// Every command that makes a folder is given absolute paths, and started by somebody with a name, from another folder.
#[test]
fn a_students_folder_tells_nothing_of_the_machine() {
    let scene = Scene::new();
    let name = "anna-of-the-secret-project";
    scene.write(&format!("{name}/here/empty"), "");
    scene.copy_golden("tiny-bert", &format!("{name}/own"));
    scene.write(&format!("{name}/texts/mine.txt"), scene.text("corpus.txt"));
    scene.write(
        "task.tsv",
        "sentence\tlabel\na word\tgood\nanother word\tbad\na third\tgood\nno word\tbad\n",
    );
    let top = scene.path("").canonicalize().expect("a folder");
    let top = top.display().to_string();
    let absolute = |path: &str| format!("{top}/{path}");
    let secrets = [
        top.clone(),
        top.trim_start_matches('/').to_owned(),
        name.to_owned(),
    ];
    let run = |arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.current_dir(scene.path(&format!("{name}/here")));
        let command = command.env("USER", name).env("HOME", absolute(name));
        let outcome = command.output().expect("starting limbeck");
        assert!(outcome.status.success(), "{arguments:?}: {outcome:?}");
    };
    let (recipe, out, teacher) = (
        absolute("recipe.toml"),
        absolute("out"),
        absolute("teacher"),
    );
    run(&[
        "distill",
        "--config",
        &recipe,
        "--teacher",
        &teacher,
        "--out",
        &out,
    ]);
    holds_none(&scene, "out", &secrets);
    // What lies in somebody's own folder has its name alone; with two stages, too.
    let (texts, own) = (
        absolute(&format!("{name}/texts/*.txt")),
        absolute(&format!("{name}/own")),
    );
    let stages = absolute("stages");
    run(&[
        "distill",
        "--config",
        &recipe,
        "--teacher",
        &own,
        "--corpus",
        &texts,
        "--out",
        &stages,
        "--set",
        "assistant_steps=2",
    ]);
    holds_none(&scene, "stages", &secrets);
    let left = scene.text("stages/recipe.toml");
    for named in [
        "teacher = \"elsewhere/own\"\n",
        "corpus = [\"elsewhere/*.txt\"]\n",
    ] {
        assert!(left.contains(named), "{left}");
    }
    let copied = absolute("copied");
    run(&[
        "baseline",
        "--config",
        &recipe,
        "--teacher",
        &own,
        "--out",
        &copied,
    ]);
    holds_none(&scene, "copied", &secrets);
    let (task, tuned) = (absolute("task.tsv"), absolute("tuned"));
    run(&[
        "finetune", "--model", &out, "--train", &task, "--dev", &task, "--out", &tuned, "--device",
        "cpu", "--epochs", "1",
    ]);
    holds_none(&scene, "tuned", &secrets);
}

/// Until its end a run knows where its inputs are, however little its recipe says.
#[test]
fn a_stopped_run_finds_what_its_recipe_does_not_name() {
    let scene = Scene::new();
    let home = scene.path("anna");
    scene.copy_golden("tiny-bert", "anna/own");
    let own = home.join("own").display().to_string();
    let start = |checkpoint_every: &str| {
        let (file, checkpoint_every) = (
            "recipe.toml",
            format!("checkpoint_every={checkpoint_every}"),
        );
        let mut start = scene.command(&[
            "distill",
            "--config",
            file,
            "--json",
            "--teacher",
            &own,
            "--set",
            "steps=400",
            "--set",
            &checkpoint_every,
        ]);
        start.env("HOME", &home);
        let mut run = Running::start(start);
        run.until("step", 3);
        run
    };
    // What is left of one that was killed before its first checkpoint is of no use, and in nobody's way.
    let run = start("1000");
    run.signal("-KILL");
    run.end();
    assert!(scene.files("student").contains(&"checkpoint.toml".into()));
    let mut run = start("50");
    run.signal("-INT");
    run.until("stopped", 3);
    run.end();
    let header =
        String::from_utf8_lossy(&scene.read("student/checkpoint.safetensors")).into_owned();
    assert!(header.contains("elsewhere/own") && !header.contains(&own));
    assert!(scene.text("student/checkpoint.toml").contains(&own));
    let mut resume = scene.command(&["distill", "--out", "student", "--resume"]);
    let outcome = resume
        .env("HOME", &home)
        .output()
        .expect("starting limbeck");
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(scene.steps("student/metrics.jsonl").len(), 400);
    holds_none(&scene, "student", &[own]);
}

/// The recipe that a run leaves makes the run again, from wherever it is started.
#[test]
fn the_recipe_of_a_student_makes_it_again() {
    let scene = Scene::new();
    scene.distill(&["--out", "deep/one"]).done();
    let recipe = scene.text("deep/one/recipe.toml");
    for named in [
        "teacher = \"../../teacher\"\n",
        "corpus = [\"../../corpus.txt\"]\n",
    ] {
        assert!(recipe.contains(named), "{recipe}");
    }
    let again = [
        "distill",
        "--config",
        "deep/one/recipe.toml",
        "--out",
        "again",
    ];
    scene.run(&again).done();
    for file in ["model.safetensors", "metrics.jsonl"] {
        assert!(
            scene.read(&format!("deep/one/{file}")) == scene.read(&format!("again/{file}")),
            "{file}"
        );
    }
}
