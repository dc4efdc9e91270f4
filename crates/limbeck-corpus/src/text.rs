//! One text, read line by line from a file or from memory, unpacked on the way.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limbeck_recipe::Documents;
use limbeck_recipe::batching::Position;

use crate::error::CorpusError;
use crate::fingerprint::{Compared, Fingerprint, is_difference};
use crate::form::{Form, LineEnd};
use crate::packing::Unpacked;
use crate::place::{Place, READ_BUFFER, Raw};

/// A text that was examined.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) place: Place,
    pub(crate) form: Form,
}

impl Text {
    /// Examines a text of such documents.
    ///
    /// # Errors
    /// See [`Form::of`].
    pub(crate) fn new(place: Place, documents: &Documents) -> Result<Self, CorpusError> {
        let form = Form::of(&place, documents)?;
        Ok(Self { place, form })
    }
}

impl Deref for Text {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// An open text, unpacked if it is packed.
pub(crate) struct TextReader {
    text: Box<dyn BufRead + Send>,
    form: Form,
    expected: Option<Expected>,
    stop: Arc<AtomicBool>,
}

/// What the bytes of a text must be.
#[derive(Clone)]
pub(crate) struct Expected {
    /// Of the whole corpus.
    pub(crate) print: Arc<Fingerprint>,
    /// Index of the text.
    pub(crate) text: usize,
}

/// How much of the text a line took.
pub(crate) struct LineRead {
    /// With the line end; 0 at the end of the text, and if reading was stopped.
    pub(crate) bytes: u64,
    /// Whether the line had more bytes than there was room for.
    pub(crate) overflow: bool,
}

impl TextReader {
    /// Opens the text at the start of a line. With `expected`, reading fails where its bytes are others.
    pub(crate) fn open(
        text: &Text,
        at: Position,
        expected: Option<Expected>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, CorpusError> {
        let unreadable = |e| text.unreadable(e);
        let raw = text.open().map_err(unreadable)?;
        let form = text.form;
        // The line end before the position is read, as a check.
        let before = at.byte.saturating_sub(1);
        let sought = if form.packing.is_some() { 0 } else { before };
        let (raw, start) = packed(raw, sought, expected.clone()).map_err(unreadable)?;
        let unpacked: Box<dyn BufRead + Send> = match form.packing {
            Some(packing) => {
                let raw = Unpacked::new(packing, raw);
                Box::new(BufReader::with_capacity(READ_BUFFER, raw))
            }
            None => raw,
        };
        let mut reader = Self {
            text: unpacked,
            form,
            expected,
            stop,
        };
        let skipped = reader.skip(before - start);
        skipped.map_err(|e| reader.error(text, start, e))?;
        if at.byte > 0 {
            let line_end = reader
                .next_byte()
                .map_err(|e| reader.error(text, before, e))?;
            let is_end = line_end.is_some_and(|byte| form.line_end.is(byte));
            if !is_end && !reader.stop.load(Ordering::Relaxed) {
                return Err(CorpusError::Changed {
                    file: text.name(),
                    byte: at.byte,
                    line: at.line + 1,
                });
            }
        }
        Ok(reader)
    }

    /// The bytes at hand; none at the end of the file, and if reading was stopped.
    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(&[]);
        }
        // The borrow of a returned buffer cannot be kept across a retry, so it is filled first and fetched then.
        while let Err(e) = self.text.fill_buf() {
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
        self.text.fill_buf()
    }

    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let step = bytes.min(self.fill()?.len() as u64);
            if step == 0 {
                break;
            }
            self.text.consume(step as usize);
            bytes -= step;
        }
        Ok(())
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.fill()?.first().copied();
        self.text.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Reads to the next line end and puts at most `room` bytes before it into `raw`, so that memory is bounded even if the
    /// text is one line.
    pub(crate) fn read_line(&mut self, raw: &mut Vec<u8>, room: usize) -> io::Result<LineRead> {
        raw.clear();
        let mut read = LineRead {
            bytes: 0,
            overflow: false,
        };
        let ends = self.form.line_end;
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(read);
            }
            let mut bytes = available.iter();
            let line_end = match ends {
                LineEnd::Lf => bytes.position(|byte| *byte == b'\n'),
                LineEnd::Cr => bytes.position(|byte| ends.is(*byte)),
            };
            let text = &available[..line_end.unwrap_or(available.len())];
            let kept = text.len().min(room - raw.len());
            raw.extend_from_slice(&text[..kept]);
            read.overflow |= kept < text.len();
            let used = text.len() + usize::from(line_end.is_some());
            self.text.consume(used);
            read.bytes += used as u64;
            if line_end.is_some() {
                return Ok(read);
            }
        }
    }

    /// What reading the text failed with, after `byte` bytes of it.
    pub(crate) fn error(&self, text: &Text, byte: u64, source: io::Error) -> CorpusError {
        match (&self.expected, self.form.packing) {
            (Some(Expected { print, text: index }), _) if is_difference(&source) => {
                print.explain(text, *index, source)
            }
            (_, Some(packing)) => text.damaged(packing, byte, source),
            (_, None) => text.unreadable(source),
        }
    }
}

/// The bytes of a text as they are on disk, from `byte` on, or from the start of its piece if pieces are compared; and where
/// that is.
fn packed(
    mut raw: Box<dyn Raw>,
    byte: u64,
    expected: Option<Expected>,
) -> io::Result<(Box<dyn BufRead + Send>, u64)> {
    let start = match &expected {
        Some(expected) => expected.print.start_of_piece(byte),
        None => byte,
    };
    raw.seek(SeekFrom::Start(start))?;
    let bytes: Box<dyn BufRead + Send> = match expected {
        Some(Expected { print, text }) => Box::new(Compared::new(raw, print, text, start)),
        None => Box::new(BufReader::with_capacity(READ_BUFFER, raw)),
    };
    Ok((bytes, start))
}
