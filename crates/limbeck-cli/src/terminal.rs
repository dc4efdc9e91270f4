//! Messages for whoever sits at the terminal, if anybody does.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error. Nothing becomes of it if it cannot be written: a closed terminal, a reader that has
/// gone or a full disk is no reason to end a run, as `eprintln!` would.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes a line to standard output, under the same rule.
pub fn print(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
