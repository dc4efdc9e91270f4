//! Which files of a model limbeck reads: those that `limbeck_model::Folder` takes from a folder.

use std::collections::BTreeSet;

use limbeck_recipe::{ConfigError, HubId, SentenceHead, TOKENIZER_FILES, WEIGHTS_INDEX, shards};

use crate::error::HubError;

const MODULES: &str = "modules.json";
const WEIGHTS: &str = "model.safetensors";
const PYTORCH: &str = "pytorch_model.bin";

/// The files of tokenizers that have their words.
const VOCABULARIES: [&str; 4] = ["tokenizer.json", "vocab.txt", "vocab.json", ".bpe.model"];

/// Whether there is a file.
type Has<'a> = &'a dyn Fn(&str) -> bool;
/// The content of a file that is in the cache.
type Read<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// The file that says where the encoder is.
pub fn modules(has: Has<'_>) -> Vec<String> {
    let modules = has(MODULES).then(|| MODULES.to_owned());
    modules.into_iter().collect()
}

/// The file that says which others are needed for weights in several. `encoder` is the folder of the encoder: mostly ``.
pub fn index(has: Has<'_>, encoder: &str) -> Vec<String> {
    let index = join(encoder, WEIGHTS_INDEX);
    match has(&join(encoder, WEIGHTS)) {
        false if has(&index) => vec![index],
        _ => Vec::new(),
    }
}

/// The folder of the encoder, and the names of what else makes a vector of a text.
pub fn head(name: &str, read: Read<'_>) -> Result<(String, Vec<String>), ConfigError> {
    SentenceHead::files(name, read(MODULES).as_deref())
}

/// All that limbeck reads of a model, the weights last.
///
/// # Errors
/// It has no weights or config that limbeck reads, or an index is damaged.
pub fn needed(
    (id, host): (&HubId, &str),
    names: &[&str],
    encoder: &str,
    head: Vec<String>,
    read: Read<'_>,
) -> Result<Vec<String>, HubError> {
    let has = |file: &str| names.contains(&file);
    let refuse = |what: String, advice: String| {
        Err(HubError::OtherFiles {
            id: id.to_string(),
            host: host.to_owned(),
            what,
            advice,
        })
    };
    if names.iter().any(|name| name.starts_with("adapter_")) && !has(&join(encoder, WEIGHTS)) {
        return refuse(
            "is an adapter of another model".to_owned(),
            "merge the two with peft (merge_and_unload), and name the folder of the result"
                .to_owned(),
        );
    }
    if !has(&join(encoder, "config.json")) {
        return refuse(
            "has no config.json".to_owned(),
            "name a model that has one, such as sentence-transformers/all-MiniLM-L6-v2".to_owned(),
        );
    }
    let Some(weights) = weights(&has, encoder, read)? else {
        return match has(&join(encoder, PYTORCH)) {
            true => refuse(
                format!(
                    "has its weights only as {PYTORCH}, which is not downloaded because such files can run code in other \
                     programs"
                ),
                format!(
                    "name a revision with {WEIGHTS} (many models have them in a pull request: {}@refs/pr/N), or download the \
                     model yourself (hf download {}) and name its folder",
                    id.model, id.model
                ),
            ),
            false => refuse(
                format!("has no {WEIGHTS}, but {}", others(names)),
                "name the model that these were converted from".to_owned(),
            ),
        };
    };
    if let Some(shard) = weights.iter().find(|shard| !has(shard)) {
        return refuse(
            format!("has no {shard}, which its index names"),
            "tell its authors, or name another revision".to_owned(),
        );
    }
    let mut needed = of_head(&has, encoder, head);
    needed.push(join(encoder, "config.json"));
    needed.extend(tokenizers(&has, encoder));
    needed.extend(index(&has, encoder));
    needed.extend(weights);
    let mut seen = BTreeSet::new();
    needed.retain(|file| seen.insert(file.clone()));
    Ok(needed)
}

/// Whether a folder has what is needed, as far as it tells itself.
pub fn are_whole(has: Has<'_>, read: Read<'_>) -> bool {
    let Ok((encoder, _)) = head("", read) else {
        return false;
    };
    let whole = |weights: Vec<String>| weights.iter().all(|shard| has(shard));
    let weights = weights(has, &encoder, read);
    let has_words = |file: &String| VOCABULARIES.iter().any(|end| file.ends_with(end));
    has(&join(&encoder, "config.json"))
        && tokenizers(has, &encoder).iter().any(has_words)
        && weights.ok().flatten().is_some_and(whole)
}

/// The files of the weights; none if there is neither one file nor an index.
fn weights(
    has: Has<'_>,
    encoder: &str,
    read: Read<'_>,
) -> Result<Option<Vec<String>>, ConfigError> {
    let one = join(encoder, WEIGHTS);
    if has(&one) {
        return Ok(Some(vec![one]));
    }
    let index = join(encoder, WEIGHTS_INDEX);
    let Some(bytes) = has(&index).then(|| read(&index)).flatten() else {
        return Ok(None);
    };
    let shards = shards(&index, &bytes)?;
    Ok(Some(
        shards.iter().map(|shard| join(encoder, shard)).collect(),
    ))
}

fn tokenizers(has: Has<'_>, encoder: &str) -> Vec<String> {
    let files = TOKENIZER_FILES.iter().map(|file| join(encoder, file));
    files.filter(|file| has(file)).collect()
}

/// What there is of the head. A module's weights are read as PyTorch's where there are no others.
fn of_head(has: Has<'_>, encoder: &str, head: Vec<String>) -> Vec<String> {
    let names = head
        .into_iter()
        .map(|name| match name.starts_with("sentence_") {
            true => join(encoder, &name),
            false => name,
        });
    let is_second = |name: &String| {
        name.strip_suffix(PYTORCH)
            .is_some_and(|folder| has(&format!("{folder}{WEIGHTS}")))
    };
    names.filter(|name| has(name) && !is_second(name)).collect()
}

fn others(names: &[&str]) -> String {
    let ends = [
        ".onnx",
        ".gguf",
        ".h5",
        ".msgpack",
        ".ot",
        ".bin",
        ".safetensors",
        ".ckpt",
    ];
    let mut weights = names
        .iter()
        .filter(|name| ends.iter().any(|end| name.ends_with(end)));
    match (weights.next(), weights.count()) {
        (None, _) => "no other weights either".to_owned(),
        (Some(first), 0) => (*first).to_owned(),
        (Some(first), more) => format!("{first} and {more} more in other formats"),
    }
}

fn join(folder: &str, file: &str) -> String {
    match folder.is_empty() {
        true => file.to_owned(),
        false => format!("{folder}/{file}"),
    }
}
