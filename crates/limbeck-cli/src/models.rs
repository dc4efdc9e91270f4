//! Models as they are named: a folder, or, where nothing of that name is, a model on the hub.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use limbeck_hub::{Event, Hub, MODULES, Snapshot};
use limbeck_model::{Folder, Weights};
use limbeck_recipe::{HubId, counted, file_size, is_commit};

use crate::error::CliError;
use crate::paths::{self, Looked};
use crate::words::listed;
use crate::{interrupt, terminal};

/// A model that is on this machine.
pub struct Found {
    /// Where.
    pub folder: PathBuf,
    /// What it is called: as it was named; of the hub's, the id with the commit.
    pub name: String,
}

impl Found {
    /// The model in a folder.
    pub fn folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            name: folder.display().to_string(),
        }
    }

    /// Its files.
    ///
    /// # Errors
    /// See [`Folder::read`].
    pub fn read(&self) -> Result<Folder, CliError> {
        Ok(Folder::read(&self.folder)?)
    }
}

/// The model on the hub that is named; none if a folder is.
pub fn on_hub(named: &Path) -> Option<HubId> {
    paths::on_hub(named.to_str()?, Path::new(""))
}

/// Finds a model, and downloads it if it is on the hub.
///
/// # Errors
/// It is to be on the hub, and cannot be had.
pub fn find(named: &Path) -> Result<Found, CliError> {
    find_named(named, &Looked::default())
}

/// The same of a model that a file names.
///
/// # Errors
/// See [`find`].
pub fn find_named(named: &Path, looked: &Looked) -> Result<Found, CliError> {
    let Some(id) = on_hub(named) else {
        return Ok(Found::folder(named));
    };
    let hub = Hub::from_env()?;
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    terminal::show(&bar);
    let found = interrupt::at_once(|| hub.model(&id, &mut |event| show(&bar, &event)));
    bar.finish_and_clear();
    let found = found.map_err(|error| match error.doubts_the_name() {
        true => CliError::NoModel {
            folder: looked.place(&id.to_string()).to_owned(),
            id: id.to_string(),
            error: Box::new(error),
        },
        false => error.into(),
    })?;
    tell(&id, &found);
    Ok(Found {
        folder: found.folder,
        name: found.id.to_string(),
    })
}

/// What has to be said of a model that comes from the cache.
fn tell(id: &HubId, found: &Snapshot) {
    if let Some(why) = &found.unasked {
        // A commit never changes.
        let what = match is_commit(id.revision()) {
            true => "asked",
            false => "asked for a newer version",
        };
        terminal::say(format_args!(
            "using {} from the cache: the hub could not be {what} ({why})",
            found.id
        ));
    }
    if let Some((last, others)) = found.doubtful.split_last() {
        let (files, it) = match others {
            [] => (last.clone(), "it"),
            _ => (format!("{} and {last}", others.join(", ")), "them"),
        };
        let mean = match found.doubtful.iter().any(|file| file == MODULES) {
            true => format!(". Without {MODULES} the vector of a text is the mean of its tokens'"),
            false => String::new(),
        };
        terminal::say(format_args!(
            "{files} of {} cannot be found in the cache, and without the hub it is not known whether the model has {it}{mean}",
            found.id
        ));
    }
}

/// Says which tensors of a model nothing reads. What is wrong with its weights, whoever computes with them says.
pub fn tell_strays(folder: &Folder) {
    let weights = Weights::open(folder);
    let told = weights.and_then(|weights| Ok(not_read(folder, &weights.strays()?)));
    if let Ok(Some(told)) = told {
        terminal::say(told);
    }
}

/// The tensors of a model that nothing reads ([`Weights::strays`]), in a sentence; none if there are no such.
pub fn not_read(folder: &Folder, strays: &[&str]) -> Option<String> {
    const NAMED: usize = 3;
    if strays.is_empty() {
        return None;
    }
    Some(format!(
        "the weights of {} hold {} beside the encoder that limbeck does not use: {}",
        folder.name(),
        counted(strays.len(), "tensor"),
        listed(strays, NAMED)
    ))
}

/// Finds a model, and reads its files.
///
/// # Errors
/// See [`find`] and [`Folder::read`].
pub fn read(named: &Path) -> Result<Folder, CliError> {
    find(named)?.read()
}

/// One bar for all files.
fn show(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Begin {
            id,
            files,
            bytes,
            from,
            cache,
        } => {
            let files = counted(*files, "file");
            let there = match from {
                0 => String::new(),
                from => format!(", {} of it already downloaded", file_size(*from)),
            };
            terminal::say(format_args!(
                "downloading {id}: {files}, {}{there}, into {}",
                file_size(*bytes),
                cache.display()
            ));
            let template = "{bar:24} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_length(*bytes);
            bar.reset_elapsed();
            bar.set_position(*from);
            bar.reset_eta();
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Event::Reached(bytes) => bar.set_position(*bytes),
        Event::Waiting { wait, why } => terminal::say(format_args!(
            "the hub did not answer as expected ({why}); trying again in {} s",
            wait.as_secs()
        )),
        Event::Shared(file) => terminal::say(format_args!(
            "another program is downloading {file}; waiting for it to finish"
        )),
        Event::Done => bar.finish_and_clear(),
    }
}
