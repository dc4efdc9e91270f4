//! An encoder with a head that classifies texts or their tokens, or scores texts.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use limbeck_kernels::{gelu, linear, matmul};
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
    output: Linear,
}

/// A linear layer of a head.
#[derive(Clone, Debug)]
struct Linear {
    name: &'static str,
    /// (in, out).
    weight: Tensor<2>,
    /// (out).
    bias: Tensor<1>,
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
        let (dense, name) = match choice {
            HeadChoice::First => {
                let random = Linear::random(head.dense, [width, width], &mut rng, device);
                let of_encoder = head.dense_of_encoder();
                let known = of_encoder.is_some_and(|name| weights.has(&format!("{name}.weight")));
                let dense = match of_encoder.filter(|_| known) {
                    Some(name) => {
                        let get = |part: &str, shape: &[usize]| {
                            weights.get(&format!("{name}.{part}"), shape)
                        };
                        Linear::read(head.dense, [width, width], device, get)?
                    }
                    None => random,
                };
                (Some(dense), head.output)
            }
            HeadChoice::Mean => (None, FamilyHead::OF_MEAN),
            HeadChoice::Tokens => (None, FamilyHead::OF_TOKENS),
        };
        let output = Linear::random(name, [width, outputs], &mut rng, device);
        Ok(Self {
            encoder,
            choice,
            dense,
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
        let read = |name: &'static str, shape: [usize; 2]| {
            let get =
                |part: &str, shape: &[usize]| weights.get_of_file(&format!("{name}.{part}"), shape);
            Linear::read(name, shape, device, get)
        };
        let (dense, output) = match choice {
            HeadChoice::First => (Some(read(head.dense, [width, width])?), head.output),
            HeadChoice::Mean => (None, FamilyHead::OF_MEAN),
            HeadChoice::Tokens => (None, FamilyHead::OF_TOKENS),
        };
        let output = read(output, [width, outputs])?;
        let classifier = Self {
            encoder,
            choice,
            dense,
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
        let mut x = match self.choice.pooling() {
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
        for linear in self.dense.iter_mut().chain([&mut self.output]) {
            let name = linear.name;
            let weight = ParameterMut::Matrix(&mut linear.weight);
            let bias = ParameterMut::Vector(&mut linear.bias);
            parameters.push((format!("{name}.weight"), Kind::Linear, weight));
            parameters.push((format!("{name}.bias"), Kind::Bias, bias));
        }
        parameters
    }

    /// The same weights for inference: nothing is tracked.
    #[must_use]
    pub fn without_autodiff(&self) -> Self {
        let plain = |linear: &Linear| Linear {
            name: linear.name,
            weight: linear.weight.clone().without_autodiff(),
            bias: linear.bias.clone().without_autodiff(),
        };
        Self {
            encoder: self.encoder.without_autodiff(),
            choice: self.choice,
            dense: self.dense.as_ref().map(plain),
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
        let mut encoder = self.encoder.values().await?;
        let mut head = Vec::new();
        for linear in self.dense.iter().chain([&self.output]) {
            head.extend(linear.values().await?);
        }
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

impl Linear {
    fn random(name: &'static str, shape: [usize; 2], rng: &mut Rng, device: &Device) -> Self {
        let count = shape[0] * shape[1];
        let values: Vec<f32> = (0..count)
            .map(|_| (INITIAL_STD * rng.normal()) as f32)
            .collect();
        Self {
            name,
            weight: Tensor::from_data(TensorData::new(values, shape), device),
            bias: Tensor::zeros([shape[1]], device),
        }
    }

    /// From a file, where the weight is (out, in); `get` gives the values of `weight` and `bias`.
    fn read(
        name: &'static str,
        [from, to]: [usize; 2],
        device: &Device,
        get: impl Fn(&str, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        let weight = transposed(&get("weight", &[to, from])?, to, from);
        let bias = get("bias", &[to])?;
        Ok(Self {
            name,
            weight: Tensor::from_data(TensorData::new(weight, [from, to]), device),
            bias: Tensor::from_data(TensorData::new(bias, [to]), device),
        })
    }

    /// (B, in) to (B, out).
    fn apply(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        linear(kernels, x, self.weight.clone(), Some(self.bias.clone()))
    }

    /// Name, shape and values as files have them.
    async fn values(&self) -> Result<[Named; 2], ModelError> {
        let [from, to] = self.weight.dims();
        let name = self.name;
        Ok([
            Named {
                name: format!("{name}.weight"),
                shape: vec![to, from],
                values: transposed(
                    &to_host(self.weight.clone().without_autodiff()).await?,
                    from,
                    to,
                ),
            },
            Named {
                name: format!("{name}.bias"),
                shape: vec![to],
                values: to_host(self.bias.clone().without_autodiff()).await?,
            },
        ])
    }
}
