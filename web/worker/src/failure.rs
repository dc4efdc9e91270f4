//! Failures that end the worker: a panic, no memory, a lost GPU. [`Event::Failing`] reports them to the page.

use std::cell::{Cell, RefCell};

use js_sys::{Array, Function, Reflect};
use limbeck_protocol::Event;
use wasm_bindgen::prelude::*;

use crate::js::scope;
use crate::transport;

const GO_ON: &str = "Resume from the last checkpoint.";
const LESS_GPU_MEMORY: &str = "If it happens again, use a smaller batch or shorter texts, close other tabs and programs \
    that use the GPU, or choose the CPU as the device.";
const NO_MEMORY: &str = "The engine was terminated, most likely because it ran out of memory: a page can use at most 4 GB, and \
    on a phone far less. If it happens again, use a smaller batch, shorter texts or a smaller teacher.";

/// Events of a worker that an exception which nobody caught ends in.
const UNCAUGHT: [&str; 2] = ["error", "unhandledrejection"];

thread_local! {
    static FAILED: Cell<bool> = const { Cell::new(false) };
    static LAST_WORDS: RefCell<Vec<Function>> = const { RefCell::new(Vec::new()) };
}

/// Reports to the page whatever ends this worker from now on.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        fail(reason_of_panic(&panic.to_string()));
    }));
    watch_aborts();
}

/// Reports to the page that the GPU is lost, and ends.
pub fn gpu_lost(message: &str) {
    let said = if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    };
    fail(format!("The GPU was lost{said}. {GO_ON} {LESS_GPU_MEMORY}"));
}

/// Reports to the page why the worker ends, and ends it. Only the first reason counts: others follow from it.
fn fail(reason: String) {
    if FAILED.replace(true) {
        return;
    }
    for listener in LAST_WORDS.take() {
        for event in UNCAUGHT {
            scope().remove_event_listener(event, &listener);
        }
    }
    transport::post(Event::Failing { reason }, &[]);
    scope().close();
}

/// An allocation that fails aborts without a panic, and no Rust can be trusted to run after it. So the message is made now,
/// and the listeners are the browser's own functions, bound to what they will need.
fn watch_aborts() {
    let reason = format!("{NO_MEMORY} {GO_ON}");
    let message = Array::of1(&transport::encoded(Event::Failing { reason }, 0));
    let scope = scope();
    let bound = |method: &str, arguments: &[&JsValue]| {
        let method = Reflect::get(&scope, &JsValue::from_str(method)).ok()?;
        let bind = Reflect::get(&method, &JsValue::from_str("bind")).ok()?;
        let all: Array = std::iter::once(scope.as_ref())
            .chain(arguments.iter().copied())
            .collect();
        let listener = bind
            .unchecked_into::<Function>()
            .apply(&method, &all)
            .ok()?;
        Some(listener.unchecked_into::<Function>())
    };
    let post = bound("postMessage", &[&message, &Array::new()]);
    let close = bound("close", &[]);
    let listeners: Vec<Function> = post.into_iter().chain(close).collect();
    for event in UNCAUGHT {
        for listener in &listeners {
            scope.add_event_listener(event, listener);
        }
    }
    LAST_WORDS.set(listeners);
}

fn reason_of_panic(panic: &str) -> String {
    let lower = panic.to_lowercase();
    if !panic.contains("wgpu error") {
        return format!(
            "The engine failed with an internal error ({panic}). {GO_ON} If it happens again, choose another device or \
             a smaller batch, and report it with this text."
        );
    }
    // burn's wgpu backend panics on every error that WebGPU reports outside of a call.
    if lower.contains("out of memory") || lower.contains("outofmemory") {
        format!("The GPU ran out of memory. {GO_ON} {LESS_GPU_MEMORY}")
    } else {
        format!("The GPU rejected a request of the engine ({panic}). {GO_ON} {LESS_GPU_MEMORY}")
    }
}
