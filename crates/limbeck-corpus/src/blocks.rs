//! Lines of a corpus in blocks of bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limbeck_recipe::batching::Position;
use limbeck_recipe::{Documents, PAIR};

use crate::corpus::Corpus;
use crate::error::CorpusError;
use crate::json;
use crate::place::BYTE_ORDER_MARK;
use crate::text::{Text, TextReader};

/// How much of a corpus is in memory at once, and how long a line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Lines per block; only lines of the same block are shuffled with each other.
    pub block_lines: usize,
    /// Bytes of text per block.
    pub block_bytes: usize,
    /// Bytes of text per line (at least 4, the longest character); longer lines are truncated while they are read.
    pub line_bytes: usize,
}

impl BlockLimits {
    /// Blocks of 65,536 lines or 64 MiB, and lines of 32 bytes per token, several times what a token of any language
    /// takes on average.
    pub fn for_max_length(max_length: usize) -> Self {
        Self {
            block_lines: 65_536,
            block_bytes: 64 << 20,
            line_bytes: max_length.saturating_mul(32).max(4),
        }
    }

    /// Whether a block of so many lines and bytes takes another line. It always takes a first one.
    pub(crate) fn has_room(&self, lines: usize, bytes: usize) -> bool {
        let has_bytes = bytes + self.line_bytes <= self.block_bytes;
        lines == 0 || (lines < self.block_lines && has_bytes)
    }
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text, without its line end, never blank.
    pub text: String,
    /// Index of its file.
    pub file: usize,
    /// 1-based line number in that file.
    pub number: u64,
    /// Whether the line was longer than `line_bytes` and lost its end.
    pub cut: bool,
}

/// Lines that are in memory together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where the block starts.
    pub start: Position,
    /// Where the next block starts.
    pub end: Position,
    /// The lines that are not blank, at least one.
    pub lines: Vec<Line>,
}

/// Iterator over the blocks of a corpus; ends after the first error.
pub struct Blocks {
    lines: Lines,
    limits: BlockLimits,
    finished: bool,
}

impl Iterator for Blocks {
    type Item = Result<Block, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let block = self.read_block().transpose();
        self.finished = !matches!(block, Some(Ok(_)));
        block
    }
}

impl Blocks {
    /// The blocks from `start` on.
    pub(crate) fn new(corpus: Corpus, start: Position, limits: BlockLimits) -> Self {
        let end = corpus.texts().len();
        Self {
            lines: Lines::new(corpus, start, end, limits.line_bytes),
            limits,
            finished: false,
        }
    }

    /// Ends the iteration early, within milliseconds, once `stop` is true.
    pub(crate) fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self {
            lines: self.lines.until(stop),
            ..self
        }
    }

    fn read_block(&mut self) -> Result<Option<Block>, CorpusError> {
        let start = self.lines.at;
        let mut lines = Vec::new();
        let mut bytes = 0;
        while self.limits.has_room(lines.len(), bytes) {
            let Some(line) = self.lines.next()? else {
                break;
            };
            bytes += line.text.len();
            lines.push(line);
        }
        let end = self.lines.at;
        Ok((!lines.is_empty()).then_some(Block { start, end, lines }))
    }
}

/// The lines of texts of a corpus that follow each other.
pub(crate) struct Lines {
    corpus: Corpus,
    /// The start of the next line.
    pub(crate) at: Position,
    /// Index of the text after the last one.
    end: usize,
    line_bytes: usize,
    reader: Option<TextReader>,
    raw: Vec<u8>,
    stop: Arc<AtomicBool>,
}

impl Lines {
    /// The lines from a place on, up to the text of index `end`, each of at most so many bytes.
    pub(crate) fn new(corpus: Corpus, at: Position, end: usize, line_bytes: usize) -> Self {
        Self {
            corpus,
            at,
            end,
            line_bytes,
            reader: None,
            raw: Vec::new(),
            stop: Arc::default(),
        }
    }

    /// Ends early, within milliseconds, once `stop` is true.
    pub(crate) fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// Whether it has ended early.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Goes on at another place.
    pub(crate) fn go_to(&mut self, at: Position) {
        self.at = at;
        self.reader = None;
    }

    /// The next line that is not blank; none at the end, and if reading was stopped.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, CorpusError> {
        while let Some(text) = self.corpus.texts()[..self.end].get(self.at.file) {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    let expected = self.corpus.expected(self.at.file);
                    none.insert(TextReader::open(
                        text,
                        self.at,
                        expected,
                        self.stop.clone(),
                    )?)
                }
            };
            // A line end and a byte order mark are not text, and do not make a line too long.
            let is_line = *self.corpus.documents() == Documents::Lines && !text.form.has_strings;
            let room = match is_line {
                true => self.line_bytes + BYTE_ORDER_MARK.len() + 1,
                false => json::MOST_BYTES,
            };
            let read = reader.read_line(&mut self.raw, room);
            let read = read.map_err(|e| reader.error(text, self.at.byte, e))?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if read.bytes == 0 {
                self.reader = None;
                self.at = Position {
                    file: self.at.file + 1,
                    ..Position::default()
                };
                continue;
            }
            let line = match is_line {
                true => decode(text, self.at, &self.raw, read.overflow, self.line_bytes)?,
                false => self.document(text, read.overflow)?,
            };
            self.at.byte += read.bytes;
            self.at.line += 1;
            if !line.text.trim().is_empty() {
                return Ok(Some(line));
            }
        }
        self.require_end()?;
        Ok(None)
    }

    /// The document of a line that is more than that, cut as any other, each text of a pair by itself; an empty one of a blank line.
    fn document(&self, text: &Text, overflow: bool) -> Result<Line, CorpusError> {
        let line = decode(text, self.at, &self.raw, overflow, json::MOST_BYTES)?;
        let documents = self.corpus.documents();
        let is_json = text.form.has_strings || !documents.fields().is_empty();
        let document = match is_json {
            true => json::of_documents(&line.text, overflow, documents),
            false => Ok(Some(line.text)),
        };
        let document = document.map_err(|reason| CorpusError::NoDocument {
            file: text.name(),
            line: self.at.line + 1,
            reason,
        })?;
        let mut kept = document.unwrap_or_default();
        let whole = kept.len();
        let tab = match documents {
            Documents::Lines | Documents::Field(_) => None,
            Documents::Pairs | Documents::Fields(_) => kept.find(PAIR),
        };
        let last = tab.map_or(0, |tab| tab + PAIR.len_utf8());
        kept.truncate(last + kept[last..].floor_char_boundary(self.line_bytes));
        if let Some(tab) = tab {
            kept.drain(kept[..tab].floor_char_boundary(self.line_bytes)..tab);
        }
        let is_cut = kept.len() < whole;
        if is_cut {
            // A block holds many of them.
            kept.shrink_to_fit();
        }
        Ok(Line {
            cut: line.cut || is_cut,
            text: kept,
            ..line
        })
    }

    /// A position past the end comes from a run whose corpus had more files.
    fn require_end(&self) -> Result<(), CorpusError> {
        let end = Position {
            file: self.end,
            ..Position::default()
        };
        if self.at == end {
            return Ok(());
        }
        Err(CorpusError::Changed {
            file: format!("file {} of {}", self.at.file + 1, self.corpus.texts().len()),
            byte: self.at.byte,
            line: self.at.line + 1,
        })
    }
}

/// One line from its bytes; `at` is where it starts, `overflow` says that `raw` is only its beginning.
fn decode(
    from: &Text,
    at: Position,
    raw: &[u8],
    overflow: bool,
    line_bytes: usize,
) -> Result<Line, CorpusError> {
    let mark = if at.byte == 0 && raw.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    let text = &raw[mark..];
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let cut = overflow || text.len() > line_bytes;
    let text = &text[..text.len().min(line_bytes.max(4))];
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        // Only the cut goes through a character.
        Err(e) if cut && e.error_len().is_none() => {
            std::str::from_utf8(&text[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(e) => {
            return Err(CorpusError::NotUtf8 {
                file: from.name(),
                line: at.line + 1,
                byte: mark + e.valid_up_to() + 1,
            });
        }
    };
    Ok(Line {
        text: text.to_owned(),
        file: at.file,
        number: at.line + 1,
        cut,
    })
}
