//! The time of every stage of the gate.

use std::fmt;
use std::time::{Duration, Instant};

use crate::shell::Result;

/// Stages that run in the order of their names, each timed.
pub struct Stages {
    names: &'static [&'static str],
    done: Vec<(Duration, bool)>,
}

impl Stages {
    /// Names the stages; none has run.
    pub fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            done: Vec::new(),
        }
    }

    /// Runs the next stage and notes its time, also when it fails.
    pub fn run<T>(&mut self, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!(
            "\n== {} ==",
            self.names.get(self.done.len()).unwrap_or(&"?")
        );
        let start = Instant::now();
        let outcome = stage();
        self.done.push((start.elapsed(), outcome.is_ok()));
        outcome
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<14}{:>10}  outcome", "stage", "time")?;
        for (place, name) in self.names.iter().enumerate() {
            match self.done.get(place) {
                Some((time, passed)) => {
                    let outcome = if *passed { "passed" } else { "FAILED" };
                    writeln!(f, "{name:<14}{:>10}  {outcome}", clock(*time))?;
                }
                None => writeln!(f, "{name:<14}{:>10}  not run", "-")?,
            }
        }
        let total = self.done.iter().map(|(time, _)| *time).sum();
        writeln!(f, "{:<14}{:>10}", "total", clock(total))
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    format!(
        "{}:{:02}.{} min",
        tenths / 600,
        tenths / 10 % 60,
        tenths % 10
    )
}

#[cfg(test)]
mod tests {
    use super::{Stages, clock};
    use crate::shell::Error;
    use std::time::Duration;

    #[test]
    fn the_table_tells_passed_failed_and_not_run_apart() {
        let mut stages = Stages::new(&["first", "second", "third"]);
        assert!(stages.run(|| Ok(7)).is_ok_and(|value| value == 7));
        assert!(
            stages
                .run(|| Err::<(), _>(Error::Wrong("no".to_owned())))
                .is_err()
        );
        let table = stages.to_string();
        let outcome = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit("  ").next())
                .map(str::to_owned)
        };
        assert_eq!(outcome("first").as_deref(), Some("passed"));
        assert_eq!(outcome("second").as_deref(), Some("FAILED"));
        assert_eq!(outcome("third").as_deref(), Some("not run"));
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_millis(65_432)), "1:05.4 min");
        assert_eq!(clock(Duration::from_secs(3_600)), "60:00.0 min");
    }
}
