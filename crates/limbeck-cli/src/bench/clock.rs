//! How long a call takes: warm, several calls and one wait, and the median of repeats.

use std::time::Instant;

/// Seconds that a repeat takes at least: beside it a wait and the clock are little.
const REPEAT: f64 = 0.02;
/// Calls of a repeat at the most.
const MOST_CALLS: f64 = 1000.0;
/// Repeats at the most.
const MOST_REPEATS: usize = 9;

/// How long a measurement may go on once there is something to tell.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// Seconds, the first calls included.
    pub seconds: f64,
    /// Whether anybody still wants more.
    pub go_on: &'a dyn Fn() -> bool,
}

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Of one call: the median of the repeats.
    pub seconds: f64,
    /// Calls of a repeat.
    pub calls: usize,
    /// Repeats.
    pub repeats: usize,
}

/// Times a call whose work is done when `wait` returns. The first call compiles what it needs, and does not count.
///
/// # Errors
/// The first error of either.
pub fn timed<E>(
    patience: Patience<'_>,
    mut call: impl FnMut() -> Result<(), E>,
    mut wait: impl FnMut() -> Result<(), E>,
) -> Result<Timed, E> {
    let begin = Instant::now();
    let mut repeat = |calls: usize| {
        let start = Instant::now();
        (0..calls).try_for_each(|_| call())?;
        wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let goes_on = |last: f64| {
        let left = patience.seconds - begin.elapsed().as_secs_f64();
        last <= left && (patience.go_on)()
    };
    repeat(1)?;
    let mut calls = 1;
    let mut last = repeat(calls)?;
    while last < REPEAT / 2.0 && (calls as f64) < MOST_CALLS && goes_on(REPEAT) {
        let more = (REPEAT / last).clamp(2.0, 16.0);
        calls = (calls as f64 * more).min(MOST_CALLS) as usize;
        last = repeat(calls)?;
    }
    let mut seconds = vec![last / calls as f64];
    while seconds.len() < MOST_REPEATS && goes_on(last) {
        last = repeat(calls)?;
        seconds.push(last / calls as f64);
    }
    Ok(Timed {
        repeats: seconds.len(),
        seconds: median(seconds),
        calls,
    })
}

/// The value in the middle; of an even number of them the larger of the two there.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
