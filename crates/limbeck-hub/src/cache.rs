//! The cache that huggingface_hub keeps, and whoever uses it shares:
//!
//! ```text
//! models--org--name/blobs/CHECKSUM            a file, under the checksum that the hub lists
//! models--org--name/blobs/CHECKSUM.incomplete what there is of it
//! models--org--name/snapshots/COMMIT/PATH     a link to it
//! models--org--name/refs/REVISION             the commit that a branch or tag was when it was last asked for
//! models--org--name/.no_exist/COMMIT/PATH     empty: the model was asked for this file at this commit, and has none
//! .locks/models--org--name/CHECKSUM.lock      held by whoever writes the file
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use limbeck_recipe::{HubChecksum, HubId, is_commit};

use crate::error::HubError;
use crate::files;

/// The folder of all models.
pub struct Cache {
    pub root: PathBuf,
}

/// The folder of one.
pub struct Place {
    folder: PathBuf,
    locks: PathBuf,
}

/// A snapshot that has all that limbeck cannot do without, as far as its own files tell.
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    pub commit: String,
    /// Whether the cache says of all that limbeck reads where a model has it whether this one does.
    pub is_settled: bool,
    /// What it does not say that of, and may change what is computed.
    pub doubtful: Vec<String>,
}

/// Held as long as a file is written.
pub struct Held(#[expect(dead_code, reason = "dropping it gives the lock back")] Option<File>);

impl Cache {
    /// Where a model is.
    pub fn place(&self, id: &HubId) -> Place {
        let name = format!("models--{}", id.model.replace('/', "--"));
        Place {
            folder: self.root.join(&name),
            locks: self.root.join(".locks").join(name),
        }
    }

    /// What there is of a model, if that can be read.
    pub fn kept(&self, id: &HubId) -> Option<Kept> {
        let place = self.place(id);
        let commit = match is_commit(id.revision()) {
            true => id.revision().to_owned(),
            false => {
                let commit = fs::read_to_string(place.reference(id.revision())).ok()?;
                commit.trim().to_owned()
            }
        };
        if !is_commit(&commit) {
            return None;
        }
        let snapshot = place.snapshot(&commit);
        let has = |file: &str| snapshot.join(file).is_file();
        let read = |file: &str| fs::read(snapshot.join(file)).ok();
        let (encoder, head) = files::head("", &read).ok()?;
        if !files::are_whole(&has, &encoder, &read) {
            return None;
        }
        let mut unsettled = files::possible(&has, &encoder, head);
        unsettled.retain(|file| !has(file) && !place.absence(&commit, file).is_file());
        let is_settled = unsettled.is_empty();
        unsettled.retain(|file| files::decides(&has, &encoder, file));
        Some(Kept {
            is_settled,
            doubtful: unsettled,
            folder: snapshot,
            commit,
        })
    }
}

impl Place {
    /// The folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// A file by its checksum.
    pub fn blob(&self, checksum: HubChecksum) -> PathBuf {
        self.folder.join("blobs").join(checksum.digits())
    }

    /// What there is of a file.
    pub fn part(&self, checksum: HubChecksum) -> PathBuf {
        let blobs = self.folder.join("blobs");
        blobs.join(format!("{}.incomplete", checksum.digits()))
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    /// The sign that a model has no such file.
    fn absence(&self, commit: &str, name: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(name)
    }

    /// Says that a model has no such file, so that nobody asks for it without a network. As with [`Place::refer`], it may not be
    /// possible.
    pub fn lacks(&self, commit: &str, name: &str) {
        let path = self.absence(commit, name);
        if !path.exists() && make_folder_of(&path).is_ok() {
            let _ = File::create(&path);
        }
    }

    /// Says which commit a branch or tag is. Where that cannot be written, as in a cache that many share, the files are there
    /// all the same, and the hub is asked again.
    pub fn refer(&self, revision: &str, commit: &str) {
        let path = self.reference(revision);
        let is_known = fs::read_to_string(&path).is_ok_and(|was| was == commit);
        if revision != commit && !is_known && make_folder_of(&path).is_ok() {
            let _ = fs::write(&path, commit);
        }
    }

    /// Waits until nobody else writes a file; `wait` is called if somebody does. A file system without locks gives none: who else
    /// writes there is noticed by the checksum.
    pub fn hold(&self, checksum: HubChecksum, wait: impl FnOnce()) -> Result<Held, HubError> {
        let path = self.locks.join(format!("{}.lock", checksum.digits()));
        make_folder_of(&path)?;
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(HubError::file("write", &path))?;
        let held = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock().is_ok()
            }
            other => other.is_ok(),
        };
        Ok(Held(held.then_some(file)))
    }

    /// Puts a whole file into a snapshot, as a link to its blob; itself, where the system has no links.
    pub fn link(&self, commit: &str, name: &str, checksum: HubChecksum) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(name);
        make_folder_of(&path)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(HubError::file("replace", &path))?;
        }
        let up = "../".repeat(2 + name.matches('/').count());
        let target = format!("{up}blobs/{}", checksum.digits());
        if make_link(Path::new(&target), &path).is_ok() {
            return Ok(());
        }
        let blob = self.blob(checksum);
        fs::rename(&blob, &path).map_err(HubError::file("write", &path))
    }
}

#[cfg(unix)]
fn make_link(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn make_link(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target.to_string_lossy().replace('/', "\\"), path)
}

/// The folder that a file will be in.
pub fn make_folder_of(path: &Path) -> Result<(), HubError> {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(HubError::file("create", folder)),
        None => Ok(()),
    }
}
