//! Linear layers in mixed precision: both factors of each product are rounded to the nearest f16 (11 bits), and sums are f32. Numbers
//! beyond the range of f16 become its largest, 65504, with their sign. Forward only, for models that nothing differentiates: where
//! gradients may be asked for, the layers are those in f32.
//!
//! `linear` and `feed_forward` come here where their [`limbeck_recipe::Kernels`] say so; `projections` rounds as it is done here. On a
//! GPU the products are those of `ops/matmul/gpu.rs`. Elsewhere what is rounded goes through the operations in f32, which gains nothing
//! and is what a GPU is judged by, so there is no `naive.rs` and no `cpu.rs`.

#[cfg(feature = "gpu")]
mod gpu;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{FloatDType, Tensor};
use limbeck_recipe::Mixed;

use crate::ops::gelu::GeluOps;
use crate::ops::matmul::MatmulOps;
use crate::optional::Optional;

/// The largest f16.
const LARGEST: f32 = 65_504.0;

/// x (M, K) times w (K, N) in mixed precision, plus a bias (N) if there is one, and GELU of it if that is wanted: (M, N). No axis is
/// empty.
pub(crate) fn mixed_product(
    x: Tensor<2>,
    w: Tensor<2>,
    bias: Option<Tensor<1>>,
    gelu: bool,
    mixed: Mixed,
) -> Tensor<2> {
    let bias = bias.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as MixedOps>::mixed_product(
        x.into_dispatch(),
        w.into_dispatch(),
        bias.into(),
        gelu,
        mixed,
    ))
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
pub(crate) trait MixedOps: MatmulOps + GeluOps {
    /// (M, K) times (K, N), plus (N) if there is a bias, and GELU of it if that is wanted -> (M, N).
    fn mixed_product(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        gelu: bool,
        mixed: Mixed,
    ) -> FloatTensor<Self>;
}

impl MixedOps for Flex {
    fn mixed_product(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: Optional<Self>,
        gelu: bool,
        _: Mixed,
    ) -> FloatTensor<Self> {
        product::<Self>(rounded(x), rounded(w), bias, gelu)
    }
}

/// The nearest f16 of each number, as f32.
pub(crate) fn rounded(x: FloatTensor<Flex>) -> FloatTensor<Flex> {
    let near = Flex::float_clamp(x, (-LARGEST).into(), LARGEST.into());
    Flex::float_cast(Flex::float_cast(near, FloatDType::F16), FloatDType::F32)
}

impl<B: Backend + MixedOps, C: CheckpointStrategy> MixedOps for Autodiff<B, C> {
    fn mixed_product(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: Optional<Self>,
        gelu: bool,
        _: Mixed,
    ) -> FloatTensor<Self> {
        product::<Self>(x, w, bias, gelu)
    }
}

/// x w, plus a bias if there is one, and GELU of it if that is wanted.
fn product<B: MatmulOps + GeluOps>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    bias: Optional<B>,
    gelu: bool,
) -> FloatTensor<B> {
    match (gelu, bias) {
        (true, bias) => B::biased_gelu(B::matmul(x, w), bias),
        (false, Optional::Is(bias)) => B::biased_matmul(x, w, bias),
        (false, Optional::Nothing) => B::matmul(x, w),
    }
}
