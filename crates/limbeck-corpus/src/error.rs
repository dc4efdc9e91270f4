//! What can be wrong with a corpus, in messages for users.

use std::io;

use limbeck_recipe::counted;

use crate::json;

/// Why a corpus cannot be read or batched. Each message gives the values and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The list of patterns is empty.
    #[error("empty corpus: no file given. Name text files or globs, with one document per line")]
    NoPattern,
    /// The list of texts is empty.
    #[error("empty corpus: no text given. Give texts with one document per line")]
    NoText,
    /// Nothing on disk fits the pattern.
    #[error(
        "no file matches '{pattern}' (relative to {folder}). Check the path, or quote the glob"
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
    #[error("cannot read {file}: {source}. Check that the file exists and that you may read it")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The packed data ends too early or is damaged.
    #[error(
        "{file}: the {program} data is truncated or damaged after {byte} bytes of text ({}). Test it with {program} \
         -t, and download or compress the file again",
        reason(.source)
    )]
    Damaged {
        /// The file.
        file: String,
        /// The program that packs like this.
        program: &'static str,
        /// Bytes of text that were unpacked and read.
        byte: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A file is something else than text with one document per line.
    #[error("{file} is {what}, not text with one document per line. {advice}")]
    NotText {
        /// The file.
        file: String,
        /// What it is.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A file is JSON lines, and nothing says which field is the document.
    #[error(
        "{file} is JSON lines: name the {}, with --corpus-field {} or `corpus_field` in a recipe{}",
        if *.are_pairs { "fields of both texts of a pair" } else { "field that holds the text" },
        if *.are_pairs { "NAME,NAME" } else { "NAME" },
        its(.keys)
    )]
    NeedsField {
        /// The file.
        file: String,
        /// The keys of its first object; none where it is longer than what was read of it.
        keys: Vec<String>,
        /// Whether lines are to be pairs of texts.
        are_pairs: bool,
    },
    /// A line of JSON lines is no document.
    #[error("{file}, line {line}: {reason}")]
    NoDocument {
        /// The file.
        file: String,
        /// 1-based line number.
        line: u64,
        /// What the line is, and what to do.
        reason: String,
    },
    /// Only blank lines, or no lines, in all files.
    #[error("empty corpus: no line of text in {files}. Name files with one document per line")]
    Empty {
        /// The files, or the first of them.
        files: String,
    },
    /// Weights that are not those of this corpus.
    #[error(
        "{} for {} of text; give each one",
        counted(weights, "weight"),
        counted(parts, "file")
    )]
    Weights {
        /// How many weights there are.
        weights: usize,
        /// How many paths, globs or texts there are.
        parts: usize,
    },
    /// A weight of nothing: it has no line, or all of its files are named before it.
    #[error(
        "'{name}' of the corpus has a weight, but no line of text of its own: it is blank, or a path before it names it, too. Leave it out, or give it the weight 0"
    )]
    NothingToWeigh {
        /// The path or glob without folders, or the text's name.
        name: String,
    },
    /// A weight of lines that are never trained on.
    #[error(
        "'{name}' of the corpus has a weight, but no line to train on: {} held out for evaluation (heldout = {heldout}). Add lines to it, hold out \
         fewer, or give it the weight 0",
        all(*.lines)
    )]
    AllHeldOut {
        /// The path or glob without folders, or the text's name.
        name: String,
        /// How many lines it has.
        lines: usize,
        /// The fraction of the lines that is held out.
        heldout: f64,
    },
    /// A line is not UTF-8.
    #[error(
        "{file}, line {line}: not valid UTF-8 at byte {byte} of the line. Convert the file (iconv -f LATIN1 -t UTF-8, if that is its encoding), or \
         remove the line"
    )]
    NotUtf8 {
        /// The file.
        file: String,
        /// 1-based line number.
        line: u64,
        /// 1-based byte of the line.
        byte: usize,
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
    /// A file does not hold what it held when the run began.
    #[error(
        "{file} has changed since the run began: {how}. Restore it to go on with this run, or start a new one"
    )]
    Altered {
        /// The file.
        file: String,
        /// How, and where in it.
        how: String,
    },
    /// There are more or fewer files than when the run began.
    #[error(
        "the number of files of the corpus has changed since the run began: {is} instead of {was} ({names}). Restore them \
         to go on with this run, or start a new one"
    )]
    OtherFiles {
        /// How many there were.
        was: usize,
        /// How many there are.
        is: usize,
        /// Their names then.
        names: String,
    },
    /// An epoch is over without a single batch.
    #[error(
        "the corpus yields no batch: all of its lines are held out or have no tokens. Put each document on a line of its own, add lines, or hold out fewer \
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

/// All of so many lines, in a sentence that says what they are.
fn all(lines: usize) -> String {
    match lines {
        1 => "its only line is".to_owned(),
        lines => format!("all of its {lines} lines are"),
    }
}

/// The keys of an object at the end of a sentence, if they are known.
fn its(keys: &[String]) -> String {
    match keys {
        [] => String::new(),
        keys => format!("; its keys are {}", json::list(keys)),
    }
}

/// What a decompressor says, without the words of its code where the text only ends too early.
fn reason(source: &io::Error) -> String {
    let words = source.to_string();
    let ends = source.kind() == io::ErrorKind::UnexpectedEof || words.contains("UnexpectedEof");
    match ends {
        true => "it ends too early".to_owned(),
        false => words,
    }
}
