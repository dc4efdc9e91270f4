//! The door of `limbeck serve`: how many connections there are at once, and which one has to go when there is no place left.
//!
//! Every program of this machine can connect. A connection that has shown no token gets a place as long as there is a free
//! one, and loses it to the next: so nobody without the token keeps the page of the one who has it waiting.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long a connection may send no whole request, the first or the next.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// Most connections at once: a browser opens six and a WebSocket for each page.
const MOST_PLACES: usize = 256;
/// Fewest, if hardly any files may be open.
const FEWEST_PLACES: usize = 8;
/// Open files that are no connections: those of the page, of the run and of a GPU's driver.
const OTHER_FILES: usize = 64;

/// Takes connections for as long as the program runs.
pub async fn receive(mut listener: TcpListener, router: Router) {
    let door = Door::new(places(open_files()));
    loop {
        // This one waits a second if the system gives no connection; the plain `accept` would fail.
        let (stream, _) = Listener::accept(&mut listener).await;
        let visitor = door.admit().await;
        // A step's event is small, and must not wait for the next to fill a packet.
        let _ = stream.set_nodelay(true);
        tokio::spawn(attend(stream, visitor, router.clone()));
    }
}

/// Answers one connection until it closes, says nothing for too long, or has to go.
async fn attend(stream: TcpStream, visitor: Arc<Visitor>, router: Router) {
    let service = TowerToHyperService::new(router.layer(Extension(visitor.clone())));
    let stream = Counted {
        stream,
        visitor: visitor.clone(),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // Whatever ends it, the other side sees that it has ended.
        _ = connection => {}
        () = visitor.shown_out.notified() => {}
    }
}

/// Connections that may be open while so many files may be.
fn places(open_files: Option<usize>) -> usize {
    let files = open_files.unwrap_or(MOST_PLACES + OTHER_FILES);
    files
        .saturating_sub(OTHER_FILES)
        .clamp(FEWEST_PLACES, MOST_PLACES)
}

/// How many files this process may have open; none if there is no limit.
#[cfg(unix)]
fn open_files() -> Option<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit fills in what it is given, and nothing else.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    known
        .then_some(limit.rlim_cur)
        .and_then(|most| most.try_into().ok())
}

#[cfg(not(unix))]
fn open_files() -> Option<usize> {
    None
}

struct Door {
    places: Arc<Semaphore>,
    /// In the order in which they came. Some of them have shown a token since, or have gone.
    strangers: Mutex<VecDeque<Weak<Visitor>>>,
}

impl Door {
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            strangers: Mutex::default(),
        }
    }

    /// A place for a new connection. If there is none, the stranger that came first has to go; without one the new
    /// connection waits.
    async fn admit(&self) -> Arc<Visitor> {
        if self.places.available_permits() == 0 {
            self.show_a_stranger_out();
        }
        let visitor = Arc::new(Visitor {
            // Nobody closes the semaphore.
            place: self.places.clone().acquire_owned().await.ok(),
            is_known: AtomicBool::new(false),
            shown_out: Notify::new(),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
        });
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|other| other.upgrade().is_some_and(|other| !other.is_known()));
        strangers.push_back(Arc::downgrade(&visitor));
        visitor
    }

    fn show_a_stranger_out(&self) {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = strangers.pop_front() {
            if let Some(first) = first.upgrade().filter(|first| !first.is_known()) {
                first.shown_out.notify_one();
                return;
            }
        }
    }
}

/// A connection, for as long as anything of it is open.
pub struct Visitor {
    /// Given back with the last reference.
    #[expect(dead_code, reason = "it is held, not read")]
    place: Option<OwnedSemaphorePermit>,
    is_known: AtomicBool,
    shown_out: Notify,
    read: AtomicU64,
    written: AtomicU64,
}

impl Visitor {
    /// It has shown the token: it keeps its place.
    pub fn recognise(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Bytes that have come.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that the system has taken from us.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// Counts what goes through: a message of 1 GB is on its way for minutes, and only its bytes tell that.
struct Counted {
    stream: TcpStream,
    visitor: Arc<Visitor>,
}

impl Counted {
    fn count_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            let written = &self.visitor.written;
            written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        self.visitor.read.fetch_add(bytes as u64, Ordering::Relaxed);
        done
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.count_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
