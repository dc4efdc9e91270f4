//! Weight files: safetensors (whole or in shards) and PyTorch's own, as f32 by name.
//!
//! In a safetensors file a matrix may be of 8 bits: `NAME`, I8 (R, C), beside `NAME.scale`, F32 (R). Row r is `NAME[r] * NAME.scale[r]`.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use limbeck_recipe::layout::{self, Parameter, Shared, TIED_WORDS};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::folder::is_weights;
use crate::{Folder, ModelError, place};

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
    folder: &'a Folder,
    source: Source<'a>,
    prefix: String,
    /// Names of all tensors.
    names: BTreeSet<String>,
    /// Tensors that are not stored themselves, each with the name of the one that has its values.
    aliases: BTreeMap<String, String>,
    /// The name of the table of words.
    words: String,
    /// Parameters of the encoder that are parts of a tensor.
    shared: BTreeMap<String, Shared>,
}

impl<'a> Weights<'a> {
    /// Opens the weight files of a folder and finds the prefix of the encoder's names (``, `bert.`, `roberta.`, ...): what
    /// stands before the name of its first parameter.
    ///
    /// # Errors
    /// The config is not one we run, a file is damaged, or it holds no encoder, or more than one.
    pub fn open(folder: &'a Folder) -> Result<Self, ModelError> {
        let mut weights = Self::of_source(folder, Self::source(folder)?);
        let config = folder.config()?;
        let mut parameters = config.layout().parameters;
        if let Some(words) = parameters.first_mut() {
            weights.words.clone_from(&words.name);
            if let Some(rows) = folder.rows() {
                words.shape[0] = rows.of;
            }
        }
        weights.take_aliases();
        weights.prefix = weights.find_prefix(&parameters)?;
        if let Some(words) = parameters.first().filter(|_| config.ties_words()) {
            weights.take_tied(words);
        }
        let shared = |p: Parameter| Some((p.name, p.shared?));
        weights.shared = parameters.into_iter().filter_map(shared).collect();
        Ok(weights)
    }

    fn of_source(folder: &'a Folder, source: Source<'a>) -> Self {
        let names = match &source {
            Source::Safe(files) => files
                .iter()
                .flat_map(|f| f.names())
                .map(str::to_owned)
                .collect(),
            #[cfg(not(target_family = "wasm"))]
            Source::PyTorch(reader) => reader.keys().into_iter().collect(),
        };
        Self {
            folder,
            source,
            prefix: String::new(),
            names,
            aliases: BTreeMap::new(),
            words: String::new(),
            shared: BTreeMap::new(),
        }
    }

    /// safetensors stores tensors that are one only once, and notes the names of the others in the file's metadata.
    fn take_aliases(&mut self) {
        let files = self.folder.files();
        let headers = files
            .filter(|(name, _)| is_weights(name))
            .filter_map(|(_, bytes)| SafeTensors::read_metadata(bytes).ok());
        for (_, header) in headers {
            for (name, other) in header.metadata().iter().flatten() {
                if self.names.contains(other) && !self.names.contains(name) {
                    self.aliases.insert(name.clone(), other.clone());
                }
            }
        }
    }

    /// Without a note, too: a table that the config calls tied, and that only the head has.
    fn take_tied(&mut self, words: &Parameter) {
        let name = format!("{}{}", self.prefix, words.name);
        if self.stored(&name).is_some() {
            return;
        }
        let fits = |other: &&str| self.shape(other).is_some_and(|shape| shape == words.shape);
        if let Some(other) = TIED_WORDS.into_iter().find(fits) {
            self.aliases.insert(name, other.to_owned());
        }
    }

    /// Of several encoders, the one that is whole.
    fn find_prefix(&self, parameters: &[Parameter]) -> Result<String, ModelError> {
        let Some(first) = parameters.first() else {
            return Ok(String::new());
        };
        // The table of words may be stored under a name of the head.
        let prefixes = parameters.iter().take(2).map(|p| self.prefixes(&p.name));
        let prefixes = prefixes.into_iter().find(|found| !found.is_empty());
        let missing = |prefix: &&String| {
            let lacks = |parameter: &&Parameter| {
                let (name, shape) = parameter.stored();
                let name = format!("{prefix}{name}");
                let found = self.stored(&name).and_then(|name| self.shape(name));
                found != Some(shape)
            };
            parameters.iter().filter(lacks).count()
        };
        let prefixes = prefixes.unwrap_or_default();
        let whole: Vec<&String> = prefixes.iter().filter(|p| missing(p) == 0).collect();
        match (&whole[..], prefixes.iter().min_by_key(missing)) {
            ([_, _, ..], _) => {
                let shown = |prefix: &&String| match prefix.is_empty() {
                    true => format!("`{}`", first.name),
                    false => format!("`{prefix}`"),
                };
                let shown: Vec<String> = whole.iter().map(shown).collect();
                Err(ModelError::SeveralEncoders {
                    folder: self.folder.name().to_owned(),
                    prefixes: shown.join(" and "),
                })
            }
            (_, Some(nearest)) => Ok(nearest.clone()),
            (_, None) => Err(self.absent(&first.name)),
        }
    }

    /// What stands before a parameter's name: nothing, or the names of what holds the encoder.
    fn prefixes(&self, parameter: &str) -> Vec<String> {
        let names = self.names.iter().chain(self.aliases.keys());
        names
            .filter_map(|name| name.strip_suffix(parameter))
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .map(str::to_owned)
            .collect()
    }

    /// Reads every tensor of the encoder once, so that what is wrong with one is known before anything is computed.
    ///
    /// # Errors
    /// See [`Weights::get`].
    pub fn check(&self) -> Result<(), ModelError> {
        for parameter in &self.folder.config()?.layout().parameters {
            self.get(&parameter.name, &parameter.shape)?;
        }
        Ok(())
    }

    /// Names of the tensors that nothing reads, though they are neither a pooler nor a head of a kind that models usually have.
    ///
    /// # Errors
    /// The config is not one we run.
    pub fn strays(&self) -> Result<Vec<&str>, ModelError> {
        let parameters = self.folder.config()?.layout().parameters;
        let full = parameters
            .iter()
            .map(|p| format!("{}{}", self.prefix, p.stored().0));
        let full: Vec<String> = full.collect();
        let read: BTreeSet<&str> = full.iter().filter_map(|name| self.stored(name)).collect();
        let is_usual = |name: &str| {
            layout::is_usual(name)
                || name
                    .strip_prefix(&self.prefix)
                    .is_some_and(layout::is_usual)
        };
        let names = self.names.iter().map(String::as_str);
        let scaled = |name: &str| {
            name.strip_suffix(".scale")
                .is_some_and(|matrix| read.contains(matrix))
        };
        Ok(names
            .filter(|name| !read.contains(name) && !scaled(name) && !is_usual(name))
            .collect())
    }

    /// Opens the weights of a module of the folder, such as `2_Dense`: `linear.weight` and `linear.bias`.
    ///
    /// # Errors
    /// They are not there, or damaged.
    pub fn of_module(folder: &'a Folder, module: &str) -> Result<Self, ModelError> {
        let [safetensors, pytorch] =
            ["model.safetensors", "pytorch_model.bin"].map(|file| format!("{module}/{file}"));
        let source = match folder.get(&safetensors) {
            Some(bytes) => Source::Safe(vec![parse(folder, &safetensors, bytes)?]),
            None => {
                pytorch_on_disk(folder, &pytorch)?.ok_or_else(|| folder.missing(&safetensors))?
            }
        };
        Ok(Self::of_source(folder, source))
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

    fn absent(&self, name: &str) -> ModelError {
        ModelError::NoTensor {
            name: name.to_owned(),
            count: self.names.len(),
            example: self.names.first().cloned().unwrap_or_default(),
        }
    }

    /// Whether there is a tensor of this name; it is without the prefix.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.stored(&format!("{}{name}", self.prefix)).is_some()
    }

    /// The name that a tensor has in the file.
    fn stored(&self, full: &str) -> Option<&str> {
        // Checkpoints converted from TensorFlow call the LayerNorm's weight and bias gamma and beta.
        let old = full
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let name = self.names.get(full).or_else(|| self.names.get(&old));
        let name = name.or_else(|| self.aliases.get(full));
        name.map(String::as_str)
    }

    /// The values of a parameter of the encoder, row-major; `name` is without the prefix.
    ///
    /// # Errors
    /// The file lacks it, it has another shape or an element type that is not a float, or a value of it is not finite.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let full = format!("{}{name}", self.prefix);
        if let Some(shared) = self.shared.get(name) {
            return self.get_part(shared, shape);
        }
        let rows = self.folder.rows().filter(|_| name == self.words);
        match (rows, shape) {
            (Some(rows), [kept, width]) if *kept == rows.kept.len() => {
                let table = self.get_of_file(&full, &[rows.of, *width])?;
                let row = |id: &u32| &table[*id as usize * width..][..*width];
                Ok(rows.kept.iter().flat_map(row).copied().collect())
            }
            _ => self.get_of_file(&full, shape),
        }
    }

    /// A parameter that is a part of a tensor, with this shape of its own.
    fn get_part(&self, shared: &Shared, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let mut whole = shape.to_vec();
        if let Some(rows) = whole.first_mut() {
            *rows *= shared.parts;
        }
        let values = self.get_of_file(&format!("{}{}", self.prefix, shared.name), &whole)?;
        let count: usize = shape.iter().product();
        Ok(values[shared.part * count..][..count].to_vec())
    }

    /// The same of any tensor, by its whole name in the file.
    ///
    /// # Errors
    /// See [`Weights::get`].
    pub fn get_of_file(&self, full: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let found = match self.stored(full) {
            Some(name) => self.find(name)?,
            None => None,
        };
        let (values, found) = found.ok_or_else(|| self.absent(full))?;
        if found != shape {
            return Err(ModelError::WrongShape {
                name: full.to_owned(),
                found,
                expected: shape.to_vec(),
            });
        }
        match not_finite(full, &values, shape) {
            None => Ok(values),
            Some(found) => Err(ModelError::NotFinite {
                of: format!("the weights of {}", self.folder.name()),
                found,
                advice: "No model computes with that: download the weights again, or take those of an earlier step",
            }),
        }
    }

    /// The shape of a tensor, by its name in the file.
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match &self.source {
            Source::Safe(files) => {
                let view = files.iter().find_map(|file| file.tensor(name).ok())?;
                Some(view.shape().to_vec())
            }
            #[cfg(not(target_family = "wasm"))]
            Source::PyTorch(reader) => Some(reader.get(name)?.shape().to_vec()),
        }
    }

    /// A matrix of 8 bits: whole steps of each row's own scale.
    fn in_steps(&self, name: &str, steps: &[u8], shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let scale = format!("{name}.scale");
        let rows = &shape[..shape.len().min(1)];
        let scales = match self.shape(&scale) {
            Some(found) if found == rows => self.find(&scale)?,
            Some(found) => {
                let (name, expected) = (scale, rows.to_vec());
                return Err(ModelError::WrongShape {
                    name,
                    found,
                    expected,
                });
            }
            None => None,
        };
        let Some((scales, _)) = scales else {
            return floats(name, "I8", steps);
        };
        let width = (steps.len() / scales.len().max(1)).max(1);
        let rows = steps.chunks(width).zip(scales);
        let values = rows
            .flat_map(|(row, scale)| row.iter().map(move |x| f32::from(x.cast_signed()) * scale));
        Ok(values.collect())
    }

    fn find(&self, name: &str) -> Result<Option<Found>, ModelError> {
        match &self.source {
            Source::Safe(files) => {
                let Some(view) = files.iter().find_map(|file| file.tensor(name).ok()) else {
                    return Ok(None);
                };
                let values = match view.dtype() {
                    Dtype::I8 => self.in_steps(name, view.data(), view.shape())?,
                    dtype => floats(name, &format!("{dtype:?}"), view.data())?,
                };
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

/// PyTorch's weights of a module, if there are any.
#[cfg(not(target_family = "wasm"))]
fn pytorch_on_disk(folder: &Folder, file: &str) -> Result<Option<Source<'static>>, ModelError> {
    let Some(path) = folder.on_disk(file) else {
        return Ok(None);
    };
    let reader = pytorch_reader::PytorchReader::new(path);
    let reader = reader.map_err(|e| ModelError::Damaged {
        file: folder.path(file),
        reason: e.to_string(),
    })?;
    Ok(Some(Source::PyTorch(reader)))
}

/// A browser reads safetensors alone.
#[cfg(target_family = "wasm")]
fn pytorch_on_disk(_: &Folder, _: &str) -> Result<Option<Source<'static>>, ModelError> {
    Ok(None)
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
    if let Some(other) = place::other_kind(bytes) {
        return format!("it is {other}, not a safetensors file");
    }
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

impl Named {
    /// The first value that is not a finite number, and its place, in words: `NaN in NAME, first at [0, 3]`.
    pub fn not_finite(&self) -> Option<String> {
        not_finite(&self.name, &self.values, &self.shape)
    }
}

fn not_finite(name: &str, values: &[f32], shape: &[usize]) -> Option<String> {
    let at = values.iter().position(|value| !value.is_finite())?;
    let value = match values[at] {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "infinity",
        _ => "-infinity",
    };
    Some(found(value, name, at, shape))
}

/// A value and its place, in words; `at` counts row-major, and the place is axis by axis.
fn found(value: &str, name: &str, mut at: usize, shape: &[usize]) -> String {
    let along = |size: &usize| {
        let place = at % size;
        at /= size;
        place
    };
    let mut place: Vec<usize> = shape.iter().rev().map(along).collect();
    place.reverse();
    format!("{value} in {name}, first at {place:?}")
}

/// No tensor may hold what is not a number, nor what f16 cannot hold.
fn require_storable(tensor: &Named, precision: Precision) -> Result<(), ModelError> {
    let wrong = |found, advice| ModelError::NotFinite {
        of: "the student's weights".to_owned(),
        found,
        advice,
    };
    if let Some(found) = tensor.not_finite() {
        let advice = "No file was written; lower learning_rate, and start again";
        return Err(wrong(found, advice));
    }
    let overflows = |value: &f32| f16::from_f32(*value).is_infinite();
    match tensor.values.iter().position(overflows) {
        Some(at) if precision == Precision::F16 => {
            let value = tensor.values[at].to_string();
            let found = found(&value, &tensor.name, at, &tensor.shape);
            let advice =
                "f16 holds numbers up to 65504; write the student with precision = \"f32\"";
            Err(wrong(found, advice))
        }
        _ => Ok(()),
    }
}

/// The tensors of a file, of the values of `parameters`: those that share one are put together, one below the other.
pub(crate) fn as_stored(values: Vec<Named>, parameters: &[Parameter]) -> Vec<Named> {
    let mut stored: Vec<Named> = Vec::with_capacity(values.len());
    for (named, parameter) in values.into_iter().zip(parameters) {
        let name = parameter.stored().0;
        match stored.iter_mut().find(|before| before.name == name) {
            Some(whole) => {
                whole.shape[0] += named.shape[0];
                whole.values.extend(named.values);
            }
            None => stored.push(Named {
                name: name.to_owned(),
                ..named
            }),
        }
    }
    stored
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
    for tensor in tensors {
        require_storable(tensor, precision)?;
    }
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
