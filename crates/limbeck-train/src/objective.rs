//! What a step minimises: what teacher and student make of a batch, to a loss with named parts.

use burn::tensor::Tensor;
use limbeck_kernels::{Lengths, Taps, relation_loss};
use limbeck_model::ModelError;
use limbeck_recipe::{Kernels, Pair, Part, Plan, Pooling, Vector};

use crate::TrainError;
use crate::output::Outputs;

/// What a model makes of a batch, as far as a loss compares it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Queries, keys and values of the layer that is compared, each (B, S, H); a teacher's keys and values may be narrower.
    pub taps: Taps,
    /// Hidden states of the last layer, (B, S, H); only the output stage compares them.
    pub states: Option<Tensor<3>>,
}

/// The loss of a batch, a mean over its sequences.
#[derive(Clone, Debug)]
pub struct Loss {
    /// (1): the weighted sum of the parts; differentiable in the student.
    pub total: Tensor<1>,
    /// The names of the parts, P of them.
    pub names: Vec<Part>,
    /// (P): each part by itself, unweighted, in the order of the names; a constant.
    pub parts: Tensor<1>,
}

/// How far a student is from its teacher, in parts that have names and weights: the KL divergence from the teacher's relation
/// to the student's for each pair (eq. 6), and in the output stage differences of what comes out of the models.
#[derive(Clone, Debug)]
pub struct Objective {
    kernels: Kernels,
    heads: usize,
    /// Width of an attention head of the teacher.
    teacher_head: usize,
    pairs: Vec<(Pair, f64)>,
    output: Vec<(Part, f64)>,
    pooling: Pooling,
}

impl Objective {
    /// What a step of a plan, from 1, minimises.
    pub fn of_step(plan: &Plan, step: u64) -> Self {
        Self::new(plan, &plan.weights(step))
    }

    /// The relations of all nine pairs, and the plan's parts of the output stage, whatever steps they belong to; each with
    /// weight 1. For evaluation: pairs that are not trained show what the trained ones leave open.
    pub fn of_evaluation(plan: &Plan) -> Self {
        let output = plan.parts().into_iter();
        let output = output.filter(|part| part.pair().is_none());
        let parts = Pair::all().into_iter().map(Part::Relation).chain(output);
        let parts: Vec<(Part, f64)> = parts.map(|part| (part, 1.0)).collect();
        Self::new(plan, &parts)
    }

    fn new(plan: &Plan, weights: &[(Part, f64)]) -> Self {
        let pair = |(part, weight): &(Part, f64)| Some((part.pair()?, *weight));
        let output = weights.iter().filter(|(part, _)| part.pair().is_none());
        let stage = plan.output.as_ref();
        Self {
            kernels: plan.kernels,
            heads: plan.relation_heads,
            teacher_head: plan.teacher.head_width(),
            pairs: weights.iter().filter_map(pair).collect(),
            output: output.copied().collect(),
            pooling: stage.map_or_else(Pooling::default, |stage| stage.pooling.clone()),
        }
    }

    /// Whether the last hidden states are compared.
    pub fn needs_states(&self) -> bool {
        !self.output.is_empty()
    }

    /// Compares what a student makes of a batch with what its teacher makes of it. The teacher's tensors are constants. `map`
    /// (H of the student, H of the teacher) takes the student's vectors to the teacher's where their widths differ.
    ///
    /// # Errors
    /// Shapes, lengths and relation heads that do not fit together, or no states where they are compared.
    pub fn loss(
        &self,
        student: &Reading,
        teacher: &Reading,
        map: Option<&Tensor<2>>,
        lengths: &Lengths,
    ) -> Result<Loss, TrainError> {
        let (mut totals, mut names, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (teacher, pairs) in self.sides(&teacher.taps) {
            let (student, pairs) = (&student.taps, &pairs);
            let loss = relation_loss(self.kernels, student, &teacher, pairs, lengths, self.heads)
                .map_err(ModelError::from)?;
            totals.push(loss.total);
            names.extend(pairs.iter().map(|(pair, _)| Part::Relation(*pair)));
            parts.push(loss.by_pair);
        }
        if self.needs_states() {
            let (Some(student), Some(teacher)) = (&student.states, &teacher.states) else {
                return Err(TrainError::NoStates);
            };
            let outputs = Outputs::new(student, teacher, map, lengths, &self.pooling);
            for (part, weight) in &self.output {
                let value = outputs.part(*part, self.kernels, self.heads)?;
                names.push(*part);
                parts.push(value.clone().without_autodiff());
                totals.push(value * *weight);
            }
        }
        let total = totals.into_iter().reduce(|sum, total| sum + total);
        Ok(Loss {
            total: total.ok_or(TrainError::NoPart)?,
            names,
            parts: Tensor::cat(parts, 0),
        })
    }

    /// The teacher's vectors, all of one width, with the pairs that compare them so. Of grouped queries: keys and values as wide as
    /// queries in the pairs with these, as attention has them, and as they are in the others.
    fn sides(&self, teacher: &Taps) -> Vec<(Taps, Vec<(Pair, f64)>)> {
        let is_of_queries =
            |(pair, _): &(Pair, f64)| pair.row == Vector::Q || pair.column == Vector::Q;
        let pairs = self.pairs.iter().copied();
        let sides = match teacher.q.dims() == teacher.k.dims() {
            true => vec![(teacher.clone(), pairs.collect())],
            false => {
                let (of_queries, others): (Vec<_>, Vec<_>) = pairs.partition(is_of_queries);
                // No pair of the others compares queries: keys stand in their place.
                let narrow = Taps {
                    q: teacher.k.clone(),
                    ..teacher.clone()
                };
                let wide = teacher.clone().widened(self.teacher_head);
                vec![(wide, of_queries), (narrow, others)]
            }
        };
        let sides = sides.into_iter();
        sides.filter(|(_, pairs)| !pairs.is_empty()).collect()
    }
}
