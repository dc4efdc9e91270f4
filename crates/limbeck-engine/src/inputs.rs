//! What a run reads, in the header of its checkpoint, so that a resumed run reads the same or is refused.

use std::collections::BTreeMap;

use limbeck_corpus::{Corpus, CorpusError, Fingerprint};
use limbeck_model::Folder;

use crate::RunError;

const TEACHER: &str = "teacher";
const CORPUS: &str = "corpus";

/// Checksums of the teacher and of the texts that a run begins with or goes on with.
pub type Inputs = BTreeMap<String, String>;

/// A teacher's checksum, over the names and contents of its files.
pub fn of_teacher(teacher: &Folder) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in teacher.files() {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    format!("checksum {:08x}", hasher.finalize())
}

/// Reads the texts once: for a new run to know them again, for one that goes on to refuse what has changed since it began.
/// They come back held to what they were, so that they cannot change later either.
///
/// # Errors
/// The teacher or a text is another than before, or a text cannot be read.
pub fn examine(
    before: Option<&Inputs>,
    teacher: String,
    corpus: Corpus,
) -> Result<(Corpus, Inputs), RunError> {
    let corpus = match before {
        Some(before) => {
            let was = before.get(TEACHER).map_or("absent", String::as_str);
            if was != teacher {
                return Err(RunError::Changed(format!(
                    "the run began with a different teacher ({was}; now {teacher}). Restore it, or start a new run"
                )));
            }
            unchanged(before.get(CORPUS), corpus)?
        }
        None => corpus.fingerprinted()?,
    };
    let fingerprint =
        serde_json::to_string(&corpus.fingerprint()).map_err(|e| no_fingerprint(&e))?;
    let inputs = [(TEACHER, teacher), (CORPUS, fingerprint)];
    let inputs = inputs.map(|(name, value)| (name.to_owned(), value));
    Ok((corpus, inputs.into()))
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
