//! What a run is evaluated on: held-out lines; and of them the sentence whose relations are drawn, and those that are compared with
//! each other.

use std::ops::RangeInclusive;

use limbeck_corpus::{BlockLimits, Corpus, CorpusError, held_out};
use limbeck_model::{Tokenizer, TokenizerError, Tokens};
use limbeck_recipe::batching::{Batch, Position};
use limbeck_recipe::{PAIR, Plan, Recipe, counted};

/// Held-out lines that a run is measured on.
pub const LINES: usize = 256;
/// The same on the CPU of a browser: one thread of WebAssembly reads some hundred tokens in the time of a step, so 256 lines
/// would take the time of many steps at every checkpoint.
pub const LINES_ON_ONE_THREAD: usize = 64;
/// Tokens of the sentence whose relations are drawn.
const PICTURE_TOKENS: usize = 20;
/// Sentences that are compared with each other, of so many tokens if there are such.
const SENTENCES: usize = 12;
const SENTENCE_TOKENS: RangeInclusive<usize> = 8..=24;
/// S of a batch is rounded up to this: few distinct shapes keep a GPU's memory pools and pipelines small.
pub const PAD_TO: usize = 8;

/// Why there are no lines to evaluate on.
#[derive(Debug, thiserror::Error)]
pub enum HeldoutError {
    /// The corpus cannot be read, or has no token.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Lines that should be pairs of texts.
    #[error(
        "the recipe says that a line is two texts with a tab between them (corpus_pairs = true), and of {lines} none has a tab. \
         Put one between the texts of a pair, or leave corpus_pairs out"
    )]
    NoPair {
        /// How many there are, in words.
        lines: String,
    },
    /// Emoji alone, or a script that the vocabulary lacks: such texts are all the same to the teacher.
    #[error(
        "the teacher's tokenizer does not know most of the text: {unknown} of {tokens} tokens in the lines to \
         evaluate on are unknown to it, and it cannot tell them apart. {}",
        match vocabulary {
            Some(size) => format!("student.vocabulary = {size} leaves too few tokens: raise it"),
            None => "Use text in a language that it knows, or another teacher".to_owned(),
        }
    )]
    Unknown {
        /// What the recipe keeps of the vocabulary, if not all.
        vocabulary: Option<f64>,
        /// Unknown tokens.
        unknown: usize,
        /// All tokens, special ones not counted.
        tokens: usize,
    },
}

/// Lines of the corpus that the student never sees.
pub struct Heldout {
    /// In batches, short lines first. Where parts of the corpus are measured by themselves, those of each part follow each other; the
    /// file of a batch's `sources` is the index of its part in `files`.
    pub batches: Vec<Batch>,
    /// The names of these parts, if there are several: see [`Corpus::measured_parts`].
    pub files: Vec<String>,
    /// "held-out lines" or "training lines".
    pub kind: &'static str,
    /// Which lines they are, in one sentence.
    pub note: String,
    /// A sentence of moderate length among them.
    pub picture: Batch,
    /// How many tokens of that sentence were truncated.
    pub picture_left_out: u64,
    /// A few of the lines as they are written, none twice: short ones if there are some.
    pub sentences: Vec<String>,
}

/// The tokenizer of a run, as its recipe reads lines.
pub fn reading(recipe: &Recipe, tokenizer: Tokenizer) -> Tokenizer {
    match recipe.corpus_pairs {
        true => tokenizer.for_pairs(PAIR),
        false => tokenizer,
    }
}

/// What is in memory of a corpus at once.
pub fn limits(recipe: &Recipe) -> BlockLimits {
    BlockLimits {
        block_lines: recipe.shuffle,
        ..BlockLimits::for_max_length(recipe.max_length)
    }
}

/// A corpus whose parts have the weights of a recipe.
///
/// # Errors
/// See [`Corpus::weighted`].
pub fn weighted(corpus: Corpus, recipe: &Recipe) -> Result<Corpus, CorpusError> {
    let weights = recipe.corpus_weights.as_deref();
    corpus.weighted(weights, limits(recipe), recipe.heldout)
}

impl Heldout {
    /// Finds at most `lines` of them.
    ///
    /// # Errors
    /// The corpus cannot be read, no line of it has a token, or most tokens are unknown.
    pub fn find(
        plan: &Plan,
        corpus: &Corpus,
        tokenizer: &Tokenizer,
        lines: usize,
    ) -> Result<Self, HeldoutError> {
        if plan.recipe.corpus_pairs {
            require_pair(&plan.recipe, corpus)?;
        }
        let Unseen {
            texts,
            parts,
            sequences,
            kind,
            meaning,
        } = unseen(plan, corpus, tokenizer, lines)?;
        check_known(&plan.recipe, tokenizer, &texts, &sequences)?;
        let measured = counted(sequences.len(), kind.trim_end_matches('s'));
        let note = format!("Measured on {measured}{meaning}.");
        let (picture, picture_left_out) = picture(tokenizer, &texts, &sequences)?;
        let sentences = sentences(texts, &sequences, SENTENCES);
        let mut sequences: Vec<(usize, Tokens)> = parts.into_iter().zip(sequences).collect();
        sequences.sort_by_key(|(part, tokens)| (*part, tokens.ids.len()));
        let recipe = &plan.recipe;
        let of_parts = sequences.chunk_by(|a, b| a.0 == b.0);
        let batches = of_parts.flat_map(|lines| lines.chunks(recipe.batch));
        let batches = batches.map(|chunk| {
            let sources = chunk.iter().map(|(part, _)| (*part, 0)).collect();
            let sequences = chunk.iter().map(|(_, tokens)| ids_and_types(tokens));
            padded(sequences, sources, plan, recipe.max_length)
        });
        Ok(Self {
            batches: batches.collect(),
            files: corpus.measured_parts(),
            kind,
            note,
            picture,
            picture_left_out,
            sentences,
        })
    }
}

/// Lines that the student never saw, with a token each.
pub(crate) struct Unseen {
    /// As they are written.
    pub texts: Vec<String>,
    /// The part of the corpus that each is from: see [`held_out`].
    pub parts: Vec<usize>,
    /// Their tokens.
    pub sequences: Vec<Tokens>,
    /// See [`Heldout::kind`].
    pub kind: &'static str,
    /// What that means, after their number.
    pub meaning: &'static str,
}

/// The first of them, at most so many; lines to train on where there are none.
///
/// # Errors
/// The corpus cannot be read, or no line of it has a token.
pub(crate) fn unseen(
    plan: &Plan,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    lines: usize,
) -> Result<Unseen, HeldoutError> {
    let fraction = plan.recipe.heldout;
    for (fraction, kind, meaning) in [
        (
            fraction,
            "held-out lines",
            " of the corpus, which the student never saw",
        ),
        (1.0, "training lines", ": the corpus holds no held-out line"),
    ] {
        let (lines, sequences) = sequences(plan, corpus, tokenizer, fraction, lines)?;
        if !sequences.is_empty() {
            let (parts, texts) = lines.into_iter().unzip();
            return Ok(Unseen {
                texts,
                parts,
                sequences,
                kind,
                meaning,
            });
        }
    }
    let percent = 100.0 * fraction;
    Err(CorpusError::NoBatch { percent }.into())
}

/// A line, behind the part of the corpus that it is from.
type Placed = (usize, String);

/// Lines with a token, and their tokens.
fn sequences(
    plan: &Plan,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    fraction: f64,
    lines: usize,
) -> Result<(Vec<Placed>, Vec<Tokens>), HeldoutError> {
    let lines = held_out(corpus, limits(&plan.recipe), fraction, lines)?;
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    let tokens = tokenizer.encode(&texts)?;
    let both = lines.iter().cloned().zip(tokens);
    Ok(both.filter(|(_, tokens)| !tokens.ids.is_empty()).unzip())
}

/// A corpus that should hold pairs holds one.
fn require_pair(recipe: &Recipe, corpus: &Corpus) -> Result<(), HeldoutError> {
    let mut lines = 0;
    // The first of them says it, as a rule.
    let few = BlockLimits {
        block_lines: 256,
        ..limits(recipe)
    };
    for block in corpus.blocks(Position::default(), few) {
        let block = block?;
        if block.lines.iter().any(|line| line.text.contains(PAIR)) {
            return Ok(());
        }
        lines += block.lines.len();
    }
    let lines = counted(lines, "line");
    Err(HeldoutError::NoPair { lines })
}

/// More unknown tokens than others are no text for this tokenizer.
fn check_known(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    texts: &[String],
    sequences: &[Tokens],
) -> Result<(), HeldoutError> {
    let one = tokenizer.special_tokens()?;
    let two = match recipe.corpus_pairs {
        true => tokenizer.encode_pairs(&[("", "")])?[0].ids.len(),
        false => one,
    };
    let special = |text: &String| if text.contains(PAIR) { two } else { one };
    let sizes = texts.iter().zip(sequences);
    let sizes = sizes.map(|(text, tokens)| tokens.ids.len().saturating_sub(special(text)));
    let tokens = sizes.sum();
    let unknown = tokenizer.unknown().map_or(0, |unknown| {
        let all = sequences.iter().flat_map(|tokens| &tokens.ids);
        all.filter(|id| **id == unknown).count()
    });
    if 2 * unknown > tokens {
        return Err(HeldoutError::Unknown {
            vocabulary: recipe.student.vocabulary,
            unknown,
            tokens,
        });
    }
    Ok(())
}

/// A sentence that is neither trivial nor too long to be drawn, and how much of it was cut off: as the tokenizer cuts, so that a pair
/// stays one.
fn picture(
    tokenizer: &Tokenizer,
    texts: &[String],
    sequences: &[Tokens],
) -> Result<(Batch, u64), HeldoutError> {
    let fits = |t: &Tokens| (PICTURE_TOKENS * 3 / 5..=PICTURE_TOKENS).contains(&t.ids.len());
    let chosen = sequences.iter().position(fits).unwrap_or(0);
    let mut tokens = sequences[chosen].clone();
    let all = tokens.ids.len();
    if all > PICTURE_TOKENS {
        let truncating = tokenizer.clone().truncating(PICTURE_TOKENS)?;
        tokens = truncating.encode(&[&texts[chosen]])?.remove(0);
    }
    let left_out = all - tokens.ids.len();
    Ok((Batch::of_one(&tokens.ids, &tokens.types), left_out as u64))
}

/// The ids of a sequence, and their types.
pub(crate) fn ids_and_types(tokens: &Tokens) -> (&[u32], &[u32]) {
    (&tokens.ids, &tokens.types)
}

/// Sequences, ids and types of each, as a batch of both models of a plan.
pub(crate) fn padded<'a>(
    sequences: impl Iterator<Item = (&'a [u32], &'a [u32])>,
    sources: Vec<(usize, u64)>,
    plan: &Plan,
    max_length: usize,
) -> Batch {
    let (ids, types): (Vec<&[u32]>, Vec<&[u32]>) = sequences.unzip();
    let pad = plan.teacher.pad_token_id;
    Batch::pad(&ids, sources, pad, PAD_TO, max_length).with_types(&types)
}

/// The first lines that are neither trivial nor long, none twice; where those are too few, the shortest of the others after them.
pub(crate) fn sentences(texts: Vec<String>, sequences: &[Tokens], count: usize) -> Vec<String> {
    let lengths = sequences.iter().map(|tokens| tokens.ids.len());
    let mut lines: Vec<(usize, String)> = lengths.zip(texts).collect();
    lines.sort_by_key(|(tokens, _)| match SENTENCE_TOKENS.contains(tokens) {
        true => 0,
        false => *tokens,
    });
    let mut chosen: Vec<String> = Vec::new();
    for (_, text) in lines {
        if chosen.len() < count && !chosen.contains(&text) {
            chosen.push(text);
        }
    }
    chosen
}
