//! What a command reads, which the student that it writes must not replace.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use limbeck_corpus::Corpus;

use crate::error::CliError;

/// An empty path would mean the current folder, which nobody asked for: an unset variable in a script, most likely.
///
/// # Errors
/// The path is empty.
pub fn require_out(out: &str) -> Result<(), CliError> {
    match out.is_empty() {
        true => Err(CliError::Usage(
            "the output folder has no name: `--out` or `out` in the recipe is empty. Name one, or `.` for the current folder"
                .to_owned(),
        )),
        false => Ok(()),
    }
}

/// What a command reads that writes a student.
pub struct Inputs<'a> {
    /// The teacher's folder.
    pub teacher: &'a Path,
    /// The texts, if it reads any.
    pub corpus: Option<&'a Corpus>,
    /// The recipe's file, if there is one.
    pub config: Option<&'a Path>,
}

impl Inputs<'_> {
    /// A run must not write over what it reads, nor clear it away.
    ///
    /// # Errors
    /// It would, or a path cannot be resolved.
    pub fn are_outside(&self, out: &Path) -> Result<(), CliError> {
        // What is no folder holds nothing, and cannot become the output folder either.
        let Some(folder) = resolved(out)?.filter(|folder| folder.is_dir()) else {
            return Ok(());
        };
        if resolved(self.teacher)?.as_ref() == Some(&folder) {
            return Err(CliError::Usage(format!(
                "the output folder {} is the teacher's: the student would replace it. Choose another with --out",
                out.display()
            )));
        }
        let files = files_of(self.teacher)?;
        let teacher = files.iter().map(PathBuf::as_path);
        let teacher = std::iter::once(self.teacher).chain(teacher);
        let corpus = self.corpus.into_iter().flat_map(Corpus::paths);
        let corpus = corpus.map(|path| ("corpus file", path));
        let config = self.config.map(|path| ("recipe", path));
        let inputs = teacher.map(|path| ("teacher", path));
        for (what, path) in inputs.chain(corpus).chain(config) {
            if lies_in(path, &folder)? {
                return Err(CliError::Usage(format!(
                    "the {what} {} is in the output folder {}, where it could be removed or overwritten. Move it, or \
                     choose another folder with --out",
                    path.display(),
                    out.display()
                )));
            }
        }
        Ok(())
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(CliError::file("list", folder))?;
    Ok(entries.iter().map(std::fs::DirEntry::path).collect())
}

/// Where a path leads; none if nothing is there.
fn resolved(path: &Path) -> Result<Option<PathBuf>, CliError> {
    match path.canonicalize() {
        Ok(path) => Ok(Some(path)),
        // Making the folder says what is wrong with a path through a file.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(CliError::file("resolve", path)(e)),
    }
}

/// Whether a path leads into a folder, or a link of that name stands in it.
fn lies_in(path: &Path, folder: &Path) -> Result<bool, CliError> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let ends = [resolved(path)?, resolved(parent)?];
    let [there, parent] = ends.map(|end| end.is_some_and(|end| end.starts_with(folder)));
    Ok(there || parent)
}
