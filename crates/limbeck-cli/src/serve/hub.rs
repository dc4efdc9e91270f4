//! Everybody who listens to the engine, and the way to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use futures_channel::mpsc::UnboundedSender;
use limbeck_engine::{Request, To};
use limbeck_protocol::{Command, Control, Event, Message, RunState};
use tokio::sync::{Notify, mpsc};

use crate::terminal;

/// Whoever sits at the terminal: asks for what flags name, and for the end.
pub const TERMINAL: u64 = 0;

/// What may wait for one page: messages, bytes when another goes to every page, and bytes when another answers it. A page
/// that takes nothing for longer is cut off: it comes back with the last step that it has, and gets what it missed.
const WAITING_MESSAGES: usize = 1024;
const WAITING_BYTES: usize = 256 << 20;
const WAITING_ANSWERS: usize = 1 << 30;
/// Bytes of exported files that may wait for all pages together when another export is to follow them. The files of one
/// export may be of any size.
const WAITING_FILES: usize = 64 << 20;

/// An event as it is sent; copies share its bytes.
#[derive(Clone)]
pub struct Parcel {
    /// The JSON text.
    pub text: Utf8Bytes,
    /// The binary parts after it.
    pub blobs: Arc<[Bytes]>,
    /// Set if it carries exported files; dropped with the last copy, which is when they are sent or given up.
    on_their_way: Option<Arc<OnTheirWay>>,
}

/// Exported files that a page has not taken yet.
struct OnTheirWay {
    bytes: usize,
    /// Bytes of all such files.
    all: Arc<AtomicUsize>,
    /// That of [`Client::files`].
    _page: Arc<()>,
}

impl Drop for OnTheirWay {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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
                on_their_way: None,
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
    /// Whether an `Export` of it is with the engine. Any refusal ends that: a refusal does not say of what.
    awaits_files: bool,
    /// Shared with exported files that are on their way to it.
    files: Arc<()>,
}

impl Client {
    fn send_files(&self, all: &Arc<AtomicUsize>, bytes: usize) -> Arc<OnTheirWay> {
        all.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(OnTheirWay {
            bytes,
            all: all.clone(),
            _page: self.files.clone(),
        })
    }

    /// False if too much waits already.
    fn take(&self, parcel: &Parcel, to: To) -> bool {
        // What a page has asked for may be of any size itself: a student, say.
        let most = match to {
            To::All => WAITING_BYTES,
            To::One(_) => WAITING_ANSWERS,
        };
        if self.waiting.load(Ordering::Relaxed) > most {
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
    /// Bytes of exported files that are on their way.
    files: Arc<AtomicUsize>,
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
            awaits_files: false,
            files: Arc::default(),
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
        if matches!(command, Command::Export { .. })
            && let Err(message) = inner.begin_export(client)
        {
            inner.deliver(To::One(client), refused(message), Vec::new());
            return true;
        }
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
        if matches!(event, Event::Files { .. })
            && let Err(message) = inner.require_room_for_files()
        {
            inner.deliver(to, refused(message), Vec::new());
        } else {
            inner.deliver(to, event, blobs);
        }
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

fn refused(message: String) -> Event {
    let control = Control::Run;
    Event::Refused { control, message }
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
    /// Puts an event into the queues of those whom it is for.
    fn deliver(&mut self, to: To, event: Event, blobs: Vec<Vec<u8>>) {
        let is_hello = matches!(event, Event::Hello { .. });
        let has_files = matches!(event, Event::Files { .. });
        let Some(mut parcel) = Parcel::new(event, blobs) else {
            return;
        };
        let all_files = self.files.clone();
        self.clients.retain(|number, client| {
            let meant = match to {
                To::All => client.greeted,
                To::One(one) => one == *number,
            };
            if !meant {
                return true;
            }
            client.greeted |= is_hello;
            if has_files {
                parcel.on_their_way = Some(client.send_files(&all_files, parcel.bytes()));
            }
            let taken = client.take(&parcel, to);
            if !taken {
                client.cut.notify_one();
            }
            taken
        });
    }

    /// Lets a page ask for files if it has taken those of its last export: files that nobody takes would fill the memory,
    /// and packing them holds up the run.
    fn begin_export(&mut self, client: u64) -> Result<(), String> {
        let room = self.require_room_for_files();
        let Some(client) = self.clients.get_mut(&client) else {
            return Ok(());
        };
        if client.awaits_files || Arc::strong_count(&client.files) > 1 {
            return Err(
                "the files of an earlier export are still on their way to this page. Ask again when they are here"
                    .to_owned(),
            );
        }
        room?;
        client.awaits_files = true;
        Ok(())
    }

    fn require_room_for_files(&self) -> Result<(), String> {
        let waiting = self.files.load(Ordering::Relaxed);
        if waiting <= WAITING_FILES {
            return Ok(());
        }
        Err(format!(
            "exported files of {} MB are still on their way to other pages. Ask again when those pages have them, or close \
             those pages",
            waiting >> 20
        ))
    }

    fn note(&mut self, to: To, event: &Event) {
        if let (To::One(one), Event::Files { .. } | Event::Refused { .. }) = (to, event)
            && let Some(client) = self.clients.get_mut(&one)
        {
            client.awaits_files = false;
        }
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
