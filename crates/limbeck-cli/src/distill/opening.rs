//! From flags to a session: what is read, what is refused, and whose folder it is.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use limbeck_corpus::Corpus;
use limbeck_engine::{Opening, Session};
use limbeck_model::Folder;
use limbeck_recipe::Recipe;
use limbeck_train::Checkpoint;

use super::Arguments;
use super::listener::Listener;
use super::metrics::Past;
use crate::config;
use crate::error::CliError;
use crate::output::Output;

/// Opens a run: nothing is written before everything is checked, but the output folder is made.
///
/// # Errors
/// A wrong recipe, an input that cannot be read, or an output folder that is not empty.
pub fn open(arguments: &Arguments) -> Result<(Session, Listener), CliError> {
    let checkpoint = match (arguments.resume, &arguments.out) {
        (true, Some(out)) => Some(read_checkpoint(&Output::open(Path::new(out)))?),
        _ => None,
    };
    let mut recipe = match &checkpoint {
        Some(checkpoint) => checkpoint.header.recipe.clone(),
        None => recipe(arguments)?,
    };
    if let Some(out) = &arguments.out {
        recipe.out = out.clone();
    }
    config::require_teacher(&recipe)?;
    let out = PathBuf::from(&recipe.out);
    refuse_to_write_over_the_teacher(&recipe, &out)?;
    let teacher = Folder::read(Path::new(&recipe.teacher))?;
    let corpus = Corpus::open(&recipe.corpus)?;
    let output = match &checkpoint {
        Some(_) => Output::open(&out),
        None => Output::create(&out, arguments.overwrite)?,
    };
    let new_run = checkpoint.is_none();
    let steps = checkpoint.as_ref().map_or(0, |c| c.header.step);
    let mut past = Past::read(&output, steps)?;
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
    let mut recipe = config::load(arguments.config.as_deref(), &arguments.set)?;
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

fn read_checkpoint(output: &Output) -> Result<Checkpoint, CliError> {
    let path = output.checkpoint();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Checkpoint::parse(&bytes)?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(CliError::Usage(format!(
            "nothing to resume: {} does not exist (a finished run removes its checkpoint)",
            path.display()
        ))),
        Err(e) => Err(CliError::file("read", &path)(e)),
    }
}

/// A student in its teacher's place would be the end of the teacher.
fn refuse_to_write_over_the_teacher(recipe: &Recipe, out: &Path) -> Result<(), CliError> {
    let (Ok(teacher), Ok(out)) = (
        Path::new(&recipe.teacher).canonicalize(),
        out.canonicalize(),
    ) else {
        return Ok(());
    };
    match teacher == out {
        true => Err(CliError::Usage(format!(
            "the output folder {} is the teacher's: the student would replace it. Name another with --out",
            recipe.out
        ))),
        false => Ok(()),
    }
}
