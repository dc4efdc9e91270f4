//! Lines of text files or of standard input, packed or not, one at a time: texts, or JSON with a text in a field.

use std::fmt;
use std::io::{BufRead, BufReader, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limbeck_corpus::{CorpusError, MOST_JSON_BYTES, document, id, unpacked};
use limbeck_model::MOST_BYTES;
use serde_json::Value;

use crate::error::CliError;
use crate::terminal;

/// Large enough that a disk is read at full speed.
const READ_BUFFER: usize = 64 << 10;

/// Where a line stands, for messages.
#[derive(Clone)]
pub struct Place {
    /// The file, or `standard input`.
    pub file: Arc<str>,
    /// From 1.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.number)
    }
}

/// What a line holds.
#[derive(Debug, Default)]
pub struct Document {
    /// The text.
    pub text: String,
    /// What a line of JSON calls itself, as JSON.
    pub id: Option<String>,
}

/// A line.
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// The text of it; or that it is not UTF-8, or JSON without one.
    pub text: Result<Document, CorpusError>,
    /// Whether it was longer than any text that is looked at.
    pub cut: bool,
    /// Bytes of all files that had been read when its end was found.
    pub end: u64,
}

/// The lines of files, one file after the other.
pub struct Lines {
    files: std::vec::IntoIter<PathBuf>,
    field: Option<String>,
    open: Option<Open>,
    read: Arc<AtomicU64>,
}

struct Open {
    path: PathBuf,
    name: Arc<str>,
    reader: Box<dyn BufRead + Send>,
    /// What ends a line.
    end: u8,
    lines: u64,
}

impl Lines {
    /// Of these files, of which `-` is standard input; of standard input, if there are none. With `field`, they are JSON lines whose
    /// text is in that field, and blank lines are none.
    pub fn of(files: &[PathBuf], field: Option<&str>) -> Self {
        let files = match files.is_empty() {
            true => vec![PathBuf::from("-")],
            false => files.to_vec(),
        };
        Self {
            files: files.into_iter(),
            field: field.map(str::to_owned),
            open: None,
            read: Arc::default(),
        }
    }

    /// Whether a person types them.
    pub fn are_typed(files: &[PathBuf]) -> bool {
        (files.is_empty() || has_standard(files)) && std::io::stdin().is_terminal()
    }

    /// Bytes of all files; none of a stream.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn bytes(files: &[PathBuf]) -> Result<Option<u64>, CliError> {
        let mut bytes = (!files.is_empty()).then_some(0);
        for path in files.iter().filter(|path| !is_standard(path)) {
            // Opening a pipe only to look at it would take its writer away.
            let file = std::fs::metadata(path).and_then(|file| match file.is_file() {
                true => std::fs::File::open(path)?.metadata(),
                false => Ok(file),
            });
            let file = file.map_err(CliError::file("read", path))?;
            bytes = bytes.filter(|_| file.is_file()).map(|sum| sum + file.len());
        }
        Ok(bytes.filter(|_| !has_standard(files)))
    }

    fn next_line(&mut self) -> Result<Option<Line>, CliError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                none => match self.files.next() {
                    Some(path) => none.insert(Open::new(path, self.read.clone())?),
                    None => return Ok(None),
                },
            };
            match open.next_line(self.field.as_deref(), &self.read)? {
                Some(line) => return Ok(Some(line)),
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

/// Whether one of these files is standard input.
pub fn has_standard(files: &[PathBuf]) -> bool {
    files.iter().any(|path| is_standard(path))
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Open {
    fn new(path: PathBuf, read: Arc<AtomicU64>) -> Result<Self, CliError> {
        let standard = is_standard(&path);
        let raw: Box<dyn Read + Send> = match standard {
            true => Box::new(std::io::stdin()),
            false => Box::new(std::fs::File::open(&path).map_err(CliError::file("read", &path))?),
        };
        let packed = BufReader::with_capacity(READ_BUFFER, Counted { raw, read });
        let mut reader = unpacked(Box::new(packed)).map_err(CliError::file("read", &path))?;
        let mut end = b'\n';
        // Whoever writes into a pipe may wait for an answer to the first line.
        if !standard && path.is_file() {
            let mut head = Vec::new();
            let read = reader
                .by_ref()
                .take(READ_BUFFER as u64)
                .read_to_end(&mut head);
            read.map_err(CliError::file("read", &path))?;
            end = line_end(&head);
            reader = Box::new(Cursor::new(head).chain(reader));
        }
        let name = match standard {
            true => "standard input".into(),
            false => path.display().to_string().into(),
        };
        Ok(Self {
            path,
            name,
            reader,
            end,
            lines: 0,
        })
    }

    fn next_line(
        &mut self,
        field: Option<&str>,
        read: &AtomicU64,
    ) -> Result<Option<Line>, CliError> {
        let most = field.map_or(MOST_BYTES, |_| MOST_JSON_BYTES);
        loop {
            let mut bytes = Vec::new();
            let line = read_line(&mut self.reader, &mut bytes, most, self.end);
            let cut = line.map_err(CliError::file("read", &self.path))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.lines += 1;
            let place = Place {
                file: self.name.clone(),
                number: self.lines,
            };
            let line = Line {
                text: text(&bytes, cut, &place).map(|text| Document { text, id: None }),
                place,
                cut,
                end: read.load(Ordering::Relaxed),
            };
            let line = match field {
                Some(field) => line.in_json(field),
                None => {
                    line.hint();
                    Some(line)
                }
            };
            if line.is_some() {
                return Ok(line);
            }
        }
    }
}

/// A file of which is counted how much has been read, packed or not.
struct Counted {
    raw: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.raw.read(into)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl Line {
    /// What JSON has in a field; none of a blank line.
    fn in_json(mut self, field: &str) -> Option<Self> {
        let Ok(Document { text, .. }) = &self.text else {
            return Some(self);
        };
        match document(text, self.cut, field).transpose()? {
            Ok(mut found) => {
                let kept = found.floor_char_boundary(MOST_BYTES);
                self.cut = kept < found.len();
                found.truncate(kept);
                let id = id(text).map(str::to_owned);
                self.text = Ok(Document { text: found, id });
            }
            Err(reason) => {
                self.text = Err(CorpusError::NoDocument {
                    file: self.place.file.to_string(),
                    line: self.place.number,
                    reason,
                });
            }
        }
        Some(self)
    }

    /// JSON is a text, too, but hardly the one that was meant: this is said of a file's first line.
    fn hint(&self) {
        let text = self.text.as_ref().map_or("", |document| &document.text);
        if self.place.number > 1 || !text.starts_with(['{', '"']) {
            return;
        }
        let (what, advice) = match serde_json::from_str(text) {
            Ok(Value::Object(_)) => (
                "object, and is read as it stands",
                "Name the field with the text with --corpus-field",
            ),
            Ok(Value::String(_)) => (
                "string, and is read as it stands, with its quotes",
                "To read what it says, write the texts to a file first (jq -r .)",
            ),
            _ => return,
        };
        terminal::say(format_args!("{} is a JSON {what}. {advice}", self.place));
    }
}

/// What ends the lines of a text that begins so: CR, as on an old Mac, where LF ends none.
fn line_end(head: &[u8]) -> u8 {
    // The last byte may be half of an end.
    let before = head.split_last().map_or(head, |(_, before)| before);
    match before.contains(&b'\r') && !head.contains(&b'\n') {
        true => b'\r',
        false => b'\n',
    }
}

/// Reads a line with its end, and no more than `most` bytes of it are looked at; whether it was longer.
pub fn read_line(
    reader: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    most: usize,
    end: u8,
) -> std::io::Result<bool> {
    // One byte more, so that what is looked at is cut, too.
    let most = most + 1;
    reader.by_ref().take(most as u64).read_until(end, bytes)?;
    let cut = bytes.len() == most && !bytes.ends_with(&[end]);
    if cut {
        reader.skip_until(end)?;
    }
    Ok(cut)
}

/// The text of a line.
fn text(bytes: &[u8], cut: bool, place: &Place) -> Result<String, CorpusError> {
    let bytes = match place.number {
        1 => bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes),
        _ => bytes,
    };
    let text = match std::str::from_utf8(bytes) {
        // Only the cut goes through a character.
        Err(e) if cut && e.error_len().is_none() => {
            std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default()
        }
        text => text.map_err(|e| CorpusError::NotUtf8 {
            file: place.file.to_string(),
            line: place.number,
            byte: e.valid_up_to() + 1,
        })?,
    };
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
