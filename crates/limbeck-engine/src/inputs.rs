//! A short description of what a run reads, so that a resumed run notices a change.

use std::collections::BTreeMap;

use limbeck_corpus::FileSummary;
use limbeck_model::Folder;

/// A checksum of the teacher's files, and names and sizes of the texts: for the header of a checkpoint.
pub fn inputs(teacher: &Folder, texts: &[FileSummary]) -> BTreeMap<String, String> {
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in teacher.files() {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    let teacher = (
        "teacher".to_owned(),
        format!("checksum {:08x}", hasher.finalize()),
    );
    let texts = texts.iter().enumerate().map(|(index, text)| {
        (
            format!("corpus file {}", index + 1),
            format!("{}, {} bytes", text.name, text.bytes),
        )
    });
    texts.chain([teacher]).collect()
}

/// Which input has changed since the run began, in one sentence.
pub fn changed_input(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let of = |inputs: &BTreeMap<String, String>, key: &str| {
        inputs.get(key).cloned().unwrap_or_else(|| "absent".into())
    };
    let key = before
        .keys()
        .chain(now.keys())
        .find(|key| before.get(*key) != now.get(*key))?;
    let (was, is) = (of(before, key), of(now, key));
    Some(format!(
        "the run began with a different {key} ({was}; now {is}). Restore it, or start a new run"
    ))
}
