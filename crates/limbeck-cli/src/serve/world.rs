//! The place that the engine of `limbeck serve` lives in: this machine's devices, and a folder.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use limbeck_corpus::CorpusError;
use limbeck_engine::{BatchSource, Feed, Opened, World};
use limbeck_model::read_file;
use limbeck_protocol::{Adapter, EngineInfo, EngineKind};
use limbeck_recipe::DeviceChoice;

use crate::error::CliError;
use crate::lock::{self, Lock, Taken};
use crate::output::{CHECKPOINT, write_whole};
use crate::{ahead, memory, terminal};

/// Held while an engine trains; it also marks a folder as one of ours.
const LOCK: &str = "limbeck.lock";
/// The saved run, apart from everything else, so that forgetting it removes nothing of anybody else's.
const RUN: &str = "run";

/// The folder that the run is kept in.
#[derive(Clone)]
pub struct Keep {
    folder: PathBuf,
}

impl Keep {
    /// A folder of ours, or one that becomes ours.
    ///
    /// # Errors
    /// It cannot be made, or its `run` is somebody else's.
    pub fn open(folder: PathBuf) -> Result<Self, CliError> {
        let keep = Self { folder };
        if keep.run().exists() && !keep.lock_file().exists() {
            return Err(CliError::Usage(format!(
                "{} exists and was not made by limbeck serve. Choose another folder with --keep",
                keep.run().display()
            )));
        }
        std::fs::create_dir_all(&keep.folder)
            .map_err(CliError::file("make the folder", &keep.folder))?;
        let lock = keep.lock_file();
        lock::make(&lock).map_err(CliError::file("write", &lock))?;
        Ok(keep)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn run(&self) -> PathBuf {
        self.folder.join(RUN)
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join(LOCK)
    }

    /// Locks the folder against other programs.
    fn claim(&self) -> Result<Lock, String> {
        let path = self.lock_file();
        let folder = self.folder.display();
        let taken = lock::take(&path).map_err(CliError::file("lock", &path));
        match taken.map_err(|e| e.to_string())? {
            Taken::Ours(lock, abandoned_by) => {
                if let Some(process) = abandoned_by {
                    terminal::say(format_args!(
                        "limbeck: process {process} ended without releasing {folder}; this one takes it over"
                    ));
                }
                Ok(lock)
            }
            Taken::Held(process) => Err(format!(
                "another limbeck serve ({}) trains in {folder}; it {}. End it, or start this one with another folder: --keep DIR",
                lock::holder(process.as_deref()),
                lock::last_save(&self.run().join(CHECKPOINT)),
            )),
        }
    }
}

/// Where a run is kept unless `--keep` says: `limbeck-serve` where programs of this system keep their data.
pub fn default_folder() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")))
    };
    data.unwrap_or_default().join("limbeck-serve")
}

/// This machine.
pub struct Machine {
    keep: Keep,
    adapter: Option<Adapter>,
    start: Instant,
    lock: RefCell<Option<Lock>>,
}

impl Machine {
    /// Looks for its GPU.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            adapter: crate::device::best_adapter(),
            start: Instant::now(),
            lock: RefCell::default(),
        }
    }

    /// Where a file of the saved run is. Names of a teacher's files come from a page, and none may leave the folder.
    fn place(&self, name: &str) -> Result<PathBuf, String> {
        match name.is_empty() || name.contains(['/', '\\', ':', '\0']) || name.starts_with('.') {
            true => Err(format!("`{name}` cannot be the name of a file")),
            false => Ok(self.keep.run().join(name)),
        }
    }
}

impl World for Machine {
    async fn info(&self) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Native,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: self.adapter.clone(),
            cpu: format!("{}, with SIMD", crate::device::cpu()),
            keeps: self.keep.folder().display().to_string(),
        }
    }

    async fn open(&self, choice: DeviceChoice) -> Result<Opened, String> {
        crate::device::open_for_engine(choice).map_err(|e| e.to_string())
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn free_memory(&self) -> Option<u64> {
        memory::free()
    }

    async fn breathe(&self) {}

    fn batches(&self, feed: Feed) -> Result<BatchSource, CorpusError> {
        ahead::batches(feed)
    }

    async fn claim(&self) -> Result<(), String> {
        let mut lock = self.lock.borrow_mut();
        if lock.is_none() {
            *lock = Some(self.keep.claim()?);
        }
        Ok(())
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.place(name)?;
        write_whole(&path, |file| file.write_all(bytes)).map_err(|e| e.to_string())
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.place(name)?;
        match read_file(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(CliError::file("read", &path)(e).to_string()),
        }
    }

    async fn forget(&self) -> Result<(), String> {
        let run = self.keep.run();
        match std::fs::remove_dir_all(&run) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(CliError::file("remove the old", &run)(e).to_string())
            }
            _ => Ok(()),
        }
    }

    async fn space(&self) -> (u64, u64) {
        (0, 0)
    }
}
