//! `limbeck serve` over a WebSocket. The run goes on there while the connection is lost.

use std::cell::{Cell, RefCell};

use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, Event, MessageEvent, WebSocket};

use super::parts::Parts;
use super::{Link, hear, page, restarts, text_of, with};
use crate::state::Connection;

thread_local! {
    /// Tries since the last one that succeeded.
    static TRIES: Cell<u32> = const { Cell::new(0) };
}

/// Opens a connection, and another one when it is lost.
pub fn open() {
    let Some(generation) = with(super::Engine::close) else {
        return;
    };
    match socket(generation) {
        Ok(()) => {}
        Err(error) => lost(generation, &text_of(&error)),
    }
}

/// Sends a message.
///
/// # Errors
/// The browser refuses.
pub fn post(socket: &WebSocket, text: &str, blobs: &[Uint8Array]) -> Result<(), JsValue> {
    socket.send_with_str(text)?;
    blobs
        .iter()
        .try_for_each(|blob| socket.send_with_js_u8_array(blob))
}

/// The address carries the token of the page's own, if there is one.
fn address() -> Result<String, JsValue> {
    let location = window().location();
    let secure = location.protocol()? == "https:";
    let scheme = if secure { "wss" } else { "ws" };
    let (host, query) = (location.host()?, location.search()?);
    Ok(format!("{scheme}://{host}/engine{query}"))
}

fn socket(generation: u32) -> Result<(), JsValue> {
    let socket = WebSocket::new(&address()?)?;
    socket.set_binary_type(BinaryType::Arraybuffer);
    let opened = socket.clone();
    // closures are few: one set a connection, so they are not freed
    let on_open = Closure::<dyn FnMut()>::new(move || {
        TRIES.set(0);
        with(|engine| {
            if engine.generation == generation {
                engine.open(Link::Socket(opened.clone()));
            }
        });
    });
    let parts = RefCell::new(Parts::default());
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let data = message.data();
        let whole = match (data.as_string(), data.dyn_into::<ArrayBuffer>()) {
            (Some(text), _) => parts.borrow_mut().text(&text),
            (None, Ok(buffer)) => Ok(parts.borrow_mut().blob(Uint8Array::new(&buffer))),
            (None, Err(_)) => Ok(None),
        };
        match (whole, page()) {
            (Ok(Some((event, blobs))), _) => hear(generation, event, blobs),
            (Err(error), Some(page)) => page.announce(error.to_string()),
            _ => {}
        }
    });
    let on_close = Closure::<dyn FnMut(Event)>::new(move |_| {
        let why = "The connection to limbeck serve is lost; trying again. A run continues there. If the program has ended, \
                   start it again and open the link that it prints.";
        lost(generation, why);
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
    on_open.forget();
    on_message.forget();
    on_close.forget();
    Ok(())
}

fn lost(generation: u32, why: &str) {
    let current = with(|engine| {
        (engine.generation == generation).then(|| {
            engine.link = Link::Closed;
            engine.page
        })
    });
    let Some(Some(page)) = current else {
        return;
    };
    let tries = TRIES.replace(TRIES.get().saturating_add(1));
    if tries == 0 {
        page.announce(why);
    }
    page.connection.set(Connection::Lost(why.to_owned()));
    set_timeout(open, restarts::pause(tries));
}
