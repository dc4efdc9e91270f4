//! What a run writes. Every file is written beside its place and renamed, so a reader finds it whole or not at all.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use limbeck_engine::student::student_files;
use limbeck_model::{Encoder, Folder};
use limbeck_recipe::Plan;

use crate::error::CliError;

/// Names of files that are being written.
const PREFIX: &str = ".limbeck-";

/// The checkpoint of an unfinished run.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The numbers of an unfinished run; renamed to metrics.jsonl at its end.
pub const METRICS_IN_PROGRESS: &str = "metrics.jsonl.part";

/// Whether a run writes a file of this name: the student of an earlier run must not leave parts beside a new one.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 11] = [
        CHECKPOINT,
        METRICS_IN_PROGRESS,
        "metrics.jsonl",
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "recipe.toml",
        "README.md",
        "report.html",
        "report.svg",
    ];
    OURS.contains(&name) || Folder::is_part_of_a_model(name)
}

/// The folder of a run's student.
pub struct Output {
    folder: PathBuf,
}

impl Output {
    /// The folder as a new run needs it: absent, empty, or allowed to be written over.
    ///
    /// # Errors
    /// It holds files and `overwrite` is not set, or it cannot be made.
    pub fn create(folder: &Path, overwrite: bool) -> Result<Self, CliError> {
        let output = Self::open(folder);
        let kept = |name: &str| name != METRICS_IN_PROGRESS && !name.starts_with(PREFIX);
        let taken = output
            .entries()
            .any(|entry| kept(&entry.file_name().to_string_lossy()));
        if taken && !overwrite {
            let resume = match output.checkpoint().exists() {
                true => "go on with its run with --resume, ",
                false => "",
            };
            return Err(CliError::Usage(format!(
                "the output folder {} is not empty. Name another with --out, {resume}or write over it with --overwrite",
                folder.display()
            )));
        }
        std::fs::create_dir_all(folder).map_err(CliError::file("make the folder", folder))?;
        Ok(output)
    }

    /// Makes room, once nothing else can go wrong: removes what a killed run left of files that it was writing and, for a
    /// new run, what an earlier one wrote.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self, new_run: bool) -> Result<(), CliError> {
        for entry in self.entries() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) || (new_run && is_ours(&name)) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(CliError::file("remove the old", &path))?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = std::fs::DirEntry> {
        std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
    }

    /// The folder of a run that goes on.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the checkpoint of an unfinished run is.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
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

    /// The student's folder, but for its README.md.
    ///
    /// # Errors
    /// A file cannot be written, or a tensor not be read back.
    pub fn write_student(
        &self,
        plan: &Plan,
        student: &Encoder,
        teacher: &Folder,
    ) -> Result<(), CliError> {
        for (name, bytes) in pollster::block_on(student_files(plan, student, teacher))? {
            self.write(&name, &bytes)?;
        }
        Ok(())
    }
}

/// Writes a file, and the folders that it is in, by what `fill` gives.
///
/// # Errors
/// The disk is full or read-only, say; what was there before stays whole.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), CliError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(CliError::file("make the folder", parent))?;
    let attempt = || {
        let mut file = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(parent)?;
        let mut buffered = BufWriter::new(file.as_file_mut());
        fill(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        file.as_file().sync_all()?;
        make_readable(file.as_file())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    attempt().map_err(CliError::file("write", path))
}

/// A temporary file is readable by its owner alone; what we keep is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// Elsewhere a temporary file has the ordinary permissions.
#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
