//! Examples as token ids, and the batches that they come in.

use burn::tensor::Device;
use limbeck_model::{Folder, ModelError, TokenBatch, Tokenizer};
use limbeck_recipe::Rng;
use limbeck_recipe::batching::{Batch, plan_batches, shuffled};
use limbeck_train::Targets;

use super::task::{Example, Goal, Target, Text};

/// Batches among which sequences of similar length come together.
const CHUNK: usize = 50;
/// Keeps the random numbers of the order of batches apart from the others of a seed.
const ORDER: u64 = 0x0BDE;

/// An example as token ids.
pub struct Sequence {
    ids: Vec<u32>,
    /// The token type of each; none where all are 0.
    types: Vec<u32>,
    target: Target,
    /// Which of the rows that the model gives for it count: the one of a text, or those of the first token of each word; none of
    /// a word that was cut off.
    pub places: Vec<Option<usize>>,
    /// Whether the text was longer.
    pub truncated: bool,
}

/// How sequences are put together.
#[derive(Clone)]
pub struct Shelf {
    /// Where batches go.
    pub device: Device,
    /// Id of the padding token.
    pub pad: u32,
    /// Padded lengths are multiples of this.
    pub multiple: usize,
    /// The longest sequence.
    pub max_length: usize,
}

/// The tokenizer of a folder for a goal, truncating.
///
/// # Errors
/// The folder has none, or `max_length` leaves no room.
pub fn tokenizer(folder: &Folder, goal: &Goal, max_length: usize) -> Result<Tokenizer, ModelError> {
    let tokenizer = folder.tokenizer()?;
    folder.require_rows(&tokenizer)?;
    let tokenizer = match goal {
        Goal::Tags(_) => tokenizer.for_words(),
        Goal::Classes(_) | Goal::Score => tokenizer,
    };
    Ok(tokenizer.truncating(max_length)?)
}

/// Tokenises examples; `tokenizer` truncates.
///
/// # Errors
/// The tokenizer fails on a text.
pub fn tokenise(
    tokenizer: &Tokenizer,
    examples: &[Example],
    pad: u32,
) -> Result<Vec<Sequence>, ModelError> {
    let (mut texts, mut pairs) = (Vec::new(), Vec::new());
    let mut sentences: Vec<Vec<&str>> = Vec::new();
    for example in examples {
        match &example.text {
            Text::One(text) => texts.push(text.as_str()),
            Text::Pair(first, second) => pairs.push((first.as_str(), second.as_str())),
            Text::Words(words) => sentences.push(words.iter().map(String::as_str).collect()),
        }
    }
    let texts = tokenizer.encode(&texts)?.into_iter();
    // Those need more room than a text: only if there are any.
    let pairs = match pairs.is_empty() {
        true => Vec::new(),
        false => tokenizer.encode_pairs(&pairs)?,
    };
    let texts = texts
        .chain(pairs)
        .map(|t| (t.ids, t.types, vec![Some(0)], t.truncated));
    let sentences = tokenizer.encode_words(&sentences)?.into_iter();
    let sentences = sentences.map(|t| (t.ids, Vec::new(), t.firsts, t.truncated));
    // All examples of a file are of one kind, so this is their order.
    let tokens = texts.chain(sentences).zip(examples);
    let sequences = tokens.map(|((mut ids, types, places, truncated), example)| {
        // A tokenizer without special tokens makes nothing of an empty text; padding stands for it.
        if ids.is_empty() {
            ids.push(pad);
        }
        Sequence {
            ids,
            types,
            target: example.target.clone(),
            places,
            truncated,
        }
    });
    Ok(sequences.collect())
}

/// The order of an epoch, as indices: shuffled, sequences of similar length together, and the batches shuffled again.
pub fn order(sequences: &[Sequence], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let order = shuffled(sequences.len(), seed, epoch, 0);
    let order: Vec<usize> = order.into_iter().map(|index| index as usize).collect();
    let chunks = order.chunks(CHUNK * batch).zip(0..);
    let batches = chunks.flat_map(|(chunk, number)| {
        let lengths: Vec<usize> = chunk
            .iter()
            .map(|index| sequences[*index].ids.len())
            .collect();
        let mut rng = Rng::keyed(&[seed, ORDER, epoch, number]);
        let batches = plan_batches(&lengths, batch, true, &mut rng).into_iter();
        batches.map(|batch| batch.into_iter().map(|place| chunk[place]).collect())
    });
    batches.collect()
}

/// All of them once, the shortest first.
pub fn by_length(sequences: &[Sequence], batch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|index| sequences[*index].ids.len());
    order.chunks(batch).map(<[usize]>::to_vec).collect()
}

impl Shelf {
    /// The batch of these sequences, padded on the right.
    ///
    /// # Errors
    /// None in practice: the lengths are those of the sequences.
    pub fn batch(&self, all: &[Sequence], picked: &[usize]) -> Result<TokenBatch, ModelError> {
        let ids: Vec<&[u32]> = picked
            .iter()
            .map(|index| all[*index].ids.as_slice())
            .collect();
        let sources = vec![(0, 0); ids.len()];
        let padded = Batch::pad(&ids, sources, self.pad, self.multiple, self.max_length);
        let types = picked.iter().map(|index| all[*index].types.as_slice());
        let padded = padded.with_types(&types.collect::<Vec<_>>());
        TokenBatch::of(&padded, &self.device)
    }
}

impl Sequence {
    /// The known classes that count.
    pub fn classes(&self) -> Vec<usize> {
        match &self.target {
            Target::Class(class) => vec![*class],
            Target::Tags(tags) => {
                let counted = tags.iter().zip(&self.places);
                counted
                    .filter_map(|(tag, place)| place.map(|_| *tag))
                    .collect()
            }
            Target::Score(_) => Vec::new(),
        }
    }

    /// Its tokens, special ones included.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Words that were cut off.
    pub fn lost(&self) -> usize {
        self.places.iter().filter(|place| place.is_none()).count()
    }
}

/// What is known of these sequences, each padded to so many tokens.
pub fn targets(all: &[Sequence], picked: &[usize], padded: usize) -> Targets {
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    for index in picked {
        match &all[*index].target {
            Target::Class(class) => classes.push(Some(*class)),
            Target::Score(score) => scores.push(*score),
            Target::Tags(tags) => {
                let start = classes.len();
                classes.resize(start + padded, None);
                for (tag, place) in tags.iter().zip(&all[*index].places) {
                    if let Some(place) = place {
                        classes[start + place] = Some(*tag);
                    }
                }
            }
        }
    }
    match scores.is_empty() {
        true => Targets::Classes(classes),
        false => Targets::Scores(scores),
    }
}
