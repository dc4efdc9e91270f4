//! One page: its commands in, the engine's events out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use limbeck_protocol::{Command, Control, Event, Message};

use super::door::Visitor;
use super::hub::{Hub, Parcel, Seat};
use super::pulse::Pulse;

/// Bytes of one binary part: a part is whole in memory before the engine sees it.
const PART_BYTES: usize = 1 << 30;
/// Bytes of all parts of a message.
const MESSAGE_BYTES: usize = 4 << 30;
/// Parts of a message: files that were dropped at once, say.
const PARTS: usize = 4096;
/// How long a page may take to read why it is sent away.
const FAREWELL: Duration = Duration::from_secs(5);

/// Codes of RFC 6455 and its registry.
const RESTART: u16 = 1012;
const REFUSED: u16 = 1008;

/// Answers a request for `/engine`. The connection keeps its place as long as it is open.
pub fn open(upgrade: WebSocketUpgrade, hub: Arc<Hub>, visitor: Arc<Visitor>) -> Response {
    upgrade
        .max_message_size(PART_BYTES)
        .max_frame_size(PART_BYTES)
        .on_upgrade(async move |socket| converse(socket, &hub, visitor).await)
}

async fn converse(mut socket: WebSocket, hub: &Hub, visitor: Arc<Visitor>) {
    let mut seat = hub.join();
    let mut pulse = Pulse::of(visitor);
    let number = seat.number;
    if let Some((code, event)) = exchange(&mut socket, &mut seat, &mut pulse, hub).await {
        let farewell = say_farewell(&mut socket, code, event);
        // A page that does not read is left to itself.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
    hub.leave(number);
}

/// Runs until one side closes it or does not answer; returns the close message for the page, if it can still receive one.
async fn exchange(
    socket: &mut WebSocket,
    seat: &mut Seat,
    pulse: &mut Pulse,
    hub: &Hub,
) -> Option<(u16, Option<Event>)> {
    let cut = seat.cut.clone();
    let mut incoming = Incoming::default();
    loop {
        let outgoing = tokio::select! {
            () = cut.notified() => return None,
            is_there = pulse.beat() => match is_there {
                true => Outgoing::Ping,
                false => return None,
            },
            frame = socket.recv() => match incoming.take(frame?) {
                Ok(None) => continue,
                Ok(Some((command, blobs))) => match hub.ask(seat.number, command, blobs) {
                    true => continue,
                    false => return Some((RESTART, None)),
                },
                Err(message) => {
                    let control = Control::Run;
                    return Some((REFUSED, Some(Event::Refused { control, message })));
                }
            },
            parcel = seat.next() => match parcel {
                Some(parcel) => Outgoing::Parcel(parcel),
                None => return Some((RESTART, None)),
            },
        };
        tokio::select! {
            () = cut.notified() => return None,
            sent = send_while_taken(socket, outgoing, pulse) => sent?,
        }
    }
}

/// What a page is sent.
enum Outgoing {
    Parcel(Parcel),
    Ping,
}

/// None if the connection fails, or the other side takes nothing for too long.
async fn send_while_taken(
    socket: &mut WebSocket,
    outgoing: Outgoing,
    pulse: &mut Pulse,
) -> Option<()> {
    let mut sending = pin!(async {
        match outgoing {
            Outgoing::Parcel(parcel) => send(socket, parcel).await,
            Outgoing::Ping => socket.send(Frame::Ping(Bytes::new())).await,
        }
    });
    loop {
        tokio::select! {
            sent = &mut sending => return sent.ok(),
            is_there = pulse.beat_while_sending() => is_there.then_some(())?,
        }
    }
}

async fn send(socket: &mut WebSocket, parcel: Parcel) -> Result<(), axum::Error> {
    socket.send(Frame::Text(parcel.text)).await?;
    for blob in parcel.blobs.iter() {
        socket.send(Frame::Binary(blob.clone())).await?;
    }
    Ok(())
}

async fn say_farewell(
    socket: &mut WebSocket,
    code: u16,
    event: Option<Event>,
) -> Result<(), axum::Error> {
    if let Some(parcel) = event.and_then(|event| Parcel::new(event, Vec::new())) {
        send(socket, parcel).await?;
    }
    let reason = "".into();
    let close = CloseFrame { code, reason };
    socket.send(Frame::Close(Some(close))).await
}

/// A command with its binary parts.
type Complete = (Command, Vec<Vec<u8>>);

/// A message of a page that is not complete yet.
#[derive(Default)]
struct Incoming {
    command: Option<Command>,
    announced: usize,
    blobs: Vec<Vec<u8>>,
    bytes: usize,
}

impl Incoming {
    /// Takes a frame; gives the message that it completes.
    ///
    /// # Errors
    /// A text for people; nothing after it can be made sense of.
    fn take(&mut self, frame: Result<Frame, axum::Error>) -> Result<Option<Complete>, String> {
        match frame {
            Ok(Frame::Text(text)) => self.begin(&text)?,
            Ok(Frame::Binary(part)) => self.add(part)?,
            Ok(_) => return Ok(None),
            Err(error) => {
                return Err(format!(
                    "a message cannot be read ({error}); a file may have up to {PART_BYTES} bytes"
                ));
            }
        }
        if self.blobs.len() < self.announced {
            return Ok(None);
        }
        let Self { command, blobs, .. } = std::mem::take(self);
        Ok(command.map(|command| (command, blobs)))
    }

    fn begin(&mut self, text: &str) -> Result<(), String> {
        if self.command.is_some() {
            return Err(format!(
                "a message announced {} binary parts, and another message came after {}; reload the page",
                self.announced,
                self.blobs.len()
            ));
        }
        let message = Message::<Command>::decode(text).map_err(|e| e.to_string())?;
        if message.blobs > PARTS {
            return Err(format!(
                "a message announces {} files; up to {PARTS} can be taken at once",
                message.blobs
            ));
        }
        self.command = Some(message.body);
        self.announced = message.blobs;
        Ok(())
    }

    fn add(&mut self, part: Bytes) -> Result<(), String> {
        if self.command.is_none() {
            return Err(
                "a binary part came that no message had announced; reload the page".to_owned(),
            );
        }
        self.bytes += part.len();
        if self.bytes > MESSAGE_BYTES {
            return Err(format!(
                "the files of a message have more than {MESSAGE_BYTES} bytes together"
            ));
        }
        self.blobs.push(part.into());
        Ok(())
    }
}
