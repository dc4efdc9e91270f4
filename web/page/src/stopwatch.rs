//! How long a run has taken by the clock. The steps alone take less: evaluations, checkpoints and what the page asks for lie
//! between them.

/// Steps that must have been watched before their pace counts.
const ENOUGH: u64 = 3;

/// Measures the time in which a run computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stopwatch {
    /// Seconds until it was stopped last.
    spent: f64,
    /// When it was started, if it goes.
    since: Option<f64>,
    /// The last step before it was watched.
    from_step: u64,
}

impl Stopwatch {
    /// Of a run that has taken this step before anybody watched.
    pub fn at(step: u64) -> Self {
        Self {
            from_step: step,
            ..Self::default()
        }
    }

    /// Goes or rests from now on; `now` is in seconds.
    pub fn turn(&mut self, goes: bool, now: f64) {
        if let Some(since) = self.since.take() {
            self.spent += (now - since).max(0.0);
        }
        self.since = goes.then_some(now);
    }

    /// Seconds so far.
    pub fn seconds(&self, now: f64) -> f64 {
        self.spent + self.since.map_or(0.0, |since| (now - since).max(0.0))
    }

    /// The last step that was not watched.
    pub fn unwatched(&self) -> u64 {
        self.from_step
    }

    /// Seconds by the clock per second of the steps, from `watched` steps of so many seconds; at least 1.
    pub fn overhead(&self, now: f64, watched: u64, seconds: f64) -> f64 {
        if watched < ENOUGH || seconds <= 0.0 {
            return 1.0;
        }
        (self.seconds(now) / seconds).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Stopwatch;

    #[test]
    fn it_counts_only_while_a_run_computes() {
        let mut watch = Stopwatch::at(50);
        assert_eq!(watch.seconds(100.0), 0.0);
        watch.turn(true, 100.0);
        watch.turn(true, 110.0);
        assert_eq!(watch.seconds(129.0), 29.0);
        watch.turn(false, 129.0);
        assert_eq!((watch.seconds(500.0), watch.unwatched()), (29.0, 50));
        let overhead = watch.overhead(500.0, 30, 18.0);
        assert!((overhead - 29.0 / 18.0).abs() < 1e-12);
        assert_eq!(watch.overhead(500.0, 2, 18.0), 1.0, "too few steps");
        assert_eq!(watch.overhead(500.0, 30, 40.0), 1.0);
    }
}
