//! What a command reads, which the model that it writes must not replace.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::output::is_ours;

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

/// Whether a file may be written at a place: where nothing is; or, with `overwrite`, where an ordinary file is that is neither
/// among those that are read nor one of a model's. `flag` names the place.
///
/// # Errors
/// It may not, or the place cannot be looked at.
pub fn require_free(
    (flag, out): (&str, &Path),
    overwrite: bool,
    models: &[&Path],
    files: &[PathBuf],
) -> Result<(), CliError> {
    let refuse = |why: &str| {
        let out = out.display();
        Err(CliError::Usage(format!(
            "the file {out} {why}. Choose another with {flag}"
        )))
    };
    let name = out
        .file_name()
        .filter(|_| !out.to_string_lossy().ends_with('/'));
    let (Some(name), there) = (name, out.symlink_metadata().ok()) else {
        return refuse("has no name");
    };
    // Where nothing is, making the file says what is wrong with the way to it.
    let Some(there) = there else { return Ok(()) };
    if !there.is_file() {
        return refuse("is a folder, a link or a device");
    }
    if !overwrite {
        return Err(CliError::Usage(format!(
            "the file {} already exists. Choose another with {flag}, or replace it with --overwrite",
            out.display()
        )));
    }
    let place = resolved(out)?;
    for file in files {
        if resolved(file)? == place {
            return refuse("is one of those that are read");
        }
    }
    for model in models {
        if let Some(folder) = resolved(model)?
            && is_ours(&name.to_string_lossy())
            && lies_in(out, &folder)?
        {
            return refuse("is one of the model's");
        }
    }
    Ok(())
}

/// What a command reads that writes a model.
pub struct Inputs<'a> {
    /// Model folders, and what each is called.
    pub models: Vec<(&'a str, &'a Path)>,
    /// What the command makes of it.
    pub result: &'a str,
    /// Files, and what each is called.
    pub files: Vec<(&'a str, &'a Path)>,
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
        for (name, model) in self.models.iter().copied() {
            if resolved(model)?.as_ref() == Some(&folder) {
                let (out, result) = (out.display(), self.result);
                return Err(CliError::Usage(format!(
                    "the output folder {out} is the {name}'s: the {result} would replace it. Choose another with --out"
                )));
            }
            let in_model = files_of(model)?;
            let in_model = in_model.iter().map(PathBuf::as_path);
            for path in std::iter::once(model).chain(in_model) {
                is_outside(name, path, out, &folder)?;
            }
        }
        let mut files = self.files.iter();
        files.try_for_each(|(what, path)| is_outside(what, path, out, &folder))
    }
}

/// Refuses a path into the output folder `out`, which leads to `folder`.
fn is_outside(what: &str, path: &Path, out: &Path, folder: &Path) -> Result<(), CliError> {
    match lies_in(path, folder)? {
        false => Ok(()),
        true => Err(CliError::Usage(format!(
            "the {what} {} is in the output folder {}, where it could be removed or overwritten. Move it, or choose another \
             folder with --out",
            path.display(),
            out.display()
        ))),
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
