//! Figures of a run, from its steps; and how figures are written.

use limbeck_recipe::Step;

use crate::stopwatch::Stopwatch;

/// Steps that a speed is the mean of.
const RECENT: usize = 20;

/// What the steps of a run tell of its pace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Real tokens a second, over the last steps; the compilation of shaders is in no step.
    pub tokens_a_second: f64,
    /// Seconds until the last step.
    pub left: f64,
    /// Seconds by the clock, as far as the page has seen the run; those of the steps before.
    pub elapsed: f64,
}

/// The pace of a run of `of` steps at a time of the page's clock; none before its first.
pub fn pace(steps: &[Step], of: u64, watch: &Stopwatch, now: f64) -> Option<Pace> {
    let last = steps.last()?;
    let first = steps.partition_point(|step| step.step <= watch.unwatched());
    let (before, watched) = steps.split_at(first);
    let sum = |steps: &[Step]| steps.iter().map(|step| step.seconds).sum::<f64>();
    let (before, counted) = (sum(before), sum(watched));
    let overhead = watch.overhead(now, watched.len() as u64, counted);
    let recent = &steps[steps.len().saturating_sub(RECENT)..];
    let seconds: f64 = recent.iter().map(|step| step.seconds).sum();
    let tokens: u64 = recent.iter().map(|step| step.tokens).sum();
    let mean = seconds / recent.len() as f64;
    Some(Pace {
        tokens_a_second: if seconds > 0.0 {
            tokens as f64 / seconds
        } else {
            0.0
        },
        left: mean * overhead * of.saturating_sub(last.step) as f64,
        elapsed: before + watch.seconds(now).max(counted),
    })
}

/// Three figures or so: 1.234, 0.01234, 1.2e-6.
pub fn figure(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return "not a number".into();
    }
    if number == 0.0 {
        "0".into()
    } else if size < 1e-3 {
        format!("{number:.2e}")
    } else if size < 0.1 {
        format!("{number:.4}")
    } else if size < 10.0 {
        format!("{number:.3}")
    } else {
        format!("{number:.1}")
    }
}

/// Seconds as people say them: 8 s, 3 min 20 s, 2 h 5 min.
pub fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, 0) if seconds > 0.0 => "under 1 s".into(),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Whole percents of a run: 99 until its last step is taken.
pub fn percent(done: u64, of: u64) -> u64 {
    done.min(of) * 100 / of.max(1)
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Step;

    use super::{figure, pace, percent, time};
    use crate::examples;
    use crate::stopwatch::Stopwatch;

    fn step(step: u64, seconds: f64) -> Step {
        examples::step(step, 1.0, seconds)
    }

    #[test]
    fn the_pace_is_that_of_the_last_steps() {
        let slow = (1..=20).map(|n| step(n, 10.0));
        let fast = (21..=40).map(|n| step(n, 0.5));
        let steps: Vec<_> = slow.chain(fast).collect();
        let watch = Stopwatch::default();
        let pace = pace(&steps, 100, &watch, 0.0).expect("steps");
        assert!((pace.tokens_a_second - 200.0).abs() < 1e-9);
        assert!((pace.left - 30.0).abs() < 1e-9 && (pace.elapsed - 210.0).abs() < 1e-9);
        assert_eq!(super::pace(&[], 100, &watch, 0.0), None);
    }

    #[test]
    fn what_lies_between_the_steps_counts() {
        let steps: Vec<_> = (1..=24).map(|n| step(n, 0.75)).collect();
        let mut watch = Stopwatch::at(0);
        watch.turn(true, 0.0);
        let pace = pace(&steps, 48, &watch, 29.0).expect("steps");
        assert_eq!(time(pace.elapsed), "29 s");
        assert_eq!(time(pace.left), "29 s");
        let resumed = Stopwatch::at(12);
        let pace = super::pace(&steps, 48, &resumed, 29.0).expect("steps");
        assert_eq!(time(pace.elapsed), "18 s");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(
            [6e-4, 0.0123, 1.23456, 23.456, 0.0].map(figure),
            ["6.00e-4", "0.0123", "1.235", "23.5", "0"]
        );
        assert_eq!(
            [0.2, 8.0, 200.0, 7500.0].map(time),
            ["under 1 s", "8 s", "3 min 20 s", "2 h 5 min"]
        );
        assert_eq!((percent(999, 1000), percent(7, 0)), (99, 0));
    }
}
