//! What an engine needs from its host: a browser's worker, or a program.

use std::future::Future;

use burn::tensor::Device;
use limbeck_corpus::CorpusError;
use limbeck_protocol::EngineInfo;
use limbeck_recipe::DeviceChoice;

use crate::front::{BatchSource, Feed};

/// An open device.
#[derive(Clone)]
pub struct Opened {
    /// burn's handle of the device.
    pub device: Device,
    /// Its name, for people.
    pub name: String,
    /// Whether it is a GPU.
    pub on_gpu: bool,
    /// Bytes of the largest tensor that it holds, if it is a GPU that says so.
    pub largest_tensor: Option<u64>,
    /// Whether it multiplies 16 by 16 numbers of f16 at once, with sums in f32: [`limbeck_recipe::Mixed::Cooperative`].
    pub cooperative: bool,
    /// Held-out lines that a run on it is measured on: [`crate::heldout::LINES`], or fewer where reading them would take
    /// the time of many steps.
    pub heldout_lines: usize,
}

/// The host of an engine. Errors are messages for users: what was wrong, and what to do.
pub trait World {
    /// Where the engine runs and on what.
    fn info(&self) -> impl Future<Output = EngineInfo>;

    /// Opens a device. `Auto` takes a real GPU if there is one, else the CPU; `Gpu` takes a software one too.
    ///
    /// # Errors
    /// There is no such device, or it cannot be opened.
    fn open(&self, choice: DeviceChoice) -> impl Future<Output = Result<Opened, String>>;

    /// Seconds since some moment; never goes back.
    fn seconds(&self) -> f64;

    /// See [`crate::Front::free_memory`].
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Lets waiting messages in: a turn of the event loop in a browser, nothing in a program.
    fn breathe(&self) -> impl Future<Output = ()>;

    /// Starts the batches of a run: prepared when they are asked for, unless a place has threads to work ahead.
    ///
    /// # Errors
    /// The system gives no thread.
    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError> {
        Ok(feed.on_demand())
    }

    /// Makes sure that no other engine trains on the same storage (another tab, say), for as long as this one lives.
    ///
    /// # Errors
    /// Another engine trains on it.
    fn claim(&self) -> impl Future<Output = Result<(), String>>;

    /// Writes a file of the saved run. A reader finds it whole or as it was before.
    ///
    /// # Errors
    /// A full or forbidden storage, with the numbers.
    fn keep(&self, name: &str, bytes: &[u8]) -> impl Future<Output = Result<(), String>>;

    /// Reads a file of the saved run; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, String>>;

    /// Removes every file of the saved run.
    ///
    /// # Errors
    /// A file cannot be removed.
    fn forget(&self) -> impl Future<Output = Result<(), String>>;

    /// Bytes of storage that are used, and that there are; zeros if that is not known.
    fn space(&self) -> impl Future<Output = (u64, u64)>;
}
