//! The gradient of a loss, parameter by parameter.
//!
//! Gradients and the optimizer's moments are matrices, whatever their parameter is: a vector of N values is one row (1, N).
//! `as_matrix`, `take` and `put` are where the two meet.

use std::collections::BTreeMap;
use std::ops::Add;

use burn::tensor::{Device, Gradients as Backward, Tensor};
use limbeck_kernels::{Pack, pack};
use limbeck_model::{Named, ParameterMut, to_host};
use limbeck_recipe::layout::Kind;
use limbeck_recipe::{Kernels, Part};

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
    /// Names of the parameters, in the order of the run.
    parameters: Vec<String>,
    /// Their gradients.
    values: Values,
}

/// The gradients of all parameters, in the order of the run; none where the loss does not reach.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// Tensors of their own.
    Apart(Vec<Option<Tensor<2>>>),
    /// Side by side on a GPU, where what is done to all of them costs a launch and not one for each.
    Packed(Pack),
}

impl Values {
    fn scale(self, factor: f64) -> Self {
        match self {
            Self::Apart(values) => {
                let scaled = values.into_iter().map(|g| g.map(|g| g * factor));
                Self::Apart(scaled.collect())
            }
            Self::Packed(pack) => Self::Packed(pack.scale(factor)),
        }
    }

    /// Sums of squares, which add up to that of all of them.
    fn squares(&self) -> Vec<Tensor<1>> {
        match self {
            Self::Apart(values) => {
                let there = values.iter().flatten();
                there.map(|g| g.clone().square().sum()).collect()
            }
            Self::Packed(pack) => pack.squares(),
        }
    }

    fn tensors(&self) -> Vec<Option<Tensor<2>>> {
        match self {
            Self::Apart(values) => values.clone(),
            Self::Packed(pack) => pack.tensors(),
        }
    }
}

impl Add for Values {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Packed(ours), Self::Packed(theirs)) => Self::Packed(ours + theirs),
            (ours, theirs) => {
                let pairs = ours.tensors().into_iter().zip(theirs.tensors());
                let sum = pairs.map(|pair| match pair {
                    (Some(ours), Some(theirs)) => Some(ours + theirs),
                    (ours, theirs) => ours.or(theirs),
                });
                Self::Apart(sum.collect())
            }
        }
    }
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
    pub(crate) fn of(
        loss: &Loss,
        kernels: Kernels,
        parameters: Vec<(String, Kind, ParameterMut)>,
    ) -> Self {
        let mut backward = loss.total.backward();
        let (mut names, mut shapes, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (name, _, parameter) in parameters {
            names.push(name);
            shapes.push(shape(&parameter));
            values.push(remove(&parameter, &mut backward));
        }
        Self {
            names: loss.names.clone(),
            parts: loss.parts.clone(),
            parameters: names,
            values: match pack(kernels, &shapes, values) {
                Ok(pack) => Values::Packed(pack),
                Err(values) => Values::Apart(values),
            },
        }
    }

    /// Times a number. By 1 nothing is computed: not a bit would change.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        Self {
            parts: self.parts * factor,
            values: self.values.scale(factor),
            ..self
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
        let squares = self.values.squares();
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
        for (name, gradient) in self.parameters.iter().zip(self.values.tensors()) {
            if let Some(gradient) = gradient {
                read.push(Named {
                    name: name.clone(),
                    shape: gradient.dims().to_vec(),
                    values: to_host(gradient).await?,
                });
            }
        }
        Ok(read)
    }

    pub(crate) fn into_values(self) -> Values {
        self.values
    }
}

/// The sum, of losses with the same parts. A parameter without gradient on one side has the gradient of the other side.
impl Add for Gradients {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            parts: self.parts + other.parts,
            values: self.values + other.values,
            ..self
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

/// The shape of a parameter's gradient.
fn shape(parameter: &ParameterMut) -> [usize; 2] {
    match parameter {
        ParameterMut::Matrix(tensor) => tensor.dims(),
        ParameterMut::Vector(tensor) => [1, tensor.dims()[0]],
    }
}

/// Replaces a parameter by what `change` makes of its values, and tracks it from there on.
pub(crate) fn replace(mut parameter: ParameterMut, change: impl FnOnce(Tensor<2>) -> Tensor<2>) {
    let values = take(&mut parameter);
    put(parameter, change(values));
}

/// Moves a parameter's values out of their place without their graph, so that nobody else holds the buffer and it can be updated
/// there. What stands in their place is on the CPU, where it costs nothing.
pub(crate) fn take(parameter: &mut ParameterMut) -> Tensor<2> {
    fn out_of<const D: usize>(tensor: &mut Tensor<D>) -> Tensor<D> {
        let empty = Tensor::empty([0; D], &Device::flex());
        std::mem::replace(tensor, empty).without_autodiff()
    }
    match parameter {
        ParameterMut::Matrix(tensor) => out_of(tensor),
        ParameterMut::Vector(tensor) => as_matrix(out_of(tensor)),
    }
}

/// Puts values into a parameter's place, and tracks it from there on.
pub(crate) fn put(parameter: ParameterMut, values: Tensor<2>) {
    match parameter {
        ParameterMut::Matrix(tensor) => *tensor = tracked(values),
        ParameterMut::Vector(tensor) => {
            let [_, n] = values.dims();
            *tensor = tracked(values.reshape([n]));
        }
    }
}

fn tracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.autodiff().require_grad()
}
