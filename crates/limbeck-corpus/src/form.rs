//! What a text is, by its first bytes: how it is packed, how its lines end, and whether it is text at all.

use std::io::{self, BufReader, Read, Seek};

use limbeck_recipe::Documents;

use crate::error::CorpusError;
use crate::json;
use crate::packing::{Packing, Unpacked};
use crate::place::{BYTE_ORDER_MARK, Place, READ_BUFFER, Raw};
use crate::table;

/// What is told apart before anything is read of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) packing: Option<Packing>,
    pub(crate) line_end: LineEnd,
    /// Whether a line is a JSON string, and the document what that says.
    pub(crate) has_strings: bool,
}

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// LF, or CR and LF.
    Lf,
    /// CR alone, as on a Mac long ago; in such a text, LF too.
    Cr,
}

impl LineEnd {
    /// Whether a byte ends a line.
    pub(crate) fn is(self, byte: u8) -> bool {
        byte == b'\n' || self == Self::Cr && byte == b'\r'
    }

    fn of(head: &[u8], is_whole: bool) -> Self {
        // The first half of a line end may be the last byte at hand.
        let sure = match head.split_last() {
            Some((b'\r', before)) if !is_whole => before,
            _ => head,
        };
        match !sure.contains(&b'\n') && sure.contains(&b'\r') {
            true => Self::Cr,
            false => Self::Lf,
        }
    }
}

/// The beginning of a text, unpacked.
struct Head {
    bytes: Vec<u8>,
    /// Whether that is all of it.
    is_whole: bool,
}

impl Form {
    /// Examines a text of such documents.
    ///
    /// # Errors
    /// It cannot be read, or is something else than documents.
    pub(crate) fn of(place: &Place, documents: &Documents) -> Result<Self, CorpusError> {
        let unreadable = |e| place.unreadable(e);
        let mut raw = place.open().map_err(unreadable)?;
        let packed = Head::read(&mut raw).map_err(|(_, e)| unreadable(e))?;
        let packing = Packing::of(&packed.bytes);
        let promised = Packing::of_name(&place.name());
        if let Some(packing) = promised.filter(|_| packed.bytes.is_empty()) {
            return Err(place.damaged(packing, 0, io::ErrorKind::UnexpectedEof.into()));
        }
        let head = match packing {
            None => packed,
            Some(packing) => unpacked_head(place, packing, raw)?,
        };
        let has_strings = head.require_documents(place, packing, documents)?;
        let text = head.bytes.strip_prefix(BYTE_ORDER_MARK);
        Ok(Self {
            packing,
            line_end: LineEnd::of(text.unwrap_or(&head.bytes), head.is_whole),
            has_strings,
        })
    }
}

/// What a file is that is read whole and should be plain text, where its first bytes say that it is not: packed, an archive, an office
/// file, or text of two or four bytes a character.
pub fn other_than_text(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(READ_BUFFER)];
    let packing = Packing::of(head).map(|packing| format!("packed with {}", packing.program()));
    let other = || binary(head).or_else(|| wide(head));
    packing.or_else(|| other().map(|(what, _)| what.to_owned()))
}

fn unpacked_head(
    place: &Place,
    packing: Packing,
    mut raw: Box<dyn Raw>,
) -> Result<Head, CorpusError> {
    if !packing.is_read() {
        let program = packing.program();
        return Err(CorpusError::NotText {
            file: place.name(),
            what: format!("packed with {program}, which a browser does not read"),
            advice: format!("Unpack it ({program} -d), or pack it with gzip"),
        });
    }
    raw.rewind().map_err(|e| place.unreadable(e))?;
    let packed = BufReader::with_capacity(READ_BUFFER, raw);
    Head::read(&mut Unpacked::new(packing, Box::new(packed)))
        .map_err(|(bytes, e)| place.damaged(packing, bytes as u64, e))
}

impl Head {
    /// The first bytes; or how many there were before it failed.
    fn read(from: &mut dyn Read) -> Result<Self, (usize, io::Error)> {
        let mut bytes = Vec::with_capacity(READ_BUFFER);
        let read = from.take(READ_BUFFER as u64).read_to_end(&mut bytes);
        read.map_err(|e| (bytes.len(), e))?;
        Ok(Self {
            is_whole: bytes.len() < READ_BUFFER,
            bytes,
        })
    }

    /// The text of it; none if it is not UTF-8.
    fn text(&self) -> Option<&str> {
        let bytes = self.bytes.strip_prefix(BYTE_ORDER_MARK);
        let bytes = bytes.unwrap_or(&self.bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(e) if !self.is_whole && e.error_len().is_none() => {
                std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }

    /// Whether a document is what a JSON string says, and not the line or its fields.
    fn require_documents(
        &self,
        place: &Place,
        packing: Option<Packing>,
        documents: &Documents,
    ) -> Result<bool, CorpusError> {
        let refuse = |what: &str, advice: String| {
            Err(CorpusError::NotText {
                file: place.name(),
                what: match packing {
                    None => what.to_owned(),
                    Some(packing) => format!("{what}, packed with {}", packing.program()),
                },
                advice,
            })
        };
        if let Some((what, advice)) = binary(&self.bytes).or_else(|| markup(&self.bytes)) {
            return refuse(what, advice.to_owned());
        }
        if let Some(outer) = packing
            && let Some(inner) = Packing::of(&self.bytes)
        {
            let [outer, inner] = [outer, inner].map(Packing::program);
            return Err(CorpusError::NotText {
                file: place.name(),
                what: format!("packed twice ({inner} inside {outer})"),
                advice: format!("Unpack it once ({outer} -d)"),
            });
        }
        if let Some((what, encoding)) = wide(&self.bytes) {
            let advice = format!("Convert it (iconv -f {encoding} -t UTF-8)");
            return refuse(what, advice);
        }
        let zeros = self.bytes.iter().filter(|byte| **byte == 0).count();
        if 4 * zeros > self.bytes.len() {
            return refuse("binary data", NAME_TEXT.to_owned());
        }
        let Some(text) = self.text() else {
            // A line in another encoding is named when it is read, by its number.
            return match zeros {
                0 => Ok(false),
                _ => refuse("binary data", NAME_TEXT.to_owned()),
            };
        };
        let kind = json::Kind::of(text, self.is_whole);
        let has_fields = !documents.fields().is_empty();
        let are_pairs = *documents == Documents::Pairs;
        match kind {
            Some(json::Kind::Document) => refuse("one JSON document", TO_FIELD.to_owned()),
            Some(json::Kind::Lists) => {
                let advice = if are_pairs { OF_PAIRS } else { OF_LISTS };
                refuse("JSON lines of lists", advice.to_owned())
            }
            Some(json::Kind::Strings) if !has_fields => Ok(true),
            Some(json::Kind::Lines(keys)) if !has_fields => Err(CorpusError::NeedsField {
                file: place.name(),
                keys,
                are_pairs,
            }),
            Some(json::Kind::Lines(_) | json::Kind::Strings) => {
                self.require_fields(text, place, documents).map(|()| false)
            }
            None => {
                let name = place.name();
                let columns = match are_pairs {
                    true => table::columns_of_pairs(text, self.is_whole, &name),
                    false => table::columns(text, self.is_whole, &name),
                };
                if let Some(columns) = columns {
                    let advice = match documents {
                        Documents::Pairs => OF_TWO.to_owned(),
                        Documents::Fields(_) => format!("{OF_TWO_FIELDS} {OF_TWO}"),
                        _ if columns.len() == 2 => format!("{OF_TABLE}. {PAIRS}"),
                        _ => OF_TABLE.to_owned(),
                    };
                    let columns = json::list(&columns);
                    return refuse("a table", format!("Its first row is {columns}. {advice}"));
                }
                if has_fields {
                    self.require_fields(text, place, documents)?;
                }
                Ok(false)
            }
        }
    }

    /// The first line that is all here and not blank must have a document.
    fn require_fields(
        &self,
        text: &str,
        place: &Place,
        documents: &Documents,
    ) -> Result<(), CorpusError> {
        let whole = match text.rfind('\n') {
            Some(end) if !self.is_whole => &text[..end],
            None if !self.is_whole => return Ok(()),
            _ => text,
        };
        let mut lines = whole.lines().enumerate();
        match lines.find(|(_, line)| !line.trim().is_empty()) {
            None => Ok(()),
            Some((index, line)) => match json::of_documents(line, false, documents) {
                Ok(_) => Ok(()),
                Err(reason) => Err(CorpusError::NoDocument {
                    file: place.name(),
                    line: index as u64 + 1,
                    reason,
                }),
            },
        }
    }
}

/// What begins with these bytes, and what to do with it.
const BINARIES: [(&[u8], &str, &str); 20] = [
    (b"PAR1", "a Parquet file", TO_LINES),
    (b"ARROW1", "an Arrow file", TO_LINES),
    (b"FEA1", "a Feather file", TO_LINES),
    (b"ORC", "an ORC file", TO_LINES),
    (b"Obj\x01", "an Avro file", TO_LINES),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", TO_LINES),
    (b"\x93NUMPY", "a NumPy array", TO_LINES),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "Write its column of texts to a file, one document per line (sqlite3 FILE 'select ...')",
    ),
    (
        b"%PDF-",
        "a PDF",
        "Extract its text first (pdftotext), one document per line",
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an office file",
        SAVE_AS_TEXT,
    ),
    (b"{\\rtf", "an RTF file", SAVE_AS_TEXT),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"\x04\x22\x4d\x18", "packed with lz4", REPACK),
    (b"\xff\x06\0\0sNaPpY", "packed with snappy", REPACK),
    (b"\x1f\x9d", "packed with compress", REPACK),
    (b"LZIP", "packed with lzip", REPACK),
    (b"\x5d\0\0", "packed with lzma", REPACK),
    (
        b"version https://git-lfs.github.com/spec/v1",
        "a Git LFS pointer, not the file itself",
        "Fetch it: git lfs pull",
    ),
    (b"\x7fELF", "a program", NAME_TEXT),
];

const TO_FIELD: &str =
    "Write it as JSON lines (jq -c '.[]'), and name the field with the text with --corpus-field";
const OF_LISTS: &str =
    "Write the texts to a file, one document per line (jq -r '.[0]' for the first of each list)";
const OF_PAIRS: &str =
    "Write the two texts of each list to a file, with a tab between them (jq -r '@tsv')";
const OF_TWO: &str = "Write two of its columns to a file, without the row of their names and without quotes, with a tab between the two \
                      texts; or write it as JSON lines, and name both fields with --corpus-field";
const OF_TABLE: &str = "Write the column with the text to a file, one document per line; or the table as JSON lines, and name \
                        the field with --corpus-field";
const OF_TWO_FIELDS: &str =
    "Lines of two texts with a tab between them are pairs without --corpus-field.";
const PAIRS: &str = "A run with --corpus-pairs reads each row as a pair of texts";
const TO_LINES: &str = "Write its column of texts to a text file, one document per line; or write it as JSON lines, and name the \
                        field with --corpus-field";
const NAME_TEXT: &str = "Name text files, UTF-8, with one document per line";
const OF_MARKUP: &str = "Extract its text, one document per line; a download may have brought this page in the place of a text";
const SAVE_AS_TEXT: &str = "Save it as text, UTF-8, with one document per line";
const UNPACK: &str = "Unpack it, and name the text files in it";
const REPACK: &str = "Unpack it, or pack it with gzip";

/// Names of files that only an office file has, among the first in its archive.
const OFFICE: [&[u8]; 6] = [
    b"[Content_Types].xml",
    b"word/",
    b"xl/",
    b"ppt/",
    b"mimetypeapplication/vnd.oasis.opendocument",
    b"mimetypeapplication/epub",
];

fn binary(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let holds = |name: &&[u8]| head.windows(name.len()).any(|found| found == *name);
        return Some(match OFFICE.iter().any(holds) {
            true => ("an office file", SAVE_AS_TEXT),
            false => ("a zip archive", UNPACK),
        });
    }
    // Where the header of a file in it says which kind of tar it is.
    if head.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    // A text may begin with a few of these letters.
    let is_text = !head
        .iter()
        .any(|byte| *byte < b' ' && !b"\t\n\r\x0c".contains(byte));
    let is_word = |magic: &[u8]| magic.len() < 5 && magic.is_ascii();
    let mut known = BINARIES.iter();
    let (_, what, advice) =
        known.find(|(magic, ..)| head.starts_with(magic) && !(is_text && is_word(magic)))?;
    Some((what, advice))
}

/// Text that is no document's but a page's, by how it begins.
fn markup(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let head = head.trim_ascii_start();
    let begins = |word: &str| {
        let start = head.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if begins("<!doctype html") || begins("<html") {
        return Some(("an HTML page", OF_MARKUP));
    }
    begins("<?xml").then_some(("an XML file", OF_MARKUP))
}

/// Text of two or four bytes a character, by its byte order mark or its zeros, and what iconv calls its encoding.
fn wide(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
        return Some(("UTF-32 text", "UTF-32"));
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some(("UTF-16 text", "UTF-16"));
    }
    // Whatever the script, spaces and line ends have a zero: all of them on the same side.
    let (units, _) = head.as_chunks::<2>();
    let [first, second] = [0, 1].map(|side| units.iter().filter(|unit| unit[side] == 0).count());
    let has = |blank: [u8; 2]| units.contains(&blank);
    // A few letters have a zero on the other side, such as U+0100.
    let is_enough = |zeros: usize, others: usize| {
        units.len() >= 8 && 16 * zeros >= units.len() && 32 * others <= zeros
    };
    if is_enough(second, first) && (has(*b" \0") || has(*b"\n\0")) {
        return Some(("UTF-16 text", "UTF-16LE"));
    }
    if is_enough(first, second) && (has(*b"\0 ") || has(*b"\0\n")) {
        return Some(("UTF-16 text", "UTF-16BE"));
    }
    None
}
