//! From flags to sessions: what is read, what is refused, whose folder it is, and the stages of the run.
//!
//! A run with a teacher assistant is two runs, one after the other, in a folder and a folder in it: the teacher teaches the
//! assistant, and the assistant the student. Until the student has a checkpoint, the whole run's recipe lies in its folder.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use limbeck_corpus::{Corpus, CorpusError};
use limbeck_engine::{Opening, RunError, Session};
use limbeck_model::{Folder, read_file};
use limbeck_onnx::Format;
use limbeck_recipe::{ASSISTANT, DeviceChoice, Plan, Recipe};
use limbeck_train::Checkpoint;

use super::Arguments;
use super::listener::Listener;
use super::metrics::Past;
use super::resuming::{self, Resumed};
use super::stage::{Part, Stage};
use crate::config::{self, Base};
use crate::error::CliError;
use crate::export;
use crate::inputs::{Inputs, require_out};
use crate::models::{self, Found};
use crate::output::{self, Output, RECIPE, TEXTS};
use crate::paths::{self, Away, Looked};

/// A run whose recipe and inputs are checked, and whose folder is ours: nothing is written there yet but its lock.
pub struct Begun {
    /// As the folder has it.
    recipe: Recipe,
    /// What the folder's recipe cannot name.
    away: Away,
    output: Output,
    /// What was changed of a run that goes on, for people.
    changed: Option<String>,
    /// The student's.
    checkpoint: Option<Checkpoint>,
    /// The assistant that is yet to be trained, and its teacher.
    assistant: Option<(Recipe, Folder)>,
    /// The student's; none if an assistant is yet to become it.
    teacher: Option<Folder>,
    start: Option<Folder>,
    corpus: Corpus,
    resumes: bool,
    device: Option<DeviceChoice>,
    json: bool,
    export: Vec<Format>,
}

/// Checks what is asked for.
///
/// # Errors
/// A wrong recipe, an input that cannot be read, or an output folder that is not ours to write to.
pub fn begin(arguments: &Arguments) -> Result<Begun, CliError> {
    if let Some(out) = &arguments.out {
        require_out(out)?;
    }
    let resumed = match (arguments.resume, &arguments.out) {
        (true, Some(out)) => Some(resuming::resume(arguments, Path::new(out))?),
        _ => None,
    };
    let (output, checkpoint, (mut recipe, looked), changed) = match resumed {
        Some(Resumed {
            output,
            checkpoint,
            recipe,
            changed,
        }) => (Some(output), checkpoint, recipe, changed),
        None => (None, None, recipe(arguments)?, None),
    };
    if let Some(out) = &arguments.out {
        recipe.out = out.clone();
    }
    require_out(&recipe.out)?;
    config::require_teacher(&recipe)?;
    let out = PathBuf::from(&recipe.out);
    let assistant = out.join(ASSISTANT);
    let resumes = output.is_some();
    let assistant_teaches = recipe.has_assistant()
        && resumes
        && (checkpoint.is_some() || output::is_finished(&assistant));
    let found = match assistant_teaches {
        true => Found::folder(&assistant),
        false => config::find_teacher(&mut recipe, &looked)?,
    };
    let teacher = found
        .read()
        .map_err(|e| match resumes && !found.folder.exists() {
            true => resuming::moved(e, "--teacher MODEL", &out),
            false => e,
        })?;
    let found_start = config::find_start(&mut recipe, &looked)?;
    let start = config::read_start(found_start.as_ref())?;
    // All mistakes of the recipe come before the first of a file.
    let (of_assistant, plan) = match assistant_teaches {
        true => (None, Plan::new(&recipe, &teacher.config()?)?),
        false => config::stages(&recipe, &teacher, start.as_ref())?,
    };
    export::require_writable(&plan.student, &arguments.export)?;
    let corpus = Corpus::open(&recipe.corpus, recipe.documents()?);
    let corpus = corpus.map_err(
        |e| match resumes && matches!(e, CorpusError::NoMatch { .. }) {
            true => resuming::moved(e.into(), "--corpus FILES", &out),
            false => e.into(),
        },
    )?;
    let of_teacher = match assistant_teaches {
        true => Path::new(&recipe.teacher),
        false => &found.folder,
    };
    let mut models = config::models(of_teacher, found_start.as_ref());
    // Whoever has taught the assistant may have gone.
    models.retain(|(_, path)| !assistant_teaches || path.exists());
    let config = arguments.config.as_deref();
    let inputs = Inputs {
        models,
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
    models::tell_strays(&teacher);
    let (assistant, teacher) = match of_assistant {
        Some(plan) => {
            let recipe = paths::seen_from(&plan.recipe, &assistant);
            (Some((recipe, teacher)), None)
        }
        None => (None, Some(teacher)),
    };
    Ok(Begun {
        away: Away::of(&recipe, &out),
        recipe: paths::seen_from(&recipe, &out),
        output,
        changed,
        checkpoint,
        assistant,
        teacher,
        start,
        corpus,
        resumes,
        device: arguments.device,
        json: arguments.json,
        export: arguments.export.clone(),
    })
}

impl Begun {
    /// Opens the stage of the assistant, if there is one that is not done.
    ///
    /// # Errors
    /// See [`open()`]; or its folder is not ours to write to.
    pub fn assistant(&mut self) -> Result<Option<(Session, Listener)>, CliError> {
        let Some((mut recipe, teacher)) = self.assistant.take() else {
            return Ok(None);
        };
        let folder = self.output.folder().join(ASSISTANT);
        let (output, checkpoint) = match self.resumes && output::has_checkpoint(&folder) {
            true => {
                let output = Output::resume(&folder)?;
                let checkpoint = read_checkpoint(&output.checkpoint())?;
                recipe = checkpoint.header.recipe.clone();
                (output, Some(checkpoint))
            }
            false => (Output::create(&folder, true)?, None),
        };
        let is_new = checkpoint.is_none();
        let corpus = match is_new {
            true => self.corpus.clone().fingerprinted()?,
            false => self.corpus.clone(),
        };
        let stage = Stage::new(Part::Assistant, self.output.folder(), &self.export);
        let mut listener = Listener::new(output, stage, self.device, self.json);
        let opening = Opening {
            recipe,
            teacher: Rc::new(teacher),
            start: None,
            corpus: corpus.clone(),
            checkpoint,
            steps: Vec::new(),
            evaluations: Vec::new(),
        };
        let (session, past) = open(opening, &listener)?;
        // An earlier assistant is gone before the recipe says that this one is to be trained.
        listener.output.clear(is_new)?;
        if is_new {
            let texts = serde_json::to_vec(&corpus.fingerprint());
            let texts = texts.map_err(std::io::Error::other);
            let texts = texts.map_err(CliError::file("write", &folder.join(TEXTS)))?;
            listener.output.write(TEXTS, &texts)?;
        }
        if !self.resumes {
            self.output.clear(true)?;
        }
        // Of a run that goes on, it may be another one than before.
        let recipe = self.recipe.to_toml();
        self.output.write(RECIPE, recipe.as_bytes())?;
        self.output.keep_away(&self.away)?;
        listener.begin(&session, &past, self.changed.take())?;
        Ok(Some((session, listener)))
    }

    /// Opens the stage of the student: all of the run, if there is no assistant. One that there is has been trained.
    ///
    /// # Errors
    /// See [`open()`].
    pub fn student(self) -> Result<(Session, Listener), CliError> {
        let folder = self.output.folder();
        let (part, is_new) = match self.recipe.has_assistant() {
            true => (Part::Student, false),
            false => (Part::Whole, self.checkpoint.is_none()),
        };
        let stage = Stage::new(part, folder, &self.export);
        let teacher = match self.teacher {
            Some(teacher) => teacher,
            None => Folder::read(&folder.join(ASSISTANT))?,
        };
        let corpus = match (part, &self.checkpoint) {
            // A checkpoint knows the texts itself.
            (Part::Student, None) => same_texts(&folder.join(ASSISTANT), self.corpus)?,
            _ => self.corpus,
        };
        let mut listener = Listener::new(self.output, stage, self.device, self.json);
        let opening = Opening {
            recipe: self.recipe,
            teacher: Rc::new(teacher),
            start: self.start,
            corpus,
            checkpoint: self.checkpoint,
            steps: Vec::new(),
            evaluations: Vec::new(),
        };
        let (session, past) = open(opening, &listener)?;
        listener.output.clear(is_new)?;
        listener.output.keep_away(&self.away)?;
        listener.output.reopen()?;
        listener.begin(&session, &past, self.changed)?;
        Ok((session, listener))
    }
}

/// The texts, if they are those that the assistant in a folder was taught on.
///
/// # Errors
/// They have changed since; the message says where. Or what they were cannot be read.
fn same_texts(assistant: &Path, corpus: Corpus) -> Result<Corpus, CliError> {
    let path = assistant.join(TEXTS);
    let bytes = read_file(&path).map_err(CliError::file("read", &path))?;
    let texts = serde_json::from_slice(&bytes).map_err(|e| {
        RunError::Changed(format!(
            "{} does not say which texts the assistant was taught on ({e}). Start a new run",
            path.display()
        ))
    })?;
    corpus.unchanged_since(texts).map_err(|error| match error {
        CorpusError::Altered { .. } | CorpusError::OtherFiles { .. } => {
            RunError::Changed(error.to_string()).into()
        }
        error => error.into(),
    })
}

/// Opens a session, with the numbers that its folder has of the steps up to its checkpoint.
///
/// # Errors
/// They cannot be read, or what [`Session::open`] refuses.
fn open(mut opening: Opening, listener: &Listener) -> Result<(Session, Past), CliError> {
    let steps = opening.checkpoint.as_ref().map_or(0, |c| c.header.step);
    let mut past = Past::read(&listener.output, &opening.recipe, steps)?;
    opening.steps = std::mem::take(&mut past.steps);
    opening.evaluations = std::mem::take(&mut past.evaluations);
    let session = pollster::block_on(Session::open(opening, listener))?;
    Ok((session, past))
}

fn recipe(arguments: &Arguments) -> Result<(Recipe, Looked), CliError> {
    let base = Base::of(arguments.config.as_deref(), arguments.recipe.as_deref())?;
    let (mut recipe, looked) = config::load(&base, &arguments.set)?;
    if let Some(teacher) = &arguments.teacher {
        recipe.teacher = teacher.clone();
    }
    arguments.corpus.set(&mut recipe);
    if let Some(device) = arguments.device {
        recipe.device = device;
    }
    Ok((recipe, looked))
}

/// A checkpoint, checked.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, CliError> {
    let bytes = read_file(path).map_err(CliError::file("read", path))?;
    Checkpoint::parse(&bytes).map_err(|error| CliError::Resumable {
        error: Box::new(error.into()),
        how: format!(
            "The file is {}, and limbeck keeps no other: put a copy of yours in its place, or start the run anew, with --overwrite \
             instead of --resume",
            path.display()
        ),
    })
}
