//! Which relations are compared: the nine pairs of eq. (5), and the numbers of relation heads that fit two models.

use std::fmt;
use std::str::FromStr;

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
    /// As they are listed everywhere.
    pub const ALL: [Self; 3] = [Self::Q, Self::K, Self::V];
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

    /// The pair that a report or a run calls `Q-K`; the inverse of its `Display`.
    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|pair| pair.to_string() == name)
    }

    /// The name in a recipe: `qq`, `qk`, ...
    pub fn key(self) -> String {
        format!("{:?}{:?}", self.row, self.column).to_ascii_lowercase()
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

/// The numbers of relation heads (A_r) that divide both hidden sizes, ascending.
pub fn common_relation_heads(student: usize, teacher: usize) -> Vec<usize> {
    (1..=student.min(teacher))
        .filter(|a| student.is_multiple_of(*a) && teacher.is_multiple_of(*a))
        .collect()
}
