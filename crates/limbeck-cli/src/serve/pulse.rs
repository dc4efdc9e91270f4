//! Whether the other side of a WebSocket is still there: a laptop that sleeps and a browser that hangs close nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::door::Visitor;

/// How often a ping is sent. Browsers answer by themselves, however busy the page is.
const BEAT: Duration = Duration::from_secs(10);
/// Beats without a byte from a page after which it counts as gone.
const SILENT_BEATS: u32 = 4;

/// Looks at every beat whether bytes went through.
pub struct Pulse {
    visitor: Arc<Visitor>,
    beats: Interval,
    read: u64,
    written: u64,
    silent: u32,
}

impl Pulse {
    /// Of this connection, from now on.
    pub fn of(visitor: Arc<Visitor>) -> Self {
        let mut beats = interval_at(Instant::now() + BEAT, BEAT);
        // A machine that slept must not count its beats at once.
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            beats,
            read: visitor.read(),
            written: visitor.written(),
            visitor,
            silent: 0,
        }
    }

    /// Waits for the next beat, while nothing is sent. False if the other side counts as gone; otherwise it is to be sent a
    /// ping, so that it has something to answer.
    pub async fn beat(&mut self) -> bool {
        self.beats.tick().await;
        self.hears(false)
    }

    /// The same while a message is being sent, which may take minutes: then it is enough that the other side takes bytes.
    pub async fn beat_while_sending(&mut self) -> bool {
        self.beats.tick().await;
        self.hears(true)
    }

    fn hears(&mut self, sending: bool) -> bool {
        let (read, written) = (self.visitor.read(), self.visitor.written());
        let is_silent = read == self.read && !(sending && written != self.written);
        self.silent = if is_silent { self.silent + 1 } else { 0 };
        (self.read, self.written) = (read, written);
        self.silent < SILENT_BEATS
    }
}
