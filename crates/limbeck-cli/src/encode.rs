//! `limbeck encode`: lines in, vectors out.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::{Device, Tensor};
use clap::Args;
use limbeck_corpus::CorpusError;
use limbeck_kernels::self_test;
use limbeck_model::{Folder, ModelError, SentenceModel, TokenBatch, Tokens, checks};
use limbeck_recipe::{DeviceChoice, KernelChoice};
use serde_json::{Map, Value, json};

use crate::device;
use crate::error::CliError;
use crate::terminal;

/// Flags of `limbeck encode`.
#[derive(Args)]
pub struct Arguments {
    /// The model folder
    #[arg(long, value_name = "DIR")]
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
    /// Texts encoded together
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
    cut: u64,
}

/// Runs `limbeck encode`.
///
/// # Errors
/// The model cannot be read, a text is not UTF-8, a layer does not exist.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let folder = Folder::read(&arguments.model)?;
    let (device, _) = device::open(arguments.device)?;
    let prompt = arguments.prompt.as_deref();
    let model = open(&folder, prompt, arguments.max_length, &device)?;
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
        cut: 0,
    };
    let mut out = std::io::stdout().lock();
    let mut waiting = Vec::new();
    for_each_line(&arguments.files, |line| {
        waiting.push(line);
        if waiting.len() >= arguments.batch.max(1) {
            session.write(&std::mem::take(&mut waiting), &mut out)?;
        }
        Ok(())
    })?;
    session.write(&waiting, &mut out)?;
    out.flush()?;
    let length = session.model.max_length();
    if let Some(cut) = cut_in_words(session.cut, session.texts, length) {
        terminal::say(cut);
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a model folder for sentences, on kernels that the device computes rightly.
///
/// # Errors
/// The folder cannot be used. What a flag asked for in vain is wrong use.
pub fn open(
    folder: &Folder,
    prompt: Option<&str>,
    max_length: Option<usize>,
    device: &Device,
) -> Result<SentenceModel, CliError> {
    let model = SentenceModel::from_folder(folder, prompt, max_length, device);
    let mut model = model.map_err(|error| match error {
        ModelError::TooLong { .. } | ModelError::NoPrompt(_) => CliError::Usage(error.to_string()),
        error => error.into(),
    })?;
    let checks = checks(model.encoder().config());
    if let Err(error) = pollster::block_on(self_test(device, &checks)) {
        terminal::say(device::self_test_failed(&error));
        model.set_kernel(KernelChoice::Naive);
    }
    Ok(model)
}

/// How many texts lost their end, in words; none if none did.
pub fn cut_in_words(cut: u64, texts: u64, length: usize) -> Option<String> {
    let were = if cut == 1 { "was" } else { "were" };
    let words =
        || format!("{cut} of {texts} texts {were} cut: the model reads {length} tokens of a text");
    (cut > 0).then(words)
}

fn for_each_line(
    files: &[PathBuf],
    mut body: impl FnMut(String) -> Result<(), CliError>,
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
            bytes.clear();
            if reader
                .read_until(b'\n', &mut bytes)
                .map_err(CliError::file("read", path))?
                == 0
            {
                break;
            }
            body(line(&bytes, number, path)?)?;
        }
    }
    Ok(())
}

fn line(bytes: &[u8], number: u64, path: &Path) -> Result<String, CliError> {
    let bytes = if number == 1 {
        bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
    } else {
        bytes
    };
    let text = std::str::from_utf8(bytes).map_err(|e| CorpusError::NotUtf8 {
        file: match path.as_os_str() == "-" {
            true => "standard input".into(),
            false => path.display().to_string(),
        },
        line: number,
        byte: e.valid_up_to() + 1,
        encoding: "LATIN1",
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

impl Session {
    fn write(&mut self, lines: &[String], out: &mut impl Write) -> Result<(), CliError> {
        if lines.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (tokens, batch) = self.model.read(&texts)?;
        self.texts += lines.len() as u64;
        self.cut += tokens.iter().filter(|tokens| tokens.truncated).count() as u64;
        let objects = if self.tokens {
            self.layer_objects(&batch, &tokens)?
        } else {
            self.vectors(&batch)?
        };
        for object in objects {
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

/// A tensor as nested rows.
fn read(tensor: Tensor<3>) -> Result<Vec<Vec<Vec<f32>>>, CliError> {
    let [_, s, h] = tensor.dims();
    let data = tensor
        .try_into_data()
        .map_err(|e| ModelError::Device(e.to_string()))?;
    let values: Vec<f32> = data
        .try_to_vec()
        .map_err(|e| ModelError::Device(format!("{e:?}")))?;
    let sequence = |values: &[f32]| values.chunks(h).map(<[f32]>::to_vec).collect();
    Ok(values.chunks(s * h).map(sequence).collect())
}
