//! From flags to a session: what is read, what is refused, and whose folder it is.

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
use crate::inputs::{Inputs, require_out};
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
    let config = arguments.config.as_deref();
    let inputs = Inputs {
        model: ("teacher", Path::new(&recipe.teacher)),
        result: "student",
        files: corpus
            .paths()
            .map(|path| ("corpus file", path))
            .chain(config.map(|path| ("recipe", path)))
            .collect(),
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
