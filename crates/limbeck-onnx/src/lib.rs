//! An encoder as an ONNX file, under the names that onnxruntime, transformers.js and sentence-transformers look for: the graph is
//! written from the model's config, layer by layer, in operations of opset 17 alone.
//!
//! Inputs are `input_ids`, `attention_mask` and, where the model tells token types apart, `token_type_ids`, int64 (B, S) each;
//! outputs are f32: `last_hidden_state` (B, S, H), and `sentence_embedding` (B, W) if asked for. A model with a head gives its
//! `logits` instead.
#![warn(missing_docs)]

mod encoder;
mod graph;
mod head;
mod linear;
mod positions;
mod wire;
mod writer;

pub use linear::steps;

use limbeck_recipe::{Config, SentenceHead, Tuned, parameter_count};

use graph::{Builder, Float};

/// A protobuf message is smaller than this.
const LARGEST: usize = 0x7fff_ffff;

/// The numbers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the model has them.
    F32,
    /// Half of the bytes; sums of LayerNorm stay in f32 and so do inputs and outputs.
    F16,
    /// Linear layers and the word embeddings of 8 bits, a quarter of the bytes: every output column and every word has a
    /// scale of its own, and what is multiplied with them is quantised when it is there (dynamically).
    Int8,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// For the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// The file's name, as transformers.js expects it in the folder `onnx`.
    pub fn file(self) -> &'static str {
        match self {
            Self::F32 => "model.onnx",
            Self::F16 => "model_fp16.onnx",
            Self::Int8 => "model_quantized.onnx",
        }
    }
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    /// The encoder.
    pub config: &'a Config,
    /// What makes one vector of a text, if the graph shall give it, too.
    pub sentence: Option<&'a SentenceHead>,
    /// The head that classifies or scores, if the model has one.
    pub tuned: Option<&'a Tuned>,
    /// The type of its numbers.
    pub format: Format,
}

/// Whose tensor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// The encoder's, by its name without the prefix of a model with a head.
    Encoder,
    /// One of the model's file, by its whole name.
    File,
    /// A module's of sentence-transformers, such as `2_Dense`.
    Module(&'a str),
}

/// Gives the values of a tensor, row by row: (whose, name, shape as in the file).
pub type Tensors<'a, E> = dyn FnMut(Source<'_>, &str, &[usize]) -> Result<Vec<f32>, E> + 'a;

/// What stands in the way of a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Models of this kind are teachers alone; in one sentence.
    #[error("{0}")]
    OnlyTeaches(String),
    /// A graph does not know which tokens are a prompt's.
    #[error(
        "its pooling leaves the tokens of a prompt out, and a graph does not know which these are; export it without the sentence vector"
    )]
    Prompt,
    /// 16 bits hold numbers up to 65,504.
    #[error(
        "tensor `{0}` holds a number beyond 65504, the largest that f16 has; write it as f32 or int8"
    )]
    Beyond(String),
    /// A file of ONNX is one protobuf message.
    #[error("the file would have {bytes} bytes, and an ONNX file has fewer than {LARGEST}; write it as {}", .smaller)]
    TooLarge {
        /// What it would have.
        bytes: usize,
        /// What to write instead.
        smaller: &'static str,
    },
}

/// An error of the file, or of whoever gives the tensors.
#[derive(Debug, thiserror::Error)]
pub enum Failed<E> {
    /// The file cannot be.
    #[error("{0}")]
    Export(#[from] ExportError),
    /// A tensor could not be had.
    #[error("{0}")]
    Tensor(E),
}

/// Refuses what is known to be too large before there is a weight, by a lower bound of the file, and kinds of models of which no graph is
/// written.
///
/// # Errors
/// [`ExportError::TooLarge`], [`ExportError::OnlyTeaches`].
pub fn require_writable(config: &Config, format: Format) -> Result<(), ExportError> {
    let more = config.require_more_than_a_teacher();
    more.map_err(ExportError::OnlyTeaches)?;
    let bytes = match format {
        Format::F32 => 4,
        Format::F16 => 2,
        Format::Int8 => 1,
    };
    let bytes = parameter_count(config) as usize * bytes;
    match bytes < LARGEST {
        true => Ok(()),
        false => Err(too_large(format, bytes)),
    }
}

fn too_large(format: Format, bytes: usize) -> ExportError {
    let smaller = match format {
        Format::F32 => "f16 or int8",
        Format::F16 | Format::Int8 => "int8, or take a smaller model",
    };
    ExportError::TooLarge { bytes, smaller }
}

/// The bytes of the file.
///
/// # Errors
/// What a graph cannot say, a file beyond 2 GB, or whatever `tensors` returns.
pub fn write<E>(export: &Export, tensors: &mut Tensors<'_, E>) -> Result<Vec<u8>, Failed<E>> {
    let more = export.config.require_more_than_a_teacher();
    more.map_err(ExportError::OnlyTeaches)?;
    if let Some(sentence) = export.sentence
        && !sentence.pooling.include_prompt
    {
        return Err(ExportError::Prompt.into());
    }
    let float = match export.format {
        Format::F16 => Float::F16,
        Format::F32 | Format::Int8 => Float::F32,
    };
    let mut graph = Builder::new(float);
    let quantised = export.format == Format::Int8;
    let mut writer = writer::Writer {
        graph: &mut graph,
        config: export.config,
        quantised,
        tensors,
        narrow: Vec::new(),
    };
    let hidden = writer.encoder().map_err(Failed::Tensor)?;
    match export.tuned {
        Some(tuned) => writer.logits(&hidden, tuned),
        None => writer.vectors(&hidden, export.sentence),
    }
    .map_err(Failed::Tensor)?;
    if let Some(name) = graph.beyond.take() {
        return Err(ExportError::Beyond(name).into());
    }
    graph
        .finish(LARGEST)
        .map_err(|bytes| too_large(export.format, bytes).into())
}
