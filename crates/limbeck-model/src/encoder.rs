//! The encoder: embeddings, then layers of self-attention and feed-forward with LayerNorm after each (post-norm), as BERT
//! (Devlin et al. 2019) and RoBERTa (Liu et al. 2019) are.

use burn::tensor::activation::{gelu_approximate, relu, silu};
use burn::tensor::module::{embedding, layer_norm};
use burn::tensor::{Device, Int, Tensor, TensorData};
use limbeck_kernels::{Check, Lengths, Taps, attention, gelu, matmul};
use limbeck_recipe::{Activation, Config, KernelChoice};

use crate::weights::{Named, to_safetensors};
use crate::{Dropout, Folder, ModelError, Precision, Rng, Weights};

/// Standard deviation of initial weights, as BERT and the students of MiniLM have it (method: N(0, 0.02)).
const INITIAL_STD: f64 = 0.02;

/// Keeps the random numbers of initial weights apart from the others of a seed.
const INITIAL: u64 = 0x1417;

/// What a parameter is: decides its layout in files, its initial value and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table of vectors (rows, H).
    Embedding,
    /// A weight matrix: (in, out) here, (out, in) in files.
    Linear,
    /// A bias vector.
    Bias,
    /// The scale of a LayerNorm.
    NormWeight,
    /// The shift of a LayerNorm.
    NormBias,
}

impl Kind {
    /// Whether AdamW decays it: matrices and tables, never biases and LayerNorms.
    pub fn decays(self) -> bool {
        matches!(self, Self::Embedding | Self::Linear)
    }
}

/// A parameter in place.
pub enum ParameterMut<'a> {
    /// A matrix or table.
    Matrix(&'a mut Tensor<2>),
    /// A vector.
    Vector(&'a mut Tensor<1>),
}

/// Token ids and lengths of a batch, on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    ids: Tensor<2, Int>,
    lengths: Lengths,
    highest: u32,
}

impl TokenBatch {
    /// From ids (B, S) row-major, padded on the right, and the real length of each sequence.
    ///
    /// # Errors
    /// A length that is 0 or beyond S.
    pub fn new(ids: &[u32], lengths: &[usize], device: &Device) -> Result<Self, ModelError> {
        let b = lengths.len().max(1);
        let s = ids.len() / b;
        let device = device.clone().without_autodiff();
        let lengths = Lengths::new(lengths, s, &device)?;
        let data: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let highest = ids.iter().copied().max().unwrap_or(0);
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(data, [b, s]), &device),
            lengths,
            highest,
        })
    }

    /// The lengths.
    pub fn lengths(&self) -> &Lengths {
        &self.lengths
    }
}

#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.multiply(x, Some(self.bias.clone()))
    }

    /// As one matmul of (B * S, in): with three axes burn multiplies sequence by sequence, and sums a gradient of the
    /// weights by sequence.
    fn multiply(&self, x: Tensor<3>, bias: Option<Tensor<1>>) -> Tensor<3> {
        let [b, s, from] = x.dims();
        let mut y = matmul(x.reshape([b * s, from]), self.weight.clone());
        if let Some(bias) = bias {
            y = y + bias.unsqueeze();
        }
        let to = y.dims()[1];
        y.reshape([b, s, to])
    }

    /// The projection through an activation. GELU adds the bias itself: one walk less over the widest tensor of a layer.
    fn up_project(&self, activation: Activation, kernel: KernelChoice, x: Tensor<3>) -> Tensor<3> {
        match activation {
            Activation::Gelu => gelu(kernel, self.multiply(x, None), self.bias.clone()),
            Activation::GeluTanh => gelu_approximate(self.forward(x)),
            Activation::Relu => relu(self.forward(x)),
            Activation::Silu => silu(self.forward(x)),
        }
    }
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Tensor<1>,
    bias: Tensor<1>,
}

impl Norm {
    fn forward(&self, x: Tensor<3>, eps: f64) -> Tensor<3> {
        layer_norm(x, self.weight.clone(), Some(self.bias.clone()), eps)
    }
}

#[derive(Clone, Debug)]
struct Embeddings {
    word: Tensor<2>,
    position: Tensor<2>,
    token_type: Option<Tensor<2>>,
    norm: Norm,
}

#[derive(Clone, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// An encoder with its weights on a device.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: Config,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    device: Device,
    kernel: KernelChoice,
}

/// Which kernels a model of this config uses, for the self-test of a device.
pub fn checks(config: &Config) -> [Check; 2] {
    let width = config.hidden_size / config.num_attention_heads;
    [Check::Attention { width }, Check::Gelu]
}

/// Where parameters come from: (name, kind, shape in files) -> values.
type Provider<'a> = dyn FnMut(&str, Kind, &[usize]) -> Result<Vec<f32>, ModelError> + 'a;

struct Builder<'a> {
    provide: &'a mut Provider<'a>,
    device: &'a Device,
}

impl Builder<'_> {
    fn matrix(
        &mut self,
        name: &str,
        kind: Kind,
        shape: [usize; 2],
    ) -> Result<Tensor<2>, ModelError> {
        let values = (self.provide)(name, kind, &shape)?;
        Ok(Tensor::from_data(
            TensorData::new(values, shape),
            self.device,
        ))
    }

    fn vector(&mut self, name: &str, kind: Kind, width: usize) -> Result<Tensor<1>, ModelError> {
        let values = (self.provide)(name, kind, &[width])?;
        Ok(Tensor::from_data(
            TensorData::new(values, [width]),
            self.device,
        ))
    }

    fn linear(&mut self, name: &str, from: usize, to: usize) -> Result<Linear, ModelError> {
        let values = (self.provide)(&format!("{name}.weight"), Kind::Linear, &[to, from])?;
        let values = transposed(&values, to, from);
        let weight = Tensor::from_data(TensorData::new(values, [from, to]), self.device);
        Ok(Linear {
            weight,
            bias: self.vector(&format!("{name}.bias"), Kind::Bias, to)?,
        })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), Kind::NormWeight, width)?,
            bias: self.vector(&format!("{name}.bias"), Kind::NormBias, width)?,
        })
    }

    fn encoder(&mut self, config: &Config) -> Result<Encoder, ModelError> {
        let (h, f) = (config.hidden_size, config.intermediate_size);
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let token_types = config.type_vocab_size;
        let embeddings = Embeddings {
            word: self.matrix(&table("word"), Kind::Embedding, [config.vocab_size, h])?,
            position: self.matrix(
                &table("position"),
                Kind::Embedding,
                [config.max_position_embeddings, h],
            )?,
            token_type: match token_types {
                0 => None,
                _ => Some(self.matrix(&table("token_type"), Kind::Embedding, [token_types, h])?),
            },
            norm: self.norm("embeddings.LayerNorm", h)?,
        };
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            let at = |part: &str| format!("encoder.layer.{index}.{part}");
            layers.push(Layer {
                query: self.linear(&at("attention.self.query"), h, h)?,
                key: self.linear(&at("attention.self.key"), h, h)?,
                value: self.linear(&at("attention.self.value"), h, h)?,
                output: self.linear(&at("attention.output.dense"), h, h)?,
                attention_norm: self.norm(&at("attention.output.LayerNorm"), h)?,
                up: self.linear(&at("intermediate.dense"), h, f)?,
                down: self.linear(&at("output.dense"), f, h)?,
                norm: self.norm(&at("output.LayerNorm"), h)?,
            });
        }
        Ok(Encoder {
            config: config.clone(),
            embeddings,
            layers,
            device: self.device.clone(),
            kernel: KernelChoice::default(),
        })
    }
}

impl Encoder {
    /// Loads the model of a folder onto a device.
    ///
    /// # Errors
    /// The config is not one we run, a file is damaged, or a tensor is missing or of another shape.
    pub fn from_folder(folder: &Folder, device: &Device) -> Result<Self, ModelError> {
        let config = folder.config()?;
        let weights = Weights::open(folder)?;
        Self::from_values(&config, device, |name, _, shape| weights.get(name, shape))
    }

    /// Builds an encoder from values by name, in the layout of files: (name, kind, shape) -> values.
    ///
    /// # Errors
    /// Whatever `provide` returns.
    pub fn from_values(
        config: &Config,
        device: &Device,
        mut provide: impl FnMut(&str, Kind, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        Builder {
            provide: &mut provide,
            device,
        }
        .encoder(config)
    }

    /// A new model: matrices and tables from N(0, 0.02), LayerNorms 1 and 0, biases 0. The same on every backend.
    ///
    /// # Errors
    /// None in practice: the values are made here.
    pub fn random(config: &Config, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let mut rng = Rng::keyed(&[seed, INITIAL]);
        Self::from_values(config, device, |_, kind, shape| {
            let count = shape.iter().product();
            Ok(match kind {
                Kind::Embedding | Kind::Linear => (0..count)
                    .map(|_| (INITIAL_STD * rng.normal()) as f32)
                    .collect(),
                Kind::NormWeight => vec![1.0; count],
                Kind::Bias | Kind::NormBias => vec![0.0; count],
            })
        })
    }

    /// What it is made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What computes attention and GELU from now on; our kernels unless told otherwise.
    pub fn set_kernel(&mut self, kernel: KernelChoice) {
        self.kernel = kernel;
    }

    /// Every parameter in place, with its name as `transformers` has it.
    pub fn parameters_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        let mut list = Vec::new();
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let embeddings = &mut self.embeddings;
        list.push((
            table("word"),
            Kind::Embedding,
            ParameterMut::Matrix(&mut embeddings.word),
        ));
        list.push((
            table("position"),
            Kind::Embedding,
            ParameterMut::Matrix(&mut embeddings.position),
        ));
        if let Some(tensor) = &mut embeddings.token_type {
            list.push((
                table("token_type"),
                Kind::Embedding,
                ParameterMut::Matrix(tensor),
            ));
        }
        push_norm(&mut list, "embeddings.LayerNorm", &mut embeddings.norm);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let at = |part: &str| format!("encoder.layer.{index}.{part}");
            push_linear(&mut list, &at("attention.self.query"), &mut layer.query);
            push_linear(&mut list, &at("attention.self.key"), &mut layer.key);
            push_linear(&mut list, &at("attention.self.value"), &mut layer.value);
            push_linear(&mut list, &at("attention.output.dense"), &mut layer.output);
            push_norm(
                &mut list,
                &at("attention.output.LayerNorm"),
                &mut layer.attention_norm,
            );
            push_linear(&mut list, &at("intermediate.dense"), &mut layer.up);
            push_linear(&mut list, &at("output.dense"), &mut layer.down);
            push_norm(&mut list, &at("output.LayerNorm"), &mut layer.norm);
        }
        list
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
    /// A tensor cannot be read back from the device.
    pub async fn to_safetensors(&self, precision: Precision) -> Result<Vec<u8>, ModelError> {
        to_safetensors(&self.values().await?, precision)
    }

    /// Every parameter's name, shape and values as files have them.
    ///
    /// # Errors
    /// A tensor cannot be read back from the device.
    pub async fn values(&self) -> Result<Vec<Named>, ModelError> {
        let mut named = Vec::new();
        for (name, kind, tensor) in self.clone().parameters_mut() {
            let data = match tensor {
                ParameterMut::Matrix(tensor) => {
                    tensor.clone().without_autodiff().to_data_async().await
                }
                ParameterMut::Vector(tensor) => {
                    tensor.clone().without_autodiff().to_data_async().await
                }
            };
            let data = data.map_err(|e| ModelError::Device(e.to_string()))?;
            let mut shape: Vec<usize> = data.shape().to_vec();
            let mut values = data
                .try_to_vec::<f32>()
                .map_err(|e| ModelError::Device(format!("{e:?}")))?;
            if kind == Kind::Linear {
                values = transposed(&values, shape[0], shape[1]);
                shape.reverse();
            }
            named.push(Named {
                name,
                shape,
                values,
            });
        }
        Ok(named)
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
        let target = self.layer(layer)?;
        let mut pass = self.start(batch, dropout)?;
        for before in &self.layers[..layer - 1] {
            pass.layer(before);
        }
        Ok(target.project(&pass.x))
    }

    /// What [`Encoder::tap`] gives of every layer, the first one first, in one pass and without dropout.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn taps(&self, batch: &TokenBatch) -> Result<Vec<Taps>, ModelError> {
        let mut pass = self.start(batch, None)?;
        let mut taps = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let projected = layer.project(&pass.x);
            taps.push(projected.clone());
            if index + 1 < self.layers.len() {
                pass.go_on(layer, projected);
            }
        }
        Ok(taps)
    }

    /// The embeddings' output and every layer's, (B, S, H) each: L + 1 of them.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn hidden_states(&self, batch: &TokenBatch) -> Result<Vec<Tensor<3>>, ModelError> {
        let mut pass = self.start(batch, None)?;
        let mut states = vec![pass.x.clone()];
        for layer in &self.layers {
            pass.layer(layer);
            states.push(pass.x.clone());
        }
        Ok(states)
    }

    /// Mean of the last hidden states over the real tokens of each sequence, (B, H); not normalised.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn mean_pooled(&self, batch: &TokenBatch) -> Result<Tensor<2>, ModelError> {
        let mut pass = self.start(batch, None)?;
        for layer in &self.layers {
            pass.layer(layer);
        }
        let (b, s) = (batch.lengths.batch(), batch.lengths.padded());
        let weights = batch.lengths.row_weights(1).mul_scalar(b as f32);
        Ok((pass.x * weights.reshape([b, s, 1]))
            .sum_dim(1)
            .squeeze_dim(1))
    }

    fn layer(&self, layer: usize) -> Result<&Layer, ModelError> {
        let missing = ModelError::NoLayer {
            layer,
            layers: self.layers.len(),
        };
        layer
            .checked_sub(1)
            .and_then(|index| self.layers.get(index))
            .ok_or(missing)
    }

    fn start<'a>(
        &'a self,
        batch: &'a TokenBatch,
        dropout: Option<&'a mut Dropout>,
    ) -> Result<Pass<'a>, ModelError> {
        let s = batch.lengths.padded();
        let longest = self.config.max_length();
        if s > longest {
            return Err(ModelError::TooLong { length: s, longest });
        }
        let vocabulary = self.config.vocab_size;
        if batch.highest as usize >= vocabulary {
            return Err(ModelError::UnknownToken {
                id: batch.highest,
                vocabulary,
            });
        }
        let first = self.config.first_position();
        let h = self.config.hidden_size;
        let mut x = embedding(self.embeddings.word.clone(), batch.ids.clone());
        x = x + self
            .embeddings
            .position
            .clone()
            .slice([first..first + s, 0..h])
            .reshape([1, s, h]);
        if let Some(types) = &self.embeddings.token_type {
            x = x + types.clone().slice([0..1, 0..h]).reshape([1, 1, h]);
        }
        x = self.embeddings.norm.forward(x, self.config.layer_norm_eps);
        let mut pass = Pass {
            config: &self.config,
            kernel: self.kernel,
            x,
            lengths: &batch.lengths,
            dropout,
        };
        pass.drop_hidden();
        Ok(pass)
    }
}

/// A forward pass on its way through the layers.
struct Pass<'a> {
    config: &'a Config,
    kernel: KernelChoice,
    x: Tensor<3>,
    lengths: &'a Lengths,
    dropout: Option<&'a mut Dropout>,
}

impl Pass<'_> {
    fn dropped<const D: usize>(&mut self, x: Tensor<D>, p: f64) -> Tensor<D> {
        match &mut self.dropout {
            Some(dropout) => dropout.apply(x, p),
            None => x,
        }
    }

    fn drop_hidden(&mut self) {
        let x = self.x.clone();
        self.x = self.dropped(x, self.config.hidden_dropout);
    }

    fn layer(&mut self, layer: &Layer) {
        self.go_on(layer, layer.project(&self.x));
    }

    /// Through a layer whose projections are there already.
    fn go_on(&mut self, layer: &Layer, projected: Taps) {
        let (eps, p) = (self.config.layer_norm_eps, self.config.hidden_dropout);
        let mask = self
            .dropout
            .as_mut()
            .and_then(|dropout| dropout.mask(self.config.attention_dropout));
        let attended = attention(
            self.kernel,
            projected,
            self.lengths,
            self.config.num_attention_heads,
            mask,
        );
        let attended = layer.output.forward(attended);
        let attended = self.dropped(attended, p);
        let middle = layer.attention_norm.forward(self.x.clone() + attended, eps);
        let up = layer
            .up
            .up_project(self.config.activation, self.kernel, middle.clone());
        let down = layer.down.forward(up);
        let down = self.dropped(down, p);
        self.x = layer.norm.forward(middle + down, eps);
    }
}

impl Layer {
    fn project(&self, x: &Tensor<3>) -> Taps {
        Taps {
            q: self.query.forward(x.clone()),
            k: self.key.forward(x.clone()),
            v: self.value.forward(x.clone()),
        }
    }
}

type Parameters<'a> = Vec<(String, Kind, ParameterMut<'a>)>;

fn push_linear<'a>(list: &mut Parameters<'a>, name: &str, linear: &'a mut Linear) {
    list.push((
        format!("{name}.weight"),
        Kind::Linear,
        ParameterMut::Matrix(&mut linear.weight),
    ));
    list.push((
        format!("{name}.bias"),
        Kind::Bias,
        ParameterMut::Vector(&mut linear.bias),
    ));
}

fn push_norm<'a>(list: &mut Parameters<'a>, name: &str, norm: &'a mut Norm) {
    list.push((
        format!("{name}.weight"),
        Kind::NormWeight,
        ParameterMut::Vector(&mut norm.weight),
    ));
    list.push((
        format!("{name}.bias"),
        Kind::NormBias,
        ParameterMut::Vector(&mut norm.bias),
    ));
}

/// (rows, columns) row-major -> (columns, rows) row-major.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
