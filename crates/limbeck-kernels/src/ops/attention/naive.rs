//! Attention as a plain composition of burn operations: the baseline, which keeps S x S tensors.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use limbeck_recipe::Reach;

use super::Attending;
use crate::dims::MASKED;
use crate::dropout::DropoutMask;
use crate::{Lengths, Taps};

/// (B, S, H) from queries, keys and values (B, S, H).
pub(super) fn attention(
    taps: Taps,
    lengths: &Lengths,
    heads: usize,
    how: Attending,
    dropout: Option<DropoutMask>,
) -> Tensor<3> {
    let Taps { mut q, mut k, v } = taps;
    let [b, s, h] = q.dims();
    let d = h / heads;
    if let Some(rotation) = &how.rotation {
        [q, k] = [q, k].map(|x| rotation.rotate(x, heads));
    }
    let split = |x: Tensor<3>| x.reshape([b, s, heads, d]).swap_dims(1, 2);
    let query = split(q.mul_scalar(1.0 / (d as f64).sqrt()));
    let mut scores = query.matmul(split(k).swap_dims(2, 3));
    if let Some(bias) = how.bias {
        scores = scores + by_distance(bias, s);
    }
    if !how.reach.sees_all(s) {
        let added = out_of_reach(how.reach, s, &scores.device());
        scores = scores + added;
    }
    if !lengths.all_full() {
        scores = scores + lengths.mask(0.0, MASKED).reshape([b, 1, 1, s]);
    }
    let mut probabilities = softmax(scores, 3);
    if let Some(mask) = dropout {
        let factors = mask.tensor([b, heads, s, s], &probabilities.device());
        probabilities = probabilities * factors;
    }
    probabilities
        .matmul(split(v))
        .swap_dims(1, 2)
        .reshape([b, s, h])
}

/// The bias of each query and key, (1, A, S, S), from one of each distance, (A, 2S - 1).
fn by_distance(bias: Tensor<2>, s: usize) -> Tensor<4> {
    let [heads, _] = bias.dims();
    let distances = (0..s).flat_map(|i| (0..s).map(move |j| (j + s - 1 - i) as i32));
    let distances = TensorData::new(distances.collect::<Vec<i32>>(), [s * s]);
    let device = bias.device().without_autodiff();
    let distances = Tensor::<1, Int>::from_data(distances, &device);
    bias.select(1, distances).reshape([1, heads, s, s])
}

/// What is added to the scores, (1, 1, S, S), so that nothing out of reach is attended to.
fn out_of_reach(reach: Reach, s: usize, device: &Device) -> Tensor<4> {
    let mut added = vec![MASKED; s * s];
    for i in 0..s {
        added[i * s..][reach.of(i..i + 1, s)].fill(0.0);
    }
    let device = device.clone().without_autodiff();
    Tensor::from_data(TensorData::new(added, [1, 1, s, s]), &device)
}
