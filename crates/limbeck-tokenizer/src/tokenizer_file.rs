//! What the tokenizers crate takes from a tokenizer.json without looking, and then panics on: when it reads the file, or at a
//! text that meets it. In a browser nothing catches a panic, so it is looked at here before.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// The parts of the file that are looked at; a vocabulary of 250,000 tokens is passed over.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    continuing_subword_prefix: Option<String>,
    merges: Option<Vec<Merge>>,
    unk_id: Option<u32>,
}

/// Two tokens that become one, in either way of writing them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair([String; 2]),
}

/// Looks at the bytes of a tokenizer.json, and gives the id of Unigram's unknown token.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check(json: &[u8]) -> Result<Option<u32>, String> {
    let parts: Parts = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    for (part, look) in [
        (&parts.normalizer, charsmap as fn(&Value) -> Checked),
        (&parts.pre_tokenizer, fixed_length),
        (&parts.post_processor, template),
    ] {
        part.iter().try_for_each(|part| each_object(part, look))?;
    }
    parts.model.iter().try_for_each(merges)?;
    Ok(parts.model.and_then(|model| model.unk_id))
}

type Checked = Result<(), String>;

/// Parts may be nested in sequences.
fn each_object(value: &Value, look: fn(&Value) -> Checked) -> Checked {
    match value {
        Value::Object(fields) => {
            look(value)?;
            fields
                .values()
                .try_for_each(|inner| each_object(inner, look))
        }
        Value::Array(items) => items.iter().try_for_each(|inner| each_object(inner, look)),
        _ => Ok(()),
    }
}

fn is_of_type(part: &Value, name: &str) -> bool {
    part["type"] == name
}

fn charsmap(part: &Value) -> Checked {
    const FIELD: &str = "precompiled_charsmap";
    let map = part.get(FIELD);
    if map.is_none() && !is_of_type(part, "Precompiled") {
        return Ok(());
    }
    let wrong = |reason: String| format!("its {FIELD} {reason}");
    let Some(text) = map.and_then(Value::as_str) else {
        return Err(wrong("is not a text in base64".into()));
    };
    let bytes = BASE64_STANDARD.decode(text);
    let bytes = bytes.map_err(|e| wrong(format!("is not base64: {e}")))?;
    Trie::read(&bytes)
        .and_then(|trie| trie.check())
        .ok_or_else(|| wrong("is damaged: it leads out of its own bytes".into()))
}

/// SentencePiece's charsmap: the length of a trie in bytes, the trie as a double array of u32, and the texts that its
/// leaves point into (darts-clone, and `spm_precompiled`, which walks it without looking).
struct Trie<'a> {
    units: Vec<usize>,
    texts: &'a str,
}

impl<'a> Trie<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (units, texts) = rest.split_at_checked(length - length % 4)?;
        let units = units.as_chunks::<4>().0.iter();
        Some(Self {
            units: units
                .map(|unit| u32::from_le_bytes(*unit) as usize)
                .collect(),
            texts: std::str::from_utf8(texts).ok()?,
        })
    }

    /// Goes wherever a text can lead. From a place every byte is looked up, and one leads on if it is the label there.
    fn check(&self) -> Option<()> {
        let root = offset(*self.units.first()?);
        let mut seen = HashSet::from([root]);
        let mut waiting = vec![root];
        while let Some(place) = waiting.pop() {
            for byte in 1..=255 {
                let unit = *self.units.get(place ^ byte)?;
                if label(unit) != byte {
                    continue;
                }
                let next = place ^ byte ^ offset(unit);
                if has_leaf(unit) {
                    let text = value(*self.units.get(next)?);
                    self.texts.get(text..)?;
                }
                if seen.insert(next) {
                    waiting.push(next);
                }
            }
        }
        Some(())
    }
}

fn has_leaf(unit: usize) -> bool {
    unit >> 8 & 1 == 1
}

fn value(unit: usize) -> usize {
    unit & 0x7fff_ffff
}

fn label(unit: usize) -> usize {
    unit & 0x8000_00ff
}

fn offset(unit: usize) -> usize {
    (unit >> 10) << ((unit & 1 << 9) >> 6)
}

fn fixed_length(part: &Value) -> Checked {
    match is_of_type(part, "FixedLength") && part["length"] == 0 {
        true => Err("its FixedLength has a length of 0".into()),
        false => Ok(()),
    }
}

/// The tokens that are put around a text must be there, and every text once: cut to a length, each is counted once.
fn template(part: &Value) -> Checked {
    for (kind, of) in [("single", "one text"), ("pair", "two texts")] {
        let pieces = part[kind].as_array().into_iter().flatten();
        let mut texts = pieces.filter_map(|piece| piece["Sequence"]["id"].as_str());
        let mut seen = HashSet::new();
        if let Some(twice) = texts.find(|text| !seen.insert(*text)) {
            return Err(format!("its template for {of} has the text {twice} twice"));
        }
    }
    let Some(pieces) = part["single"].as_array() else {
        return Ok(());
    };
    let tokens = &part["special_tokens"];
    for piece in pieces {
        let id = |kind: &str| piece[kind]["id"].as_str();
        let id = match (id("Sequence"), id("SpecialToken")) {
            (Some("A"), None) => continue,
            (None, Some(id)) => id,
            _ => {
                return Err(format!(
                    "its template for one text has the part {piece}, which is neither that text, A, nor a special token"
                ));
            }
        };
        let token = &tokens[id];
        let count = |list: &str| token[list].as_array().map(Vec::len);
        match (count("ids"), count("tokens")) {
            (Some(ids), Some(tokens)) if ids == tokens => {}
            (None, None) => {
                return Err(format!(
                    "its template names the special token `{id}`, which is not among its special_tokens"
                ));
            }
            _ => {
                return Err(format!(
                    "its special token `{id}` has not as many ids as tokens"
                ));
            }
        }
    }
    Ok(())
}

/// The prefix of the second token is cut off when two are joined.
fn merges(model: &Model) -> Checked {
    let prefix = model
        .continuing_subword_prefix
        .as_deref()
        .unwrap_or_default();
    let second = |merge: &Merge| match merge {
        Merge::Line(line) => line.split(' ').nth(1).map(str::to_owned),
        Merge::Pair([_, second]) => Some(second.clone()),
    };
    let mut seconds = model.merges.iter().flatten().filter_map(second);
    match seconds.find(|second| second.get(prefix.len()..).is_none()) {
        Some(second) => Err(format!(
            "it joins tokens with `{second}`, which is shorter than the prefix `{prefix}` that it should have"
        )),
        None => Ok(()),
    }
}
