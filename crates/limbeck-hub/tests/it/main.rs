//! A hub that misbehaves, on this machine: what becomes of a download, of the cache, and what is said.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use limbeck_hub::{Event, Hub, HubError, Snapshot};
use limbeck_recipe::HubId;
use server::{COMMIT, MODEL, Server, Way};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const TOKEN: &str = "hf_SecretOfAPerson";

/// A hub, a cache, and variables.
struct Scene {
    server: Server,
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(name)
}

impl Scene {
    fn new() -> Self {
        Self::of(&["tiny-bert"])
    }

    fn of(goldens: &[&str]) -> Self {
        let goldens: Vec<PathBuf> = goldens.iter().map(|name| golden(name)).collect();
        let goldens: Vec<&Path> = goldens.iter().map(PathBuf::as_path).collect();
        let (server, folder) = (Server::of(&goldens), tempfile::tempdir().unwrap());
        let variables = BTreeMap::from([
            ("HF_ENDPOINT", server.endpoint()),
            ("HF_HOME", folder.path().display().to_string()),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "1".to_owned()),
        ]);
        Self {
            server,
            folder,
            variables,
        }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.variables.insert(name, value.to_owned());
    }

    /// Asks for a model, and gives what was told on the way.
    fn ask(&self, id: &str) -> (Result<Snapshot, HubError>, Vec<String>) {
        let hub = Hub::with(&|name| self.variables.get(name).cloned()).expect("variables");
        let id = HubId::parse(id).expect("an id");
        let mut told = Vec::new();
        let found = hub.model(&id, &mut |event| match event {
            Event::Reached(_) => {}
            event => told.push(format!("{event:?}")),
        });
        (found, told)
    }

    fn found(&self) -> Snapshot {
        self.ask(MODEL).0.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The sentence that says why there is no model; nothing may be in the cache under its name then.
    fn refused(&self) -> String {
        let error = self.ask(MODEL).0.expect_err("no model").to_string();
        assert!(!error.contains(TOKEN) && !error.contains('\n'), "{error}");
        assert!(!error.contains(". "), "more than one sentence: {error}");
        for file in self.cached() {
            let part = file.starts_with("blobs/") && file.ends_with(".incomplete");
            let link = self.in_cache(&file);
            if !part && file.starts_with("snapshots/") {
                let name = file.rsplit_once(COMMIT).unwrap().1.trim_start_matches('/');
                let there = fs::read(&link).expect("a link to a file");
                assert_eq!(there, self.server.file(name), "{file}");
            }
        }
        error
    }

    fn in_cache(&self, name: &str) -> PathBuf {
        let model = self.folder.path().join("hub/models--golden--tiny");
        model.join(name)
    }

    fn part(&self, file: &str) -> PathBuf {
        let sum = self.server.checksum(file);
        self.in_cache(&format!("blobs/{sum}.incomplete"))
    }

    fn blob(&self, file: &str) -> PathBuf {
        let sum = self.server.checksum(file);
        self.in_cache(&format!("blobs/{sum}"))
    }

    /// The files in the folder of the model.
    fn cached(&self) -> Vec<String> {
        fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                match entry.file_type().unwrap().is_dir() {
                    true => list(&entry.path(), &format!("{name}/"), files),
                    false => files.push(name),
                }
            }
        }
        let mut files = Vec::new();
        list(&self.in_cache(""), "", &mut files);
        files.sort();
        files
    }

    /// A cache as Python leaves it that was asked for these files.
    fn leave(&self, files: &[&str]) {
        for file in files {
            let place = self.in_cache(&format!("snapshots/{COMMIT}/{file}"));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, self.server.file(file)).unwrap();
        }
        fs::create_dir_all(self.in_cache("refs")).unwrap();
        fs::write(self.in_cache("refs/main"), COMMIT).unwrap();
    }

    /// Notes as huggingface_hub does that the model has no such file.
    fn mark(&self, file: &str) {
        let place = self.in_cache(&format!(".no_exist/{COMMIT}/{file}"));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, "").unwrap();
    }

    /// The paths of the requests so far.
    fn paths(&self) -> Vec<String> {
        self.server
            .seen()
            .into_iter()
            .map(|request| request.path)
            .collect()
    }
}

#[test]
fn what_limbeck_reads_is_downloaded_once_into_the_layout_of_huggingface_hub() {
    let scene = Scene::of(&["tiny-bert", "sentence/dense"]);
    let (found, told) = scene.ask(MODEL);
    let found = found.unwrap();
    assert_eq!(found.id.to_string(), format!("{MODEL}@{COMMIT}"));
    assert_eq!(found.unasked, None);
    let snapshot = format!("snapshots/{COMMIT}");
    assert_eq!(found.folder, scene.in_cache(&snapshot));
    let files = [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "3_Normalize/config.json",
        "config.json",
        "config_sentence_transformers.json",
        WEIGHTS,
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    let mut expected = vec!["refs/main".to_owned()];
    for file in files {
        let link = scene.in_cache(&format!("{snapshot}/{file}"));
        let up = if file.contains('/') {
            "../../../"
        } else {
            "../../"
        };
        let target = format!("{up}blobs/{}", scene.server.checksum(file));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(&target), "{file}");
        assert_eq!(fs::read(&link).unwrap(), scene.server.file(file), "{file}");
        expected.push(format!("{snapshot}/{file}"));
        expected.push(format!("blobs/{}", scene.server.checksum(file)));
    }
    expected.sort();
    expected.dedup();
    let marks = format!(".no_exist/{COMMIT}/");
    let (marked, there): (Vec<String>, Vec<String>) = scene
        .cached()
        .into_iter()
        .partition(|file| file.starts_with(&marks));
    assert_eq!(there, expected);
    // What it has not is noted where huggingface_hub notes it.
    for mark in &marked {
        assert!(!scene.server.has(&mark[marks.len()..]), "{mark}");
        assert_eq!(fs::read(scene.in_cache(mark)).unwrap(), b"", "{mark}");
    }
    for file in ["added_tokens.json", "1_Pooling/model.safetensors"] {
        assert!(marked.contains(&format!("{marks}{file}")), "{marked:?}");
    }
    assert_eq!(
        fs::read_to_string(scene.in_cache("refs/main")).unwrap(),
        COMMIT
    );
    let bytes: usize = files[..7]
        .iter()
        .chain(&files[8..])
        .map(|file| scene.server.file(file).len())
        .sum();
    assert!(
        told[0].contains("files: 12") && told[0].contains(&format!("bytes: {bytes}, from: 0")),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), "Done");

    scene.paths();
    let (again, told) = scene.ask(MODEL);
    assert_eq!(again.unwrap().folder, found.folder);
    assert_eq!(
        scene.paths(),
        [format!("/api/models/{MODEL}/revision/main?blobs=true")]
    );
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn shards_are_those_that_the_index_names() {
    let scene = Scene::new();
    let other = "f".repeat(40);
    scene.server.move_on(&other, |files| {
        let weights = files.remove(WEIGHTS).unwrap();
        files.insert("model-a.safetensors".into(), weights.clone());
        files.insert("model-b.safetensors".into(), weights[1..].to_vec());
        files.insert("model-c.safetensors".into(), b"no shard".to_vec());
        let index = r#"{"weight_map":{"x":"model-a.safetensors","y":"model-b.safetensors"}}"#;
        files.insert("model.safetensors.index.json".into(), index.into());
    });
    let folder = scene.found().folder;
    let is_there = |name: &str| folder.join(format!("model-{name}.safetensors")).exists();
    assert_eq!(["a", "b", "c"].map(is_there), [true, true, false]);
    scene
        .server
        .move_on(COMMIT, |files| drop(files.remove("model-b.safetensors")));
    let error = scene.ask(MODEL).0.unwrap_err().to_string();
    assert!(
        error.contains("has no model-b.safetensors, which its index names"),
        "{error}"
    );
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let scene = Scene::new();
    for revision in ["v1", "refs/pr/1", COMMIT] {
        let found = scene.ask(&format!("{MODEL}@{revision}")).0.unwrap();
        assert_eq!(found.id.to_string(), format!("{MODEL}@{COMMIT}"));
    }
    let refs: Vec<String> = scene
        .cached()
        .into_iter()
        .filter(|file| file.starts_with("refs/"))
        .collect();
    assert_eq!(refs, ["refs/refs/pr/1", "refs/v1"]);
    let error = scene.ask(&format!("{MODEL}@v2")).0.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{MODEL} on {} has no branch, tag or commit `v2`: name another, or none for main",
            &scene.server.endpoint()[7..]
        )
    );
}

#[test]
fn a_branch_that_moved_on_shares_what_it_had() {
    let scene = Scene::new();
    scene.found();
    let other = "f".repeat(40);
    scene.server.move_on(&other, |files| {
        drop(files.insert("vocab.txt".into(), b"[PAD]\n".to_vec()))
    });
    scene.paths();
    let folder = scene.found().folder;
    assert_eq!(
        scene.paths().len(),
        2,
        "the list, and the one file that has changed"
    );
    assert_eq!(fs::read(folder.join("vocab.txt")).unwrap(), b"[PAD]\n");
    assert_eq!(
        fs::read(folder.join(WEIGHTS)).unwrap(),
        scene.server.file(WEIGHTS)
    );
    assert_eq!(
        fs::read_to_string(scene.in_cache("refs/main")).unwrap(),
        other
    );
}

#[test]
fn offline_the_cache_is_used_without_a_request() {
    let mut scene = Scene::new();
    scene.set("HF_HUB_OFFLINE", "1");
    let error = scene.refused();
    assert!(
        error.contains("HF_HUB_OFFLINE") && error.contains("name a folder"),
        "{error}"
    );
    scene.set("HF_HUB_OFFLINE", "0");
    let folder = scene.found().folder;
    scene.paths();
    scene.set("HF_HUB_OFFLINE", "1");
    let (found, told) = scene.ask(MODEL);
    assert_eq!(found.unwrap().folder, folder);
    assert!(told.is_empty() && scene.paths().is_empty());
    let pinned = scene.ask(&format!("{MODEL}@{COMMIT}")).0.unwrap();
    assert_eq!(pinned.folder, folder);
    // Half a model is none.
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    fs::remove_file(folder.join("vocab.txt")).unwrap();
    assert!(scene.refused().contains("no complete copy"));
}

/// Python downloads what it is asked for: a model without its small files is no other model.
#[test]
fn small_files_that_the_cache_lacks_are_fetched_or_named() {
    let mut scene = Scene::of(&["tiny-bert", "sentence/dense"]);
    let few = ["config.json", WEIGHTS, "tokenizer.json"];
    scene.leave(&few);
    let doubtful = |scene: &Scene| scene.found().doubtful;
    scene.set("HF_HUB_OFFLINE", "1");
    assert_eq!(doubtful(&scene), ["modules.json", "tokenizer_config.json"]);
    // Python has asked for this one, and there is none.
    scene.mark("tokenizer_config.json");
    assert_eq!(doubtful(&scene), ["modules.json"]);
    // Whoever has modules may have more that changes a vector.
    scene.leave(&["modules.json"]);
    let of_modules = [
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ];
    assert_eq!(doubtful(&scene), of_modules);
    // A network that fails is none.
    scene.set("HF_HUB_OFFLINE", "0");
    scene
        .server
        .misbehave("/api/", Way::Status(429, "Retry-After: 3600\r\n"), 1);
    let found = scene.found();
    assert_eq!(found.unasked.as_deref(), Some("status 429"));
    assert_eq!(found.doubtful, of_modules);

    scene.paths();
    let found = scene.found();
    assert!(found.doubtful.is_empty());
    for file in [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "tokenizer_config.json",
    ] {
        assert_eq!(
            fs::read(found.folder.join(file)).unwrap(),
            scene.server.file(file),
            "{file}"
        );
    }
    let paths = scene.paths();
    assert!(
        !paths.iter().any(|path| few
            .iter()
            .any(|file| path.ends_with(&format!("{COMMIT}/{file}")))),
        "{paths:?}"
    );
    // From now on it is known what the model has not.
    scene.set("HF_HUB_OFFLINE", "1");
    assert!(doubtful(&scene).is_empty());
}

#[test]
fn a_vocabulary_without_tokenizer_json_may_lack_its_special_tokens() {
    let mut scene = Scene::new();
    scene.leave(&["config.json", WEIGHTS, "vocab.txt", "tokenizer_config.json"]);
    scene.set("HF_HUB_OFFLINE", "1");
    scene.mark("modules.json");
    assert_eq!(
        scene.found().doubtful,
        [
            "tokenizer.json",
            "special_tokens_map.json",
            "added_tokens.json"
        ]
    );
}

#[test]
fn a_commit_that_is_whole_is_asked_for_no_more() {
    let mut scene = Scene::of(&["tiny-bert", "sentence/dense"]);
    let pinned = format!("{MODEL}@{COMMIT}");
    let ask = |scene: &Scene| scene.ask(&pinned).0.unwrap();
    scene.leave(&["config.json", WEIGHTS, "tokenizer.json"]);
    // Of what Python has left it is not known whether it is all.
    let folder = ask(&scene).folder;
    assert!(folder.join("modules.json").exists());
    assert!(scene.paths().len() > 1);
    assert_eq!(ask(&scene).folder, folder);
    assert_eq!(scene.paths(), Vec::<String>::new());
    // Without a hub it is there all the same, and nothing has to be said.
    scene.set("HF_ENDPOINT", "http://127.0.0.1:9");
    let found = ask(&scene);
    assert_eq!((found.unasked, found.doubtful), (None, Vec::new()));
    // A branch may move on, and half a model is none.
    scene.set("HF_ENDPOINT", &scene.server.endpoint());
    scene.found();
    assert_eq!(scene.paths().len(), 1);
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    assert_eq!(ask(&scene).folder, folder);
    assert!(scene.paths().iter().any(|path| path.ends_with(WEIGHTS)));
}

#[test]
fn where_a_network_asks_to_log_in_the_cache_is_used() {
    let scene = Scene::new();
    let folder = scene.found().folder;
    let page = "<!DOCTYPE html>\n<html><title>Welcome to our Wi-Fi</title></html>";
    let page_came = "a web page came instead, as where a network asks to log in";
    for (part, way, why) in [
        ("/api/", Way::Body(page), page_came),
        ("/api/", Way::Body("\r\n <html>"), page_came),
        (
            "/api/",
            Way::Status(302, "Location: /log-in\r\n"),
            page_came,
        ),
        (
            "/api/",
            Way::Status(403, "Content-Type: text/html\r\n"),
            "status 403",
        ),
        (
            "/api/",
            Way::Status(511, "Content-Type: text/html\r\n"),
            "status 511",
        ),
        ("/api/", Way::Body("{}"), "the answer names no commit"),
        (
            "/api/",
            Way::Body("Welcome"),
            "the answer cannot be read: no JSON value is written like that",
        ),
    ] {
        scene.server.behave();
        scene.server.misbehave("/log-in", Way::Body(page), 1);
        scene.server.misbehave(part, way.clone(), 1);
        let found = scene.found();
        assert_eq!(found.folder, folder, "{way:?}");
        assert_eq!(found.unasked.as_deref(), Some(why), "{way:?}");
    }
    // The hub's own no is none of a network.
    scene.server.behave();
    scene.server.misbehave(
        "/api/",
        Way::Status(403, "Content-Type: application/json\r\n"),
        1,
    );
    assert!(scene.refused().contains("(status 403)"));
}

#[test]
fn without_a_network_the_cache_is_used_and_it_is_said() {
    let mut scene = Scene::new();
    let (endpoint, cache) = (scene.server.endpoint(), scene.folder.path().join("hub"));
    // A port that nobody listens to.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nowhere = format!("http://127.0.0.1:{port}");
    scene.set("HF_ENDPOINT", &nowhere);
    assert_eq!(
        scene.refused(),
        format!(
            "no complete copy of {MODEL} is in the cache {}, and 127.0.0.1:{port} cannot be reached (the connection was refused): name a folder with the model's files, or try again when you are online",
            cache.display()
        )
    );
    scene.set("HF_ENDPOINT", &endpoint);
    let folder = scene.found().folder;
    scene.set("HF_ENDPOINT", &nowhere);
    let found = scene.found();
    assert_eq!(
        (found.folder, found.unasked.as_deref()),
        (folder, Some("the connection was refused"))
    );
}

#[test]
fn a_download_that_breaks_off_goes_on_from_there() {
    let scene = Scene::new();
    // Each time something comes, so it is asked for more.
    scene.server.misbehave(WEIGHTS, Way::Cut(20_000), 2);
    scene.found();
    let ranges: Vec<Option<String>> = scene
        .server
        .seen()
        .into_iter()
        .filter(|request| request.path.ends_with(WEIGHTS))
        .map(|request| request.range)
        .collect();
    let range = |from: &str| Some(format!("bytes={from}-"));
    // Each is asked for twice: here, and where it is said to be.
    let expected = [
        None,
        None,
        range("20000"),
        range("20000"),
        range("40000"),
        range("40000"),
    ];
    assert_eq!(ranges, expected);
}

#[test]
fn the_next_call_goes_on_with_a_part() {
    let scene = Scene::new();
    scene.server.misbehave(WEIGHTS, Way::Cut(20_000), 1);
    scene.server.misbehave(WEIGHTS, Way::Cut(0), 3);
    let error = scene.refused();
    assert_eq!(
        error,
        format!(
            "the download of {WEIGHTS} of {MODEL}@{COMMIT} broke off after 20000 of {} bytes (the connection was closed): the \
             same command goes on from there",
            scene.server.file(WEIGHTS).len()
        )
    );
    assert_eq!(
        fs::read(scene.part(WEIGHTS)).unwrap(),
        scene.server.file(WEIGHTS)[..20_000]
    );
    assert!(!scene.blob(WEIGHTS).exists());
    scene.server.seen();
    let (found, told) = scene.ask(MODEL);
    found.unwrap();
    assert!(
        told[0].contains("files: 1,") && told[0].contains("from: 20000"),
        "{told:?}"
    );
    assert_eq!(
        scene.server.seen()[1].range.as_deref(),
        Some("bytes=20000-")
    );
    assert!(!scene.part(WEIGHTS).exists());
}

#[test]
fn a_stall_ends_in_time() {
    let scene = Scene::new();
    // Each time it comes a little farther, and each time that is said.
    scene.server.misbehave(WEIGHTS, Way::Stall(1_000), 2);
    let begun = Instant::now();
    let (found, told) = scene.ask(MODEL);
    found.unwrap();
    let stalls = told.iter().filter(|event| event.starts_with("Waiting"));
    let stalls: Vec<&String> = stalls.collect();
    assert!(
        stalls.len() == 2
            && stalls
                .iter()
                .all(|stall| stall.contains("nothing came for 1 s")),
        "{told:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );

    let scene = Scene::new();
    scene.server.misbehave(WEIGHTS, Way::Stall(0), 9);
    let begun = Instant::now();
    let error = scene.refused();
    assert!(
        error.contains("broke off after 0 of") && error.contains("nothing came for 1 s"),
        "{error}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );

    let scene = Scene::new();
    for bytes in [0, 200] {
        scene.server.misbehave("/api/", Way::Stall(bytes), 1);
        let error = scene.refused();
        assert!(
            error.contains("cannot be reached (nothing came for 1 s)"),
            "{error}"
        );
    }
}

#[test]
fn wrong_bytes_do_not_stay() {
    for file in [WEIGHTS, "config.json"] {
        let scene = Scene::new();
        scene.server.misbehave(file, Way::Wrong, 1);
        let error = scene.refused();
        let listed = format!("lists {}", scene.server.checksum(file));
        assert!(error.contains(file) && error.contains(&listed), "{error}");
        assert!(!scene.blob(file).exists() && !scene.part(file).exists());
        scene.found();
    }
}

#[test]
fn a_damaged_part_is_begun_anew() {
    let scene = Scene::new();
    let part = scene.part(WEIGHTS);
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    for damaged in [20_000, scene.server.file(WEIGHTS).len(), 1_000_000] {
        fs::write(&part, vec![0; damaged]).unwrap();
        let folder = scene.found().folder;
        assert_eq!(
            fs::read(folder.join(WEIGHTS)).unwrap(),
            scene.server.file(WEIGHTS)
        );
        fs::remove_file(folder.join(WEIGHTS)).unwrap();
        fs::remove_file(scene.blob(WEIGHTS)).unwrap();
    }
}

#[test]
fn a_file_of_the_cache_that_was_cut_is_brought_again() {
    let scene = Scene::new();
    scene.found();
    fs::write(scene.blob(WEIGHTS), b"cut").unwrap();
    let folder = scene.found().folder;
    assert_eq!(
        fs::read(folder.join(WEIGHTS)).unwrap(),
        scene.server.file(WEIGHTS)
    );
}

#[test]
fn lengths_that_lie_are_noticed() {
    let size = Scene::new().server.file(WEIGHTS).len();
    for (way, said) in [
        (Way::Length(-100), format!("but sends {}", size - 100)),
        (Way::Length(100), format!("but sends {}", size + 100)),
        (Way::Endless("more"), "but sends more".to_owned()),
    ] {
        let scene = Scene::new();
        scene.server.misbehave(WEIGHTS, way.clone(), 9);
        let error = scene.refused();
        assert!(error.contains(&said), "{way:?}: {error}");
        assert!(!scene.blob(WEIGHTS).exists());
        scene.server.behave();
        scene.found();
    }
    // A length is no must.
    let scene = Scene::new();
    scene.server.misbehave(WEIGHTS, Way::Endless(""), 1);
    scene.found();
}

#[test]
fn parts_that_lie_are_noticed() {
    let scene = Scene::new();
    let (part, weights) = (scene.part(WEIGHTS), scene.server.file(WEIGHTS));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &weights[..20_000]).unwrap();
    scene.server.misbehave(WEIGHTS, Way::OtherPart, 1);
    let error = scene.refused();
    assert!(
        error.contains("`bytes 20001-") && error.contains("where bytes 20000- were asked for"),
        "{error}"
    );
    // All of it is taken from the beginning; nothing is there behind the end.
    scene.server.misbehave(WEIGHTS, Way::Whole, 1);
    scene.found();
    fs::remove_file(scene.blob(WEIGHTS)).unwrap();
    fs::write(&part, &weights[..20_000]).unwrap();
    scene.server.misbehave(WEIGHTS, Way::Status(416, ""), 1);
    scene.found();
}

#[test]
fn a_hub_that_fails_once_is_asked_again() {
    let scene = Scene::new();
    scene.server.misbehave("/api/", Way::Status(500, ""), 1);
    scene.server.misbehave(WEIGHTS, Way::Status(503, ""), 1);
    scene
        .server
        .misbehave("vocab.txt", Way::Status(429, "Retry-After: 1\r\n"), 1);
    let (found, told) = scene.ask(MODEL);
    found.unwrap();
    let waiting: Vec<&String> = told
        .iter()
        .filter(|event| event.starts_with("Waiting"))
        .collect();
    assert_eq!(waiting.len(), 3, "{told:?}");
    assert!(waiting[0].contains("status 500"), "{told:?}");
}

#[test]
fn every_refusal_is_one_sentence() {
    let scene = Scene::new();
    let host = scene.server.endpoint()[7..].to_owned();
    for (way, said) in [
        (
            Way::Status(401, ""),
            format!("shows no model {MODEL} without a token (status 401)"),
        ),
        (
            Way::Status(401, "X-Error-Code: GatedRepo\r\n"),
            format!(
                "refuses the model {MODEL} (status 401): ask for access on its page there, and set HF_TOKEN to a token"
            ),
        ),
        (
            Way::Status(403, ""),
            "(status 403): ask for access".to_owned(),
        ),
        (
            Way::Status(404, "X-Error-Code: RepoNotFound\r\n"),
            format!("{host} has no model {MODEL}: check the name"),
        ),
        (
            Way::Status(429, "Retry-After: 3600\r\n"),
            "(status 429): try again in 3600 s".to_owned(),
        ),
        (
            Way::Status(410, ""),
            "answers with status 410 for the list of files".to_owned(),
        ),
        (
            Way::Body("\n<!doctype html><title>Log in</title>"),
            format!(
                "what answers for {host} gives no list of the files of {MODEL} (a web page came instead, as where a network asks to \
                 log in): open a page of {host} in a browser"
            ),
        ),
        (
            Way::Body("{\"sha\""),
            "(the answer cannot be read: it ends before a closing })".to_owned(),
        ),
        (
            Way::Status(403, "Content-Type: text/html; charset=utf-8\r\n"),
            "(status 403)".to_owned(),
        ),
        (Way::Body("{}"), "the answer names no commit".to_owned()),
        (
            Way::Body(r#"{"sha":"../../../../etc","siblings":[]}"#),
            "the answer names no commit".to_owned(),
        ),
    ] {
        scene.server.behave();
        scene.server.misbehave("/api/", way.clone(), 1);
        let begun = Instant::now();
        let error = scene.refused();
        assert!(error.contains(&said), "{way:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{way:?}");
    }
    // The same of a file: its list was seen.
    scene.server.behave();
    scene.server.misbehave(WEIGHTS, Way::Status(403, ""), 1);
    assert!(scene.refused().contains("(status 403)"));
    scene.server.misbehave(WEIGHTS, Way::Status(404, ""), 1);
    assert!(
        scene
            .refused()
            .contains(&format!("status 404 for {WEIGHTS} of {MODEL}@{COMMIT}"))
    );
}

#[test]
fn a_hub_that_only_fails_leaves_what_the_cache_has() {
    let scene = Scene::new();
    scene
        .server
        .misbehave("/api/", Way::Status(500, "Retry-After: 0\r\n"), 4);
    assert!(scene.refused().contains("answers with status 500"));
    let folder = scene.found().folder;
    scene
        .server
        .misbehave("/api/", Way::Status(429, "Retry-After: 3600\r\n"), 1);
    let found = scene.found();
    assert_eq!(
        (found.folder, found.unasked.as_deref()),
        (folder, Some("status 429"))
    );
    // But what it says no to is not taken from there.
    scene.server.misbehave("/api/", Way::Status(404, ""), 1);
    assert!(
        scene
            .refused()
            .contains(&format!("has no model {MODEL}: check the name"))
    );
}

#[test]
fn a_token_is_sent_to_the_hub_alone_and_never_shown() {
    let mut scene = Scene::new();
    fs::write(scene.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    scene.found();
    let sent = scene.server.seen();
    let bearer = format!("Bearer {TOKEN}");
    let of = |part: &str| -> Vec<Option<String>> {
        let of = sent.iter().filter(|request| request.path.contains(part));
        of.map(|request| request.token.clone()).collect()
    };
    assert_eq!(of("/api/"), [Some(bearer.clone())]);
    // The weights are asked for here, and then on another host.
    assert_eq!(of(WEIGHTS), [Some(bearer), None]);

    scene.set("HF_TOKEN", "hf_Another");
    scene.server.misbehave("/api/", Way::Status(401, ""), 1);
    let error = scene.refused();
    assert!(
        error.contains("with the token in HF_TOKEN or the cache") && !error.contains("hf_Another")
    );
    assert_eq!(
        scene.server.seen()[0].token.as_deref(),
        Some("Bearer hf_Another")
    );

    scene.set("HF_TOKEN", "hf_with a space");
    let Err(error) = Hub::with(&|name| scene.variables.get(name).cloned()) else {
        panic!("no token has a space");
    };
    assert!(
        error.to_string().starts_with("HF_TOKEN cannot be used")
            && !error.to_string().contains("with a space")
    );
}

#[test]
fn the_cache_is_where_the_variables_say() {
    let mut scene = Scene::new();
    let other = scene.folder.path().join("elsewhere");
    scene.set("HF_HUB_CACHE", &other.display().to_string());
    assert!(scene.found().folder.starts_with(&other));
    scene.set("HF_ENDPOINT", "huggingface.co");
    let Err(error) = Hub::with(&|name| scene.variables.get(name).cloned()) else {
        panic!("no address");
    };
    assert!(
        error
            .to_string()
            .contains("HF_ENDPOINT cannot be used: it must be an address")
    );
}

#[test]
fn a_tilde_is_the_home_folder() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("mine"), TOKEN).unwrap();
    for (name, value, cache) in [
        ("HF_HUB_CACHE", "~/there", "there"),
        ("HF_HOME", "~/there", "there/hub"),
        ("HF_HOME", "~", "hub"),
        ("XDG_CACHE_HOME", "~/there", "there/huggingface/hub"),
    ] {
        let mut scene = Scene::new();
        scene.variables.remove("HF_HOME");
        for variable in ["HOME", "USERPROFILE"] {
            scene.set(variable, &home.path().display().to_string());
        }
        scene.set(name, value);
        scene.set("HF_TOKEN_PATH", "~/mine");
        let folder = scene.found().folder;
        assert!(
            folder.starts_with(home.path().join(cache)),
            "{name}={value}: {}",
            folder.display()
        );
        assert_eq!(
            scene.server.seen()[0].token,
            Some(format!("Bearer {TOKEN}"))
        );
    }
}

#[test]
fn models_of_other_kinds_are_refused_before_a_download() {
    let other = "f".repeat(40);
    for (change, said) in [
        (
            &["model.safetensors"][..],
            "has its weights only as pytorch_model.bin",
        ),
        (
            &["model.safetensors", "pytorch_model.bin"],
            "has no model.safetensors, but onnx/model.onnx and 1 more in other formats",
        ),
        (&["config.json"], "has no config.json"),
    ] {
        let scene = Scene::new();
        scene.server.move_on(&other, |files| {
            for name in change {
                files.remove(*name);
            }
        });
        let error = scene.refused();
        assert!(error.contains(said), "{error}");
        assert_eq!(scene.paths().len(), 1, "the list alone");
    }
    let scene = Scene::new();
    scene.server.move_on(&other, |files| {
        files.remove(WEIGHTS);
        files.insert("adapter_model.safetensors".into(), b"x".to_vec());
    });
    assert!(
        scene
            .refused()
            .contains("is an adapter of another model: merge the two")
    );
}

#[test]
fn two_programs_download_a_file_once() {
    let scene = Scene::new();
    let ask = || scene.ask(MODEL).0.map(|found| found.folder).unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(ask);
        let other = scope.spawn(ask);
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
    let weights = scene
        .paths()
        .into_iter()
        .filter(|path| path.contains(WEIGHTS));
    assert_eq!(
        weights.count(),
        2,
        "once here, and once where it is said to be"
    );
}
