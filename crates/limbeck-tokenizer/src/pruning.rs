//! A tokenizer with fewer tokens: which ones are kept, by how often a text has them, and the files that say so.
//!
//! A text whose tokens are all known and kept gives the same tokens as before, because what is taken away was not chosen there:
//!
//! - WordPiece takes the longest token that fits, and Unigram the most probable way through a word. Unigram's least probable token
//!   is kept, since what an unknown character costs follows from it;
//! - BPE merges two tokens at a time. A merge is kept with its result and both parts, and a token with all that it is made of,
//!   so every step that led to it is still there, and no new one is.
//!
//! Any other text gives smaller tokens, down to characters or bytes, or the unknown token for a character that is gone.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokenizers::models::ModelWrapper;

use crate::settings::{CONFIG, FileOf, TOKENIZER, object};
use crate::{Tokenizer, TokenizerError, labels};

const SPECIAL: &str = "special_tokens_map.json";

/// How many tokens are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// So many.
    Tokens(usize),
    /// As many as make up this share of a text's tokens, from 0 to 1.
    Share(f64),
}

/// The tokens that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Their ids, in increasing order: each one's place is its new id.
    pub ids: Vec<u32>,
    /// How many of the tokens that were counted they are.
    pub covered: u64,
    /// How many were counted, special ones left out.
    pub counted: u64,
}

impl Tokenizer {
    /// Chooses the tokens to keep by how often each occurs (`counts`, by id). Always kept are special and added tokens, those
    /// in `needed`, and all bytes. A character counts as often as the tokens that it is in: it stands for a part of them where they
    /// are gone. Of tokens that are equally frequent the one with the lower id is kept.
    ///
    /// # Errors
    /// More tokens are always kept than are asked for, or the vocabulary is of a kind that cannot be pruned.
    pub fn keep(&self, counts: &[u64], keep: Keep, needed: &[u32]) -> Result<Kept, TokenizerError> {
        let special = self.special()?;
        let vocabulary = Vocabulary::of(self)?;
        let count = |id: u32| match special.contains(&id) {
            true => 0,
            false => counts.get(id as usize).copied().unwrap_or(0),
        };
        let mut ids = self.always_kept(&vocabulary);
        let needed = needed.iter().filter(|id| vocabulary.has(**id));
        ids.extend(special.iter().chain(needed));
        let counted: u64 = vocabulary.ids().map(count).sum();
        let mut covered: u64 = ids.iter().map(|id| count(*id)).sum();
        let most = match keep {
            Keep::Tokens(most) => most,
            Keep::Share(_) => usize::MAX,
        };
        if ids.len() > most {
            return Err(TokenizerError::new(format!(
                "{most} tokens are fewer than the {} that are kept whatever the text is: special and added tokens, bytes, and those \
                 that the model names. Keep more",
                ids.len()
            )));
        }
        let suffices = |covered: u64| match keep {
            Keep::Tokens(_) => false,
            Keep::Share(share) => covered as f64 >= share * counted as f64,
        };
        for id in vocabulary.by_frequency(&count) {
            if ids.len() >= most || suffices(covered) {
                break;
            }
            let mut new = vocabulary.parts(id);
            new.retain(|id| !ids.contains(id));
            // A rarer one of fewer parts may still fit.
            if ids.len() + new.len() <= most {
                covered += new.iter().map(|id| count(*id)).sum::<u64>();
                ids.extend(new);
            }
        }
        Ok(Kept {
            ids: ids.into_iter().collect(),
            covered,
            counted,
        })
    }

    /// Tokens that stand for no text: what is put around one or two texts, special added tokens, and the unknown token.
    fn special(&self) -> Result<BTreeSet<u32>, TokenizerError> {
        let mut special: BTreeSet<u32> = self.unknown.into_iter().collect();
        special.extend(self.encode(&[""])?.into_iter().flat_map(|t| t.ids));
        let pair = self.encode_pairs(&[("", "")])?;
        special.extend(pair.into_iter().flat_map(|t| t.ids));
        let added = self.inner.get_added_tokens_decoder().into_iter();
        special.extend(added.filter(|(_, t)| t.special).map(|(id, _)| id));
        Ok(special)
    }

    /// Added tokens, which are found in a text before anything else; bytes, of which every text can be made; and the least probable
    /// token of Unigram.
    fn always_kept(&self, vocabulary: &Vocabulary) -> BTreeSet<u32> {
        let mut kept: BTreeSet<u32> = self.inner.get_added_tokens_decoder().into_keys().collect();
        let in_bytes = self.is_byte_level();
        let is_byte = |token: &str| {
            let is_letter = in_bytes && labels::bytes(token).is_some_and(|bytes| bytes.len() == 1);
            let code = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
            is_letter || code.is_some_and(|code| code.len() == 2)
        };
        let all = vocabulary.by_token.iter();
        kept.extend(all.filter(|(token, _)| is_byte(token)).map(|(_, id)| *id));
        if let ModelWrapper::Unigram(model) = self.inner.get_model() {
            let least = (0..).zip(model.iter());
            let least = least.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
            kept.extend(least.map(|(id, _): (u32, _)| id));
        }
        kept
    }

    /// The tokenizer's files for a copy of its folder in which only these tokens are left, each with its place among `kept` as its
    /// id; names and contents. The copy has no other file of a tokenizer. `files` are those of the folder, with the copy's
    /// config.json.
    ///
    /// # Errors
    /// A token that is kept is not there, or cannot get its place; or the vocabulary is of a kind that cannot be pruned.
    pub fn pruned_files(
        &self,
        kept: &[u32],
        files: FileOf<'_>,
    ) -> Result<Vec<(String, Vec<u8>)>, TokenizerError> {
        let places: HashMap<u32, u32> = kept.iter().copied().zip(0..).collect();
        let json = self.pruned_json(kept, &places)?.into_bytes();
        let mut config = object(files, CONFIG)?;
        if let Some(added) = config.get_mut("added_tokens_decoder") {
            *added = renumbered(added, &places);
        }
        let read = |config: &Map<String, Value>| {
            let config = serde_json::to_vec(config).unwrap_or_default();
            Self::from_files(&|name| match name {
                TOKENIZER => Some(&json[..]),
                CONFIG => Some(&config[..]),
                "config.json" | SPECIAL => files(name),
                _ => None,
            })
        };
        let mut pruned = read(&config)?;
        if self.alone || pruned.alone {
            standing_alone(&mut config, files)?;
            pruned = read(&config)?;
        }
        pruned.require_places(self, kept)?;
        let mut pruned = vec![(TOKENIZER.to_owned(), json)];
        if !config.is_empty() {
            let config = format!("{:#}\n", Value::Object(config));
            pruned.push((CONFIG.to_owned(), config.into_bytes()));
        }
        if let Some(special) = files(SPECIAL) {
            pruned.push((SPECIAL.to_owned(), special.to_vec()));
        }
        Ok(pruned)
    }

    /// The ids that the tokens of a pruned tokenizer have here, in their order; none if it is no smaller, or has others.
    pub fn ids_of(&self, pruned: &Self) -> Option<Vec<u32>> {
        let size = pruned.vocabulary();
        let ids = (0..u32::try_from(size).ok()?)
            .map(|id| self.inner.token_to_id(&pruned.inner.id_to_token(id)?));
        let ids: Vec<u32> = ids.collect::<Option<_>>()?;
        (size < self.vocabulary() && ids.is_sorted_by(|a, b| a < b)).then_some(ids)
    }

    /// tokenizer.json of the tokens that have a place.
    fn pruned_json(
        &self,
        kept: &[u32],
        places: &HashMap<u32, u32>,
    ) -> Result<String, TokenizerError> {
        let wrong = |e: serde_json::Error| TokenizerError::of_file(TOKENIZER, e);
        if !kept.is_sorted_by(|a, b| a < b) {
            return Err(TokenizerError::new(
                "the ids of the tokens to keep do not increase",
            ));
        }
        require_prunable(self.inner.get_model())?;
        let mut json: Value = serde_json::from_str(&self.to_json()?).map_err(wrong)?;
        let place = |id: &Value| places.get(&u32::try_from(id.as_u64()?).ok()?);
        let model = &mut json["model"];
        match &mut model["vocab"] {
            Value::Object(vocabulary) => {
                vocabulary.retain(|_, id| place(id).is_some());
                vocabulary
                    .values_mut()
                    .for_each(|id| *id = json!(place(id)));
            }
            Value::Array(pieces) => {
                let mut ids = 0..;
                pieces.retain(|_| ids.next().is_some_and(|id| places.contains_key(&id)));
                model["unk_id"] = json!(place(&model["unk_id"]));
            }
            _ => {}
        }
        if let Some(Value::Array(mut merges)) = model.get_mut("merges").map(Value::take) {
            let is_kept = |token: &str| model["vocab"].get(token).is_some();
            merges.retain(|merge| {
                pair(merge)
                    .is_some_and(|[a, b]| is_kept(a) && is_kept(b) && is_kept(&format!("{a}{b}")))
            });
            model["merges"] = merges.into();
        }
        if let Value::Array(added) = &mut json["added_tokens"] {
            added.retain(|token| place(&token["id"]).is_some());
            added
                .iter_mut()
                .for_each(|token| token["id"] = json!(place(&token["id"])));
        }
        renumber_template(&mut json["post_processor"], &place);
        serde_json::to_string(&json).map_err(wrong)
    }

    /// That each token that was kept of `whole` has its place here, and no other token is here.
    fn require_places(&self, whole: &Self, kept: &[u32]) -> Result<(), TokenizerError> {
        let found = self.vocabulary();
        if found != kept.len() {
            return Err(TokenizerError::new(format!(
                "of {} tokens to keep, a tokenizer of {found} comes out; keep the vocabulary as it is",
                kept.len()
            )));
        }
        let missing = (0..).zip(kept).find(|(place, id)| {
            let token = whole.inner.id_to_token(**id);
            token.is_none() || self.inner.id_to_token(*place) != token
        });
        match missing {
            Some((place, id)) => Err(TokenizerError::new(format!(
                "`{}` cannot be token {place} of those that are kept, because `{}` is; keep the vocabulary as it is",
                whole.token(*id),
                self.token(place)
            ))),
            None => Ok(()),
        }
    }
}

/// Has tokenizer_config.json say that tokenizer.json is all there is to a tokenizer.
pub fn standing_alone(
    config: &mut Map<String, Value>,
    files: FileOf<'_>,
) -> Result<(), TokenizerError> {
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    let model = object(files, "config.json")?;
    // What these have where their config.json does not say it.
    let two = ["bert", "electra", "nomic_bert"].map(Value::from);
    let has_types = match model.get("type_vocab_size").and_then(Value::as_u64) {
        Some(types) => types > 1,
        None => model
            .get("model_type")
            .is_some_and(|model| two.contains(model)),
    };
    // That class gives token types to every model, and some take none.
    if !has_types {
        let inputs = config.entry("model_input_names");
        inputs.or_insert_with(|| json!(["input_ids", "attention_mask"]));
    }
    Ok(())
}

fn require_prunable(model: &ModelWrapper) -> Result<(), TokenizerError> {
    let ModelWrapper::BPE(bpe) = model else {
        return Ok(());
    };
    for (part, name) in [
        (&bpe.continuing_subword_prefix, "continuing_subword_prefix"),
        (&bpe.end_of_word_suffix, "end_of_word_suffix"),
    ] {
        if let Some(part) = part.as_ref().filter(|part| !part.is_empty()) {
            return Err(TokenizerError::new(format!(
                "a BPE vocabulary with the {name} `{part}` cannot be pruned; keep it whole"
            )));
        }
    }
    Ok(())
}

/// The ids in what is put around a text: `"ids": [..]` of templates, `[token, id]` of the classes of BERT and RoBERTa.
fn renumber_template<'a>(part: &mut Value, place: &impl Fn(&Value) -> Option<&'a u32>) {
    let renumber = |id: &mut Value| {
        if let Some(place) = place(id) {
            *id = json!(place);
        }
    };
    match part {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("ids", Value::Array(ids)) => ids.iter_mut().for_each(renumber),
                    ("sep" | "cls", Value::Array(token)) => {
                        token.iter_mut().skip(1).for_each(renumber);
                    }
                    (_, value) => renumber_template(value, place),
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| renumber_template(item, place)),
        _ => {}
    }
}

/// Tokens by their ids, under those that they get.
fn renumbered(added: &Value, places: &HashMap<u32, u32>) -> Value {
    let tokens = added.as_object().into_iter().flatten();
    let tokens = tokens.filter_map(|(id, token)| {
        let place = places.get(&id.parse().ok()?)?;
        Some((place.to_string(), token.clone()))
    });
    Value::Object(tokens.collect())
}

/// The two parts of a merge.
fn pair(merge: &Value) -> Option<[&str; 2]> {
    Some([merge.get(0)?.as_str()?, merge.get(1)?.as_str()?])
}

/// All tokens, and what each can be made of.
struct Vocabulary {
    by_token: HashMap<String, u32>,
    by_id: HashMap<u32, String>,
    /// What stands before a token inside a word, in WordPiece.
    prefix: String,
    /// Whether a token is made of characters at all: not where it is a whole word, nor where it is bytes.
    has_letters: bool,
    /// Rank and result of two tokens that BPE merges.
    merges: HashMap<(u32, u32), (usize, u32)>,
}

impl Vocabulary {
    fn of(tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let model = tokenizer.inner.get_model();
        require_prunable(model)?;
        let by_token: HashMap<String, u32> = tokenizer.inner.get_vocab(true).into_iter().collect();
        let by_id = by_token.iter().map(|(token, id)| (*id, token.clone()));
        let mut vocabulary = Self {
            by_id: by_id.collect(),
            by_token,
            prefix: String::new(),
            has_letters: !tokenizer.is_byte_level() && !matches!(model, ModelWrapper::WordLevel(_)),
            merges: HashMap::new(),
        };
        match model {
            ModelWrapper::WordPiece(model) => {
                vocabulary
                    .prefix
                    .clone_from(&model.continuing_subword_prefix);
            }
            ModelWrapper::BPE(_) => {
                let json: Value = serde_json::from_str(&tokenizer.to_json()?)
                    .map_err(|e| TokenizerError::of_file(TOKENIZER, e))?;
                let merges = json["model"]["merges"].as_array().into_iter().flatten();
                let id = |token: &str| vocabulary.by_token.get(token).copied();
                let merges = merges.enumerate().filter_map(|(rank, merge)| {
                    let [a, b] = pair(merge)?;
                    Some(((id(a)?, id(b)?), (rank, id(&format!("{a}{b}"))?)))
                });
                vocabulary.merges = merges.collect();
            }
            _ => {}
        }
        Ok(vocabulary)
    }

    fn has(&self, id: u32) -> bool {
        self.by_id.contains_key(&id)
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.by_token.values().copied()
    }

    /// The most frequent tokens first.
    fn by_frequency(&self, count: &impl Fn(u32) -> u64) -> Vec<u32> {
        let mut scores: HashMap<u32, u64> = self.ids().map(|id| (id, count(id))).collect();
        let all = self.by_token.iter().filter(|_| self.has_letters);
        for (token, id) in all.filter(|(_, id)| count(**id) > 0) {
            let letters: BTreeSet<u32> = self.letters(token).filter(|l| l != id).collect();
            for letter in letters {
                *scores.entry(letter).or_default() += count(*id);
            }
        }
        let mut ids: Vec<u32> = self.ids().collect();
        ids.sort_unstable_by_key(|id| (Reverse(scores.get(id).copied()), *id));
        ids
    }

    /// The tokens of the characters of a token.
    fn letters(&self, token: &str) -> impl Iterator<Item = u32> {
        let inside = match self.prefix.is_empty() {
            true => None,
            false => token.strip_prefix(&self.prefix),
        };
        let letters = inside.unwrap_or(token).chars().enumerate();
        letters.filter_map(move |(place, letter)| {
            let prefix = match place == 0 && inside.is_none() {
                true => "",
                false => &self.prefix,
            };
            self.by_token.get(&format!("{prefix}{letter}")).copied()
        })
    }

    /// A token, with all that BPE makes on the way to it. One that merges do not lead to needs nothing.
    fn parts(&self, id: u32) -> BTreeSet<u32> {
        let token = self.by_id.get(&id).filter(|_| !self.merges.is_empty());
        match token.and_then(|token| self.way_to(token)) {
            Some((last, parts)) if last == id => parts,
            _ => BTreeSet::from([id]),
        }
    }

    /// What BPE makes of a word if that is one token, and every token on the way. A part of a longer word is made in the same
    /// way, because nothing beyond its ends was merged with it.
    fn way_to(&self, word: &str) -> Option<(u32, BTreeSet<u32>)> {
        let letters = word.chars();
        let letters = letters.map(|c| self.by_token.get(c.encode_utf8(&mut [0; 4])).copied());
        let mut tokens: Vec<u32> = letters.collect::<Option<_>>()?;
        let mut parts: BTreeSet<u32> = tokens.iter().copied().collect();
        while tokens.len() > 1 {
            let pairs = tokens.windows(2).enumerate();
            let merges = pairs.filter_map(|(at, two)| {
                let (rank, result) = self.merges.get(&(two[0], two[1]))?;
                Some((*rank, at, *result))
            });
            let (_, at, result) = merges.min()?;
            tokens.splice(at..at + 2, [result]);
            parts.insert(result);
        }
        Some((*tokens.first()?, parts))
    }
}
