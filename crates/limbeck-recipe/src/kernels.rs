//! What computes each operation: a kernel of ours, or plain tensor operations.

use crate::{Compute, KernelChoice};

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
    /// Linear layers in mixed precision. Without it they are computed in f32.
    Mixed,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Embedding,
        Self::Relation,
        Self::Attention,
        Self::Gelu,
        Self::FeedForward,
        Self::LayerNorm,
        Self::Linear,
        Self::Projections,
        Self::AdamW,
        Self::Mixed,
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
            Self::Mixed => "mixed precision",
        }
    }
}

/// What multiplies numbers of 16 bits (f16) and adds up in 32 (f32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixed {
    /// Any GPU, at the speed of f32: numbers are rounded and multiplied as f32.
    Portable,
    /// Cooperative matrices of 16 by 16.
    Cooperative,
}

impl Compute {
    /// What multiplies on a device in mixed precision, if anything does.
    pub fn on(self, is_gpu: bool, has_cooperative_matrices: bool) -> Option<Mixed> {
        match self {
            Self::Auto | Self::Mixed if is_gpu && has_cooperative_matrices => {
                Some(Mixed::Cooperative)
            }
            Self::Mixed if is_gpu => Some(Mixed::Portable),
            Self::Auto | Self::F32 | Self::Mixed => None,
        }
    }
}

/// What computes each operation on a device: what the recipe says, but plain tensor operations in place of a kernel that is
/// wrong there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// A bit for each operation that is plain.
    plain: u32,
    /// How linear layers multiply, if not in f32.
    mixed: Option<Mixed>,
}

impl Kernels {
    /// Whether a kernel of ours computes the operation.
    pub fn has(self, operation: Operation) -> bool {
        self.plain & bit(operation) == 0
    }

    /// The same, with linear layers in mixed precision, if any is given and nothing is wrong with it: forward only, in all of a model
    /// that nothing differentiates.
    #[must_use]
    pub fn mixing(self, mixed: Option<Mixed>) -> Self {
        Self { mixed, ..self }
    }

    /// What multiplies in linear layers in mixed precision; none where they are f32.
    pub fn mixed(self) -> Option<Mixed> {
        self.mixed.filter(|_| self.has(Operation::Mixed))
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
        Self { plain, mixed: None }
    }
}
