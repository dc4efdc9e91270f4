//! x W, the matmul of every projection. It is burn's own but for a CPU in a browser: there no library multiplies with
//! relaxed SIMD, whose fused multiply-add makes a matmul 1.5 times as fast (`cargo xtask bench browser`).

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;

use crate::graph::differentiable;

#[cfg(target_family = "wasm")]
mod relaxed;

#[backend_extension(Cube, Flex, Autodiff)]
trait MatmulOps: Backend {
    /// (M, K) times (K, N) -> (M, N).
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl MatmulOps for CubeBackend {
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, w)
    }
}

impl MatmulOps for Flex {
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        #[cfg(target_family = "wasm")]
        if let Some(y) = relaxed::matmul(&x, &w) {
            return y;
        }
        Self::float_matmul(x, w)
    }
}

#[derive(Debug)]
struct MatmulBackward;

impl<B: Backend + MatmulOps> Backward<B, 2> for MatmulBackward {
    type State = [NodeId; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let [x, w] = ops
            .state
            .map(|node| checkpointer.retrieve_node_output(node));
        let [of_x, of_w] = ops.parents;
        if let Some(node) = of_x {
            let of_x = B::matmul(gradient.clone(), B::float_transpose(w));
            grads.register::<B>(node.id, of_x);
        }
        if let Some(node) = of_w {
            grads.register::<B>(node.id, B::matmul(B::float_transpose(x), gradient));
        }
    }
}

impl<B: Backend + MatmulOps, C: CheckpointStrategy> MatmulOps for Autodiff<B, C> {
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<B, C, 2>(MatmulBackward, [x, w], |[x, w]| B::matmul(x, w))
    }
}

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
