//! The parts that a loss adds up from, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Pair;

/// A part of the loss. Each is a mean over the sequences of a batch, and 0 if the student does as its teacher does.
///
/// The parts but the first are those of the output stage. They compare what comes out of the models: hidden states of the
/// last layer, and the vector of a sentence, which is pooled from them as the teacher's folder says, by their mean over its
/// real tokens if it says nothing. Two of them compare the sentences of a batch with each other; where batches are
/// accumulated, these are the sentences of each batch by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Part {
    /// KL of the token-to-token relations of a pair, in nats (eq. 6).
    Relation(Pair),
    /// KL of the relations among the sentences of a batch, in nats: the relation loss, with a batch as one sequence and its
    /// vectors as the tokens.
    SentenceRelation,
    /// 1 - cosine of the student's vector and the teacher's.
    Cosine,
    /// Mean squared difference of the student's vector and the teacher's.
    L2,
    /// Mean squared difference of the cosines between all vectors of a batch.
    Similarity,
    /// Mean squared difference of the last hidden states, over real tokens.
    Hidden,
}

impl Part {
    /// The parts of the output stage, as they are listed everywhere.
    pub const OUTPUT: [Self; 5] = [
        Self::SentenceRelation,
        Self::Cosine,
        Self::L2,
        Self::Similarity,
        Self::Hidden,
    ];

    /// The pair whose relations it compares, if it does.
    pub fn pair(self) -> Option<Pair> {
        match self {
            Self::Relation(pair) => Some(pair),
            _ => None,
        }
    }

    /// What its value is, for whoever sees it beside parts of other units.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Relation(_) | Self::SentenceRelation => "KL in nats",
            Self::Cosine => "1 \u{2212} cosine",
            Self::L2 | Self::Hidden => "mean square",
            Self::Similarity => "mean square of cosines",
        }
    }
}

/// `Q-Q` for the relations of a pair, `cosine` and the like for the others: the recipe's name of their weight.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relation(pair) => pair.fmt(f),
            Self::SentenceRelation => f.pad("sentence_relation"),
            Self::Cosine => f.pad("cosine"),
            Self::L2 => f.pad("l2"),
            Self::Similarity => f.pad("similarity"),
            Self::Hidden => f.pad("hidden"),
        }
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let output = || {
            Self::OUTPUT
                .into_iter()
                .find(|part| part.to_string() == name)
        };
        let part = Pair::named(&name).map(Self::Relation).or_else(output);
        part.ok_or_else(|| format!("`{name}` is no part of a loss"))
    }
}
