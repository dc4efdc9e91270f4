//! AdamW with PyTorch's semantics, its state by parameter name so that a checkpoint can hold it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use limbeck_kernels::{AdamWMoments, AdamWScalars, adamw};

use limbeck_recipe::Recipe;

/// Moments of one parameter and how often it was updated.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Matrix(u64, AdamWMoments<2>),
    Vector(u64, AdamWMoments<1>),
}

/// The optimizer of a run. Parameters that get no gradient are left alone, weight decay included, as PyTorch does.
#[derive(Clone, Debug)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    pub(crate) states: BTreeMap<String, State>,
}

/// One parameter's step.
pub(crate) struct Update<'a> {
    pub name: &'a str,
    pub decays: bool,
    pub learning_rate: f64,
    pub gradient_scale: f64,
}

impl AdamW {
    /// With the numbers of a recipe.
    pub fn new(recipe: &Recipe) -> Self {
        let Recipe {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            ..
        } = *recipe;
        Self {
            beta1,
            beta2,
            eps: epsilon,
            weight_decay,
            states: BTreeMap::new(),
        }
    }

    fn scalars(&self, update: &Update, time: u64) -> AdamWScalars {
        AdamWScalars {
            learning_rate: update.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: if update.decays {
                self.weight_decay
            } else {
                0.0
            },
            time,
            gradient_scale: update.gradient_scale,
        }
    }

    pub(crate) fn matrix(
        &mut self,
        update: &Update,
        parameter: Tensor<2>,
        gradient: Tensor<2>,
    ) -> Tensor<2> {
        let (time, moments) = match self.states.remove(update.name) {
            Some(State::Matrix(time, moments)) => (time + 1, moments),
            _ => (1, fresh(&gradient)),
        };
        let (parameter, moments) = adamw(parameter, gradient, moments, self.scalars(update, time));
        self.states
            .insert(update.name.to_owned(), State::Matrix(time, moments));
        parameter
    }

    pub(crate) fn vector(
        &mut self,
        update: &Update,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
    ) -> Tensor<1> {
        let (time, moments) = match self.states.remove(update.name) {
            Some(State::Vector(time, moments)) => (time + 1, moments),
            _ => (1, fresh(&gradient)),
        };
        let (parameter, moments) = adamw(parameter, gradient, moments, self.scalars(update, time));
        self.states
            .insert(update.name.to_owned(), State::Vector(time, moments));
        parameter
    }
}

fn fresh<const D: usize>(like: &Tensor<D>) -> AdamWMoments<D> {
    AdamWMoments {
        first: like.zeros_like(),
        second: like.zeros_like(),
    }
}
