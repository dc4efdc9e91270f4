//! A search by both models: which of some held-out lines are nearest to a text, for the teacher and for the student now.

use limbeck_corpus::Corpus;
use limbeck_model::Tokenizer;
use limbeck_protocol::{Found, Hit, Stage};
use limbeck_recipe::Pooling;
use limbeck_recipe::batching::Batch;
use limbeck_train::Run;

use crate::front::{Front, News};
use crate::heldout::{sentences, unseen};
use crate::sentence::Tokens;
use crate::similarity::{batch, batched, cosine, shown, truncating};
use crate::trouble::RunError;

/// Held-out lines that are looked at.
const CANDIDATES: usize = 512;
/// Lines that are searched at most, of those: the student reads them all again whenever it has learnt.
const LINES: usize = 128;
/// Lines that are read at once.
const AT_ONCE: usize = 16;
/// Lines that each model gives.
const HITS: usize = 10;

/// Lines with what both models make of them.
pub struct Search {
    lines: Vec<String>,
    kind: &'static str,
    batches: Vec<Batch>,
    pooling: Pooling,
    /// A vector of each line that is read so far.
    teacher: Vec<Vec<f32>>,
    /// The same after so many steps.
    student: (u64, Vec<Vec<f32>>),
}

/// A line and its cosine.
type Place = (usize, f64);

impl Search {
    /// Finds the lines, at most so many. That never changes, so it is done once.
    ///
    /// # Errors
    /// The texts cannot be read.
    pub fn open(
        run: &Run,
        corpus: &Corpus,
        tokenizer: &Tokenizer,
        pooling: Pooling,
        most: usize,
    ) -> Result<Self, RunError> {
        let truncating = truncating(run, tokenizer)?;
        let unseen = unseen(run.plan(), corpus, &truncating, CANDIDATES)?;
        let lines = sentences(unseen.texts, &unseen.sequences, most.min(LINES));
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        let batches = texts
            .chunks(AT_ONCE)
            .map(|some| batch(run, &truncating, some));
        Ok(Self {
            batches: batches.collect::<Result<_, _>>()?,
            lines,
            kind: unseen.kind,
            pooling,
            teacher: Vec::new(),
            student: (0, Vec::new()),
        })
    }

    /// Has a model read the next lines: the teacher all of them once, the student all of them whenever it has learnt. False if
    /// none are left.
    ///
    /// # Errors
    /// The device fails.
    pub async fn read(&mut self, run: &Run, front: &mut impl Front) -> Result<bool, RunError> {
        let (all, step) = (self.lines.len(), run.steps_taken());
        if self.student.0 != step {
            self.student = (step, Vec::new());
        }
        let is_teacher = self.teacher.len() < all;
        let rows = match is_teacher {
            true => &mut self.teacher,
            false => &mut self.student.1,
        };
        let Some(batch) = self.batches.get(rows.len().div_ceil(AT_ONCE)) else {
            return Ok(false);
        };
        let stage = News::Stage(Stage::Searching, rows.len(), all);
        front.report(stage).map_err(RunError::Storage)?;
        let vectors = match is_teacher {
            true => run.teacher_vectors(batch, &self.pooling).await?,
            false => run.student_vectors(batch, &self.pooling).await?,
        };
        let width = vectors.len() / batch.lengths.len();
        rows.extend(vectors.chunks_exact(width).map(<[f32]>::to_vec));
        Ok(true)
    }

    /// What both models find first for a text in tokens, once they have read all lines.
    ///
    /// # Errors
    /// The device fails.
    pub async fn find(&self, run: &Run, text: &str, tokens: &Tokens) -> Result<Found, RunError> {
        let Batch { ids, types, .. } = &tokens.of_one;
        let query = batched(run, &[(ids, types)]);
        let of_teacher = run.teacher_vectors(&query, &self.pooling).await?;
        let of_student = run.student_vectors(&query, &self.pooling).await?;
        let teacher = ranked(&self.teacher, &of_teacher);
        let student = ranked(&self.student.1, &of_student);
        Ok(Found {
            step: self.student.0,
            text: shown(text),
            left_out: tokens.left_out,
            lines: self.lines.len() as u64,
            kind: self.kind.to_owned(),
            teacher: self.hits(&teacher, &student),
            student: self.hits(&student, &teacher),
        })
    }

    fn hits(&self, of: &[Place], other: &[Place]) -> Vec<Hit> {
        let hit = |(line, cosine): &Place| {
            let place = other.iter().position(|(other, _)| other == line);
            Hit {
                text: shown(&self.lines[*line]),
                cosine: *cosine as f32,
                other: place.map(|place| place as u64 + 1),
            }
        };
        of.iter().take(HITS).map(hit).collect()
    }
}

/// The lines by their cosine, the nearest first; without those that have none.
fn ranked(rows: &[Vec<f32>], query: &[f32]) -> Vec<Place> {
    let cosines = rows.iter().map(|row| cosine(row, query)).enumerate();
    let mut places: Vec<Place> = cosines.filter(|(_, cosine)| cosine.is_finite()).collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    places
}
