//! What an encoder computes, whatever its config.json calls it.

use std::ops::Range;

/// Activation functions of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x).
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x * sigmoid(x).
    Silu,
}

impl Activation {
    /// The activation that `transformers` knows by this name, or else the names of those that are supported.
    pub(crate) fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            _ => Err("gelu, gelu_new, gelu_pytorch_tanh, relu, silu"),
        }
    }
}

/// How an encoder learns the order of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// A table of vectors that are added to those of the words.
    Learned {
        /// Rows of the table.
        rows: usize,
        /// The row that the first token takes.
        first: usize,
        /// The padding token, where it takes the row before the first one and is not counted, wherever a text has it.
        uncounted: Option<u32>,
    },
}

impl Positions {
    /// The longest sequence, in tokens, that the encoder has positions for.
    pub fn max_length(self) -> usize {
        match self {
            Self::Learned { rows, first, .. } => rows.saturating_sub(first),
        }
    }
}

/// How far a token sees: itself always, and of the others those that are not further away than this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// How many tokens before it; `None`: all.
    pub before: Option<usize>,
    /// How many tokens after it; `None`: all. 0 is a causal decoder.
    pub after: Option<usize>,
}

impl Reach {
    /// As far to both sides: a local window of 2 `side` + 1 tokens.
    pub fn local(side: usize) -> Self {
        Self {
            before: Some(side),
            after: Some(side),
        }
    }

    /// Whether every token of a sequence of `length` tokens sees all others.
    pub fn sees_all(self, length: usize) -> bool {
        let enough = |side: Option<usize>| side.is_none_or(|side| side + 1 >= length);
        enough(self.before) && enough(self.after)
    }

    /// What tokens see together, of a sequence of `length` tokens. Some of them may lie past its end.
    pub fn of(self, tokens: Range<usize>, length: usize) -> Range<usize> {
        let start = self.before.map_or(0, |n| tokens.start.saturating_sub(n));
        let end = self.after.map_or(length, |n| tokens.end.saturating_add(n));
        start.min(length)..end.min(length)
    }

    /// How far a token is seen.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            before: self.after,
            after: self.before,
        }
    }
}

/// The numbers that decide what an encoder computes and which parameters it has. Two models of one shape compute the same
/// function of their weights, whatever family they belong to. Field names are BERT's.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Width of the embedding tables where it is a number of its own: if it differs from H, a linear layer leads from it to
    /// H. `None`: the tables are H wide.
    pub embedding_size: Option<usize>,
    /// Hidden size H.
    pub hidden_size: usize,
    /// Number of layers L.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides H.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Positions of tokens.
    pub positions: Positions,
    /// Rows of the token type table; 0: the model has none.
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward part.
    pub activation: Activation,
    /// Probability that training drops a hidden value.
    pub hidden_dropout: f64,
    /// Probability that training drops an attention probability.
    pub attention_dropout: f64,
    /// Whether training drops hidden values of the attention's output, too, and not of the feed-forward part's alone.
    pub drops_attention_output: bool,
}

impl Shape {
    /// Width of the embedding tables.
    pub fn embedding_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// The longest sequence, in tokens, that there are positions for.
    pub fn max_length(&self) -> usize {
        self.positions.max_length()
    }
}
