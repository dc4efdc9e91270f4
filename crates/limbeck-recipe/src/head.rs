//! What reads the encoder's last hidden states to classify a text or its words: one linear layer, and for most heads a dense
//! layer before it.

use crate::sentence::{Dense, HeadModule, Pooling, PoolingMode, SentenceHead};

/// Which head a fine-tuned model gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadChoice {
    /// The head that `transformers` puts on the family, which reads the first token.
    #[default]
    First,
    /// One linear layer on the mean of the last hidden states over the real tokens.
    Mean,
    /// One linear layer on the last hidden state of each token, as `transformers` classifies tokens in every family.
    Tokens,
}

impl HeadChoice {
    /// What the head reads of the last hidden states; none where it reads every token.
    pub fn pooling(self) -> Option<Pooling> {
        let mode = match self {
            Self::First => PoolingMode::Cls,
            Self::Mean => PoolingMode::Mean,
            Self::Tokens => return None,
        };
        Some(Pooling {
            modes: vec![mode],
            ..Pooling::default()
        })
    }

    /// For files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "cls",
            Self::Mean => "mean",
            Self::Tokens => "tokens",
        }
    }
}

/// What a config.json says of the head of a fine-tuned model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuned {
    /// What the head reads.
    pub choice: HeadChoice,
    /// The classes that it tells apart, in the order of its outputs; none where it gives a score.
    pub labels: Option<Vec<String>>,
}

impl Tuned {
    /// Numbers that the head gives.
    pub fn outputs(&self) -> usize {
        self.labels.as_ref().map_or(1, Vec::len)
    }

    /// The linear layer of a head on the mean, which lies in a module of its own; none if the folder, which `head` describes,
    /// has another head.
    pub fn linear_of_mean<'a>(&self, head: &'a SentenceHead) -> Option<&'a Dense> {
        let is_of_mean = self.choice == HeadChoice::Mean
            && Some(&head.pooling) == self.choice.pooling().as_ref();
        match head.modules.as_slice() {
            [HeadModule::Dense(dense)] if is_of_mean && dense.outputs == self.outputs() => {
                Some(dense)
            }
            _ => None,
        }
    }
}

/// What follows the dense layer of a family's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadActivation {
    /// tanh(x).
    Tanh,
    /// max(x, 0).
    Relu,
    /// x * Phi(x).
    Gelu,
}

/// The head that `transformers` puts on a family's encoder to classify sequences: a dense layer of the first token, an activation,
/// in some families a LayerNorm, and a linear layer to the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyHead {
    /// What stands before the encoder's names in a model with this head, as it is written. Models of other code may have another
    /// one (`new.`, say, instead of `gte.`).
    pub prefix: &'static str,
    /// The dense layer. One whose name starts with `prefix` is part of the encoder's checkpoints.
    pub dense: &'static str,
    /// The LayerNorm behind the activation, with the encoder's epsilon, and without a shift where its own have none.
    pub norm: Option<&'static str>,
    /// The linear layer to the classes.
    pub output: &'static str,
    /// What follows the dense layer.
    pub activation: HeadActivation,
    /// Whether training drops values before the dense layer, and not before the linear one alone.
    pub drops_input: bool,
    /// Whether a new dense layer has a bias; of one in a file see [`Config::head_has_bias`](crate::Config::head_has_bias).
    pub has_bias: bool,
    /// Whether tokens are classified through dense layer and LayerNorm, too, and not by a linear layer alone.
    pub serves_tokens: bool,
}

impl FamilyHead {
    /// What most families have, for theirs to begin with.
    pub(crate) const PLAIN: Self = Self {
        prefix: "",
        dense: "",
        norm: None,
        output: "",
        activation: HeadActivation::Tanh,
        drops_input: false,
        has_bias: true,
        serves_tokens: false,
    };
    /// Whether a head of this choice has the dense layer.
    pub fn has_dense(&self, choice: HeadChoice) -> bool {
        match choice {
            HeadChoice::First => true,
            HeadChoice::Mean => false,
            HeadChoice::Tokens => self.serves_tokens,
        }
    }

    /// The linear layer that classifies tokens, in every family.
    pub const OF_TOKENS: &'static str = "classifier";
    /// The linear layer on the mean, in the file of its own module.
    pub const OF_MEAN: &'static str = "linear";
    /// The folder of that module, in what fine-tuning writes.
    pub const MODULE_OF_MEAN: &'static str = "2_Dense";

    /// Name of the dense layer among the encoder's, where it is one of them.
    pub fn dense_of_encoder(&self) -> Option<&'static str> {
        self.dense.strip_prefix(self.prefix)
    }
}
