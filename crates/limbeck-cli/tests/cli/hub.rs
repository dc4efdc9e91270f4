//! Models that are named by their ids on the hub. What becomes of a download that goes wrong is tested in limbeck-hub.

use std::process::Command;
use std::time::{Duration, Instant};

use limbeck_recipe::file_size;

use crate::running::Running;
use crate::scene::{Outcome, Scene, golden_folder};
use crate::server::{COMMIT, MODEL, Server, Way};

const TOKEN: &str = "hf_SecretOfAPerson";

/// A scene, and a hub with the tiny teacher.
fn scene() -> (Scene, Server) {
    let golden = golden_folder().join("tiny-bert");
    (Scene::new(), Server::of(&[&golden]))
}

/// The program, with that hub and a cache of its own.
fn command(scene: &Scene, server: &Server, arguments: &[&str]) -> Command {
    let mut command = scene.command(arguments);
    set_hub(&mut command, scene, server);
    command
}

/// Gives a program that hub, and a cache of its own.
pub fn set_hub(command: &mut Command, scene: &Scene, server: &Server) {
    for name in [
        "HF_HUB_CACHE",
        "HF_TOKEN_PATH",
        "http_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", server.endpoint())
        .env("HF_HOME", scene.path("hf"))
        .env("HF_TOKEN", TOKEN);
}

#[track_caller]
fn outcome(mut command: Command) -> Outcome {
    let outcome: Outcome = command.output().expect("starting limbeck").into();
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(TOKEN), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    outcome
}

#[track_caller]
fn run(scene: &Scene, server: &Server, arguments: &[&str]) -> Outcome {
    outcome(command(scene, server, arguments))
}

/// The same with what the cache has; the hub is asked nothing.
#[track_caller]
fn offline(scene: &Scene, server: &Server, arguments: &[&str]) -> Outcome {
    server.seen();
    let mut command = command(scene, server, arguments);
    command.env("HF_HUB_OFFLINE", "1");
    let outcome = outcome(command);
    assert_eq!(server.seen().len(), 0, "{outcome:?}");
    outcome
}

fn pinned() -> String {
    format!("{MODEL}@{COMMIT}")
}

#[test]
fn a_student_of_a_model_on_the_hub_names_it_with_its_commit() {
    let (scene, server) = scene();
    let distill = [
        "distill",
        "--config",
        "recipe.toml",
        "--teacher",
        MODEL,
        "--out",
        "deep/student",
        "--json",
    ];
    let told = run(&scene, &server, &distill).done();
    let files = "config.json model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json vocab.txt";
    let bytes: usize = files.split(' ').map(|file| server.file(file).len()).sum();
    let first = format!(
        "downloading {}: 6 files, {}, into {}\n",
        pinned(),
        file_size(bytes as u64),
        scene.path("hf/hub").display()
    );
    assert!(told.stderr.starts_with(&first), "{told:?}");
    let recipe = scene.text("deep/student/recipe.toml");
    assert!(
        recipe.contains(&format!("teacher = \"{}\"\n", pinned())),
        "{recipe}"
    );
    let card = scene.text("deep/student/README.md");
    assert!(
        card.contains(&format!("base_model: {MODEL}\n"))
            && card.contains(&format!("| Teacher | {}, 2 layers", pinned())),
        "{card}"
    );
    for file in scene.files("deep/student") {
        let bytes = scene.read(&format!("deep/student/{file}"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(TOKEN) && !text.contains("/hf/"), "{file}");
    }
    // A longer run finds it again, and so does a new one with the recipe.
    let resume = [
        "distill",
        "--out",
        "deep/student",
        "--resume",
        "--set",
        "steps=5",
    ];
    offline(&scene, &server, &resume).done();
    assert_eq!(scene.steps("deep/student/metrics.jsonl").len(), 5);
    let again = [
        "distill",
        "--config",
        "deep/student/recipe.toml",
        "--out",
        "again",
    ];
    offline(&scene, &server, &again).done();
    // As a folder, it makes the same student.
    run(
        &scene,
        &server,
        &[
            "distill",
            "--config",
            "recipe.toml",
            "--out",
            "of-folder",
            "--set",
            "steps=5",
        ],
    )
    .done();
    let weights = |folder: &str| scene.read(&format!("{folder}/model.safetensors"));
    assert!(weights("of-folder") == weights("again"), "another student");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_run_with_an_assistant_needs_the_hub_until_the_assistant_teaches() {
    let (scene, server) = scene();
    let flags = [
        "--set",
        "assistant_steps=2",
        "--set",
        "student.init=random",
        "--teacher",
        MODEL,
        "--json",
        "--set",
    ];
    let distill = [&["distill", "--config", "recipe.toml"], &flags[..]].concat();
    let mut going = Running::start(command(
        &scene,
        &server,
        &[&distill[..], &["steps=400"]].concat(),
    ));
    going.until("step", 3);
    going.signal("-INT");
    going.until("stopped", 3);
    assert_eq!(going.end().code, Some(1));
    let recipe = scene.text("student/assistant/recipe.toml");
    assert!(recipe.contains(&pinned()), "{recipe}");
    std::fs::remove_dir_all(scene.path("hf")).expect("the cache");
    offline(
        &scene,
        &server,
        &["distill", "--out", "student", "--resume"],
    )
    .done();
    assert!(scene.text("student/recipe.toml").contains(&pinned()));
}

#[test]
fn an_id_in_a_recipe_is_no_path_from_there() {
    let (scene, server) = scene();
    let recipe = scene
        .text("recipe.toml")
        .replace("\"teacher\"", "\"golden/tiny\"");
    scene.write(
        "runs/recipe.toml",
        recipe.replace("corpus.txt", "../corpus.txt"),
    );
    let check = ["config", "check", "runs/recipe.toml"];
    let text = run(&scene, &server, &check).done().stdout;
    assert!(text.contains(&format!("{}, 2 layers", pinned())), "{text}");
    // A folder of that name where the program is started is not meant.
    scene.copy_golden("tiny-xlmr", MODEL);
    let text = offline(&scene, &server, &check).done().stdout;
    assert!(text.contains(&format!("{}, 2 layers", pinned())), "{text}");
    // One beside the recipe is.
    scene.copy_golden("tiny-bert", "runs/golden/tiny");
    let text = offline(&scene, &server, &check).done().stdout;
    assert!(
        text.contains("tiny, 2 layers") && !text.contains(COMMIT),
        "{text}"
    );
}

#[test]
fn every_command_takes_an_id() {
    let (scene, server) = scene();
    let text = run(&scene, &server, &["inspect", MODEL]).done();
    assert_eq!(
        text.stdout,
        scene.run(&["inspect", "teacher"]).done().stdout
    );
    scene.distill(&[]).done();
    scene.write("sts.tsv", "sentence1\tsentence2\tscore\nthe model\ttwo heads\t1\none word\tall words\t2\nthe head\tone token\t3\n");
    let vector = |model: &str| {
        let encode = ["encode", "--device", "cpu", "--model", model, "corpus.txt"];
        offline(&scene, &server, &encode).done().stdout
    };
    assert_eq!(vector(&format!("{MODEL}@main")), vector("teacher"));
    let relations = [
        "relations",
        "--device",
        "cpu",
        "--teacher",
        MODEL,
        "--student",
        "student",
        "--text",
        "the model",
        "-o",
        "maps.html",
    ];
    offline(&scene, &server, &relations).done();
    assert!(scene.text("maps.html").contains(&pinned()));
    let evaluate = [
        "evaluate", "--device", "cpu", "--csv", "--models", MODEL, "student", "--tasks", "sts.tsv",
    ];
    let text = offline(&scene, &server, &evaluate).done().stdout;
    assert!(text.contains(&pinned()), "{text}");
}

#[test]
fn every_command_that_writes_a_model_takes_an_id() {
    let (scene, server) = scene();
    run(&scene, &server, &["inspect", MODEL]).done();
    scene.write(
        "train.tsv",
        "text\tlabel\nthe model\ta\none word\tb\ntwo heads\ta\nall words\tb\n",
    );
    let finetune = [
        "finetune",
        "--device",
        "cpu",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--model",
        MODEL,
        "--train",
        "train.tsv",
        "--dev",
        "train.tsv",
        "--out",
        "tuned",
    ];
    offline(&scene, &server, &finetune).done();
    assert_eq!(scene.json("tuned/results.json")["model"], pinned());
    let baseline = [
        "baseline",
        "--config",
        "recipe.toml",
        "--teacher",
        MODEL,
        "--out",
        "copied",
    ];
    offline(&scene, &server, &baseline).done();
    assert!(scene.text("copied/README.md").contains(&pinned()));
    offline(
        &scene,
        &server,
        &[
            "export",
            "--model",
            MODEL,
            "--formats",
            "f32",
            "--out",
            "onnx",
        ],
    )
    .done();
    assert!(scene.path("onnx/model.onnx").exists());
    // Where a student starts, too.
    let folder = format!("student.init.folder={MODEL}");
    let start = [
        "distill",
        "--config",
        "recipe.toml",
        "--out",
        "started",
        "--set",
        &folder,
        "--set",
        "student.layers=2",
        "--set",
        "student.hidden=24",
        "--set",
        "student.heads=3",
    ];
    offline(&scene, &server, &start).done();
    let recipe = scene.text("started/recipe.toml");
    assert!(
        recipe.contains(&format!("folder = \"{}\"", pinned())),
        "{recipe}"
    );
}

#[test]
fn an_export_is_refused_before_a_download() {
    let (scene, server) = scene();
    let export = ["export", "--model", MODEL, "--formats", "f32"];
    run(&scene, &server, &export).refused(
        2,
        &format!(
            "{MODEL} is a model on the hub, and limbeck exports nothing into the hub's cache: name a folder with --out"
        ),
    );
    scene.write("onnx/model.onnx", "mine");
    let into = [&export[..], &["--out", "onnx"]].concat();
    run(&scene, &server, &into).refused(
        2,
        "onnx/model.onnx is there already: overwrite it with --overwrite, or name another folder with --out",
    );
    assert_eq!(server.seen().len(), 0);
}

/// A recipe names what is beside it; where nothing is, the message says where it was looked for.
#[test]
fn a_name_that_is_neither_a_folder_nor_a_model_says_where_it_was_looked_for() {
    let (scene, server) = scene();
    let host = server.endpoint();
    let host = host.trim_start_matches("http://");
    let text = scene
        .text("recipe.toml")
        .replace("corpus.txt", "../corpus.txt");
    let message = |folder: &str| {
        format!(
            "there is no folder {folder}, so models/small was taken for a model on the Hugging Face hub: {host} has no model \
             models/small: check the name on its page there, or name a folder with the model's files"
        )
    };
    let of_teacher = text.replace("\"teacher\"", "\"models/small\"");
    scene.write("runs/recipe.toml", of_teacher);
    for command in [
        &["config", "check", "runs/recipe.toml"][..],
        &["distill", "--config", "runs/recipe.toml"],
        &[
            "baseline",
            "--config",
            "runs/recipe.toml",
            "--out",
            "copied",
        ],
    ] {
        run(&scene, &server, command).refused(1, &message("runs/models/small"));
    }
    let of_start = text.replace("\"teacher\"", "\"../teacher\"");
    let init = "init = { folder = \"models/small\" }";
    scene.write("runs/recipe.toml", format!("{of_start}{init}\n"));
    let check = ["config", "check", "runs/recipe.toml"];
    run(&scene, &server, &check).refused(1, &message("runs/models/small"));
    // Flags are not of the recipe.
    let flag = ["distill", "--config", "recipe.toml", "--teacher"];
    let flag = [&flag[..], &["models/small"]].concat();
    run(&scene, &server, &flag).refused(1, &message("models/small"));
    let outcome = offline(&scene, &server, &["inspect", "models/small"]);
    let start = "limbeck: there is no folder models/small, so models/small was taken for a model on the Hugging Face hub: no \
                 complete copy of models/small is in the cache ";
    assert!(outcome.stderr.starts_with(start), "{outcome:?}");
}

/// A cache as Python leaves it that was asked for three files only.
#[test]
fn a_cache_without_modules_says_how_it_pools() {
    let (scene, server) = scene();
    let cache = "hf/hub/models--golden--tiny";
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let place = format!("{cache}/snapshots/{COMMIT}/{file}");
        scene.write(&place, server.file(file));
    }
    scene.write(&format!("{cache}/refs/main"), COMMIT);
    let encode = ["encode", "--device", "cpu", "--model", MODEL, "corpus.txt"];
    let told = offline(&scene, &server, &encode).done();
    let said = format!(
        "modules.json and tokenizer_config.json of {} cannot be found in the cache, and without the hub it is not known whether the \
         model has them. Without modules.json the vector of a text is the mean of its tokens'\n",
        pinned()
    );
    assert_eq!(told.stderr, said);
    // Where Python has noted that the model has none, there is nothing to say.
    for file in ["modules.json", "tokenizer_config.json"] {
        scene.write(&format!("{cache}/.no_exist/{COMMIT}/{file}"), "");
    }
    let told = offline(&scene, &server, &encode).done();
    assert_eq!(told.stderr, "");
}

#[test]
fn where_a_network_asks_to_log_in_the_cache_is_used_and_it_is_said() {
    let (scene, server) = scene();
    run(&scene, &server, &["inspect", MODEL]).done();
    server.misbehave("/api/", Way::Body("<!doctype html><form>"), 1);
    let told = run(&scene, &server, &["inspect", MODEL]).done();
    let said = format!(
        "using {} from the cache: the hub could not be asked for a newer version (a web page came instead, as where a network asks \
         to log in)\n",
        pinned()
    );
    assert_eq!(told.stderr, said);
}

#[test]
fn what_can_only_be_a_folder_is_not_looked_for_on_the_hub() {
    let (scene, server) = scene();
    for name in [
        "foo",
        "a/b/c",
        "./golden/tiny",
        "golden/tiny/",
        "elsewhere/tiny",
    ] {
        let what = "Name a Hugging Face model folder, with config.json, model.safetensors and tokenizer.json";
        run(&scene, &server, &["inspect", name])
            .refused(1, &format!("there is no folder {name}. {what}"));
    }
    scene.copy_golden("tiny-bert", MODEL);
    run(&scene, &server, &["inspect", MODEL]).done();
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_refusal_is_one_line_and_keeps_the_token() {
    let (scene, server) = scene();
    server.misbehave("/api/", Way::Status(401, ""), 9);
    for command in [
        &["inspect", MODEL, "--json"][..],
        &[
            "distill",
            "--config",
            "recipe.toml",
            "--teacher",
            MODEL,
            "--json",
        ],
    ] {
        let outcome = run(&scene, &server, command);
        outcome.refused(
            1,
            &format!(
                "there is no folder {MODEL}, so {MODEL} was taken for a model on the Hugging Face hub: {} shows no model {MODEL} with \
                 the token in HF_TOKEN or the cache (status 401): check its name; if it is private or gated, set HF_TOKEN to a token that may read it",
                server.endpoint().trim_start_matches("http://")
            ),
        );
    }
    assert_eq!(server.seen()[0].token, Some(format!("Bearer {TOKEN}")));
    assert!(!scene.path("student").exists());
}

#[test]
fn what_stands_in_for_a_busy_hub_is_said() {
    let (scene, server) = scene();
    run(&scene, &server, &["inspect", MODEL]).done();
    server.misbehave("/api/", Way::Status(429, "Retry-After: 3600\r\n"), 1);
    let told = run(&scene, &server, &["inspect", MODEL]).done();
    let said = format!(
        "using {} from the cache: the hub could not be asked for a newer version (status 429)\n",
        pinned()
    );
    assert_eq!(told.stderr, said);
    // A commit never changes: nothing is asked, and nothing has to be said.
    server.seen();
    let told = run(&scene, &server, &["inspect", &pinned()]).done();
    assert_eq!((told.stderr.as_str(), server.seen().len()), ("", 0));
    // But what the cache has of it may not be all.
    let marks = scene.path(&format!("hf/hub/models--golden--tiny/.no_exist/{COMMIT}"));
    std::fs::remove_dir_all(marks).expect("what it has not");
    server.misbehave("/api/", Way::Status(429, "Retry-After: 3600\r\n"), 1);
    let told = run(&scene, &server, &["inspect", &pinned()]).done();
    let said = format!(
        "using {0} from the cache: the hub could not be asked (status 429)\nmodules.json of {0} cannot be found in the cache, and \
         without the hub it is not known whether the model has it. Without modules.json the vector of a text is the mean of its \
         tokens'\n",
        pinned()
    );
    assert_eq!(told.stderr, said);
}

/// Nothing of a run has begun, so there is nothing to save first.
#[test]
fn an_interrupt_ends_a_download_at_once_and_the_next_call_goes_on() {
    let (scene, server) = scene();
    server.misbehave("model.safetensors", Way::Stall(20_000), 1);
    let distill = [
        "distill",
        "--config",
        "recipe.toml",
        "--teacher",
        MODEL,
        "--json",
    ];
    let going = Running::start(command(&scene, &server, &distill));
    let part = scene
        .path("hf/hub/models--golden--tiny/blobs")
        .join(format!(
            "{}.incomplete",
            server.checksum("model.safetensors")
        ));
    let begun = Instant::now();
    while part.metadata().map_or(0, |part| part.len()) < 20_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no part");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    going.signal("-INT");
    assert_eq!(going.end().code, Some(1));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(!scene.path("student").exists());
    server.behave();
    let told = run(&scene, &server, &distill).done();
    let size = file_size(server.file("model.safetensors").len() as u64);
    let downloaded = told.stderr.split_once(&format!("1 file, {size}, "));
    let downloaded =
        downloaded.and_then(|(_, rest)| rest.split_once(" kB of it already downloaded"));
    let kilobytes = downloaded.and_then(|(kilobytes, _)| kilobytes.parse::<usize>().ok());
    assert!(kilobytes >= Some(20), "{told:?}");
    let mut ranges = server
        .seen()
        .into_iter()
        .filter_map(|request| request.range);
    assert!(
        ranges
            .next_back()
            .is_some_and(|range| range == "bytes=20000-")
    );
}
