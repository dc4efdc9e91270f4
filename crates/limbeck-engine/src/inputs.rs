//! What a run reads, in the header of its checkpoint, so that a resumed run reads the same or is refused.

use std::collections::BTreeMap;

use limbeck_corpus::{Corpus, CorpusError, Fingerprint};
use limbeck_model::Folder;

use crate::RunError;

const TEACHER: &str = "teacher";
const CORPUS: &str = "corpus";
const START: &str = "start";

/// Checksums of the models and of the texts that a run begins with or goes on with.
pub type Inputs = BTreeMap<String, String>;

/// A model's checksum, over the names and contents of its files.
fn checksum(model: &Folder) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in model.files() {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    format!("checksum {:08x}", hasher.finalize())
}

/// Checksums of the teacher, and of the model that the student starts from if that is another one.
pub fn of_models(teacher: &Folder, start: Option<&Folder>) -> Inputs {
    let models = [(TEACHER, Some(teacher)), (START, start)].into_iter();
    let models = models.filter_map(|(name, model)| Some((name.to_owned(), checksum(model?))));
    models.collect()
}

/// Reads the texts once: for a new run to know them again, for one that goes on to refuse what has changed since it began.
/// They come back held to what they were, so that they cannot change later either. `teacher` is what teaches, in words.
///
/// # Errors
/// A model or a text is another than before, or a text cannot be read.
pub fn examine(
    teacher: &str,
    before: Option<&Inputs>,
    models: Inputs,
    corpus: Corpus,
) -> Result<(Corpus, Inputs), RunError> {
    let corpus = match before {
        Some(before) => {
            for (name, what) in [(TEACHER, teacher), (START, "starting model")] {
                let [was, now] =
                    [before, &models].map(|of| of.get(name).map_or("absent", String::as_str));
                if was != now {
                    return Err(RunError::Changed(format!(
                        "the run began with a different {what} ({was}; now {now}). Restore it, or start a new run"
                    )));
                }
            }
            unchanged(before.get(CORPUS), corpus)?
        }
        // Whoever opens the run may hold its texts to an earlier one's.
        None if corpus.fingerprint().is_some() => corpus,
        None => corpus.fingerprinted()?,
    };
    let fingerprint =
        serde_json::to_string(&corpus.fingerprint()).map_err(|e| no_fingerprint(&e))?;
    let mut inputs = models;
    inputs.insert(CORPUS.to_owned(), fingerprint);
    Ok((corpus, inputs))
}

fn unchanged(before: Option<&String>, corpus: Corpus) -> Result<Corpus, RunError> {
    let before = before.map_or("", String::as_str);
    let before: Fingerprint = serde_json::from_str(before).map_err(|e| no_fingerprint(&e))?;
    corpus.unchanged_since(before).map_err(|error| match error {
        CorpusError::Altered { .. } | CorpusError::OtherFiles { .. } => {
            RunError::Changed(error.to_string())
        }
        error => error.into(),
    })
}

fn no_fingerprint(error: &serde_json::Error) -> RunError {
    RunError::Changed(format!(
        "the checkpoint does not say which texts the run began with ({error}). Start a new run"
    ))
}
