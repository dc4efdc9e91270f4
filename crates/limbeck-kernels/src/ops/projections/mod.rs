//! The projections of self-attention, to queries, keys and values, as one operation. They read the same states: on a GPU one launch
//! computes all three, and on the way back one the gradient of the states, to which each projection adds its part, and one the
//! gradients of all weights and biases. Elsewhere it is made of the operations that it stands for, which need no `cpu.rs`.
//!
//! The states leave the operation again beside the vectors. What else is done with them, such as adding what attention gives,
//! reads them from there: then all of their gradient comes through here, and is added up where it is computed.

#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Mixed, Operation};

use crate::Taps;
use crate::graph::differentiable_parts;
use crate::ops::matmul::{MatmulOps, gradient_of_input};
use crate::ops::mixed::rounded;
use crate::optional::Optional;
use crate::pair::RawTaps;

/// Weights to queries, keys and values, (H, N) each, and their biases (N), if they have any.
#[derive(Clone, Debug)]
pub struct Projections {
    /// The weights.
    pub weights: [Tensor<2>; 3],
    /// The biases.
    pub biases: Option<[Tensor<1>; 3]>,
}

/// Queries, keys and values, (B, S, N) each, of states (B, S, H), and the states again, for whoever else reads them; differentiable in
/// all, or in mixed precision where the kernels say so and nothing can be differentiated. The weights are parameters, not results of
/// other operations: those of a vector that no loss reaches have no gradient.
///
/// # Panics
/// If the sizes do not fit.
pub fn projections(
    kernels: impl Into<Kernels>,
    states: Tensor<3>,
    by: Projections,
) -> (Taps, Tensor<3>) {
    let kernels = kernels.into();
    let ([b, s, h], [_, n]) = (states.dims(), by.weights[0].dims());
    for weight in &by.weights {
        assert_eq!(weight.dims(), [h, n], "weights and the last axis of states");
    }
    for bias in by.biases.iter().flatten() {
        assert_eq!(bias.dims(), [n], "a bias and columns of weights");
    }
    if !kernels.has(Operation::Projections) {
        return naive::projections(kernels, states, by);
    }
    let rows = states.reshape([b * s, h]);
    let weights = by.weights.map(Tensor::into_dispatch);
    let weights = RawTaps::new(weights);
    let weights = match by.biases {
        Some(biases) => Weights::Biased(weights, RawTaps::new(biases.map(Tensor::into_dispatch))),
        None => Weights::Plain(weights),
    };
    let taps = |vectors: RawTaps<Dispatch>| {
        let [q, k, v] = vectors.into_array().map(|rows| {
            let rows: Tensor<2> = Tensor::from_dispatch(rows);
            rows.reshape([b, s, n])
        });
        Taps { q, k, v }
    };
    if let Some(mixed) = kernels.mixed() {
        let states = rows.clone().into_dispatch();
        let vectors = <Dispatch as ProjectionsOps>::mixed_vectors(states, weights, mixed);
        return (taps(vectors), rows.reshape([b, s, h]));
    }
    let (vectors, states) =
        <Dispatch as ProjectionsOps>::projections(rows.into_dispatch(), weights);
    let states: Tensor<2> = Tensor::from_dispatch(states);
    (taps(vectors), states.reshape([b, s, h]))
}

/// Weights (H, N), as a backend has them.
#[derive(Clone, Debug, ExtensionType)]
pub(crate) enum Weights<B: Backend> {
    Plain(#[extension_type] RawTaps<B>),
    /// And biases (N).
    Biased(#[extension_type] RawTaps<B>, #[extension_type] RawTaps<B>),
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
pub(crate) trait ProjectionsOps: MatmulOps {
    /// States (M, H) -> queries, keys and values, (M, N) each.
    fn vectors(states: FloatTensor<Self>, #[extension_type] by: Weights<Self>) -> RawTaps<Self> {
        match by {
            Weights::Plain(weights) => {
                weights.map::<Self>(|weight| Self::matmul(states.clone(), weight))
            }
            Weights::Biased(weights, biases) => {
                let [q, k, v] = weights.into_array();
                let [of_q, of_k, of_v] = biases.into_array();
                let of = |weight, bias| Self::biased_matmul(states.clone(), weight, bias);
                RawTaps::new([of(q, of_q), of(k, of_k), of(v, of_v)])
            }
        }
    }

    /// The same in mixed precision.
    fn mixed_vectors(
        states: FloatTensor<Self>,
        #[extension_type] by: Weights<Self>,
        mixed: Mixed,
    ) -> RawTaps<Self>;

    /// The gradient of the states, (M, H), from those of queries, keys and values, and what is added to it, (M, H).
    fn of_states(
        #[extension_type] gradients: RawTaps<Self>,
        #[extension_type] weights: RawTaps<Self>,
        #[extension_type] added: Optional<Self>,
    ) -> FloatTensor<Self> {
        let [q, k, v] = gradients.into_array();
        let [of_q, of_k, of_v] = weights.into_array();
        let sum = gradient_of_input::<Self>(q, of_q, added.into_option());
        let sum = gradient_of_input::<Self>(k, of_k, Some(sum));
        gradient_of_input::<Self>(v, of_v, Some(sum))
    }

    /// The gradients of weights (H, N), and of biases (N) if they are wanted, from those of queries, keys and values.
    fn of_weights(
        states: FloatTensor<Self>,
        #[extension_type] gradients: RawTaps<Self>,
        biased: bool,
    ) -> (RawTaps<Self>, Option<RawTaps<Self>>) {
        let of = |gradient: FloatTensor<Self>| of_one::<Self>(states.clone(), gradient, biased);
        let [(q, of_q), (k, of_k), (v, of_v)] = gradients.into_array().map(of);
        (RawTaps { q, k, v }, all_three([of_q, of_k, of_v]))
    }

    /// Vectors (M, N) and states (M, H); differentiable in all tensors.
    fn projections(
        states: FloatTensor<Self>,
        #[extension_type] by: Weights<Self>,
    ) -> (RawTaps<Self>, FloatTensor<Self>) {
        (Self::vectors(states.clone(), by), states)
    }
}

/// What may be missing, of queries, keys and values.
type Some3<B> = [Option<FloatTensor<B>>; 3];

/// None if any is missing.
fn all_three<B: Backend>([q, k, v]: Some3<B>) -> Option<RawTaps<B>> {
    Some(RawTaps::new([q?, k?, v?]))
}

/// The gradients of one weight, and of its bias if it is wanted.
fn of_one<B: MatmulOps>(
    states: FloatTensor<B>,
    gradient: FloatTensor<B>,
    biased: bool,
) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
    if biased {
        let (of_weight, of_bias) = B::weight_gradients(states, gradient);
        return (of_weight, Some(of_bias));
    }
    (B::matmul(B::float_transpose(states), gradient), None)
}

impl ProjectionsOps for Flex {
    fn mixed_vectors(states: FloatTensor<Self>, by: Weights<Self>, _: Mixed) -> RawTaps<Self> {
        let by = match by {
            Weights::Plain(weights) => Weights::Plain(weights.map::<Self>(rounded)),
            Weights::Biased(weights, biases) => {
                Weights::Biased(weights.map::<Self>(rounded), biases)
            }
        };
        Self::vectors(rounded(states), by)
    }
}

impl<B: Backend + ProjectionsOps, C: CheckpointStrategy> ProjectionsOps for Autodiff<B, C> {
    fn vectors(_: FloatTensor<Self>, _: Weights<Self>) -> RawTaps<Self> {
        unreachable!("what is differentiable comes with the states")
    }

    fn mixed_vectors(states: FloatTensor<Self>, by: Weights<Self>, _: Mixed) -> RawTaps<Self> {
        Self::projections(states, by).0
    }

    fn of_states(_: RawTaps<Self>, _: RawTaps<Self>, _: Optional<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn of_weights(
        _: FloatTensor<Self>,
        _: RawTaps<Self>,
        _: bool,
    ) -> (RawTaps<Self>, Option<RawTaps<Self>>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn projections(
        states: FloatTensor<Self>,
        by: Weights<Self>,
    ) -> (RawTaps<Self>, FloatTensor<Self>) {
        let outputs = match by {
            Weights::Plain(RawTaps { q, k, v }) => differentiable_parts::<B, C, (), 4, 4>(
                [states, q, k, v],
                |[states, q, k, v]| {
                    let by = Weights::Plain(RawTaps { q, k, v });
                    (outputs::<B>(states, by), ())
                },
                |[states, q, k, v], (), of_outputs, [wanted, ..]| {
                    let weights = [q, k, v];
                    let (of_states, [q, k, v], _) =
                        gradients::<B>(states, weights, of_outputs, wanted, false);
                    [of_states, q, k, v]
                },
            ),
            Weights::Biased(weights, biases) => {
                let [q, k, v] = weights.into_array();
                let [of_q, of_k, of_v] = biases.into_array();
                differentiable_parts::<B, C, (), 7, 4>(
                    [states, q, k, v, of_q, of_k, of_v],
                    |[states, q, k, v, of_q, of_k, of_v]| {
                        let (weights, biases) = ([q, k, v], [of_q, of_k, of_v]);
                        let by = Weights::Biased(RawTaps::new(weights), RawTaps::new(biases));
                        (outputs::<B>(states, by), ())
                    },
                    |[states, q, k, v, ..], (), of_outputs, [wanted, ..]| {
                        let weights = [q, k, v];
                        let (of_states, [q, k, v], [of_q, of_k, of_v]) =
                            gradients::<B>(states, weights, of_outputs, wanted, true);
                        [of_states, q, k, v, of_q, of_k, of_v]
                    },
                )
            }
        };
        let [q, k, v, states] = outputs;
        (RawTaps { q, k, v }, states)
    }
}

/// Queries, keys, values and states.
fn outputs<B: ProjectionsOps>(states: FloatTensor<B>, by: Weights<B>) -> [FloatTensor<B>; 4] {
    let [q, k, v] = B::vectors(states.clone(), by).into_array();
    [q, k, v, states]
}

/// The gradients of states, if it is wanted, of weights and of biases, from those of queries, keys, values and states.
fn gradients<B: ProjectionsOps>(
    states: FloatTensor<B>,
    weights: [FloatTensor<B>; 3],
    of_outputs: [Option<FloatTensor<B>>; 4],
    wanted: bool,
    biased: bool,
) -> (Option<FloatTensor<B>>, Some3<B>, Some3<B>) {
    let [q, k, v, passed] = of_outputs;
    let some = match (q, k, v) {
        (Some(q), Some(k), Some(v)) => {
            let of_vectors = RawTaps { q, k, v };
            let weights = RawTaps::new(weights);
            let of_states =
                wanted.then(|| B::of_states(of_vectors.clone(), weights, passed.into()));
            let (of_weights, of_biases) = B::of_weights(states, of_vectors, biased);
            let of_biases = of_biases.map_or([const { None }; 3], |of| of.into_array().map(Some));
            return (of_states, of_weights.into_array().map(Some), of_biases);
        }
        (q, k, v) => [q, k, v],
    };
    // No pair of the loss uses the others.
    let (mut of_states, mut of_weights, mut of_biases) =
        (passed, [const { None }; 3], [const { None }; 3]);
    for (at, (gradient, weight)) in some.into_iter().zip(weights).enumerate() {
        let Some(gradient) = gradient else { continue };
        if wanted {
            of_states = Some(gradient_of_input::<B>(gradient.clone(), weight, of_states));
        }
        let (of_weight, of_bias) = of_one::<B>(states.clone(), gradient, biased);
        (of_weights[at], of_biases[at]) = (Some(of_weight), of_bias);
    }
    (of_states, of_weights, of_biases)
}
