//! Everybody who listens to the engine, and the way to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use futures_channel::mpsc::UnboundedSender;
use limbeck_engine::{Request, To};
use limbeck_protocol::{Command, Event, Message, RunState};
use tokio::sync::{Notify, mpsc};

use crate::terminal;

/// Whoever sits at the terminal: asks for what flags name, and for the end.
pub const TERMINAL: u64 = 0;

/// Messages that may wait for one page, and bytes of those that go to every page. A page that takes nothing for longer is
/// cut off: it comes back with the last step that it has, and gets what it missed.
const WAITING_MESSAGES: usize = 1024;
const WAITING_BYTES: usize = 256 << 20;

/// An event as it is sent; copies share its bytes.
#[derive(Clone)]
pub struct Parcel {
    /// The JSON text.
    pub text: Utf8Bytes,
    /// The binary parts after it.
    pub blobs: Arc<[Bytes]>,
}

impl Parcel {
    /// Packs an event.
    pub fn new(body: Event, blobs: Vec<Vec<u8>>) -> Option<Self> {
        let count = blobs.len();
        let message = Message { body, blobs: count };
        match message.encode() {
            Ok(text) => Some(Self {
                text: text.into(),
                blobs: blobs.into_iter().map(Bytes::from).collect(),
            }),
            Err(error) => {
                terminal::say(format_args!("limbeck: cannot send an event: {error}"));
                None
            }
        }
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.blobs.iter().map(Bytes::len).sum::<usize>()
    }
}

/// One connection's place.
pub struct Seat {
    /// Its number, from 1.
    pub number: u64,
    /// Notified when the connection must close, whatever is still queued.
    pub cut: Arc<Notify>,
    queue: mpsc::Receiver<Parcel>,
    waiting: Arc<AtomicUsize>,
}

impl Seat {
    /// The next message; none when the connection is to be closed.
    pub async fn next(&mut self) -> Option<Parcel> {
        let parcel = self.queue.recv().await?;
        self.waiting.fetch_sub(parcel.bytes(), Ordering::Relaxed);
        Some(parcel)
    }
}

struct Client {
    queue: mpsc::Sender<Parcel>,
    waiting: Arc<AtomicUsize>,
    cut: Arc<Notify>,
    /// Whether its `Hello` is answered: only then it can make sense of what goes to all, and misses nothing of it.
    greeted: bool,
}

impl Client {
    /// False if too much waits already.
    fn take(&self, parcel: &Parcel, to: To) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        // What a page has asked for may be of any size: a student, say.
        if to == To::All && waiting > WAITING_BYTES {
            return false;
        }
        self.waiting.fetch_add(parcel.bytes(), Ordering::Relaxed);
        self.queue.try_send(parcel.clone()).is_ok()
    }
}

/// What is known of the run, for the end of the program.
#[derive(Clone, Default)]
pub struct Known {
    running: bool,
    /// Step of the last checkpoint.
    pub saved_at: Option<u64>,
    /// Why the last checkpoint could not be written.
    pub not_saved: Option<String>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    clients: HashMap<u64, Client>,
    /// Connections that are open, also those that are being closed.
    open: usize,
    requests: Option<UnboundedSender<Request>>,
    /// Whether a page has asked this engine for anything.
    asked: bool,
    closing: bool,
    known: Known,
}

/// Everybody who listens, and the way to the engine.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
    left: Notify,
}

impl Hub {
    /// What is behind the lock is whole after every statement, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection.
    pub fn join(&self) -> Seat {
        let (sender, queue) = mpsc::channel(WAITING_MESSAGES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        let mut inner = self.lock();
        inner.last += 1;
        inner.open += 1;
        let number = inner.last;
        let client = Client {
            queue: sender,
            waiting: waiting.clone(),
            cut: cut.clone(),
            greeted: false,
        };
        inner.clients.insert(number, client);
        Seat {
            number,
            cut,
            queue,
            waiting,
        }
    }

    /// A connection has ended.
    pub fn leave(&self, number: u64) {
        let mut inner = self.lock();
        inner.clients.remove(&number);
        inner.open -= 1;
        self.left.notify_one();
    }

    /// Waits until no connection is open.
    pub async fn empty(&self) {
        while self.lock().open > 0 {
            self.left.notified().await;
        }
    }

    /// Asks the engine; false if there is none at the moment.
    pub fn ask(&self, client: u64, command: Command, blobs: Vec<Vec<u8>>) -> bool {
        let mut inner = self.lock();
        inner.asked |= client != TERMINAL;
        let request = Request {
            client,
            command,
            blobs,
        };
        inner
            .requests
            .as_ref()
            .is_some_and(|requests| requests.unbounded_send(request).is_ok())
    }

    /// Sends an event to whom it is for.
    pub fn tell(&self, to: To, event: Event, blobs: Vec<Vec<u8>>) {
        let mut inner = self.lock();
        inner.note(to, &event);
        let is_hello = matches!(event, Event::Hello { .. });
        let Some(parcel) = Parcel::new(event, blobs) else {
            return;
        };
        inner.clients.retain(|number, client| {
            let meant = match to {
                To::All => client.greeted,
                To::One(one) => one == *number,
            };
            if !meant {
                return true;
            }
            client.greeted |= is_hello;
            let taken = client.take(&parcel, to);
            if !taken {
                client.cut.notify_one();
            }
            taken
        });
    }

    /// Connects an engine; false if the program is about to end.
    pub fn attach(&self, requests: UnboundedSender<Request>) -> bool {
        let mut inner = self.lock();
        if inner.closing {
            return false;
        }
        inner.asked = false;
        inner.known.running = false;
        inner.requests = Some(requests);
        true
    }

    /// An engine has ended, for that reason if it failed. Every page is sent away; it comes back and greets the next engine.
    pub fn detach(&self, failure: Option<&str>) -> Ended {
        if let Some(reason) = failure {
            let reason = reason.to_owned();
            self.tell(To::All, Event::Failing { reason }, Vec::new());
        }
        let mut inner = self.lock();
        inner.requests = None;
        inner.clients.clear();
        Ended {
            asked: inner.asked,
            closing: inner.closing,
        }
    }

    /// Lets the engine save what runs and end; no page can ask for anything more.
    pub fn close(&self) {
        if self.known().running {
            self.ask(TERMINAL, Command::Stop, Vec::new());
        }
        let mut inner = self.lock();
        inner.closing = true;
        inner.requests = None;
    }

    /// What is known of the run.
    pub fn known(&self) -> Known {
        self.lock().known.clone()
    }
}

/// What an engine leaves.
pub struct Ended {
    /// Whether a page had asked it for anything.
    pub asked: bool,
    /// Whether the program is about to end.
    pub closing: bool,
}

impl Known {
    /// Whether there is a run that can take more steps.
    pub fn running(&self) -> bool {
        self.running
    }
}

impl Inner {
    fn note(&mut self, to: To, event: &Event) {
        match event {
            Event::State { state } => {
                self.known.running = match state {
                    RunState::Preparing | RunState::Running | RunState::Paused => true,
                    RunState::Idle | RunState::Ended { .. } => false,
                };
            }
            Event::Checkpoint {
                step,
                only_in_memory,
                ..
            } => {
                self.known.not_saved.clone_from(only_in_memory);
                if only_in_memory.is_none() {
                    self.known.saved_at = Some(*step);
                }
            }
            Event::Refused { message, .. } if matches!(to, To::All | To::One(TERMINAL)) => {
                terminal::say(format_args!("limbeck: {message}"));
            }
            _ => {}
        }
    }
}
