//! `limbeck encode`: lines in, vectors out.

mod sink;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use clap::{Args, ValueEnum};
use limbeck_engine::Opened;
use limbeck_model::{Folder, ModelError, SentenceModel, TokenBatch, Tokens, checks, to_host};
use limbeck_recipe::{DeviceChoice, counted};
use serde::Serialize;
use serde_json::Value;

use crate::device;
use crate::error::CliError;
use crate::inputs::require_free;
use crate::memory::Room;
use crate::pipeline::{Asked, Made, Pipeline, Reason, Row};
use crate::progress::Progress;
use crate::texts::{Lines, Place};
use crate::{models, terminal};
use sink::Sink;

/// Broken lines that are named; the others are counted.
const NAMED: u64 = 10;
/// Below this a vector is not scaled to length 1, as in PyTorch.
const SHORTEST: f32 = 1e-12;
/// Which lines are counted where a blank one is no text.
pub const NOT_BLANK: &str = " (blank ones aside)";
/// Lines between two looks at the progress bar.
const BETWEEN_LOOKS: u64 = 32;

const NO_NUMBER: Reason = "the model computes what is not a number for this text, so there is no vector of it. Its weights are too \
                           large for 32-bit floats: take another model, or one of an earlier step";
const BEYOND_F16: Reason = "the vector of this text has a number beyond 65504, the largest that f16 can hold: use --precision f32 or --normalize";

/// Flags of `limbeck encode`.
#[derive(Args)]
pub struct Arguments {
    /// The model: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Text files, one text per line, plain or packed with gzip, zstd, xz or bzip2; standard input if none is given
    files: Vec<PathBuf>,
    /// For JSON lines: the field that holds the text. Each vector then comes with its line's number and `id`
    #[arg(long, visible_alias = "field", value_name = "NAME")]
    corpus_field: Option<String>,
    /// How vectors are written: JSON lines, or one array that numpy.load reads (with --out)
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
    /// Floats of 32 or of 16 bits (with --format npy)
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: Precision,
    /// Write a file, whole or not at all, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Scale each vector to length 1
    #[arg(long, conflicts_with = "tokens")]
    normalize: bool,
    /// Layer for --tokens and --taps, from 1 (0 is the embeddings) [default: the last]
    #[arg(long, value_name = "N", requires = "tokens")]
    layer: Option<usize>,
    /// Write the tokens and the layer's hidden states (S, H) instead of one vector
    #[arg(long)]
    tokens: bool,
    /// With --tokens: also write the layer's queries, keys and values (S, H)
    #[arg(long, requires = "tokens")]
    taps: bool,
    /// Maximum tokens per text; longer texts are cut [default: what the folder says, or the model's limit]
    #[arg(long)]
    max_length: Option<usize>,
    /// Put this prompt of config_sentence_transformers.json before each text [default: the one that it names, if any]
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// Texts to encode together; fewer where memory has no room for so many [default: as many as --batch-tokens holds]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    batch: Option<usize>,
    /// Tokens to encode together, padding included [default: 1024 for each core of a CPU, 16384 on a GPU]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    batch_tokens: Option<usize>,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
}

/// How many are encoded together.
pub fn one_or_more(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is not a whole number above 0"))
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Npy,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    F16,
}

/// What is written of a text.
#[derive(Clone, Copy)]
enum Written {
    /// Its vector, of length 1 if that is asked for.
    Vector {
        format: Format,
        precision: Precision,
        normalize: bool,
    },
    /// The hidden states of a layer, and its queries, keys and values.
    Layer { layer: usize, taps: bool },
}

/// The line of a vector.
#[derive(Serialize)]
struct OfText<'a> {
    embedding: &'a [f32],
}

/// The line of a text's tokens.
#[derive(Serialize)]
struct OfTokens<'a> {
    hidden: Vec<&'a [f32]>,
    ids: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<Vec<&'a [f32]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<Vec<&'a [f32]>>,
    tokens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<Vec<&'a [f32]>>,
}

/// Lines of which something must be said at the end, with the first of them.
#[derive(Default)]
struct Counted {
    lines: u64,
    first: Option<Place>,
}

impl Counted {
    fn add(&mut self, place: Place) {
        self.first.get_or_insert(place);
        self.lines += 1;
    }
}

/// Lines without a text, and so without a vector: the first are named, all are counted.
#[derive(Default)]
pub struct LeftOut(Counted);

impl LeftOut {
    /// Leaves a line out.
    pub fn add(&mut self, place: Place, why: &CliError, progress: &Progress) {
        self.0.add(place);
        if self.0.lines <= NAMED {
            progress.say(&format!("limbeck: {why}"), "left out", &Value::Null);
        }
    }

    /// Says how many there are beside so many texts, in a sentence with what the lines are and what follows; the exit code says
    /// whether there are any.
    pub fn tell(&self, texts: u64, [which, so]: [&str; 2]) -> ExitCode {
        let Counted { lines, first } = &self.0;
        let Some(first) = first else {
            return ExitCode::SUCCESS;
        };
        let are = if *lines == 1 { "is" } else { "are" };
        terminal::say(format_args!(
            "limbeck: {lines} of {}{which} {are} left out{so}; the first is {first}",
            counted(texts + lines, "line"),
        ));
        ExitCode::FAILURE
    }
}

/// Runs `limbeck encode`.
///
/// # Errors
/// The model or a file cannot be read, a layer does not exist, or the vectors cannot be written.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    arguments.check()?;
    let bytes = Lines::bytes(&arguments.files)?;
    let folder = models::read(&arguments.model)?;
    let opened = device::open_for_engine(arguments.device)?;
    let prompt = arguments.prompt.as_deref();
    let model = open(&folder, prompt, arguments.max_length, &opened)?;
    // Its weights are on the device.
    drop(folder);
    let written = arguments.written(&model)?;
    let width = model
        .head()
        .description()
        .width(model.encoder().config().hidden_size);
    let length = model.max_length();
    let mut sink = Sink::open(arguments, width)?;
    let asked = Asked {
        batch: arguments.batch,
        tokens: arguments.batch_tokens,
        written: written.vectors_of_a_token(),
        typed: Lines::are_typed(&arguments.files),
    };
    let pipeline = Pipeline::new(Arc::new(model), &opened, &asked);
    let make = move |model: &SentenceModel, tokens: &[&Tokens]| written.of(model, tokens);
    let shown = arguments.out.is_some() || !std::io::stdout().is_terminal();
    let mut done = Done::new(Progress::of_bytes(bytes, shown && !asked.typed));
    let field = arguments.corpus_field.as_deref();
    let names = field.is_some() && arguments.format == Format::Json;
    let ended = pipeline.run(Lines::of(&arguments.files, field), make, |row| {
        done.look(&row);
        match row.of {
            Ok(bytes) if names => {
                let of = named(&bytes, row.place.number, row.text.id.as_deref());
                sink.write(&of)
            }
            Ok(bytes) => sink.write(&bytes),
            Err(error @ CliError::Corpus(_)) => {
                done.left_out.add(row.place, &error, &done.progress);
                Ok(())
            }
            Err(error) => Err(error),
        }
    });
    done.progress.finish();
    ended?;
    sink.keep(done.texts)?;
    Ok(done.tell(length, field.is_some()))
}

impl Arguments {
    /// What flags do not say of each other by themselves.
    fn check(&self) -> Result<(), CliError> {
        let refuse = |text: &str| Err(CliError::Usage(text.to_owned()));
        match (&self.out, self.format, self.precision) {
            (_, Format::Json, Precision::F16) => {
                return refuse("--precision f16 is of --format npy: JSON writes numbers as text");
            }
            (_, Format::Npy, _) if self.tokens => {
                return refuse(
                    "--format npy is one array of vectors, and texts differ in their number of tokens: leave --tokens out, or \
                     write JSON lines",
                );
            }
            (None, Format::Npy, _) => {
                return refuse(
                    "--format npy needs --out FILE: the file begins with the number of vectors, which is known only at the end",
                );
            }
            _ => {}
        }
        match &self.out {
            Some(out) => require_free(("--out", out), self.overwrite, &[&self.model], &self.files),
            None => Ok(()),
        }
    }

    fn written(&self, model: &SentenceModel) -> Result<Written, CliError> {
        if !self.tokens {
            return Ok(Written::Vector {
                format: self.format,
                precision: self.precision,
                normalize: self.normalize,
            });
        }
        let layers = model.encoder().config().num_hidden_layers;
        let layer = self.layer.unwrap_or(layers);
        if layer > layers || (self.taps && layer == 0) {
            return Err(CliError::Usage(
                ModelError::NoLayer { layer, layers }.to_string(),
            ));
        }
        Ok(Written::Layer {
            layer,
            taps: self.taps,
        })
    }
}

/// What has been done so far.
struct Done {
    progress: Progress,
    start: Instant,
    texts: u64,
    cut: Counted,
    left_out: LeftOut,
}

impl Done {
    fn new(progress: Progress) -> Self {
        Self {
            progress,
            start: Instant::now(),
            texts: 0,
            cut: Counted::default(),
            left_out: LeftOut::default(),
        }
    }

    fn look<T>(&mut self, row: &Row<T>) {
        if row.of.is_ok() {
            self.texts += 1;
            if row.cut {
                self.cut.add(row.place.clone());
            }
        }
        if self.texts.is_multiple_of(BETWEEN_LOOKS) {
            let rate = self.texts as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
            let message = format!("{} texts  {rate:.0}/s", self.texts);
            self.progress.reach(row.end, message);
        }
    }

    /// Says what is not as it was asked for; the exit code says so, too, if lines are left out, of which `are_json` says whether
    /// blank ones are none.
    fn tell(&self, length: usize, are_json: bool) -> ExitCode {
        if let Some(cut) = cut_in_words(self.cut.lines, self.texts, length)
            && let Some(first) = &self.cut.first
        {
            terminal::say(format_args!("{cut}; the first is {first}"));
        }
        let sentence = match are_json {
            true => [NOT_BLANK, " and have no vector"],
            false => ["", ", so there are fewer vectors than lines"],
        };
        self.left_out.tell(self.texts, sentence)
    }
}

/// Opens a model folder for sentences, on kernels that the device computes rightly.
///
/// # Errors
/// The folder cannot be used. What a flag asked for in vain is wrong use.
pub fn open(
    folder: &Folder,
    prompt: Option<&str>,
    max_length: Option<usize>,
    opened: &Opened,
) -> Result<SentenceModel, CliError> {
    Room::of(opened).require_model(folder.name(), &folder.config()?)?;
    let device = &opened.device;
    let model = SentenceModel::from_folder(folder, prompt, max_length, device);
    let mut model = model.map_err(|error| match error {
        ModelError::TooLong { .. } | ModelError::NoPrompt(_) => CliError::Usage(error.to_string()),
        error => error.into(),
    })?;
    let checks = checks(model.encoder().config());
    model.set_kernels(device::tested_kernels(device, &checks));
    Ok(model)
}

/// How many texts lost their end, in words; none if none did. No more than [`limbeck_model::MOST_BYTES`] of a text are looked at.
pub fn cut_in_words(cut: u64, texts: u64, length: usize) -> Option<String> {
    let were = if cut == 1 { "was" } else { "were" };
    let words =
        || format!("{cut} of {texts} texts {were} cut: the model reads {length} tokens of a text");
    (cut > 0).then(words)
}

/// The vectors of texts, or why there is none of one.
///
/// # Errors
/// The device fails.
pub fn vectors(model: &SentenceModel, tokens: &[&Tokens], normalize: bool) -> Made<Vec<f32>> {
    let batch = model.batch(tokens.iter().copied())?;
    let vectors = model.vectors(&batch)?;
    let width = vectors.dims()[1];
    let values = pollster::block_on(to_host(vectors))?;
    let vector = |values: &[f32]| match is_finite(values) {
        false => Err(NO_NUMBER),
        true if normalize => Ok(normalized(values)),
        true => Ok(values.to_vec()),
    };
    Ok(values.chunks(width).map(vector).collect())
}

fn normalized(vector: &[f32]) -> Vec<f32> {
    // In f64, so that no square is beyond what the type holds.
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let norm = (squares.sqrt() as f32).max(SHORTEST);
    vector.iter().map(|x| x / norm).collect()
}

fn is_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

impl Written {
    fn vectors_of_a_token(self) -> usize {
        match self {
            Self::Vector { .. } => 0,
            Self::Layer { taps: false, .. } => 1,
            Self::Layer { taps: true, .. } => 4,
        }
    }

    /// The bytes of each text.
    fn of(self, model: &SentenceModel, tokens: &[&Tokens]) -> Made<Vec<u8>> {
        match self {
            Self::Vector {
                format,
                precision,
                normalize,
            } => {
                let vectors = vectors(model, tokens, normalize)?;
                let bytes = |vector: Result<Vec<f32>, Reason>| match (format, precision) {
                    (Format::Json, _) => vector.map(|vector| line(&OfText { embedding: &vector })),
                    (Format::Npy, Precision::F32) => {
                        Ok(vector?.iter().flat_map(|x| x.to_le_bytes()).collect())
                    }
                    (Format::Npy, Precision::F16) => sink::narrow(&vector?).ok_or(BEYOND_F16),
                };
                Ok(vectors.into_iter().map(bytes).collect())
            }
            Self::Layer { layer, taps } => of_layer(model, tokens, layer, taps),
        }
    }
}

fn of_layer(model: &SentenceModel, tokens: &[&Tokens], layer: usize, taps: bool) -> Made<Vec<u8>> {
    let batch: TokenBatch = model.batch(tokens.iter().copied())?;
    let encoder = model.encoder();
    let hidden = read(encoder.hidden_states(&batch)?.swap_remove(layer))?;
    let taps = match taps {
        true => {
            let taps = encoder.tap(&batch, layer, None)?;
            Some([read(taps.q)?, read(taps.k)?, read(taps.v)?])
        }
        false => None,
    };
    let bytes = |(index, tokens): (usize, &&Tokens)| {
        let mut parts = std::iter::once(&hidden).chain(taps.iter().flatten());
        if !parts.all(|part| is_finite(part.real(index, tokens.ids.len()))) {
            return Err(NO_NUMBER);
        }
        let tap = |at: usize| {
            let taps = taps.as_ref()?;
            Some(taps[at].of(index, tokens.ids.len()))
        };
        let names = tokens.ids.iter().map(|id| model.tokenizer().token(*id));
        Ok(line(&OfTokens {
            hidden: hidden.of(index, tokens.ids.len()),
            ids: &tokens.ids,
            q: tap(0),
            k: tap(1),
            v: tap(2),
            tokens: names.collect(),
        }))
    };
    Ok(tokens.iter().enumerate().map(bytes).collect())
}

/// (B, S, H) on the host.
struct States {
    values: Vec<f32>,
    s: usize,
    h: usize,
}

impl States {
    /// The first rows of a sequence.
    fn real(&self, sequence: usize, rows: usize) -> &[f32] {
        let start = sequence * self.s * self.h;
        &self.values[start..start + rows * self.h]
    }

    /// The same, each by itself.
    fn of(&self, sequence: usize, rows: usize) -> Vec<&[f32]> {
        self.real(sequence, rows).chunks(self.h).collect()
    }
}

fn read(tensor: Tensor<3>) -> Result<States, CliError> {
    let [_, s, h] = tensor.dims();
    let values = pollster::block_on(to_host(tensor))?;
    Ok(States { values, s, h })
}

/// An object with the number of its line of JSON lines, and that line's `id` as JSON, before its own members.
fn named(object: &[u8], line: u64, id: Option<&str>) -> Vec<u8> {
    let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
    let mut named = format!("{{\"line\":{line},{id}").into_bytes();
    named.extend(&object[1..]);
    named
}

/// A line of JSON. It has only names of ours, numbers and texts, so it cannot fail.
fn line(object: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(object).unwrap_or_default();
    line.push(b'\n');
    line
}
