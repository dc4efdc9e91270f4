//! The messages between a page and an engine: [`Command`]s in, [`Event`]s out.
//!
//! One protocol, two transports: a worker's messages and a WebSocket. On both a message is a text, the JSON of
//! [`Message`], and after it as many binary parts ("blobs") as the text announces: files of a model, texts, taps. A
//! worker's message is an array `[text, part, part, ...]` whose parts are transferred; a WebSocket sends a text frame and
//! then one binary frame a part.
#![warn(missing_docs)]

mod command;
mod event;
mod message;

pub use command::{Command, Export};
pub use event::{
    Adapter, Control, EngineInfo, EngineKind, Event, Figure, Found, Halt, Hit, RunInfo, RunState,
    SavedRun, Stage, TeacherInfo, TextInfo, before_use,
};
pub use message::{Message, WireError};

/// Version of the protocol. A page and an engine of different versions do not talk: the page reloads itself.
pub const VERSION: u32 = 7;
