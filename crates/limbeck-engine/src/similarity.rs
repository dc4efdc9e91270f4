//! Sentences side by side: the cosines of the vectors of each two, of the teacher and of the student.

use limbeck_model::{ModelError, Tokenizer, TokenizerError};
use limbeck_protocol::Event;
use limbeck_recipe::Pooling;
use limbeck_recipe::batching::Batch;
use limbeck_train::{Run, TrainError};

use crate::heldout::{ids_and_types, padded};
use crate::sentence::{EventParts, blobs};

/// Tokens of a sentence that are read: all are padded to the longest.
const MOST_TOKENS: usize = 48;
/// Characters of a sentence that are told.
const MOST_SHOWN: usize = 160;
/// Sentences of the reader's own that stay beside the held-out ones, the newest of them.
const MOST_OWN: usize = 4;

/// Sentences with what the teacher makes of them.
pub struct Similarity {
    heldout: Vec<String>,
    own: Vec<String>,
    /// What one vector is made with, before any Dense: a student may lack those of its teacher.
    pooling: Pooling,
    batch: Batch,
    teacher: Vec<f32>,
    sampled: Option<EventParts>,
}

/// What a finished run compares: the cosines of the vectors of each two of N sentences, (N, N) row-major.
pub struct Compared {
    /// The N sentences.
    pub texts: Vec<String>,
    /// The teacher's.
    pub teacher: Vec<f32>,
    /// Those of the student before the first step.
    pub before: Vec<f32>,
    /// Those of the student as it is now.
    pub after: Vec<f32>,
}

impl Similarity {
    /// Has the teacher read held-out lines and sentences of the reader's own. That never changes, so it is done once.
    ///
    /// # Errors
    /// There is none, the tokenizer fails on one, or the device fails.
    pub async fn read(
        run: &Run,
        tokenizer: &Tokenizer,
        (heldout, own): (Vec<String>, Vec<String>),
        pooling: Pooling,
    ) -> Result<Self, TrainError> {
        let texts: Vec<&str> = heldout.iter().chain(&own).map(String::as_str).collect();
        let truncating = truncating(run, tokenizer).map_err(ModelError::from)?;
        let batch = batch(run, &truncating, &texts).map_err(ModelError::from)?;
        let vectors = run.teacher_vectors(&batch, &pooling).await?;
        Ok(Self {
            teacher: cosines(&vectors, texts.len()),
            heldout,
            own,
            pooling,
            batch,
            sampled: None,
        })
    }

    /// The same with another sentence of the reader's own, which has a token; an empty text leaves all of those out.
    ///
    /// # Errors
    /// The tokenizer fails on it, or the device fails.
    pub async fn with(
        &self,
        run: &Run,
        tokenizer: &Tokenizer,
        text: &str,
    ) -> Result<Self, TrainError> {
        let text = text.trim();
        let mut own = self.own.clone();
        match text.is_empty() {
            true => own.clear(),
            false => {
                own.retain(|other| other != text);
                own.push(text.to_owned());
            }
        }
        own.drain(..own.len().saturating_sub(MOST_OWN));
        let texts = (self.heldout.clone(), own);
        Self::read(run, tokenizer, texts, self.pooling.clone()).await
    }

    /// Has the student read them as it is now.
    ///
    /// # Errors
    /// The device fails.
    pub async fn sample(&mut self, run: &Run) -> Result<EventParts, TrainError> {
        let student = self.of_student(run).await?;
        let event = Event::Similarity {
            step: run.steps_taken(),
            texts: self.texts(),
        };
        let event = (event, blobs(&[self.teacher.clone(), student]));
        self.sampled = Some(event.clone());
        Ok(event)
    }

    /// The last event of [`Similarity::sample`].
    pub fn event(&self) -> Option<EventParts> {
        self.sampled.clone()
    }

    /// The cosines before and after a run.
    ///
    /// # Errors
    /// The device fails.
    pub async fn compared(&self, fresh: &Run, run: &Run) -> Result<Compared, TrainError> {
        Ok(Compared {
            texts: self.texts(),
            teacher: self.teacher.clone(),
            before: self.of_student(fresh).await?,
            after: self.of_student(run).await?,
        })
    }

    /// The student's cosines.
    ///
    /// # Errors
    /// The device fails.
    pub async fn of_student(&self, run: &Run) -> Result<Vec<f32>, TrainError> {
        let vectors = run.student_vectors(&self.batch, &self.pooling).await?;
        Ok(cosines(&vectors, self.batch.lengths.len()))
    }

    /// As they are shown: the beginnings of long ones.
    fn texts(&self) -> Vec<String> {
        let all = self.heldout.iter().chain(&self.own);
        all.map(|text| shown(text)).collect()
    }

    /// What one vector is made with.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
    }
}

/// Cuts a sentence to what is read of it.
///
/// # Errors
/// The tokenizer cannot.
pub fn truncating(run: &Run, tokenizer: &Tokenizer) -> Result<Tokenizer, TokenizerError> {
    tokenizer.clone().truncating(most_tokens(run))
}

/// Tokens of a sentence that are read: both models must have positions for them.
pub fn most_tokens(run: &Run) -> usize {
    MOST_TOKENS.min(run.plan().positions())
}

/// Sentences as a batch of both models; `tokenizer` is that of [`truncating`].
///
/// # Errors
/// The tokenizer fails on one.
pub fn batch(run: &Run, tokenizer: &Tokenizer, texts: &[&str]) -> Result<Batch, TokenizerError> {
    let tokens = tokenizer.encode(texts)?;
    Ok(batched(
        run,
        &tokens.iter().map(ids_and_types).collect::<Vec<_>>(),
    ))
}

/// The same of sentences in tokens, [`most_tokens`] at most each.
pub fn batched(run: &Run, sequences: &[(&[u32], &[u32])]) -> Batch {
    let sources = vec![(0, 0); sequences.len()];
    let sequences = sequences.iter().copied();
    padded(sequences, sources, run.plan(), most_tokens(run))
}

/// A sentence as it is shown: the beginning of a long one.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}

/// The cosines of each two of N vectors, (N, N). A vector of zeros has none: NaN.
fn cosines(vectors: &[f32], count: usize) -> Vec<f32> {
    let width = (vectors.len() / count.max(1)).max(1);
    let rows: Vec<&[f32]> = vectors.chunks_exact(width).collect();
    let pairs = rows.iter().flat_map(|a| rows.iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| cosine(a, b) as f32).collect()
}

/// The cosine of two vectors, in f64; NaN where one is of zeros.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let both = a.iter().zip(b);
        both.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}
