//! The page as a person uses it, in a headless browser: on a static host and from `limbeck serve`.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod bad_input;
mod distilling;
mod everyday;
mod everywhere;
mod first_screen;
mod nothing_is_lost;
mod relations;
mod teaching;

use tokio::sync::Mutex;

/// Two browsers at once would only wait for each other.
static ONE: Mutex<()> = Mutex::const_new(());

/// A run that is over in seconds, dropout and all.
const QUICK: &str = "v=1&preset=tiny&steps=24&batch=4&max_length=16&checkpoint_every=8&heldout=0.0008&device=cpu\
    &student.hidden=32&student.heads=2&student.dropout=0.1&learning_rate=0.002";

/// The same, long enough to be interrupted.
const LONG: &str = "v=1&preset=tiny&steps=300&batch=4&max_length=16&checkpoint_every=50&heldout=0.0008&device=cpu\
    &student.hidden=32&student.heads=2&student.dropout=0.1&learning_rate=0.002";
