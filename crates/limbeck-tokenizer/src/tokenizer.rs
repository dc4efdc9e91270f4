//! Text to token ids, with the teacher's own tokenizer.

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::parallelism::MaybeParallelRefIterator;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::{
    EncodeInput, Encoding, InputSequence, Model, PostProcessor, Tokenizer as Inner,
    TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::caught::caught;
use crate::classes::{self, Made, is_byte_level};
use crate::pruning::standing_alone;
use crate::settings::{
    CONFIG, Class, FileOf, MERGES, Settings, TOKENIZER, VOCAB_JSON, VOCAB_TXT, object,
};
use crate::{TokenizerError, labels, tokenizer_file};

/// Bytes of a text that a truncating tokenizer looks at, at most: what is tokenised takes 125 times its size.
pub const MOST_BYTES: usize = 1 << 20;
/// Bytes of a text that it looks at first for each token of `max_length`: several times what a token of any language takes on
/// average, so that the first look is the last for almost every text.
const BYTES_A_TOKEN: usize = 32;
/// Bytes that it looks at first, at least: words and spaces may be long.
const FIRST_BYTES: usize = 4096;

/// Files of vocabularies that are not read, and only named.
pub const NOT_READ: [&str; 6] = [
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "bpe.codes",
    "bpe.model",
    "vocab.bpe",
];

/// Texts in which tokenizers of the same tokens differ: by what they put around a text, by case, accents, spaces, signs and
/// scripts.
const PROBES: [&str; 3] = [
    "",
    "The Student",
    "\u{c9}t\u{e9}:  a (small) model, 12.5 \u{6a21}\u{578b}!",
];

/// The token ids of one text, or of two as one sequence, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, at most `max_length` of them if the tokenizer truncates.
    pub ids: Vec<u32>,
    /// The token type of each: which of two texts it belongs to, where the tokenizer tells the model so. None where all are 0.
    pub types: Vec<u32>,
    /// Whether the text was longer and lost its end.
    pub truncated: bool,
}

/// The token ids of a sentence that is split into words, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordTokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Where the first token of each word is; none of a word that was cut off, or of which the tokenizer makes nothing.
    pub firsts: Vec<Option<usize>>,
    /// Whether the sentence was longer and lost an end.
    pub truncated: bool,
}

/// The tokens of the first bytes of a text.
struct Beginning {
    ids: Vec<u32>,
    /// Tokens after them that truncation cut off.
    beyond: usize,
}

/// A text of a pair, without special tokens.
struct TextOfPair {
    /// `max_length` tokens of it at most.
    encoding: Encoding,
    /// How many it has.
    tokens: usize,
    /// Whether not all of it was looked at.
    is_cut: bool,
}

/// A tokenizer of a model folder: WordPiece, byte-level BPE or Unigram, whatever tokenizer.json says.
#[derive(Clone)]
pub struct Tokenizer {
    pub(crate) inner: Inner,
    /// The length at which texts are truncated, if they are.
    max_length: Option<usize>,
    /// The end of a long text that is cut off.
    cuts: TruncationDirection,
    /// The token for what the vocabulary lacks.
    pub(crate) unknown: Option<u32>,
    /// What stands between the two texts of a pair, if pairs are read.
    between: Option<char>,
    /// Whether the model is told the token types of its template.
    has_types: bool,
    /// Whether the class that the folder names would make other tokens of its tokenizer.json.
    pub(crate) alone: bool,
}

impl Tokenizer {
    /// As `AutoTokenizer` of transformers 5.23 reads the files of a folder: tokenizer.json, or the vocabularies of BERT
    /// and MPNet (vocab.txt) and RoBERTa (vocab.json with merges.txt); tokenizer_config.json, which goes before tokenizer.json;
    /// added_tokens.json and special_tokens_map.json; and the model's config.json, which says whose tokenizer it is.
    ///
    /// # Errors
    /// There is no vocabulary that can be read, one of the files is damaged, or WordPiece lacks its unknown token.
    pub fn from_files(files: FileOf<'_>) -> Result<Self, TokenizerError> {
        let file = files(TOKENIZER).map(as_it_stands).transpose()?;
        let in_file = file.iter();
        let in_file = in_file.flat_map(|file| file.inner.get_added_tokens_decoder());
        let settings = Settings::read(files, in_file.collect())?;
        let made = classes::made(&settings, file.as_ref(), files)?;
        let mut tokenizer = match (made, file) {
            (Some(made), _) => Self::whole(made)?,
            (None, Some(mut file)) => {
                classes::add_tokens(&mut file.inner, &settings)?;
                let mut tokenizer = Self::whole(file)?;
                tokenizer.alone = settings.class != Class::File;
                tokenizer
            }
            (None, None) => return Err(no_vocabulary(&settings, files)),
        };
        if settings.cuts_left {
            tokenizer.cuts = TruncationDirection::Left;
        }
        tokenizer.has_types = settings.has_types;
        Ok(tokenizer)
    }

    /// The same tokenizer with letters made small before anything else, as sentence-transformers does where a folder asks
    /// for it.
    ///
    /// # Errors
    /// An added token cannot be written in small letters.
    pub fn lower_casing(mut self) -> Result<Self, TokenizerError> {
        let own = self.inner.get_normalizer().cloned();
        let mut all: Vec<NormalizerWrapper> = match own {
            Some(NormalizerWrapper::Sequence(sequence)) => sequence.into_iter().collect(),
            own => own.into_iter().collect(),
        };
        let is_lowercase = |own: &NormalizerWrapper| matches!(own, NormalizerWrapper::Lowercase(_));
        if !all.iter().any(is_lowercase) {
            all.insert(0, Lowercase.into());
        }
        self.inner.with_normalizer(Some(Sequence::new(all)))?;
        Ok(self)
    }

    /// From the bytes of a tokenizer.json as it stands; its own padding and truncation are left out.
    ///
    /// # Errors
    /// The bytes are not a tokenizer.json, or WordPiece lacks its unknown token.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenizerError> {
        Self::whole(as_it_stands(json)?)
    }

    fn whole(Made { mut inner, unknown }: Made) -> Result<Self, TokenizerError> {
        require_unknown(&inner)?;
        // Merges that are left out at random would give each text other tokens each time.
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            inner.with_model(model);
        }
        Ok(Self {
            inner,
            max_length: None,
            cuts: TruncationDirection::Right,
            between: None,
            has_types: true,
            unknown,
            alone: false,
        })
    }

    /// tokenizer.json of this tokenizer.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        if self.max_length.is_none() {
            return Ok(self.inner.to_string(false)?);
        }
        let mut plain = self.inner.clone();
        plain.with_truncation(None)?;
        Ok(plain.to_string(false)?)
    }

    /// The same tokenizer, whose files ([`Tokenizer::changed_files`]) say that its tokenizer.json is all there is to it: no class
    /// of transformers makes another one of it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// What a copy of the folder that this tokenizer is of must have instead of its files, so that whoever reads
    /// tokenizer.json alone, and transformers, make the same tokens: names and contents.
    ///
    /// # Errors
    /// It cannot be written as JSON, or the folder's files cannot be read.
    pub fn changed_files(
        &self,
        files: FileOf<'_>,
    ) -> Result<Vec<(String, Vec<u8>)>, TokenizerError> {
        let mut changed = Vec::new();
        let json = self.to_json()?;
        let before = files(TOKENIZER).map(|file| Self::from_json(file)?.to_json());
        if before.transpose()?.is_none_or(|before| before != json) {
            changed.push((TOKENIZER.to_owned(), json.into_bytes()));
        }
        if self.alone {
            let mut config = object(files, CONFIG)?;
            standing_alone(&mut config, files)?;
            let config = format!("{:#}\n", Value::Object(config));
            changed.push((CONFIG.to_owned(), config.into_bytes()));
        }
        Ok(changed)
    }

    /// The same tokenizer, truncating every text to `max_length` tokens, special tokens included. It looks at no more of a
    /// text than that takes, and never at more than [`MOST_BYTES`].
    ///
    /// # Errors
    /// `max_length` leaves no room beside the special tokens, or those of a pair if pairs are read.
    pub fn truncating(mut self, max_length: usize) -> Result<Self, TokenizerError> {
        let special = match self.between {
            Some(_) => self.special_tokens()?.max(self.special_of_pair()),
            None => self.special_tokens()?,
        };
        if max_length <= special {
            return Err(no_room(max_length, special));
        }
        let truncation = TruncationParams {
            direction: self.cuts,
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        self.inner.with_truncation(Some(truncation))?;
        self.max_length = Some(max_length);
        Ok(self)
    }

    /// Ids of each text.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Tokens>, TokenizerError> {
        let tokens = texts.maybe_par_iter().map(|text| self.encode_one(text));
        tokens.collect()
    }

    fn encode_one(&self, text: &str) -> Result<Tokens, TokenizerError> {
        if let Some(pair) = self.between.and_then(|between| text.split_once(between)) {
            self.require_room_for_pairs()?;
            return self.encode_pair(pair);
        }
        let (looked_at, Beginning { ids, beyond }) = self.looked_at(text)?;
        let truncated = self.max_length.is_some() && (beyond > 0 || looked_at.len() < text.len());
        Ok(Tokens {
            ids,
            types: Vec::new(),
            truncated,
        })
    }

    /// What is looked at of a text, and its tokens: enough that the rest changes nothing in what is kept. A text that is longer
    /// than what is looked at first is looked at again, twice as far, until as much again is cut off as is kept. Where the
    /// beginning of a text is cut off, all of its end is looked at.
    fn looked_at<'a>(&self, text: &'a str) -> Result<(&'a str, Beginning), TokenizerError> {
        let Some(max_length) = self.max_length else {
            return Ok((text, self.beginning(text)?));
        };
        if self.cuts == TruncationDirection::Left {
            let start = text.ceil_char_boundary(text.len().saturating_sub(MOST_BYTES));
            let end = &text[start..];
            return Ok((end, self.beginning(end)?));
        }
        let most = text.len().min(MOST_BYTES);
        let mut bytes = first_bytes(max_length);
        loop {
            let looked_at = until_a_word_ends(text, bytes.min(most));
            let beginning = self.beginning(looked_at)?;
            if bytes >= most || beginning.beyond >= max_length {
                return Ok((looked_at, beginning));
            }
            bytes *= 2;
        }
    }

    fn beginning(&self, text: &str) -> Result<Beginning, TokenizerError> {
        let encoding = self.encoding(text, true)?;
        let beyond = encoding.get_overflowing().iter();
        Ok(Beginning {
            ids: encoding.get_ids().to_vec(),
            beyond: beyond.map(|encoding| encoding.get_ids().len()).sum(),
        })
    }

    fn encoding(&self, text: &str, with_special: bool) -> Result<Encoding, TokenizerError> {
        tried(text, || self.inner.encode_fast(text, with_special))
    }

    /// Ids and token types of each pair of texts, by the tokenizer's template for pairs.
    ///
    /// # Errors
    /// The tokenizer fails on a text, or its length leaves no room beside the special tokens of a pair.
    pub fn encode_pairs(&self, pairs: &[(&str, &str)]) -> Result<Vec<Tokens>, TokenizerError> {
        self.require_room_for_pairs()?;
        let tokens = pairs.maybe_par_iter().map(|pair| self.encode_pair(*pair));
        tokens.collect()
    }

    /// The same tokenizer for texts in which `between` stands between two, the first one if there are several:
    /// [`Tokenizer::encode`] gives the tokens of the pair. A text without it is one text.
    #[must_use]
    pub fn for_pairs(mut self, between: char) -> Self {
        self.between = Some(between);
        self
    }

    fn special_of_pair(&self) -> usize {
        let ends = self.inner.get_post_processor();
        ends.map_or(0, |ends| ends.added_tokens(true))
    }

    fn require_room_for_pairs(&self) -> Result<(), TokenizerError> {
        let special = self.special_of_pair();
        match self.max_length {
            Some(max_length) if max_length <= special => Err(no_room(max_length, special)),
            _ => Ok(()),
        }
    }

    /// Texts are cut here and not by the library, which would join each piece that it cuts off of the first with each of the second.
    fn encode_pair(&self, (first, second): (&str, &str)) -> Result<Tokens, TokenizerError> {
        let (mut a, mut b) = (self.text_of_pair(first, 0)?, self.text_of_pair(second, 1)?);
        let whole = [a.tokens, b.tokens];
        let kept = match self.max_length {
            Some(max_length) => longest_first(whole, max_length - self.special_of_pair()),
            None => whole,
        };
        for (text, kept) in [&mut a, &mut b].into_iter().zip(kept) {
            text.encoding.truncate(kept, 0, self.cuts);
            text.encoding.take_overflowing();
        }
        let is_cut = a.is_cut || b.is_cut || kept != whole;
        let (a, b) = (a.encoding, Some(b.encoding));
        let encoding = tried(first, || self.inner.post_process(a, b, true))?;
        if encoding.get_ids().len() < kept.iter().sum::<usize>() + self.special_of_pair() {
            return Err(TokenizerError::new(
                "its template for pairs leaves out one of the two texts. Give `post_processor` in tokenizer.json a template `pair` with A and B",
            ));
        }
        let types = encoding.get_type_ids();
        let has_types = self.has_types && types.iter().any(|of_token| *of_token != 0);
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            types: if has_types {
                types.to_vec()
            } else {
                Vec::new()
            },
            truncated: is_cut,
        })
    }

    /// A text of a pair, in tokens of this type.
    fn text_of_pair(&self, text: &str, type_id: u32) -> Result<TextOfPair, TokenizerError> {
        let looked_at = match self.max_length {
            Some(max_length) if text.len() > first_bytes(max_length) => self.looked_at(text)?.0,
            _ => text,
        };
        let mut encoding = self.encoding(looked_at, false)?;
        let beyond = encoding.take_overflowing();
        let beyond = beyond.iter().map(|piece| piece.get_ids().len());
        let first = encoding.get_ids().len();
        encoding.set_type_ids(vec![type_id; first]);
        Ok(TextOfPair {
            tokens: first + beyond.sum::<usize>(),
            encoding,
            is_cut: looked_at.len() < text.len(),
        })
    }

    /// The same tokenizer for sentences that are split into words: byte-level BPE reads every word as if a space stood before it.
    #[must_use]
    pub fn for_words(mut self) -> Self {
        let own = self.inner.get_pre_tokenizer().cloned();
        self.inner.with_pre_tokenizer(own.map(spaced));
        self
    }

    /// Whether it is byte-level BPE, which tells words by the space before them.
    pub fn is_byte_level(&self) -> bool {
        self.inner.get_pre_tokenizer().is_some_and(is_byte_level)
    }

    /// Ids of each sentence, and where its words begin. The tokenizer is one [`Tokenizer::for_words`].
    ///
    /// # Errors
    /// The tokenizer fails on a sentence.
    pub fn encode_words(&self, sentences: &[Vec<&str>]) -> Result<Vec<WordTokens>, TokenizerError> {
        let tokens = sentences.maybe_par_iter();
        tokens.map(|words| self.encode_sentence(words)).collect()
    }

    /// No more of a sentence is looked at than [`MOST_BYTES`].
    fn encode_sentence(&self, words: &[&str]) -> Result<WordTokens, TokenizerError> {
        let mut bytes = 0;
        let fits = |word: &&&str| {
            bytes += word.len();
            bytes <= MOST_BYTES || self.max_length.is_none()
        };
        let looked_at: Vec<&str> = words.iter().take_while(fits).copied().collect();
        let wrong = |reason: String| {
            let shown = shown(&words.join(" "));
            TokenizerError::new(format!("it fails on the sentence `{shown}`: {reason}"))
        };
        let input = EncodeInput::Single(InputSequence::from(looked_at.as_slice()));
        let encoding = caught(|| self.inner.encode(input, true)).map_err(wrong)?;
        let encoding = encoding.map_err(|e| wrong(e.to_string()))?;
        let mut firsts = vec![None; words.len()];
        for (place, word) in encoding.get_word_ids().iter().enumerate() {
            if let Some(first) = word.and_then(|word| firsts.get_mut(word as usize)) {
                first.get_or_insert(place);
            }
        }
        Ok(WordTokens {
            ids: encoding.get_ids().to_vec(),
            firsts,
            truncated: looked_at.len() < words.len() || !encoding.get_overflowing().is_empty(),
        })
    }

    /// How many special tokens a text gets.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn special_tokens(&self) -> Result<usize, TokenizerError> {
        Ok(self.encode_one("")?.ids.len())
    }

    /// How many tokens of a text are those of a prompt before it: without the special token at its end.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn prompt_tokens(&self, prompt: &str) -> Result<usize, TokenizerError> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let ids = self.encode_one(prompt)?.ids;
        let added = self.inner.get_added_tokens_decoder();
        let is_special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        Ok(ids.len() - usize::from(ids.last().is_some_and(is_special)))
    }

    /// The token for what the vocabulary lacks, whatever its name; bytes alone (byte-level BPE) need none.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The token of an id as the vocabulary writes it.
    pub fn token(&self, id: u32) -> String {
        self.inner
            .id_to_token(id)
            .unwrap_or_else(|| format!("[{id}]"))
    }

    /// Tokens that follow each other, as a person reads them: those of byte-level BPE as the characters that they stand for, with a
    /// `▁` for a space and a mark for a part of a character; those of other vocabularies as they are written.
    pub fn labels(&self, ids: &[u32]) -> Vec<String> {
        let added = self.inner.get_added_tokens_decoder();
        let in_bytes = self.is_byte_level();
        let bytes = |id: &u32| {
            let own = in_bytes && !added.contains_key(id);
            own.then(|| labels::bytes(&self.token(*id))).flatten()
        };
        let tokens: Vec<Option<Vec<u8>>> = ids.iter().map(bytes).collect();
        let mut all: Vec<String> = Vec::with_capacity(ids.len());
        for run in tokens.chunk_by(|before, after| before.is_some() == after.is_some()) {
            let whole: Option<Vec<Vec<u8>>> = run.iter().cloned().collect();
            let written = &ids[all.len()..all.len() + run.len()];
            match whole {
                Some(bytes) => all.extend(labels::of_bytes(&bytes)),
                None => all.extend(written.iter().map(|id| self.token(*id))),
            }
        }
        all
    }

    /// The first thing in which this tokenizer gives other ids than another one, in words that go on from its name; none if both
    /// have the same tokens and treat texts alike. However their files are written does not matter.
    ///
    /// # Errors
    /// A tokenizer fails.
    pub fn difference(&self, other: &Self) -> Result<Option<String>, TokenizerError> {
        let (size, expected) = (self.vocabulary(), other.vocabulary());
        let token = |of: &Self, id| of.inner.id_to_token(id);
        let ids = 0..size.max(expected) as u32;
        if let Some(id) = ids
            .into_iter()
            .find(|id| token(self, *id) != token(other, *id))
        {
            let [found, expected] = [self, other].map(|of| match token(of, id) {
                Some(token) => format!("`{token}`"),
                None => "no token".to_owned(),
            });
            return Ok(Some(format!(
                "has {found} for id {id} instead of {expected}"
            )));
        }
        for text in PROBES {
            let [found, expected] = [self, other].map(|of| of.encoding(text, true));
            let (found, expected) = (found?, expected?);
            if found.get_ids() != expected.get_ids() {
                return Ok(Some(format!(
                    "makes {:?} of the text `{text}` instead of {:?}",
                    found.get_ids(),
                    expected.get_ids()
                )));
            }
        }
        Ok(None)
    }

    /// The lowest id that is not below `rows`, with its token; added tokens count.
    pub fn beyond(&self, rows: usize) -> Option<(u32, String)> {
        let all = self.inner.get_vocab(true).into_iter();
        let beyond = all.filter(|(_, id)| *id as usize >= rows);
        beyond.map(|(token, id)| (id, token)).min()
    }

    /// Size of the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// What a tokenizer.json says, but for padding and truncation.
fn as_it_stands(json: &[u8]) -> Result<Made, TokenizerError> {
    let wrong = |reason: String| TokenizerError::of_file(TOKENIZER, reason);
    let unk_id = tokenizer_file::check(json).map_err(wrong)?;
    let read = caught(|| Inner::from_bytes(json)).map_err(wrong)?;
    let mut inner = read.map_err(|e| wrong(e.to_string()))?;
    require_own_ids(&inner, TOKENIZER)?;
    inner.with_padding(None);
    inner.with_truncation(None)?;
    let unknown = match inner.get_model() {
        ModelWrapper::WordPiece(model) => inner.token_to_id(&model.unk_token),
        ModelWrapper::WordLevel(model) => inner.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => {
            let token = model.unk_token.as_ref();
            token.and_then(|token| inner.token_to_id(token))
        }
        ModelWrapper::Unigram(_) => unk_id,
    };
    Ok(Made { inner, unknown })
}

/// That WordPiece has its token for what the vocabulary lacks. It fails on the first such word, and any word that is long is one.
fn require_unknown(inner: &Inner) -> Result<(), TokenizerError> {
    let ModelWrapper::WordPiece(model) = inner.get_model() else {
        return Ok(());
    };
    let unknown = &model.unk_token;
    match model.token_to_id(unknown) {
        Some(_) => Ok(()),
        None => Err(TokenizerError::new(format!(
            "the vocabulary in {TOKENIZER} has no `{unknown}`, its token for words that it lacks. Add that token, or name the \
             one that it has for them as `unk_token`"
        ))),
    }
}

/// That no two tokens of the vocabulary have one id: of them only one would be written again.
///
/// # Errors
/// The first two that do, in the order of ids.
pub(crate) fn require_own_ids(inner: &Inner, file: &str) -> Result<(), TokenizerError> {
    // In a list of tokens each has its place.
    if matches!(inner.get_model(), ModelWrapper::Unigram(_)) {
        return Ok(());
    }
    let mut all: Vec<(String, u32)> = inner.get_vocab(false).into_iter().collect();
    all.sort_unstable_by(|(one, a), (other, b)| (a, one).cmp(&(b, other)));
    match all.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        Some([(one, id), (other, _)]) => Err(TokenizerError::of_file(
            file,
            format!("`{one}` and `{other}` both have the id {id}; give each token its own"),
        )),
        _ => Ok(()),
    }
}

/// A space before every word for byte-level BPE.
fn spaced(own: PreTokenizerWrapper) -> PreTokenizerWrapper {
    match own {
        PreTokenizerWrapper::ByteLevel(mut bytes) => {
            bytes.add_prefix_space = true;
            bytes.into()
        }
        PreTokenizerWrapper::Sequence(all) => {
            PreTokenizers::new(all.into_iter().map(spaced).collect()).into()
        }
        own => own,
    }
}

/// What the library makes of a text, which names it in errors.
fn tried(
    text: &str,
    make: impl FnOnce() -> tokenizers::Result<Encoding>,
) -> Result<Encoding, TokenizerError> {
    let wrong = |reason: String| {
        TokenizerError::new(format!("it fails on the text `{}`: {reason}", shown(text)))
    };
    let encoding = caught(make).map_err(wrong)?;
    encoding.map_err(|e| wrong(e.to_string()))
}

/// How many tokens are kept of each text of a pair, `most` together: of the longer one as many as the other leaves it, and of two long
/// ones half each, as `TruncationStrategy::LongestFirst` has it.
fn longest_first([a, b]: [usize; 2], most: usize) -> [usize; 2] {
    let (half, other) = (most / 2, most - most / 2);
    match a <= b {
        _ if a + b <= most => [a, b],
        true if a <= half => [a, most - a],
        false if b <= half => [most - b, b],
        true => [half, other],
        false => [other, half],
    }
}

/// Bytes of a text that are looked at first.
fn first_bytes(max_length: usize) -> usize {
    max_length.saturating_mul(BYTES_A_TOKEN).max(FIRST_BYTES)
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

fn no_room(max_length: usize, special: usize) -> TokenizerError {
    TokenizerError::new(format!(
        "max_length {max_length} leaves no room beside {special} special tokens"
    ))
}

/// No tokenizer.json, and no vocabulary that we can read as the folder's class would.
fn no_vocabulary(settings: &Settings, files: FileOf<'_>) -> TokenizerError {
    const KNOWN: [&str; 4] = [VOCAB_TXT, VOCAB_JSON, MERGES, "sentencepiece.bpe.model"];
    let known = KNOWN.iter().chain(&NOT_READ);
    const IN_PYTHON: [&str; 3] = [
        "PhobertTokenizer",
        "BertweetTokenizer",
        "BertJapaneseTokenizer",
    ];
    let class = &settings.class_name;
    let there = known.copied().filter(|file| files(file).is_some());
    let what = match there.collect::<Vec<_>>().join(" and ") {
        there if there.is_empty() => "no other file with a vocabulary".to_owned(),
        there => format!("limbeck makes no {class} of {there}"),
    };
    let advice = match IN_PYTHON.contains(&class.as_str()) {
        true => {
            "That class is code in Python, of which transformers makes no tokenizer.json: take a model whose folder has one"
        }
        false => {
            "Make a tokenizer.json: python -c \"from transformers import AutoTokenizer; \
             AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
        }
    };
    TokenizerError::new(format!(
        "there is no tokenizer.json, and {what}; without one, vocab.txt of BERT and MPNet is read, and RoBERTa's vocab.json with merges.txt. \
         {advice}"
    ))
}

/// A text for a message.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
