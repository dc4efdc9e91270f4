//! Vocabularies with fewer tokens, of every kind of folder: texts keep their tokens as long as those are there, and fall apart into
//! smaller ones where they are not.
#![allow(clippy::unwrap_used)]

mod folder;

use std::collections::{BTreeSet, HashSet};

use folder::{Files, folder, golden, ids, names, read};
use limbeck_tokenizer::{Keep, Kept, Tokenizer};
use serde_json::{Value, json};

fn texts() -> Vec<String> {
    serde_json::from_value(golden("texts")).unwrap()
}

/// How often each token is in texts.
fn counts<'a>(tokenizer: &Tokenizer, texts: impl IntoIterator<Item = &'a String>) -> Vec<u64> {
    let mut counts = vec![0; 5000];
    for text in texts {
        for id in ids(tokenizer, text) {
            counts[id as usize] += 1;
        }
    }
    counts
}

/// The files of the folder without its tokenizer's, and with those of the pruned one.
fn pruned(tokenizer: &Tokenizer, files: &Files, kept: &[u32]) -> Files {
    let new = tokenizer.pruned_files(kept, &|name| files.get(name).map(String::as_bytes));
    let new = new.unwrap().into_iter();
    let mut all: Files = new
        .map(|(name, content)| (name, String::from_utf8(content).unwrap()))
        .collect();
    all.extend(
        files
            .get("config.json")
            .map(|c| ("config.json".into(), c.clone())),
    );
    all
}

fn json_of(files: &Files) -> Value {
    serde_json::from_str(&files["tokenizer.json"]).unwrap()
}

/// What tokens stand for: bytes for those that are written as such, and the tokens without the mark of WordPiece.
fn written(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u8> {
    let json = tokenizer.to_json().unwrap();
    let mark = if json.contains("\"WordPiece\"") {
        "##"
    } else {
        ""
    };
    let mut bytes = Vec::new();
    for id in ids {
        let token = tokenizer.token(*id);
        let code = token.strip_prefix("<0x").and_then(|t| t.get(..2));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(token.strip_prefix(mark).unwrap_or(&token).bytes()),
        }
    }
    bytes
}

fn error<T>(result: Result<T, limbeck_tokenizer::TokenizerError>) -> String {
    result.err().unwrap().to_string()
}

/// Whether a text's tokens are all there, and none stands for what the vocabulary lacks.
fn is_kept(tokenizer: &Tokenizer, ids: &[u32], kept: &[u32]) -> bool {
    let known = |id: &u32| kept.contains(id) && tokenizer.unknown() != Some(*id);
    ids.iter().all(known)
}

#[test]
fn texts_keep_their_tokens_or_fall_apart_into_smaller_ones() {
    let texts = texts();
    for name in names() {
        let (files, _) = folder(&name);
        let whole = read(&files).unwrap();
        // Every other text decides; the rest meet what is not there.
        let counts = counts(&whole, texts.iter().step_by(2));
        let Kept {
            ids: kept,
            covered,
            counted,
        } = whole.keep(&counts, Keep::Share(0.9), &[]).unwrap();
        assert!(
            covered as f64 >= 0.9 * counted as f64,
            "{name}: {covered} of {counted}"
        );
        assert!(kept.len() < whole.vocabulary(), "{name}: {}", kept.len());
        let files = pruned(&whole, &files, &kept);
        let small = read(&files).unwrap();
        let alone = Tokenizer::from_json(files["tokenizer.json"].as_bytes()).unwrap();
        assert_eq!(small.vocabulary(), kept.len(), "{name}");
        let (mut same, mut smaller) = (0, 0);
        for text in &texts {
            let (before, after) = (ids(&whole, text), ids(&small, text));
            assert!(
                after.iter().all(|id| (*id as usize) < kept.len()),
                "{name}: {text:?}"
            );
            let in_whole: Vec<u32> = after.iter().map(|id| kept[*id as usize]).collect();
            for (id, old) in after.iter().zip(&in_whole) {
                assert_eq!(small.token(*id), whole.token(*old), "{name}");
            }
            // No tokenizer.json can say `split_special_tokens`.
            if !name.ends_with("split-special") {
                assert_eq!(ids(&alone, text), after, "{name}: {text:?}");
            }
            if is_kept(&whole, &before, &kept) {
                assert_eq!(in_whole, before, "{name}: {text:?}");
                same += 1;
            } else if is_kept(&whole, &before, &before) && is_kept(&whole, &in_whole, &kept) {
                assert_eq!(
                    written(&small, &after),
                    written(&whole, &before),
                    "{name}: {text:?}"
                );
                smaller += 1;
            }
        }
        assert!(
            same > 30 && smaller > 5,
            "{name}: {same} the same, {smaller} in smaller ones"
        );
    }
}

/// All that occur are all that a text needs: none of them changes, whatever else is gone.
#[test]
fn every_token_that_occurs_is_enough() {
    let texts = texts();
    for name in names() {
        let (files, _) = folder(&name);
        let whole = read(&files).unwrap();
        let kept = whole
            .keep(&counts(&whole, &texts), Keep::Share(1.0), &[])
            .unwrap();
        assert_eq!(kept.covered, kept.counted, "{name}");
        let small = read(&pruned(&whole, &files, &kept.ids)).unwrap();
        for text in &texts {
            let before = ids(&whole, text);
            if is_kept(&whole, &before, &before) {
                let after = ids(&small, text);
                let after: Vec<u32> = after.iter().map(|id| kept.ids[*id as usize]).collect();
                assert_eq!(after, before, "{name}: {text:?}");
            }
        }
    }
}

/// No merge is without its parts or its result, and no token without a merge that makes it.
#[test]
fn merges_are_closed() {
    for name in [
        "roberta-json",
        "roberta-merges",
        "roberta-as-file",
        "sentencepiece-bpe",
    ] {
        let (files, _) = folder(name);
        let whole = read(&files).unwrap();
        let before: Value = serde_json::from_str(&whole.to_json().unwrap()).unwrap();
        let results = |json: &Value| -> HashSet<String> {
            let merges = json["model"]["merges"].as_array().unwrap().iter();
            let pair = |merge: &Value| [0, 1].map(|part| merge[part].as_str().unwrap().to_owned());
            merges.map(|merge| pair(merge).concat()).collect()
        };
        for size in [420, 500, 700] {
            let texts = texts();
            let kept = whole
                .keep(&counts(&whole, &texts), Keep::Tokens(size), &[])
                .unwrap();
            assert_eq!(kept.ids.len(), size, "{name}");
            let after = json_of(&pruned(&whole, &files, &kept.ids));
            let vocabulary = after["model"]["vocab"].as_object().unwrap();
            let merges = after["model"]["merges"].as_array().unwrap();
            for merge in merges {
                let [a, b] = [0, 1].map(|part| merge[part].as_str().unwrap());
                for token in [a, b, &format!("{a}{b}")] {
                    assert!(vocabulary.contains_key(token), "{name}, {size}: {token}");
                }
            }
            assert!(merges.len() > 50, "{name}, {size}: {}", merges.len());
            let (made, made_before) = (results(&after), results(&before));
            // Added tokens are found in a text before anything is merged.
            let added = after["added_tokens"].as_array().unwrap();
            let is_added = |token: &str| added.iter().any(|t| t["content"] == token);
            let lost = vocabulary
                .keys()
                .find(|t| made_before.contains(*t) && !made.contains(*t) && !is_added(t));
            assert_eq!(lost, None, "{name}, {size}");
        }
    }
}

/// So many tokens are so many, the rarest of which occur nowhere if a text has too few.
#[test]
fn a_number_of_tokens_is_kept() {
    let (files, _) = folder("xlmr-json");
    let whole = read(&files).unwrap();
    let counts = counts(&whole, &["The quick brown fox".to_owned()]);
    let kept = whole.keep(&counts, Keep::Tokens(900), &[]).unwrap();
    assert_eq!((kept.ids.len(), kept.covered), (900, kept.counted));
    let (files, _) = folder("bert-json");
    let whole = read(&files).unwrap();
    let all = whole
        .keep(&counts, Keep::Tokens(whole.vocabulary()), &[])
        .unwrap();
    assert_eq!(all.ids.len(), whole.vocabulary());
    let same = read(&pruned(&whole, &files, &all.ids)).unwrap();
    assert_eq!(same.difference(&whole).unwrap(), None);
}

/// Special tokens, bytes and what the model names outlive any text; fewer are refused, with their number.
#[test]
fn some_tokens_are_always_kept() {
    for (name, least) in [
        ("bert-json", 6),
        ("roberta-json", 262),
        ("sentencepiece-bpe", 260),
        ("xlmr-json", 7),
        ("deberta-json", 7),
    ] {
        let (files, _) = folder(name);
        let whole = read(&files).unwrap();
        let needed = [300];
        let refusal = error(whole.keep(&[], Keep::Tokens(3), &needed));
        assert!(
            refusal.contains(&format!(
                "3 tokens are fewer than the {least} that are kept"
            )),
            "{name}: {refusal}"
        );
        let kept = whole.keep(&[], Keep::Tokens(least), &needed).unwrap();
        let tokens: BTreeSet<String> = kept.ids.iter().map(|id| whole.token(*id)).collect();
        assert!(kept.ids.contains(&300), "{name}");
        let expected: &[&str] = match name {
            "bert-json" | "deberta-json" => &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
            "roberta-json" => &["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "Ġ", "ÿ"],
            "sentencepiece-bpe" => &["<0x00>", "<0xFF>"],
            _ => &["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        };
        for token in expected {
            assert!(tokens.contains(*token), "{name}: {token} in {tokens:?}");
        }
        let small = read(&pruned(&whole, &files, &kept.ids)).unwrap();
        assert_eq!(small.encode(&["\u{6a21} x"]).unwrap().len(), 1, "{name}");
    }
}

/// Ids are in templates, among added tokens and in tokenizer_config.json.
#[test]
fn ids_are_renumbered_wherever_they_are() {
    let (mut files, _) = folder("bert-json");
    let mut json = json_of(&files);
    let ids_of = json["model"]["vocab"].as_object().unwrap();
    let id = |token: &str| ids_of[token].as_u64().unwrap();
    let size = ids_of.len();
    let config = json!({
        "tokenizer_class": "BertTokenizer",
        "added_tokens_decoder": {
            id("[CLS]").to_string(): {"content": "[CLS]", "special": true},
            size.to_string(): {"content": "[X]", "special": false},
        },
    });
    json["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": size, "content": "[X]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false
    }));
    files.insert("tokenizer.json".into(), json.to_string());
    files.insert("tokenizer_config.json".into(), config.to_string());
    let whole = read(&files).unwrap();
    let kept = whole
        .keep(&counts(&whole, &["the dog".into()]), Keep::Tokens(20), &[])
        .unwrap();
    let files = pruned(&whole, &files, &kept.ids);
    let json = json_of(&files);
    let added = json["added_tokens"].as_array().unwrap();
    let x = added
        .iter()
        .find(|token| token["content"] == "[X]")
        .unwrap();
    assert_eq!(x["id"], 19);
    let cls = &json["model"]["vocab"]["[CLS]"];
    assert_eq!(
        json["post_processor"]["special_tokens"]["[CLS]"]["ids"][0],
        *cls
    );
    let config: Value = serde_json::from_str(&files["tokenizer_config.json"]).unwrap();
    let decoder = config["added_tokens_decoder"].as_object().unwrap();
    assert_eq!(decoder[&cls.to_string()]["content"], "[CLS]");
    assert_eq!(decoder["19"]["content"], "[X]");
    let small = read(&files).unwrap();
    assert_eq!(ids(&small, "the [X]").last(), ids(&small, "").last());
    assert!(ids(&small, "the [X]").contains(&19));
}

/// A token that another one makes must stay; an id of no token, and one named twice, are no choice.
#[test]
fn what_cannot_be_pruned_is_refused() {
    let (files, _) = folder("bert-json");
    let whole = read(&files).unwrap();
    let refused = |kept: &[u32]| {
        error(whole.pruned_files(kept, &|name| files.get(name).map(String::as_bytes)))
    };
    assert!(
        refused(&[0, 1, 2, 3, 4, 9999]).contains("tokens"),
        "{}",
        refused(&[0, 9999])
    );
    assert!(refused(&[0, 2, 1]).contains("do not increase"));
    let suffixed = json!({
        "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2}, "merges": [["a", "b</w>"]], "end_of_word_suffix": "</w>"},
    });
    let suffixed = Tokenizer::from_json(suffixed.to_string().as_bytes()).unwrap();
    let refusal = error(suffixed.keep(&[], Keep::Tokens(2), &[]));
    assert!(
        refusal.contains("end_of_word_suffix `</w>` cannot be pruned"),
        "{refusal}"
    );
}
