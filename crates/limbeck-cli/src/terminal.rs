//! Messages for whoever sits at the terminal, if anybody does.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, WeakProgressBar};

/// The bars that there are, the newest last: one is shown while another waits.
static BARS: Mutex<Vec<WeakProgressBar>> = Mutex::new(Vec::new());

/// From now on lines stand above this bar whenever it is shown.
pub fn show(bar: &ProgressBar) {
    let mut bars = BARS.lock().unwrap_or_else(PoisonError::into_inner);
    bars.retain(|bar| bar.upgrade().is_some());
    bars.push(bar.downgrade());
}

/// The newest bar that is on the terminal.
fn shown() -> Option<ProgressBar> {
    let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bars = bars.iter().rev().filter_map(WeakProgressBar::upgrade);
    bars.find(|bar| !bar.is_hidden() && !bar.is_finished())
}

/// A text in which nothing that it quotes of a file commands a terminal.
pub fn harmless(text: impl Display) -> String {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.to_string().replace(commands, "\u{fffd}")
}

/// Writes a line to standard error, above the bar. Nothing becomes of it if it cannot be written: a closed terminal, a reader that has
/// gone or a full disk is no reason to end a run, as `eprintln!` would. See [`harmless`], too.
pub fn say(text: impl Display) {
    let text = harmless(text);
    match shown() {
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

/// Rows of as many cells each, in columns: the first to the left, the others to the right.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
