//! The parameters of an encoder: one walk over its shape gives each a name, a kind, a shape and a place. Whoever builds,
//! initialises, lists, saves or counts parameters goes by this walk, so nothing about them is written down twice.

use crate::shape::{Disentangled, NormPlace, Positions, Shape};

/// Where models with a head keep the one table that is for the words that come in and for those that go out.
pub const TIED_WORDS: [&str; 5] = [
    "lm_head.decoder.weight",
    "cls.predictions.decoder.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
    "lm_head.weight",
];

/// How the names of tensors begin that models have beside their encoder, behind its prefix or without one: poolers, and the heads of
/// pretraining and of tasks.
const HEADS: [&str; 17] = [
    "pooler",
    "cls",
    "lm_head",
    "lm_predictions",
    "mask_predictions",
    "head",
    "decoder",
    "classifier",
    "pre_classifier",
    "qa_outputs",
    "logits_proj",
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
    "generator_predictions",
    "generator_lm_head",
    "discriminator_predictions",
];

/// How the names of tensors end that old versions of transformers saved: numbers that are counted anew.
const COUNTED: [&str; 3] = ["position_ids", "token_type_ids", "inv_freq"];

/// Whether a model of this kind usually has a tensor of this name beside its encoder; `name` is without the encoder's prefix.
pub fn is_usual(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    HEADS.contains(&first) || COUNTED.iter().any(|end| name.ends_with(end))
}

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
    /// Its name, as `transformers` has it, without the prefix of a model with a head. Of those that share a tensor, each has
    /// a name of its own.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its shape in files: two axes for tables and linear layers, else one.
    pub shape: Vec<usize>,
    /// The tensor of files that it is a part of, if it is not one by itself.
    pub shared: Option<Shared>,
}

/// A tensor of files that several parameters share: equally many rows each, one below the other. Only files know of it. In memory
/// each part is a parameter, so that initial values, what a narrower student keeps, the optimizer and the exact views that
/// attention and the loss read need not know which families store their projections together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// Which part this is, from 0.
    pub part: usize,
    /// How many parts there are.
    pub parts: usize,
}

impl Parameter {
    /// Name and shape of the tensor of files that holds it.
    pub fn stored(&self) -> (&str, Vec<usize>) {
        let mut shape = self.shape.clone();
        let Some(shared) = &self.shared else {
            return (&self.name, shape);
        };
        shape[0] *= shared.parts;
        (&shared.name, shape)
    }

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
    /// The shift, if the LayerNorm has one.
    pub bias: Option<Vector>,
}

/// Places of what turns token ids into the first hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embeddings {
    /// One row per token of the vocabulary.
    pub word: Matrix,
    /// One row per position, where positions are a table.
    pub position: Option<Matrix>,
    /// One row per token type.
    pub token_type: Option<Matrix>,
    /// The norm of their sum, if there is one.
    pub norm: Option<Norm>,
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
    /// The norms of a head of queries and of one of keys, if there are such.
    pub head_norms: Option<[Norm; 2]>,
    /// To the keys of distances, if queries meet such: where projections are shared, that to the keys.
    pub distance_key: Option<Linear>,
    /// To the queries of distances, if keys meet such: where projections are shared, that to the queries.
    pub distance_query: Option<Linear>,
}

/// Places of the feed-forward part's projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedForward {
    /// From H to the intermediate width, through the activation.
    pub up: Linear,
    /// From H to what the activation is multiplied with, if it is.
    pub gate: Option<Linear>,
    /// Back to H.
    pub down: Linear,
}

/// Places of one layer's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which layer it is, from 0.
    pub layer: usize,
    /// Self-attention.
    pub attention: Attention,
    /// The norm that belongs to attention; the first layer of a pre-norm encoder whose embeddings are normalised has none.
    pub attention_norm: Option<Norm>,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// The LayerNorm that belongs to the feed-forward part.
    pub norm: Norm,
    /// The norms of what attention and the feed-forward part give, before it is added, if there are such.
    pub given_norms: Option<[Norm; 2]>,
}

/// Every parameter of an encoder, and which part of the encoder each belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All parameters, in the order in which initial values are drawn.
    pub parameters: Vec<Parameter>,
    /// The parts before the first layer.
    pub embeddings: Embeddings,
    /// What distances add to scores: a row for each bucket and a column for each head, if they add anything; where they have queries
    /// and keys, a row of H for each.
    pub distances: Option<Matrix>,
    /// The norm of those rows, if there is one.
    pub distances_norm: Option<Norm>,
    /// The layers, the first one first.
    pub blocks: Vec<Block>,
    /// The LayerNorm behind the last layer, if there is one.
    pub last_norm: Option<Norm>,
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
        let Places {
            embeddings,
            distances,
            distances_norm,
            blocks,
            last_norm,
        } = walk(shape, names, &mut keep);
        Self {
            parameters,
            embeddings,
            distances,
            distances_norm,
            blocks,
            last_norm,
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

/// What a family calls its tensors, without `.weight` and `.bias`. Projections of one name are one tensor in files: queries, keys and
/// values one below the other, or the feed-forward part's up projection and its gate.
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
    /// The LayerNorm of attention.
    pub attention_norm: &'static str,
    /// The feed-forward part's up projection.
    pub up: &'static str,
    /// The projection to what the activation is multiplied with.
    pub gate: &'static str,
    /// Whether the gate comes before the up projection: above it, where both are one tensor.
    pub gate_first: bool,
    /// The feed-forward part's down projection.
    pub down: &'static str,
    /// The LayerNorm of the feed-forward part.
    pub norm: &'static str,
    /// The norm of a head of queries.
    pub query_norm: &'static str,
    /// The norm of a head of keys.
    pub key_norm: &'static str,
    /// The norm of what attention gives.
    pub attended_norm: &'static str,
    /// The norm of what the feed-forward part gives.
    pub fed_norm: &'static str,
    /// The LayerNorm behind the last layer.
    pub last_norm: &'static str,
    /// What distances add to scores.
    pub distances: &'static str,
    /// The norm of the table of distances.
    pub distances_norm: &'static str,
    /// Attention's projection to the keys of distances.
    pub distance_key: &'static str,
    /// Attention's projection to the queries of distances.
    pub distance_query: &'static str,
}

/// The places that a walk has given.
struct Places {
    embeddings: Embeddings,
    distances: Option<Matrix>,
    distances_norm: Option<Norm>,
    blocks: Vec<Block>,
    last_norm: Option<Norm>,
}

/// The walk: visits every parameter of a shape once, always in the same order, and returns the places of all.
fn walk(shape: &Shape, names: &Names, visit: &mut dyn FnMut(Parameter)) -> Places {
    let (e, h) = (shape.embedding_width(), shape.hidden_size);
    let mut walk = Walk {
        visit,
        norm_bias: shape.norm_bias,
        matrices: 0,
        vectors: 0,
    };
    let types = shape.type_vocab_size;
    let projects_first = shape.projects_first;
    let embeddings = Embeddings {
        word: walk.table(names.word, shape.vocab_size, e),
        position: match shape.positions {
            Positions::Learned { rows, .. } => Some(walk.table(names.position, rows, e)),
            Positions::Rotary { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                None
            }
        },
        token_type: (types > 0).then(|| walk.table(names.token_type, types, e)),
        norm: shape
            .norms_embeddings
            .then(|| walk.norm(names.embedding_norm, if projects_first { h } else { e })),
        projection: (e != h)
            .then(|| walk.linear(names.embedding_projection, [e, h], !projects_first)),
    };
    let disentangled = shape.disentangled();
    let (rows, width) = match disentangled {
        Some(how) => (2 * how.span, h),
        None => (shape.distance_buckets, shape.num_attention_heads),
    };
    let distances = (rows > 0).then(|| walk.table(names.distances, rows, width));
    let distances_norm = disentangled
        .filter(|how| how.norms_table)
        .map(|_| walk.norm(names.distances_norm, h));
    let blocks = (0..shape.num_hidden_layers).map(|layer| block(shape, names, layer, &mut walk));
    let blocks = blocks.collect();
    let is_last_normed = shape.norm_place != NormPlace::After;
    let last_norm = is_last_normed.then(|| walk.norm(names.last_norm, h));
    Places {
        embeddings,
        distances,
        distances_norm,
        blocks,
        last_norm,
    }
}

fn block(shape: &Shape, names: &Names, layer: usize, walk: &mut Walk) -> Block {
    let (h, f) = (shape.hidden_size, shape.intermediate_size);
    let at = |part: &str| format!("{}.{layer}.{part}", names.layer);
    let bias = shape.attention_bias;
    let [query, key, value] = [names.query, names.key, names.value].map(at);
    let (wide, narrow) = (shape.query_width(), shape.key_width());
    let projections = [
        ("query", query, wide),
        ("key", key, narrow),
        ("value", value, narrow),
    ];
    let [query, key, value] = walk.side_by_side(projections, h, bias);
    let output = walk.linear(&at(names.output), [wide, h], bias);
    let disentangled = shape.disentangled();
    let mut of_distances = |has: fn(&Disentangled) -> bool, name, shared| {
        disentangled
            .filter(has)
            .map(|how| match how.shares_projections {
                true => shared,
                false => walk.linear(&at(name), [h, wide], bias),
            })
    };
    let distance_key = of_distances(|how| how.has_keys, names.distance_key, key);
    let distance_query = of_distances(|how| how.has_queries, names.distance_query, query);
    let mut two_norms = |names: [&str; 2], width| names.map(|name| walk.norm(&at(name), width));
    let head_norms = shape
        .norms_heads
        .then(|| two_norms([names.query_norm, names.key_norm], shape.head_width()));
    let given_norms = (shape.norm_place == NormPlace::Around)
        .then(|| two_norms([names.attended_norm, names.fed_norm], h));
    let is_normed_before =
        shape.norm_place == NormPlace::Before && shape.norms_embeddings && layer == 0;
    let attention_norm = (!is_normed_before).then(|| walk.norm(&at(names.attention_norm), h));
    let bias = shape.up_bias;
    let (up, gate) = match shape.is_gated {
        true => {
            let mut projections = [("up", at(names.up), f), ("gate", at(names.gate), f)];
            if names.gate_first {
                projections.reverse();
            }
            let [first, second] = walk.side_by_side(projections, h, bias);
            match names.gate_first {
                true => (second, Some(first)),
                false => (first, Some(second)),
            }
        }
        false => (walk.linear(&at(names.up), [h, f], bias), None),
    };
    Block {
        layer,
        attention: Attention {
            query,
            key,
            value,
            output,
            head_norms,
            distance_key,
            distance_query,
        },
        attention_norm,
        feed_forward: FeedForward {
            up,
            gate,
            down: walk.linear(&at(names.down), [f, h], shape.down_bias),
        },
        norm: walk.norm(&at(names.norm), h),
        given_norms,
    }
}

/// A walk on its way: how many parameters of two axes and of one it has visited.
struct Walk<'a> {
    visit: &'a mut dyn FnMut(Parameter),
    norm_bias: bool,
    matrices: usize,
    vectors: usize,
}

impl Walk<'_> {
    fn matrix(
        &mut self,
        name: String,
        kind: Kind,
        shape: [usize; 2],
        shared: Option<Shared>,
    ) -> Matrix {
        (self.visit)(Parameter {
            name,
            kind,
            shape: shape.to_vec(),
            shared,
        });
        self.matrices += 1;
        Matrix(self.matrices - 1)
    }

    fn vector(&mut self, name: String, kind: Kind, width: usize, shared: Option<Shared>) -> Vector {
        (self.visit)(Parameter {
            name,
            kind,
            shape: vec![width],
            shared,
        });
        self.vectors += 1;
        Vector(self.vectors - 1)
    }

    fn table(&mut self, name: &str, rows: usize, width: usize) -> Matrix {
        let shape = [rows, width];
        self.matrix(format!("{name}.weight"), Kind::Embedding, shape, None)
    }

    fn linear(&mut self, name: &str, [from, to]: [usize; 2], has_bias: bool) -> Linear {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        Linear {
            weight: self.matrix(weight, Kind::Linear, [to, from], None),
            bias: has_bias.then(|| self.vector(bias, Kind::Bias, to, None)),
        }
    }

    /// Linear layers that read the same, each (role, name, width): parts of one tensor where all have one name, and then one width.
    fn side_by_side<const N: usize>(
        &mut self,
        named: [(&str, String, usize); N],
        from: usize,
        has_bias: bool,
    ) -> [Linear; N] {
        let is_one = named.iter().all(|(_, name, _)| *name == named[0].1);
        let mut part = 0;
        named.map(|(role, name, to)| {
            if !is_one || N == 1 {
                return self.linear(&name, [from, to], has_bias);
            }
            let shared = |of: &str| {
                let whole = format!("{name}.{of}");
                let shared = Shared {
                    name: whole,
                    part,
                    parts: N,
                };
                (format!("{name}.{role}.{of}"), Some(shared))
            };
            let (weight, of_weight) = shared("weight");
            let (bias, of_bias) = shared("bias");
            part += 1;
            Linear {
                weight: self.matrix(weight, Kind::Linear, [to, from], of_weight),
                bias: has_bias.then(|| self.vector(bias, Kind::Bias, to, of_bias)),
            }
        })
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        Norm {
            weight: self.vector(weight, Kind::NormWeight, width, None),
            bias: self
                .norm_bias
                .then(|| self.vector(bias, Kind::NormBias, width, None)),
        }
    }
}
