//! Texts through a model: a thread reads, tokenises and batches them, workers compute the batches, and whoever asked takes the
//! results in the order of the lines. All queues are bounded: a slow reader of the results holds up the reading of the texts, and
//! what is in memory does not depend on how many there are.
//!
//! On the CPU there is a worker for each core, and each computes its batches on one thread. Threads that share one batch wait for
//! each other behind every operation of every layer. A GPU has one worker, as its driver has one queue.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use limbeck_engine::Opened;
use limbeck_model::{SentenceModel, Tokens};

use crate::error::CliError;
use crate::memory::{Encoding, Room};
use crate::terminal;
use crate::texts::{Document, Line, Place};

/// Bytes of texts and their ids that wait to be encoded together, at most.
const MOST_WAITING: usize = 64 << 20;
/// Lines among which those of like length are looked for.
const WINDOW: usize = 4096;
/// Tokens that a core, or a GPU, computes together. What a layer makes of them should stay in a core's cache; a GPU is to be filled.
const TOKENS_OF_CORE: usize = 1024;
const TOKENS_OF_GPU: usize = 1 << 14;

/// Batches of texts as they were asked for, or smaller ones where memory has no room for those.
pub struct Batches {
    room: Room,
    /// How many are encoded at the same time.
    workers: usize,
    told: bool,
}

impl Batches {
    /// In the room that a device has now, one after the other.
    pub fn new(opened: &Opened) -> Self {
        Self {
            room: Room::of(opened),
            workers: 1,
            told: false,
        }
    }

    fn encoding<'a>(&self, model: &'a SentenceModel, written: usize) -> Encoding<'a> {
        Encoding {
            config: model.encoder().config(),
            kernels: model.encoder().kernels(),
            written,
            room: self.room,
            workers: self.workers,
        }
    }

    /// The parts of these texts that are encoded together, so that each fits into memory.
    ///
    /// # Errors
    /// The tokenizer fails on a text, or one alone does not fit.
    pub fn parts(
        &mut self,
        model: &SentenceModel,
        texts: &[&str],
    ) -> Result<Vec<Range<usize>>, CliError> {
        if self
            .encoding(model, 0)
            .fits(texts.len(), model.max_length())
        {
            return Ok(std::iter::once(0..texts.len()).collect());
        }
        let lengths = model.tokens(texts)?;
        let lengths: Vec<usize> = lengths.iter().map(|tokens| tokens.ids.len()).collect();
        self.parts_of(model, &lengths, 0)
    }

    /// The same of texts of so many tokens, with `written` vectors of each token.
    ///
    /// # Errors
    /// One alone does not fit.
    fn parts_of(
        &mut self,
        model: &SentenceModel,
        lengths: &[usize],
        written: usize,
    ) -> Result<Vec<Range<usize>>, CliError> {
        let parts = self.encoding(model, written).parts(lengths)?;
        let most = parts.iter().map(Range::len).max().unwrap_or(0);
        if most < lengths.len() && !std::mem::replace(&mut self.told, true) {
            terminal::say(format_args!(
                "{} texts of up to {} tokens do not fit into memory together ({}): encoding {most} at a time, as --batch {most} does",
                lengths.len(),
                lengths.iter().max().unwrap_or(&0),
                self.room,
            ));
        }
        Ok(parts)
    }
}

/// What is computed together.
pub struct Asked {
    /// Texts of a batch; as many as the tokens allow, if that is left open.
    pub batch: Option<usize>,
    /// Tokens of a batch, padding included; what suits the device, if that is left open, or without a limit where `batch` is set.
    pub tokens: Option<usize>,
    /// Vectors that are kept of each token; none where only the text's is.
    pub written: usize,
    /// Whether each line is answered before the next one comes.
    pub typed: bool,
}

/// What becomes of a line.
pub struct Row<T> {
    /// Where it stands.
    pub place: Place,
    /// The text, and what the line calls itself.
    pub text: Document,
    /// Whether the model did not read all of it.
    pub cut: bool,
    /// Bytes of all files that had been read when its end was found.
    pub end: u64,
    /// What was made of it, or why nothing was.
    pub of: Result<T, CliError>,
}

/// Why nothing can be made of a text, as a sentence.
pub type Reason = &'static str;

/// One result of each text of a batch.
pub type Made<T> = Result<Vec<Result<T, Reason>>, CliError>;

/// A model, and how texts go through it.
pub struct Pipeline {
    model: Arc<SentenceModel>,
    batches: Batches,
    on_gpu: bool,
    /// Texts, and tokens with padding, of a batch.
    most: (usize, usize),
    /// Lines that are batched together.
    window: usize,
    /// Lines that are handed out before the first of them is taken.
    ahead: u64,
    written: usize,
    /// Whether batches may be smaller than asked for, so that all workers have something to do.
    spreads: bool,
}

/// The tokens of texts, each with its place among all lines.
type Job = Vec<(u64, Tokenised)>;

struct Tokenised {
    line: Whole,
    tokens: Tokens,
}

/// A line that has a text.
struct Whole {
    place: Place,
    text: Document,
    cut: bool,
    end: u64,
}

enum Message<T> {
    Rows(Vec<(u64, Row<T>)>),
    /// There are no more lines, or none that can be read.
    Ended(Result<(), CliError>),
    /// The device failed.
    Failed(CliError),
    Panicked(Box<dyn Any + Send>),
}

impl Pipeline {
    /// For a model on a device.
    pub fn new(model: Arc<SentenceModel>, opened: &Opened, asked: &Asked) -> Self {
        let workers = match opened.on_gpu {
            true => 1,
            false => rayon::current_num_threads(),
        };
        let usual = match opened.on_gpu {
            true => TOKENS_OF_GPU,
            false => TOKENS_OF_CORE,
        };
        let rows = asked.batch;
        let tokens = asked.tokens.or(asked.batch.is_none().then_some(usual));
        let window = match rows {
            _ if asked.typed => 1,
            // Whoever wants each by itself does not wait for others.
            Some(1) => 1,
            rows if asked.written > 0 => rows.unwrap_or(32),
            rows => rows.unwrap_or(0).max(WINDOW),
        };
        let mut batches = Batches::new(opened);
        batches.workers = workers;
        // Where memory has no room for the longest text on each core, fewer work.
        while batches.workers > 1
            && !batches
                .encoding(&model, asked.written)
                .fits(1, model.max_length())
        {
            batches.workers /= 2;
        }
        // What is kept of tokens is too much to keep of many lines.
        let least = if asked.written > 0 { window } else { WINDOW };
        let of_jobs = batches.workers.saturating_mul(rows.unwrap_or(1));
        Self {
            model,
            batches,
            ahead: (least.max(of_jobs) as u64).saturating_mul(2),
            on_gpu: opened.on_gpu,
            most: (rows.unwrap_or(usize::MAX), tokens.unwrap_or(usize::MAX)),
            window,
            written: asked.written,
            spreads: asked.batch.is_none(),
        }
    }

    /// Takes lines to results. `make` gives one of each text of a batch; `take` gets them in the order of the lines, also those
    /// without a text and what nothing can be made of.
    ///
    /// # Errors
    /// A file cannot be read, a text is too long for the memory, the device fails, or `take` does.
    pub fn run<T: Send + 'static>(
        self,
        lines: impl Iterator<Item = Result<Line, CliError>> + Send + 'static,
        make: impl Fn(&SentenceModel, &[&Tokens]) -> Made<T> + Send + Sync + 'static,
        mut take: impl FnMut(Row<T>) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        // One batch ahead of each worker.
        let (jobs, waiting_jobs) = sync_channel::<Job>(self.batches.workers);
        let (messages, received) = sync_channel(2 * self.batches.workers);
        let (waiting_jobs, make) = (Arc::new(Mutex::new(waiting_jobs)), Arc::new(make));
        for _ in 0..self.batches.workers {
            let (model, on_gpu) = (self.model.clone(), self.on_gpu);
            let (jobs, make, messages) = (waiting_jobs.clone(), make.clone(), messages.clone());
            guarded(messages.clone(), move || {
                work(&model, on_gpu, &jobs, &*make, &messages);
            });
        }
        let (taken, reached) = channel();
        guarded(messages.clone(), move || {
            let ended = self.feed(lines, &reached, &jobs, &messages);
            let _ = messages.send(Message::Ended(ended));
        });
        // Threads that find nobody at the other end of a queue end; none is waited for, as one may wait for standard input.
        let (mut waiting, mut next, mut ended) = (BTreeMap::new(), 0, Ok(()));
        for message in received {
            match message {
                Message::Rows(rows) => waiting.extend(rows),
                Message::Ended(how) => ended = how,
                Message::Failed(error) => return Err(error),
                Message::Panicked(panic) => resume_unwind(panic),
            }
            while let Some(row) = waiting.remove(&next) {
                next += 1;
                take(row)?;
            }
            // Who reads may have come to the end.
            let _ = taken.send(next);
        }
        ended
    }

    /// Reads all lines, window by window.
    fn feed<T>(
        mut self,
        lines: impl Iterator<Item = Result<Line, CliError>>,
        reached: &Receiver<u64>,
        jobs: &SyncSender<Job>,
        messages: &SyncSender<Message<T>>,
    ) -> Result<(), CliError> {
        let (mut window, mut bytes, mut first, mut taken) = (Vec::new(), 0, 0, 0);
        for line in lines {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    self.feed_window(window, first, jobs, messages)?;
                    return Err(error);
                }
            };
            bytes += line.text.as_ref().map_or(0, |line| {
                line.text.len() + line.id.as_ref().map_or(0, String::len)
            });
            window.push(line);
            if window.len() >= self.window || bytes >= MOST_WAITING {
                let whole = std::mem::take(&mut window);
                let count = whole.len() as u64;
                // One slow batch must not have all others wait in memory.
                while taken < first.saturating_sub(self.ahead) {
                    let Ok(count) = reached.recv() else {
                        return Ok(());
                    };
                    taken = count;
                }
                if !self.feed_window(whole, first, jobs, messages)? {
                    return Ok(());
                }
                first += count;
                bytes = 0;
            }
        }
        self.feed_window(window, first, jobs, messages).map(|_| ())
    }

    /// Hands out the lines of a window, of which `first` is the first; false if nobody takes them.
    fn feed_window<T>(
        &mut self,
        window: Vec<Line>,
        first: u64,
        jobs: &SyncSender<Job>,
        messages: &SyncSender<Message<T>>,
    ) -> Result<bool, CliError> {
        let (mut lines, mut broken) = (Vec::new(), Vec::new());
        for (number, line) in (first..).zip(window) {
            let Line {
                place,
                text,
                cut,
                end,
            } = line;
            match text {
                Ok(text) => lines.push((
                    number,
                    Whole {
                        place,
                        text,
                        cut,
                        end,
                    },
                )),
                Err(error) => {
                    let (text, of) = (Document::default(), Err(error.into()));
                    broken.push((
                        number,
                        Row {
                            place,
                            text,
                            cut,
                            end,
                            of,
                        },
                    ));
                }
            }
        }
        if !broken.is_empty() && messages.send(Message::Rows(broken)).is_err() {
            return Ok(false);
        }
        let texts: Vec<&str> = lines
            .iter()
            .map(|(_, line)| line.text.text.as_str())
            .collect();
        let tokens = self.model.tokens(&texts)?;
        let mut all: Job = lines
            .into_iter()
            .zip(tokens)
            .map(|((number, line), tokens)| (number, Tokenised { line, tokens }))
            .collect();
        // The longest first, so that the last batch of a file is a short one.
        all.sort_by_key(|(_, text)| Reverse(text.tokens.ids.len()));
        let lengths: Vec<usize> = all.iter().map(|(_, text)| text.tokens.ids.len()).collect();
        let batches = self.batched(&lengths)?;
        let mut all = all.into_iter();
        for batch in batches {
            let job = all.by_ref().take(batch.len()).collect();
            if jobs.send(job).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The batches of texts of these lengths, which fall.
    fn batched(&mut self, lengths: &[usize]) -> Result<Vec<Range<usize>>, CliError> {
        let (rows, tokens) = self.most;
        let (mut batches, mut start) = (Vec::new(), 0);
        while start < lengths.len() {
            let fit = (tokens / lengths[start].max(1)).clamp(1, rows);
            let end = start.saturating_add(fit).min(lengths.len());
            let parts = self
                .batches
                .parts_of(&self.model, &lengths[start..end], self.written)?;
            let parts = parts
                .iter()
                .map(|part| start + part.start..start + part.end);
            batches.extend(parts);
            start = end;
        }
        if self.spreads && batches.len() < self.batches.workers {
            let pieces = self.batches.workers.div_ceil(batches.len().max(1));
            batches = batches
                .iter()
                .flat_map(|batch| cut(batch, pieces))
                .collect();
        }
        Ok(batches)
    }
}

/// A batch in so many pieces of like size, or as many as it has texts.
fn cut(batch: &Range<usize>, pieces: usize) -> Vec<Range<usize>> {
    let size = batch.len().div_ceil(pieces).max(1);
    let starts = batch.clone().step_by(size);
    starts
        .map(|start| start..(start + size).min(batch.end))
        .collect()
}

/// Starts a thread whose panic is told.
fn guarded<T: Send + 'static>(
    messages: SyncSender<Message<T>>,
    body: impl FnOnce() + Send + 'static,
) {
    std::thread::spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            let _ = messages.send(Message::Panicked(panic));
        }
    });
}

/// Computes jobs until there are no more.
fn work<T>(
    model: &SentenceModel,
    on_gpu: bool,
    jobs: &Mutex<Receiver<Job>>,
    make: &dyn Fn(&SentenceModel, &[&Tokens]) -> Made<T>,
    messages: &SyncSender<Message<T>>,
) {
    // burn computes in the pool of the thread that calls it: here that thread, alone.
    let alone = || {
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1);
        let alone = alone.use_current_thread().build();
        alone.unwrap_or_else(|e| panic!("no pool for a worker: {e}"))
    };
    let _alone = (!on_gpu).then(alone);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let tokens: Vec<&Tokens> = job.iter().map(|(_, text)| &text.tokens).collect();
        let message = match make(model, &tokens) {
            Ok(made) => Message::Rows(rows(job, made)),
            Err(error) => Message::Failed(error),
        };
        if messages.send(message).is_err() {
            return;
        }
    }
}

fn rows<T>(job: Job, made: Vec<Result<T, Reason>>) -> Vec<(u64, Row<T>)> {
    let row = |((number, text), made): ((u64, Tokenised), Result<T, Reason>)| {
        let Tokenised { line, tokens } = text;
        let of = made.map_err(|why| CliError::NotFinite(format!("{}: {why}", line.place)));
        let row = Row {
            cut: line.cut || tokens.truncated,
            place: line.place,
            text: line.text,
            end: line.end,
            of,
        };
        (number, row)
    };
    job.into_iter().zip(made).map(row).collect()
}
