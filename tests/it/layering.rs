//! The arrows of ARCHITECTURE.md, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// crate -> the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 15] = [
    ("limbeck-oracle", &[]),
    ("limbeck-recipe", &[]),
    ("limbeck-relations", &["limbeck-recipe"]),
    ("limbeck-protocol", &["limbeck-recipe"]),
    ("limbeck-corpus", &["limbeck-recipe"]),
    ("limbeck-kernels", &["limbeck-recipe"]),
    ("limbeck-model", &["limbeck-recipe", "limbeck-kernels"]),
    (
        "limbeck-train",
        &["limbeck-recipe", "limbeck-kernels", "limbeck-model"],
    ),
    (
        "limbeck-engine",
        &[
            "limbeck-recipe",
            "limbeck-protocol",
            "limbeck-corpus",
            "limbeck-kernels",
            "limbeck-model",
            "limbeck-train",
        ],
    ),
    (
        "limbeck-cli",
        &[
            "limbeck-recipe",
            "limbeck-relations",
            "limbeck-protocol",
            "limbeck-corpus",
            "limbeck-kernels",
            "limbeck-model",
            "limbeck-train",
            "limbeck-engine",
        ],
    ),
    (
        "limbeck-worker",
        &["limbeck-recipe", "limbeck-protocol", "limbeck-engine"],
    ),
    (
        "limbeck-page",
        &["limbeck-recipe", "limbeck-relations", "limbeck-protocol"],
    ),
    (
        "it",
        &[
            "limbeck-oracle",
            "limbeck-recipe",
            "limbeck-relations",
            "limbeck-protocol",
            "limbeck-corpus",
            "limbeck-kernels",
            "limbeck-model",
            "limbeck-train",
            "limbeck-engine",
        ],
    ),
    ("it-page", &[]),
    ("xtask", &[]),
];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let names = |package: &Value| -> BTreeSet<String> {
        package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), names(package)))
        .collect()
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let packages = packages();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        packages.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known,
        "a crate is not in ARCHITECTURE.md"
    );
    for (name, allowed) in ARROWS {
        let ours = packages[name]
            .iter()
            .filter(|used| known.contains(used.as_str()));
        for used in ours {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not use {used}"
            );
        }
    }
}

#[test]
fn rooms_do_not_know_what_they_must_not() {
    let packages = packages();
    assert!(
        packages["limbeck-oracle"].is_empty(),
        "the oracle has dependencies: {:?}",
        packages["limbeck-oracle"]
    );
    for (name, forbidden) in [
        (
            "limbeck-train",
            &[
                "clap",
                "web-sys",
                "tempfile",
                "glob",
                "flate2",
                "indicatif",
                "tokenizers",
            ][..],
        ),
        (
            "limbeck-kernels",
            &["tokenizers", "serde_json", "safetensors", "clap"],
        ),
        ("limbeck-model", &["clap", "web-sys"]),
        ("limbeck-recipe", &["burn", "clap", "web-sys"]),
        (
            "limbeck-relations",
            &["burn", "clap", "web-sys", "tempfile"],
        ),
        ("limbeck-protocol", &["burn", "clap", "web-sys"]),
        ("limbeck-corpus", &["burn", "tokenizers", "clap", "web-sys"]),
        ("limbeck-engine", &["clap", "web-sys", "tempfile", "tokio"]),
        ("limbeck-page", &["burn", "tokenizers", "safetensors"]),
    ] {
        for crate_name in forbidden {
            assert!(
                !packages[name].contains(*crate_name),
                "{name} must not use {crate_name}"
            );
        }
    }
}

/// `limbeck` without the feature `gpu` compiles nothing that only a GPU needs; with it, it does.
#[test]
fn a_build_without_gpu_support_has_no_gpu_crate() {
    let crates = |features: &[&str]| -> BTreeSet<String> {
        let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(["tree", "--offline", "--edges=normal", "--prefix=none"])
            .args(["--package=limbeck-cli"])
            .args(features)
            .current_dir(root())
            .output()
            .expect("cargo tree");
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let [without, with] = [&["--no-default-features"][..], &[]].map(crates);
    assert!(without.contains("burn-flex"), "{without:?}");
    for name in ["wgpu", "naga", "cubecl", "cubecl-wgpu", "burn-cubecl"] {
        assert!(!without.contains(name), "{name} without the feature `gpu`");
        assert!(with.contains(name), "no {name} with the feature `gpu`");
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// They open no file and ask for no time: fronts bring bytes and clocks.
#[test]
fn recipe_relations_protocol_trainer_and_engine_have_no_world() {
    for (name, least) in [
        ("limbeck-recipe", 8),
        ("limbeck-relations", 8),
        ("limbeck-protocol", 4),
        ("limbeck-train", 5),
        ("limbeck-engine", 5),
    ] {
        let files = sources(&root().join("crates").join(name).join("src"));
        assert!(files.len() >= least, "{name}: {} files", files.len());
        for (path, text) in files {
            for word in [
                "std::fs",
                "Instant",
                "SystemTime",
                "std::thread",
                "std::env",
                "println!",
            ] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

/// What the documents point to is there, and nothing in them waits to be filled in.
#[test]
fn documents_are_whole() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "shaders/README.md",
        "assets/README.md",
    ];
    let mut links = 0;
    for document in documents.map(|name| root().join(name)) {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in ["TBD", "TODO", "COLD minutes", "WARM minutes"] {
            assert!(!text.contains(word), "{} has {word}", document.display());
        }
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let target = document.parent().unwrap().join(file);
                assert!(target.exists(), "{} points to {file}", document.display());
                links += 1;
            }
        }
    }
    assert!(links >= 5);
}
