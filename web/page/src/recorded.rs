//! A recorded run that plays while the engine loads.

use crate::state::Page;

/// Plays the recorded run until a real one begins.
pub fn play(_page: Page) {}
