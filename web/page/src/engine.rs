//! The way to an engine: a worker of this page, or `limbeck serve` over a WebSocket.

use js_sys::Uint8Array;
use limbeck_protocol::Command;

use crate::state::Page;

/// Connects a page to its engine.
pub fn connect(_page: Page) {}

/// Sends a command to the engine of this page; it waits while the engine is being started.
pub fn send(_command: Command, _blobs: Vec<Uint8Array>) {}
