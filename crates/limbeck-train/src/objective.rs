//! What a run minimises: the taps of student and teacher to a loss with named parts.

use burn::tensor::Tensor;
use limbeck_kernels::{Lengths, Taps, relation_loss};
use limbeck_model::ModelError;
use limbeck_recipe::{KernelChoice, Pair, Plan};

use crate::TrainError;

/// The loss of a batch, a mean over its sequences, in nats.
#[derive(Clone, Debug)]
pub struct Loss {
    /// (1): the weighted sum of the parts (eq. 5); differentiable in the student.
    pub total: Tensor<1>,
    /// (P): each part by itself, unweighted, in the order of [`RelationObjective::names`]; a constant.
    pub parts: Tensor<1>,
}

/// How far the student's relations are from the teacher's. Each pair of the plan is a part of the loss: the KL divergence
/// from the teacher's relation to the student's (eq. 6).
#[derive(Clone, Debug)]
pub struct RelationObjective {
    kernel: KernelChoice,
    pairs: Vec<(Pair, f64)>,
    heads: usize,
}

impl RelationObjective {
    /// The objective of a plan: its pairs with their weights, its relation heads and its kernel.
    pub fn new(plan: &Plan) -> Self {
        Self {
            kernel: plan.kernel,
            pairs: plan.pairs.clone(),
            heads: plan.relation_heads,
        }
    }

    /// The names of the parts, P of them: `Q-Q`, `K-K`, ...
    pub fn names(&self) -> Vec<String> {
        self.pairs
            .iter()
            .map(|(pair, _)| pair.to_string())
            .collect()
    }

    /// Compares a student's taps with its teacher's, each (B, S, H) with an H of its own. The teacher's are constants.
    ///
    /// # Errors
    /// Shapes, lengths and relation heads that do not fit together.
    pub fn loss(
        &self,
        student: &Taps,
        teacher: &Taps,
        lengths: &Lengths,
    ) -> Result<Loss, TrainError> {
        let loss = relation_loss(
            self.kernel,
            student,
            teacher,
            &self.pairs,
            lengths,
            self.heads,
        );
        let loss = loss.map_err(ModelError::from)?;
        Ok(Loss {
            total: loss.total,
            parts: loss.by_pair,
        })
    }

    /// What P parts add up to (eq. 5).
    pub fn total(&self, parts: &[f64]) -> f64 {
        let weighted = self.pairs.iter().zip(parts);
        weighted.map(|((_, weight), part)| weight * part).sum()
    }
}
