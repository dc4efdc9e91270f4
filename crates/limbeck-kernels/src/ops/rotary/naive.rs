//! Rotary positions as a plain composition of burn operations.

use burn::tensor::Tensor;

use super::Rotation;

/// (B, S, H) -> (B, S, H).
pub(super) fn rotary(x: Tensor<3>, rotation: &Rotation, heads: usize) -> Tensor<3> {
    let [b, s, h] = x.dims();
    let (d, r) = (h / heads, rotation.features());
    let table = rotation.on(&x.device()).slice([0..s, 0..r]);
    let table = table.reshape([1, s, 1, r]);
    let [cosines, sines] =
        [0..r / 2, r / 2..r].map(|part| table.clone().slice([0..1, 0..s, 0..1, part]));
    let x = x.reshape([b, s, heads, d]);
    let features = |range| x.clone().slice([0..b, 0..s, 0..heads, range]);
    let (first, second) = (features(0..r / 2), features(r / 2..r));
    let mut turned = vec![
        first.clone() * cosines.clone() - second.clone() * sines.clone(),
        second * cosines + first * sines,
    ];
    if r < d {
        turned.push(features(r..d));
    }
    Tensor::cat(turned, 3).reshape([b, s, h])
}
