//! How often an engine may be started again, and how long to wait.

use std::time::Duration;

const RESTARTS: usize = 3;
const WITHIN_SECONDS: f64 = 120.0;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long nothing may be heard of an engine that is fetched or started. A start takes a second or two once the code is
/// here; a phone may need ten.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The last restarts, in seconds of any clock.
#[derive(Default)]
pub struct Restarts(Vec<f64>);

impl Restarts {
    /// Whether another restart is sensible now; it is counted.
    pub fn allow(&mut self, now: f64) -> bool {
        self.0.retain(|at| now - at < WITHIN_SECONDS);
        self.0.push(now);
        self.0.len() <= RESTARTS
    }
}

/// The pause before try number `tries` (from 0) to connect.
pub fn pause(tries: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << tries.min(10))
        .min(LONGEST_PAUSE)
}

/// How long a worker may take to start whose code took `fetched` to come: a browser that keeps nothing fetches it again.
pub fn start_limit(fetched: Duration) -> Duration {
    PATIENCE.saturating_add(fetched)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Restarts, pause, start_limit};

    #[test]
    fn a_slow_link_may_be_slow_twice() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(start_limit(Duration::ZERO), minutes(1));
        assert_eq!(start_limit(minutes(10)), minutes(11));
    }

    #[test]
    fn three_restarts_within_two_minutes() {
        let mut restarts = Restarts::default();
        assert!(restarts.allow(0.0) && restarts.allow(10.0) && restarts.allow(20.0));
        assert!(!restarts.allow(30.0));
        assert!(restarts.allow(160.0), "the earlier ones are long ago");
    }

    #[test]
    fn pauses_grow_to_ten_seconds() {
        let pauses: Vec<_> = (0..6).map(|tries| pause(tries).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(pause(u32::MAX), Duration::from_secs(10));
    }
}
