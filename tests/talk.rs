//! An engine to talk to: a place for it whose files are in memory, and one who asks it and hears what it tells.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use burn::tensor::Device;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use futures_util::future::join;
use limbeck_engine::{Opened, Request, To, World, heldout, serve};
use limbeck_protocol::{Command, Control, EngineInfo, EngineKind, Event};
use limbeck_recipe::DeviceChoice;

use crate::cpu;

/// A place whose files are in memory and outlive its engine, as a browser's storage outlives a tab.
#[derive(Clone)]
pub struct Memory {
    /// To compute on.
    pub device: Device,
    /// Files by name.
    pub files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    /// Bytes that fit.
    pub quota: usize,
    /// Whether another engine trains.
    pub claimed: bool,
    /// Bytes of memory that are free for a run; none if that is not known.
    pub free: Rc<Cell<Option<u64>>>,
    /// Writes so far, removals too.
    pub writes: Rc<Cell<usize>>,
    /// Which of them are refused, counted from 0.
    pub refused: Range<usize>,
    /// A clock that goes on by so many seconds whenever it is read, and by nothing else; otherwise the real one.
    pub clock: Option<(Rc<Cell<f64>>, f64)>,
}

impl Memory {
    /// An empty place with one device.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            files: Rc::default(),
            quota: usize::MAX,
            claimed: false,
            free: Rc::default(),
            writes: Rc::default(),
            refused: 0..0,
            clock: None,
        }
    }

    /// The same with a clock that goes on by so many seconds whenever it is read, and by nothing else.
    pub fn ticking(device: Device, by: f64) -> Self {
        Self {
            clock: Some((Rc::default(), by)),
            ..Self::new(device)
        }
    }

    /// A place of its own with the same files.
    pub fn copy(&self) -> Self {
        Self {
            files: Rc::new(RefCell::new(self.files.borrow().clone())),
            writes: Rc::default(),
            ..self.clone()
        }
    }

    /// Counts a write, and refuses it if it is one of those.
    fn write(&self) -> Result<(), String> {
        let number = self.writes.get();
        self.writes.set(number + 1);
        match self.refused.contains(&number) {
            true => Err(format!("write {number} is refused")),
            false => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.files.borrow().values().map(Vec::len).sum()
    }
}

impl World for Memory {
    async fn info(&self) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Native,
            software: "test".into(),
            adapter: None,
            cpu: "a CPU".into(),
            keeps: "memory".into(),
        }
    }

    async fn open(&self, _: DeviceChoice) -> Result<Opened, String> {
        Ok(Opened {
            device: self.device.clone(),
            name: "a CPU".into(),
            on_gpu: self.device != cpu(),
            largest_tensor: None,
            cooperative: false,
            heldout_lines: heldout::LINES,
        })
    }

    fn seconds(&self) -> f64 {
        match &self.clock {
            Some((now, by)) => now.replace(now.get() + by),
            None => seconds(),
        }
    }

    fn free_memory(&self) -> Option<u64> {
        self.free.get()
    }

    /// Gives way once, to whoever waits for events.
    fn breathe(&self) -> impl Future<Output = ()> {
        let mut first = true;
        std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            match std::mem::take(&mut first) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
    }

    async fn claim(&self) -> Result<(), String> {
        match self.claimed {
            true => Err("another trains".into()),
            false => Ok(()),
        }
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.write()?;
        if self.used() + bytes.len() > self.quota {
            return Err(format!("{} bytes are full", self.quota));
        }
        let mut files = self.files.borrow_mut();
        files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.files.borrow().get(name).cloned())
    }

    async fn forget(&self) -> Result<(), String> {
        self.write()?;
        self.files.borrow_mut().clear();
        Ok(())
    }

    async fn space(&self) -> (u64, u64) {
        (self.used() as u64, self.quota as u64)
    }
}

/// An event, for whom it is, and its binary parts.
pub type Message = (To, Event, Vec<Vec<u8>>);

/// One who asks an engine and hears what it tells.
pub struct Asker {
    requests: UnboundedSender<Request>,
    reported: UnboundedReceiver<Message>,
}

impl Asker {
    /// Asks, as client 7.
    ///
    /// # Panics
    /// If the engine is gone.
    pub fn ask(&self, command: Command, blobs: Vec<Vec<u8>>) {
        let request = Request {
            client: 7,
            command,
            blobs,
        };
        let sent = self.requests.unbounded_send(request);
        sent.expect("the engine listens");
    }

    /// What is told up to an event that is waited for.
    ///
    /// # Panics
    /// If the engine ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Message> {
        let mut heard = Vec::new();
        loop {
            let reported = self.reported.next().await.expect("the engine goes on");
            let found = wanted(&reported.1);
            heard.push(reported);
            if found {
                return heard;
            }
        }
    }

    /// The next refusal.
    ///
    /// # Panics
    /// If the engine ends before.
    pub async fn refusal(&mut self) -> (Control, String) {
        let heard = self.until(|e| matches!(e, Event::Refused { .. })).await;
        match heard.into_iter().next_back() {
            Some((_, Event::Refused { control, message }, _)) => (control, message),
            other => panic!("{other:?}"),
        }
    }
}

/// Runs an engine while one talks to it.
pub async fn with_engine<T>(world: Memory, act: impl AsyncFnOnce(&mut Asker) -> T) -> T {
    let (requests, commands) = unbounded();
    let (tell, reported) = unbounded();
    let mut asker = Asker { requests, reported };
    let serving = serve(world, commands, move |to, event, blobs| {
        tell.unbounded_send((to, event, blobs)).ok();
    });
    let acting = async move {
        let result = act(&mut asker).await;
        // The engine ends when nobody can ask it any more.
        drop(asker.requests);
        result
    };
    join(serving, acting).await.1
}

/// Since the first call.
#[cfg(not(target_family = "wasm"))]
fn seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START
        .get_or_init(std::time::Instant::now)
        .elapsed()
        .as_secs_f64()
}

/// A browser's worker has no clock that std knows, and no test asks for the time there.
#[cfg(target_family = "wasm")]
fn seconds() -> f64 {
    0.0
}
