//! Text files to batches: the files of a corpus, read in blocks of bounded memory, and a background thread that
//! shuffles, tokenises and batches them. Which line goes where is decided in `limbeck_train::batching`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::bufread::MultiGzDecoder;
use limbeck_train::batching::{
    Batch, DataPosition, Encoded, Position, Rng, is_held_out, plan_batches, shuffled,
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// Large enough that a disk is read at full speed and a stop is noticed within milliseconds.
const READ_BUFFER: usize = 64 << 10;
/// Batches that are sorted by length together: enough for little padding, few enough to stay well mixed.
const CHUNK_BATCHES: usize = 50;
/// Finished batches that wait for the trainer.
const QUEUED_BATCHES: usize = 8;
/// Files that a message names before it only counts them.
const NAMED_FILES: usize = 3;

/// Why a corpus cannot be read or batched.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The list of patterns is empty.
    #[error("empty corpus: no file was named. Name text files or globs, with one document a line")]
    NoPattern,
    /// Nothing on disk fits the pattern.
    #[error(
        "no file matches '{pattern}' (looked from {folder}). Check the path, or quote the glob"
    )]
    NoMatch {
        /// The pattern as it was given.
        pattern: String,
        /// The current folder, from which relative paths start.
        folder: String,
    },
    /// The pattern is no valid glob.
    #[error("'{pattern}' is not a valid glob: {reason}")]
    BadPattern {
        /// The pattern as it was given.
        pattern: String,
        /// What the glob parser says.
        reason: String,
    },
    /// A folder is named as a file.
    #[error("'{file}' is a folder. Name the files in it, for example '{file}/*.txt'")]
    Folder {
        /// The folder, without a slash at its end.
        file: String,
    },
    /// A pipe, socket or device, which cannot be read again in the next epoch.
    #[error(
        "'{file}' is not a regular file. Write its text to a file, which every epoch can read again"
    )]
    NotRegular {
        /// The path as it was given.
        file: String,
    },
    /// Opening or reading fails.
    #[error("cannot read {file}: {source}. Check that the file is there and that you may read it")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The gzip data ends too early or is damaged.
    #[error(
        "{file}: the gzip data is truncated or damaged after {byte} bytes of text ({source}). Test it with gzip -t, \
         and download or compress the file again"
    )]
    Gzip {
        /// The file.
        file: String,
        /// Bytes of text that were unpacked and read.
        byte: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// Only blank lines, or no lines, in all files.
    #[error("empty corpus: no line of text in {files}. Name files with one document a line")]
    Empty {
        /// The files, or the first of them.
        files: String,
    },
    /// A line is not UTF-8.
    #[error(
        "{file}, line {line}: not valid UTF-8 at byte {byte} of the line. Convert the file (iconv -f {encoding} -t \
         UTF-8), or remove the line"
    )]
    NotUtf8 {
        /// The file.
        file: String,
        /// 1-based line number.
        line: u64,
        /// 1-based byte of the line.
        byte: usize,
        /// The encoding that the file most likely has.
        encoding: &'static str,
    },
    /// A position of an earlier run is not the start of a line any more.
    #[error(
        "{file}: byte {byte} is no longer the start of line {line}: the corpus has changed since the run began. \
         Restore its files, or start a new run"
    )]
    Changed {
        /// The file, or what stands for it.
        file: String,
        /// Byte of the uncompressed text.
        byte: u64,
        /// 1-based line number.
        line: u64,
    },
    /// An epoch is over without a single batch.
    #[error(
        "the corpus gives no batch: all of its lines are held out or have no tokens. Add lines, or hold out fewer \
         (now {percent} %)"
    )]
    NoBatch {
        /// The held-out part of the lines, in percent.
        percent: f64,
    },
    /// The tokenizer fails.
    #[error("cannot tokenise the lines from {place} on: {reason}")]
    Tokenise {
        /// File and line of the first of the lines.
        place: String,
        /// What the tokenizer says.
        reason: String,
    },
    /// The background thread cannot be started or has panicked.
    #[error("the thread that prepares batches failed: {0}")]
    Thread(String),
}

/// How much of a corpus is in memory at once, and how long a line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Lines of a block; only lines of one block are shuffled with each other.
    pub block_lines: usize,
    /// Bytes of text of a block.
    pub block_bytes: usize,
    /// Bytes of text of a line (at least 4, the longest character); what is longer is cut while it is read.
    pub line_bytes: usize,
}

impl BlockLimits {
    /// Blocks of 65,536 lines or 64 MiB, and lines of 32 bytes a token, several times what a token of any language
    /// takes on average.
    pub fn for_max_length(max_length: usize) -> Self {
        Self {
            block_lines: 65_536,
            block_bytes: 64 << 20,
            line_bytes: max_length.saturating_mul(32).max(4),
        }
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

/// What a model card says of one file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// Name without folders (a published card says nothing of this machine).
    pub name: String,
    /// Size on disk, compressed if the file is.
    pub bytes: u64,
}

/// Text files with one document a line: UTF-8 with or without a byte order mark, LF or CRLF, plain or gzip. Their
/// content is never in memory as a whole.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<PathBuf>,
}

impl Corpus {
    /// Finds the files of paths and globs: sorted within a pattern, each file once, at its first mention. Reads up to
    /// the first line of text and opens every file, so that most mistakes show before a run begins.
    pub fn open(patterns: &[String]) -> Result<Self, CorpusError> {
        if patterns.is_empty() {
            return Err(CorpusError::NoPattern);
        }
        let mut files = Vec::new();
        let mut known = HashSet::new();
        for pattern in patterns {
            for path in expand(pattern)? {
                let identity = path.canonicalize().map_err(|e| unreadable(&path, e))?;
                File::open(&path).map_err(|e| unreadable(&path, e))?;
                if known.insert(identity) {
                    files.push(path);
                }
            }
        }
        let corpus = Self { files };
        corpus.require_text()?;
        Ok(corpus)
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
                files: self.name_files(),
            }),
        }
    }

    fn name_files(&self) -> String {
        let named: Vec<_> = self.files.iter().take(NAMED_FILES).map(shown).collect();
        match self.files.len().saturating_sub(NAMED_FILES) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// The blocks from `start` (the default, or where an earlier block ended) to the end of the last file. The same
    /// limits give the same blocks.
    pub fn blocks(&self, start: Position, limits: BlockLimits) -> Blocks<'_> {
        Blocks {
            corpus: self,
            limits,
            at: start,
            reader: None,
            raw: Vec::new(),
            stop: Arc::default(),
            finished: false,
        }
    }

    /// File and line for a message, such as `corpus.txt, line 17`, of an entry of `Batch::sources`.
    pub fn name_line(&self, (file, line): (usize, u64)) -> String {
        match self.files.get(file) {
            Some(path) => format!("{}, line {line}", shown(path)),
            None => format!("file {}, line {line}", file + 1),
        }
    }

    /// Name and size of each file.
    pub fn describe(&self) -> Result<Vec<FileSummary>, CorpusError> {
        self.files
            .iter()
            .map(|path| {
                let bytes = path.metadata().map_err(|e| unreadable(path, e))?.len();
                let name = path.file_name().unwrap_or(path.as_os_str());
                Ok(FileSummary {
                    name: name.to_string_lossy().into_owned(),
                    bytes,
                })
            })
            .collect()
    }
}

fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn unreadable(path: &Path, source: io::Error) -> CorpusError {
    CorpusError::Unreadable {
        file: shown(path),
        source,
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

/// Iterator over the blocks of a corpus; ends after the first error.
pub struct Blocks<'a> {
    corpus: &'a Corpus,
    limits: BlockLimits,
    at: Position,
    reader: Option<TextReader>,
    raw: Vec<u8>,
    stop: Arc<AtomicBool>,
    finished: bool,
}

impl Iterator for Blocks<'_> {
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

impl Blocks<'_> {
    /// Ends the iteration early, within milliseconds, once `stop` is true.
    fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    fn read_block(&mut self) -> Result<Option<Block>, CorpusError> {
        let start = self.at;
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.is_empty() || self.has_room(lines.len(), bytes) {
            let Some(line) = self.read_line()? else { break };
            bytes += line.text.len();
            lines.push(line);
        }
        let end = self.at;
        Ok((!lines.is_empty()).then_some(Block { start, end, lines }))
    }

    fn has_room(&self, lines: usize, bytes: usize) -> bool {
        lines < self.limits.block_lines && bytes + self.limits.line_bytes <= self.limits.block_bytes
    }

    /// The next line that is not blank.
    fn read_line(&mut self) -> Result<Option<Line>, CorpusError> {
        while let Some(path) = self.corpus.files.get(self.at.file) {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(TextReader::open(path, self.at, self.stop.clone())?),
            };
            // A line end and a byte order mark are not text, and do not make a line too long.
            let room = self.limits.line_bytes + BYTE_ORDER_MARK.len() + 1;
            let read = reader.read_line(&mut self.raw, room);
            let read = read.map_err(|e| reader.error(path, self.at.byte, e))?;
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
            let line = decode(
                path,
                self.at,
                &self.raw,
                read.overflow,
                self.limits.line_bytes,
            )?;
            self.at.byte += read.bytes;
            self.at.line += 1;
            if !line.text.trim().is_empty() {
                return Ok(Some(line));
            }
        }
        self.require_end()?;
        Ok(None)
    }

    /// A position past the end comes from a run whose corpus had more files.
    fn require_end(&self) -> Result<(), CorpusError> {
        let end = Position {
            file: self.corpus.files.len(),
            ..Position::default()
        };
        if self.at == end {
            return Ok(());
        }
        Err(CorpusError::Changed {
            file: format!("file {} of {}", self.at.file + 1, self.corpus.files.len()),
            byte: self.at.byte,
            line: self.at.line + 1,
        })
    }
}

/// One line from its bytes; `at` is where it starts, `overflow` says that `raw` is only its beginning.
fn decode(
    path: &Path,
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
            let utf16 =
                at.byte == 0 && (raw.starts_with(b"\xff\xfe") || raw.starts_with(b"\xfe\xff"));
            return Err(CorpusError::NotUtf8 {
                file: shown(path),
                line: at.line + 1,
                byte: mark + e.valid_up_to() + 1,
                encoding: if utf16 { "UTF-16" } else { "LATIN1" },
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

/// An open file of the corpus, unpacked if it is gzip.
struct TextReader {
    text: Box<dyn BufRead + Send>,
    gzip: bool,
    stop: Arc<AtomicBool>,
}

/// How much of the file a line took.
struct LineRead {
    /// With the line end; 0 at the end of the file, and if reading was stopped.
    bytes: u64,
    /// Whether the line had more bytes than there was room for.
    overflow: bool,
}

impl TextReader {
    /// Opens the file at the start of a line.
    fn open(path: &Path, at: Position, stop: Arc<AtomicBool>) -> Result<Self, CorpusError> {
        let mut file = File::open(path).map_err(|e| unreadable(path, e))?;
        let gzip = is_gzip(path, &mut file).map_err(|e| unreadable(path, e))?;
        // The line end before the position is read, as a check.
        let before = at.byte.saturating_sub(1);
        let mut reader = if gzip {
            let unpacked = MultiGzDecoder::new(BufReader::with_capacity(READ_BUFFER, file));
            let text = Box::new(BufReader::with_capacity(READ_BUFFER, unpacked));
            let mut reader = Self { text, gzip, stop };
            reader.skip(before).map_err(|e| reader.error(path, 0, e))?;
            reader
        } else {
            file.seek(SeekFrom::Start(before))
                .map_err(|e| unreadable(path, e))?;
            let text = Box::new(BufReader::with_capacity(READ_BUFFER, file));
            Self { text, gzip, stop }
        };
        if at.byte > 0 {
            let line_end = reader
                .next_byte()
                .map_err(|e| reader.error(path, before, e))?;
            if line_end != Some(b'\n') && !reader.stop.load(Ordering::Relaxed) {
                return Err(CorpusError::Changed {
                    file: shown(path),
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

    /// Reads to the next LF and puts at most `room` bytes before it into `raw`, so that memory is bounded even if the
    /// file is one line.
    fn read_line(&mut self, raw: &mut Vec<u8>, room: usize) -> io::Result<LineRead> {
        raw.clear();
        let mut read = LineRead {
            bytes: 0,
            overflow: false,
        };
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(read);
            }
            let line_end = available.iter().position(|byte| *byte == b'\n');
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

    fn error(&self, path: &Path, byte: u64, source: io::Error) -> CorpusError {
        if self.gzip {
            CorpusError::Gzip {
                file: shown(path),
                byte,
                source,
            }
        } else {
            unreadable(path, source)
        }
    }
}

/// By content too, because no UTF-8 text begins like gzip.
fn is_gzip(path: &Path, file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
    file.rewind()?;
    let named_so = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    Ok(named_so || magic == GZIP_MAGIC)
}

/// The first `count` held-out lines of the corpus, or all of them if there are fewer. `limits` must be those of the
/// run: what is held out is decided by the text after a long line is cut.
pub fn held_out(
    corpus: &Corpus,
    limits: BlockLimits,
    fraction: f64,
    count: usize,
) -> Result<Vec<String>, CorpusError> {
    let mut found = Vec::new();
    if fraction <= 0.0 {
        return Ok(found);
    }
    for block in corpus.blocks(Position::default(), limits) {
        let lines = block?.lines.into_iter().map(|line| line.text);
        let missing = count - found.len();
        found.extend(
            lines
                .filter(|text| is_held_out(text, fraction))
                .take(missing),
        );
        if found.len() == count {
            break;
        }
    }
    Ok(found)
}

/// How lines become batches. Resuming needs the settings that the run began with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoaderSettings {
    /// Sequences of a batch.
    pub batch: usize,
    /// Most tokens of a sequence.
    pub max_length: usize,
    /// The token id of padding.
    pub pad_id: u32,
    /// S is rounded up to a multiple of this.
    pub pad_to_multiple: usize,
    /// The part of the lines that is never trained on, 0 ..= 1.
    pub held_out: f64,
    /// Whether the lines of a block that do not fill a batch make a smaller one. If not, a few lines of each block
    /// (other ones in each epoch) are left out. A block with fewer lines than one batch always gives a smaller one.
    pub keep_last: bool,
    /// Decides all orders.
    pub seed: u64,
    /// What is in memory at once.
    pub limits: BlockLimits,
}

/// A batch, and where to go on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The batch.
    pub batch: Batch,
    /// Where a run that is resumed after this batch goes on.
    pub next: DataPosition,
}

/// Batches without end, epoch after epoch, prepared ahead on a thread. Ends only after an error. Dropping it stops the
/// thread, at the latest when the tokenizer is done with the chunk at hand.
pub struct Loader {
    /// `None` once dropping has begun.
    loaded: Option<Receiver<Result<Loaded, CorpusError>>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Loader {
    /// Starts to prepare batches from `from` on: the default for a new run, `Loaded::next` to resume. `tokenise`
    /// gives for each line its token ids, truncated to `max_length`.
    pub fn start<T>(
        corpus: Corpus,
        tokenise: T,
        settings: LoaderSettings,
        from: DataPosition,
    ) -> Result<Self, CorpusError>
    where
        T: Fn(&[&str]) -> Result<Vec<Encoded>, String> + Send + 'static,
    {
        let (ready, loaded) = sync_channel(QUEUED_BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            corpus,
            tokenise,
            settings,
            ready,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("corpus".into())
            .spawn(move || worker.run(from))
            .map_err(|e| CorpusError::Thread(e.to_string()))?;
        Ok(Self {
            loaded: Some(loaded),
            thread: Some(thread),
            stop,
        })
    }

    /// Waits for the end of the thread; a panic in it is an error.
    fn join(&mut self) -> Option<CorpusError> {
        let panic = self.thread.take()?.join().err()?;
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Some(CorpusError::Thread(
            text.unwrap_or("it panicked").to_owned(),
        ))
    }
}

impl Iterator for Loader {
    type Item = Result<Loaded, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.loaded.as_ref()?.recv() {
            Ok(loaded) => Some(loaded),
            Err(_) => self.join().map(Err),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without a receiver, a worker that waits for room in the queue wakes up.
        self.loaded = None;
        self.join();
    }
}

/// Why the worker ends.
enum End {
    Failed(CorpusError),
    /// Nobody wants more batches.
    Dropped,
}

impl From<CorpusError> for End {
    fn from(error: CorpusError) -> Self {
        Self::Failed(error)
    }
}

struct Worker<T> {
    corpus: Corpus,
    tokenise: T,
    settings: LoaderSettings,
    ready: SyncSender<Result<Loaded, CorpusError>>,
    stop: Arc<AtomicBool>,
}

/// A batch, and how many of its lines were truncated.
type Prepared = (Batch, u64);

impl<T: Fn(&[&str]) -> Result<Vec<Encoded>, String>> Worker<T> {
    fn run(self, from: DataPosition) {
        let mut at = from;
        loop {
            match self.run_epoch(at) {
                Ok(next_epoch) => at = next_epoch,
                Err(End::Dropped) => return,
                Err(End::Failed(error)) => {
                    // Fails only if nobody listens any more.
                    self.ready.send(Err(error)).ok();
                    return;
                }
            }
        }
    }

    /// Sends the rest of an epoch and returns the start of the next one.
    fn run_epoch(&self, from: DataPosition) -> Result<DataPosition, End> {
        let mut at = from;
        let blocks = self.corpus.blocks(at.start, self.settings.limits);
        for block in blocks.until(self.stop.clone()) {
            let block = block?;
            self.run_block(&block, &mut at)?;
            at = DataPosition {
                block: at.block + 1,
                start: block.end,
                chunk: 0,
                batch: 0,
                ..at
            };
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Dropped);
        }
        // A run that is resumed within an epoch has had a batch of it.
        if from.is_start_of_epoch() && at.lines == from.lines {
            return Err(End::Failed(CorpusError::NoBatch {
                percent: self.settings.held_out * 100.0,
            }));
        }
        Ok(at.next_epoch())
    }

    fn run_block(&self, block: &Block, at: &mut DataPosition) -> Result<(), End> {
        let lines = self.order(block, at);
        let chunks = lines.chunks(self.settings.batch * CHUNK_BATCHES);
        for chunk in chunks.skip(at.chunk as usize) {
            let prepared = self.prepare(chunk, at)?;
            for (batch, truncated) in prepared.into_iter().skip(at.batch as usize) {
                at.batch += 1;
                at.lines += batch.lengths.len() as u64;
                at.truncated_lines += truncated;
                let loaded = Loaded { batch, next: *at };
                self.ready.send(Ok(loaded)).map_err(|_| End::Dropped)?;
            }
            at.chunk += 1;
            at.batch = 0;
        }
        Ok(())
    }

    /// The lines of a block that are trained on, in the order of this epoch.
    fn order<'a>(&self, block: &'a Block, at: &DataPosition) -> Vec<&'a Line> {
        let LoaderSettings {
            held_out,
            seed,
            batch,
            ..
        } = self.settings;
        let trained: Vec<&Line> = block
            .lines
            .iter()
            .filter(|line| !is_held_out(&line.text, held_out))
            .collect();
        let mut order = shuffled(trained.len(), seed, at.epoch, at.block);
        if !self.settings.keep_last && order.len() >= batch {
            order.truncate(order.len() - order.len() % batch);
        }
        order
            .into_iter()
            .map(|index| trained[index as usize])
            .collect()
    }

    /// All batches of a chunk. Lines without tokens are left out, as blank lines are.
    fn prepare(&self, chunk: &[&Line], at: &DataPosition) -> Result<Vec<Prepared>, End> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Dropped);
        }
        let settings = &self.settings;
        let encoded = self.encode(chunk)?;
        let sequences: Vec<(&Line, &Encoded)> = chunk
            .iter()
            .copied()
            .zip(&encoded)
            .filter(|(_, encoded)| !encoded.ids.is_empty())
            .collect();
        let lengths: Vec<usize> = sequences
            .iter()
            .map(|(_, encoded)| encoded.ids.len())
            .collect();
        let keep_last = settings.keep_last || lengths.len() < settings.batch;
        let mut rng = Rng::keyed(&[settings.seed, at.epoch, at.block, at.chunk]);
        let plan = plan_batches(&lengths, settings.batch, keep_last, &mut rng);
        Ok(plan
            .iter()
            .map(|members| self.assemble(members.iter().map(|&index| sequences[index])))
            .collect())
    }

    fn assemble<'a>(&self, members: impl Iterator<Item = (&'a Line, &'a Encoded)>) -> Prepared {
        let members: Vec<_> = members.collect();
        let ids: Vec<&[u32]> = members
            .iter()
            .map(|(_, encoded)| &encoded.ids[..])
            .collect();
        let sources = members
            .iter()
            .map(|(line, _)| (line.file, line.number))
            .collect();
        let truncated = members
            .iter()
            .filter(|(line, encoded)| line.cut || encoded.truncated)
            .count();
        let LoaderSettings {
            pad_id,
            pad_to_multiple,
            max_length,
            ..
        } = self.settings;
        let batch = Batch::pad(&ids, sources, pad_id, pad_to_multiple, max_length);
        (batch, truncated as u64)
    }

    /// The token ids of each line, checked.
    fn encode(&self, chunk: &[&Line]) -> Result<Vec<Encoded>, CorpusError> {
        let failed = |line: &Line, reason: String| CorpusError::Tokenise {
            place: self.corpus.name_line((line.file, line.number)),
            reason,
        };
        let texts: Vec<&str> = chunk.iter().map(|line| line.text.as_str()).collect();
        let encoded = (self.tokenise)(&texts).map_err(|reason| failed(chunk[0], reason))?;
        if encoded.len() != chunk.len() {
            let reason = format!("{} sequences for {} lines", encoded.len(), chunk.len());
            return Err(failed(chunk[0], reason));
        }
        let most = self.settings.max_length;
        match chunk
            .iter()
            .zip(&encoded)
            .find(|(_, encoded)| encoded.ids.len() > most)
        {
            Some((line, long)) => {
                let reason = format!("{} tokens, more than max_length = {most}", long.ids.len());
                Err(failed(line, reason))
            }
            None => Ok(encoded),
        }
    }
}
