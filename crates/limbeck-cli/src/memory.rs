//! How much memory this program may still take, and what fits into it.

use std::fmt;
use std::ops::Range;

use limbeck_engine::Opened;
use limbeck_recipe::{Config, Kernels, Operation, encoding_bytes, memory, parameter_count};

use crate::error::CliError;

/// The part of the free memory that texts encoded together may take: what they take is estimated, and only roughly.
const PART: f64 = 0.5;
/// Bytes of an f32.
pub const FLOAT: f64 = 4.0;

/// What a device has left: bytes in all, if that is known, and of one tensor, if that is limited.
#[derive(Clone, Copy)]
pub struct Room {
    free: Option<f64>,
    tensor: Option<f64>,
}

impl Room {
    /// As it is now.
    pub fn of(opened: &Opened) -> Self {
        let free = free().filter(|_| !opened.on_gpu);
        Self {
            free: free.map(|bytes| bytes as f64),
            tensor: opened.largest_tensor.map(|bytes| bytes as f64),
        }
    }

    /// Refuses what takes more, in all or for its largest tensor; `what` takes it, `advice` says what to lower.
    ///
    /// # Errors
    /// Both figures.
    pub fn require(
        self,
        what: &str,
        (bytes, tensor): (f64, f64),
        advice: &str,
    ) -> Result<(), CliError> {
        let [bytes, tensor] = [(bytes, self.free), (tensor, self.tensor)].map(|(asked, there)| {
            there
                .filter(|there| asked > *there)
                .map(|there| (asked, there))
        });
        let figures = match (bytes, tensor) {
            (Some((asked, there)), _) => format!(
                "{what} takes about {} of memory, and {} are free here",
                memory(asked),
                memory(there)
            ),
            (None, Some((asked, there))) => format!(
                "{what} takes {} for one of its tensors, and this GPU holds {} in one",
                memory(asked),
                memory(there)
            ),
            (None, None) => return Ok(()),
        };
        Err(CliError::Usage(format!("{figures}. {advice}")))
    }

    /// Refuses a model whose weights alone take more.
    ///
    /// # Errors
    /// Both figures.
    pub fn require_model(self, name: &str, config: &Config) -> Result<(), CliError> {
        let table = config.vocab_size as f64 * config.embedding_width() as f64;
        let bytes = FLOAT * parameter_count(config) as f64;
        let advice = "Take a smaller model, or a machine with more memory";
        self.require(&format!("the model {name}"), (bytes, FLOAT * table), advice)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.free, self.tensor) {
            (Some(free), _) => write!(f, "{} are free here", memory(free)),
            (None, Some(most)) => write!(f, "this GPU holds tensors of {}", memory(most)),
            (None, None) => write!(f, "how much is free is not known"),
        }
    }
}

/// What texts take that are encoded together.
pub struct Encoding<'a> {
    /// Of the model.
    pub config: &'a Config,
    /// What computes.
    pub kernels: Kernels,
    /// Vectors of each token that are kept and written as JSON.
    pub written: usize,
    /// Where it is computed.
    pub room: Room,
    /// How many such are computed at the same time.
    pub workers: usize,
}

impl Encoding<'_> {
    /// Bytes of a text of so many tokens, in all and in its largest tensor.
    fn of_text(&self, length: usize) -> (f64, f64) {
        let config = self.config;
        // A number of JSON takes at most 16 bytes.
        let written = self.written as f64 * (FLOAT + 16.0) * config.hidden_size as f64;
        let bytes = encoding_bytes(config, self.kernels, length, self.written > 0)
            + written * length as f64;
        let width = config.query_width().max(config.hidden_size);
        let width = width.max(config.intermediate_size) as f64;
        let width = match self.kernels.has(Operation::Attention) {
            true => width,
            false => width.max((config.num_attention_heads * length) as f64),
        };
        (bytes, FLOAT * width * length as f64)
    }

    /// Texts of so many tokens that fit together.
    fn most(&self, length: usize) -> usize {
        let (bytes, tensor) = self.of_text(length);
        let in_all = self
            .room
            .free
            .map(|free| PART * free / self.workers as f64 / bytes);
        let in_one = self.room.tensor.map(|most| most / tensor);
        let most = [in_all, in_one].into_iter().flatten();
        most.fold(usize::MAX, |most, fits| most.min(fits as usize))
    }

    /// Whether so many texts fit together even if all are of so many tokens.
    pub fn fits(&self, texts: usize, longest: usize) -> bool {
        texts <= self.most(longest)
    }

    /// Texts of these lengths, in their order, in parts of which each fits.
    ///
    /// # Errors
    /// One text alone does not.
    pub fn parts(&self, lengths: &[usize]) -> Result<Vec<Range<usize>>, CliError> {
        let longest = lengths.iter().max().copied().unwrap_or(0);
        let what = format!("a text of {longest} tokens");
        let advice = "Shorten it, or take a smaller model";
        self.room.require(&what, self.of_text(longest), advice)?;
        let mut parts = Vec::new();
        let (mut start, mut longest) = (0, 0);
        for (at, length) in lengths.iter().enumerate() {
            longest = longest.max(*length);
            if at > start && at + 1 - start > self.most(longest) {
                parts.push(start..at);
                (start, longest) = (at, *length);
            }
        }
        if start < lengths.len() {
            parts.push(start..lengths.len());
        }
        Ok(parts)
    }
}

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
