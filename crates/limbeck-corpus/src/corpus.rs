//! A corpus: which texts it is made of.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use limbeck_recipe::Documents;
use limbeck_recipe::batching::{Position, is_held_out};

use crate::blocks::{BlockLimits, Blocks, Lines};
use crate::error::CorpusError;
use crate::fingerprint::Fingerprint;
use crate::place::{Place, READ_BUFFER, shown, unreadable};
use crate::text::{Expected, Text};

/// Texts that a message names before it only counts them.
const NAMED_TEXTS: usize = 3;
/// Parts of a corpus that are measured by themselves: of more, so few lines each would be that they say nothing.
const MEASURED_PARTS: usize = 32;
/// Lines that are in memory together while they are only counted.
const COUNTED_LINES: usize = 1024;

/// What a model card says of one text of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// Name without folders (a published card reveals nothing of this machine).
    pub name: String,
    /// Size, compressed if the text is.
    pub bytes: u64,
}

/// What one pattern of a corpus names, or one text in memory.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Without folders.
    name: String,
    /// Indices of its texts. None if earlier patterns name all of them.
    texts: Range<usize>,
}

/// Texts with one document a line: UTF-8 with or without a byte order mark, LF or CRLF (or CR alone, if there is no LF), as they
/// are or packed with gzip, and natively zstd, xz or bzip2. A document is what [`Documents`] says of a line. The content
/// of files is never in memory as a whole. A clone shares the texts.
#[derive(Clone, Debug)]
pub struct Corpus {
    texts: Arc<[Text]>,
    parts: Arc<[Part]>,
    weights: Option<Arc<[f64]>>,
    documents: Arc<Documents>,
    fingerprint: Option<Arc<Fingerprint>>,
}

impl Corpus {
    /// Finds the files of paths and globs: sorted within a pattern, each file once, at its first mention. Reads the beginning of every
    /// file, and up to the first line of text, so that most mistakes show before a run begins.
    pub fn open(patterns: &[String], documents: impl Into<Documents>) -> Result<Self, CorpusError> {
        if patterns.is_empty() {
            return Err(CorpusError::NoPattern);
        }
        let mut texts = Vec::new();
        let mut parts = Vec::new();
        let mut known = HashSet::new();
        for pattern in patterns {
            let first = texts.len();
            for path in expand(pattern)? {
                let identity = path.canonicalize().map_err(|e| unreadable(&path, e))?;
                if known.insert(identity) {
                    texts.push(Place::File(path));
                }
            }
            let name = Path::new(pattern).file_name().unwrap_or_default();
            parts.push(Part {
                name: name.to_string_lossy().into_owned(),
                texts: first..texts.len(),
            });
        }
        Self::with_text(texts, parts, documents.into())
    }

    /// The corpus of texts that are already here, each with its name for messages. The same bytes give the same lines
    /// as from a file of that name.
    pub fn in_memory(
        texts: Vec<(String, Arc<[u8]>)>,
        documents: impl Into<Documents>,
    ) -> Result<Self, CorpusError> {
        if texts.is_empty() {
            return Err(CorpusError::NoText);
        }
        let parts = texts.iter().enumerate().map(|(index, (name, _))| Part {
            name: name.rsplit('/').next().unwrap_or(name).to_owned(),
            texts: index..index + 1,
        });
        let parts = parts.collect();
        let texts = texts.into_iter();
        let places = texts.map(|(name, bytes)| Place::Memory { name, bytes });
        Self::with_text(places.collect(), parts, documents.into())
    }

    fn with_text(
        places: Vec<Place>,
        parts: Vec<Part>,
        documents: Documents,
    ) -> Result<Self, CorpusError> {
        let texts = places.into_iter().map(|place| Text::new(place, &documents));
        let corpus = Self {
            texts: texts.collect::<Result<_, _>>()?,
            parts: parts.into(),
            weights: None,
            documents: documents.into(),
            fingerprint: None,
        };
        corpus.require_text()?;
        Ok(corpus)
    }

    /// The same corpus, of whose batches each part (what a pattern names, or a text in memory) has the share of lines that its weight
    /// is of all weights; none leaves it as it is. Weights are finite, 0 or more, and not all 0. `limits` and the fraction of lines that
    /// is held out are those of the run.
    ///
    /// # Errors
    /// There is not one weight a part, a part has a weight and no line to train on, or a text cannot be read.
    pub fn weighted(
        self,
        weights: Option<&[f64]>,
        limits: BlockLimits,
        heldout: f64,
    ) -> Result<Self, CorpusError> {
        let Some(weights) = weights else {
            return Ok(self);
        };
        if weights.len() != self.parts.len() {
            return Err(CorpusError::Weights {
                weights: weights.len(),
                parts: self.parts.len(),
            });
        }
        for (part, _) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let from = self.start_of(part);
            let mut lines = Lines::new(self.clone(), from, self.end_of(part), limits.line_bytes);
            let mut count = 0;
            loop {
                match lines.next()? {
                    Some(line) if is_held_out(&line.text, heldout) => count += 1,
                    Some(_) => break,
                    None if count == 0 => return Err(self.nothing_to_weigh(part)),
                    None => {
                        return Err(CorpusError::AllHeldOut {
                            name: self.parts[part].name.clone(),
                            lines: count,
                            heldout,
                        });
                    }
                }
            }
        }
        Ok(Self {
            weights: Some(weights.into()),
            ..self
        })
    }

    pub(crate) fn nothing_to_weigh(&self, part: usize) -> CorpusError {
        let name = self.parts[part].name.clone();
        CorpusError::NothingToWeigh { name }
    }

    /// How much is read of each part, if that is said.
    pub(crate) fn weights(&self) -> Option<Arc<[f64]>> {
        self.weights.clone()
    }

    /// Where a part begins.
    pub(crate) fn start_of(&self, part: usize) -> Position {
        Position {
            file: self.parts[part].texts.start,
            ..Position::default()
        }
    }

    /// Index of the text after the last one of a part.
    pub(crate) fn end_of(&self, part: usize) -> usize {
        self.parts[part].texts.end
    }

    /// The names of the parts that are measured by themselves, in order; none unless there are several, and not too many. Where
    /// parts have the same name, their places, from 1, are added.
    pub fn measured_parts(&self) -> Vec<String> {
        let parts = &self.parts;
        if !(2..=MEASURED_PARTS).contains(&parts.len()) {
            return Vec::new();
        }
        let name = |(index, part): (usize, &Part)| {
            let same = parts.iter().filter(|other| other.name == part.name);
            match same.count() {
                1 => part.name.clone(),
                _ => format!("{} ({})", part.name, index + 1),
            }
        };
        parts.iter().enumerate().map(name).collect()
    }

    fn require_text(&self) -> Result<(), CorpusError> {
        let first_line_only = BlockLimits {
            block_lines: 1,
            block_bytes: READ_BUFFER,
            line_bytes: READ_BUFFER,
        };
        match self.blocks(Position::default(), first_line_only).next() {
            Some(block) => block.map(|_| ()),
            None => Err(CorpusError::Empty {
                files: self.name_texts(),
            }),
        }
    }

    fn name_texts(&self) -> String {
        let named: Vec<_> = self
            .texts
            .iter()
            .take(NAMED_TEXTS)
            .map(|text| text.name())
            .collect();
        match self.texts.len().saturating_sub(NAMED_TEXTS) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// The blocks from `start` (the default, or where an earlier block ended) to the end of the last file. The same
    /// limits give the same blocks.
    pub fn blocks(&self, start: Position, limits: BlockLimits) -> Blocks {
        Blocks::new(self.clone(), start, limits)
    }

    /// The same corpus, held to what its bytes are now: from here on, reading fails where they are others. Reads all of it
    /// once.
    pub fn fingerprinted(self) -> Result<Self, CorpusError> {
        let fingerprint = Fingerprint::take(&self.texts)?;
        Ok(self.held_to(Arc::new(fingerprint)))
    }

    /// The same corpus, held to what its bytes were. Reads all of it once and refuses a text that has changed, with the place.
    pub fn unchanged_since(self, fingerprint: Fingerprint) -> Result<Self, CorpusError> {
        let fingerprint = Arc::new(fingerprint);
        fingerprint.require(&self.texts)?;
        Ok(self.held_to(fingerprint))
    }

    fn held_to(self, fingerprint: Arc<Fingerprint>) -> Self {
        Self {
            fingerprint: Some(fingerprint),
            ..self
        }
    }

    /// What its bytes are held to, if they are.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.as_deref()
    }

    /// What the bytes of one text must be.
    pub(crate) fn expected(&self, text: usize) -> Option<Expected> {
        let print = self.fingerprint.clone()?;
        Some(Expected { print, text })
    }

    /// What a document is.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The texts, in order.
    pub(crate) fn texts(&self) -> &[Text] {
        &self.texts
    }

    /// Where the texts are that are files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().filter_map(|text| match &text.place {
            Place::File(path) => Some(path.as_path()),
            Place::Memory { .. } => None,
        })
    }

    /// File and line for a message, such as `corpus.txt, line 17`, of an entry of `Batch::sources`.
    pub fn name_line(&self, (file, line): (usize, u64)) -> String {
        match self.texts.get(file) {
            Some(text) => format!("{}, line {line}", text.name()),
            None => format!("file {}, line {line}", file + 1),
        }
    }

    /// Name and size of each text.
    pub fn describe(&self) -> Result<Vec<FileSummary>, CorpusError> {
        let summary = |text: &Text| {
            Ok(FileSummary {
                name: text.short_name(),
                bytes: text.size()?,
            })
        };
        self.texts.iter().map(summary).collect()
    }

    /// How many lines of each text are not blank. Reads all of them.
    pub fn count_lines(&self) -> Result<Vec<u64>, CorpusError> {
        let limits = BlockLimits {
            block_lines: COUNTED_LINES,
            block_bytes: COUNTED_LINES * READ_BUFFER,
            line_bytes: READ_BUFFER,
        };
        let mut counts = vec![0; self.texts.len()];
        for block in self.blocks(Position::default(), limits) {
            for line in block?.lines {
                counts[line.file] += 1;
            }
        }
        Ok(counts)
    }
}

/// The files of one pattern. A path that is there is taken as it is, even with glob characters in its name.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let path = Path::new(pattern);
    if path.is_dir() {
        let trimmed = pattern.trim_end_matches('/');
        return Err(CorpusError::Folder {
            file: trimmed.to_owned(),
        });
    }
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if path.exists() {
        return Err(CorpusError::NotRegular {
            file: pattern.to_owned(),
        });
    }
    let like_a_shell = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let matches = glob::glob_with(pattern, like_a_shell).map_err(|e| CorpusError::BadPattern {
        pattern: pattern.to_owned(),
        reason: e.msg.to_owned(),
    })?;
    // They come sorted.
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|e| CorpusError::Unreadable {
            file: shown(e.path()),
            source: e.into(),
        })?;
        if found.is_file() {
            files.push(found);
        }
    }
    if files.is_empty() {
        return Err(CorpusError::NoMatch {
            pattern: pattern.to_owned(),
            folder: std::env::current_dir().map_or_else(|_| "the current folder".into(), shown),
        });
    }
    Ok(files)
}
