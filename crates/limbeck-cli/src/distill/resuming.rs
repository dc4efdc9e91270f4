//! What may change when a run goes on: how many steps it takes, where it computes, and where its inputs are. Whatever else a recipe
//! says is what the run is.

use std::path::Path;

use limbeck_recipe::{Init, Recipe, usual_warmup};
use limbeck_train::Checkpoint;
use toml::{Table, Value};

use super::Arguments;
use super::opening::read_checkpoint;
use crate::config::{self, Base};
use crate::error::CliError;
use crate::output::{Output, RECIPE};
use crate::paths::{self, Looked};

/// A run that goes on.
pub struct Resumed {
    /// Its folder.
    pub output: Output,
    /// None of a run that has not come to the student yet.
    pub checkpoint: Option<Checkpoint>,
    /// Its recipe, with what the flags change; and where the models were looked for that are taken for ids of the hub.
    pub recipe: (Recipe, Looked),
    /// What they change of its steps, for people.
    pub changed: Option<String>,
}

/// An input is not where it was when the run began.
pub fn moved(error: CliError, flag: &str, out: &Path) -> CliError {
    CliError::Resumable {
        error: Box::new(error),
        how: format!(
            "If it has moved, say where it is now: limbeck distill --out {} --resume {flag}",
            out.display()
        ),
    }
}

/// Takes a folder whose run goes on: from its checkpoint; from what a finished run left, if it is made longer; or, before the
/// student's first step, from the recipe that was left for it.
///
/// # Errors
/// There is no such run in the folder, another process works there, or the flags would make another run of it.
pub fn resume(arguments: &Arguments, out: &Path) -> Result<Resumed, CliError> {
    let output = Output::resume(out)?;
    let mut places = [output.checkpoint(), output.kept()].into_iter();
    let place = places.find(|place| place.exists());
    let is_finished = place.as_ref() == Some(&output.kept());
    let mut checkpoint = place.as_deref().map(read_checkpoint).transpose()?;
    let (was, looked) = recipe_of(&output, checkpoint.as_ref())?;
    let mut recipe = changed(&was, arguments)?;
    let done = checkpoint.as_ref().map_or(0, |c| c.header.step);
    let refused = |reason: String| {
        let out = out.display();
        Err(CliError::Usage(format!("the run in {out} {reason}")))
    };
    if recipe.steps < done {
        let steps = recipe.steps;
        return refused(format!(
            "has taken {done} steps, and `steps={steps}` is fewer. Set at least {done}, or start a new run"
        ));
    }
    if is_finished && recipe.steps == done {
        return refused(format!(
            "is finished: it has taken its {done} steps. To make it longer, add --set steps=N, with N above {done}"
        ));
    }
    let mut text = None;
    if recipe.steps != was.steps {
        if let Some(checkpoint) = &mut checkpoint {
            // The usual one depends on the steps, and those of the warm-up may be over.
            let warmup = *recipe.warmup.get_or_insert(usual_warmup(was.steps));
            if warmup > recipe.steps {
                let steps = recipe.steps;
                return refused(format!(
                    "warms up for {warmup} steps, and `steps={steps}` is fewer. Set at least {warmup}, or start a new run"
                ));
            }
            checkpoint.header.earlier_steps.push((done, was.steps));
        }
        text = Some(in_words(&was, &recipe, done));
    }
    Ok(Resumed {
        output,
        checkpoint,
        recipe: (recipe, looked),
        changed: text,
    })
}

/// The recipe that the run has had, with paths from the current folder.
fn recipe_of(
    output: &Output,
    checkpoint: Option<&Checkpoint>,
) -> Result<(Recipe, Looked), CliError> {
    let folder = output.folder();
    let (mut recipe, looked) = match checkpoint {
        Some(checkpoint) => {
            let mut recipe = checkpoint.header.recipe.clone();
            let looked = paths::relative_to(&mut recipe, folder);
            (recipe, looked)
        }
        None => config::load(&Base::File(&folder.join(RECIPE)), &[])?,
    };
    output.away()?.put_into(&mut recipe);
    Ok((recipe, looked))
}

/// The recipe with what the flags say.
fn changed(was: &Recipe, arguments: &Arguments) -> Result<Recipe, CliError> {
    let mut recipe = was.clone();
    for (key, value) in &arguments.set {
        let set = config::with(&recipe, key, value)?;
        let mut same = set.clone();
        same.steps = was.steps;
        same.device = was.device;
        same.teacher.clone_from(&was.teacher);
        same.corpus.clone_from(&was.corpus);
        if let (Init::Folder(now), Init::Folder(before)) =
            (&mut same.student.init, &was.student.init)
        {
            now.clone_from(before);
        }
        if same != *was {
            let table: Table = was.to_toml().parse().unwrap_or_default();
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| table.get(part));
            let had = parts.fold(first, |at, part| at?.get(part));
            let had = had.map_or("the default".to_owned(), Value::to_string);
            return Err(CliError::Usage(format!(
                "`--set {key}={value}` would make another run of the one that goes on, which has {had} there. With --resume only \
                 `steps`, `device` and the places of teacher, corpus and starting model can be set. Leave it out, or start a new run"
            )));
        }
        recipe = set;
    }
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher.clone_from(teacher);
    }
    arguments.corpus.set(&mut recipe);
    Ok(recipe)
}

/// What becomes of the steps and of the learning rate.
fn in_words(was: &Recipe, now: &Recipe, done: u64) -> String {
    let peak = now.learning_rate;
    let warmup = now.warmup.unwrap_or_else(|| usual_warmup(now.steps));
    let rate = |steps| limbeck_recipe::learning_rate(done + 1, peak, warmup, steps);
    let before = match done < was.steps {
        true => format!("{:.2e}", rate(was.steps)),
        false => "0".to_owned(),
    };
    format!(
        "{} steps become {}: the learning rate, at most {peak} after {warmup} steps of warm-up, falls to 0 behind step {} and no \
         longer behind step {}. In step {} it is {:.2e}, where it was {before}",
        was.steps,
        now.steps,
        now.steps,
        was.steps,
        done + 1,
        rate(now.steps),
    )
}
