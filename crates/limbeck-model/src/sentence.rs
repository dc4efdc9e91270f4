//! One vector of a text: pooling of the last hidden states and what follows it, as plain operations on every backend. All of it
//! has gradients, so a loss may look at the vectors.

use burn::tensor::activation::{gelu, relu, sigmoid, silu, tanh};
use burn::tensor::{Device, Tensor, TensorData};
use limbeck_kernels::{Lengths, linear};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{
    Dense, DenseActivation, HeadModule, Kernels, Pooling, PoolingMode, SentenceHead,
};

use crate::{Encoder, Folder, ModelError, TokenBatch, Tokenizer, Tokens, Weights, to_host};

/// Below this a vector is not scaled to length 1, as in PyTorch.
const SHORTEST: f64 = 1e-12;
/// Added to what a maximum must not see.
const HIDDEN: f32 = -1.0e30;

/// Pools hidden states (B, S, H) to (B, modes x H). Of a pooling without the prompt the first `prompt` tokens do not count.
pub fn pool(hidden: Tensor<3>, lengths: &Lengths, pooling: &Pooling, prompt: usize) -> Tensor<2> {
    let [b, s, _] = hidden.dims();
    let skipped = if pooling.include_prompt { 0 } else { prompt };
    let device = hidden.device().without_autodiff();
    let of_tokens = |value: &dyn Fn(usize, usize) -> f64| {
        let row = |length: &usize| {
            (0..s)
                .map(|at| value(at, *length) as f32)
                .collect::<Vec<_>>()
        };
        let values: Vec<f32> = lengths.as_slice().iter().flat_map(row).collect();
        Tensor::<3>::from_data(TensorData::new(values, [b, s, 1]), &device)
    };
    let vector = |mode: &PoolingMode| -> Tensor<2> {
        if *mode == PoolingMode::Max {
            let counts = |at: usize, length: usize| (skipped..length).contains(&at);
            let mask = of_tokens(&|at, length| {
                if counts(at, length) {
                    0.0
                } else {
                    HIDDEN.into()
                }
            });
            return (hidden.clone() + mask).max_dim(1).squeeze_dim(1);
        }
        let weights = of_tokens(&|at, length| weight(*mode, at, skipped, length));
        (hidden.clone() * weights).sum_dim(1).squeeze_dim(1)
    };
    Tensor::cat(pooling.modes.iter().map(vector).collect(), 1)
}

/// What the hidden state of a token weighs in the vector of a text whose first tokens do not count. A text of which all are
/// skipped gives zeros, or with cls its first token, as in sentence-transformers.
fn weight(mode: PoolingMode, at: usize, skipped: usize, length: usize) -> f64 {
    let first = if skipped < length { skipped } else { 0 };
    let counts = (skipped..length).contains(&at);
    let number = length.saturating_sub(skipped) as f64;
    let one_if = |holds| if holds { 1.0 } else { 0.0 };
    match mode {
        PoolingMode::Cls => one_if(at == first),
        PoolingMode::LastToken => one_if(counts && at + 1 == length),
        _ if !counts => 0.0,
        PoolingMode::Mean | PoolingMode::Max => 1.0 / number,
        PoolingMode::MeanSqrtLen => 1.0 / number.sqrt(),
        PoolingMode::WeightedMean => {
            let places = (skipped + 1..=length).map(|place| place as f64);
            (at + 1) as f64 / places.sum::<f64>()
        }
    }
}

/// Scales each row to length 1.
pub fn normalized(vectors: Tensor<2>) -> Tensor<2> {
    let squares = vectors.clone() * vectors.clone();
    let norms = squares.sum_dim(1).sqrt().clamp_min(SHORTEST);
    vectors / norms
}

/// The weights (in, out) and bias of a [`Dense`].
#[derive(Clone, Debug)]
struct Linear {
    weights: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Linear {
    fn read(folder: &Folder, dense: &Dense, device: &Device) -> Result<Self, ModelError> {
        let (inputs, outputs) = (dense.inputs, dense.outputs);
        let weights = Weights::of_module(folder, &dense.folder)?;
        let values = weights.get("linear.weight", &[outputs, inputs])?;
        let matrix = Tensor::<2>::from_data(TensorData::new(values, [outputs, inputs]), device);
        let bias = match dense.bias {
            true => Some(weights.get("linear.bias", &[outputs])?),
            false => None,
        };
        let row = |values| Tensor::from_data(TensorData::new(values, [outputs]), device);
        Ok(Self {
            weights: matrix.transpose(),
            bias: bias.map(row),
        })
    }

    fn apply(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        linear(kernels, x, self.weights.clone(), self.bias.clone())
    }
}

/// A [`HeadModule`] on a device.
#[derive(Clone, Debug)]
enum Module {
    Dense(Box<Linear>, DenseActivation),
    Normalize,
}

/// A [`SentenceHead`] with the weights of its Dense layers on a device.
#[derive(Clone, Debug)]
pub struct Head {
    description: SentenceHead,
    modules: Vec<Module>,
}

impl Head {
    /// Loads the head of a folder onto a device.
    ///
    /// # Errors
    /// It has a module that is not supported, or a file of it is missing or damaged.
    pub fn from_folder(folder: &Folder, device: &Device) -> Result<Self, ModelError> {
        let description = folder.sentence_head()?;
        let module = |module: &HeadModule| match module {
            HeadModule::Dense(dense) => {
                let linear = Linear::read(folder, dense, device)?;
                Ok(Module::Dense(Box::new(linear), dense.activation))
            }
            HeadModule::Normalize => Ok(Module::Normalize),
        };
        let modules = description.modules.iter().map(module);
        let modules = modules.collect::<Result<_, ModelError>>()?;
        Ok(Self {
            description,
            modules,
        })
    }

    /// What it computes.
    pub fn description(&self) -> &SentenceHead {
        &self.description
    }

    /// The vectors of the last hidden states (B, S, H) of texts that begin with a prompt of so many tokens.
    pub fn vectors(
        &self,
        kernels: Kernels,
        hidden: Tensor<3>,
        lengths: &Lengths,
        prompt: usize,
    ) -> Tensor<2> {
        let head = &self.description;
        let mut x = pool(hidden, lengths, &head.pooling, prompt);
        for module in &self.modules {
            x = match module {
                Module::Dense(linear, activation) => {
                    activate(linear.apply(kernels, x), *activation)
                }
                Module::Normalize => normalized(x),
            };
        }
        let width = x.dims()[1];
        match head.truncate_dim {
            Some(most) if most < width => x.narrow(1, 0, most),
            _ => x,
        }
    }
}

fn activate(x: Tensor<2>, activation: DenseActivation) -> Tensor<2> {
    match activation {
        DenseActivation::Identity => x,
        DenseActivation::Tanh => tanh(x),
        DenseActivation::Gelu => gelu(x),
        DenseActivation::Relu => relu(x),
        DenseActivation::Sigmoid => sigmoid(x),
        DenseActivation::Silu => silu(x),
    }
}

/// A folder as sentence-transformers opens it: texts in, one vector of each out.
///
/// ```no_run
/// use limbeck_model::{Device, Folder, SentenceModel};
///
/// let folder = Folder::read("all-MiniLM-L6-v2".as_ref())?;
/// let model = SentenceModel::from_folder(&folder, None, None, &Device::flex())?;
/// let (_, batch) = model.read(&["a white cat", "a black dog"])?;
/// let vectors = model.vectors(&batch)?; // (2, W)
/// # Ok::<(), limbeck_model::ModelError>(())
/// ```
#[derive(Clone)]
pub struct SentenceModel {
    encoder: Encoder,
    tokenizer: Tokenizer,
    head: Head,
    prompt: String,
    prompt_tokens: usize,
    max_length: usize,
}

/// Vectors of texts.
pub struct Vectors {
    /// One a text, in their order.
    pub rows: Vec<Vec<f32>>,
    /// Texts that were longer than the model reads, and lost their end.
    pub cut: usize,
}

impl SentenceModel {
    /// Loads a folder onto a device. Texts get the prompt of this name, or the folder's default one, and are cut at
    /// `max_length` tokens, or where the folder says.
    ///
    /// # Errors
    /// The folder cannot be used, has no such prompt, or the model no positions for `max_length` tokens.
    pub fn from_folder(
        folder: &Folder,
        prompt: Option<&str>,
        max_length: Option<usize>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let head = Head::from_folder(folder, device)?;
        let encoder = Encoder::from_folder(folder, device)?;
        let longest = encoder.config().max_length();
        let max_length = max_length.unwrap_or(head.description.length(longest));
        if max_length > longest {
            let length = max_length;
            return Err(ModelError::TooLong { length, longest });
        }
        let prompt = head.description.prompt(prompt);
        let prompt = prompt.map_err(ModelError::NoPrompt)?.to_owned();
        let tokenizer = folder.tokenizer()?.truncating(max_length)?;
        let prompt_tokens = tokenizer.prompt_tokens(&prompt)?;
        Ok(Self {
            encoder,
            tokenizer,
            head,
            prompt,
            prompt_tokens,
            max_length,
        })
    }

    /// Sets what computes embeddings, linear layers, attention, GELU and LayerNorm from now on; our kernels do unless this says otherwise.
    pub fn set_kernels(&mut self, kernels: Kernels) {
        self.encoder.set_kernels(kernels);
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The tokenizer, which cuts at the model's length.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What makes one vector of hidden states.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Tokens that a text is cut to, special ones included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Texts as the encoder reads them, behind the prompt: the tokens of each, and all of them on the device.
    ///
    /// # Errors
    /// The tokenizer fails on a text, or belongs to another model.
    pub fn read(&self, texts: &[&str]) -> Result<(Vec<Tokens>, TokenBatch), ModelError> {
        let tokens = self.tokens(texts)?;
        let batch = self.batch(tokens.iter())?;
        Ok((tokens, batch))
    }

    /// Texts whose tokens [`SentenceModel::tokens`] gave, padded to the longest of them, on the device.
    ///
    /// # Errors
    /// See [`TokenBatch::new`].
    pub fn batch<'a>(
        &self,
        tokens: impl Iterator<Item = &'a Tokens>,
    ) -> Result<TokenBatch, ModelError> {
        let sequences: Vec<&[u32]> = tokens.map(|t| t.ids.as_slice()).collect();
        let sources = vec![(0, 0); sequences.len()];
        let pad = self.encoder.config().pad_token_id;
        let padded = Batch::pad(&sequences, sources, pad, 1, self.max_length);
        TokenBatch::of(&padded, self.encoder.device())
    }

    /// The same model that puts the prompt of this name before each text.
    ///
    /// # Errors
    /// The folder names no such prompt, or the tokenizer fails on it.
    pub fn with_prompt(&self, name: &str) -> Result<Self, ModelError> {
        let prompt = self.head.description.prompt(Some(name));
        let prompt = prompt.map_err(ModelError::NoPrompt)?.to_owned();
        let prompt_tokens = self.tokenizer.prompt_tokens(&prompt)?;
        Ok(Self {
            prompt,
            prompt_tokens,
            ..self.clone()
        })
    }

    /// The tokens of texts behind the prompt, cut at the model's length.
    ///
    /// # Errors
    /// The tokenizer fails on a text.
    pub fn tokens(&self, texts: &[&str]) -> Result<Vec<Tokens>, ModelError> {
        let prompted: Vec<String> = texts
            .iter()
            .map(|t| format!("{}{t}", self.prompt))
            .collect();
        let prompted: Vec<&str> = prompted.iter().map(String::as_str).collect();
        let mut tokens = self.tokenizer.encode(&prompted)?;
        // A tokenizer without special tokens makes nothing of an empty text; padding stands for it.
        let pad = self.encoder.config().pad_token_id;
        let empty = tokens.iter_mut().filter(|t| t.ids.is_empty());
        empty.for_each(|t| t.ids.push(pad));
        Ok(tokens)
    }

    /// The vectors of a batch that [`SentenceModel::read`] gave, (B, W).
    ///
    /// # Errors
    /// A batch longer than the model's positions.
    pub fn vectors(&self, batch: &TokenBatch) -> Result<Tensor<2>, ModelError> {
        let hidden = self.encoder.last_hidden(batch, None)?;
        let kernels = self.encoder.kernels();
        Ok(self
            .head
            .vectors(kernels, hidden, batch.lengths(), self.prompt_tokens))
    }

    /// One vector of each text, all in one batch.
    ///
    /// # Errors
    /// The tokenizer fails on a text, or the device fails.
    pub async fn encode(&self, texts: &[&str]) -> Result<Vectors, ModelError> {
        if texts.is_empty() {
            let rows = Vec::new();
            return Ok(Vectors { rows, cut: 0 });
        }
        let (tokens, batch) = self.read(texts)?;
        let vectors = self.vectors(&batch)?;
        let width = vectors.dims()[1];
        let values = to_host(vectors).await?;
        Ok(Vectors {
            rows: values.chunks(width).map(<[f32]>::to_vec).collect(),
            cut: tokens.iter().filter(|tokens| tokens.truncated).count(),
        })
    }
}
