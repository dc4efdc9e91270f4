//! A search by both models: which of some held-out lines are nearest to a text, for the teacher and for the student now.

use limbeck_corpus::Corpus;
use limbeck_model::Tokenizer;
use limbeck_protocol::{Found, Hit, Stage};
use limbeck_recipe::Pooling;
use limbeck_recipe::batching::Batch;
use limbeck_train::Run;

use crate::front::{Front, News};
use crate::heldout::{PAD_TO, sentences, unseen};
use crate::sentence::Tokens;
use crate::similarity::{batch, cosine, shown, truncating};
use crate::trouble::RunError;

/// Held-out lines that are looked at.
const CANDIDATES: usize = 512;
/// Lines that are searched, of those: the student reads them all again whenever it has learnt.
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
    /// A vector a line.
    teacher: Vec<Vec<f32>>,
    /// The same after so many steps.
    student: Option<(u64, Vec<Vec<f32>>)>,
}

/// A line and its cosine.
type Place = (usize, f64);

impl Search {
    /// Finds the lines and has the teacher read them. That never changes, so it is done once.
    ///
    /// # Errors
    /// The texts cannot be read, or the device fails.
    pub async fn open(
        run: &Run,
        corpus: &Corpus,
        tokenizer: &Tokenizer,
        pooling: Pooling,
        front: &mut impl Front,
    ) -> Result<Self, RunError> {
        let truncating = truncating(run, tokenizer)?;
        let unseen = unseen(run.plan(), corpus, &truncating, CANDIDATES)?;
        let lines = sentences(unseen.texts, &unseen.sequences, LINES);
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        let batches = texts
            .chunks(AT_ONCE)
            .map(|some| batch(run, &truncating, some));
        let mut search = Self {
            batches: batches.collect::<Result<_, _>>()?,
            lines,
            kind: unseen.kind,
            pooling,
            teacher: Vec::new(),
            student: None,
        };
        search.teacher = search.read(run, true, front).await?;
        Ok(search)
    }

    /// What both models find first for a text.
    ///
    /// # Errors
    /// The device fails.
    pub async fn find(
        &mut self,
        run: &Run,
        (text, tokens): (&str, Tokens),
        front: &mut impl Front,
    ) -> Result<Found, RunError> {
        let step = run.steps_taken();
        let rows = match self.student.take() {
            Some((at, rows)) if at == step => rows,
            _ => self.read(run, false, front).await?,
        };
        let ids = tokens.ids;
        let pad = run.plan().teacher.pad_token_id;
        let query = Batch::pad(&[&ids[..]], vec![(0, 0)], pad, PAD_TO, ids.len());
        let of_teacher = run.teacher_vectors(&query, &self.pooling).await?;
        let of_student = run.student_vectors(&query, &self.pooling).await?;
        let teacher = ranked(&self.teacher, &of_teacher);
        let student = ranked(&rows, &of_student);
        self.student = Some((step, rows));
        Ok(Found {
            step,
            text: text.to_owned(),
            lines: self.lines.len() as u64,
            kind: self.kind.to_owned(),
            teacher: self.hits(&teacher, &student),
            student: self.hits(&student, &teacher),
        })
    }

    async fn read(
        &self,
        run: &Run,
        is_teacher: bool,
        front: &mut impl Front,
    ) -> Result<Vec<Vec<f32>>, RunError> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            let stage = News::Stage(Stage::Searching, rows.len(), self.lines.len());
            front.report(stage).map_err(RunError::Storage)?;
            front.breathe().await;
            let vectors = match is_teacher {
                true => run.teacher_vectors(batch, &self.pooling).await,
                false => run.student_vectors(batch, &self.pooling).await,
            };
            let vectors = vectors?;
            let width = vectors.len() / batch.lengths.len();
            rows.extend(vectors.chunks_exact(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
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
