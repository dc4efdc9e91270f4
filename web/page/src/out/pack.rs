//! Files as one zip. Their bytes stay outside of wasm's memory, but for the piece whose checksum is being made: a student may be
//! large, and wasm never gives memory back.

use js_sys::{Array, Uint8Array};
use web_sys::Blob;

use crate::data::blobs;
use crate::zip::{Crc, Entry, head, tail};

/// Bytes that are copied before the tab gets a turn.
const PIECE: u32 = 1 << 20;

/// A zip with all files in a folder. They are stored as they are: weights hardly shrink.
pub async fn zip(folder: &str, files: Vec<(String, Uint8Array)>) -> Result<Blob, String> {
    let (parts, mut entries, mut end) = (Array::new(), Vec::new(), 0);
    for (path, bytes) in files {
        let entry = Entry {
            path: format!("{folder}/{path}"),
            start: end,
            packed: u64::from(bytes.length()),
            bytes: u64::from(bytes.length()),
            crc: checksum(&bytes).await,
            ..Entry::default()
        };
        let head = head(&entry);
        end += head.len() as u64 + entry.packed;
        parts.push(&Uint8Array::from(&*head));
        parts.push(&bytes);
        entries.push(entry);
    }
    if end > u64::from(u32::MAX) {
        return Err("a zip of this page holds 4 GB at most".to_owned());
    }
    parts.push(&Uint8Array::from(&*tail(&entries, end)));
    Blob::new_with_buffer_source_sequence(&parts).map_err(|e| blobs::reason(&e))
}

async fn checksum(bytes: &Uint8Array) -> u32 {
    let mut crc = Crc::new();
    let length = bytes.length();
    for start in (0..length).step_by(PIECE as usize) {
        let end = start.saturating_add(PIECE).min(length);
        crc.add(&bytes.subarray(start, end).to_vec());
        blobs::turn().await;
    }
    crc.sum()
}
