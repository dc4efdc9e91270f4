//! The engine as a worker of this page: started, watched, and started again when it ends.

use std::cell::Cell;
use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Date, Math, Promise, Reflect, Uint8Array};
use leptos::prelude::*;
use limbeck_protocol::{Control, Event, Message, RunState};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    ErrorEvent, MessageEvent, ReadableStreamDefaultReader, Response, Worker, WorkerOptions,
    WorkerType,
};

use super::restarts::{PATIENCE, start_limit};
use super::{Link, fetch, hear, page, text_of, with};
use crate::state::{Connection, Page};

/// The script that starts the worker, unless the page names another.
const LOADER: &str = "./worker_loader.js";

#[wasm_bindgen]
extern "C" {
    // web-sys has web locks as unstable only
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, held: &JsValue) -> Result<Promise, JsValue>;
}

thread_local! {
    /// How long the code took to come.
    static FETCHED: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Starts a worker in place of any before.
pub async fn start() {
    let (Some(generation), Some(page)) = (with(super::Engine::close), page()) else {
        return;
    };
    let fetched = match FETCHED.get() {
        Some(time) => time,
        None => {
            let begun = Date::now();
            // a failure is no matter: the loader has the same, and reports what is wrong
            if let Ok(Fetched::Stalled) = fetch_code(page).await {
                let patience = PATIENCE.as_secs();
                impossible(
                    page,
                    &format!("its download made no progress for {patience} s"),
                );
                return;
            }
            let time = Duration::from_secs_f64((Date::now() - begun).max(0.0) / 1000.0);
            FETCHED.set(Some(time));
            time
        }
    };
    let lock = format!(
        "limbeck-engine-{:x}",
        (Math::random() * 2f64.powi(52)) as u64
    );
    let loader = named("limbeck-worker").unwrap_or_else(|| LOADER.into());
    let joint = if loader.contains('?') { '&' } else { '?' };
    let url = format!("{loader}{joint}lock={lock}");
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    match Worker::new_with_options(&url, &options) {
        Ok(worker) => listen(&worker, generation, lock, start_limit(fetched)),
        Err(error) => impossible(page, &text_of(&error)),
    }
}

/// Sends a message; its buffers are handed over.
///
/// # Errors
/// The browser refuses: a buffer was handed over before.
pub fn post(worker: &Worker, text: &str, blobs: &[Uint8Array]) -> Result<(), JsValue> {
    let (message, transfer) = (Array::of1(&text.into()), Array::new());
    for blob in blobs {
        let whole = blob.byte_length() == blob.buffer().byte_length();
        let buffer = if whole {
            blob.buffer()
        } else {
            // a view of something larger, which is not ours to hand over
            blob.slice(0, blob.length()).buffer()
        };
        message.push(&buffer);
        transfer.push(&buffer);
    }
    worker.post_message_with_transfer(&message, &transfer)
}

/// An engine has ended, or is about to: another one goes on.
pub fn died(generation: u32, reason: &str) {
    let next = with(|engine| {
        (engine.generation == generation).then(|| {
            engine.close();
            let again = engine.restarts.allow(Date::now() / 1000.0);
            (engine.page, again)
        })
    });
    let Some(Some((page, again))) = next else {
        return;
    };
    if !again {
        let text = format!("{reason} It has stopped four times within two minutes.");
        page.announce(text.clone());
        page.connection.set(Connection::Impossible(text));
        return;
    }
    let had_a_run = !matches!(page.state.get_untracked(), RunState::Idle);
    let then = if had_a_run {
        "The engine has been restarted, and the run continues from its last checkpoint, if there is one."
    } else {
        "The engine has been restarted."
    };
    page.problem(Control::Run, format!("{reason} {then}"));
    page.connection.set(Connection::Lost(reason.to_owned()));
    leptos::task::spawn_local(start());
}

fn listen(worker: &Worker, generation: u32, lock: String, limit: Duration) {
    let ready = std::rc::Rc::new(Cell::new(false));
    let (source, is_ready) = (worker.clone(), ready.clone());
    // closures are few: one set a worker, so they are not freed
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let data = message.data();
        if data.as_string().as_deref() == Some("ready") {
            is_ready.set(true);
            let opened = with(|engine| {
                let current = engine.generation == generation;
                if current {
                    engine.open(Link::Worker(source.clone()));
                }
                current
            });
            if opened == Some(true) {
                watch(&lock, generation);
            } else {
                source.terminate();
            }
        } else if let Ok(array) = data.dyn_into::<Array>() {
            receive(&array, generation);
        }
    });
    let was_ready = ready.clone();
    let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |error: ErrorEvent| {
        error.prevent_default();
        failed(generation, was_ready.get(), &error);
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    on_message.forget();
    on_error.forget();
    set_timeout(
        move || {
            let waits = with(|engine| engine.generation == generation) == Some(true);
            if let (true, false, Some(page)) = (waits, ready.get(), page()) {
                let text = format!("it did not answer for {} s", limit.as_secs());
                impossible(page, &text);
            }
        },
        limit,
    );
}

/// The worker holds the lock for life, so whoever gets it next knows that the worker is dead.
fn watch(lock: &str, generation: u32) {
    let got = Closure::once_into_js(move || {
        died(
            generation,
            "The engine stopped unexpectedly, perhaps because it ran out of memory: try a smaller batch, shorter sequences \
             or a smaller student, and close other tabs.",
        );
    });
    // without web locks (an insecure address) a death is noticed only if the worker tells
    if let Ok(promise) = request_lock(lock, &got) {
        leptos::task::spawn_local(async move {
            JsFuture::from(promise).await.ok();
        });
    }
}

fn receive(message: &Array, generation: u32) {
    let text = message.get(0).as_string().unwrap_or_default();
    let blobs = message.iter().skip(1);
    let blobs = blobs
        .filter_map(|part| part.dyn_into::<ArrayBuffer>().ok())
        .map(|buffer| Uint8Array::new(&buffer))
        .collect();
    match (Message::<Event>::decode(&text), page()) {
        (Ok(message), _) => hear(generation, message.body, blobs),
        (Err(error), Some(page)) => page.problem(Control::Run, error.to_string()),
        (Err(_), None) => {}
    }
}

fn failed(generation: u32, was_ready: bool, error: &ErrorEvent) {
    let current = with(|engine| engine.generation == generation) == Some(true);
    let Some(page) = page().filter(|_| current) else {
        return;
    };
    // a script that cannot be loaded has an event without a message
    let what = Some(error.message()).filter(|text| !text.is_empty() && text != "undefined");
    let what = what.unwrap_or_else(|| "its script could not be loaded".into());
    if was_ready {
        died(generation, &format!("The engine failed ({what})."));
    } else {
        impossible(page, &what);
    }
}

fn impossible(page: Page, what: &str) {
    let text = format!(
        "The engine could not be started: {what}. It needs a browser from 2023 or later (Chrome or Edge 113, Firefox 114, Safari \
         16.4) and an address that starts with https:// or http://localhost. You can still watch the recorded run."
    );
    page.announce(text.clone());
    page.connection.set(Connection::Impossible(text));
}

/// What became of fetching the worker's code.
enum Fetched {
    /// It is in the browser's cache, where the loader finds it, or it is not known where it is.
    Whole,
    /// Nothing came for [`PATIENCE`].
    Stalled,
}

/// Fetches the worker's code, and says how much of it is here. There is no limit but that of the pause between two bytes.
async fn fetch_code(page: Page) -> Result<Fetched, JsValue> {
    let Some(url) = named("limbeck-worker-wasm") else {
        return Ok(Fetched::Whole);
    };
    let response = future_to_promise(async move { Ok(fetch(&url).await?.into()) });
    let Some(response) = soon(response).await? else {
        return Ok(Fetched::Stalled);
    };
    let response: Response = response.dyn_into()?;
    let total = named("limbeck-worker-bytes").and_then(|bytes| bytes.parse().ok());
    let total: u64 = total.unwrap_or(0);
    let Some(body) = response.body() else {
        return Ok(Fetched::Whole);
    };
    let reader: ReadableStreamDefaultReader = body.get_reader().dyn_into()?;
    let mut done = 0;
    loop {
        let Some(chunk) = soon(reader.read()).await? else {
            // what may still come is of no use to anybody
            let _ = reader.cancel();
            return Ok(Fetched::Stalled);
        };
        if Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(Fetched::Whole);
        }
        let value: Uint8Array = Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        done += u64::from(value.length());
        page.connection.set(Connection::Loading(done, total));
    }
}

/// What a promise gives; none if that is nothing for [`PATIENCE`].
async fn soon(promise: Promise) -> Result<Option<JsValue>, JsValue> {
    let milliseconds = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
    let late = Promise::new(&mut |resolve, _| {
        // without a clock there is no limit
        let _ =
            window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
    });
    let first = JsFuture::from(Promise::race(&Array::of2(&promise, &late))).await?;
    Ok(Some(first).filter(|first| !first.is_undefined()))
}

/// What `<meta name=... content=...>` of the page says.
fn named(name: &str) -> Option<String> {
    let meta = document().query_selector(&format!("meta[name={name}]"));
    let content = meta.ok().flatten()?.get_attribute("content")?;
    Some(content).filter(|content| !content.is_empty())
}
