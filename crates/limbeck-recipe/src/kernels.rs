//! What computes each operation: a kernel of ours, or plain tensor operations.

use crate::KernelChoice;

/// An operation that has a kernel of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Rows of tables by ids, added up.
    Embedding,
    /// The relation loss.
    Relation,
    /// Self-attention.
    Attention,
    /// Exact GELU.
    Gelu,
    /// The feed-forward part of a layer: two linear layers and GELU between them.
    FeedForward,
    /// LayerNorm.
    LayerNorm,
    /// Linear layers.
    Linear,
    /// Attention's projections: three linear layers of the same states.
    Projections,
    /// The norm of gradients, and AdamW, of all parameters together.
    AdamW,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Embedding,
        Self::Relation,
        Self::Attention,
        Self::Gelu,
        Self::FeedForward,
        Self::LayerNorm,
        Self::Linear,
        Self::Projections,
        Self::AdamW,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Relation => "relation loss",
            Self::Attention => "attention",
            Self::Gelu => "GELU",
            Self::FeedForward => "feed-forward part",
            Self::LayerNorm => "LayerNorm",
            Self::Linear => "linear layers",
            Self::Projections => "attention's projections",
            Self::AdamW => "AdamW",
        }
    }
}

/// What computes each operation on a device: what the recipe says, but plain tensor operations in place of a kernel that is
/// wrong there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// A bit for each operation that is plain.
    plain: u32,
}

impl Kernels {
    /// Whether a kernel of ours computes the operation.
    pub fn has(self, operation: Operation) -> bool {
        self.plain & bit(operation) == 0
    }

    /// Computes the operation plainly from now on.
    pub fn remove(&mut self, operation: Operation) {
        self.plain |= bit(operation);
    }
}

fn bit(operation: Operation) -> u32 {
    1 << operation as u32
}

impl From<KernelChoice> for Kernels {
    fn from(choice: KernelChoice) -> Self {
        let plain = match choice {
            KernelChoice::Fused => 0,
            KernelChoice::Naive => (1 << Operation::ALL.len()) - 1,
        };
        Self { plain }
    }
}
