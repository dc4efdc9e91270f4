//! The engine's thread, and another one when it fails.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use limbeck_engine::{Request, card};
use limbeck_model::read_file;
use limbeck_protocol::Command;
use tokio::sync::oneshot;

use super::hub::{Hub, TERMINAL};
use super::world::{Keep, Machine};
use crate::error::CliError;
use crate::models;

/// As much as the main thread has on Linux and macOS: backward passes and planning may go deep.
const STACK_BYTES: usize = 8 << 20;

/// What flags give to the engine, so that every page finds it.
pub struct Given {
    /// A model.
    pub teacher: Option<PathBuf>,
    /// Files.
    pub corpus: Vec<PathBuf>,
}

impl Given {
    /// As requests to the engine.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self) -> Result<Vec<Request>, CliError> {
        let mut requests = Vec::new();
        if let Some(folder) = &self.teacher {
            let found = models::find(folder)?;
            let folder = found.read()?;
            let (files, blobs) = folder
                .files()
                .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
                .unzip();
            // A student's folder tells nothing of this machine.
            let name = card::name(&found.name).to_owned();
            requests.push(request(Command::Teacher { name, files }, blobs));
        }
        if !self.corpus.is_empty() {
            let names = self.corpus.iter().map(|path| path.display().to_string());
            let names = names.map(|path| card::name(&path).to_owned());
            let names = names.collect();
            let read = |path: &PathBuf| read_file(path).map_err(CliError::file("read", path));
            let blobs = self.corpus.iter().map(read).collect::<Result<_, _>>()?;
            requests.push(request(Command::Texts { names }, blobs));
        }
        Ok(requests)
    }
}

fn request(command: Command, blobs: Vec<Vec<u8>>) -> Request {
    Request {
        client: TERMINAL,
        command,
        blobs,
    }
}

/// Starts the engine. The receiver reports when it has ended for good: after [`Hub::close`], or by a failure that another
/// start would repeat.
///
/// # Errors
/// What flags name cannot be read, or the system gives no thread.
pub fn start(
    hub: Arc<Hub>,
    keep: Keep,
    given: Given,
) -> Result<oneshot::Receiver<Result<(), CliError>>, CliError> {
    // Before the link is out: whoever is quick must find somebody to talk to.
    let first = connect(&hub, given.read()?);
    let (tell, end) = oneshot::channel();
    let work = move || {
        // Nobody waits any more if the program has ended.
        let _ = tell.send(supervise(&hub, &keep, &given, first));
    };
    spawn("supervisor", work)?;
    Ok(end)
}

/// The way to another engine, with what it is asked first; none if the program is about to end.
fn connect(hub: &Hub, first: Vec<Request>) -> Option<UnboundedReceiver<Request>> {
    let (sender, receiver) = unbounded();
    for request in first {
        // The receiver is here.
        let _ = sender.unbounded_send(request);
    }
    hub.attach(sender).then_some(receiver)
}

fn supervise(
    hub: &Arc<Hub>,
    keep: &Keep,
    given: &Given,
    first: Option<UnboundedReceiver<Request>>,
) -> Result<(), CliError> {
    let mut next = first;
    while let Some(requests) = next {
        let failure = live(hub.clone(), keep.clone(), requests)?;
        let ended = hub.detach(failure.as_deref());
        match failure {
            None if ended.closing => return Ok(()),
            Some(reason) if ended.closing => return Err(CliError::Serve(reason)),
            Some(reason) if !ended.asked => {
                return Err(CliError::Serve(format!(
                    "{reason}\n  no page had asked it for anything, so starting it again would fail too"
                )));
            }
            _ => next = connect(hub, given.read()?),
        }
    }
    Ok(())
}

/// One engine, on a thread of its own: a failed one may leave its thread's state in pieces. Gives why it failed.
fn live(
    hub: Arc<Hub>,
    keep: Keep,
    requests: UnboundedReceiver<Request>,
) -> Result<Option<String>, CliError> {
    let work = move || {
        let tell = move |to, event, blobs| hub.tell(to, event, blobs);
        pollster::block_on(limbeck_engine::serve(Machine::new(keep), requests, tell));
    };
    let ended = spawn("engine", work)?.join();
    Ok(ended.err().map(|panic| {
        format!(
            "the engine failed: {}. It restarts with what was saved. If the GPU failed, update its driver or compute \
             on the CPU; if memory ran out, use a smaller batch",
            message(panic.as_ref())
        )
    }))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it gave no reason")
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, CliError> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(|e| CliError::Serve(format!("cannot start the engine's thread: {e}")))
}
