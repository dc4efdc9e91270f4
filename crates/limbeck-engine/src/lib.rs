//! A run that is driven by commands and told in events, wherever it computes and stores.
//!
//! ```text
//! page --Command--> [worker: messages | serve: WebSocket] --> Engine --Event--> page
//! ```
//!
//! The engine knows no DOM, socket or file system: its [`World`] opens devices and keeps files for it.
#![warn(missing_docs)]

mod world;

pub use world::{Opened, World};

use futures_channel::mpsc::UnboundedReceiver;
use limbeck_protocol::{Command, Event};

/// A command with its binary parts.
pub struct Request {
    /// Who asks: the number of a connection.
    pub client: u64,
    /// What.
    pub command: Command,
    /// Its binary parts.
    pub blobs: Vec<Vec<u8>>,
}

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every connection.
    All,
    /// The one that asked.
    One(u64),
}

/// Serves commands until no sender of them is left. `tell` hands events to the transport.
pub async fn serve<W: World>(
    world: W,
    requests: UnboundedReceiver<Request>,
    tell: impl FnMut(To, Event, Vec<Vec<u8>>),
) {
    let _ = (world, requests, tell);
}
