//! How much memory this program may still take.

/// Bytes; none where the system does not say. On Linux the least of what the machine, the program's control groups and its
/// limit of addresses (`ulimit -v`) leave.
#[cfg(target_os = "linux")]
pub fn free() -> Option<u64> {
    let left = [
        linux::machine(),
        linux::control_groups(),
        linux::addresses(),
    ];
    left.into_iter().flatten().min()
}

/// Unknown.
#[cfg(not(target_os = "linux"))]
pub fn free() -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::read_to_string;
    use std::path::Path;

    /// Free memory and what the system can free, swap included.
    pub fn machine() -> Option<u64> {
        let text = read_to_string("/proc/meminfo").ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Some(field("MemAvailable:")? + field("SwapFree:").unwrap_or(0))
    }

    /// What the group of this program and those around it may still take (cgroup v2). The cache of files that they have read
    /// counts as theirs, and is given back before a limit is felt.
    pub fn control_groups() -> Option<u64> {
        let groups = read_to_string("/proc/self/cgroup").ok()?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let root = Path::new("/sys/fs/cgroup");
        let path = root.join(group);
        let around = path.ancestors().take_while(|path| path.starts_with(root));
        around.filter_map(left_in).min()
    }

    fn left_in(group: &Path) -> Option<u64> {
        let number = |file: &str| -> Option<u64> {
            read_to_string(group.join(file)).ok()?.trim().parse().ok()
        };
        // `max` is no number, and no limit.
        let most = number("memory.max")?;
        let used = number("memory.current")?;
        let numbers = read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cache = numbers
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let cache: u64 = cache.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Some(most.saturating_sub(used.saturating_sub(cache)))
    }

    /// What `ulimit -v` leaves beside the addresses that are in use.
    pub fn addresses() -> Option<u64> {
        let limits = read_to_string("/proc/self/limits").ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max address space"))?;
        // `unlimited` is no number.
        let most: u64 = line.split_whitespace().next()?.parse().ok()?;
        let status = read_to_string("/proc/self/status").ok()?;
        let used = status
            .lines()
            .find_map(|line| line.strip_prefix("VmSize:"))?;
        let used: u64 = used.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(most.saturating_sub(used << 10))
    }
}
