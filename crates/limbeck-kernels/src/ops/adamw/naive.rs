//! The AdamW update as a plain composition of burn operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Scalar};

use super::AdamWScalars;

type Updated<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// (parameter, gradient, first, second) -> (parameter, first, second).
pub(super) fn update<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    scalars: AdamWScalars,
) -> Updated<B> {
    let times = |tensor, factor: f64| B::float_mul_scalar(tensor, Scalar::Float(factor));
    let (step, correction) = scalars.corrections();
    let gradient = times(gradient, scalars.gradient_scale);
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = B::float_add(
        times(first, scalars.beta1),
        times(gradient, 1.0 - scalars.beta1),
    );
    let second = B::float_add(
        times(second, scalars.beta2),
        times(square, 1.0 - scalars.beta2),
    );
    let root = times(B::float_sqrt(second.clone()), correction);
    let update = B::float_div(
        first.clone(),
        B::float_add_scalar(root, Scalar::Float(scalars.eps)),
    );
    let decayed = times(
        parameter,
        1.0 - scalars.learning_rate * scalars.weight_decay,
    );
    (B::float_sub(decayed, times(update, step)), first, second)
}
