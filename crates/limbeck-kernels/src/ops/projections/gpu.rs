//! The projections on a GPU: matmuls of three matrices in a launch (`ops/matmul/gpu.rs`).

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use limbeck_recipe::Mixed;

use super::{ProjectionsOps, Weights, all_three};
use crate::ops::matmul::{End, Ended, Factor, Factors, products, row};
use crate::optional::Optional;
use crate::pair::RawTaps;

type Vectors = RawTaps<CubeBackend>;

impl ProjectionsOps for CubeBackend {
    fn vectors(states: FloatTensor<Self>, by: Weights<Self>) -> Vectors {
        vectors_of(states, by, None)
    }

    fn mixed_vectors(states: FloatTensor<Self>, by: Weights<Self>, mixed: Mixed) -> Vectors {
        vectors_of(states, by, Some(mixed))
    }

    fn of_states(gradients: Vectors, weights: Vectors, added: Optional<Self>) -> FloatTensor<Self> {
        let gradients = gradients.into_array().map(Factor::stored);
        let weights = weights.into_array().map(Factor::transpose_of);
        let factors = Factors::sum(gradients, weights);
        let added = added.into_option().into_iter().collect();
        let mut sum = products(&factors, End::Plain, added, false);
        sum.swap_remove(0).0
    }

    fn of_weights(
        states: FloatTensor<Self>,
        gradients: Vectors,
        biased: bool,
    ) -> (Vectors, Option<Vectors>) {
        let end = match biased {
            true => End::ColumnSums,
            false => End::Plain,
        };
        let gradients = gradients.into_array().map(Factor::stored);
        let factors = Factors::three(Factor::transpose_of(states), gradients);
        of_three(products(&factors, end, Vec::new(), biased))
    }
}

/// Queries, keys and values, (M, N) each, in f32 or in mixed precision.
fn vectors_of(states: CubeTensor, by: Weights<CubeBackend>, mixed: Option<Mixed>) -> Vectors {
    let (weights, biases) = match by {
        Weights::Plain(weights) => (weights, Vec::new()),
        Weights::Biased(weights, biases) => (weights, biases.into_array().map(row).into()),
    };
    let weights = weights.into_array().map(Factor::stored);
    let factors = Factors::three(Factor::stored(states), weights).mixed(mixed);
    of_three(products(&factors, End::Plain, biases, false)).0
}

/// Three products, and what else their end has written, if anything: (N) each.
fn of_three(three: Vec<Ended>) -> (Vectors, Option<Vectors>) {
    let mut three = three.into_iter();
    let ended = [(); 3].map(|()| match three.next() {
        Some(ended) => ended,
        None => unreachable!("there are three products"),
    });
    let [(q, of_q), (k, of_k), (v, of_v)] = ended;
    let vector = |row: CubeTensor| {
        let width: Shape = [row.meta.num_elements()].into();
        CubeBackend::float_reshape(row, width)
    };
    let seconds = [of_q, of_k, of_v].map(|second| second.map(vector));
    (RawTaps { q, k, v }, all_three(seconds))
}
