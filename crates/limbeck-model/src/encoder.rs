//! The encoder: embeddings and layers assembled from [`crate::parts`], and what can be read off them.

use burn::tensor::{Device, Tensor};
use limbeck_kernels::{Check, Taps};
use limbeck_recipe::layout::{Block, Kind};
use limbeck_recipe::{Config, Kernels, Pooling, Tap};

use crate::parameters::{ParameterMut, Parameters};
use crate::parts::{Pass, Rotations};
use crate::sentence::pool;
use crate::weights::{Named, as_stored, to_safetensors};
use crate::{Dropout, Folder, ModelError, Precision, TokenBatch, Weights};

/// An encoder with its weights on a device.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: Config,
    parameters: Parameters,
    device: Device,
    kernels: Kernels,
    rotations: Rotations,
    tap: Tap,
}

/// Which kernels a model of this config uses, for the self-test of a device.
pub fn checks(config: &Config) -> Vec<Check> {
    let layer_norm = |width| Check::LayerNorm { width };
    let width = config.head_width();
    // Disentangled attention is no kernel of ours.
    let attends = config.disentangled().is_none();
    let mut checks = vec![
        Check::Embedding,
        Check::Gelu,
        layer_norm(config.hidden_size),
        layer_norm(config.shape.embedding_width()),
        Check::Linear,
    ];
    checks.extend((!config.is_grouped()).then_some(Check::Projections));
    checks.extend(config.feeds_at_once().then_some(Check::FeedForward));
    checks.extend(attends.then_some(Check::Attention { width }));
    let is_biased = attends && config.adds_by_distance();
    checks.extend(is_biased.then_some(Check::BiasedAttention { width }));
    checks.extend(config.is_rotary().then_some(Check::Rotary));
    checks
}

impl Encoder {
    /// Loads the model of a folder onto a device.
    ///
    /// # Errors
    /// The config is not one we run, a file is damaged, or a tensor is missing or of another shape.
    pub fn from_folder(folder: &Folder, device: &Device) -> Result<Self, ModelError> {
        Self::of_config(folder, &folder.config()?, device)
    }

    /// Loads the weights of a folder into a model of another config: one that differs from the folder's in dropout, say.
    ///
    /// # Errors
    /// A file is damaged, or a tensor is missing or of another shape than this config asks for.
    pub fn of_config(
        folder: &Folder,
        config: &Config,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = Weights::open(folder)?;
        Self::from_values(config, device, |name, _, shape| weights.get(name, shape))
    }

    /// Builds an encoder from values by name, in the layout of files: (name, kind, shape) -> values.
    ///
    /// # Errors
    /// Whatever `provide` returns.
    pub fn from_values(
        config: &Config,
        device: &Device,
        provide: impl FnMut(&str, Kind, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        let parameters = Parameters::from_values(config, device, provide)?;
        Ok(Self::new(config, device, parameters))
    }

    /// A new model: matrices and tables from N(0, 0.02), LayerNorms 1 and 0, biases 0. The same on every backend.
    ///
    /// # Errors
    /// None in practice: the values are made here.
    pub fn random(config: &Config, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let parameters = Parameters::random(config, seed, device)?;
        Ok(Self::new(config, device, parameters))
    }

    fn new(config: &Config, device: &Device, parameters: Parameters) -> Self {
        Self {
            config: config.clone(),
            parameters,
            device: device.clone(),
            kernels: Kernels::default(),
            rotations: Rotations::default(),
            tap: Tap::default(),
        }
    }

    /// The config that it was built by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device that holds its weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sets what computes embeddings, linear layers, attention, GELU and LayerNorm from now on; our kernels do unless this says otherwise.
    pub fn set_kernels(&mut self, kernels: Kernels) {
        self.kernels = kernels;
    }

    /// What computes embeddings, linear layers, attention, GELU and LayerNorm.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Sets which queries and keys are tapped of a model with rotary positions from now on: as the projections give them, unless this
    /// says otherwise.
    pub fn set_tap(&mut self, tap: Tap) {
        self.tap = tap;
    }

    /// Every parameter in place, with its name as `transformers` has it, in the order in which checkpoints and initial
    /// values have them.
    pub fn parameters_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        self.parameters.list_mut()
    }

    /// The same weights for inference: nothing is tracked.
    pub fn without_autodiff(&self) -> Self {
        let mut plain = self.clone();
        for (_, _, parameter) in plain.parameters_mut() {
            match parameter {
                ParameterMut::Matrix(tensor) => *tensor = tensor.clone().without_autodiff(),
                ParameterMut::Vector(tensor) => *tensor = tensor.clone().without_autodiff(),
            }
        }
        plain.device = plain.device.without_autodiff();
        plain
    }

    /// The weights as a safetensors file that `transformers` opens.
    ///
    /// # Errors
    /// A tensor cannot be read back from the device, or holds what is not a number or does not fit the precision.
    pub async fn to_safetensors(&self, precision: Precision) -> Result<Vec<u8>, ModelError> {
        to_safetensors(&self.stored_values().await?, precision)
    }

    /// Every tensor's name, shape and values as files have them.
    pub(crate) async fn stored_values(&self) -> Result<Vec<Named>, ModelError> {
        let values = self.values().await?;
        Ok(as_stored(values, &self.parameters.layout().parameters))
    }

    /// Every parameter's name, shape and values in the layout of files.
    ///
    /// # Errors
    /// A tensor cannot be read back from the device.
    pub async fn values(&self) -> Result<Vec<Named>, ModelError> {
        self.parameters.values().await
    }

    /// Queries, keys and values of a layer (1-based), biases included, each (B, S, H). Runs only as far as that layer's
    /// projections. Dropout is applied where the model has it if one is given (training), never otherwise.
    ///
    /// # Errors
    /// No such layer, or a batch longer than the model's positions.
    pub fn tap(
        &self,
        batch: &TokenBatch,
        layer: usize,
        dropout: Option<&mut Dropout>,
    ) -> Result<Taps, ModelError> {
        let target = self.block(layer)?;
        let (mut pass, mut x) = self.start(batch, dropout)?;
        for before in &self.blocks()[..layer - 1] {
            x = pass.block(before, x);
        }
        let (projected, _) = pass.project(target, x);
        Ok(pass.tapped(target, projected))
    }

    /// What [`Encoder::tap`] gives, and the hidden states of the last layer, (B, S, H), in one pass. With the same dropout the
    /// taps are the same bits as those of [`Encoder::tap`].
    ///
    /// # Errors
    /// See [`Encoder::tap`].
    pub fn tap_to_the_end(
        &self,
        batch: &TokenBatch,
        layer: usize,
        dropout: Option<&mut Dropout>,
    ) -> Result<(Taps, Tensor<3>), ModelError> {
        let target = self.block(layer)?;
        let (mut pass, mut x) = self.start(batch, dropout)?;
        for before in &self.blocks()[..layer - 1] {
            x = pass.block(before, x);
        }
        let (projected, states) = pass.project(target, x);
        let taps = pass.tapped(target, projected.clone());
        x = pass.after_projections(target, states, projected);
        for after in &self.blocks()[layer..] {
            x = pass.block(after, x);
        }
        Ok((taps, pass.last(x)))
    }

    /// What [`Encoder::tap`] gives of every layer, the first one first, in one pass and without dropout.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn taps(&self, batch: &TokenBatch) -> Result<Vec<Taps>, ModelError> {
        let (mut pass, mut x) = self.start(batch, None)?;
        let blocks = self.blocks();
        let mut taps = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.iter().enumerate() {
            let (projected, states) = pass.project(block, x);
            taps.push(pass.tapped(block, projected.clone()));
            if index + 1 == blocks.len() {
                break;
            }
            x = pass.after_projections(block, states, projected);
        }
        Ok(taps)
    }

    /// The embeddings' output and every layer's, (B, S, H) each: L + 1 of them. A LayerNorm behind the last layer belongs to its
    /// output.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn hidden_states(&self, batch: &TokenBatch) -> Result<Vec<Tensor<3>>, ModelError> {
        let (mut pass, mut x) = self.start(batch, None)?;
        let mut states = vec![x.clone()];
        for block in self.blocks() {
            x = pass.block(block, x);
            states.push(x.clone());
        }
        if let Some(last) = states.last_mut() {
            *last = pass.last(x);
        }
        Ok(states)
    }

    /// What leaves the last layer and the LayerNorm behind it, if there is one, (B, S, H). Dropout is applied where the model has it
    /// if one is given (training), never otherwise.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn last_hidden(
        &self,
        batch: &TokenBatch,
        dropout: Option<&mut Dropout>,
    ) -> Result<Tensor<3>, ModelError> {
        let (mut pass, mut x) = self.start(batch, dropout)?;
        for block in self.blocks() {
            x = pass.block(block, x);
        }
        Ok(pass.last(x))
    }

    /// Mean of the last hidden states over the real tokens of each sequence, (B, H); not normalised.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn mean_pooled(&self, batch: &TokenBatch) -> Result<Tensor<2>, ModelError> {
        let hidden = self.last_hidden(batch, None)?;
        Ok(pool(hidden, batch.lengths(), &Pooling::default(), 0))
    }

    fn blocks(&self) -> &[Block] {
        &self.parameters.layout().blocks
    }

    fn block(&self, layer: usize) -> Result<&Block, ModelError> {
        let missing = ModelError::NoLayer {
            layer,
            layers: self.blocks().len(),
        };
        layer
            .checked_sub(1)
            .and_then(|index| self.blocks().get(index))
            .ok_or(missing)
    }

    /// A pass over a batch, and the embeddings' output.
    fn start<'a>(
        &'a self,
        batch: &'a TokenBatch,
        dropout: Option<&'a mut Dropout>,
    ) -> Result<(Pass<'a>, Tensor<3>), ModelError> {
        let (length, longest) = (batch.lengths().padded(), self.config.max_length());
        if length > longest {
            return Err(ModelError::TooLong { length, longest });
        }
        let (id, vocabulary) = (batch.highest(), self.config.vocab_size);
        if id as usize >= vocabulary {
            return Err(ModelError::UnknownToken { id, vocabulary });
        }
        let at = &self.parameters.layout().embeddings;
        let (id, types) = (batch.highest_type(), self.config.type_vocab_size);
        if types > 1 && id as usize >= types {
            return Err(ModelError::UnknownType { id, types });
        }
        let mut pass = Pass {
            shape: &self.config.shape,
            parameters: &self.parameters,
            kernels: self.kernels,
            lengths: batch.lengths(),
            rotations: &self.rotations,
            distances: None,
            distance_vectors: None,
            tap: self.tap,
            dropout,
        };
        pass.distances = pass.distances();
        pass.distance_vectors = pass.distance_vectors();
        let x = pass.embeddings(at, batch);
        Ok((pass, x))
    }
}
