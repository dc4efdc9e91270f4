//! What stands behind the encoder: the outputs, one vector of a text, or a head that classifies or scores.

use limbeck_recipe::{
    Dense, DenseActivation, FamilyHead, HeadActivation, HeadChoice, HeadModule, PoolingMode,
    SentenceHead, Tuned,
};

use crate::Source;
use crate::graph::{Axis, DataType, Float, Setting, TOKENS, Value};
use crate::writer::Writer;

/// Below this a vector is not scaled to length 1, as in PyTorch.
const SHORTEST: f32 = 1e-12;
/// Added to what a maximum must not see.
const HIDDEN: f32 = -1e30;
/// The axis of tokens.
const BY_TOKEN: (&str, Setting<'static>) = ("axis", Setting::Int(1));

impl<E> Writer<'_, '_, E> {
    /// `last_hidden_state`, and `sentence_embedding` of a head.
    pub fn vectors(&mut self, hidden: &Value, head: Option<&SentenceHead>) -> Result<(), E> {
        self.graph.place = "output".to_owned();
        let width = self.config.hidden_size;
        let [batch, tokens] = TOKENS;
        let dims = [batch, tokens, Axis::Of(width)];
        self.graph.output("last_hidden_state", hidden, &dims);
        let Some(head) = head else {
            return Ok(());
        };
        // What is summed over all tokens of a text is summed in f32, whatever the layers compute in.
        self.graph.float = Float::F32;
        self.quantised = false;
        let mut x = self.pooled(&"last_hidden_state".to_owned(), head);
        for module in &head.modules {
            x = match module {
                HeadModule::Dense(dense) => self.dense(&x, dense)?,
                HeadModule::Normalize => self.normalized(&x),
            };
        }
        let width = head.width(width);
        if head.truncate_dim.is_some() {
            let zero = self.graph.integers(&[0]);
            let end = self.graph.integers(&[width as i64]);
            let axis = self.graph.integers(&[1]);
            x = self.graph.op("Slice", &[&x, &zero, &end, &axis], &[]);
        }
        self.graph
            .output("sentence_embedding", &x, &[batch, Axis::Of(width)]);
        Ok(())
    }

    /// `logits`: of texts, (B, outputs), or of tokens, (B, S, outputs).
    pub fn logits(&mut self, hidden: &Value, tuned: &Tuned) -> Result<(), E> {
        self.graph.place = "head".to_owned();
        let (width, outputs) = (self.config.hidden_size, tuned.outputs());
        let [batch, tokens] = TOKENS;
        let last = Axis::Of(outputs);
        match tuned.choice {
            HeadChoice::First => {
                let pooling = self.config.head_pooling(tuned.choice);
                let pooled = match pooling == HeadChoice::Mean.pooling() {
                    true => self.mean(hidden),
                    false => self.first(hidden),
                };
                let x = self.through_dense(&pooled)?;
                let (output, sizes) = (self.config.head().output, [outputs, width]);
                let x = self.linear(&x, Source::File, output, sizes, true)?;
                self.graph.output("logits", &x, &[batch, last]);
            }
            HeadChoice::Mean => {
                let mean = self.mean(hidden);
                let (name, module) = (FamilyHead::OF_MEAN, FamilyHead::MODULE_OF_MEAN);
                let sizes = [outputs, width];
                let x = self.linear(&mean, Source::Module(module), name, sizes, true)?;
                self.graph.output("logits", &x, &[batch, last]);
            }
            HeadChoice::Tokens => {
                let x = match self.config.head().has_dense(tuned.choice) {
                    true => self.through_dense(hidden)?,
                    false => hidden.clone(),
                };
                let (source, sizes) = (Source::File, [outputs, width]);
                let x = self.linear(&x, source, FamilyHead::OF_TOKENS, sizes, true)?;
                self.graph.output("logits", &x, &[batch, tokens, last]);
            }
        }
        Ok(())
    }

    /// Through the dense layer of the family's head, its activation, and its LayerNorm, if it has one.
    fn through_dense(&mut self, x: &Value) -> Result<Value, E> {
        let (head, width) = (self.config.head(), self.config.hidden_size);
        let is_shifted = self.config.norm_bias;
        // A layer of the encoder's own has the prefix that the file gives the encoder.
        let (source, dense) = match head.dense_of_encoder() {
            Some(own) => (Source::Encoder, own),
            None => (Source::File, head.dense),
        };
        let has_bias = self.config.head_has_bias();
        let x = self.linear(x, source, dense, [width, width], has_bias)?;
        let x = match head.activation {
            HeadActivation::Tanh => self.graph.op("Tanh", &[&x], &[]),
            HeadActivation::Relu => self.graph.op("Relu", &[&x], &[]),
            HeadActivation::Gelu => self.gelu(&x),
        };
        let Some(norm) = head.norm else {
            return Ok(x);
        };
        let mut vector = |part: &str| self.vector(Source::File, &format!("{norm}.{part}"), width);
        let scale = vector("weight")?;
        let shift = is_shifted.then(|| vector("bias")).transpose()?;
        Ok(self.normed(&x, &scale, shift.as_ref()))
    }

    /// The mean of the hidden states over real tokens, (B, H). It and what is computed of it is of f32.
    fn mean(&mut self, hidden: &Value) -> Value {
        let hidden = self.graph.cast(hidden, DataType::Float);
        self.graph.float = Float::F32;
        self.pooled(&hidden, &SentenceHead::default())
    }

    /// The first token's hidden state, (B, H).
    fn first(&mut self, hidden: &Value) -> Value {
        let zero = self.graph.integer(0);
        self.graph.op("Gather", &[hidden, &zero], &[BY_TOKEN])
    }

    /// Hidden states (B, S, H) to (B, modes x H).
    fn pooled(&mut self, hidden: &Value, head: &SentenceHead) -> Value {
        self.graph.place = "pooling".to_owned();
        let mask = self.graph.as_float(&"attention_mask".to_owned());
        let modes = &head.pooling.modes;
        let vectors: Vec<Value> = modes
            .iter()
            .map(|mode| self.mode(hidden, &mask, *mode))
            .collect();
        match &vectors[..] {
            [one] => one.clone(),
            several => {
                let several: Vec<&Value> = several.iter().collect();
                self.graph.op("Concat", &several, &[BY_TOKEN])
            }
        }
    }

    fn mode(&mut self, hidden: &Value, mask: &Value, mode: PoolingMode) -> Value {
        let tokens = self.graph.integers(&[1]);
        match mode {
            PoolingMode::Cls => self.first(hidden),
            PoolingMode::LastToken => {
                let axis = [("keepdims", Setting::Int(1))];
                let ids = "attention_mask".to_owned();
                let count = self.graph.op("ReduceSum", &[&ids, &tokens], &axis);
                let last = self.graph.op("Sub", &[&count, &tokens], &[]);
                let of_text = [("batch_dims", Setting::Int(1))];
                self.graph.op("GatherND", &[hidden, &last], &of_text)
            }
            PoolingMode::Max => {
                let (one, low) = (self.graph.number(1.0), self.graph.number(HIDDEN));
                let padding = self.graph.op("Sub", &[&one, mask], &[]);
                let low = self.graph.op("Mul", &[&padding, &low], &[]);
                let low = self.of_tokens(&low);
                let seen = self.graph.op("Add", &[hidden, &low], &[]);
                let over = [("axes", Setting::Ints(&[1])), ("keepdims", Setting::Int(0))];
                self.graph.op("ReduceMax", &[&seen], &over)
            }
            PoolingMode::Mean => self.weighted(hidden, mask, false),
            PoolingMode::MeanSqrtLen => self.weighted(hidden, mask, true),
            PoolingMode::WeightedMean => {
                let axis = self.graph.integer(1);
                let place = self.graph.op("CumSum", &[mask, &axis], &[]);
                let weights = self.graph.op("Mul", &[&place, mask], &[]);
                self.weighted(hidden, &weights, false)
            }
        }
    }

    /// The sum of hidden states by their tokens' weights (B, S), divided by the sum of the weights or its root.
    fn weighted(&mut self, hidden: &Value, weights: &Value, root: bool) -> Value {
        let tokens = self.graph.integers(&[1]);
        let column = self.of_tokens(weights);
        let parts = self.graph.op("Mul", &[hidden, &column], &[]);
        let away = [("keepdims", Setting::Int(0))];
        let sum = self.graph.op("ReduceSum", &[&parts, &tokens], &away);
        let stay = [("keepdims", Setting::Int(1))];
        let mut count = self.graph.op("ReduceSum", &[weights, &tokens], &stay);
        if root {
            count = self.graph.op("Sqrt", &[&count], &[]);
        }
        self.graph.op("Div", &[&sum, &count], &[])
    }

    /// (B, S) to (B, S, 1).
    fn of_tokens(&mut self, x: &Value) -> Value {
        let axis = self.graph.integers(&[2]);
        self.graph.op("Unsqueeze", &[x, &axis], &[])
    }

    fn normalized(&mut self, x: &Value) -> Value {
        let over = [("axes", Setting::Ints(&[1])), ("keepdims", Setting::Int(1))];
        let length = self.graph.op("ReduceL2", &[x], &over);
        let shortest = self.graph.number(SHORTEST);
        let length = self.graph.op("Max", &[&length, &shortest], &[]);
        self.graph.op("Div", &[x, &length], &[])
    }

    fn dense(&mut self, x: &Value, dense: &Dense) -> Result<Value, E> {
        self.graph.place.clone_from(&dense.folder);
        let source = Source::Module(&dense.folder);
        let sizes = [dense.outputs, dense.inputs];
        let x = self.linear(x, source, "linear", sizes, dense.bias)?;
        Ok(match dense.activation {
            DenseActivation::Identity => x,
            DenseActivation::Tanh => self.graph.op("Tanh", &[&x], &[]),
            DenseActivation::Gelu => self.gelu(&x),
            DenseActivation::Relu => self.graph.op("Relu", &[&x], &[]),
            DenseActivation::Sigmoid => self.graph.op("Sigmoid", &[&x], &[]),
            DenseActivation::Silu => self.silu(&x),
        })
    }
}
