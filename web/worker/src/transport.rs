//! Messages between the page and this worker.

use futures_channel::mpsc::UnboundedSender;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use limbeck_engine::Request;
use limbeck_protocol::{Command, Control, Event, Message};
use wasm_bindgen::prelude::*;

use crate::js::{self, MessageEvent, scope};

/// Hands every command that comes to the engine.
pub fn listen(requests: UnboundedSender<Request>) {
    let receive = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        match request(&message.data()) {
            // Fails when the engine has ended, and with it this worker.
            Ok(request) => drop(requests.unbounded_send(request)),
            Err((control, message)) => post(Event::Refused { control, message }, &[]),
        }
    });
    scope().set_onmessage(receive.as_ref());
    // Lives as long as the worker.
    receive.forget();
}

/// Reports to the page that the worker accepts commands from now on.
pub fn ready() {
    scope().post_message(&js::text("ready"), &Array::new());
}

/// Sends an event to the page.
pub fn post(event: Event, blobs: &[Vec<u8>]) {
    let message = Array::of1(&encoded(event, blobs.len()));
    let transfer = Array::new();
    for blob in blobs {
        let buffer = Uint8Array::from(blob.as_slice()).buffer();
        message.push(&buffer);
        transfer.push(&buffer);
    }
    scope().post_message(&message, &transfer);
}

/// The text part of an event.
pub fn encoded(event: Event, blobs: usize) -> JsValue {
    let message = Message { body: event, blobs };
    match message.encode() {
        Ok(text) => js::text(&text),
        // A panic ends the engine with this text. It comes to that only by a mistake in the protocol's types.
        Err(error) => panic!("an event that cannot be sent: {error}"),
    }
}

fn request(data: &JsValue) -> Result<Request, (Control, String)> {
    let wrong = |message: String| (Control::Run, message);
    let shape = || wrong("received a malformed message: reload the page".to_owned());
    let parts = data.dyn_ref::<Array>().ok_or_else(shape)?;
    let text = parts.get(0).as_string().ok_or_else(shape)?;
    let message = Message::<Command>::decode(&text).map_err(|e| wrong(e.to_string()))?;
    let given = parts.length() as usize - 1;
    if given != message.blobs {
        let announced = message.blobs;
        return Err(wrong(format!(
            "a message announced {announced} binary parts but has {given}: reload the page"
        )));
    }
    let mut blobs = Vec::with_capacity(given);
    for part in parts.iter().skip(1) {
        let buffer = part.dyn_into::<ArrayBuffer>().map_err(|_| shape())?;
        let bytes = js::copied(&buffer).map_err(|size| too_large(&message.body, size))?;
        blobs.push(bytes);
    }
    Ok(Request {
        client: 0,
        command: message.body,
        blobs,
    })
}

fn too_large(command: &Command, bytes: usize) -> (Control, String) {
    let control = match command {
        Command::Teacher { .. } => Control::Teacher,
        Command::Texts { .. } => Control::Texts,
        Command::Checkpoint { .. } => Control::Checkpoint,
        _ => Control::Run,
    };
    let message = format!(
        "there is no memory for a file of {} MB: a page has 4 GB at most, and a run needs part of them. Take a smaller \
         file, or use `limbeck serve`, which computes outside the browser",
        bytes / 1_000_000
    );
    (control, message)
}
