//! Blocks of lines to batches of tokens. Which line goes where is decided in `limbeck_recipe::batching`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limbeck_recipe::batching::{
    Batch, DataPosition, Encoded, Position, Rng, is_held_out, plan_batches, shuffled,
};
use limbeck_recipe::counted;

use crate::blocks::{BlockLimits, Line, Lines};
use crate::corpus::Corpus;
use crate::error::CorpusError;
use crate::mix::{Reading, Source};

/// Batches that are sorted by length together: enough for little padding, few enough to stay well mixed.
const CHUNK_BATCHES: usize = 50;

/// At most `count` held-out lines of the corpus, in order, each with the index of its part. They come from all parts that are
/// [measured by themselves](Corpus::measured_parts), the first lines of each and as many of each as it has and `count` allows; else
/// they are the first of the corpus, and 0 is the index of all. `limits` must be those of the run: the text after truncation decides
/// what is held out.
pub fn held_out(
    corpus: &Corpus,
    limits: BlockLimits,
    fraction: f64,
    count: usize,
) -> Result<Vec<(usize, String)>, CorpusError> {
    if fraction <= 0.0 {
        return Ok(Vec::new());
    }
    let whole = (Position::default(), corpus.texts().len());
    let mut ranges: Vec<(Position, usize)> = (0..corpus.measured_parts().len())
        .map(|part| (corpus.start_of(part), corpus.end_of(part)))
        .collect();
    if ranges.is_empty() {
        ranges.push(whole);
    }
    let mut found = Vec::new();
    for (part, (start, end)) in ranges.into_iter().enumerate() {
        let mut lines = Lines::new(corpus.clone(), start, end, limits.line_bytes);
        let mut place = 0;
        while place < count
            && let Some(line) = lines.next()?
        {
            if is_held_out(&line.text, fraction) {
                found.push((place, part, line.text));
                place += 1;
            }
        }
    }
    found.sort_by_key(|(place, part, _)| (*place, *part));
    found.truncate(count);
    found.sort_by_key(|(place, part, _)| (*part, *place));
    Ok(found
        .into_iter()
        .map(|(_, part, text)| (part, text))
        .collect())
}

/// How lines become batches. Resuming needs the settings that the run began with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoaderSettings {
    /// Sequences per batch.
    pub batch: usize,
    /// Maximum tokens per sequence.
    pub max_length: usize,
    /// The token id of padding.
    pub pad_id: u32,
    /// S is rounded up to a multiple of this.
    pub pad_to_multiple: usize,
    /// The fraction of the lines that is never trained on, 0 ..= 1.
    pub held_out: f64,
    /// Whether the lines of a block that do not fill a batch make a smaller one. If not, a few lines of each block
    /// (other ones in each epoch) are left out. A block with fewer lines than one batch always gives a smaller one.
    pub keep_last: bool,
    /// Seed of every order of lines and batches.
    pub seed: u64,
    /// How much of the corpus is in memory at once.
    pub limits: BlockLimits,
}

/// A batch, and where to continue after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The padded token ids, with their lengths and sources.
    pub batch: Batch,
    /// Where a run that is resumed after this batch continues.
    pub next: DataPosition,
}

/// A batch, and how many of its lines were truncated.
type Prepared = (Batch, u64);

/// The lines of a block; those that are trained on, in the order of the epoch at hand; and where the next block starts.
struct Shuffled {
    lines: Vec<Line>,
    order: Vec<usize>,
    end: Reading,
}

/// Endless batches, epoch after epoch, prepared on demand: it reads the next block, or tokenises the next chunk of its
/// lines, once the one before is used up. Ends only after an error.
pub struct Batches<T> {
    corpus: Corpus,
    tokenise: T,
    settings: LoaderSettings,
    stop: Arc<AtomicBool>,
    /// Where the next batch comes from.
    at: DataPosition,
    /// Where this epoch was begun.
    begun: DataPosition,
    source: Source,
    block: Option<Shuffled>,
    chunk: Option<std::vec::IntoIter<Prepared>>,
    finished: bool,
}

impl<T> Batches<T> {
    /// Batches from `from` on: the default for a new run, `Loaded::next` to resume. `tokenise` gives for each line its
    /// token ids, truncated to `max_length`.
    pub fn new(corpus: Corpus, tokenise: T, settings: LoaderSettings, from: DataPosition) -> Self {
        Self {
            source: Source::open(&corpus, &from, settings.limits),
            corpus,
            tokenise,
            settings,
            stop: Arc::default(),
            at: from.clone(),
            begun: from,
            block: None,
            chunk: None,
            finished: false,
        }
    }

    /// Ends the iteration early, within milliseconds unless the tokenizer is at work, once `stop` is true.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self {
            source: self.source.until(&stop),
            stop,
            ..self
        }
    }
}

impl<T: Fn(&[&str]) -> Result<Vec<Encoded>, String>> Iterator for Batches<T> {
    type Item = Result<Loaded, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let loaded = self.pull().transpose();
        self.finished = !matches!(loaded, Some(Ok(_)));
        loaded
    }
}

impl<T: Fn(&[&str]) -> Result<Vec<Encoded>, String>> Batches<T> {
    /// The next batch; none if it was stopped.
    fn pull(&mut self) -> Result<Option<Loaded>, CorpusError> {
        while !self.stop.load(Ordering::Relaxed) {
            match self.chunk.as_mut().map(Iterator::next) {
                Some(Some(prepared)) => return Ok(Some(self.give(prepared))),
                Some(None) => {
                    self.chunk = None;
                    self.at.chunk += 1;
                    self.at.batch = 0;
                }
                None => self.prepare_chunk()?,
            }
        }
        Ok(None)
    }

    fn give(&mut self, (batch, truncated): Prepared) -> Loaded {
        self.at.batch += 1;
        self.at.lines += batch.lengths.len() as u64;
        self.at.truncated_lines += truncated;
        let next = self.at.clone();
        Loaded { batch, next }
    }

    /// Prepares the chunk at hand, without the batches of it that were given before the run was resumed.
    fn prepare_chunk(&mut self) -> Result<(), CorpusError> {
        let Some(Shuffled { lines, order, end }) = &self.block else {
            return self.read_block();
        };
        let mut chunks = order.chunks(self.settings.batch * CHUNK_BATCHES);
        match chunks.nth(self.at.chunk as usize) {
            Some(chunk) => {
                let lines: Vec<&Line> = chunk.iter().map(|&index| &lines[index]).collect();
                let mut prepared = self.prepare(&lines)?;
                prepared.drain(..prepared.len().min(self.at.batch as usize));
                self.chunk = Some(prepared.into_iter());
            }
            None => {
                self.at = DataPosition {
                    block: self.at.block + 1,
                    start: end.start,
                    parts: end.parts.clone(),
                    chunk: 0,
                    batch: 0,
                    ..self.at
                };
                self.block = None;
            }
        }
        Ok(())
    }

    fn read_block(&mut self) -> Result<(), CorpusError> {
        if self.source.is_read_again() && self.has_given_nothing() {
            return Err(self.no_batch());
        }
        match self.source.next()? {
            Some((lines, end)) => {
                let order = self.order(&lines);
                self.block = Some(Shuffled { lines, order, end });
            }
            None => self.begin_epoch()?,
        }
        Ok(())
    }

    fn begin_epoch(&mut self) -> Result<(), CorpusError> {
        let stopped = self.stop.load(Ordering::Relaxed);
        // A run that is resumed within an epoch has had a batch of it.
        let whole = self.begun.is_start_of_epoch();
        if whole && self.has_given_nothing() && !stopped {
            return Err(self.no_batch());
        }
        self.at = self.at.next_epoch();
        self.begun = self.at.clone();
        let source = Source::open(&self.corpus, &self.at, self.settings.limits);
        self.source = source.until(&self.stop);
        Ok(())
    }

    fn has_given_nothing(&self) -> bool {
        self.at.lines == self.begun.lines
    }

    fn no_batch(&self) -> CorpusError {
        CorpusError::NoBatch {
            percent: self.settings.held_out * 100.0,
        }
    }

    /// Which lines of a block are trained on, in the order of this epoch.
    fn order(&self, lines: &[Line]) -> Vec<usize> {
        let LoaderSettings {
            held_out,
            seed,
            batch,
            ..
        } = self.settings;
        let trained: Vec<usize> = (lines.iter().enumerate())
            .filter(|(_, line)| !is_held_out(&line.text, held_out))
            .map(|(index, _)| index)
            .collect();
        let mut order = shuffled(trained.len(), seed, self.at.epoch, self.at.block);
        if !self.settings.keep_last && order.len() >= batch {
            order.truncate(order.len() - order.len() % batch);
        }
        let lines = order.into_iter().map(|index| trained[index as usize]);
        lines.collect()
    }

    /// All batches of a chunk. Lines without tokens are left out, as blank lines are.
    fn prepare(&self, chunk: &[&Line]) -> Result<Vec<Prepared>, CorpusError> {
        let at = &self.at;
        let settings = &self.settings;
        let encoded = self.encode(chunk)?;
        let sequences: Vec<(&Line, &Encoded)> = chunk
            .iter()
            .copied()
            .zip(&encoded)
            .filter(|(_, encoded)| !encoded.ids.is_empty())
            .collect();
        let lengths: Vec<usize> = sequences
            .iter()
            .map(|(_, encoded)| encoded.ids.len())
            .collect();
        let keep_last = settings.keep_last || lengths.len() < settings.batch;
        let mut rng = Rng::keyed(&[settings.seed, at.epoch, at.block, at.chunk]);
        let plan = plan_batches(&lengths, settings.batch, keep_last, &mut rng);
        Ok(plan
            .iter()
            .map(|members| self.assemble(members.iter().map(|&index| sequences[index])))
            .collect())
    }

    fn assemble<'a>(&self, members: impl Iterator<Item = (&'a Line, &'a Encoded)>) -> Prepared {
        let members: Vec<_> = members.collect();
        let ids: Vec<&[u32]> = members
            .iter()
            .map(|(_, encoded)| &encoded.ids[..])
            .collect();
        let sources = members
            .iter()
            .map(|(line, _)| (line.file, line.number))
            .collect();
        let truncated = members
            .iter()
            .filter(|(line, encoded)| line.cut || encoded.truncated)
            .count();
        let LoaderSettings {
            pad_id,
            pad_to_multiple,
            max_length,
            ..
        } = self.settings;
        let batch = Batch::pad(&ids, sources, pad_id, pad_to_multiple, max_length);
        let types = members.iter().map(|(_, encoded)| &encoded.types[..]);
        let batch = batch.with_types(&types.collect::<Vec<_>>());
        (batch, truncated as u64)
    }

    /// The token ids of each line, checked.
    fn encode(&self, chunk: &[&Line]) -> Result<Vec<Encoded>, CorpusError> {
        let failed = |line: &Line, reason: String| CorpusError::Tokenise {
            place: self.corpus.name_line((line.file, line.number)),
            reason,
        };
        let texts: Vec<&str> = chunk.iter().map(|line| line.text.as_str()).collect();
        let encoded = (self.tokenise)(&texts).map_err(|reason| failed(chunk[0], reason))?;
        if encoded.len() != chunk.len() {
            let reason = format!(
                "{} for {}",
                counted(encoded.len(), "sequence"),
                counted(chunk.len(), "line")
            );
            return Err(failed(chunk[0], reason));
        }
        let most = self.settings.max_length;
        match chunk
            .iter()
            .zip(&encoded)
            .find(|(_, encoded)| encoded.ids.len() > most)
        {
            Some((line, long)) => {
                let reason = format!("{} tokens, more than max_length = {most}", long.ids.len());
                Err(failed(line, reason))
            }
            None => Ok(encoded),
        }
    }
}
