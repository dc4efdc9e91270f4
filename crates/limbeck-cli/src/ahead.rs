//! Batches that a thread prepares ahead of the run, natively.

use limbeck_corpus::{CorpusError, Loader};
use limbeck_engine::{BatchSource, Feed};

/// Starts the thread.
///
/// # Errors
/// The system gives none.
pub fn batches(feed: Feed) -> Result<BatchSource, CorpusError> {
    let Feed {
        corpus,
        tokenise,
        settings,
        from,
    } = feed;
    Ok(Box::new(Loader::start(corpus, tokenise, settings, from)?))
}
