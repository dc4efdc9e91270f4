//! Reading a zip of which only pieces are in memory: the directory, then each entry that is wanted.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

/// Bytes that are fetched beyond what is asked for: a directory is read in many small pieces.
const AHEAD: u64 = 64 << 10;

/// A file of which pieces are known. Reading what is not known fails and is noted in `missed`.
#[derive(Default)]
pub struct Pieces {
    length: u64,
    position: u64,
    known: Vec<(u64, Vec<u8>)>,
    missed: Option<Range<u64>>,
}

impl Pieces {
    /// Of a file of this many bytes, none of them known.
    pub fn new(length: u64) -> Self {
        Self {
            length,
            ..Self::default()
        }
    }

    /// Adds a piece.
    pub fn know(&mut self, start: u64, bytes: Vec<u8>) {
        self.known.push((start, bytes));
    }

    /// What has to be known before reading can go on, if it failed for that.
    pub fn missed(&mut self) -> Option<Range<u64>> {
        self.position = 0;
        self.missed.take()
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position;
        if at >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let piece = self.known.iter().find_map(|(start, bytes)| {
            let from = at.checked_sub(*start)?;
            bytes.get(from as usize..).filter(|rest| !rest.is_empty())
        });
        let Some(piece) = piece else {
            let start = at.saturating_sub(AHEAD / 2);
            let end = at
                .saturating_add(AHEAD / 2 + buffer.len() as u64)
                .min(self.length);
            self.missed = Some(start..end);
            return Err(io::Error::other("not read yet"));
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipArchive, ZipWriter};

    use super::*;

    fn example() -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, size) in [("m/large.bin", 400_000), ("m/config.json", 10)] {
            // Deflated, the large entry would be no longer than the first piece that is fetched.
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            writer.start_file(name, options).expect("start");
            let noise: Vec<u8> = (0..size)
                .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            writer.write_all(&noise).expect("write");
        }
        writer.finish().expect("finish").into_inner()
    }

    #[test]
    fn a_zip_is_read_piece_by_piece() {
        let whole = example();
        let mut pieces = Pieces::new(whole.len() as u64);
        let mut fetched = 0;
        let mut read = loop {
            let mut result = Vec::new();
            let done = ZipArchive::new(&mut pieces).map(|mut zip| {
                let mut file = zip.by_name("m/config.json").map_err(|_| ())?;
                file.read_to_end(&mut result).map_err(|_| ())
            });
            if let Ok(Ok(_)) = done {
                break result;
            }
            let range = pieces.missed().expect("only what is not known fails");
            fetched += range.end - range.start;
            pieces.know(
                range.start,
                whole[range.start as usize..range.end as usize].to_vec(),
            );
        };
        read.truncate(10);
        assert_eq!(read.len(), 10);
        assert!(
            fetched < whole.len() as u64 / 2,
            "{fetched} of {}",
            whole.len()
        );
    }
}
