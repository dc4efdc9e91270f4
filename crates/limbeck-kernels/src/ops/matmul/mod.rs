//! x W, the matmul of every projection. It is burn's own but for a CPU in a browser: there no library multiplies with
//! relaxed SIMD, whose fused multiply-add makes a matmul 1.5 times as fast (`cargo xtask bench browser`).
//!
//! So the plain composition is the trait's default and needs no `naive.rs`, GPUs take it as it is (no `gpu.rs`), and `relaxed.rs`
//! stands for `cpu.rs`.

#[cfg(target_family = "wasm")]
mod relaxed;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::graph::differentiable;

/// x (M, K) times w (K, N): (M, N); differentiable in both.
///
/// # Panics
/// If x has other columns than w has rows.
pub fn matmul(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    assert_eq!(x.dims()[1], w.dims()[0], "columns of x and rows of w");
    let (x, w) = (x.into_dispatch(), w.into_dispatch());
    Tensor::from_dispatch(<Dispatch as MatmulOps>::matmul(x, w))
}

/// Whether a matmul on the CPU uses WebAssembly's relaxed SIMD: in a browser that has it.
pub fn relaxed_simd() -> bool {
    #[cfg(target_family = "wasm")]
    return relaxed::tile().is_some();
    #[cfg(not(target_family = "wasm"))]
    false
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait MatmulOps: Backend {
    /// (M, K) times (K, N) -> (M, N).
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, w)
    }
}

#[cfg(feature = "gpu")]
impl MatmulOps for burn_cubecl::CubeBackend {}

impl MatmulOps for Flex {
    #[cfg(target_family = "wasm")]
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        use burn::backend::ops::FloatTensorOps;

        relaxed::matmul(&x, &w).unwrap_or_else(|| Self::float_matmul(x, w))
    }
}

impl<B: Backend + MatmulOps, C: CheckpointStrategy> MatmulOps for Autodiff<B, C> {
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<B, C, (), 2>(
            [x, w],
            |[x, w]| (B::matmul(x, w), ()),
            |[x, w], (), gradient, [x_wanted, w_wanted]| {
                let of_x = x_wanted.then(|| B::matmul(gradient.clone(), B::float_transpose(w)));
                let of_w = w_wanted.then(|| B::matmul(B::float_transpose(x), gradient));
                [of_x, of_w]
            },
        )
    }
}
