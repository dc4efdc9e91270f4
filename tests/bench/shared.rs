//! What the benchmarks share: flags, figures for people, and the peers in PyTorch.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cpu::threads;

/// What follows a flag.
pub fn option<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|a| a == flag)?;
    arguments.get(at + 1).map(String::as_str)
}

/// The number that follows a flag.
pub fn number(arguments: &[String], flag: &str, default: usize) -> usize {
    option(arguments, flag).map_or(default, |n| n.parse().expect("a number"))
}

/// What a machine that others use too comes closest to the truth with.
pub fn least(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// Rounded to so many decimals, for people who read the JSON.
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit
}

/// What a script of `tests/peer` prints, on as many threads as we have, if a Python with torch is found: `LIMBECK_PYTHON`,
/// or `python3`.
pub fn pytorch(script: &str, arguments: &[(&str, String)]) -> Option<Value> {
    let python =
        std::env::var_os("LIMBECK_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peer")
        .join(script);
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(["--threads", &threads().to_string()]);
    // Otherwise its threads spin while they wait, and with one core busy a step takes ten times as long: a tick of the
    // scheduler for each loop.
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        command.env("OMP_WAIT_POLICY", "PASSIVE");
    }
    for (flag, value) in arguments {
        command.args([*flag, value]);
    }
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).ok())?
}
