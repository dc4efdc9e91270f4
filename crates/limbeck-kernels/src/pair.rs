//! Which relations are compared: the nine pairs of eq. (5).

use std::fmt;
use std::str::FromStr;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType};
use burn::tensor::Tensor;

/// One of the three projections of self-attention (A_1, A_2, A_3 in eq. 7 and 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vector {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
}

impl Vector {
    /// In the order of the fields of [`Taps`].
    pub(crate) const ALL: [Self; 3] = [Self::Q, Self::K, Self::V];
}

/// A relation type: rows of one projection against columns of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// The projection that gives the rows (i in eq. 5).
    pub row: Vector,
    /// The projection that gives the columns (j in eq. 5).
    pub column: Vector,
}

impl Pair {
    /// Q-Q.
    pub const QQ: Self = Self {
        row: Vector::Q,
        column: Vector::Q,
    };
    /// K-K.
    pub const KK: Self = Self {
        row: Vector::K,
        column: Vector::K,
    };
    /// V-V.
    pub const VV: Self = Self {
        row: Vector::V,
        column: Vector::V,
    };
    /// Q-K, the attention distribution.
    pub const QK: Self = Self {
        row: Vector::Q,
        column: Vector::K,
    };

    /// The nine pairs, in the order of a recipe: `qq`, `qk`, `qv`, `kq`, ...
    pub fn all() -> [Self; 9] {
        std::array::from_fn(|n| Self {
            row: Vector::ALL[n / 3],
            column: Vector::ALL[n % 3],
        })
    }

    /// Whether rows and columns are the same projection.
    pub fn is_self(self) -> bool {
        self.row == self.column
    }

    /// The name in a recipe: `qq`, `qk`, ...
    pub fn key(self) -> String {
        format!("{:?}{:?}", self.row, self.column).to_lowercase()
    }
}

/// As the papers write it: `Q-Q`.
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}-{:?}", self.row, self.column)
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all()
            .into_iter()
            .find(|pair| pair.key() == text)
            .ok_or_else(|| {
                let keys = Self::all().map(Self::key).join(", ");
                format!("`{text}` is not a pair; the nine pairs are {keys}")
            })
    }
}

/// What self-attention of one layer projects: queries, keys and values, biases included, each (B, S, H).
#[derive(Clone, Debug)]
pub struct Taps {
    /// Queries (B, S, H).
    pub q: Tensor<3>,
    /// Keys (B, S, H).
    pub k: Tensor<3>,
    /// Values (B, S, H).
    pub v: Tensor<3>,
}

impl Taps {
    /// One of the three.
    pub fn get(&self, vector: Vector) -> &Tensor<3> {
        match vector {
            Vector::Q => &self.q,
            Vector::K => &self.k,
            Vector::V => &self.v,
        }
    }

    /// The same values as constants.
    pub(crate) fn without_autodiff(&self) -> Self {
        let constant = |tensor: &Tensor<3>| tensor.clone().without_autodiff();
        Self {
            q: constant(&self.q),
            k: constant(&self.k),
            v: constant(&self.v),
        }
    }
}

/// [`Taps`] as a backend has them.
#[derive(Clone, Debug, ExtensionType)]
pub(crate) struct RawTaps<B: Backend> {
    pub q: FloatTensor<B>,
    pub k: FloatTensor<B>,
    pub v: FloatTensor<B>,
}

impl<B: Backend> RawTaps<B> {
    pub fn get(&self, vector: Vector) -> &FloatTensor<B> {
        match vector {
            Vector::Q => &self.q,
            Vector::K => &self.k,
            Vector::V => &self.v,
        }
    }

    /// The same of another backend, tensor by tensor.
    pub fn map<C: Backend>(
        self,
        mut each: impl FnMut(FloatTensor<B>) -> FloatTensor<C>,
    ) -> RawTaps<C> {
        RawTaps {
            q: each(self.q),
            k: each(self.k),
            v: each(self.v),
        }
    }
}

impl From<Taps> for RawTaps<Dispatch> {
    fn from(taps: Taps) -> Self {
        Self {
            q: taps.q.into_dispatch(),
            k: taps.k.into_dispatch(),
            v: taps.v.into_dispatch(),
        }
    }
}
