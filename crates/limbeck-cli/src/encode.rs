//! `limbeck encode`: lines in, vectors out.

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Tensor;
use clap::Args;
use limbeck_corpus::CorpusError;
use limbeck_engine::Opened;
use limbeck_model::{
    Folder, MOST_BYTES, ModelError, SentenceModel, TokenBatch, Tokens, checks, to_host,
};
use limbeck_recipe::DeviceChoice;
use serde_json::{Map, Value, json};

use crate::device;
use crate::error::CliError;
use crate::memory::{Encoding, Room};
use crate::{models, terminal};

/// Bytes of texts that wait to be encoded together, at most.
const MOST_WAITING: usize = 64 << 20;

/// Flags of `limbeck encode`.
#[derive(Args)]
pub struct Arguments {
    /// The model: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Text files, one text per line; standard input if none is given
    files: Vec<PathBuf>,
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
    /// Texts encoded together, or fewer where memory has no room for so many
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Where to compute: auto, cpu or gpu
    #[arg(long, default_value = "auto", value_parser = device::parse)]
    device: DeviceChoice,
}

struct Session {
    model: SentenceModel,
    layer: usize,
    tokens: bool,
    taps: bool,
    texts: u64,
    batch: Batches,
}

/// Batches of texts as they were asked for, or smaller ones where memory has no room for those.
pub struct Batches {
    /// Texts of a batch.
    pub size: usize,
    room: Room,
    told: bool,
}

impl Batches {
    /// Of so many texts, in the room that a device has now.
    pub fn new(size: usize, opened: &Opened) -> Self {
        Self {
            size: size.max(1),
            room: Room::of(opened),
            told: false,
        }
    }

    /// The parts of these texts that are encoded together, so that each fits into memory, with `written` vectors of each token.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn parts(
        &mut self,
        model: &SentenceModel,
        texts: &[&str],
        written: usize,
    ) -> Result<Vec<Range<usize>>, CliError> {
        let encoding = Encoding {
            config: model.encoder().config(),
            kernel: model.encoder().kernel(),
            written,
            room: self.room,
        };
        if encoding.fits(texts.len(), model.max_length()) {
            return Ok(std::iter::once(0..texts.len()).collect());
        }
        let lengths = model.tokens(texts)?;
        let lengths: Vec<usize> = lengths.iter().map(|tokens| tokens.ids.len()).collect();
        let parts = encoding.parts(&lengths)?;
        let most = parts.iter().map(Range::len).max().unwrap_or(0);
        if most < texts.len() && !std::mem::replace(&mut self.told, true) {
            terminal::say(format_args!(
                "{} texts of up to {} tokens do not fit into memory together ({}): encoding {most} at a time, as --batch {most} does",
                texts.len(),
                lengths.iter().max().unwrap_or(&0),
                self.room,
            ));
        }
        Ok(parts)
    }
}

/// A line of a file.
struct Line {
    text: String,
    /// File and number, for messages.
    place: String,
    /// Whether it was longer than any text that is looked at.
    cut: bool,
}

/// The lines that were longer than what is encoded of them.
#[derive(Default)]
struct Cut {
    lines: u64,
    first: String,
}

/// Runs `limbeck encode`.
///
/// # Errors
/// The model cannot be read, a text is not UTF-8, a layer does not exist.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let folder = models::read(&arguments.model)?;
    let opened = device::open_for_engine(arguments.device)?;
    let prompt = arguments.prompt.as_deref();
    let model = open(&folder, prompt, arguments.max_length, &opened)?;
    let layers = model.encoder().config().num_hidden_layers;
    let layer = arguments.layer.unwrap_or(layers);
    if layer > layers || (arguments.taps && layer == 0) {
        return Err(CliError::Usage(
            ModelError::NoLayer { layer, layers }.to_string(),
        ));
    }
    let mut session = Session {
        model,
        layer,
        tokens: arguments.tokens,
        taps: arguments.taps,
        texts: 0,
        batch: Batches::new(arguments.batch, &opened),
    };
    // Its weights are on the device.
    drop(folder);
    let mut out = std::io::stdout().lock();
    let (mut waiting, mut bytes, mut cut) = (Vec::new(), 0, Cut::default());
    for_each_line(&arguments.files, |line| {
        bytes += line.text.len();
        waiting.push(line);
        if waiting.len() >= arguments.batch.max(1) || bytes >= MOST_WAITING {
            bytes = 0;
            session.write(&std::mem::take(&mut waiting), &mut cut, &mut out)?;
        }
        Ok(())
    })?;
    session.write(&waiting, &mut cut, &mut out)?;
    out.flush()?;
    cut.tell(session.texts, session.model.max_length());
    Ok(ExitCode::SUCCESS)
}

impl Cut {
    fn add(&mut self, line: &Line) {
        if self.lines == 0 {
            self.first.clone_from(&line.place);
        }
        self.lines += 1;
    }

    fn tell(&self, texts: u64, length: usize) {
        if let Some(cut) = cut_in_words(self.lines, texts, length) {
            terminal::say(format_args!("{cut}; the first is {}", self.first));
        }
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
    model.set_kernel(device::tested_kernel(device, &checks));
    Ok(model)
}

/// How many texts lost their end, in words; none if none did. No more than [`MOST_BYTES`] of a text are looked at.
pub fn cut_in_words(cut: u64, texts: u64, length: usize) -> Option<String> {
    let were = if cut == 1 { "was" } else { "were" };
    let words =
        || format!("{cut} of {texts} texts {were} cut: the model reads {length} tokens of a text");
    (cut > 0).then(words)
}

fn for_each_line(
    files: &[PathBuf],
    mut body: impl FnMut(Line) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let standard = [PathBuf::from("-")];
    let files = if files.is_empty() {
        &standard[..]
    } else {
        files
    };
    for path in files {
        let mut reader: Box<dyn BufRead> = match path.as_os_str() == "-" {
            true => Box::new(std::io::stdin().lock()),
            false => Box::new(BufReader::new(
                std::fs::File::open(path).map_err(CliError::file("read", path))?,
            )),
        };
        let mut bytes = Vec::new();
        for number in 1.. {
            let cut = read_line(&mut reader, &mut bytes).map_err(CliError::file("read", path))?;
            if bytes.is_empty() {
                break;
            }
            body(line(&bytes, cut, number, path)?)?;
        }
    }
    Ok(())
}

/// Reads a line with its end, and no more of it than is looked at; whether it was longer.
fn read_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    // One byte more, so that what is looked at is cut, too.
    let most = MOST_BYTES + 1;
    bytes.clear();
    reader.by_ref().take(most as u64).read_until(b'\n', bytes)?;
    let cut = bytes.len() == most && !bytes.ends_with(b"\n");
    if cut {
        reader.skip_until(b'\n')?;
    }
    Ok(cut)
}

fn line(bytes: &[u8], cut: bool, number: u64, path: &Path) -> Result<Line, CliError> {
    let file = match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let bytes = if number == 1 {
        bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
    } else {
        bytes
    };
    let text = match std::str::from_utf8(bytes) {
        // Only the cut goes through a character.
        Err(e) if cut && e.error_len().is_none() => {
            std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default()
        }
        text => text.map_err(|e| CorpusError::NotUtf8 {
            file: file.clone(),
            line: number,
            byte: e.valid_up_to() + 1,
        })?,
    };
    Ok(Line {
        text: text.trim_end_matches(['\n', '\r']).to_owned(),
        place: format!("{file}, line {number}"),
        cut,
    })
}

impl Session {
    fn write(
        &mut self,
        lines: &[Line],
        cut: &mut Cut,
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        if lines.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let written = match (self.tokens, self.taps) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 4,
        };
        for part in self.batch.parts(&self.model, &texts, written)? {
            self.write_together(&lines[part.clone()], &texts[part], cut, out)?;
        }
        Ok(())
    }

    fn write_together(
        &mut self,
        lines: &[Line],
        texts: &[&str],
        cut: &mut Cut,
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        let (tokens, batch) = self.model.read(texts)?;
        self.texts += lines.len() as u64;
        let lost = lines.iter().zip(&tokens);
        lost.filter(|(line, tokens)| line.cut || tokens.truncated)
            .for_each(|(line, _)| cut.add(line));
        let objects = if self.tokens {
            self.layer_objects(&batch, &tokens)?
        } else {
            self.vectors(&batch)?
        };
        for (line, object) in lines.iter().zip(objects) {
            require_numbers(&object, &line.place)?;
            writeln!(out, "{}", Value::Object(object))?;
        }
        Ok(())
    }

    fn vectors(&self, batch: &TokenBatch) -> Result<Vec<Map<String, Value>>, CliError> {
        let rows = read(self.model.vectors(batch)?.unsqueeze_dim(0))?.remove(0);
        Ok(rows
            .into_iter()
            .map(|row| Map::from_iter([("embedding".to_owned(), json!(row))]))
            .collect())
    }

    fn layer_objects(
        &self,
        batch: &TokenBatch,
        tokens: &[Tokens],
    ) -> Result<Vec<Map<String, Value>>, CliError> {
        let hidden = self
            .model
            .encoder()
            .hidden_states(batch)?
            .swap_remove(self.layer);
        let mut parts = vec![("hidden", read(hidden)?)];
        if self.taps {
            let taps = self.model.encoder().tap(batch, self.layer, None)?;
            parts.extend([
                ("q", read(taps.q)?),
                ("k", read(taps.k)?),
                ("v", read(taps.v)?),
            ]);
        }
        let object = |(index, tokens): (usize, &Tokens)| {
            let names: Vec<String> = tokens
                .ids
                .iter()
                .map(|id| self.model.tokenizer().token(*id))
                .collect();
            let mut object = Map::from_iter([
                ("tokens".to_owned(), json!(names)),
                ("ids".to_owned(), json!(tokens.ids)),
            ]);
            for (name, values) in &parts {
                object.insert((*name).to_owned(), json!(values[index][..tokens.ids.len()]));
            }
            object
        };
        Ok(tokens.iter().enumerate().map(object).collect())
    }
}

/// JSON has no word for what is not a number, and `null` is no part of a vector.
fn require_numbers(object: &Map<String, Value>, place: &str) -> Result<(), CliError> {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            _ => false,
        }
    }
    match object.values().any(has_null) {
        false => Ok(()),
        true => Err(CliError::NotFinite(format!(
            "{place}: the model computes what is not a number for this text, so there is no vector of it. Its weights are too \
             large for 32-bit floats: take another model, or one of an earlier step"
        ))),
    }
}

/// A tensor as nested rows.
fn read(tensor: Tensor<3>) -> Result<Vec<Vec<Vec<f32>>>, CliError> {
    let [_, s, h] = tensor.dims();
    let values = pollster::block_on(to_host(tensor))?;
    let sequence = |values: &[f32]| values.chunks(h).map(<[f32]>::to_vec).collect();
    Ok(values.chunks(s * h).map(sequence).collect())
}
