//! Text to token ids, with the teacher's own tokenizer.

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Tokenizer as Inner, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::{Folder, ModelError};

/// The token ids of one text, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, at most `max_length` of them if the tokenizer truncates.
    pub ids: Vec<u32>,
    /// Whether the text was longer and lost its end.
    pub truncated: bool,
}

/// The token ids of two texts as one sequence, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairTokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The token type of each: which of the two texts it belongs to, where the tokenizer says so.
    pub types: Vec<u32>,
    /// Whether the texts were longer and lost their ends.
    pub truncated: bool,
}

/// A tokenizer of a model folder: WordPiece, byte-level BPE or Unigram, whatever tokenizer.json says.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
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
        let mut inner = Inner::from_bytes(json)
            .map_err(|e| ModelError::Tokenizer(format!("tokenizer.json cannot be read: {e}")))?;
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        Ok(Self { inner })
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
        Ok(Self { inner })
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

    /// The same tokenizer, truncating every text to `max_length` tokens, special tokens included.
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
        Ok(self)
    }

    /// Ids of each text.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Tokens>, ModelError> {
        let encodings = self
            .inner
            .encode_batch_fast(texts.to_vec(), true)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        let tokens = encodings.iter().map(|e| Tokens {
            ids: e.get_ids().to_vec(),
            truncated: !e.get_overflowing().is_empty(),
        });
        Ok(tokens.collect())
    }

    /// Ids and token types of each pair of texts, by the tokenizer's template for pairs.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn encode_pairs(&self, pairs: &[(&str, &str)]) -> Result<Vec<PairTokens>, ModelError> {
        let encodings = self
            .inner
            .encode_batch_fast(pairs.to_vec(), true)
            .map_err(|e| ModelError::Tokenizer(e.to_string()))?;
        let tokens = encodings.iter().map(|e| PairTokens {
            ids: e.get_ids().to_vec(),
            types: e.get_type_ids().to_vec(),
            truncated: !e.get_overflowing().is_empty(),
        });
        Ok(tokens.collect())
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

    fn encode_one(&self, text: &str) -> Result<Tokens, ModelError> {
        let mut tokens = self.encode(&[text])?;
        tokens
            .pop()
            .ok_or_else(|| ModelError::Tokenizer("no encoding of a text".into()))
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
