//! Folders of every form in which a model may lie, and texts in every packing, damaged: the program says what is wrong, or computes
//! finite numbers. What else the program reads is damaged in `corruptions`.

use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use serde_json::json;

use super::corruptions::{distil, encode, harm};
use super::scene::{Scene, Source};
use super::{Attack, copy, write};
use crate::shell::{self, Result};

/// The forms: with modules, with a vocabulary as text, with merges, of another family, in shards, as PyTorch's weights.
const FORMS: [&str; 6] = [
    "modules",
    "vocabulary",
    "merges",
    "xlmr",
    "shards",
    "pytorch",
];
/// A model as the hub's cache has it, and how the program reads it there.
const MODEL: &str = "golden/tiny";
const FROM_CACHE: [&str; 3] = ["env", "HF_HUB_OFFLINE=1", "HF_HOME=hf"];
const CACHE: &str = "hf/hub/models--golden--tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Programs that pack a text, and the ends of what they make.
const PACKERS: [[&str; 2]; 4] = [
    ["gzip", ".gz"],
    ["bzip2", ".bz2"],
    ["xz", ".xz"],
    ["zstd", ".zst"],
];

/// Damages folders and packed texts.
pub struct Folders {
    base: Scene,
}

impl Folders {
    /// Makes a folder of each form and a text in each packing. Each is whole: it is read, and a student is made of it.
    ///
    /// # Errors
    /// One cannot be written or read.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut base = Scene::new(source, base.to_owned())?;
        make(source, &base)?;
        for form in FORMS {
            let done = encode(&mut base, &[], form)?;
            base.require(done, "a folder cannot be read")?;
            let done = distil(&mut base, &["--teacher", form])?;
            base.require(done, "a folder cannot be distilled")?;
        }
        let done = encode(&mut base, &FROM_CACHE, MODEL)?;
        base.require(done, "the cache cannot be read")?;
        for [packer, end] in PACKERS {
            let packed = Command::new(packer)
                .args(["-c", "corpus.txt"])
                .current_dir(base.path(""))
                .output();
            // What is not installed packs nothing.
            if let Ok(packed) = packed {
                let name = format!("corpus.txt{end}");
                write(&base.path(&name), &packed.stdout)?;
                let done = distil(&mut base, &["--corpus", &name])?;
                base.require(done, "a packed text cannot be read")?;
            }
        }
        Ok(Self { base })
    }
}

/// Writes a folder of each form.
fn make(source: &Source, base: &Scene) -> Result<()> {
    let golden = |name: &str| source.golden(name);
    let teacher = golden("tiny-bert");
    for form in FORMS {
        copy(&teacher, &base.path(form))?;
    }
    copy(&golden("sentence/dense"), &base.path("modules"))?;
    copy(&golden("tiny-xlmr"), &base.path("xlmr"))?;
    remove(base, "xlmr/vocab.txt")?;
    remove(base, "vocabulary/tokenizer.json")?;
    // A word of the vocabulary, so that the model has a row for it.
    let added = json!({ "teacher": 87 }).to_string();
    write(&base.path("vocabulary/added_tokens.json"), added.as_bytes())?;
    for file in ["tokenizer.json", "vocab.txt", "special_tokens_map.json"] {
        remove(base, &format!("merges/{file}"))?;
    }
    let class = json!({ "tokenizer_class": "RobertaTokenizer" }).to_string();
    let words = [
        "<s>", "<pad>", "</s>", "<unk>", "<mask>", "t", "h", "e", "th", "the",
    ];
    let words: serde_json::Map<_, _> = words
        .iter()
        .map(|word| (*word).to_owned())
        .zip((0..).map(Into::into))
        .collect();
    for (file, text) in [
        ("tokenizer_config.json", class),
        ("vocab.json", json!(words).to_string()),
        ("merges.txt", "#version: 0.2\nt h\nth e\n".to_owned()),
    ] {
        write(&base.path(&format!("merges/{file}")), text.as_bytes())?;
    }
    let shard = "model-00001-of-00001.safetensors";
    copy_file(base, "shards/model.safetensors", &format!("shards/{shard}"))?;
    remove(base, "shards/model.safetensors")?;
    let index = json!({ "weight_map": { "embeddings.word_embeddings.weight": shard } });
    write(
        &base.path("shards/model.safetensors.index.json"),
        index.to_string().as_bytes(),
    )?;
    remove(base, "pytorch/model.safetensors")?;
    copy(&golden("tiny-bert-pytorch"), &base.path("pytorch"))?;
    let snapshot = format!("{CACHE}/snapshots/{COMMIT}");
    copy(&base.path("modules"), &base.path(&snapshot))?;
    write(&base.path(&format!("{CACHE}/refs/main")), COMMIT.as_bytes())?;
    let absent = format!("{CACHE}/.no_exist/{COMMIT}/added_tokens.json");
    write(&base.path(&absent), b"")
}

fn remove(base: &Scene, file: &str) -> Result<()> {
    let path = base.path(file);
    std::fs::remove_file(&path).map_err(shell::file_error(&path))
}

fn copy_file(base: &Scene, from: &str, to: &str) -> Result<()> {
    write(&base.path(to), &shell::read_bytes(&base.path(from))?)
}

impl Attack for Folders {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        match rng.usize(..10) {
            0 | 1 => self.packed(scene, rng),
            2 | 3 => {
                copy(&self.base.path(CACHE), &scene.path(CACHE))?;
                harm_one(scene, CACHE, rng)?;
                let was = scene.files(&[CACHE])?;
                encode(scene, &FROM_CACHE, MODEL)?;
                scene.untouched(&[CACHE], &was)
            }
            _ => {
                let form = FORMS[rng.usize(..FORMS.len())];
                copy(&self.base.path(form), &scene.path(form))?;
                harm_one(scene, form, rng)?;
                let was = scene.files(&[form])?;
                match rng.usize(..3) {
                    0 => drop(scene.run(&["inspect", form], b"")?),
                    1 => drop(encode(scene, &[], form)?),
                    _ => drop(distil(scene, &["--teacher", form])?),
                }
                scene.untouched(&[form], &was)
            }
        }
    }
}

impl Folders {
    fn packed(&self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        let [_, end] = PACKERS[rng.usize(..PACKERS.len())];
        let name = format!("corpus.txt{end}");
        let packed = self.base.files(&[&name])?;
        let Some(bytes) = packed.get(&name) else {
            return Ok(());
        };
        write(&scene.path(&name), bytes)?;
        harm(scene, &name, std::slice::from_ref(&name), rng)?;
        distil(scene, &["--corpus", &name])?;
        Ok(())
    }
}

/// Damages one of the files of a folder.
fn harm_one(scene: &mut Scene, folder: &str, rng: &mut Rng) -> Result<()> {
    let names: Vec<String> = scene.files(&[folder])?.into_keys().collect();
    let name = &names[rng.usize(..names.len())];
    harm(scene, name, &names, rng)
}
