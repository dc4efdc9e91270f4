//! From flags to a session: what is read, what is refused, and whose folder it is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use limbeck_corpus::Corpus;
use limbeck_engine::{Opening, Session};
use limbeck_model::{Folder, read_file};
use limbeck_recipe::{Plan, Recipe};
use limbeck_train::Checkpoint;

use super::Arguments;
use super::listener::Listener;
use super::metrics::Past;
use crate::config::{self, Base};
use crate::error::CliError;
use crate::output::Output;

/// Opens a run: nothing is written before everything is checked, but the lock of the output folder.
///
/// # Errors
/// A wrong recipe, an input that cannot be read, or an output folder that is not ours to write to.
pub fn open(arguments: &Arguments) -> Result<(Session, Listener), CliError> {
    if let Some(out) = &arguments.out {
        require_out(out)?;
    }
    let (output, checkpoint) = match (arguments.resume, &arguments.out) {
        (true, Some(out)) => {
            let output = Output::resume(Path::new(out))?;
            let checkpoint = read_checkpoint(&output.checkpoint())?;
            (Some(output), Some(checkpoint))
        }
        _ => (None, None),
    };
    let mut recipe = match &checkpoint {
        Some(checkpoint) => checkpoint.header.recipe.clone(),
        None => recipe(arguments)?,
    };
    if let Some(out) = &arguments.out {
        recipe.out = out.clone();
    }
    require_out(&recipe.out)?;
    config::require_teacher(&recipe)?;
    let out = PathBuf::from(&recipe.out);
    let teacher = Folder::read(Path::new(&recipe.teacher))?;
    // All mistakes of the recipe come before the first of a file.
    Plan::new(&recipe, &teacher.config()?)?;
    let corpus = Corpus::open(&recipe.corpus)?;
    let inputs = Inputs {
        teacher: Path::new(&recipe.teacher),
        corpus: &corpus,
        config: arguments.config.as_deref(),
    };
    inputs.are_outside(&out)?;
    let output = match output {
        Some(output) => output,
        None => Output::create(&out, arguments.overwrite)?,
    };
    let new_run = checkpoint.is_none();
    let steps = checkpoint.as_ref().map_or(0, |c| c.header.step);
    let mut past = Past::read(&output, &recipe, steps)?;
    let mut listener = Listener::new(output, arguments.device, arguments.json);
    let opening = Opening {
        recipe,
        teacher: Rc::new(teacher),
        corpus,
        checkpoint,
        steps: std::mem::take(&mut past.steps),
        evaluations: std::mem::take(&mut past.evaluations),
    };
    let session = pollster::block_on(Session::open(opening, &listener))?;
    listener.output.clear(new_run)?;
    listener.begin(&session, &past)?;
    Ok((session, listener))
}

fn recipe(arguments: &Arguments) -> Result<Recipe, CliError> {
    let base = Base::of(arguments.config.as_deref(), arguments.recipe.as_deref())?;
    let mut recipe = config::load(&base, &arguments.set)?;
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher = teacher.clone();
    }
    if !arguments.corpus.is_empty() {
        recipe.corpus = arguments.corpus.clone();
    }
    if let Some(device) = arguments.device {
        recipe.device = device;
    }
    Ok(recipe)
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, CliError> {
    let bytes = read_file(path).map_err(CliError::file("read", path))?;
    Ok(Checkpoint::parse(&bytes)?)
}

/// An empty path would mean the current folder, which nobody asked for: an unset variable in a script, most likely.
fn require_out(out: &str) -> Result<(), CliError> {
    match out.is_empty() {
        true => Err(CliError::Usage(
            "the output folder has no name: `--out` or `out` in the recipe is empty. Name one, or `.` for the current folder"
                .to_owned(),
        )),
        false => Ok(()),
    }
}

/// What a run reads.
struct Inputs<'a> {
    teacher: &'a Path,
    corpus: &'a Corpus,
    config: Option<&'a Path>,
}

impl Inputs<'_> {
    /// A run must not write over what it reads, nor clear it away.
    fn are_outside(&self, out: &Path) -> Result<(), CliError> {
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
        let corpus = self.corpus.paths().map(|path| ("corpus file", path));
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
