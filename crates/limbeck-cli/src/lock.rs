//! One process to a folder, by a file that the system unlocks when its owner ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A lock that this process holds. It is released when this is dropped or the process ends.
pub struct Lock {
    file: File,
}

/// What came of taking a lock.
pub enum Taken {
    /// It is ours. With the process that ended without releasing it, if one did.
    Ours(Lock, Option<String>),
    /// This process holds it; none if it has not written its number yet.
    Held(Option<String>),
}

/// How often a lock that another holds is tried, or an owner's number looked for that has just taken its lock, and how long
/// between.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(5);

/// Takes the lock that the file at `path` stands for; the file is made if it is not there.
///
/// # Errors
/// The file cannot be made, or its file system has no locks.
pub fn take(path: &Path) -> std::io::Result<Taken> {
    let mut tries = TRIES;
    loop {
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_in_place(&file, path) => {
                let before = owner(&mut file);
                let mut lock = Lock { file };
                lock.sign()?;
                return Ok(Taken::Ours(lock, before));
            }
            // Its owner has removed it between our opening and locking it.
            Ok(()) => {}
            // Perhaps it is only looked at: `is_held` has it for a moment.
            Err(TryLockError::WouldBlock) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(BETWEEN);
            }
            Err(TryLockError::WouldBlock) => return Ok(Taken::Held(owner_at(path))),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Makes the file of a lock that nobody takes yet.
///
/// # Errors
/// It cannot be made.
pub fn make(path: &Path) -> std::io::Result<()> {
    open(path).map(|_| ())
}

/// Whether another process holds the lock at `path`. Makes nothing. The system tells only those who try, so for a moment
/// this shares the lock; [`take`] tries again.
pub fn is_held(path: &Path) -> bool {
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Lock {
    fn sign(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        write!(self.file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    /// An empty file shows the next owner that the last one released it.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// The number that an owner wrote. Windows does not let others read a locked file.
fn owner(file: &mut File) -> Option<String> {
    let mut process = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut process).ok()?;
    (!process.is_empty()).then_some(process)
}

/// The number of the process that holds the lock at `path`, which it writes right after it has locked.
pub fn owner_at(path: &Path) -> Option<String> {
    for _ in 0..TRIES {
        let found = File::open(path).ok().and_then(|mut file| owner(&mut file));
        if found.is_some() {
            return found;
        }
        std::thread::sleep(BETWEEN);
    }
    None
}

#[cfg(unix)]
fn is_in_place(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (ours, there) = (file.metadata().map(identity), path.metadata().map(identity));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

/// Elsewhere a file that is open cannot be replaced by another of its name.
#[cfg(not(unix))]
fn is_in_place(_: &File, _: &Path) -> bool {
    true
}

/// `process 17`, or `its process is not known`, for a message about a lock that another holds.
pub fn holder(process: Option<&str>) -> String {
    match process {
        Some(process) => format!("process {process}"),
        None => "whose process number cannot be read".to_owned(),
    }
}

/// When the file at `path` was last written, for people.
pub fn last_save(path: &Path) -> String {
    let written = path.metadata().and_then(|metadata| metadata.modified());
    let Ok(written) = written else {
        return "has not saved yet".to_owned();
    };
    let age = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    format!("last saved {} ago", span(age))
}

fn span(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
