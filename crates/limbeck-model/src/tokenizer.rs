//! Text to token ids, with the teacher's own tokenizer.

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::parallelism::MaybeParallelRefIterator;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Tokenizer as Inner, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::caught::caught;
use crate::{Folder, ModelError, tokenizer_file};

/// Bytes of a text that a truncating tokenizer looks at, at most: what is tokenised takes 125 times its size.
pub const MOST_BYTES: usize = 1 << 20;
/// Bytes of a text that it looks at first for each token of `max_length`: several times what a token of any language takes on
/// average, so that the first look is the last for almost every text.
const BYTES_A_TOKEN: usize = 32;
/// Bytes that it looks at first, at least: words and spaces may be long.
const FIRST_BYTES: usize = 4096;

/// The token ids of one text, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, at most `max_length` of them if the tokenizer truncates.
    pub ids: Vec<u32>,
    /// Whether the text was longer and lost its end.
    pub truncated: bool,
}

/// The tokens of the first bytes of a text.
struct Beginning {
    ids: Vec<u32>,
    /// Tokens after them that truncation cut off.
    beyond: usize,
}

/// A tokenizer of a model folder: WordPiece, byte-level BPE or Unigram, whatever tokenizer.json says.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    /// The length at which texts are truncated, if they are.
    max_length: Option<usize>,
}

impl Tokenizer {
    /// From tokenizer.json, or for BERT from vocab.txt.
    ///
    /// # Errors
    /// Neither is there, or it cannot be read.
    pub fn from_folder(folder: &Folder) -> Result<Self, ModelError> {
        if let Some(json) = folder.get("tokenizer.json") {
            return Self::from_json(json);
        }
        let Some(vocabulary) = folder.get("vocab.txt") else {
            return Err(folder.missing("tokenizer.json or vocab.txt"));
        };
        let config = folder.get("tokenizer_config.json").unwrap_or(b"{}");
        let config: serde_json::Value = serde_json::from_slice(config).map_err(|e| {
            ModelError::Tokenizer(format!("tokenizer_config.json is not JSON: {e}"))
        })?;
        let lowercase = config
            .get("do_lower_case")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(true);
        Self::word_piece(vocabulary, lowercase)
    }

    /// From the bytes of a tokenizer.json; its own padding and truncation are left out.
    ///
    /// # Errors
    /// The bytes are not a tokenizer.json.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let wrong = |reason: String| {
            ModelError::Tokenizer(format!("tokenizer.json cannot be read: {reason}"))
        };
        tokenizer_file::check(json).map_err(wrong)?;
        let read = caught(|| Inner::from_bytes(json)).map_err(wrong)?;
        let mut inner = read.map_err(|e| wrong(e.to_string()))?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        Ok(Self::whole(inner))
    }

    fn whole(inner: Inner) -> Self {
        let max_length = None;
        Self { inner, max_length }
    }

    /// BERT's WordPiece from a vocabulary of one token per line.
    fn word_piece(vocabulary: &[u8], lowercase: bool) -> Result<Self, ModelError> {
        let wrong =
            |e: tokenizers::Error| ModelError::Tokenizer(format!("vocab.txt cannot be read: {e}"));
        let vocabulary = WordPiece::read_bytes(vocabulary).map_err(wrong)?;
        let model = WordPiece::builder()
            .vocab(vocabulary)
            .unk_token("[UNK]".into())
            .build()
            .map_err(wrong)?;
        let mut inner = Inner::new(model);
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .map(|id| (token.to_owned(), id))
                .ok_or_else(|| ModelError::Tokenizer(format!("vocab.txt has no {token}")))
        };
        let ends = BertProcessing::new(id("[SEP]")?, id("[CLS]")?);
        inner
            .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
            .map_err(wrong)?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        inner.with_post_processor(Some(ends));
        Ok(Self::whole(inner))
    }

    /// tokenizer.json of this tokenizer.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, ModelError> {
        let mut plain = self.inner.clone();
        plain
            .with_truncation(None)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        plain
            .to_string(false)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))
    }

    /// The same tokenizer, truncating every text to `max_length` tokens, special tokens included. It looks at no more of a
    /// text than that takes, and never at more than [`MOST_BYTES`].
    ///
    /// # Errors
    /// `max_length` leaves no room beside the special tokens.
    pub fn truncating(mut self, max_length: usize) -> Result<Self, ModelError> {
        let special = self.special_tokens()?;
        if max_length <= special {
            return Err(ModelError::Tokenizer(format!(
                "max_length {max_length} leaves no room beside {special} special tokens"
            )));
        }
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        self.inner
            .with_truncation(Some(truncation))
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        self.max_length = Some(max_length);
        Ok(self)
    }

    /// Ids of each text.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Tokens>, ModelError> {
        let tokens = texts.maybe_par_iter().map(|text| self.encode_one(text));
        tokens.collect()
    }

    /// A text that is longer than what is looked at first is looked at again, twice as far, until as much again is cut off as is
    /// kept: then what follows changes nothing in what is kept.
    fn encode_one(&self, text: &str) -> Result<Tokens, ModelError> {
        let Some(max_length) = self.max_length else {
            let ids = self.beginning(text)?.ids;
            let truncated = false;
            return Ok(Tokens { ids, truncated });
        };
        let most = text.len().min(MOST_BYTES);
        let mut bytes = max_length.saturating_mul(BYTES_A_TOKEN).max(FIRST_BYTES);
        loop {
            let looked_at = until_a_word_ends(text, bytes.min(most));
            let Beginning { ids, beyond } = self.beginning(looked_at)?;
            if bytes >= most || beyond >= max_length {
                let truncated = beyond > 0 || looked_at.len() < text.len();
                return Ok(Tokens { ids, truncated });
            }
            bytes *= 2;
        }
    }

    fn beginning(&self, text: &str) -> Result<Beginning, ModelError> {
        let wrong = |reason: String| {
            ModelError::Tokenizer(format!("it fails on the text `{}`: {reason}", shown(text)))
        };
        let encoding = caught(|| self.inner.encode_fast(text, true)).map_err(wrong)?;
        let encoding = encoding.map_err(|e| wrong(e.to_string()))?;
        let beyond = encoding.get_overflowing().iter();
        Ok(Beginning {
            ids: encoding.get_ids().to_vec(),
            beyond: beyond.map(|encoding| encoding.get_ids().len()).sum(),
        })
    }

    /// How many special tokens a text gets.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn special_tokens(&self) -> Result<usize, ModelError> {
        Ok(self.encode_one("")?.ids.len())
    }

    /// The token for what the vocabulary lacks, by the names that it has in WordPiece and Unigram vocabularies; bytes
    /// alone (byte-level BPE) need none.
    pub fn unknown(&self) -> Option<u32> {
        let names = ["[UNK]", "<unk>"];
        names.iter().find_map(|name| self.inner.token_to_id(name))
    }

    /// The token of an id as the vocabulary writes it.
    pub fn token(&self, id: u32) -> String {
        self.inner
            .id_to_token(id)
            .unwrap_or_else(|| format!("[{id}]"))
    }

    /// Size of the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// The first bytes of a text, to the end of a word if one ends in their second half.
fn until_a_word_ends(text: &str, bytes: usize) -> &str {
    if bytes >= text.len() {
        return text;
    }
    let start = &text[..text.floor_char_boundary(bytes)];
    let word_ends = start
        .rfind(char::is_whitespace)
        .map(|space| start[..space].trim_end());
    match word_ends {
        Some(words) if words.len() >= bytes / 2 => words,
        _ => start,
    }
}

/// A text for a message.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
