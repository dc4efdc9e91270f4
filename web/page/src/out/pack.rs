//! Files as one zip. Their bytes stay outside of wasm's memory, but for the piece whose checksum is being made: a student may be
//! large, and wasm never gives memory back.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use web_sys::Blob;

use crate::data::blobs;
use crate::words;
use crate::zip::{Crc, Entry, head, tail};

/// Bytes that are copied before the tab gets a turn.
const PIECE: u32 = 1 << 20;
/// Bytes of files in a zip: its sizes have 32 bits, and the directory needs a little.
const LARGEST: u64 = (1 << 32) - (1 << 20);

/// A zip with all files in a folder. They are stored as they are: weights hardly shrink.
///
/// # Errors
/// They are too large, or the browser has no room; and what to do.
pub async fn zip(folder: &str, files: Vec<(String, Uint8Array)>) -> Result<Blob, String> {
    let bytes = files.iter().map(|(_, bytes)| u64::from(bytes.length()));
    let bytes = bytes.sum::<u64>();
    if bytes > LARGEST {
        return Err(format!(
            "they total {}, and a zip from this page holds 4 GB at most. Leave the ONNX files out, or train with the command line",
            words::bytes(bytes)
        ));
    }
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
    parts.push(&Uint8Array::from(&*tail(&entries, end)));
    Blob::new_with_buffer_source_sequence(&parts).map_err(|e| no_room(&e))
}

/// What to do where the browser has no room for files.
pub fn no_room(error: &JsValue) -> String {
    format!("{}. Close other tabs and try again", blobs::reason(error))
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
