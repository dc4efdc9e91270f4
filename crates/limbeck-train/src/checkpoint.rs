//! A run on disk: one safetensors file with the student's weights, the output stage's map and the optimizer's moments, and in its
//! metadata a header and a checksum of all that the file says. Nothing else is needed: initial weights, order of lines and dropout
//! follow from the seed.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{Device, Tensor, TensorData};
use limbeck_kernels::AdamWMoments;
use limbeck_model::{Encoder, ModelError, Named, to_host};
use limbeck_recipe::batching::DataPosition;
use limbeck_recipe::{Config, Plan, Recipe};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::optimizer::State;
use crate::output::{self, MAP};
use crate::{Run, TrainError};

const FORMAT: u32 = 2;
const HEADER: &str = "limbeck";
const CHECKSUM: &str = "crc32";

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// Version of the layout.
    pub format: u32,
    /// The recipe of the run; written as TOML, which gives every f64 back bit for bit (serde_json's parser does not).
    #[serde(with = "limbeck_recipe::as_toml")]
    pub recipe: Recipe,
    /// Steps taken, skipped ones counted.
    pub step: u64,
    /// Steps whose loss was not a number.
    pub skipped: u64,
    /// Those of them since the last step that updated the student.
    pub skipped_in_a_row: u32,
    /// Where the corpus continues: after the last micro-batch of the last step.
    pub position: DataPosition,
    /// What the run reads, in the words of its front, so that a resumed run can tell whether it reads the same.
    pub inputs: BTreeMap<String, String>,
    /// Where the number of steps was changed: the steps taken before, and the number until then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_steps: Vec<(u64, u64)>,
    /// How often each parameter was updated.
    pub updates: BTreeMap<String, u64>,
}

/// A checkpoint in memory, checked.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What it holds beside tensors.
    pub header: CheckpointHeader,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

fn wrong(reason: impl Into<String>) -> TrainError {
    TrainError::Checkpoint(reason.into())
}

impl Checkpoint {
    /// Reads and checks the bytes of a checkpoint.
    ///
    /// # Errors
    /// Truncated, changed since it was written, or of a later version.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrainError> {
        let damaged = |e| {
            wrong(format!(
                "incomplete or damaged ({e}); use an earlier one or start again"
            ))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let files = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let entries = metadata.metadata().clone().unwrap_or_default();
        let (Some(header), Some(sum)) = (entries.get(HEADER), entries.get(CHECKSUM)) else {
            return Err(wrong(
                "this safetensors file is not a checkpoint of limbeck",
            ));
        };
        let found = checksum(&entries, files.iter());
        let changed =
            |what: String| wrong(format!("{what}: the file was damaged; use an earlier one"));
        let read = serde_json::from_str::<CheckpointHeader>(header);
        // Of another version, the checksum would be too.
        if let Ok(CheckpointHeader { format, .. }) = &read
            && *format != FORMAT
        {
            return Err(wrong(format!(
                "format {format} is not supported; this version reads format {FORMAT}"
            )));
        }
        if *sum != found {
            return Err(changed(format!("checksum {found} instead of {sum}")));
        }
        let header = read.map_err(|e| changed(format!("cannot read the header: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in files.iter() {
            if view.dtype() != Dtype::F32 {
                let dtype = view.dtype();
                return Err(wrong(format!("{name} is {dtype:?} instead of F32")));
            }
            let values = view.data().as_chunks::<4>().0.iter();
            let values = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
            tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
        Ok(Self { header, tensors })
    }

    /// The student; its parameters are not tracked yet.
    pub(crate) fn student(&self, config: &Config, device: &Device) -> Result<Encoder, TrainError> {
        let encoder = Encoder::from_values(config, device, |name, _, shape| {
            let key = format!("student.{name}");
            let Some((found, values)) = self.tensors.get(&key) else {
                let (count, example) = (
                    self.tensors.len(),
                    self.tensors.keys().next().cloned().unwrap_or_default(),
                );
                return Err(ModelError::NoTensor {
                    name: key,
                    count,
                    example,
                });
            };
            if found != shape {
                return Err(ModelError::WrongShape {
                    name: key,
                    found: found.clone(),
                    expected: shape.to_vec(),
                });
            }
            let tensor = Named {
                name: key,
                shape: found.clone(),
                values: values.clone(),
            };
            if let Some(found) = tensor.not_finite() {
                return Err(ModelError::NotFinite {
                    of: "its weights".to_owned(),
                    found,
                    advice: "Use an earlier one, or start again",
                });
            }
            Ok(tensor.values)
        });
        encoder.map_err(|e| match e {
            ModelError::NotFinite { .. } => wrong(e.to_string()),
            _ => wrong(format!("it holds another student: {e}")),
        })
    }

    /// The map of the output stage, if the plan has one; not tracked yet.
    pub(crate) fn map(
        &self,
        plan: &Plan,
        device: &Device,
    ) -> Result<Option<Tensor<2>>, TrainError> {
        if !plan.output.as_ref().is_some_and(|stage| stage.has_map) {
            return Ok(None);
        }
        let expected = [plan.student.hidden_size, plan.teacher.hidden_size];
        match self.tensors.get(MAP) {
            Some((shape, values)) if *shape == expected => {
                Ok(Some(output::map(values.clone(), expected, device)))
            }
            Some((shape, _)) => Err(wrong(format!("{MAP} is {shape:?} instead of {expected:?}"))),
            None => Err(wrong(format!("no tensor {MAP}"))),
        }
    }

    pub(crate) fn optimizer_states(
        &self,
        device: &Device,
    ) -> Result<BTreeMap<String, State>, TrainError> {
        let mut states = BTreeMap::new();
        for (name, updates) in &self.header.updates {
            let get = |moment: &str| {
                let key = format!("{moment}.{name}");
                self.tensors
                    .get(&key)
                    .ok_or_else(|| wrong(format!("no tensor {key}")))
            };
            let (first, second) = (get("first")?, get("second")?);
            let count = |values: &Values| values.1.len();
            let parameter = match name == MAP {
                true => self.tensors.get(MAP),
                false => self.tensors.get(&format!("student.{name}")),
            };
            if first.0 != second.0 || parameter.map(count) != Some(count(first)) {
                return Err(wrong(format!(
                    "the moments of {name} do not have its shape"
                )));
            }
            let state = State {
                updates: *updates,
                moments: AdamWMoments {
                    first: moment(first, device),
                    second: moment(second, device),
                },
            };
            states.insert(name.clone(), state);
        }
        Ok(states)
    }
}

type Values = (Vec<usize>, Vec<f32>);

/// A moment as the optimizer has it: a vector of N values is one row, (1, N). In the file it is (N).
fn moment((shape, values): &Values, device: &Device) -> Tensor<2> {
    let shape = match shape[..] {
        [n] => vec![1, n],
        _ => shape.clone(),
    };
    Tensor::from_data(TensorData::new(values.clone(), shape), device)
}

pub(crate) async fn write(
    run: &Run,
    position: &DataPosition,
    inputs: &BTreeMap<String, String>,
) -> Result<Vec<u8>, TrainError> {
    let mut tensors = Vec::new();
    for tensor in run.student().values().await? {
        run.require_finite_tensor(&tensor)?;
        tensors.push(Named {
            name: format!("student.{}", tensor.name),
            ..tensor
        });
    }
    if let Some(map) = run.map() {
        tensors.push(Named {
            name: MAP.to_owned(),
            shape: map.dims().to_vec(),
            values: to_host(map.clone().without_autodiff()).await?,
        });
    }
    let mut header_updates = BTreeMap::new();
    let states = run.optimizer().states.iter();
    for (name, State { updates, moments }) in states.filter(|(_, state)| state.updates > 0) {
        header_updates.insert(name.clone(), *updates);
        for (moment, tensor) in [("first", &moments.first), ("second", &moments.second)] {
            tensors.push(Named {
                name: format!("{moment}.{name}"),
                shape: match tensor.dims() {
                    [1, n] => vec![n],
                    dims => dims.to_vec(),
                },
                values: to_host(tensor.clone()).await?,
            });
        }
    }
    let header = CheckpointHeader {
        format: FORMAT,
        recipe: run.plan().recipe.clone(),
        step: run.steps_taken(),
        skipped: run.skipped(),
        skipped_in_a_row: run.skipped_in_a_row(),
        position: position.clone(),
        inputs: inputs.clone(),
        earlier_steps: run.earlier_steps().to_vec(),
        updates: header_updates,
    };
    let header = serde_json::to_string(&header).map_err(|e| wrong(e.to_string()))?;
    serialize(&header, tensors)
}

fn serialize(header: &str, tensors: Vec<Named>) -> Result<Vec<u8>, TrainError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            .map_err(|e| wrong(e.to_string()))?;
        views.push((tensor.name.as_str(), view));
    }
    let mut metadata = HashMap::from([(HEADER.to_owned(), header.to_owned())]);
    let views = || views.iter().map(|(name, view)| (*name, view.clone()));
    let sum = checksum(&metadata, views());
    metadata.insert(CHECKSUM.to_owned(), sum);
    safetensors::serialize(views(), Some(metadata)).map_err(|e| wrong(e.to_string()))
}

/// CRC-32 of all that the file says: the metadata but for the checksum itself, and of each tensor its name, type, shape and
/// bytes, in order of the names. Each part goes after its length, so that nothing can move from one to the next.
fn checksum<'a>(
    metadata: &HashMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, TensorView<'a>)>,
) -> String {
    let mut hasher = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let entries: BTreeMap<_, _> = metadata
        .iter()
        .filter(|(key, _)| *key != CHECKSUM)
        .collect();
    for (key, value) in entries {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    let tensors: BTreeMap<_, _> = tensors.collect();
    for (name, view) in tensors {
        part(name.as_bytes());
        part(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        part(view.data());
    }
    format!("{:08x}", hasher.finalize())
}
