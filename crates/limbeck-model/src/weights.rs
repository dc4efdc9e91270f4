//! Weight files: safetensors (whole or in shards) and PyTorch's own, as f32 by name.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::{Folder, ModelError};

/// Element type of weights on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, half the file size.
    F16,
}

impl Precision {
    /// As PyTorch calls it in config.json.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
        }
    }
}

enum Source<'a> {
    Safe(Vec<SafeTensors<'a>>),
    #[cfg(not(target_family = "wasm"))]
    PyTorch(pytorch_reader::PytorchReader),
}

/// Values and shape of a tensor.
type Found = (Vec<f32>, Vec<usize>);

/// The tensors of a model folder.
pub struct Weights<'a> {
    source: Source<'a>,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// Opens the weight files of a folder and finds the prefix of the encoder's names (``, `bert.`, `roberta.`, ...): what
    /// stands before the name of its first parameter.
    ///
    /// # Errors
    /// The config is not one we run, a file is damaged, or it holds no encoder.
    pub fn open(folder: &'a Folder) -> Result<Self, ModelError> {
        let mut weights = Self {
            source: Self::source(folder)?,
            prefix: String::new(),
        };
        let layout = folder.config()?.layout();
        let Some(first) = layout.parameters.first() else {
            return Ok(weights);
        };
        let names = weights.names();
        let found = names.iter().find_map(|name| name.strip_suffix(&first.name));
        let prefix = found.ok_or_else(|| weights.absent(&first.name))?;
        weights.prefix = prefix.to_owned();
        Ok(weights)
    }

    fn source(folder: &'a Folder) -> Result<Source<'a>, ModelError> {
        if let Some(bytes) = folder.get("model.safetensors") {
            return Ok(Source::Safe(vec![parse(
                folder,
                "model.safetensors",
                bytes,
            )?]));
        }
        let shards = folder.shards()?;
        if !shards.is_empty() {
            let opened = shards.iter().map(|shard| {
                let bytes = folder.get(shard).ok_or_else(|| folder.missing(shard))?;
                parse(folder, shard, bytes)
            });
            return Ok(Source::Safe(opened.collect::<Result<_, _>>()?));
        }
        #[cfg(not(target_family = "wasm"))]
        if let Some(path) = folder.pytorch() {
            let damaged = |e: pytorch_reader::PytorchError| ModelError::Damaged {
                file: path.display().to_string(),
                reason: e.to_string(),
            };
            return Ok(Source::PyTorch(
                pytorch_reader::PytorchReader::new(path).map_err(damaged)?,
            ));
        }
        Err(folder.missing("model.safetensors"))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.source {
            Source::Safe(files) => files
                .iter()
                .flat_map(|f| f.names())
                .map(str::to_owned)
                .collect(),
            #[cfg(not(target_family = "wasm"))]
            Source::PyTorch(reader) => reader.keys(),
        };
        names.sort();
        names
    }

    fn absent(&self, name: &str) -> ModelError {
        let names = self.names();
        let example = names.first().cloned().unwrap_or_default();
        ModelError::NoTensor {
            name: name.to_owned(),
            count: names.len(),
            example,
        }
    }

    /// Whether there is a tensor of this name; it is without the prefix.
    pub(crate) fn has(&self, name: &str) -> bool {
        let full = format!("{}{name}", self.prefix);
        self.names().contains(&full)
    }

    /// The values of a tensor of the encoder, row-major; `name` is without the prefix.
    ///
    /// # Errors
    /// The file lacks it, or it has another shape or an element type that is not a float.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let full = format!("{}{name}", self.prefix);
        // Checkpoints converted from TensorFlow call the LayerNorm's weight and bias gamma and beta.
        let old = full
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let found = self
            .find(&full)?
            .or(if old == full { None } else { self.find(&old)? });
        let (values, found) = found.ok_or_else(|| self.absent(&full))?;
        if found != shape {
            return Err(ModelError::WrongShape {
                name: full,
                found,
                expected: shape.to_vec(),
            });
        }
        Ok(values)
    }

    fn find(&self, name: &str) -> Result<Option<Found>, ModelError> {
        match &self.source {
            Source::Safe(files) => {
                let Some(view) = files.iter().find_map(|file| file.tensor(name).ok()) else {
                    return Ok(None);
                };
                let values = floats(name, &format!("{:?}", view.dtype()), view.data())?;
                Ok(Some((values, view.shape().to_vec())))
            }
            #[cfg(not(target_family = "wasm"))]
            Source::PyTorch(reader) => {
                let Some(tensor) = reader.get(name) else {
                    return Ok(None);
                };
                let bytes = tensor.read().map_err(|e| ModelError::Damaged {
                    file: "pytorch_model.bin".into(),
                    reason: e.to_string(),
                })?;
                let values = floats(name, &format!("{:?}", tensor.dtype()), &bytes)?;
                Ok(Some((values, tensor.shape().to_vec())))
            }
        }
    }
}

/// Little-endian bytes of a float type, named as safetensors names it, as f32.
fn floats(name: &str, dtype: &str, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
    match dtype {
        "F32" => Ok(bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()),
        "F16" => Ok(bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f16::from_le_bytes(*b).to_f32())
            .collect()),
        "BF16" => Ok(bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| bf16::from_le_bytes(*b).to_f32())
            .collect()),
        "F64" => Ok(bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b) as f32)
            .collect()),
        _ => Err(ModelError::WrongType {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
        }),
    }
}

fn parse<'a>(folder: &Folder, file: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ModelError> {
    SafeTensors::deserialize(bytes).map_err(|e| ModelError::Damaged {
        file: folder.path(file),
        reason: damage(&e, bytes),
    })
}

/// What is wrong with a safetensors file, with its sizes.
fn damage(error: &SafeTensorError, bytes: &[u8]) -> String {
    let header = bytes
        .first_chunk::<8>()
        .map_or(0, |n| u64::from_le_bytes(*n));
    let size = bytes.len();
    match error {
        SafeTensorError::HeaderTooSmall => {
            format!("{size} bytes are too few for a safetensors file")
        }
        SafeTensorError::HeaderTooLarge => {
            format!(
                "the file claims a header of {header} bytes, more than any safetensors file has"
            )
        }
        SafeTensorError::InvalidHeaderLength => {
            format!("the file is cut off: its header alone is {header} bytes, the file only {size}")
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            format!(
                "the file is cut off or too long: its {size} bytes are not what its header announces"
            )
        }
        other => format!("not a safetensors file ({other})"),
    }
}

/// A tensor on the host, in the layout of files.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Its name, as `transformers` has it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// Serialises tensors as a safetensors file that `transformers` opens (`format` must be `pt`).
pub(crate) fn to_safetensors(
    tensors: &[Named],
    precision: Precision,
) -> Result<Vec<u8>, ModelError> {
    let wrong = |e: SafeTensorError| ModelError::Damaged {
        file: "model.safetensors".into(),
        reason: e.to_string(),
    };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|t| to_bytes(&t.values, precision))
        .collect();
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = safetensors::tensor::TensorView::new(dtype, tensor.shape.clone(), bytes)
            .map_err(wrong)?;
        Ok((tensor.name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, ModelError>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(views, Some(metadata)).map_err(wrong)
}

fn to_bytes(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F16 => values
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}
