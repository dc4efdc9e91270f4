//! The processor of this machine.

use std::process::Command;

/// Its name, where the system says it.
pub fn name() -> Option<String> {
    let first = [of_linux, of_macos, of_windows]
        .iter()
        .find_map(|name| name());
    first.filter(|name| !name.is_empty())
}

fn of_linux() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn of_macos() -> Option<String> {
    let asked = cfg!(target_os = "macos").then(|| {
        let mut command = Command::new("sysctl");
        command.args(["-n", "machdep.cpu.brand_string"]).output()
    })?;
    Some(
        String::from_utf8(asked.ok()?.stdout)
            .ok()?
            .trim()
            .to_owned(),
    )
}

fn of_windows() -> Option<String> {
    std::env::var("PROCESSOR_IDENTIFIER").ok()
}

/// Threads that it runs at once, or as many of them as this program may use.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
