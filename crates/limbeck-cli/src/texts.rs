//! Lines of text files or of standard input, one at a time.

use std::fmt;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbeck_corpus::CorpusError;
use limbeck_model::MOST_BYTES;

use crate::error::CliError;

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

/// A line.
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// Without its end; or that it is not UTF-8.
    pub text: Result<String, CorpusError>,
    /// Whether it was longer than any text that is looked at.
    pub cut: bool,
    /// Bytes read up to its end, of all files.
    pub end: u64,
}

/// The lines of files, one file after the other.
pub struct Lines {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<Open>,
    read: u64,
}

struct Open {
    path: PathBuf,
    name: Arc<str>,
    reader: Box<dyn BufRead + Send>,
    lines: u64,
}

impl Lines {
    /// Of these files, of which `-` is standard input; of standard input, if there are none.
    pub fn of(files: &[PathBuf]) -> Self {
        let files = match files.is_empty() {
            true => vec![PathBuf::from("-")],
            false => files.to_vec(),
        };
        Self {
            files: files.into_iter(),
            open: None,
            read: 0,
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
                    Some(path) => none.insert(Open::new(path)?),
                    None => return Ok(None),
                },
            };
            match open.next_line(&mut self.read)? {
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
    fn new(path: PathBuf) -> Result<Self, CliError> {
        let standard = is_standard(&path);
        let reader: Box<dyn BufRead + Send> = match standard {
            true => Box::new(BufReader::new(std::io::stdin())),
            false => Box::new(BufReader::new(
                std::fs::File::open(&path).map_err(CliError::file("read", &path))?,
            )),
        };
        let name = match standard {
            true => "standard input".into(),
            false => path.display().to_string().into(),
        };
        Ok(Self {
            path,
            name,
            reader,
            lines: 0,
        })
    }

    fn next_line(&mut self, read: &mut u64) -> Result<Option<Line>, CliError> {
        let mut bytes = Vec::new();
        let (cut, taken) =
            read_line(&mut self.reader, &mut bytes).map_err(CliError::file("read", &self.path))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.lines += 1;
        *read += taken;
        let place = Place {
            file: self.name.clone(),
            number: self.lines,
        };
        Ok(Some(Line {
            text: text(&bytes, cut, &place),
            place,
            cut,
            end: *read,
        }))
    }
}

/// Reads a line with its end, and no more of it than is looked at; whether it was longer, and the bytes of all of it.
pub fn read_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<(bool, u64)> {
    // One byte more, so that what is looked at is cut, too.
    let most = MOST_BYTES + 1;
    reader.by_ref().take(most as u64).read_until(b'\n', bytes)?;
    let cut = bytes.len() == most && !bytes.ends_with(b"\n");
    let skipped = if cut { reader.skip_until(b'\n')? } else { 0 };
    Ok((cut, (bytes.len() + skipped) as u64))
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
