//! The gradient of a loss, parameter by parameter.
//!
//! Gradients and the optimizer's moments are matrices, whatever their parameter is: a vector of N values is one row (1, N).
//! `as_matrix` and `replace` are where the two meet.

use std::collections::BTreeMap;
use std::ops::Add;

use burn::tensor::{Gradients as Backward, Tensor};
use limbeck_model::{Named, ParameterMut, to_host};
use limbeck_recipe::Part;
use limbeck_recipe::layout::Kind;

use crate::TrainError;
use crate::objective::Loss;

/// A loss and its gradient. Both are means over sequences, so both add and scale alike: gradients of batches of B_1, B_2,
/// ... sequences, each scaled by B_i / (B_1 + B_2 + ...), add up to the gradient of all these sequences as one batch.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// Names of the parts of the loss, P of them; none if it has no parts but itself.
    names: Vec<Part>,
    /// (P): the parts of the loss.
    parts: Tensor<1>,
    /// Name and gradient of each parameter, in the order of the run; none where the loss does not reach.
    by_parameter: Vec<(String, Option<Tensor<2>>)>,
}

/// What a step reads back from the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The parts of the loss, unweighted.
    pub parts: BTreeMap<Part, f64>,
    /// The norm of the gradient over all parameters together.
    pub norm: f64,
}

impl Numbers {
    /// Whether none of them is infinite or not a number.
    pub fn are_finite(&self) -> bool {
        self.parts
            .values()
            .chain([&self.norm])
            .all(|x| x.is_finite())
    }
}

impl Gradients {
    /// Backpropagates a loss to the parameters that it was computed with. Its graph is gone afterwards.
    pub(crate) fn of(loss: &Loss, parameters: Vec<(String, Kind, ParameterMut)>) -> Self {
        let mut backward = loss.total.backward();
        let gradients = parameters
            .into_iter()
            .map(|(name, _, parameter)| (name, remove(&parameter, &mut backward)));
        Self {
            names: loss.names.clone(),
            parts: loss.parts.clone(),
            by_parameter: gradients.collect(),
        }
    }

    /// Times a number. By 1 nothing is computed: not a bit would change.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        let gradients = self.by_parameter.into_iter();
        let scaled = gradients.map(|(name, gradient)| (name, gradient.map(|g| g * factor)));
        Self {
            names: self.names,
            parts: self.parts * factor,
            by_parameter: scaled.collect(),
        }
    }

    /// The parts of the loss and the norm of the gradient, in one wait for the device.
    ///
    /// # Errors
    /// The device fails.
    pub async fn numbers(&self) -> Result<Numbers, TrainError> {
        let (parts, norm) = self.loss_and_norm().await?;
        Ok(Numbers {
            parts: self.names.iter().copied().zip(parts).collect(),
            norm,
        })
    }

    /// The parts of the loss in their order, whether they have names or not, and the norm of the gradient.
    pub(crate) async fn loss_and_norm(&self) -> Result<(Vec<f64>, f64), TrainError> {
        let count = self.parts.dims()[0];
        let gradients = self.by_parameter.iter().filter_map(|(_, g)| g.as_ref());
        let squares = gradients.map(|gradient| gradient.clone().square().sum());
        let all = [self.parts.clone()].into_iter().chain(squares).collect();
        let values = to_host(Tensor::cat(all, 0)).await?;
        let (parts, squares) = values.split_at(count);
        let sum: f64 = squares.iter().map(|x| f64::from(*x)).sum();
        Ok((parts.iter().map(|x| f64::from(*x)).collect(), sum.sqrt()))
    }

    /// Every gradient on the host; parameters without one are left out. Shapes are those on the device: the weight of a
    /// linear layer is (in, out), a vector of N values is (1, N).
    ///
    /// # Errors
    /// The device fails.
    pub async fn read(&self) -> Result<Vec<Named>, TrainError> {
        let mut read = Vec::new();
        for (name, gradient) in &self.by_parameter {
            if let Some(gradient) = gradient {
                read.push(Named {
                    name: name.clone(),
                    shape: gradient.dims().to_vec(),
                    values: to_host(gradient.clone()).await?,
                });
            }
        }
        Ok(read)
    }

    /// One for each parameter, in the order of the run.
    pub(crate) fn into_values(self) -> impl Iterator<Item = Option<Tensor<2>>> {
        self.by_parameter.into_iter().map(|(_, gradient)| gradient)
    }
}

/// The sum, of losses with the same parts. A parameter without gradient on one side has the gradient of the other side.
impl Add for Gradients {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let pairs = self.by_parameter.into_iter().zip(other.by_parameter);
        let sum = pairs.map(|((name, ours), (_, theirs))| {
            let sum = match (ours, theirs) {
                (Some(ours), Some(theirs)) => Some(ours + theirs),
                (ours, theirs) => ours.or(theirs),
            };
            (name, sum)
        });
        Self {
            names: self.names,
            parts: self.parts + other.parts,
            by_parameter: sum.collect(),
        }
    }
}

fn remove(parameter: &ParameterMut, backward: &mut Backward) -> Option<Tensor<2>> {
    match parameter {
        ParameterMut::Matrix(tensor) => tensor.grad_remove(backward),
        ParameterMut::Vector(tensor) => tensor.grad_remove(backward).map(as_matrix),
    }
}

/// (N) to (1, N).
fn as_matrix(vector: Tensor<1>) -> Tensor<2> {
    let [n] = vector.dims();
    vector.reshape([1, n])
}

/// Replaces a parameter by what `change` makes of its values, and tracks it from there on.
pub(crate) fn replace(parameter: ParameterMut, change: impl FnOnce(Tensor<2>) -> Tensor<2>) {
    match parameter {
        ParameterMut::Matrix(tensor) => *tensor = tracked(change(take(tensor))),
        ParameterMut::Vector(tensor) => {
            let [n] = tensor.dims();
            let changed = change(as_matrix(take(tensor)));
            *tensor = tracked(changed.reshape([n]));
        }
    }
}

/// Moves a parameter out of its place without its graph, so that nobody else holds its buffer and it can be updated there.
fn take<const D: usize>(tensor: &mut Tensor<D>) -> Tensor<D> {
    let empty = Tensor::empty([0; D], &tensor.device().without_autodiff());
    std::mem::replace(tensor, empty).without_autodiff()
}

fn tracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.autodiff().require_grad()
}
