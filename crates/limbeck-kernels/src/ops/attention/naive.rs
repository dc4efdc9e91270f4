//! Attention as a plain composition of burn operations: the baseline, which keeps S x S tensors.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::dims::MASKED;
use crate::dropout::DropoutMask;
use crate::{Lengths, Taps};

/// (B, S, H) from queries, keys and values (B, S, H).
pub(super) fn attention(
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let [b, s, h] = taps.q.dims();
    let d = h / heads;
    let split = |x: Tensor<3>| x.reshape([b, s, heads, d]).swap_dims(1, 2);
    let query = split(taps.q.mul_scalar(1.0 / (d as f64).sqrt()));
    let mut scores = query.matmul(split(taps.k).swap_dims(2, 3));
    if !lengths.all_full() {
        scores = scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s]);
    }
    let mut probabilities = softmax(scores, 3);
    if let Some(mask) = dropout {
        let factors = mask.tensor([b, heads, s, s], &probabilities.device());
        probabilities = probabilities * factors;
    }
    probabilities
        .matmul(split(taps.v))
        .swap_dims(1, 2)
        .reshape([b, s, h])
}
