//! The arrows of ARCHITECTURE.md, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use limbeck_recipe::{Config, Plan, Recipe};
use serde_json::Value;

/// crate -> the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 20] = [
    ("limbeck-oracle", &[]),
    ("limbeck-shaders", &[]),
    ("limbeck-recipe", &[]),
    ("limbeck-relations", &["limbeck-recipe"]),
    ("limbeck-score", &["limbeck-recipe"]),
    ("limbeck-onnx", &["limbeck-recipe"]),
    ("limbeck-hub", &["limbeck-recipe"]),
    ("limbeck-protocol", &["limbeck-recipe"]),
    ("limbeck-corpus", &["limbeck-recipe"]),
    ("limbeck-kernels", &["limbeck-recipe", "limbeck-shaders"]),
    ("limbeck-tokenizer", &[]),
    (
        "limbeck-model",
        &["limbeck-recipe", "limbeck-kernels", "limbeck-tokenizer"],
    ),
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
            "limbeck-onnx",
            "limbeck-train",
        ],
    ),
    (
        "limbeck-cli",
        &[
            "limbeck-recipe",
            "limbeck-relations",
            "limbeck-score",
            "limbeck-onnx",
            "limbeck-hub",
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
        ("limbeck-tokenizer", &["burn", "clap", "web-sys"]),
        ("limbeck-model", &["clap", "web-sys"]),
        ("limbeck-recipe", &["burn", "clap", "web-sys"]),
        (
            "limbeck-relations",
            &["burn", "clap", "web-sys", "tempfile"],
        ),
        ("limbeck-score", &["burn", "clap", "web-sys"]),
        ("limbeck-onnx", &["burn", "clap", "web-sys"]),
        (
            "limbeck-hub",
            &["burn", "tokio", "clap", "indicatif", "safetensors"],
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
    for name in [
        "wgpu",
        "naga",
        "cubecl",
        "cubecl-wgpu",
        "burn-cubecl",
        "limbeck-shaders",
    ] {
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
fn recipe_relations_score_onnx_protocol_trainer_and_engine_have_no_world() {
    for (name, least) in [
        ("limbeck-recipe", 8),
        ("limbeck-relations", 8),
        ("limbeck-score", 4),
        ("limbeck-onnx", 5),
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

/// The documents of the project.
fn documents() -> Vec<PathBuf> {
    let root = root();
    let named = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "shaders/README.md",
        "assets/README.md",
    ];
    let pages = std::fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    named
        .map(|name| root.join(name))
        .into_iter()
        .chain(pages)
        .collect()
}

/// A link to a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let text: String = heading.trim().to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

fn has_heading(document: &Path, wanted: &str) -> bool {
    let text = std::fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .any(|found| found == wanted)
}

/// What the documents point to is there, and nothing in them waits to be filled in.
#[test]
fn documents_are_whole() {
    let mut links = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in ["TBD", "TODO", "COLD minutes", "WARM minutes"] {
            assert!(!text.contains(word), "{} has {word}", document.display());
        }
        let ends = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')];
        for link in ends.iter().flat_map(|(start, end)| {
            let after = text.split(start).skip(1);
            after.filter_map(|rest| rest.split(*end).next())
        }) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file.is_empty() {
                true => document.clone(),
                false => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{} points to {file}", document.display());
            assert!(
                heading.is_empty() || has_heading(&target, heading),
                "{} points to {link}, and there is no such heading",
                document.display()
            );
            links += 1;
        }
    }
    assert!(links >= 25, "{links} links");
}

/// A file or folder that a document names in backticks is there; NAME stands for what a reader chooses.
#[test]
fn documents_name_what_is_there() {
    const PLACES: [&str; 8] = [
        "assets/",
        "crates/",
        "docs/",
        "examples/",
        "shaders/",
        "tests/",
        "web/",
        ".github/",
    ];
    let mut named = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for path in text.split('`').skip(1).step_by(2) {
            let is_path = PLACES.iter().any(|place| path.starts_with(place));
            if is_path && !path.contains(['*', '{', ' ', ':']) && !path.contains("NAME") {
                let found = root().join(path).exists();
                assert!(found, "{} names {path}", document.display());
                named += 1;
            }
        }
    }
    assert!(named >= 30, "{named} paths");
}

/// The recipe in docs/recipes.md names every field, and a run without it would do the same.
#[test]
fn the_documented_recipe_is_the_default() {
    let text = std::fs::read_to_string(root().join("docs/recipes.md")).unwrap();
    let block = text.split("```toml\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let written: toml::Table = block.parse().unwrap();
    let tables = ["student", "output"].map(|name| (name, written[name].as_table().unwrap()));

    let source = root().join("crates/limbeck-recipe/src/recipe.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let fields = source.lines().filter_map(|line| {
        let field = line.strip_prefix("    pub ")?;
        let (name, _) = field.split_once(": ")?;
        Some(name).filter(|name| !name.starts_with("fn ") && !name.starts_with("const "))
    });
    let missing: Vec<&str> = fields
        .filter(|name| !written.contains_key(*name))
        .filter(|name| !tables.iter().any(|(_, table)| table.contains_key(*name)))
        .collect();
    assert!(missing.is_empty(), "docs/recipes.md lacks {missing:?}");

    let documented: Recipe = toml::from_str(block).unwrap();
    let default = Recipe {
        teacher: documented.teacher.clone(),
        corpus: documented.corpus.clone(),
        ..Recipe::default()
    };
    let printed: toml::Table = default.to_toml().parse().unwrap();
    for (name, value) in printed.iter().filter(|(_, value)| !value.is_table()) {
        assert_eq!(&written[name], value, "{name}");
    }
    for (table, given) in tables {
        for (name, value) in printed[table].as_table().unwrap() {
            assert_eq!(&given[name], value, "{table}.{name}");
        }
    }

    // What is chosen by the teacher unless it is given.
    let teacher = br#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2}"#;
    let teacher = Config::parse("config.json", teacher).unwrap();
    let chosen = Plan::new(&default, &teacher).unwrap();
    let mut planned = Plan::new(&documented, &teacher).unwrap();
    planned.recipe = chosen.recipe.clone();
    assert_eq!(planned, chosen);
}
