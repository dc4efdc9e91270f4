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

    /// Its name there.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::Relu => "relu",
            Self::Silu => "silu",
        }
    }
}

/// How an encoder learns the order of its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// No table: attention turns the queries and keys of a token by angles that grow with its position (rotary positions, Su et
    /// al. 2021, <https://arxiv.org/abs/2104.09864>).
    Rotary {
        /// The longest sequence, in tokens.
        longest: usize,
        /// How fast they grow.
        angles: Angles,
    },
    /// No table: the score of two tokens falls with the distance between them, in each head by a slope of its own (ALiBi, Press et al.
    /// 2022, <https://arxiv.org/abs/2108.12409>). See [`distance_slope`].
    Slopes {
        /// The longest sequence, in tokens.
        longest: usize,
    },
    /// No table of positions: attention compares queries and keys with vectors of distances, too.
    Disentangled(Disentangled),
}

impl Positions {
    /// The longest sequence, in tokens, that the encoder has positions for.
    pub fn max_length(self) -> usize {
        match self {
            Self::Learned { rows, first, .. } => rows.saturating_sub(first),
            Self::Rotary { longest, .. } | Self::Slopes { longest } => longest,
            Self::Disentangled(how) => how.longest,
        }
    }
}

/// Disentangled attention (DeBERTa, He et al. 2021, <https://arxiv.org/abs/2006.03654>): what a token finds in another one is how its
/// query fits the other's key, and besides how that query fits a key of the distance between them, how a query of that distance fits
/// that key, or both. The sum is divided by the root of the width of a head times the number of terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disentangled {
    /// The longest sequence, in tokens.
    pub longest: usize,
    /// Half of the rows of the table of distances, which all layers share.
    pub span: usize,
    /// The distance that has the last row of either side, where rows are buckets; `None`: each distance has a row, up to the span.
    pub farthest: Option<usize>,
    /// Whether the table is normalised.
    pub norms_table: bool,
    /// Whether queries meet keys of distances (content to position).
    pub has_keys: bool,
    /// Whether keys meet queries of distances (position to content).
    pub has_queries: bool,
    /// Whether what makes queries and keys of tokens makes those of distances.
    pub shares_projections: bool,
}

impl Disentangled {
    /// The row of a distance, from a key to a query that is so many places after it. Buckets, half of them on either side, are single
    /// distances in the nearer half of a side, and grow with the distance in the other.
    pub fn row(self, distance: isize) -> usize {
        let (far, single) = (distance.unsigned_abs(), self.span / 2);
        let bucket = match self.farthest {
            Some(farthest) if far > single => {
                let times = |far: usize| (far as f32 / single as f32).ln();
                let share = times(far) / times(farthest - 1);
                single + (share * (single - 1) as f32).ceil() as usize
            }
            _ => far,
        };
        match distance > 0 {
            true => self.span.saturating_add(bucket).min(2 * self.span - 1),
            false => self.span.saturating_sub(bucket),
        }
    }

    /// How many sequences of so many tokens attend at once, with so many heads: their scores of distances, 2S for each query, stay within
    /// 8 million, as far as one sequence allows.
    pub fn at_once(self, heads: usize, length: usize) -> usize {
        const MOST: usize = 1 << 23;
        (MOST / (2 * heads * length * length).max(1)).max(1)
    }

    /// How many terms a score has.
    pub fn terms(self) -> usize {
        1 + usize::from(self.has_keys) + usize::from(self.has_queries)
    }
}

/// By how much rotary positions turn: the dimensions i and i + D/2 of a head of D dimensions by theta^(-2i/D) / stretch a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angles {
    /// The base, theta.
    pub theta: f64,
    /// By how many times slower than that all of them turn (position interpolation, Chen et al. 2023,
    /// <https://arxiv.org/abs/2306.15595>).
    pub stretch: f64,
}

impl From<f64> for Angles {
    /// Those of theta alone.
    fn from(theta: f64) -> Self {
        Self {
            theta,
            stretch: 1.0,
        }
    }
}

impl Angles {
    /// By how much a token turns the pair i, from 0, of a head of so many dimensions.
    pub fn of(self, pair: usize, dimensions: usize) -> f64 {
        let exponent = -2.0 * pair as f64 / dimensions as f64;
        self.theta.powf(exponent) / self.stretch
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

/// Layers in which a token attends to those near it alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// How far.
    pub reach: Reach,
    /// Their angles where positions are rotary.
    pub angles: Angles,
    /// Which layers, from 0, in increasing order.
    pub layers: Vec<usize>,
}

/// Distances from this one on are in the last bucket of either side ([`distance_bucket`]).
pub const FARTHEST_BUCKET: usize = 128;

/// The bucket of a distance, from a token to one that is so many places after it, of an even number of buckets: half of them for tokens
/// before and half for those after, of either half as many for single distances as for growing ranges of those up to 128, and
/// the last one for whatever is beyond (T5, Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>).
pub fn distance_bucket(distance: isize, buckets: usize) -> usize {
    let half = buckets / 2;
    let single = half / 2;
    let start = if distance > 0 { half } else { 0 };
    let far = distance.unsigned_abs();
    if far < single {
        return start + far;
    }
    let nearest = single as f64;
    let share = (far as f64 / nearest).ln() / (FARTHEST_BUCKET as f64 / nearest).ln();
    // Rounding must not take a power of the range into the bucket before it.
    let range = (share * (half - single) as f64 + 1e-9) as usize;
    start + (single + range).min(half - 1)
}

/// By how much the score of a head, from 0 of so many, falls with every token between two: the powers of 2^(-8/A) for a number of heads
/// A that is a power of two; for any other those of the next smaller power of two, and then every second of the next larger one.
pub fn distance_slope(head: usize, heads: usize) -> f64 {
    let smaller = 1 << heads.max(1).ilog2();
    let exponent = match head.checked_sub(smaller) {
        None => (head + 1) as f64,
        Some(further) => further as f64 + 0.5,
    };
    (-8.0 * exponent / smaller as f64).exp2()
}

/// Where a layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// The sum of what a part reads and what it gives (post-norm).
    After,
    /// What a part reads (pre-norm), and what the last layer gives. Where the embeddings are normalised, attention of the first layer
    /// reads what that gives.
    Before,
    /// The same, and what a part gives, too, before it is added.
    Around,
}

/// What a norm does with a vector before it scales it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean 0 and variance 1 (LayerNorm, Ba et al. 2016, <https://arxiv.org/abs/1607.06450>).
    MeanVariance,
    /// A mean square of 1 (RMSNorm, Zhang and Sennrich 2019, <https://arxiv.org/abs/1910.07467>).
    MeanSquare,
    /// The same, with a scale that is 1 more than the weight of the file.
    MeanSquareFromOne,
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
    /// Number of attention heads, of queries; divides H unless heads have a width of their own.
    pub num_attention_heads: usize,
    /// Width of a head where it is a number of its own. `None`: the heads share H.
    pub head_size: Option<usize>,
    /// Number of heads of keys and of values where it is a number of its own, which divides that of queries: as many heads of queries
    /// one after the other attend with one of these (grouped queries, Ainslie et al. 2023, <https://arxiv.org/abs/2305.13245>). `None`:
    /// each has its own.
    pub key_value_heads: Option<usize>,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Positions of tokens.
    pub positions: Positions,
    /// Rows of the token type table; 0: the model has none.
    pub type_vocab_size: usize,
    /// Buckets of distances between tokens, each of which adds a number to the scores of a head, the same in all layers; 0: distances
    /// add nothing. See [`distance_bucket`].
    pub distance_buckets: usize,
    /// Layers that attend to near tokens alone; none: all attend to all tokens.
    pub local: Option<Local>,
    /// Whether the vectors of words are multiplied by the root of H.
    pub scales_words: bool,
    /// Whether a token attends to itself and those before it alone, as in a decoder.
    pub is_causal: bool,
    /// Whether queries and keys are normalised, each head by itself, before positions turn them.
    pub norms_heads: bool,
    /// The number whose root divides the scores of attention, where it is not the width of a head.
    pub score_width: Option<f64>,
    /// Whether the embeddings are normalised.
    pub norms_embeddings: bool,
    /// Whether embeddings that are not H wide are projected, without a bias, before they are normalised, and not after it.
    pub projects_first: bool,
    /// Where a layer normalises.
    pub norm_place: NormPlace,
    /// How all norms normalise.
    pub norm_kind: NormKind,
    /// Whether norms have a shift.
    pub norm_bias: bool,
    /// Whether the linear layers of attention have biases.
    pub attention_bias: bool,
    /// Whether the up projection of the feed-forward part has a bias, and its gate.
    pub up_bias: bool,
    /// Whether the down projection does.
    pub down_bias: bool,
    /// Epsilon of every norm.
    pub layer_norm_eps: f64,
    /// Whether the activation of the feed-forward part is multiplied with a second up projection (a gated linear unit, Shazeer
    /// 2020, <https://arxiv.org/abs/2002.05202>).
    pub is_gated: bool,
    /// Activation of the feed-forward part.
    pub activation: Activation,
    /// Probability that training drops a hidden value.
    pub hidden_dropout: f64,
    /// Probability that training drops an attention probability.
    pub attention_dropout: f64,
    /// Whether training drops hidden values of the attention's output, too, and not of the feed-forward part's alone.
    pub drops_attention_output: bool,
    /// Whether training drops units of the feed-forward part.
    pub drops_units: bool,
    /// Whether training drops what the feed-forward part gives.
    pub drops_fed: bool,
}

impl Shape {
    /// Whether the feed-forward part is two linear layers with biases and exact GELU between them, and nothing else.
    pub fn feeds_at_once(&self) -> bool {
        let is_plain = !self.is_gated && !self.drops_units;
        let has_biases = self.up_bias && self.down_bias;
        is_plain && has_biases && self.activation == Activation::Gelu
    }

    /// Width of the embedding tables.
    pub fn embedding_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// The longest sequence, in tokens, that there are positions for.
    pub fn max_length(&self) -> usize {
        self.positions.max_length()
    }

    /// Width of an attention head.
    pub fn head_width(&self) -> usize {
        let shared = self.hidden_size / self.num_attention_heads;
        self.head_size.unwrap_or(shared)
    }

    /// Heads of keys, and of values.
    pub fn key_heads(&self) -> usize {
        self.key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of the queries of a token, all heads of them.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_width()
    }

    /// Width of its keys, and of its values: a divisor of that of the queries.
    pub fn key_width(&self) -> usize {
        self.key_heads() * self.head_width()
    }

    /// Whether several heads of queries share keys and values.
    pub fn is_grouped(&self) -> bool {
        self.key_heads() < self.num_attention_heads
    }

    /// Whether rotary positions, if there are any, find the dimensions of a head in pairs.
    pub(crate) fn turns_whole_pairs(&self) -> bool {
        !self.is_rotary() || self.head_width().is_multiple_of(2)
    }

    /// Whether attention of a layer, from 0, reaches near tokens alone.
    pub fn is_local(&self, layer: usize) -> bool {
        self.local_of(layer).is_some()
    }

    /// The layers, from 1, that attend to all tokens.
    pub fn global_layers(&self) -> Vec<usize> {
        let layers = 0..self.num_hidden_layers;
        let global = layers.filter(|layer| !self.is_local(*layer));
        global.map(|layer| layer + 1).collect()
    }

    /// How far attention of a layer, from 0, reaches.
    pub fn reach(&self, layer: usize) -> Reach {
        let local = self.local_of(layer);
        let reach = local.map(|local| local.reach).unwrap_or_default();
        match self.is_causal {
            true => Reach {
                after: Some(0),
                ..reach
            },
            false => reach,
        }
    }

    /// The angles by which a layer, from 0, turns queries and keys, if it does.
    pub fn angles(&self, layer: usize) -> Option<Angles> {
        match self.positions {
            Positions::Rotary { angles, .. } => {
                let local = self.local_of(layer);
                Some(local.map_or(angles, |local| local.angles))
            }
            Positions::Learned { .. } | Positions::Slopes { .. } | Positions::Disentangled(_) => {
                None
            }
        }
    }

    /// Whether attention turns queries and keys by their positions.
    pub fn is_rotary(&self) -> bool {
        matches!(self.positions, Positions::Rotary { .. })
    }

    /// Whether the distance between two tokens adds to their scores.
    pub fn adds_by_distance(&self) -> bool {
        let by_itself = match self.positions {
            Positions::Slopes { .. } | Positions::Disentangled(_) => true,
            Positions::Learned { .. } | Positions::Rotary { .. } => false,
        };
        by_itself || self.distance_buckets > 0
    }

    /// How attention compares queries and keys with distances, if it does.
    pub fn disentangled(&self) -> Option<Disentangled> {
        match self.positions {
            Positions::Disentangled(how) => Some(how),
            Positions::Learned { .. } | Positions::Rotary { .. } | Positions::Slopes { .. } => None,
        }
    }

    fn local_of(&self, layer: usize) -> Option<&Local> {
        let local = self.local.as_ref();
        local.filter(|local| local.layers.contains(&layer))
    }
}
