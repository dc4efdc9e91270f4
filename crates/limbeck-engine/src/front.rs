//! Who drives a session: a page's engine or the command line.

use std::future::Future;

use limbeck_corpus::{Batches, Corpus, CorpusError, Loaded, LoaderSettings};
use limbeck_protocol::Stage;
use limbeck_recipe::batching::{DataPosition, Encoded};
use limbeck_recipe::{DeviceChoice, Evaluation, Step};

use crate::{Opened, Session};

/// Text to token ids, for a corpus.
pub type Tokenise = Box<dyn Fn(&[&str]) -> Result<Vec<Encoded>, String> + Send>;

/// The batches of a run, epoch after epoch; it ends only after an error.
pub type BatchSource = Box<dyn Iterator<Item = Result<Loaded, CorpusError>>>;

/// Everything that turns a corpus into the batches of a run.
pub struct Feed {
    /// The texts.
    pub corpus: Corpus,
    /// Their tokenizer, truncating at the recipe's `max_length`.
    pub tokenise: Tokenise,
    /// How lines become batches.
    pub settings: LoaderSettings,
    /// Where to go on.
    pub from: DataPosition,
}

impl Feed {
    /// Batches that are prepared when they are asked for, on the thread that asks.
    pub fn on_demand(self) -> BatchSource {
        let Self {
            corpus,
            tokenise,
            settings,
            from,
        } = self;
        Box::new(Batches::new(corpus, tokenise, settings, from))
    }
}

/// What a session emits, in the order in which it happens.
pub enum News {
    /// Something other than a step takes its time: done, of how much (0 if that is not known).
    Stage(Stage, usize, usize),
    /// A step was taken.
    Step(Step),
    /// A step whose loss was not finite: nothing was updated.
    Skipped {
        /// From 1.
        step: u64,
        /// Lines of its batch: index of the file, number of the line.
        lines: Vec<(usize, u64)>,
        /// The same by name.
        names: String,
    },
    /// The student was measured on held-out lines.
    Evaluated(Evaluation),
}

/// What a session needs of whoever drives it: a device, batches, a clock, a place for what must outlive it, and ears.
/// Errors are texts for people.
pub trait Front {
    /// Opens a device. `Auto` takes a real GPU if there is one, else the CPU; `Gpu` takes a software one too.
    ///
    /// # Errors
    /// There is no such device, or it cannot be opened.
    fn open(&self, choice: DeviceChoice) -> impl Future<Output = Result<Opened, String>>;

    /// Bytes of memory that are free for a run on the CPU; none if that is not known, and then nothing is refused.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Has the tokens of so many bytes of text counted: `count` calls what it is given with the bytes that are done. Nothing has begun
    /// until then, so a program may be ended meanwhile.
    fn counting<T>(&self, _bytes: u64, count: impl FnOnce(&dyn Fn(u64)) -> T) -> T {
        count(&|_| ())
    }

    /// Starts the batches of a run: ahead of time where there are threads.
    ///
    /// # Errors
    /// The system gives no thread.
    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError>;

    /// Seconds since some moment; never goes back.
    fn seconds(&self) -> f64;

    /// Lets waiting messages in: a turn of the event loop in a browser, nothing in a program.
    fn breathe(&self) -> impl Future<Output = ()>;

    /// Hears what happens.
    ///
    /// # Errors
    /// It cannot be kept, and the run must not go on without.
    fn report(&mut self, news: News) -> Result<(), String>;

    /// Persists a checkpoint, and the steps and evaluations up to it. False if they are in memory only.
    ///
    /// # Errors
    /// They cannot be kept, and the run must not go on without.
    fn save(
        &mut self,
        session: &Session,
        checkpoint: Vec<u8>,
    ) -> impl Future<Output = Result<bool, String>>;

    /// Persists the steps and evaluations of a session whose checkpoint is saved.
    ///
    /// # Errors
    /// See [`Front::save`].
    fn save_numbers(&mut self, session: &Session) -> impl Future<Output = Result<(), String>>;
}
