//! A dropped zip: its names without reading it, and its entries as blobs.

use std::io::Read;
use std::ops::Range;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use js_sys::{Array, Uint8Array};
use web_sys::Blob;
use zip::{CompressionMethod, ZipArchive};

use super::archive::Pieces;
use super::{blobs, check};

/// Bytes that are inflated before the page gets a turn: some 5 ms.
const CHUNK: usize = 1 << 20;
/// Bytes of an entry's header, without its name and extra field.
const HEADER: u64 = 30;

/// An entry.
struct Entry {
    path: String,
    start: u64,
    packed: u64,
    bytes: u64,
    crc: u32,
    method: CompressionMethod,
    encrypted: bool,
}

/// A zip whose directory has been read.
pub struct Zip {
    name: String,
    blob: Blob,
    entries: Vec<Entry>,
}

impl Zip {
    /// Reads the directory.
    ///
    /// # Errors
    /// Not a zip, or cut off.
    pub async fn open(name: &str, blob: Blob) -> Result<Self, String> {
        check::size(name, blobs::size(&blob))?;
        let mut pieces = Pieces::new(blobs::size(&blob));
        let entries = loop {
            match directory(&mut pieces) {
                Ok(entries) => break entries,
                Err(reason) => {
                    let Some(range) = pieces.missed() else {
                        return Err(format!(
                            "{name} cannot be read as a zip ({reason}). Make or download it again"
                        ));
                    };
                    pieces.know(range.start, blobs::read(name, &blob, range).await?);
                }
            }
        };
        Ok(Self {
            name: name.into(),
            blob,
            entries,
        })
    }

    /// Paths of its files.
    pub fn paths(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|entry| entry.path.clone())
            .collect()
    }

    /// One file.
    ///
    /// # Errors
    /// Too large, encrypted, damaged, or packed in a way that we cannot read.
    pub async fn take(&mut self, at: usize) -> Result<Blob, String> {
        let entry = &self.entries[at];
        check::size(&entry.path, entry.bytes)?;
        let wrong = |reason: &str| {
            format!(
                "{} in {}: {reason}. Make or download the zip again",
                entry.path, self.name
            )
        };
        if entry.encrypted {
            return Err(format!(
                "{} in {} is encrypted. Unpack the zip and give the folder",
                entry.path, self.name
            ));
        }
        let data = self.data_of(entry).await?;
        match entry.method {
            CompressionMethod::Stored => blobs::piece(&self.blob, &data),
            CompressionMethod::DEFLATE => {
                let packed = blobs::read(&self.name, &self.blob, data).await?;
                let inflated = inflate(&packed, entry).await;
                inflated.map_err(|reason| wrong(&reason))
            }
            _ => Err(format!(
                "{} in {} is compressed in a way that this page does not support. Unpack the zip and give the folder",
                entry.path, self.name
            )),
        }
    }

    async fn data_of(&self, entry: &Entry) -> Result<Range<u64>, String> {
        let header = blobs::read(&self.name, &self.blob, entry.start..entry.start + HEADER).await?;
        let length = |at: usize| {
            header
                .get(at..at + 2)
                .map_or(0, |b| u64::from(b[0]) | u64::from(b[1]) << 8)
        };
        let start = entry.start + HEADER + length(26) + length(28);
        let end = start + entry.packed;
        if end > blobs::size(&self.blob) {
            return Err(format!(
                "{} is truncated in {}. Make or download the zip again",
                entry.path, self.name
            ));
        }
        Ok(start..end)
    }
}

fn directory(pieces: &mut Pieces) -> Result<Vec<Entry>, String> {
    let zip = ZipArchive::new(pieces).map_err(|e| e.to_string())?;
    let mut entries = Vec::new();
    for at in 0..zip.len() {
        let file = zip.by_index_data(at).map_err(|e| e.to_string())?;
        if file.is_dir() {
            continue;
        }
        entries.push(Entry {
            path: file.name().map_err(|e| e.to_string())?.into_owned(),
            start: file.header_start(),
            packed: file.compressed_size(),
            bytes: file.size(),
            crc: file.crc32(),
            method: file.compression(),
            encrypted: file.encrypted(),
        });
    }
    Ok(entries)
}

/// Inflates chunk by chunk: only the packed bytes and one chunk are in wasm's memory.
async fn inflate(packed: &[u8], entry: &Entry) -> Result<Blob, String> {
    let mut file = CrcReader::new(DeflateDecoder::new(packed));
    let parts = Array::new();
    let mut chunk = vec![0; CHUNK];
    let mut sum = 0;
    loop {
        let count = file.read(&mut chunk).map_err(|e| e.to_string())?;
        if count == 0 {
            return match file.crc().sum() == entry.crc && sum == entry.bytes {
                true => blobs::join(&parts),
                false => Err("its checksum does not match".to_owned()),
            };
        }
        sum += count as u64;
        check::size(&entry.path, sum)?;
        parts.push(&Uint8Array::from(&chunk[..count]));
        blobs::turn().await;
    }
}
