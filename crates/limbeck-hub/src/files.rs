//! Which files of a model limbeck reads: those that `limbeck_model::Folder` takes from a folder.

use std::collections::BTreeSet;

use limbeck_recipe::{ConfigError, HubId, SentenceHead, TOKENIZER_FILES, WEIGHTS_INDEX, shards};

use crate::error::HubError;

/// The file that says how a text's vector is made.
pub const MODULES: &str = "modules.json";
/// Further files that change it, where there are modules.
const WITH_MODULES: [&str; 2] = [
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
];
/// Files that change the tokens, and those that do so only without the first.
const OF_TOKENS: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];
const OF_TOKENS_ALONE: [&str; 2] = ["special_tokens_map.json", "added_tokens.json"];
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
    let mut needed = possible(&has, encoder, head);
    needed.retain(|file| has(file));
    needed.push(join(encoder, "config.json"));
    needed.extend(index(&has, encoder));
    needed.extend(weights);
    let mut seen = BTreeSet::new();
    needed.retain(|file| seen.insert(file.clone()));
    Ok(needed)
}

/// Whether a folder has what is needed, as far as it tells itself.
pub fn are_whole(has: Has<'_>, encoder: &str, read: Read<'_>) -> bool {
    let whole = |weights: Vec<String>| weights.iter().all(|shard| has(shard));
    let weights = weights(has, encoder, read);
    let has_words = |file: &String| {
        let is_vocabulary = VOCABULARIES.iter().any(|end| file.ends_with(end));
        is_vocabulary && has(file)
    };
    has(&join(encoder, "config.json"))
        && tokenizers(encoder).any(|file| has_words(&file))
        && weights.ok().flatten().is_some_and(whole)
}

/// What limbeck reads beside a config and the encoder's weights, where a model has it. A module's weights are read as PyTorch's where
/// there are no others.
pub fn possible(has: Has<'_>, encoder: &str, head: Vec<String>) -> Vec<String> {
    let head = head
        .into_iter()
        .map(|name| match name.starts_with("sentence_") {
            true => join(encoder, &name),
            false => name,
        });
    let is_second = |name: &String| {
        name.strip_suffix(PYTORCH)
            .is_some_and(|folder| has(&format!("{folder}{WEIGHTS}")))
    };
    let possible = head.chain(tokenizers(encoder));
    possible.filter(|name| !is_second(name)).collect()
}

/// Whether something else is computed, and no error said, where a file is missing that a model has.
pub fn decides(has: Has<'_>, encoder: &str, file: &str) -> bool {
    let name = match file.strip_prefix(encoder) {
        Some(name) if !encoder.is_empty() => name.trim_start_matches('/'),
        _ => file,
    };
    let is_one = |names: &[&str]| names.contains(&name);
    let has_tokenizer = has(&join(encoder, OF_TOKENS[0]));
    file == MODULES
        || is_one(&OF_TOKENS)
        || is_one(&WITH_MODULES) && has(MODULES)
        || is_one(&OF_TOKENS_ALONE) && !has_tokenizer
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

fn tokenizers(encoder: &str) -> impl Iterator<Item = String> {
    TOKENIZER_FILES.iter().map(move |file| join(encoder, file))
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
