//! Files as one zip, written into pages outside of wasm's memory: a student may be large, and wasm never gives memory back.

use std::io::{self, Read, Seek, SeekFrom, Write};

use js_sys::{Array, Uint8Array};
use web_sys::Blob;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::data::blobs;

/// Bytes of a page; also what is copied before the tab gets a turn.
const PAGE: usize = 1 << 20;

#[derive(Default)]
struct Pages {
    pages: Vec<Uint8Array>,
    position: usize,
    length: usize,
}

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (page, offset) = (self.position / PAGE, self.position % PAGE);
        while self.pages.len() <= page {
            self.pages.push(Uint8Array::new_with_length(PAGE as u32));
        }
        let count = bytes.len().min(PAGE - offset);
        let place = self.pages[page].subarray(offset as u32, (offset + count) as u32);
        place.copy_from(&bytes[..count]);
        self.position += count;
        self.length = self.length.max(self.position);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Pages {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (page, offset) = (self.position / PAGE, self.position % PAGE);
        let count = into
            .len()
            .min(PAGE - offset)
            .min(self.length.saturating_sub(self.position));
        if count > 0 {
            let place = self.pages[page].subarray(offset as u32, (offset + count) as u32);
            place.copy_to(&mut into[..count]);
        }
        self.position += count;
        Ok(count)
    }
}

impl Seek for Pages {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => (self.length as u64).checked_add_signed(by),
            SeekFrom::Current(by) => (self.position as u64).checked_add_signed(by),
        };
        let position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.position = position as usize;
        Ok(position)
    }
}

impl Pages {
    fn blob(self) -> Result<Blob, String> {
        let parts = Array::new();
        for (at, page) in self.pages.into_iter().enumerate() {
            let used = self.length.saturating_sub(at * PAGE).min(PAGE);
            parts.push(&page.subarray(0, used as u32));
        }
        Blob::new_with_buffer_source_sequence(&parts).map_err(|e| blobs::reason(&e))
    }
}

/// A zip with all files in a folder. They are stored as they are: weights hardly shrink. Each is let go once it is written.
pub async fn zip(folder: &str, files: Vec<(String, Uint8Array)>) -> Result<Blob, String> {
    let mut writer = ZipWriter::new(Pages::default());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (path, bytes) in files {
        writer
            .start_file(format!("{folder}/{path}"), options)
            .map_err(|e| e.to_string())?;
        let length = bytes.length();
        for start in (0..length).step_by(PAGE) {
            let chunk = bytes
                .subarray(start, start.saturating_add(PAGE as u32).min(length))
                .to_vec();
            writer.write_all(&chunk).map_err(|e| e.to_string())?;
            blobs::turn().await;
        }
    }
    writer.finish().map_err(|e| e.to_string())?.blob()
}
