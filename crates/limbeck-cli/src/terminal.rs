//! Messages for whoever sits at the terminal, if anybody does.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, WeakProgressBar};

/// The bar that is shown, if one is.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// From now on lines stand above this bar, as long as it is shown.
pub fn show(bar: &ProgressBar) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

/// Writes a line to standard error, above the bar. Nothing becomes of it if it cannot be written: a closed terminal, a reader that has
/// gone or a full disk is no reason to end a run, as `eprintln!` would. What a message quotes of a file commands no terminal.
pub fn say(text: impl Display) {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let text = text.to_string().replace(commands, "\u{fffd}");
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let bar = bar.and_then(|bar| bar.upgrade());
    match bar.filter(|bar| !bar.is_hidden() && !bar.is_finished()) {
        Some(bar) => bar.println(text),
        None => {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// Writes a line to standard output, under the same rule.
pub fn print(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
