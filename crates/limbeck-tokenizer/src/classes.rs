//! Tokenizers as the classes of transformers 5.23 make them. These take the vocabulary of a tokenizer.json and make all else
//! anew, of tokenizer_config.json and what the class itself says: normalizer, pre-tokenizer and template. So do we. Where the
//! class does not fit the file (another kind of vocabulary, or one without the tokens that the class needs), transformers makes
//! tokens that the model has no rows for, and we take tokenizer.json as it stands.

use serde_json::{Value, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Model, Tokenizer};

use crate::TokenizerError;
use crate::caught::caught;
use crate::settings::{
    Class, FileOf, MERGES, Settings, TOKENIZER, VOCAB_JSON, VOCAB_TXT, id_in, object,
};
use crate::tokenizer::require_own_ids;

/// A tokenizer, and what its parts do not tell.
pub struct Made {
    pub inner: Tokenizer,
    /// The token for what the vocabulary lacks.
    pub unknown: Option<u32>,
}

/// The tokenizer of the class that the settings name; none if that does not fit `file`, the tokenizer.json.
pub fn made(
    settings: &Settings,
    file: Option<&Made>,
    files: FileOf<'_>,
) -> Result<Option<Made>, TokenizerError> {
    let model = file.map(|file| file.inner.get_model());
    let made = match (settings.class, model, file) {
        (Class::Bert | Class::Mpnet, Some(ModelWrapper::WordPiece(model)), _) => {
            bert(settings, model.clone())?
        }
        (Class::Bert | Class::Mpnet, None, _) => files(VOCAB_TXT)
            .map(|vocabulary| of_vocabulary(settings, vocabulary))
            .transpose()?,
        (Class::Roberta, Some(ModelWrapper::BPE(model)), Some(file))
            if file.inner.get_pre_tokenizer().is_some_and(is_byte_level) =>
        {
            roberta(settings, model.clone())?
        }
        (Class::Roberta, None, _) => match (files(VOCAB_JSON), files(MERGES)) {
            (Some(_), Some(merges)) => Some(of_merges(settings, files, merges)?),
            _ => None,
        },
        (Class::XlmRoberta | Class::Camembert, Some(ModelWrapper::Unigram(model)), Some(file)) => {
            unigram(settings, model, file)?
        }
        _ => None,
    };
    // Tokens are added one after the other, whatever their ids in the file. What moves no id is what the file means.
    let fits = |made: &Made| {
        let mut added = settings.added.iter();
        added.all(|(id, token)| made.inner.token_to_id(&token.content) == Some(*id))
    };
    Ok(made.filter(|made| file.is_none() || fits(made)))
}

/// Adds the tokens that files name and the tokenizer lacks, as `TokenizersBackend.__init__` does. Special tokens that only the
/// class knows are not added beyond the model's table.
pub fn add_tokens(inner: &mut Tokenizer, settings: &Settings) -> Result<(), TokenizerError> {
    let there = inner.get_added_tokens_decoder();
    let is_there = |token: &&AddedToken| !there.values().any(|other| other == *token);
    let mut new: Vec<AddedToken> = settings.added.values().filter(is_there).cloned().collect();
    let mut size = inner.get_vocab_size(true);
    for special in settings.specials() {
        let content = &special.token.content;
        let mut all = there.values().chain(&new);
        if all.any(|other| other.content == *content) {
            continue;
        }
        let in_vocabulary = inner.token_to_id(content).is_some();
        let has_row = settings.rows.is_some_and(|rows| size < rows);
        if in_vocabulary || special.is_named || has_row {
            new.push(special.token.clone());
            size += usize::from(!in_vocabulary);
        }
    }
    for token in &mut new {
        token.special |= settings.has_role(&token.content);
    }
    inner.add_tokens(new)?;
    inner.set_encode_special_tokens(settings.split_special_tokens);
    Ok(())
}

/// `BertTokenizer` and `MPNetTokenizer`: what tokenizer.json says of case, accents and Chinese characters does not count.
fn bert(settings: &Settings, mut model: WordPiece) -> Result<Option<Made>, TokenizerError> {
    let [Some(unknown), Some(cls), Some(sep)] =
        ["unk_token", "cls_token", "sep_token"].map(|role| found(settings, &model, role))
    else {
        return Ok(None);
    };
    unknown.0.clone_into(&mut model.unk_token);
    "##".clone_into(&mut model.continuing_subword_prefix);
    model.max_input_chars_per_word = 100;
    let mut inner = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        settings.chinese_characters,
        settings.strip_accents,
        settings.lowercase,
    );
    inner.with_normalizer(Some(normalizer))?;
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_decoder(Some(WordPieceDecoder::new("##".into(), true)));
    add_tokens(&mut inner, settings)?;
    if settings.class == Class::Mpnet {
        let ends = RobertaProcessing::new(sep, cls).add_prefix_space(false);
        inner.with_post_processor(Some(ends));
    } else {
        let pair = json!([
            special(&cls, 0),
            text("A", 0),
            special(&sep, 0),
            text("B", 1),
            special(&sep, 1)
        ]);
        inner.with_post_processor(Some(template(&cls, &sep, &pair)?));
    }
    Ok(Some(Made {
        inner,
        unknown: Some(unknown.1),
    }))
}

/// BERT's WordPiece from a vocabulary of one token per line.
fn of_vocabulary(settings: &Settings, vocabulary: &[u8]) -> Result<Made, TokenizerError> {
    let wrong = |e: tokenizers::Error| TokenizerError::of_file(VOCAB_TXT, e);
    text_of(VOCAB_TXT, vocabulary)?;
    let vocabulary = WordPiece::read_bytes(vocabulary).map_err(wrong)?;
    let model = WordPiece::builder().vocab(vocabulary).build();
    let model = model.map_err(wrong)?;
    let lacks = lacking(settings, &model, &["unk_token", "cls_token", "sep_token"]);
    bert(settings, model)?.ok_or_else(|| TokenizerError::new(format!("{VOCAB_TXT} has no {lacks}")))
}

/// What a file of lines says.
fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, TokenizerError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        TokenizerError::of_file(file, format!("line {line} is not UTF-8"))
    })
}

/// `RobertaTokenizer`: a space before the text only where tokenizer_config.json says `add_prefix_space`.
fn roberta(settings: &Settings, mut model: BPE) -> Result<Option<Made>, TokenizerError> {
    let [Some(cls), Some(sep)] =
        ["cls_token", "sep_token"].map(|role| found(settings, &model, role))
    else {
        return Ok(None);
    };
    let prefix = model.continuing_subword_prefix.take();
    if prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Ok(None);
    }
    model.dropout = None;
    model.unk_token = None;
    model.end_of_word_suffix = None;
    model.fuse_unk = false;
    model.byte_fallback = false;
    model.ignore_merges = false;
    let spaced = settings.add_prefix_space.unwrap_or(false);
    let mut inner = Tokenizer::new(model);
    inner.with_pre_tokenizer(Some(ByteLevel::new(spaced, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    add_tokens(&mut inner, settings)?;
    let ends = RobertaProcessing::new(sep, cls).add_prefix_space(spaced);
    inner.with_post_processor(Some(ends));
    Ok(Some(Made {
        inner,
        unknown: None,
    }))
}

/// Byte-level BPE from the ids of tokens, and one pair a line of tokens that become one.
fn of_merges(
    settings: &Settings,
    files: FileOf<'_>,
    merges: &[u8],
) -> Result<Made, TokenizerError> {
    let vocabulary = object(files, VOCAB_JSON)?;
    for (token, id) in &vocabulary {
        id_in(VOCAB_JSON, token, id)?;
    }
    let lines = text_of(MERGES, merges)?.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.starts_with("#version"));
    let pairs = lines.map(|(index, line)| {
        let wrong = |reason: String| {
            let number = index + 1;
            TokenizerError::of_file(MERGES, format!("line {number} is `{line}`{reason}"))
        };
        let pair = line.split_once(' ');
        let Some((first, second)) = pair.filter(|(_, second)| !second.contains(' ')) else {
            return Err(wrong(", not two tokens".to_owned()));
        };
        let merged = [first, second].concat();
        let mut tokens = [first, second, &merged].into_iter();
        match tokens.find(|token| !vocabulary.contains_key(*token)) {
            Some(token) => Err(wrong(format!(", and {VOCAB_JSON} has no `{token}`"))),
            None => Ok([first, second]),
        }
    });
    let pairs = pairs.collect::<Result<Vec<[&str; 2]>, TokenizerError>>()?;
    let model = json!({"type": "BPE", "vocab": vocabulary, "merges": pairs}).to_string();
    let wrong = |e: String| TokenizerError::of_file(&format!("{VOCAB_JSON} with {MERGES}"), e);
    let model = caught(|| serde_json::from_str::<BPE>(&model)).map_err(wrong)?;
    let model = model.map_err(|e| wrong(e.to_string()))?;
    let lacks = lacking(settings, &model, &["cls_token", "sep_token"]);
    let made = roberta(settings, model)?
        .ok_or_else(|| TokenizerError::new(format!("{VOCAB_JSON} has no {lacks}")))?;
    require_own_ids(&made.inner, VOCAB_JSON)?;
    Ok(made)
}

/// `XLMRobertaTokenizer` and `CamembertTokenizer`: SentencePiece's charsmap, words by their spaces.
fn unigram(
    settings: &Settings,
    model: &Unigram,
    file: &Made,
) -> Result<Option<Made>, TokenizerError> {
    /// The place of XLM-R's unknown token, whatever the file says.
    const UNKNOWN: u32 = 3;
    let [Some(unknown), Some(bos), Some(eos)] =
        ["unk_token", "bos_token", "eos_token"].map(|role| found(settings, model, role))
    else {
        return Ok(None);
    };
    let place = unknown.1 as usize;
    let is_in_model = model
        .iter()
        .nth(place)
        .is_some_and(|(token, _)| *token == unknown.0);
    let is_its_place = settings.class == Class::Camembert || unknown.1 == UNKNOWN;
    if !is_in_model || !is_its_place {
        return Ok(None);
    }
    let model = match file.unknown == Some(unknown.1) && !model.byte_fallback() {
        true => model.clone(),
        false => Unigram::from(model.iter().cloned().collect(), Some(place), false)?,
    };
    let scheme = match settings.add_prefix_space {
        Some(false) => PrependScheme::Never,
        _ => PrependScheme::Always,
    };
    let words = Metaspace::new('\u{2581}', scheme, true);
    let mut inner = Tokenizer::new(model);
    inner.with_normalizer(file.inner.get_normalizer().and_then(precompiled))?;
    inner.with_pre_tokenizer(Some(Sequence::new(vec![
        WhitespaceSplit.into(),
        words.clone().into(),
    ])));
    inner.with_decoder(Some(DecoderWrapper::Metaspace(words)));
    add_tokens(&mut inner, settings)?;
    let pair = json!([
        special(&bos, 0),
        text("A", 0),
        special(&eos, 0),
        special(&eos, 0),
        text("B", 0),
        special(&eos, 0)
    ]);
    inner.with_post_processor(Some(template(&bos, &eos, &pair)?));
    Ok(Some(Made {
        inner,
        unknown: Some(unknown.1),
    }))
}

/// The first charsmap of SentencePiece.
fn precompiled(normalizer: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Precompiled(_) => Some(normalizer.clone()),
        NormalizerWrapper::Sequence(all) => all.as_ref().iter().find_map(precompiled),
        _ => None,
    }
}

pub fn is_byte_level(own: &PreTokenizerWrapper) -> bool {
    match own {
        PreTokenizerWrapper::ByteLevel(_) => true,
        PreTokenizerWrapper::Sequence(all) => all.as_ref().iter().any(is_byte_level),
        _ => false,
    }
}

/// The special token of a role and its id, if the vocabulary or the added tokens have it.
fn found(settings: &Settings, model: &impl Model, role: &str) -> Option<(String, u32)> {
    let token = settings.special(role)?;
    let added = || {
        let mut all = settings.added.iter();
        all.find(|(_, added)| added.content == token)
            .map(|(id, _)| *id)
    };
    let id = model.token_to_id(token).or_else(added)?;
    Some((token.to_owned(), id))
}

/// The first of the special tokens that neither the vocabulary nor the added tokens have, for a message.
fn lacking(settings: &Settings, model: &impl Model, roles: &[&str]) -> String {
    let mut lacks = roles
        .iter()
        .filter(|role| found(settings, model, role).is_none());
    let token = lacks.next().and_then(|role| settings.special(role));
    token.unwrap_or("special tokens").to_owned()
}

fn special((token, _): &(String, u32), kind: u32) -> Value {
    json!({"SpecialToken": {"id": token, "type_id": kind}})
}

fn text(which: &str, kind: u32) -> Value {
    json!({"Sequence": {"id": which, "type_id": kind}})
}

/// One token before a text and one behind it, and the template of two texts.
fn template(
    first: &(String, u32),
    last: &(String, u32),
    pair: &Value,
) -> Result<PostProcessorWrapper, TokenizerError> {
    let tokens = [first, last].map(|(token, id)| {
        let described = json!({"id": token, "ids": [id], "tokens": [token]});
        (token.clone(), described)
    });
    let template = json!({
        "type": "TemplateProcessing",
        "single": [special(first, 0), text("A", 0), special(last, 0)],
        "pair": pair,
        "special_tokens": serde_json::Map::from_iter(tokens),
    });
    serde_json::from_value(template).map_err(|e| TokenizerError::of_file(TOKENIZER, e))
}
