//! `limbeck export`: a model as ONNX files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Args;
use limbeck_engine::onnx::{self, Model};
use limbeck_model::Folder;
use limbeck_onnx::{ExportError, Failed, Format};
use limbeck_recipe::{Config, file_size};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::interrupt::on_interrupt;
use crate::output::{clear_unfinished, write_whole};
use crate::{models, terminal};

/// Flags of `limbeck export`.
#[derive(Args)]
pub struct Arguments {
    /// The model, an encoder, a student, or what `limbeck finetune` wrote: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Where the files go [default: `onnx` in the model's folder, where transformers.js looks]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number types, one file each: f32 (model.onnx), f16 (model_fp16.onnx), int8 (model_quantized.onnx)
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_value = "f32,f16,int8", value_parser = format)]
    formats: Vec<Format>,
    /// Also output the sentence's vector, `sentence_embedding`, pooled as the folder says
    #[arg(long)]
    pooled: bool,
    /// Overwrite existing files
    #[arg(long)]
    overwrite: bool,
}

/// A type of numbers by its name; `onnx` is the one of the file that is plainly called so.
///
/// # Errors
/// There is none of that name.
pub fn format(text: &str) -> Result<Format, String> {
    let name = match text {
        "onnx" => Format::F32.name(),
        name => name,
    };
    let found = Format::ALL.into_iter().find(|format| format.name() == name);
    found.ok_or_else(|| "there is f32, f16 and int8".to_owned())
}

/// Runs `limbeck export`.
///
/// # Errors
/// The folder is not one of a model that we run, a file is there already, or a graph cannot say what the folder does.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let out = match (&arguments.out, models::on_hub(&arguments.model)) {
        (Some(out), _) => out.clone(),
        (None, None) => arguments.model.join(onnx::FOLDER),
        (None, Some(id)) => {
            return Err(CliError::Usage(format!(
                "{id} is a model on the hub, and limbeck exports nothing into the hub's cache: name a folder with --out"
            )));
        }
    };
    let formats = each_once(&arguments.formats);
    let mut paths = formats.iter().map(|format| out.join(format.file()));
    if let Some(there) = paths.find(|path| path.exists())
        && !arguments.overwrite
    {
        return Err(CliError::Usage(format!(
            "{} is there already: overwrite it with --overwrite, or name another folder with --out",
            there.display()
        )));
    }
    let folder = models::read(&arguments.model)?;
    let model = Model::open(&folder)?;
    if let (true, Some(tuned)) = (arguments.pooled, &model.tuned) {
        return Err(CliError::Usage(format!(
            "{} was fine-tuned, so its file gives logits ({}), no sentence vector: leave --pooled out",
            folder.name(),
            match tuned.labels.as_ref().map(Vec::len) {
                Some(classes) => format!("{classes} classes"),
                None => "a score".to_owned(),
            }
        )));
    }
    let writing = Arc::new(Mutex::new(()));
    let begun = writing.clone();
    on_interrupt(move || {
        // Either nothing is written yet, or all of it becomes whole first.
        let _held = begun.lock();
        std::process::exit(1);
    })?;
    let named = (&model, folder.name());
    for file in write(named, arguments.pooled, &formats, &out, &writing)? {
        terminal::say(file);
    }
    if folder.get("tokenizer.json").is_none() {
        terminal::say(format_args!(
            "transformers.js needs a tokenizer.json beside config.json, and {} has none",
            folder.name()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that was written.
pub struct Written {
    path: PathBuf,
    bytes: usize,
    format: Format,
}

impl Written {
    /// For programs.
    pub fn fields(&self) -> Value {
        json!({ "file": self.path, "bytes": self.bytes, "format": self.format.name() })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, size) = (self.path.display(), file_size(self.bytes as u64));
        write!(f, "{path}: {size}, {}", self.format.name())
    }
}

/// The student of a run, into its folder: what `limbeck export --model DIR` writes there.
///
/// # Errors
/// A number does not fit a format, or the disk is full, say. The student is whole.
pub fn beside(student: &Path, formats: &[Format]) -> Result<Vec<Written>, CliError> {
    let folder = Folder::read(student)?;
    let out = student.join(onnx::FOLDER);
    let model = (&Model::open(&folder)?, folder.name());
    write(model, false, &each_once(formats), &out, &Mutex::default())
}

/// Refuses formats in which a model of this config cannot be, whatever its weights.
///
/// # Errors
/// It is too large for a file of ONNX.
pub fn require_writable(config: &Config, formats: &[Format]) -> Result<(), CliError> {
    let mut formats = formats.iter();
    let writable = formats.try_for_each(|format| limbeck_onnx::require_writable(config, *format));
    writable.map_err(|error| {
        CliError::Usage(format!(
            "the student cannot be exported with --export: {error}"
        ))
    })
}

fn each_once(formats: &[Format]) -> Vec<Format> {
    let mut once = Vec::new();
    for format in formats {
        if !once.contains(format) {
            once.push(*format);
        }
    }
    once
}

/// All files, or none. `writing` is held while they are made.
fn write(
    (model, name): (&Model, &str),
    pooled: bool,
    formats: &[Format],
    out: &Path,
    writing: &Mutex<()>,
) -> Result<Vec<Written>, CliError> {
    let files = formats
        .iter()
        .map(|format| file(model, name, pooled, *format));
    let files = files.collect::<Result<Vec<_>, CliError>>()?;
    clear_unfinished(out)?;
    let mut written = Vec::new();
    let _held = writing.lock();
    for (format, bytes) in formats.iter().zip(files) {
        let path = out.join(format.file());
        write_whole(&path, |file| file.write_all(&bytes))?;
        written.push(Written {
            path,
            bytes: bytes.len(),
            format: *format,
        });
    }
    Ok(written)
}

/// The bytes of a file.
fn file(model: &Model, name: &str, pooled: bool, format: Format) -> Result<Vec<u8>, CliError> {
    model.file(pooled, format).map_err(|failed| match failed {
        Failed::Tensor(error) => error.into(),
        Failed::Export(error) => {
            let flags = match error {
                ExportError::Beyond(_) => " (--formats f32,int8)",
                ExportError::Prompt => " (leave --pooled out)",
                ExportError::TooLarge { .. } | ExportError::OnlyTeaches(_) => "",
            };
            CliError::Usage(format!(
                "{name} cannot be exported as it is: {error}{flags}"
            ))
        }
    })
}
