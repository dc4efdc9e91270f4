//! x W, the product of every projection. It is burn's own but for a CPU in a browser: there no library multiplies with
//! relaxed SIMD, whose fused multiply-add makes a product half as fast again (`cargo xtask bench browser`).

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
trait ProductOps: Backend {
    /// (M, K) times (K, N) -> (M, N).
    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ProductOps for CubeBackend {
    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, w)
    }
}

impl ProductOps for Flex {
    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        #[cfg(target_family = "wasm")]
        if let Some(product) = relaxed::product(&x, &w) {
            return product;
        }
        Self::float_matmul(x, w)
    }
}

#[derive(Debug)]
struct ProductBackward;

impl<B: Backend + ProductOps> Backward<B, 2> for ProductBackward {
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
            let of_x = B::product(gradient.clone(), B::float_transpose(w));
            grads.register::<B>(node.id, of_x);
        }
        if let Some(node) = of_w {
            grads.register::<B>(node.id, B::product(B::float_transpose(x), gradient));
        }
    }
}

impl<B: Backend + ProductOps, C: CheckpointStrategy> ProductOps for Autodiff<B, C> {
    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        differentiable::<B, C, 2>(ProductBackward, [x, w], |[x, w]| B::product(x, w))
    }
}

/// x (M, K) times w (K, N): (M, N); differentiable in both.
///
/// # Panics
/// If x has other columns than w has rows.
pub fn product(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    assert_eq!(x.dims()[1], w.dims()[0], "columns of x and rows of w");
    let (x, w) = (x.into_dispatch(), w.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ProductOps>::product(x, w))
}

/// Whether products on the CPU use WebAssembly's relaxed SIMD: in a browser that has it.
pub fn relaxed_simd() -> bool {
    #[cfg(target_family = "wasm")]
    return relaxed::tile().is_some();
    #[cfg(not(target_family = "wasm"))]
    false
}
