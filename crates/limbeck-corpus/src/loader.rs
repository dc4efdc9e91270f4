//! Batches that a thread prepares ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use limbeck_recipe::batching::{DataPosition, Encoded};

use crate::batches::{Batches, Loaded, LoaderSettings};
use crate::corpus::Corpus;
use crate::error::CorpusError;

/// Finished batches that wait for the trainer.
const QUEUED_BATCHES: usize = 8;

/// [`Batches`], prepared ahead on a thread. Ends only after an error. Dropping it stops the thread, at the latest when
/// the tokenizer has finished the current chunk.
pub struct Loader {
    /// `None` once dropping has begun.
    loaded: Option<Receiver<Result<Loaded, CorpusError>>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Loader {
    /// Starts to prepare batches from `from` on: the default for a new run, `Loaded::next` to resume. `tokenise`
    /// gives for each line its token ids, truncated to `max_length`.
    pub fn start<T>(
        corpus: Corpus,
        tokenise: T,
        settings: LoaderSettings,
        from: DataPosition,
    ) -> Result<Self, CorpusError>
    where
        T: Fn(&[&str]) -> Result<Vec<Encoded>, String> + Send + 'static,
    {
        let (ready, loaded) = sync_channel(QUEUED_BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let batches = Batches::new(corpus, tokenise, settings, from).until(stop.clone());
        let work = move || {
            for loaded in batches {
                // Fails only if nobody listens any more.
                if ready.send(loaded).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("corpus".into())
            .spawn(work)
            .map_err(|e| CorpusError::Thread(e.to_string()))?;
        Ok(Self {
            loaded: Some(loaded),
            thread: Some(thread),
            stop,
        })
    }

    /// Waits for the end of the thread; a panic in it is an error.
    fn join(&mut self) -> Option<CorpusError> {
        let panic = self.thread.take()?.join().err()?;
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Some(CorpusError::Thread(
            text.unwrap_or("it panicked").to_owned(),
        ))
    }
}

impl Iterator for Loader {
    type Item = Result<Loaded, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.loaded.as_ref()?.recv() {
            Ok(loaded) => Some(loaded),
            Err(_) => self.join().map(Err),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without a receiver, a worker that waits for room in the queue wakes up.
        self.loaded = None;
        self.join();
    }
}
