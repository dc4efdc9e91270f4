//! What the bytes of a corpus were when a run began. Other bytes are noticed before anybody is trained on them.
//!
//! A text is divided into pieces of equal size, and a checksum of each is kept. Whoever reads the text gets a piece only
//! after its checksum was compared, so a changed text ends a run between two steps, and the message says where it changed.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::CorpusError;
use crate::place::{READ_BUFFER, Raw};
use crate::text::Text;

/// Pieces of a whole corpus, about: so many checksums cost a checkpoint nothing.
const PIECES: u64 = 4096;
/// Bytes of a piece: a line or two, at least, and at most what a machine has to spare. Powers of two, as [`READ_BUFFER`] is,
/// so that whole pieces fill a buffer.
const LEAST: u64 = 64;
const MOST: u64 = 16 << 20;

/// Checksums of every piece of every text, packed as they are on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes of a piece, the last one of a text excepted.
    piece: u64,
    texts: Vec<Print>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Print {
    /// Without folders.
    name: String,
    bytes: u64,
    /// CRC-32 of each piece.
    sums: Vec<u32>,
}

/// How a text is not what it was, in bytes from its start.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Difference {
    #[error("bytes {from} to {to} differ")]
    Differs { from: u64, to: u64 },
    #[error("it ended after {end} bytes and goes on now")]
    Longer { end: u64 },
    #[error("it ends after {end} bytes")]
    Shorter { end: u64 },
}

/// Whether reading failed because the text is not what it was.
pub(crate) fn is_difference(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<Difference>())
}

impl Fingerprint {
    /// Reads all texts once.
    pub(crate) fn take(texts: &[Text]) -> Result<Self, CorpusError> {
        let mut total = 0;
        for text in texts {
            total += text.size()?;
        }
        let piece = (total / PIECES).clamp(LEAST, MOST).next_power_of_two();
        let prints = texts.iter().map(|text| Print::take(text, piece));
        Ok(Self {
            piece,
            texts: prints.collect::<Result<_, _>>()?,
        })
    }

    /// Reads all texts once and refuses the first that is not what it was.
    pub(crate) fn require(self: &Arc<Self>, texts: &[Text]) -> Result<(), CorpusError> {
        if texts.len() != self.texts.len() {
            let names: Vec<&str> = self.texts.iter().map(|t| t.name.as_str()).collect();
            return Err(CorpusError::OtherFiles {
                was: self.texts.len(),
                is: texts.len(),
                names: names.join(", "),
            });
        }
        for (index, text) in texts.iter().enumerate() {
            let raw = text.open().map_err(|e| text.unreadable(e))?;
            let mut compared = Compared::new(raw, self.clone(), index, 0);
            let end = io::copy(&mut compared, &mut io::sink());
            end.map_err(|e| self.explain(text, index, e))?;
        }
        Ok(())
    }

    /// Where a text differs, for people, if that is what reading it failed with.
    pub(crate) fn explain(&self, text: &Text, index: usize, error: io::Error) -> CorpusError {
        match error.downcast::<Difference>() {
            Ok(difference) => CorpusError::Altered {
                file: text.name(),
                how: how(text, self.texts[index].bytes, difference),
            },
            Err(error) => text.unreadable(error),
        }
    }

    /// Where the piece starts that holds `byte`.
    pub(crate) fn start_of_piece(&self, byte: u64) -> u64 {
        byte - byte % self.piece() as u64
    }

    /// Bytes of a piece; of a forged fingerprint, too, what a buffer can hold.
    fn piece(&self) -> usize {
        self.piece.clamp(LEAST, MOST).next_power_of_two() as usize
    }

    /// Compares what was read as the piece `number` of a text.
    fn compare(&self, index: usize, number: usize, found: &[u8]) -> Result<(), Difference> {
        let print = &self.texts[index];
        let piece = self.piece() as u64;
        let from = number as u64 * piece;
        let to = from + found.len() as u64;
        let Some(sum) = print.sums.get(number) else {
            let end = print.bytes;
            return Err(Difference::Longer { end });
        };
        let bytes = print.bytes.saturating_sub(from).min(piece) as usize;
        let (whole, more) = found.split_at_checked(bytes).unwrap_or((found, &[]));
        let same = whole.len() == bytes && crc32fast::hash(whole) == *sum;
        match (same, more.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Difference::Longer { end: print.bytes }),
            (false, _) if whole.len() < bytes => Err(Difference::Shorter { end: to }),
            (false, _) => Err(Difference::Differs { from, to }),
        }
    }
}

impl Print {
    fn take(text: &Text, piece: u64) -> Result<Self, CorpusError> {
        let unreadable = |e| text.unreadable(e);
        let raw = text.open().map_err(unreadable)?;
        let mut raw = BufReader::with_capacity(READ_BUFFER, raw);
        let (mut bytes, mut sums) = (0, Vec::new());
        let mut found = Vec::with_capacity(piece as usize);
        loop {
            found.clear();
            let read = raw.by_ref().take(piece).read_to_end(&mut found);
            bytes += read.map_err(unreadable)? as u64;
            if found.is_empty() {
                break;
            }
            sums.push(crc32fast::hash(&found));
        }
        Ok(Self {
            name: text.short_name(),
            bytes,
            sums,
        })
    }
}

/// A text that gives only bytes that are as they were.
pub(crate) struct Compared {
    raw: Box<dyn Raw>,
    print: Arc<Fingerprint>,
    /// Index of the text.
    text: usize,
    /// The next piece.
    next: usize,
    buffer: Vec<u8>,
    used: usize,
}

impl Compared {
    /// From `byte` on, where `raw` stands: the start of a piece.
    pub(crate) fn new(raw: Box<dyn Raw>, print: Arc<Fingerprint>, text: usize, byte: u64) -> Self {
        Self {
            raw,
            next: (byte / print.piece() as u64) as usize,
            print,
            text,
            buffer: Vec::new(),
            used: 0,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let piece = self.print.piece();
        let most = piece.max(READ_BUFFER);
        self.used = 0;
        self.buffer.clear();
        self.buffer.reserve_exact(most);
        let mut raw = self.raw.by_ref().take(most as u64);
        let compared = match raw.read_to_end(&mut self.buffer) {
            Ok(_) => self.compare(piece, most).map_err(io::Error::other),
            Err(error) => Err(error),
        };
        // What failed is not given, whoever asks again.
        if compared.is_err() {
            self.buffer.clear();
        }
        compared
    }

    /// Compares the pieces at hand, and at the end of the text how many there were.
    fn compare(&mut self, piece: usize, most: usize) -> Result<(), Difference> {
        for found in self.buffer.chunks(piece) {
            self.print.compare(self.text, self.next, found)?;
            self.next += 1;
        }
        let is_end = self.buffer.len() < most;
        if is_end && self.next < self.print.texts[self.text].sums.len() {
            let end = self.next as u64 * piece as u64;
            return Err(Difference::Shorter { end });
        }
        Ok(())
    }
}

/// The difference in words: by lines where they can be counted, else by bytes.
fn how(text: &Text, bytes: u64, difference: Difference) -> String {
    let lines = |byte| lines_before(text, byte);
    match difference {
        Difference::Differs { from, to } => match (lines(from), lines(to.saturating_sub(1))) {
            (Some(first), Some(last)) if first == last => format!("line {} differs", first + 1),
            (Some(first), Some(last)) => {
                format!("it differs in lines {} to {}", first + 1, last + 1)
            }
            _ => format!(
                "it differs in bytes {} to {to} of the packed file",
                from + 1
            ),
        },
        Difference::Longer { end } => match lines(end.saturating_sub(1)) {
            Some(last) => format!("it goes on after line {}, where it ended", last + 1),
            None => format!("it goes on after byte {end}, where it ended"),
        },
        Difference::Shorter { end } => match lines(end.saturating_sub(1)) {
            Some(last) => format!("it ends in line {}, after {end} of {bytes} bytes", last + 1),
            None => format!("it ends after {end} of {bytes} bytes"),
        },
    }
}

/// Line ends in the first `bytes` bytes; none if the text is packed or cannot be read.
fn lines_before(text: &Text, bytes: u64) -> Option<u64> {
    if text.form.packing.is_some() {
        return None;
    }
    let raw = text.open().ok()?;
    let mut raw = BufReader::with_capacity(READ_BUFFER, raw.take(bytes));
    let mut lines = 0;
    loop {
        let found = raw.fill_buf().ok()?;
        if found.is_empty() {
            return Some(lines);
        }
        lines += found
            .iter()
            .filter(|byte| text.form.line_end.is(**byte))
            .count() as u64;
        let used = found.len();
        raw.consume(used);
    }
}

impl Read for Compared {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let given = self.fill_buf()?.read(into)?;
        self.consume(given);
        Ok(given)
    }
}

impl BufRead for Compared {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            self.refill()?;
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }
}
