//! The way to an engine: a worker of this page, or `limbeck serve` over a WebSocket.

mod parts;
mod restarts;
mod session;
mod socket;
mod worker;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use limbeck_protocol::{Command, Control, Event, Message, RunState, VERSION};
use restarts::Restarts;
use serde::Deserialize;
use session::{Facts, Goal, Next, Session};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Response, WebSocket, Worker};

use crate::state::{Connection, Page};

/// Set while the page reloads for another version, so that it does so once.
const RELOADED: &str = "limbeck-reloaded";

/// Where commands go.
enum Link {
    /// Nowhere: they wait.
    Closed,
    Worker(Worker),
    Socket(WebSocket),
}

struct Engine {
    page: Page,
    /// Fetches and sends the data at hand.
    provide: Rc<dyn Fn()>,
    native: bool,
    link: Link,
    waiting: Vec<(Command, Vec<Uint8Array>)>,
    /// Counts the engines of this page: what an earlier one still says is not heard.
    generation: u32,
    session: Session,
    restarts: Restarts,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Connects a page to its engine; `provide` fetches and sends the data at hand to one that has none.
pub fn connect(page: Page, provide: impl Fn() + 'static) {
    ENGINE.set(Some(Engine {
        page,
        provide: Rc::new(provide),
        native: false,
        link: Link::Closed,
        waiting: Vec::new(),
        generation: 0,
        session: Session::new(Goal::Provide),
        restarts: Restarts::default(),
    }));
    spawn_local(async {
        let native = is_native().await;
        with(|engine| engine.native = native);
        if native {
            socket::open();
        } else {
            worker::start().await;
        }
    });
}

/// Sends a command to the engine of this page; it waits while the engine is being started. The buffers of the blobs are
/// handed over: afterwards they are empty here.
pub fn send(command: Command, blobs: Vec<Uint8Array>) {
    with(|engine| engine.deliver(command, blobs));
}

/// Has the engine take up the saved run, which then goes on by itself or waits.
pub fn restore(goes_on: bool) {
    with(|engine| {
        engine.session.takes_up(goes_on);
        engine.deliver(Command::Restore, Vec::new());
    });
}

/// Starts an engine in place of one that has ended too often or could not be started.
pub fn start_again() {
    let native = with(|engine| {
        engine.restarts = Restarts::default();
        engine.page.connection.set(Connection::Loading(0, 0));
        engine.native
    });
    match native {
        Some(true) => socket::open(),
        Some(false) => spawn_local(worker::start()),
        None => {}
    }
}

/// Whether the engine is a program beside the browser; none before that is known.
pub fn native() -> Option<bool> {
    with(|engine| engine.native)
}

/// Fetches and sends the data at hand, after a saved run was not taken.
pub fn provide() {
    if let Some(provide) = with(|engine| engine.provide.clone()) {
        provide();
    }
}

fn with<T>(change: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    ENGINE.with_borrow_mut(|engine| engine.as_mut().map(change))
}

fn page() -> Option<Page> {
    with(|engine| engine.page)
}

impl Engine {
    fn deliver(&mut self, command: Command, blobs: Vec<Uint8Array>) {
        let message = Message {
            body: command,
            blobs: blobs.len(),
        };
        let sent = match (&self.link, message.encode()) {
            (Link::Closed, _) => {
                self.waiting.push((message.body, blobs));
                return;
            }
            (_, Err(error)) => {
                self.page.problem(Control::Run, error.to_string());
                return;
            }
            (Link::Worker(worker), Ok(text)) => worker::post(worker, &text, &blobs),
            (Link::Socket(socket), Ok(text)) => socket::post(socket, &text, &blobs),
        };
        if let Err(error) = sent {
            let what = format!(
                "the command could not be sent to the engine: {}",
                text_of(&error)
            );
            self.page.problem(Control::Run, what);
        }
    }

    /// An open link: greets first, then sends what has waited.
    fn open(&mut self, link: Link) {
        self.link = link;
        let since_step = self.page.with_run(|run| run.steps.last().map(|s| s.step));
        let since_step = since_step.flatten().unwrap_or(0);
        self.greet(since_step);
        for (command, blobs) in std::mem::take(&mut self.waiting) {
            self.deliver(command, blobs);
        }
    }

    fn greet(&mut self, since_step: u64) {
        self.session.greeting(since_step);
        let hello = Command::Hello {
            version: VERSION,
            since_step,
        };
        self.deliver(hello, Vec::new());
    }

    /// Leaves the present engine, and says what its successor is to do.
    fn close(&mut self) -> u32 {
        if let Link::Worker(worker) = &self.link {
            worker.terminate();
        }
        self.link = Link::Closed;
        let goal = match self.page.state.get_untracked() {
            // a program beside the browser goes on by itself
            _ if self.native => Goal::Provide,
            RunState::Idle => Goal::Provide,
            RunState::Running | RunState::Preparing => Goal::Restore { resume: true },
            RunState::Paused | RunState::Ended { .. } => Goal::Restore { resume: false },
        };
        // an engine that ended while it took a run up was to do what its successor is to do now
        self.session = Session::new(self.session.undone().unwrap_or(goal));
        self.generation += 1;
        self.generation
    }
}

/// Whether `engine.json` beside the page names the native engine; a plain folder of files has a worker.
async fn is_native() -> bool {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let read = async {
        let response = fetch("engine.json").await?;
        let text = JsFuture::from(response.text()?).await?;
        Ok::<_, JsValue>(text.as_string().unwrap_or_default())
    };
    let text = read.await.unwrap_or_default();
    serde_json::from_str::<Kind>(&text).is_ok_and(|kind| kind.kind == "native")
}

async fn fetch(url: &str) -> Result<Response, JsValue> {
    let response = JsFuture::from(window().fetch_with_str(url)).await?;
    let response: Response = response.dyn_into()?;
    if response.ok() {
        Ok(response)
    } else {
        Err(JsValue::from_str(&format!(
            "{url}: status {}",
            response.status()
        )))
    }
}

/// Takes in an event of the engine of a generation.
fn hear(generation: u32, event: Event, blobs: Vec<Uint8Array>) {
    let heard = with(|engine| {
        (engine.generation == generation).then(|| {
            let facts = Facts::of(&engine.page);
            (engine.page, engine.session.take(&event, &facts))
        })
    });
    let Some(Some((page, reaction))) = heard else {
        return;
    };
    if reaction.show {
        if matches!(event, Event::Hello { .. }) {
            greeted();
        }
        if matches!(event, Event::Sentence { .. }) {
            crate::recorded::finish(page);
        }
        page.apply(event, blobs);
    }
    match reaction.next {
        None => {}
        Some(Next::Provide) => provide(),
        Some(Next::Restore) => send(Command::Restore, Vec::new()),
        Some(Next::Resume) => send(Command::Resume, Vec::new()),
        Some(Next::GreetAnew) => {
            with(|engine| engine.greet(0));
        }
        Some(Next::OtherVersion(version)) => reload(page, version),
        Some(Next::Died(reason)) => worker::died(generation, &reason),
    }
}

fn reload(page: Page, version: u32) {
    let storage = window().session_storage().ok().flatten();
    let reloaded = storage
        .as_ref()
        .and_then(|storage| storage.get_item(RELOADED).ok().flatten())
        .is_some();
    if reloaded || storage.is_none() {
        let text = format!(
            "This page speaks version {VERSION} of the protocol, its engine version {version}. Close all tabs of this page \
             and open it again; if that does not help, clear the data of this site, or update limbeck."
        );
        page.announce(text.clone());
        page.connection.set(Connection::Impossible(text));
        return;
    }
    page.announce("The page and its engine have different versions, so the page reloads.");
    if let Some(storage) = storage {
        storage.set_item(RELOADED, "1").ok();
    }
    window().location().reload().ok();
}

/// A good greeting ends what `reload` remembers.
fn greeted() {
    if let Ok(Some(storage)) = window().session_storage() {
        storage.remove_item(RELOADED).ok();
    }
}

fn text_of(value: &JsValue) -> String {
    value
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{value:?}"), |e| String::from(e.message()))
}
