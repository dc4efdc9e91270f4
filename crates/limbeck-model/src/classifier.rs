//! An encoder with a head that classifies texts or their tokens, or scores texts.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use limbeck_kernels::{gelu, layer_norm, linear, matmul};
use limbeck_recipe::layout::Kind;
use limbeck_recipe::{FamilyHead, HeadActivation, HeadChoice, Kernels, Rng, Tuned};

use crate::parameters::{INITIAL_STD, ParameterMut, transposed};
use crate::sentence::pool;
use crate::weights::{Named, to_safetensors};
use crate::{Dropout, Encoder, Folder, ModelError, Precision, TokenBatch, Weights, to_host};

/// Keeps the random numbers of a head's initial weights apart from the others of a seed.
const HEAD: u64 = 0x4EAD;

/// An encoder and its head.
#[derive(Clone, Debug)]
pub struct Classifier {
    encoder: Encoder,
    choice: HeadChoice,
    /// None where the head is one linear layer.
    dense: Option<Linear>,
    norm: Option<Norm>,
    output: Linear,
}

/// A linear layer of a head.
#[derive(Clone, Debug)]
struct Linear {
    name: &'static str,
    /// (in, out).
    weight: Tensor<2>,
    /// (out).
    bias: Option<Tensor<1>>,
}

/// The LayerNorm of a head.
#[derive(Clone, Debug)]
struct Norm {
    name: &'static str,
    /// (H).
    weight: Tensor<1>,
    /// (H).
    bias: Option<Tensor<1>>,
}

impl Classifier {
    /// Puts a new head for `outputs` classes (1: a score) on an encoder: weights from N(0, 0.02) by `seed`, biases 0. A dense
    /// layer that belongs to the encoder's checkpoints is taken from `weights`, if it is there.
    ///
    /// # Errors
    /// That layer cannot be read.
    pub fn new(
        encoder: Encoder,
        weights: &Weights,
        choice: HeadChoice,
        outputs: usize,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let (head, width) = (encoder.config().head(), encoder.config().hidden_size);
        let device = encoder.device();
        let mut rng = Rng::keyed(&[seed, HEAD]);
        let dense = match head.has_dense(choice) {
            true => {
                let (sizes, has_bias) = ([width, width], head.has_bias);
                let random = Linear::random(head.dense, sizes, has_bias, &mut rng, device);
                let of_encoder = head
                    .dense_of_encoder()
                    .filter(|_| choice == HeadChoice::First);
                let known = of_encoder.is_some_and(|name| weights.has(&format!("{name}.weight")));
                Some(match of_encoder.filter(|_| known) {
                    Some(name) => {
                        let get = |part: &str, shape: &[usize]| {
                            weights.get(&format!("{name}.{part}"), shape).map(Some)
                        };
                        Linear::read(head.dense, sizes, device, get)?
                    }
                    None => random,
                })
            }
            false => None,
        };
        let has_bias = encoder.config().norm_bias;
        let norm = head.norm.filter(|_| dense.is_some());
        let norm = norm.map(|name| Norm::new(name, width, has_bias, device));
        let sizes = [width, outputs];
        let output = Linear::random(output_name(head, choice), sizes, true, &mut rng, device);
        Ok(Self {
            encoder,
            choice,
            dense,
            norm,
            output,
        })
    }

    /// The fine-tuned model of a folder, and what its head gives; none if the folder has no head that classifies or scores.
    ///
    /// # Errors
    /// The folder cannot be used, or a tensor of the head is missing or damaged.
    pub fn from_folder(
        folder: &Folder,
        device: &Device,
    ) -> Result<Option<(Self, Tuned)>, ModelError> {
        let Some(tuned) = folder.config()?.tuned() else {
            return Ok(None);
        };
        let encoder = Encoder::from_folder(folder, device)?;
        let (head, width) = (encoder.config().head(), encoder.config().hidden_size);
        let (choice, outputs) = (tuned.choice, tuned.outputs());
        let weights = match choice {
            HeadChoice::First | HeadChoice::Tokens => Weights::open(folder)?,
            HeadChoice::Mean => match tuned.linear_of_mean(&folder.sentence_head()?) {
                Some(dense) => Weights::of_module(folder, &dense.folder)?,
                None => return Ok(None),
            },
        };
        let config = encoder.config();
        let (has_bias, has_norm_bias) = (config.head_has_bias(), config.norm_bias);
        let get = |name: &str, part: &str, shape: &[usize]| {
            // A layer of the encoder's own has the prefix that the file gives the encoder, whichever that is.
            if let Some(own) = head.dense_of_encoder().filter(|_| name == head.dense) {
                return weights.get(&format!("{own}.{part}"), shape).map(Some);
            }
            match part == "bias" && name == head.dense && !has_bias {
                true => Ok(None),
                false => {
                    let full = format!("{name}.{part}");
                    weights.get_of_file(&full, shape).map(Some)
                }
            }
        };
        let read = |name: &'static str, shape: [usize; 2]| {
            Linear::read(name, shape, device, |part, shape| get(name, part, shape))
        };
        let dense = match head.has_dense(choice) {
            true => Some(read(head.dense, [width, width])?),
            false => None,
        };
        let norm = match head.norm.filter(|_| dense.is_some()) {
            Some(name) => {
                let get = |part: &str| weights.get_of_file(&format!("{name}.{part}"), &[width]);
                Some(Norm::read(name, has_norm_bias, device, get)?)
            }
            None => None,
        };
        let output = read(output_name(head, choice), [width, outputs])?;
        let classifier = Self {
            encoder,
            choice,
            dense,
            norm,
            output,
        };
        Ok(Some((classifier, tuned)))
    }

    /// Sets what computes embeddings, linear layers, attention, GELU and LayerNorm from now on; our kernels do unless this says otherwise.
    pub fn set_kernels(&mut self, kernels: Kernels) {
        self.encoder.set_kernels(kernels);
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The logits of each class, or the score: (B, outputs), or where the head reads every token, (B x S, outputs). Dropout is
    /// applied where the model has it if one is given.
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn logits(
        &self,
        batch: &TokenBatch,
        mut dropout: Option<&mut Dropout>,
    ) -> Result<Tensor<2>, ModelError> {
        let hidden = self.encoder.last_hidden(batch, dropout.as_deref_mut())?;
        let (p, kernels) = (self.encoder.config().hidden_dropout, self.encoder.kernels());
        let mut dropped = |x: Tensor<2>| match dropout.as_deref_mut() {
            Some(dropout) => dropout.apply(x, p),
            None => x,
        };
        let pooling = self.encoder.config().head_pooling(self.choice);
        let mut x = match pooling {
            Some(pooling) => pool(hidden, batch.lengths(), &pooling, 0),
            None => hidden.flatten(0, 1),
        };
        if let Some(dense) = &self.dense {
            let head = self.encoder.config().head();
            if head.drops_input {
                x = dropped(x);
            }
            x = match head.activation {
                HeadActivation::Tanh => dense.apply(kernels, x).tanh(),
                HeadActivation::Relu => relu(dense.apply(kernels, x)),
                HeadActivation::Gelu => self.gelu(dense, x),
            };
        }
        if let Some(norm) = &self.norm {
            let eps = self.encoder.config().layer_norm_eps;
            x = norm.apply(kernels, x, eps);
        }
        Ok(self.output.apply(kernels, dropped(x)))
    }

    /// Our GELU adds the bias itself, and its gradient is exact.
    fn gelu(&self, dense: &Linear, x: Tensor<2>) -> Tensor<2> {
        let kernels = self.encoder.kernels();
        let x = matmul(kernels, x, dense.weight.clone()).unsqueeze_dim(1);
        gelu(kernels, x, dense.bias.clone()).squeeze_dim(1)
    }

    /// Every parameter in place: the encoder's, then the head's, each by its name in the file that holds it.
    pub fn parameters_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        let mut parameters = self.encoder.parameters_mut();
        parameters.extend(self.dense.iter_mut().flat_map(Linear::parameters_mut));
        parameters.extend(self.norm.iter_mut().flat_map(Norm::parameters_mut));
        parameters.extend(self.output.parameters_mut());
        parameters
    }

    /// The same weights for inference: nothing is tracked.
    #[must_use]
    pub fn without_autodiff(&self) -> Self {
        let vector = |bias: &Option<Tensor<1>>| bias.clone().map(Tensor::without_autodiff);
        let plain = |linear: &Linear| Linear {
            name: linear.name,
            weight: linear.weight.clone().without_autodiff(),
            bias: vector(&linear.bias),
        };
        Self {
            encoder: self.encoder.without_autodiff(),
            choice: self.choice,
            dense: self.dense.as_ref().map(plain),
            norm: self.norm.as_ref().map(|norm| Norm {
                name: norm.name,
                weight: norm.weight.clone().without_autodiff(),
                bias: vector(&norm.bias),
            }),
            output: plain(&self.output),
        }
    }

    /// Name and contents of the files that hold the weights: one that `transformers` opens, or where the head reads the mean,
    /// the encoder's and that of a `Dense` module of sentence-transformers.
    ///
    /// # Errors
    /// A tensor cannot be read back from the device.
    pub async fn files(
        &self,
        precision: Precision,
    ) -> Result<Vec<(&'static str, Vec<u8>)>, ModelError> {
        let mut encoder = self.encoder.stored_values().await?;
        let mut head = Vec::new();
        if let Some(linear) = &self.dense {
            head.extend(linear.values().await?);
        }
        if let Some(norm) = &self.norm {
            head.extend(norm.values().await?);
        }
        head.extend(self.output.values().await?);
        let file = "model.safetensors";
        if self.choice == HeadChoice::Mean {
            return Ok(vec![
                (
                    "2_Dense/model.safetensors",
                    to_safetensors(&head, precision)?,
                ),
                (file, to_safetensors(&encoder, precision)?),
            ]);
        }
        let prefix = self.encoder.config().head().prefix;
        for tensor in &mut encoder {
            tensor.name.insert_str(0, prefix);
        }
        encoder.append(&mut head);
        Ok(vec![(file, to_safetensors(&encoder, precision)?)])
    }
}

/// The linear layer to the classes.
fn output_name(head: &FamilyHead, choice: HeadChoice) -> &'static str {
    match choice {
        HeadChoice::First => head.output,
        HeadChoice::Mean => FamilyHead::OF_MEAN,
        HeadChoice::Tokens => FamilyHead::OF_TOKENS,
    }
}

impl Linear {
    fn random(
        name: &'static str,
        shape: [usize; 2],
        has_bias: bool,
        rng: &mut Rng,
        device: &Device,
    ) -> Self {
        let count = shape[0] * shape[1];
        let values: Vec<f32> = (0..count)
            .map(|_| (INITIAL_STD * rng.normal()) as f32)
            .collect();
        Self {
            name,
            weight: Tensor::from_data(TensorData::new(values, shape), device),
            bias: has_bias.then(|| Tensor::zeros([shape[1]], device)),
        }
    }

    /// From a file, where the weight is (out, in); `get` gives the values of `weight` and `bias`, the latter if there is one.
    fn read(
        name: &'static str,
        [from, to]: [usize; 2],
        device: &Device,
        get: impl Fn(&str, &[usize]) -> Result<Option<Vec<f32>>, ModelError>,
    ) -> Result<Self, ModelError> {
        let weight = get("weight", &[to, from])?.unwrap_or_default();
        let weight = transposed(&weight, to, from);
        let bias = get("bias", &[to])?;
        Ok(Self {
            name,
            weight: Tensor::from_data(TensorData::new(weight, [from, to]), device),
            bias: bias.map(|bias| Tensor::from_data(TensorData::new(bias, [to]), device)),
        })
    }

    /// (B, in) to (B, out).
    fn apply(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        linear(kernels, x, self.weight.clone(), self.bias.clone())
    }

    fn parameters_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        let weight = ParameterMut::Matrix(&mut self.weight);
        let weight = [(format!("{}.weight", self.name), Kind::Linear, weight)];
        let bias = self.bias.as_mut().map(ParameterMut::Vector);
        let bias = bias.map(|bias| (format!("{}.bias", self.name), Kind::Bias, bias));
        weight.into_iter().chain(bias).collect()
    }

    /// Name, shape and values as files have them.
    async fn values(&self) -> Result<Vec<Named>, ModelError> {
        let [from, to] = self.weight.dims();
        let values = to_host(self.weight.clone().without_autodiff()).await?;
        let mut all = vec![Named {
            name: format!("{}.weight", self.name),
            shape: vec![to, from],
            values: transposed(&values, from, to),
        }];
        if let Some(bias) = &self.bias {
            all.push(vector(self.name, "bias", bias).await?);
        }
        Ok(all)
    }
}

impl Norm {
    fn new(name: &'static str, width: usize, has_bias: bool, device: &Device) -> Self {
        Self {
            name,
            weight: Tensor::ones([width], device),
            bias: has_bias.then(|| Tensor::zeros([width], device)),
        }
    }

    /// From a file; `get` gives the values of `weight` and `bias`.
    fn read(
        name: &'static str,
        has_bias: bool,
        device: &Device,
        get: impl Fn(&str) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        let vector = |part: &str| {
            let values = get(part)?;
            let shape = [values.len()];
            Ok::<_, ModelError>(Tensor::from_data(TensorData::new(values, shape), device))
        };
        Ok(Self {
            name,
            weight: vector("weight")?,
            bias: has_bias.then(|| vector("bias")).transpose()?,
        })
    }

    /// (B, H) to (B, H).
    fn apply(&self, kernels: Kernels, x: Tensor<2>, eps: f64) -> Tensor<2> {
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        layer_norm(kernels, x.unsqueeze_dim(1), None, weight, bias, eps).squeeze_dim(1)
    }

    fn parameters_mut(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        let weight = ParameterMut::Vector(&mut self.weight);
        let weight = [(format!("{}.weight", self.name), Kind::NormWeight, weight)];
        let bias = self.bias.as_mut().map(ParameterMut::Vector);
        let bias = bias.map(|bias| (format!("{}.bias", self.name), Kind::NormBias, bias));
        weight.into_iter().chain(bias).collect()
    }

    /// Name, shape and values as files have them.
    async fn values(&self) -> Result<Vec<Named>, ModelError> {
        let mut all = vec![vector(self.name, "weight", &self.weight).await?];
        if let Some(bias) = &self.bias {
            all.push(vector(self.name, "bias", bias).await?);
        }
        Ok(all)
    }
}

async fn vector(name: &str, part: &str, values: &Tensor<1>) -> Result<Named, ModelError> {
    Ok(Named {
        name: format!("{name}.{part}"),
        shape: values.dims().to_vec(),
        values: to_host(values.clone().without_autodiff()).await?,
    })
}
