//! What is told from the names, sizes and first bytes of files, before an engine reads them.

use limbeck_recipe::{Config, TOKENIZER_FILES};
use serde_json::Value;

use crate::words;

/// A tab holds a file twice for a moment (page and worker), and wasm has 4 GiB at most.
pub const LARGEST: u64 = 1_000_000_000;
/// Bytes of a text that are looked at.
pub const FIRST: u64 = 64 << 10;
/// The format's own limit for a header.
const LONGEST_HEADER: u64 = 100_000_000;
const INDEX: &str = limbeck_recipe::WEIGHTS_INDEX;
const WEIGHTS: &str = "model.safetensors";
/// Refuses a file by its size alone.
pub fn size(name: &str, bytes: u64) -> Result<(), String> {
    if bytes <= LARGEST {
        return Ok(());
    }
    Err(format!(
        "{name} is {} large; a browser tab takes files up to {}. Train with the command line, which reads files of any size",
        words::bytes(bytes),
        words::bytes(LARGEST)
    ))
}

/// Which of the files (by path) make a model: the folder with the config.json that lies least deep. With the name of each in that
/// folder, as `1_Pooling/config.json`.
pub fn model_in<'a>(source: &str, paths: &'a [String]) -> Result<Vec<(usize, &'a str)>, String> {
    let folder = paths
        .iter()
        .filter_map(|path| split(path).1.eq("config.json").then_some(split(path).0))
        .min_by_key(|folder| (depth(folder), folder.len()))
        .or_else(|| weights_folder(paths))
        .unwrap_or("");
    let inside = |path: &'a String| match folder {
        "" => Some(path.as_str()),
        _ => path.strip_prefix(folder)?.strip_prefix('/'),
    };
    let here: Vec<(usize, &str)> = paths
        .iter()
        .enumerate()
        .filter_map(|(at, path)| Some((at, inside(path)?)))
        .collect();
    let has = |name: &str| here.iter().any(|(_, file)| *file == name);
    let whole = has(WEIGHTS);
    if has("config.json") && !whole && !has(INDEX) && has("pytorch_model.bin") {
        return Err(pytorch_only(source));
    }
    if has("adapter_config.json") && !(has("config.json") && (whole || has(INDEX))) {
        return Err(adapter(source));
    }
    let mut missing = Vec::new();
    if !has("config.json") {
        missing.push("config.json");
    }
    if !whole && !has(INDEX) {
        missing.push("model.safetensors");
    }
    let of_merges = has("vocab.json") && has("merges.txt");
    if !has("tokenizer.json") && !has("vocab.txt") && !of_merges {
        missing.push("tokenizer.json (or vocab.txt)");
    }
    if !missing.is_empty() {
        return Err(not_a_model(source, paths, &missing));
    }
    let needed = |file: &str| {
        file == "config.json"
            || TOKENIZER_FILES.contains(&file)
            || is_of_head(file)
            || if whole {
                file == WEIGHTS
            } else {
                file == INDEX || is_shard(file)
            }
    };
    Ok(here.into_iter().filter(|(_, file)| needed(file)).collect())
}

/// Whether a file says how sentence-transformers makes one vector of a text: modules.json, settings, and what lies in the folders
/// of modules, `1_Pooling` and `2_Dense`. The engine leaves out what no module asks for.
pub fn is_of_head(file: &str) -> bool {
    file == "modules.json"
        || file.contains("sentence_")
        || file.starts_with(|first: char| first.is_ascii_digit())
}

/// Folder and name of a path.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn depth(folder: &str) -> usize {
    folder.split('/').filter(|part| !part.is_empty()).count()
}

fn weights_folder(paths: &[String]) -> Option<&str> {
    let named = paths.iter().map(|path| split(path));
    named
        .filter(|(_, file)| file.ends_with(".safetensors"))
        .map(|(folder, _)| folder)
        .min()
}

fn is_shard(file: &str) -> bool {
    file.starts_with("model-") && is_safetensors(file)
}

/// Whether a file has to have a safetensors header.
pub fn is_safetensors(file: &str) -> bool {
    file.ends_with(".safetensors")
}

fn pytorch_only(source: &str) -> String {
    format!(
        "{source} has its weights as pytorch_model.bin, which a browser cannot read. Convert them to model.safetensors \
         and choose it again; in Python: AutoModel.from_pretrained(\"{source}\").save_pretrained(\"converted\")"
    )
}

fn adapter(source: &str) -> String {
    format!(
        "{source} holds an adapter (adapter_config.json), not a whole model. Merge it first; in Python: \
         AutoPeftModel.from_pretrained(\"{source}\").merge_and_unload().save_pretrained(\"merged\"), and the tokenizer beside it"
    )
}

fn not_a_model(source: &str, paths: &[String], missing: &[&str]) -> String {
    let verb = if missing.len() == 1 { "is" } else { "are" };
    format!(
        "{source} is not a model: {} {verb} missing. It holds {}. Choose a Hugging Face folder: config.json, \
         model.safetensors and tokenizer.json together",
        missing.join(", "),
        words::some_of(paths)
    )
}

/// Checks config.json as far as the page can.
pub fn config(json: &[u8]) -> Result<Config, String> {
    Config::parse("config.json", json)
        .map_err(|e| format!("{e}. Choose an encoder of one of these kinds"))
}

/// Checks that every shard that the index names is there.
pub fn shards(index: &[u8], files: &[String]) -> Result<(), String> {
    let wrong = |reason: &str| format!("{INDEX}: {reason}. Download the file again");
    let json: Value =
        serde_json::from_slice(index).map_err(|e| wrong(&format!("not JSON: {e}")))?;
    let map = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| wrong("no `weight_map`"))?;
    let mut missing: Vec<String> = Vec::new();
    for shard in map.values().filter_map(Value::as_str) {
        if !files.iter().any(|file| file == shard)
            && let Err(at) = missing.binary_search_by(|name| name.as_str().cmp(shard))
        {
            missing.insert(at, shard.to_owned());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{INDEX} names {}, which is not there. Choose all files of the model together",
        words::some_of(&missing)
    ))
}

/// How long the header of a safetensors file is, by its first eight bytes.
pub fn header_length(file: &str, first: &[u8], bytes: u64) -> Result<u64, String> {
    let Some(length) = first.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else {
        return Err(format!(
            "{file} is truncated: it has {} bytes. Download or copy it again",
            first.len()
        ));
    };
    if !(2..=LONGEST_HEADER).contains(&length) {
        return Err(format!(
            "{file} is not a safetensors file: its first eight bytes say that its header has {} bytes. Download it again",
            words::count(length)
        ));
    }
    if length + 8 > bytes {
        return Err(truncated(file, length + 8, bytes));
    }
    Ok(length)
}

/// Checks that a safetensors file is as long as its header says.
pub fn header(file: &str, header: &[u8], bytes: u64) -> Result<(), String> {
    let tensors: serde_json::Map<String, Value> = serde_json::from_slice(header).map_err(|e| {
        format!("{file} is damaged: its header is not JSON ({e}). Download it again")
    })?;
    let ends = tensors
        .values()
        .filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    let end = (8 + header.len() as u64).saturating_add(ends.max().unwrap_or(0));
    if end > bytes {
        return Err(truncated(file, end, bytes));
    }
    Ok(())
}

/// Checks that a safetensors header is a checkpoint's.
pub fn is_checkpoint(file: &str, header: &[u8]) -> Result<(), String> {
    let json: Option<Value> = serde_json::from_slice(header).ok();
    if json.is_some_and(|json| json.pointer("/__metadata__/limbeck").is_some()) {
        return Ok(());
    }
    Err(format!(
        "{file} holds weights, but not a run of limbeck. A checkpoint comes from the Checkpoint button below or is the \
         checkpoint.safetensors of the command line; a model goes to Teacher"
    ))
}

fn truncated(file: &str, says: u64, has: u64) -> String {
    format!(
        "{file} is truncated: its header says {} bytes, the file has {}. Download or copy it again",
        words::count(says),
        words::count(has)
    )
}

/// Checks the first bytes of a text; `bytes` is its whole length.
pub fn text(name: &str, first: &[u8], bytes: u64) -> Result<(), String> {
    size(name, bytes)?;
    if first.starts_with(b"\x1f\x8b") {
        return Ok(());
    }
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return Err(format!("{name} is UTF-16. Save it as UTF-8"));
    }
    let seen = match std::str::from_utf8(first) {
        Ok(text) => text,
        // A character may be cut where we stopped reading.
        Err(e) if e.error_len().is_none() && (first.len() as u64) < bytes => {
            std::str::from_utf8(&first[..e.valid_up_to()]).unwrap_or("")
        }
        Err(e) => {
            let at = words::count(e.valid_up_to() as u64 + 1);
            return Err(format!(
                "{name} is not UTF-8 text (byte {at}). Choose plain text in UTF-8, compressed with gzip if you like"
            ));
        }
    };
    if let Some(at) = seen.find('\0') {
        return Err(format!(
            "{name} is not text: byte {} is zero. Choose plain text in UTF-8",
            words::count(at as u64 + 1)
        ));
    }
    let whole = first.len() as u64 == bytes;
    if whole && seen.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(format!(
            "{name} has no text: it is {}. Write one document per line",
            if bytes == 0 { "empty" } else { "blank" }
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chosen(names: &[&str]) -> Vec<String> {
        let all = paths(names);
        model_in("x", &all)
            .expect("a model")
            .into_iter()
            .map(|(at, name)| {
                assert!(all[at].ends_with(name), "{name}");
                name.to_owned()
            })
            .collect()
    }

    #[test]
    fn a_folder_of_a_folder_is_a_model_and_its_other_files_are_left() {
        let files = [
            "m/config.json",
            "m/model.safetensors",
            "m/onnx/model.safetensors",
            "m/pytorch_model.bin",
            "m/tokenizer.json",
            "m/README.md",
            "mm/modules.json",
        ];
        assert_eq!(
            chosen(&files),
            ["config.json", "model.safetensors", "tokenizer.json"]
        );
    }

    #[test]
    fn what_makes_a_vector_of_a_text_goes_along_by_its_place_in_the_folder() {
        let files = [
            "1_Pooling/config.json",
            "2_Dense/model.safetensors",
            "config.json",
            "config_sentence_transformers.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "vocab.txt",
        ];
        assert_eq!(chosen(&files), files);
        let in_folder = files.map(|file| format!("m/{file}"));
        let in_folder: Vec<&str> = in_folder.iter().map(String::as_str).collect();
        assert_eq!(chosen(&in_folder), files);
    }

    #[test]
    fn a_vocabulary_with_merges_is_a_tokenizer() {
        let files = [
            "config.json",
            "merges.txt",
            "model.safetensors",
            "vocab.json",
        ];
        assert_eq!(chosen(&files), files);
        assert!(model_in("x", &paths(&files[1..])).is_err());
        let without = ["config.json", "model.safetensors", "vocab.json"];
        assert!(model_in("x", &paths(&without)).is_err());
    }

    #[test]
    fn shards_are_taken_only_without_whole_weights() {
        let files = [
            "config.json",
            "vocab.txt",
            "model.safetensors.index.json",
            "model-00001-of-00001.safetensors",
        ];
        assert_eq!(chosen(&files).len(), 4);
        let both = [
            "config.json",
            "vocab.txt",
            "model.safetensors",
            "model-00001-of-00001.safetensors",
        ];
        assert_eq!(chosen(&both).len(), 3);
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = model_in("notes.zip", &paths(&["a.txt", "b.txt"])).expect_err("no model");
        assert!(message.starts_with("notes.zip is not a model: config.json, model.safetensors, tokenizer.json (or vocab.txt) are missing. It holds a.txt, b.txt."), "{message}");
        let message =
            model_in("m", &paths(&["config.json", "model.safetensors"])).expect_err("no tokenizer");
        assert!(
            message.starts_with("m is not a model: tokenizer.json (or vocab.txt) is missing."),
            "{message}"
        );
        let message = model_in(
            "m",
            &paths(&["config.json", "pytorch_model.bin", "vocab.txt"]),
        )
        .expect_err("PyTorch");
        assert!(
            message.contains("Convert them to model.safetensors"),
            "{message}"
        );
        let adapter = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "tokenizer.json",
        ];
        let message = model_in("m", &paths(&adapter)).expect_err("an adapter");
        assert!(message.starts_with("m holds an adapter"), "{message}");
    }

    #[test]
    fn files_over_a_gigabyte_are_refused() {
        assert!(size("m.zip", LARGEST).is_ok());
        let message = size("m.zip", 2 << 30).expect_err("too large");
        assert!(
            message.starts_with("m.zip is 2.1 GB large; a browser tab takes files up to 1.0 GB."),
            "{message}"
        );
    }

    #[test]
    fn truncated_weights_are_told_from_foreign_files() {
        let cut = header_length("w", &900u64.to_le_bytes(), 100).expect_err("cut");
        assert!(
            cut.starts_with("w is truncated: its header says 908 bytes, the file has 100."),
            "{cut}"
        );
        let html = header_length("w", b"<!DOCTYPE html>", 100).expect_err("HTML");
        assert!(html.starts_with("w is not a safetensors file"), "{html}");
        let tensors = br#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
        let whole = 8 + tensors.len() as u64 + 16;
        assert_eq!(header("w", tensors, whole), Ok(()));
        let cut = header("w", tensors, whole - 1).expect_err("cut");
        assert!(cut.contains("truncated"), "{cut}");
    }

    #[test]
    fn a_checkpoint_says_that_it_is_one() {
        assert_eq!(
            is_checkpoint("c", br#"{"__metadata__":{"limbeck":"{}","crc32":"0"}}"#),
            Ok(())
        );
        assert!(is_checkpoint("c", br#"{"__metadata__":{"format":"pt"}}"#).is_err());
    }

    #[test]
    fn an_unknown_family_is_named() {
        let message = config(br#"{"model_type":"gpt2"}"#).expect_err("no encoder");
        assert!(
            message.contains("`gpt2`") && message.contains("bert, roberta"),
            "{message}"
        );
    }

    #[test]
    fn missing_shards_are_named() {
        let index = br#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#;
        let message = shards(index, &paths(&["model-1.safetensors"])).expect_err("one is missing");
        assert!(message.contains("names model-2.safetensors"), "{message}");
    }

    #[test]
    fn texts_are_judged_by_their_first_bytes() {
        assert_eq!(text("t", "😀😀".as_bytes(), 8), Ok(()));
        assert_eq!(text("t", b"\x1f\x8b\xff", 3), Ok(()));
        assert_eq!(text("t", &"é".as_bytes()[..1], 2), Ok(()));
        for (bytes, says) in [
            (&b""[..], "is empty"),
            (b" \n\t", "is blank"),
            (b"\xff\xfea", "UTF-16"),
            (b"a\xffb", "(byte 2)"),
            (b"a\0b", "byte 2 is zero"),
        ] {
            let message = text("t", bytes, bytes.len() as u64).expect_err(says);
            assert!(message.contains(says), "{message}");
        }
    }
}
