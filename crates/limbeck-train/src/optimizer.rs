//! AdamW with PyTorch's semantics, its state by parameter name so that a checkpoint can hold it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use limbeck_kernels::{AdamWMoments, AdamWScalars, adamw};
use limbeck_recipe::Recipe;

/// What AdamW remembers of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Updates of the parameter so far.
    pub updates: u64,
    /// Running means of its gradient, (rows, columns); (1, N) for a vector.
    pub moments: AdamWMoments<2>,
}

/// The optimizer of a run. Parameters that get no gradient are left alone, weight decay included, as PyTorch does.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    /// By name of the parameter; those that never had a gradient are not in it.
    pub states: BTreeMap<String, State>,
}

/// How one parameter is updated in one step.
pub(crate) struct Update<'a> {
    /// The parameter.
    pub name: &'a str,
    /// Whether weight decay applies to it.
    pub decays: bool,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// The gradient is scaled by this first (clipping).
    pub gradient_scale: f64,
}

impl AdamW {
    /// With the betas, epsilon and weight decay of a recipe.
    pub fn new(recipe: &Recipe) -> Self {
        Self {
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            eps: recipe.epsilon,
            weight_decay: recipe.weight_decay,
            states: BTreeMap::new(),
        }
    }

    /// Updates the values of one parameter; all tensors have one shape.
    pub fn update(&mut self, update: &Update, values: Tensor<2>, gradient: Tensor<2>) -> Tensor<2> {
        let State { updates, moments } = self.states.remove(update.name).unwrap_or_else(|| State {
            updates: 0,
            moments: AdamWMoments {
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            },
        });
        let updates = updates + 1;
        let scalars = AdamWScalars {
            learning_rate: update.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: if update.decays {
                self.weight_decay
            } else {
                0.0
            },
            time: updates,
            gradient_scale: update.gradient_scale,
        };
        let (values, moments) = adamw(values, gradient, moments, scalars);
        self.states
            .insert(update.name.to_owned(), State { updates, moments });
        values
    }
}
