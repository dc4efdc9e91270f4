//! The parameters of an encoder: one walk over its shape gives each a name, a kind, a shape and a place. Whoever builds,
//! initialises, lists, saves or counts parameters goes by this walk, so nothing about them is written down twice.

use crate::shape::{Positions, Shape};

/// Where models with a head keep the one table that is for the words that come in and for those that go out.
pub const TIED_WORDS: [&str; 5] = [
    "lm_head.decoder.weight",
    "cls.predictions.decoder.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
    "lm_head.weight",
];

/// The role of a parameter: decides its layout in files, its initial value and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table of vectors (rows, width).
    Embedding,
    /// A weight matrix: (out, in) in files, (in, out) in memory.
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

/// A parameter, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as `transformers` has it, without the prefix of a model with a head.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its shape in files: two axes for tables and linear layers, else one.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Number of values that it holds.
    pub fn count(&self) -> u128 {
        self.shape.iter().map(|axis| *axis as u128).product()
    }
}

/// Place of a table or weight matrix: its index among the parameters of two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix(pub usize);

/// Place of a bias, scale or shift: its index among the parameters of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(pub usize);

/// Places of a linear layer's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The weights.
    pub weight: Matrix,
    /// The bias, if the layer has one.
    pub bias: Option<Vector>,
}

/// Places of a LayerNorm's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// The scale.
    pub weight: Vector,
    /// The shift.
    pub bias: Vector,
}

/// Places of what turns token ids into the first hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embeddings {
    /// One row per token of the vocabulary.
    pub word: Matrix,
    /// One row per position.
    pub position: Matrix,
    /// One row per token type.
    pub token_type: Option<Matrix>,
    /// The LayerNorm of their sum.
    pub norm: Norm,
    /// From the width of the tables to H, where they differ.
    pub projection: Option<Linear>,
}

/// Places of self-attention's four projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// To the queries.
    pub query: Linear,
    /// To the keys.
    pub key: Linear,
    /// To the values.
    pub value: Linear,
    /// From the concatenated heads.
    pub output: Linear,
}

/// Places of the feed-forward part's two projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedForward {
    /// From H to the intermediate width.
    pub up: Linear,
    /// Back to H.
    pub down: Linear,
}

/// Places of one layer's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Self-attention.
    pub attention: Attention,
    /// The LayerNorm that belongs to attention.
    pub attention_norm: Norm,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// The LayerNorm that belongs to the feed-forward part.
    pub norm: Norm,
}

/// Every parameter of an encoder, and which part of the encoder each belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All parameters, in the order in which initial values are drawn.
    pub parameters: Vec<Parameter>,
    /// The parts before the first layer.
    pub embeddings: Embeddings,
    /// The layers, the first one first.
    pub blocks: Vec<Block>,
}

impl Layout {
    /// How many of the first parameters belong to the embeddings and the first `layers` layers.
    pub fn up_to(&self, layers: usize) -> usize {
        let Some(next) = self.blocks.get(layers) else {
            return self.parameters.len();
        };
        let Matrix(index) = next.attention.query.weight;
        let is_matrix = |parameter: &Parameter| parameter.kind.decays();
        let matrices = self
            .parameters
            .iter()
            .enumerate()
            .filter(|(_, p)| is_matrix(p));
        matrices
            .map(|(place, _)| place)
            .nth(index)
            .unwrap_or(self.parameters.len())
    }

    /// The layout of a shape under the names of a family.
    pub(crate) fn of(shape: &Shape, names: &Names) -> Self {
        let mut parameters = Vec::new();
        let mut keep = |parameter| parameters.push(parameter);
        let (embeddings, blocks) = walk(shape, names, &mut keep);
        Self {
            parameters,
            embeddings,
            blocks,
        }
    }
}

/// Number of values in the parameters of a shape.
pub(crate) fn count(shape: &Shape, names: &Names) -> u128 {
    let mut count = 0;
    let mut add = |parameter: Parameter| count += parameter.count();
    walk(shape, names, &mut add);
    count
}

/// What a family calls its tensors, without `.weight` and `.bias`.
pub(crate) struct Names {
    /// The word embedding table.
    pub word: &'static str,
    /// The table of positions.
    pub position: &'static str,
    /// The table of token types.
    pub token_type: &'static str,
    /// The LayerNorm of the embeddings.
    pub embedding_norm: &'static str,
    /// From the width of the embedding tables to H.
    pub embedding_projection: &'static str,
    /// The list of layers; a layer's number follows, then one of the names below.
    pub layer: &'static str,
    /// Attention's projection to the queries.
    pub query: &'static str,
    /// Attention's projection to the keys.
    pub key: &'static str,
    /// Attention's projection to the values.
    pub value: &'static str,
    /// Attention's projection of the concatenated heads.
    pub output: &'static str,
    /// The LayerNorm after attention.
    pub attention_norm: &'static str,
    /// The feed-forward part's up projection.
    pub up: &'static str,
    /// The feed-forward part's down projection.
    pub down: &'static str,
    /// The LayerNorm after the feed-forward part.
    pub norm: &'static str,
}

/// The walk: visits every parameter of a shape once, always in the same order, and returns the places of all.
fn walk(
    shape: &Shape,
    names: &Names,
    visit: &mut dyn FnMut(Parameter),
) -> (Embeddings, Vec<Block>) {
    let (e, h, f) = (
        shape.embedding_width(),
        shape.hidden_size,
        shape.intermediate_size,
    );
    let Positions::Learned { rows, .. } = shape.positions;
    let mut walk = Walk {
        visit,
        matrices: 0,
        vectors: 0,
    };
    let types = shape.type_vocab_size;
    let embeddings = Embeddings {
        word: walk.table(names.word, shape.vocab_size, e),
        position: walk.table(names.position, rows, e),
        token_type: (types > 0).then(|| walk.table(names.token_type, types, e)),
        norm: walk.norm(names.embedding_norm, e),
        projection: (e != h).then(|| walk.linear(names.embedding_projection, e, h)),
    };
    let blocks = (0..shape.num_hidden_layers).map(|index| {
        let at = |part: &str| format!("{}.{index}.{part}", names.layer);
        Block {
            attention: Attention {
                query: walk.linear(&at(names.query), h, h),
                key: walk.linear(&at(names.key), h, h),
                value: walk.linear(&at(names.value), h, h),
                output: walk.linear(&at(names.output), h, h),
            },
            attention_norm: walk.norm(&at(names.attention_norm), h),
            feed_forward: FeedForward {
                up: walk.linear(&at(names.up), h, f),
                down: walk.linear(&at(names.down), f, h),
            },
            norm: walk.norm(&at(names.norm), h),
        }
    });
    let blocks = blocks.collect();
    (embeddings, blocks)
}

/// A walk on its way: how many parameters of two axes and of one it has visited.
struct Walk<'a> {
    visit: &'a mut dyn FnMut(Parameter),
    matrices: usize,
    vectors: usize,
}

impl Walk<'_> {
    fn matrix(&mut self, name: &str, kind: Kind, shape: [usize; 2]) -> Matrix {
        (self.visit)(Parameter {
            name: format!("{name}.weight"),
            kind,
            shape: shape.to_vec(),
        });
        self.matrices += 1;
        Matrix(self.matrices - 1)
    }

    fn vector(&mut self, name: String, kind: Kind, width: usize) -> Vector {
        (self.visit)(Parameter {
            name,
            kind,
            shape: vec![width],
        });
        self.vectors += 1;
        Vector(self.vectors - 1)
    }

    fn table(&mut self, name: &str, rows: usize, width: usize) -> Matrix {
        self.matrix(name, Kind::Embedding, [rows, width])
    }

    fn linear(&mut self, name: &str, from: usize, to: usize) -> Linear {
        Linear {
            weight: self.matrix(name, Kind::Linear, [to, from]),
            bias: Some(self.vector(format!("{name}.bias"), Kind::Bias, to)),
        }
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        Norm {
            weight: self.vector(format!("{name}.weight"), Kind::NormWeight, width),
            bias: self.vector(format!("{name}.bias"), Kind::NormBias, width),
        }
    }
}
