//! Why a model cannot be loaded, or cannot do what was asked.

use limbeck_kernels::ShapeError;
use limbeck_recipe::{ConfigError, counted, memory};
use limbeck_tokenizer::TokenizerError;

/// Each message says what was wrong, with the values, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no such folder.
    #[error(
        "there is no folder {folder}. Name a Hugging Face model folder, with config.json, model.safetensors and tokenizer.json"
    )]
    NoFolder {
        /// The folder.
        folder: String,
    },
    /// A file that a model folder must have is not there.
    #[error(
        "{folder}: no {file}. A Hugging Face model folder holds config.json, model.safetensors (or its shards, or pytorch_model.bin) and tokenizer.json (or vocab.txt)"
    )]
    Missing {
        /// The folder.
        folder: String,
        /// The file or files.
        file: String,
    },
    /// A file that stands for another one.
    #[error("{file} is {what}. {advice}")]
    NotItself {
        /// The file.
        file: String,
        /// What it is.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The folder of a run that has not come to its end.
    #[error(
        "{folder} holds a run that is not finished, and no model yet. Finish it with: limbeck distill --out {folder} --resume"
    )]
    Unfinished {
        /// What was named.
        folder: String,
    },
    /// The model is in another folder.
    #[error("{folder} {why}: {place}; name that folder")]
    OtherPlace {
        /// What was named.
        folder: String,
        /// Why it is no model's.
        why: &'static str,
        /// Where a model is.
        place: String,
    },
    /// The weights are in a form that is not read.
    #[error(
        "{folder}: no model.safetensors (or its shards, or pytorch_model.bin), but {found}, which is not read. {advice}"
    )]
    OtherWeights {
        /// The folder.
        folder: String,
        /// The files.
        found: String,
        /// What to do.
        advice: String,
    },
    /// There is more than one encoder in the weights, and nothing says which is meant.
    #[error(
        "the weights of {folder} hold several whole encoders: their tensors begin with {prefixes}. Save the one that you want by \
         itself: in Python, save_pretrained of that part of the model"
    )]
    SeveralEncoders {
        /// The folder.
        folder: String,
        /// What stands before the names of their tensors.
        prefixes: String,
    },
    /// config.json cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A weight file is damaged.
    #[error("{file}: {reason}. Download the file again, or copy it whole")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of the model is not in its weight files.
    #[error(
        "no tensor `{name}` in the weights ({}, such as `{example}`), but config.json requires it",
        counted(.count, "tensor")
    )]
    NoTensor {
        /// Name of the tensor that was looked for.
        name: String,
        /// How many tensors there are.
        count: usize,
        /// Name of one that is there.
        example: String,
    },
    /// A tensor has another shape than config.json says.
    #[error("tensor `{name}` has shape {found:?}, but config.json requires {expected:?}")]
    WrongShape {
        /// Name of the tensor in the file.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the config.
        expected: Vec<usize>,
    },
    /// A tensor has an element type that is not a float.
    #[error("tensor `{name}` is of type {dtype}; weights must be F32, F16, BF16 or F64")]
    WrongType {
        /// Name of the tensor in the file.
        name: String,
        /// Its element type.
        dtype: String,
    },
    /// A weight that is not a finite number, or that does not stay one.
    #[error("{of} hold {found}. {advice}")]
    NotFinite {
        /// Whose weights.
        of: String,
        /// What they hold and where: see [`crate::Named::not_finite`].
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The model has no layer of that number.
    #[error("layer {layer} does not exist: the model has layers 1 to {layers}")]
    NoLayer {
        /// The layer that was asked for, from 1.
        layer: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A batch is longer than the model's positions.
    #[error(
        "a sequence has {length} tokens, but the model has positions for {longest}; set max_length to {longest} or less"
    )]
    TooLong {
        /// Tokens of the longest sequence.
        length: usize,
        /// Positions of the model.
        longest: usize,
    },
    /// A token id beyond the vocabulary: tokenizer and model do not belong together.
    #[error(
        "token id {id} is beyond the model's vocabulary of {vocabulary}: this tokenizer belongs to another model"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// Rows of the embedding table.
        vocabulary: usize,
    },
    /// A token type that the model has no row for.
    #[error(
        "token type {id} is beyond the model's {types}: this tokenizer belongs to another model"
    )]
    UnknownType {
        /// The token type.
        id: u32,
        /// Rows of the table of token types.
        types: usize,
    },
    /// A tokenizer with tokens that the model has no rows for.
    #[error(
        "the tokenizer has {tokens} tokens, such as `{token}` with id {id}, and the model rows for {rows}. Give the model rows \
         for them all (resize_token_embeddings of transformers), or remove the added tokens from the tokenizer's files"
    )]
    TooManyTokens {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// One without a row.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding table.
        rows: usize,
    },
    /// The folder has no prompt of this name.
    #[error("{0}")]
    NoPrompt(String),
    /// A model that cannot do with fewer tokens.
    #[error("the vocabulary of the model in {folder} cannot be pruned: {reason}")]
    NotPruned {
        /// The model's folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// The tokenizer's files are wrong, or it failed on a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Shapes or lengths do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor could not be read back from the device.
    #[error("cannot read a tensor back from the device: {0}")]
    Device(String),
    /// The device has no memory left.
    #[error(
        "the device has no memory left{}. Lower the batch or max_length, close what else uses its memory, or compute on the CPU \
         (--device cpu)",
        for_tensor(*.bytes)
    )]
    NoRoom {
        /// Bytes of the tensor that it has no room for, if it says so.
        bytes: Option<u64>,
    },
}

impl ModelError {
    /// What a device answered where numbers were asked of it. That it ran out of memory stands somewhere in the story that it tells
    /// of every operation which then had nothing to work on.
    pub fn device(answer: impl std::fmt::Display) -> Self {
        const BEFORE_BYTES: [&str; 2] = [
            "can't allocate buffer of size: ",
            "out of device memory allocating ",
        ];
        let answer = answer.to_string();
        let bytes = BEFORE_BYTES.iter().find_map(|before| {
            let (_, rest) = answer.split_once(before)?;
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            rest[..digits.unwrap_or(rest.len())].parse().ok()
        });
        match bytes.is_some() || answer.contains("Out of Memory") {
            true => Self::NoRoom { bytes },
            false => Self::Device(answer),
        }
    }

    /// Whether it is the device that failed.
    pub fn is_of_device(&self) -> bool {
        matches!(self, Self::Device(_) | Self::NoRoom { .. })
    }
}

fn for_tensor(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        format!(" for a tensor of {}", memory(bytes as f64))
    })
}
