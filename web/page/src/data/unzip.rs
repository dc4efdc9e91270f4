//! A dropped zip: its names without reading it, and its entries as blobs.

use std::ops::Range;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ReadableStreamDefaultReader};

use super::{blobs, check, fetch};
use crate::zip::{Crc, DEFLATED, END, Entry, HEADER, STORED, directory, entries, skip};

#[wasm_bindgen]
extern "C" {
    /// The browser's inflate; web-sys still counts it among what may change.
    type DecompressionStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(format: &str) -> Result<DecompressionStream, JsValue>;
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
        let length = blobs::size(&blob);
        check::size(name, length)?;
        let wrong = || format!("{name} cannot be read as a zip. Make or download it again");
        let tail = blobs::read(name, &blob, length.saturating_sub(END)..length).await?;
        let (range, before) = directory(&tail, length).ok_or_else(wrong)?;
        let listed = blobs::read(name, &blob, range).await?;
        Ok(Self {
            name: name.into(),
            entries: entries(&listed, before).ok_or_else(wrong)?,
            blob,
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
                "{} in {} is encrypted. Unpack the zip and choose the folder",
                entry.path, self.name
            ));
        }
        let data = self.data_of(entry).await?;
        match entry.method {
            STORED => blobs::piece(&self.blob, &data),
            DEFLATED => {
                let packed = blobs::piece(&self.blob, &data)?;
                let inflated = inflate(&packed, entry).await;
                inflated.map_err(|reason| wrong(&reason))
            }
            _ => Err(format!(
                "{} in {} is compressed in a way that this page does not support. Unpack the zip and choose the folder",
                entry.path, self.name
            )),
        }
    }

    async fn data_of(&self, entry: &Entry) -> Result<Range<u64>, String> {
        let header = entry.start..entry.start.saturating_add(HEADER);
        let header = blobs::read(&self.name, &self.blob, header).await?;
        let place = || {
            let start = entry.start.checked_add(skip(&header)?)?;
            let end = start.checked_add(entry.packed)?;
            (end <= blobs::size(&self.blob)).then_some(start..end)
        };
        place().ok_or_else(|| {
            format!(
                "{} is truncated or damaged in {}. Make or download the zip again",
                entry.path, self.name
            )
        })
    }
}

/// Has the browser inflate an entry, chunk by chunk; none but a chunk is in wasm's memory.
async fn inflate(packed: &Blob, entry: &Entry) -> Result<Blob, String> {
    let stream = DecompressionStream::new("deflate-raw");
    let stream = stream.map_err(|e| blobs::reason(&e))?;
    let inflated = packed.stream().pipe_through(stream.unchecked_ref());
    let (parts, mut crc, mut sum) = (Array::new(), Crc::new(), 0);
    let reader: ReadableStreamDefaultReader = inflated.get_reader().unchecked_into();
    while let Some(chunk) = fetch::next(&reader).await.map_err(|e| blobs::reason(&e))? {
        sum += u64::from(chunk.length());
        if sum > entry.bytes {
            // The rest is of no use, and it does no harm if the browser refuses to stop.
            let _ = JsFuture::from(reader.cancel()).await;
            break;
        }
        crc.add(&chunk.to_vec());
        parts.push(&chunk);
    }
    match crc.sum() == entry.crc && sum == entry.bytes {
        true => blobs::join(&parts),
        false => Err("its checksum does not match".to_owned()),
    }
}
