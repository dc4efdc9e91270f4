//! What stands for `gpu.rs` in a build without the feature `gpu`: there is never a GPU.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::Adapter;
use crate::error::CliError;

/// Why there is no GPU.
pub const NONE: &str = "this build of limbeck has no GPU support";

/// What to do about it.
pub const REMEDY: &str = "Build or install it with the cargo feature `gpu`, which is on by default";

/// None.
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}

/// Fails always.
///
/// # Errors
/// There is no GPU.
pub fn open() -> Result<Device, CliError> {
    Err(CliError::Device(format!("{NONE}. {REMEDY}")))
}

/// Does work, which launches nothing.
pub fn counting_launches<T>(work: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>) {
    (work(), BTreeMap::new())
}
