//! The feed-forward part on a GPU: matmuls that end with GELU or its slope (`ops/matmul/gpu.rs`).

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::FeedForwardOps;
use crate::ops::matmul::{End, Factor, MatmulOps, product, row};

impl FeedForwardOps for CubeBackend {
    fn feed_forward(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
        down: FloatTensor<Self>,
        down_bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (inner, _) = project(x.clone(), up, up_bias, false);
        (Self::biased_matmul(inner, down, down_bias), x)
    }

    fn up(
        x: FloatTensor<Self>,
        up: FloatTensor<Self>,
        up_bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match project(x, up, up_bias, true) {
            (inner, Some(before)) => (inner, before),
            (_, None) => unreachable!("it was asked for"),
        }
    }

    fn up_gradients(
        x: FloatTensor<Self>,
        _: FloatTensor<Self>,
        before: FloatTensor<Self>,
        down: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        Option<FloatTensor<Self>>,
    ) {
        let (gradient, down) = (Factor::stored(gradient), Factor::transpose_of(down));
        let (of_before, _) = product(gradient, down, End::GeluSlope, Some(before), false);
        let (of_up, of_bias) = Self::weight_gradients(x, of_before.clone());
        (of_before, of_up, Some(of_bias))
    }
}

/// GELU(x up + bias), and if it is wanted what GELU is of.
fn project(
    x: FloatTensor<CubeBackend>,
    up: FloatTensor<CubeBackend>,
    bias: FloatTensor<CubeBackend>,
    wanted: bool,
) -> (FloatTensor<CubeBackend>, Option<FloatTensor<CubeBackend>>) {
    let (x, up) = (Factor::stored(x), Factor::stored(up));
    product(x, up, End::Gelu, Some(row(bias)), wanted)
}
