//! Where a text is: on disk or in memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::CorpusError;
use crate::packing::Packing;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Large enough that a disk is read at full speed and a stop is noticed within milliseconds.
pub(crate) const READ_BUFFER: usize = 64 << 10;

/// Where a text is.
#[derive(Debug)]
pub(crate) enum Place {
    /// On disk.
    File(PathBuf),
    /// In memory.
    Memory {
        /// What messages call it.
        name: String,
        /// As they would be in a file.
        bytes: Arc<[u8]>,
    },
}

/// What a text is read from.
pub(crate) trait Raw: Read + Seek + Send {}

impl<R: Read + Seek + Send> Raw for R {}

impl Place {
    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => shown(path),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    /// Where it is, or what stands for it.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory { name, .. } => Path::new(name),
        }
    }

    /// The name without folders.
    pub(crate) fn short_name(&self) -> String {
        let path = self.path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Its bytes, compressed if it is.
    pub(crate) fn size(&self) -> Result<u64, CorpusError> {
        match self {
            Self::File(path) => Ok(path.metadata().map_err(|e| unreadable(path, e))?.len()),
            Self::Memory { bytes, .. } => Ok(bytes.len() as u64),
        }
    }

    /// Its bytes, packed if it is.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Raw>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Memory { bytes, .. } => Box::new(Cursor::new(bytes.clone())),
        })
    }

    /// That it cannot be read.
    pub(crate) fn unreadable(&self, source: io::Error) -> CorpusError {
        unreadable(self.path(), source)
    }

    /// That it cannot be unpacked, after `byte` bytes of text.
    pub(crate) fn damaged(&self, packing: Packing, byte: u64, source: io::Error) -> CorpusError {
        CorpusError::Damaged {
            file: self.name(),
            program: packing.program(),
            byte,
            source,
        }
    }
}

pub(crate) fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> CorpusError {
    CorpusError::Unreadable {
        file: shown(path),
        source,
    }
}
