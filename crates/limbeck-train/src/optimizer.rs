//! AdamW with PyTorch's semantics, its state by parameter name so that a checkpoint can hold it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use limbeck_kernels::{AdamWMoments, AdamWParameter, AdamWScalars, Pack, adamw, adamw_all};
use limbeck_model::ParameterMut;
use limbeck_recipe::Recipe;
use limbeck_recipe::layout::Kind;

use crate::gradients::{Gradients, Values, put, replace, take};

/// What AdamW remembers of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Updates of the parameter so far. 0 where it lies beside others that have had one.
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
    /// By name of the parameter; those that never had a gradient are not in it, or have had no update.
    pub states: BTreeMap<String, State>,
}

/// What a step says to every parameter.
pub(crate) struct Pace {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Each gradient is scaled by this first (clipping).
    pub gradient_scale: f64,
}

/// What clipping scales a gradient of this norm by; a `clip` of 0 turns it off. As torch.nn.utils.clip_grad_norm_:
/// clip / (norm + 1e-6), never up.
pub(crate) fn clip_scale(clip: f64, norm: f64) -> f64 {
    match clip > 0.0 {
        true => (clip / (norm + 1e-6)).min(1.0),
        false => 1.0,
    }
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

    /// Updates each parameter that has a gradient, and tracks it from there on.
    pub fn step(
        &mut self,
        pace: &Pace,
        parameters: Vec<(String, Kind, ParameterMut)>,
        gradients: Gradients,
    ) {
        let gradients = match gradients.into_values() {
            Values::Apart(gradients) => gradients,
            Values::Packed(gradients) => return self.step_packed(pace, parameters, gradients),
        };
        for ((name, kind, parameter), gradient) in parameters.into_iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            replace(parameter, |values| {
                self.update(name, kind, pace, values, gradient)
            });
        }
    }

    /// Updates those parameters together whose gradients lie side by side. All of them move to where they lie side by side too.
    fn step_packed(
        &mut self,
        pace: &Pace,
        mut parameters: Vec<(String, Kind, ParameterMut)>,
        gradients: Pack,
    ) {
        let (mut taken, mut updates) = (Vec::new(), Vec::new());
        for ((name, kind, parameter), reached) in parameters.iter_mut().zip(gradients.present()) {
            let state = self.states.remove(name);
            let so_far = state.as_ref().map_or(0, |state| state.updates);
            updates.push(so_far + u64::from(reached));
            taken.push(AdamWParameter {
                values: take(parameter),
                moments: state.map(|state| state.moments),
                time: so_far + 1,
                decays: kind.decays(),
            });
        }
        let updated = adamw_all(taken, gradients, self.scalars(pace, true, 1));
        let updated = updated.into_iter().zip(updates);
        for ((name, _, parameter), ((values, moments), updates)) in
            parameters.into_iter().zip(updated)
        {
            put(parameter, values);
            self.states.insert(name, State { updates, moments });
        }
    }

    /// Of the update number `time`, from 1, of a parameter.
    fn scalars(&self, pace: &Pace, decays: bool, time: u64) -> AdamWScalars {
        AdamWScalars {
            learning_rate: pace.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
            time,
            gradient_scale: pace.gradient_scale,
        }
    }

    /// Updates the values of one parameter; all tensors have one shape.
    fn update(
        &mut self,
        name: String,
        kind: Kind,
        pace: &Pace,
        values: Tensor<2>,
        gradient: Tensor<2>,
    ) -> Tensor<2> {
        let State { updates, moments } = self.states.remove(&name).unwrap_or_else(|| State {
            updates: 0,
            moments: AdamWMoments {
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            },
        });
        let updates = updates + 1;
        let scalars = self.scalars(pace, kind.decays(), updates);
        let (values, moments) = adamw(values, gradient, moments, scalars);
        self.states.insert(name, State { updates, moments });
        values
    }
}
