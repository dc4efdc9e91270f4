//! `limbeck search`: the lines of text files whose vectors are nearest to those of queries.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use limbeck_engine::Opened;
use limbeck_model::{MOST_BYTES, SentenceModel, Tokens};
use limbeck_recipe::{DeviceChoice, counted};
use limbeck_score::cosine;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::{Value, json};

use crate::device;
use crate::encode::{self, LeftOut, NOT_BLANK};
use crate::error::CliError;
use crate::pipeline::{Asked, Pipeline};
use crate::progress::Progress;
use crate::texts::{Lines, Place, has_standard, read_line};
use crate::{models, terminal};

/// The prompt of a query, as sentence-transformers calls it.
const OF_QUERIES: [&str; 1] = ["query"];
/// That of a line, the first that there is.
const OF_LINES: [&str; 3] = ["document", "passage", "corpus"];

/// Flags of `limbeck search`.
#[derive(Args)]
pub struct Arguments {
    /// The model: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Text file whose lines are ranked, one text per line
    file: PathBuf,
    /// What to look for; without any, each line of standard input is a query
    queries: Vec<String>,
    /// Search this file too; may be repeated. A file that is named twice is searched once
    #[arg(long, value_name = "FILE")]
    also: Vec<PathBuf>,
    /// For JSON lines: the field that holds the text
    #[arg(long, visible_alias = "field", value_name = "NAME")]
    corpus_field: Option<String>,
    /// Lines to show for each query
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_top)]
    top: usize,
    /// Print one JSON object per query: query, and hits with score, file, line and text
    #[arg(long)]
    json: bool,
    /// Maximum tokens per text; longer texts are cut [default: what the folder says, or the model's limit]
    #[arg(long)]
    max_length: Option<usize>,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
}

fn parse_top(text: &str) -> Result<usize, String> {
    let top = text.parse().ok().filter(|top| *top > 0);
    top.ok_or_else(|| format!("`{text}` is not a number of lines above 0"))
}

/// A line and its vector.
struct Entry {
    place: Place,
    text: String,
    vector: Vec<f32>,
}

/// Runs `limbeck search`.
///
/// # Errors
/// The model or a file cannot be read, or the device fails.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let files = files(arguments);
    if arguments.queries.is_empty() && has_standard(&files) {
        return Err(CliError::Usage(
            "standard input holds either the lines or the queries: put the queries after the file, or give the lines as a file"
                .to_owned(),
        ));
    }
    let bytes = Lines::bytes(&files)?;
    let folder = models::read(&arguments.model)?;
    let opened = device::open_for_engine(arguments.device)?;
    let model = encode::open(&folder, None, arguments.max_length, &opened)?;
    drop(folder);
    let queries = prompted(&model, &OF_QUERIES)?;
    let lines = Arc::new(prompted(&model, &OF_LINES)?);
    drop(model);
    let texts = Lines::of(&files, arguments.corpus_field.as_deref());
    let (entries, left_out) = read(lines, texts, &opened, bytes)?;
    if entries.is_empty() {
        return Err(CliError::Usage(format!(
            "there is nothing to search in {}: no line has a text",
            arguments.file.display()
        )));
    }
    let mut out = std::io::stdout();
    let searched = Searched {
        entries,
        model: queries,
        arguments,
    };
    for query in &arguments.queries {
        searched.answer(query, &mut out)?;
    }
    if arguments.queries.is_empty() {
        searched.answer_input(&mut out)?;
    }
    Ok(left_out)
}

/// The files to search, each once however often it is named.
fn files(arguments: &Arguments) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let named = std::iter::once(&arguments.file).chain(&arguments.also);
    // Standard input is no file, and what is missing is said when it is read.
    let is_new = |path: &&PathBuf| {
        let place = std::fs::canonicalize(path);
        seen.insert(place.unwrap_or_else(|_| (*path).clone()))
    };
    named.filter(is_new).cloned().collect()
}

/// The model with the first of these prompts that its folder names; with its default one, if it names none of them.
fn prompted(model: &SentenceModel, names: &[&str]) -> Result<SentenceModel, CliError> {
    let prompts = &model.head().description().prompts;
    match names.iter().find(|name| prompts.contains_key(**name)) {
        Some(name) => Ok(model.with_prompt(name)?),
        None => Ok(model.clone()),
    }
}

/// The vectors of all lines that have a text, and the exit code: some lines may be left out.
fn read(
    model: Arc<SentenceModel>,
    texts: Lines,
    opened: &Opened,
    bytes: Option<u64>,
) -> Result<(Vec<Entry>, ExitCode), CliError> {
    let asked = Asked {
        batch: None,
        tokens: None,
        written: 0,
        typed: false,
    };
    let progress = Progress::of_bytes(bytes, true);
    let (mut entries, mut cut, mut left_out) = (Vec::new(), 0, LeftOut::default());
    let length = model.max_length();
    let lines = texts.filter(|line| {
        let line = line.as_ref().ok().and_then(|line| line.text.as_ref().ok());
        line.is_none_or(|line| !line.text.trim().is_empty())
    });
    let make = |model: &SentenceModel, tokens: &[&Tokens]| encode::vectors(model, tokens, false);
    let ended = Pipeline::new(model, opened, &asked).run(lines, make, |row| {
        match row.of {
            Ok(vector) => {
                cut += u64::from(row.cut);
                entries.push(Entry {
                    place: row.place,
                    text: row.text.text,
                    vector,
                });
            }
            Err(error @ CliError::Corpus(_)) => {
                left_out.add(row.place, &error, &progress);
            }
            Err(error) => return Err(error),
        }
        progress.reach(row.end, counted(entries.len(), "line"));
        Ok(())
    });
    progress.finish();
    ended?;
    if let Some(cut) = encode::cut_in_words(cut, entries.len() as u64, length) {
        terminal::say(cut);
    }
    let left_out = left_out.tell(entries.len() as u64, [NOT_BLANK, " of the search"]);
    Ok((entries, left_out))
}

/// What is searched, and how.
struct Searched<'a> {
    entries: Vec<Entry>,
    /// With the prompt of queries.
    model: SentenceModel,
    arguments: &'a Arguments,
}

impl Searched<'_> {
    /// Answers the lines of standard input, each before the next one is read.
    fn answer_input(&self, out: &mut impl Write) -> Result<(), CliError> {
        let typed = std::io::stdin().is_terminal();
        if typed {
            let lines = counted(self.entries.len(), "line");
            terminal::say(format_args!("{lines}. One query a line; ctrl-d ends."));
        }
        let mut input = std::io::stdin().lock();
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = read_line(&mut input, &mut bytes, MOST_BYTES, b'\n');
            read.map_err(CliError::file("read", "-".as_ref()))?;
            if bytes.is_empty() {
                return Ok(());
            }
            // What is no UTF-8 has signs that say so, and finds what it finds.
            let query = String::from_utf8_lossy(&bytes);
            let query = query.trim();
            if !query.is_empty() {
                self.answer(query, out)?;
            }
        }
    }

    fn answer(&self, query: &str, out: &mut impl Write) -> Result<(), CliError> {
        let hits = self.nearest(query)?;
        // An answer has to say which query it is of.
        let several = self.arguments.queries.len() != 1;
        if self.arguments.json {
            let hit = |(score, entry): &(f64, &Entry)| {
                json!({
                    "score": score, "file": entry.place.file.as_ref(), "line": entry.place.number, "text": entry.text,
                })
            };
            let hits: Vec<Value> = hits.iter().map(hit).collect();
            writeln!(out, "{}", json!({ "query": query, "hits": hits }))?;
        } else {
            if several {
                writeln!(out, "{query}")?;
            }
            for (score, entry) in &hits {
                let Place { file, number } = &entry.place;
                writeln!(out, "{score:.4}  {file}:{number}  {}", entry.text)?;
            }
            if several {
                writeln!(out)?;
            }
        }
        Ok(out.flush()?)
    }

    /// The nearest lines with their cosines, the nearest first; of equals the one that stands first.
    fn nearest(&self, query: &str) -> Result<Vec<(f64, &Entry)>, CliError> {
        let tokens = self.model.tokens(&[query])?;
        let tokens: Vec<&Tokens> = tokens.iter().collect();
        let mut vectors = encode::vectors(&self.model, &tokens, false)?;
        let vector = vectors.remove(0);
        let vector =
            vector.map_err(|reason| CliError::NotFinite(format!("`{query}`: {reason}")))?;
        let score = |entry: &Entry| cosine(&vector, &entry.vector);
        let scores: Vec<f64> = self.entries.par_iter().map(score).collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let by_score = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        let top = self.arguments.top.min(order.len());
        if top < order.len() {
            order.select_nth_unstable_by(top, by_score);
            order.truncate(top);
        }
        order.sort_unstable_by(by_score);
        let hit = |at: usize| (scores[at], &self.entries[at]);
        Ok(order.into_iter().map(hit).collect())
    }
}
