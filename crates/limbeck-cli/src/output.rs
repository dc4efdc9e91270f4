//! The folder of a run: who may write there, and how. Every file is written beside its place and renamed, so a reader
//! finds it whole or not at all.

use std::fs::{DirEntry, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use limbeck_engine::onnx;
use limbeck_model::{Folder, read_file};
use limbeck_onnx::Format;
use limbeck_recipe::ASSISTANT;
use tempfile::TempPath;

use crate::error::CliError;
use crate::lock::{self, Lock, Taken};
use crate::paths::Away;
use crate::words;

/// Names of files that are being written.
const PREFIX: &str = ".limbeck-";
/// Held while a run works in the folder.
const LOCK: &str = ".limbeck.lock";

/// The checkpoint of an unfinished run.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The last checkpoint of a finished run, for one that is made longer.
pub const KEPT: &str = "resume.safetensors";
/// Where the inputs of an unfinished run are that its recipe cannot name.
const AWAY: &str = "checkpoint.toml";
/// The numbers of an unfinished run; renamed to metrics.jsonl at its end.
pub const METRICS_IN_PROGRESS: &str = "metrics.jsonl.part";
/// The numbers of a finished run.
pub const METRICS: &str = "metrics.jsonl";

/// The recipe: of a finished run, or of one whose assistant is not yet a teacher.
pub const RECIPE: &str = "recipe.toml";
/// What the texts were that a teacher assistant was taught on, beside it: its student's must be the same.
pub const TEXTS: &str = "texts.json";
/// The weights of a finished run's student, the last file of it.
const WEIGHTS: &str = "model.safetensors";

/// The scores of a fine-tuned model.
pub const RESULTS: &str = "results.json";
/// What a fine-tuned model gives for each example of its dev file.
pub const PREDICTIONS: &str = "predictions.jsonl";

/// The folder in a student's folder that says how sentence-transformers pools.
const POOLING: &str = "1_Pooling";

/// Whether a run writes a file of this name: the student of an earlier run must not leave parts beside a new one.
pub fn is_ours(name: &str) -> bool {
    const OURS: [&str; 17] = [
        CHECKPOINT,
        KEPT,
        AWAY,
        METRICS_IN_PROGRESS,
        METRICS,
        "config.json",
        WEIGHTS,
        "modules.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        RECIPE,
        TEXTS,
        "README.md",
        "report.html",
        "report.svg",
        RESULTS,
        PREDICTIONS,
    ];
    OURS.contains(&name) || Folder::is_part_of_a_model(name)
}

/// Whether a run with a checkpoint can go on in a folder.
pub fn has_checkpoint(folder: &Path) -> bool {
    folder.join(CHECKPOINT).exists()
}

/// Whether a run has come to its end in a folder.
pub fn is_finished(folder: &Path) -> bool {
    folder.join(WEIGHTS).exists() && !has_checkpoint(folder)
}

/// Whether a run can go on in a folder: from a checkpoint, or from its first stage, while the recipe lies beside an assistant and
/// there is no student yet.
fn goes_on(folder: &Path) -> bool {
    let begun = [RECIPE, ASSISTANT].map(|name| folder.join(name).exists());
    has_checkpoint(folder) || (begun == [true, true] && !is_finished(folder))
}

/// Whether a run can go on in a folder, or a finished one be made longer.
fn can_be_resumed(folder: &Path) -> bool {
    goes_on(folder) || (is_finished(folder) && folder.join(KEPT).exists())
}

/// The folder of a run's student, which this process alone writes to.
pub struct Output {
    folder: PathBuf,
    /// The process that ended without releasing the folder, if one did.
    pub abandoned_by: Option<String>,
    /// Whether the folder was not there before.
    made: bool,
    /// Given back last.
    _lock: Lock,
}

impl Output {
    /// Takes the folder for a new run: absent, empty, or allowed to be written over.
    ///
    /// # Errors
    /// It cannot be listed or made, it holds files and `overwrite` is not set, or another process works there.
    pub fn create(folder: &Path, overwrite: bool) -> Result<Self, CliError> {
        if !overwrite {
            require_empty(folder)?;
        } else {
            // What cannot be listed cannot be cleared.
            list(folder)?;
        }
        let made = !folder.exists();
        // Also a link to nothing.
        if !folder.is_dir() && folder.symlink_metadata().is_ok() {
            return Err(CliError::Usage(format!(
                "the output folder {} is not a folder. Choose another with --out",
                folder.display()
            )));
        }
        std::fs::create_dir_all(folder).map_err(CliError::file("make the folder", folder))?;
        let output = Self::take(folder, made)?;
        if !overwrite {
            // Another run may have come and gone since.
            require_empty(folder)?;
        }
        Ok(output)
    }

    /// Takes the folder of a run that goes on.
    ///
    /// # Errors
    /// There is no run in it that can go on, or another process works there.
    pub fn resume(folder: &Path) -> Result<Self, CliError> {
        let checkpoint = folder.join(CHECKPOINT);
        let nothing = || {
            let why = match is_finished(folder) {
                true => "",
                false => {
                    ". A run that ends before its first checkpoint leaves nothing to go on from: start it again, without --resume"
                }
            };
            CliError::Usage(format!(
                "nothing to resume: neither {} nor {KEPT}, which a finished run leaves, is there{why}",
                checkpoint.display()
            ))
        };
        if !can_be_resumed(folder) && !lock::is_held(&folder.join(LOCK)) {
            return Err(nothing());
        }
        let output = Self::take(folder, false)?;
        match can_be_resumed(folder) {
            true => Ok(output),
            false => Err(nothing()),
        }
    }

    fn take(folder: &Path, made: bool) -> Result<Self, CliError> {
        let path = folder.join(LOCK);
        match lock::take(&path).map_err(CliError::file("lock", &path))? {
            Taken::Ours(lock, abandoned_by) => Ok(Self {
                folder: folder.to_owned(),
                abandoned_by,
                made,
                _lock: lock,
            }),
            Taken::Held(process) => Err(in_use(folder, process.as_deref())),
        }
    }

    /// Makes room, once nothing else can go wrong: removes what a killed run left of files that it was writing and, for a
    /// new run, what an earlier one wrote.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self, new_run: bool) -> Result<(), CliError> {
        // First what would stand for a run that goes on, beside an assistant and without a student.
        clear_folder(&self.folder, |name| new_run && name == RECIPE)?;
        // Then what makes the others a model, or half of one.
        clear_folder(&self.folder, |name| new_run && name == WEIGHTS)?;
        clear_folder(&self.folder, |name| new_run && is_ours(name))?;
        // Only files that bear a name of ours, or are temporary, are removed: the folder may be somebody else's.
        let exported = Format::ALL.map(Format::file);
        // What was exported is of the weights of before, also where a run only goes on.
        for (inner, ours, goes) in [
            (POOLING, &["config.json"][..], new_run),
            (onnx::FOLDER, &exported, true),
        ] {
            let inner = self.folder.join(inner);
            clear_folder(&inner, |name| goes && ours.contains(&name))?;
            // Fails if there is anything in it, as it should.
            let _ = std::fs::remove_dir(&inner);
        }
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the checkpoint of an unfinished run is.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
    }

    /// Where a finished run left its last checkpoint.
    pub fn kept(&self) -> PathBuf {
        self.folder.join(KEPT)
    }

    /// Makes the last checkpoint of a finished run that of one that goes on.
    ///
    /// # Errors
    /// It cannot be renamed or removed.
    pub fn reopen(&self) -> Result<(), CliError> {
        let (kept, checkpoint) = (self.kept(), self.checkpoint());
        match (kept.exists(), checkpoint.exists()) {
            (false, _) => Ok(()),
            (true, false) => {
                std::fs::rename(&kept, &checkpoint).map_err(CliError::file("rename", &kept))
            }
            (true, true) => std::fs::remove_file(&kept).map_err(CliError::file("remove", &kept)),
        }
    }

    /// Writes down what the recipe of this folder cannot name; nothing if there is nothing.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_away(&self, away: &Away) -> Result<(), CliError> {
        match *away == Away::default() {
            true => self.forget_away(),
            false => {
                let text = toml::to_string(away).unwrap_or_default();
                self.write(AWAY, text.as_bytes())
            }
        }
    }

    /// What was written down.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn away(&self) -> Result<Away, CliError> {
        let path = self.folder.join(AWAY);
        match read_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Away::default()),
            read => {
                let bytes = read.map_err(CliError::file("read", &path))?;
                let text = String::from_utf8_lossy(&bytes);
                toml::from_str(&text).map_err(|e| {
                    let (path, reason) = (path.display(), words::of_place(&text, &e));
                    CliError::Usage(format!(
                        "{path} is damaged: {reason}. Remove it, and name the inputs with --teacher and --corpus"
                    ))
                })
            }
        }
    }

    /// Removes what was written down.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget_away(&self) -> Result<(), CliError> {
        let path = self.folder.join(AWAY);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(CliError::file("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// The numbers of an unfinished run; renamed to metrics.jsonl at its end.
    pub fn metrics_in_progress(&self) -> PathBuf {
        self.folder.join(METRICS_IN_PROGRESS)
    }

    /// Writes a file of the folder (`/` separates sub-folders).
    ///
    /// # Errors
    /// The disk is full or read-only, say; what was there before stays whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        write_whole(&self.folder.join(name), |file| file.write_all(bytes))
    }
}

impl Drop for Output {
    /// A run that came to nothing leaves nothing. The lock is still held here, so the file is ours to remove.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.folder.join(LOCK));
        if self.made {
            // Fails if there is anything in it, as it should.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// Removes files that a killed program was writing in a folder.
///
/// # Errors
/// One cannot be removed, or the folder not be listed.
pub fn clear_unfinished(folder: &Path) -> Result<(), CliError> {
    clear_folder(folder, |_| false)
}

/// Removes temporary files, and those of a name.
fn clear_folder(folder: &Path, goes: impl Fn(&str) -> bool) -> Result<(), CliError> {
    for entry in list(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) || goes(&name) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(CliError::file("remove the old", &path))?;
        }
    }
    Ok(())
}

/// The entries of a folder; none if it is not there.
fn list(folder: &Path) -> Result<Vec<DirEntry>, CliError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match entries {
        Ok(entries) => Ok(entries),
        // Making it says what is wrong with a path through a file.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(CliError::file("list", folder)(e)),
    }
}

/// Whether a folder holds nothing that counts. Files that a killed run left without a checkpoint do not, nor does the folder of an
/// assistant with no others: nobody can go on with them.
fn is_empty(folder: &Path) -> Result<bool, CliError> {
    const LEFT: [&str; 3] = [LOCK, METRICS_IN_PROGRESS, AWAY];
    holds_only(folder, &|entry, name| {
        Ok(LEFT.contains(&name)
            || name == ASSISTANT
                && entry.path().is_dir()
                && holds_only(&entry.path(), &|_, name| {
                    Ok(LEFT.contains(&name) || name == TEXTS)
                })?)
    })
}

/// Whether a folder holds nothing but what was being written, and what `left` names.
fn holds_only(
    folder: &Path,
    left: &dyn Fn(&DirEntry, &str) -> Result<bool, CliError>,
) -> Result<bool, CliError> {
    for entry in list(folder)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) && !left(&entry, &name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// See [`is_empty`].
fn require_empty(folder: &Path) -> Result<(), CliError> {
    if is_empty(folder)? {
        return Ok(());
    }
    let lock = folder.join(LOCK);
    if lock::is_held(&lock) {
        return Err(in_use(folder, lock::owner_at(&lock).as_deref()));
    }
    let resume = match goes_on(folder) {
        true => "resume its run with --resume, ",
        false => "",
    };
    Err(CliError::Usage(format!(
        "the output folder {} is not empty. Choose another with --out, {resume}or overwrite it with --overwrite",
        folder.display()
    )))
}

fn in_use(folder: &Path, process: Option<&str>) -> CliError {
    CliError::Usage(format!(
        "another limbeck ({}) works in the output folder {}; it {}. Wait for its end, end it, or name another folder with \
         --out",
        lock::holder(process),
        folder.display(),
        lock::last_save(&folder.join(CHECKPOINT)),
    ))
}

/// Writes a file, and the folders that it is in, by what `fill` gives.
///
/// # Errors
/// The disk is full or read-only, say; what was there before stays whole.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), CliError> {
    let mut whole = Whole::create(path)?;
    fill(&mut whole.file).map_err(CliError::file("write", path))?;
    whole.keep(true)
}

/// A file that is being written beside its place. Dropped before it is kept, it was never there.
pub struct Whole {
    /// What is written so far.
    pub file: BufWriter<File>,
    /// Where it is meanwhile.
    pub begun: TempPath,
    /// Its place.
    pub path: PathBuf,
}

impl Whole {
    /// A new file for this place, and the folders that it is in.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).map_err(CliError::file("make the folder", parent))?;
        // Opened here, for the library's own errors name a file that nobody knows.
        let mut name = tempfile::Builder::new();
        let file = name
            .prefix(PREFIX)
            .make_in(parent, |path| File::create_new(path));
        let (file, begun) = file.map_err(CliError::file("write", path))?.into_parts();
        Ok(Self {
            file: BufWriter::new(file),
            begun,
            path: path.to_owned(),
        })
    }

    /// Puts it into its place, of another file too if it may replace one.
    ///
    /// # Errors
    /// The disk is full, say; what was there before stays whole.
    pub fn keep(self, replaces: bool) -> Result<(), CliError> {
        let Self { file, begun, path } = self;
        let attempt = || {
            let file = file
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()?;
            make_readable(&file)?;
            drop(file);
            let kept = match replaces {
                true => begun.persist(&path),
                false => begun.persist_noclobber(&path),
            };
            kept.map_err(|e| e.error)
        };
        attempt().map_err(CliError::file("write", &path))
    }
}

/// A temporary file is readable by its owner alone; what we keep is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// Elsewhere a temporary file has the ordinary permissions.
#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}
