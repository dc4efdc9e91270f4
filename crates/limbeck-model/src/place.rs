//! What lies where a model was looked for, said where it is no model: a file that is not itself, weights in other forms, and
//! the folder that was meant.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use limbeck_recipe::TOKENIZER_FILES;

use crate::ModelError;

/// A message names so many, and counts the others.
const NAMED: usize = 3;
/// A pointer of Git LFS, and a link as text, are shorter.
const SHORT: usize = 1024;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// What a trainer leaves beside the weights.
const OF_TRAINING: [&str; 4] = ["training_args", "optimizer", "scheduler", "rng_state"];
const FOLLOW: &str =
    "Download the model again, or copy its folder with the links followed (cp -rL)";

/// That a file stands for another one, by what is in it.
///
/// # Errors
/// It is a pointer of Git LFS, or a link that was written out as text, as Git does on Windows.
pub fn require_itself(file: &str, bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.len() > SHORT {
        return Ok(());
    }
    let refuse = |what: String, advice: &'static str| {
        Err(ModelError::NotItself {
            file: file.to_owned(),
            what,
            advice,
        })
    };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if bytes.starts_with(POINTER) {
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.unwrap_or("unknown").trim();
        return refuse(
            format!("a Git LFS pointer: the file itself (size {size}) was not fetched"),
            "Fetch it: git lfs pull",
        );
    }
    if text.starts_with("../") && !text.contains(|c: char| c.is_whitespace() || c == '{') {
        return refuse(
            format!("a link to {text} that was written out as text"),
            FOLLOW,
        );
    }
    Ok(())
}

/// What a file is by its first bytes, where weights were to be; none if that cannot be told.
pub fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    const PAGE: &str = "a web page";
    // Where weights of safetensors have the length of their header.
    const KINDS: [(&[u8], &str); 9] = [
        (
            b"PK\x03\x04",
            "a zip archive, as PyTorch writes weights (pytorch_model.bin)",
        ),
        (b"\x80\x02\x8a\x0a\x6c\xfc", "a file of PyTorch before 1.6"),
        (b"\x1f\x8b\x08", "packed with gzip (gunzip)"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd (unzstd)"),
        (b"<!d", PAGE),
        (b"<!D", PAGE),
        (b"<ht", PAGE),
        (b"<HT", PAGE),
        (b"<?x", PAGE),
    ];
    let bytes = bytes.trim_ascii_start();
    let found = KINDS.iter().find(|(start, _)| bytes.starts_with(start));
    found.map(|(_, kind)| *kind)
}

/// The same of a file that is read later, by its beginning.
///
/// # Errors
/// See [`require_itself`].
pub fn require_file_itself(path: &Path) -> Result<(), ModelError> {
    let mut bytes = Vec::new();
    // What cannot be read is said by whoever reads it.
    let read =
        fs::File::open(path).and_then(|file| file.take(SHORT as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => require_itself(&path.display().to_string(), &bytes),
        Err(_) => Ok(()),
    }
}

/// That nothing is there; not even a link that leads nowhere.
///
/// # Errors
/// There is such a link.
pub fn require_no_link(path: &Path) -> Result<(), ModelError> {
    match fs::read_link(path) {
        Ok(target) => Err(ModelError::NotItself {
            file: path.display().to_string(),
            what: format!("a link to {}, which is not there", target.display()),
            advice: FOLLOW,
        }),
        Err(_) => Ok(()),
    }
}

/// Why what was named is no folder.
pub fn no_folder(path: &Path) -> ModelError {
    if let Err(link) = require_no_link(path)
        && !path.exists()
    {
        return link;
    }
    let folder = path.display().to_string();
    let above = above(path);
    match path.is_file() && is_model(&above) {
        true => ModelError::OtherPlace {
            folder,
            why: "is a file",
            place: format!("the model is in {}", above.display()),
        },
        false if path.is_file() => ModelError::NotItself {
            file: folder,
            what: "a file, not a folder".to_owned(),
            advice: "Name a Hugging Face model folder, with config.json, model.safetensors and tokenizer.json",
        },
        false => ModelError::NoFolder { folder },
    }
}

/// Why a folder without config.json is none of a model, if that can be told.
pub fn without_config(path: &Path) -> Option<ModelError> {
    if path.join("checkpoint.safetensors").is_file() {
        let folder = path.display().to_string();
        return Some(ModelError::Unfinished { folder });
    }
    let of_adapter = |name: &String| name.starts_with("adapter_");
    let found: Vec<String> = names(path).into_iter().filter(of_adapter).collect();
    match found.is_empty() {
        true => elsewhere(path, "has no config.json"),
        false => Some(ModelError::OtherWeights {
            folder: path.display().to_string(),
            advice: Form::Adapter.advice(&found, path),
            found: list(&found),
        }),
    }
}

/// Why a folder without weights is none of a model, if that can be told.
pub fn without_weights(path: &Path) -> Option<ModelError> {
    let mut names = names(path);
    names.extend(["onnx", "openvino"].iter().flat_map(|inner| {
        self::names(&path.join(inner))
            .into_iter()
            .map(move |name| format!("{inner}/{name}"))
    }));
    let forms: Vec<(&String, Form)> = names
        .iter()
        .filter_map(|name| Some((name, Form::of(name)?)))
        .collect();
    let Some(form) = forms.iter().map(|(_, form)| *form).min() else {
        return elsewhere(path, "has no weights");
    };
    let found: Vec<String> = forms
        .iter()
        .filter(|(_, other)| *other == form)
        .map(|(name, _)| (*name).clone())
        .collect();
    Some(ModelError::OtherWeights {
        folder: path.display().to_string(),
        advice: form.advice(&found, path),
        found: list(&found),
    })
}

/// Weights that are not read, those that are nearest to what is read first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// safetensors in shards, without their index.
    Shards,
    /// An adapter of another model.
    Adapter,
    /// safetensors under another name, such as `model.fp16.safetensors`.
    Safetensors,
    /// PyTorch's, in shards.
    PyTorchShards,
    /// PyTorch's, under another name.
    PyTorch,
    TensorFlow,
    Flax,
    /// What other programs compute with: ONNX, GGUF, OpenVINO.
    Exported,
}

impl Form {
    fn of(name: &str) -> Option<Self> {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let begins = |begin: &str| name.starts_with(begin);
        if OF_TRAINING.iter().any(|begin| begins(begin)) {
            return None;
        }
        let known = [
            (Self::Adapter, begins("adapter_model.")),
            (Self::Shards, begins("model-") && ends(&[".safetensors"])),
            (
                Self::Safetensors,
                ends(&[".safetensors", ".safetensors.index.json"]),
            ),
            (
                Self::PyTorchShards,
                begins("pytorch_model-") || ends(&[".bin.index.json"]),
            ),
            (Self::TensorFlow, ends(&[".h5", ".ckpt.index"])),
            (Self::Flax, ends(&[".msgpack"])),
            (
                Self::Exported,
                begins("openvino") || ends(&[".onnx", ".gguf", ".tflite", ".ot", ".mlmodel"]),
            ),
            (Self::PyTorch, ends(&[".bin", ".pt", ".pth", ".ckpt"])),
        ];
        let form = known.into_iter().find(|(_, is)| *is);
        form.map(|(form, _)| form)
    }

    fn advice(self, found: &[String], folder: &Path) -> String {
        let folder = folder.display();
        let convert = |how: &str| {
            format!(
                "Convert it with transformers: AutoModel.from_pretrained(\"{folder}\"{how}).save_pretrained(\"NEW\")"
            )
        };
        match (self, found) {
            (Self::Shards, _) => {
                "Download model.safetensors.index.json, which says what is in them".to_owned()
            }
            (Self::Adapter, _) => {
                "It is an adapter of another model: merge the two with peft (merge_and_unload), and save the result".to_owned()
            }
            (Self::Safetensors, [one]) if one.ends_with(".safetensors") => {
                format!("Copy it to {folder}/model.safetensors")
            }
            (Self::Safetensors, _) => "Download the weights without the variant in their names".to_owned(),
            (Self::PyTorchShards, _) => convert(""),
            (Self::PyTorch, [one]) if one.starts_with("pytorch_model.") => {
                format!("Copy it to {folder}/pytorch_model.bin")
            }
            (Self::PyTorch, _) => {
                "Load it in PyTorch, and save the model with save_pretrained of transformers".to_owned()
            }
            (Self::TensorFlow, _) => convert(", from_tf=True"),
            (Self::Flax, _) => convert(", from_flax=True"),
            (Self::Exported, _) => {
                "It was made of other weights: download the model.safetensors of the same model".to_owned()
            }
        }
    }
}

/// The folder that was meant: one below, one above, or the snapshot of a cache.
fn elsewhere(path: &Path, why: &'static str) -> Option<ModelError> {
    let mut models = models_in(path);
    if models.is_empty() {
        let above = above(path);
        models = match is_model(&above) {
            true => vec![above],
            false => snapshots(&above),
        };
    }
    let models: Vec<String> = models.iter().map(|m| m.display().to_string()).collect();
    let place = match models.len() {
        0 => return None,
        1 => format!("the model is in {}", models[0]),
        _ => format!("models are in {}", list(&models)),
    };
    Some(ModelError::OtherPlace {
        folder: path.display().to_string(),
        why,
        place,
    })
}

/// Folders of models in this one, or in the caches of the hub in it.
fn models_in(path: &Path) -> Vec<PathBuf> {
    let own = snapshots(path);
    if !own.is_empty() {
        return own;
    }
    let inner = names(path).into_iter().map(|name| path.join(name));
    inner
        .flat_map(|folder| match is_model(&folder) {
            true => vec![folder],
            false => snapshots(&folder),
        })
        .collect()
}

/// The snapshots of a model in the hub's cache: the one that is called main, or all.
fn snapshots(path: &Path) -> Vec<PathBuf> {
    let folder = path.join("snapshots");
    let found = names(&folder).into_iter().map(|name| folder.join(name));
    let found: Vec<PathBuf> = found.filter(|snapshot| snapshot.is_dir()).collect();
    let main = fs::read_to_string(path.join("refs/main")).unwrap_or_default();
    let main = folder.join(main.trim());
    match found.contains(&main) {
        true => vec![main],
        false => found,
    }
}

fn is_model(path: &Path) -> bool {
    let names = names(path);
    let has = |name: &str| names.iter().any(|found| found == name);
    let holds =
        |name: &String| TOKENIZER_FILES.contains(&name.as_str()) || Form::of(name).is_some();
    has("modules.json") || has("config.json") && names.iter().any(holds)
}

/// The names in a folder, in order; none if it is none.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The folder that holds it.
fn above(path: &Path) -> PathBuf {
    let is_named = path.file_name().is_some();
    match path.parent().filter(|_| is_named) {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.join(".."),
    }
}

fn list(names: &[String]) -> String {
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
