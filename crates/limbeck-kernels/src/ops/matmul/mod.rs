//! x W, the matmul of every projection, and x W + bias, a linear layer. No library's is fast enough on a GPU, nor on
//! the CPU of a browser: burn's loses most where a gradient of weights is a few tiles of long sums, and nobody
//! multiplies with relaxed SIMD, whose fused multiply-add makes a matmul 1.5 times as fast (`cargo xtask bench
//! browser`). On any other CPU burn's is.
//!
//! So the plain composition is the trait's default and needs no `naive.rs`, and `relaxed.rs` stands for `cpu.rs`.

#[cfg(feature = "gpu")]
mod gpu;
#[cfg(target_family = "wasm")]
mod relaxed;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable;
use crate::ops::mixed::mixed_product;

#[cfg(feature = "gpu")]
pub(crate) use gpu::{
    End, Ended, Factor, Factors, MatmulSpec, SumSpec, column_sums, cut, product, products, row,
    whole_fours,
};

/// x (M, K) times w (K, N): (M, N); differentiable in both.
///
/// # Panics
/// If x has other columns than w has rows.
pub fn matmul(kernels: impl Into<Kernels>, x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    linear(kernels, x, w, None)
}

/// x (M, K) times w (K, N), plus a bias (N) in each row: (M, N); differentiable in all. In mixed precision where the kernels say so and
/// nothing can be differentiated.
///
/// # Panics
/// If x has other columns than w has rows, or the bias is not as long as a row of w.
pub fn linear(
    kernels: impl Into<Kernels>,
    x: Tensor<2>,
    w: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<2> {
    let [rows, columns] = w.dims();
    assert_eq!(x.dims()[1], rows, "columns of x and rows of w");
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [columns], "the bias and columns of w");
    }
    let kernels = kernels.into();
    if !kernels.has(Operation::Linear) {
        let y = x.matmul(w);
        return match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        };
    }
    let is_empty = x.shape().num_elements() * columns == 0;
    if let Some(mixed) = kernels.mixed().filter(|_| !is_empty) {
        return mixed_product(x, w, bias, false, mixed);
    }
    let (x, w) = (x.into_dispatch(), w.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as MatmulOps>::biased_matmul(x, w, bias.into_dispatch()),
        None => <Dispatch as MatmulOps>::matmul(x, w),
    })
}

/// Whether a matmul on the CPU uses WebAssembly's relaxed SIMD: in a browser that has it.
pub fn relaxed_simd() -> bool {
    #[cfg(target_family = "wasm")]
    return relaxed::tile().is_some();
    #[cfg(not(target_family = "wasm"))]
    false
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
pub(crate) trait MatmulOps: Backend {
    /// (M, K) times (K, N) -> (M, N).
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, w)
    }

    /// (M, K) times (K, N), plus (1, N) or (M, N) -> (M, N); for gradients.
    fn matmul_plus(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        added: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::matmul(x, w), added)
    }

    /// (M, K) times (K, N), plus (N) -> (M, N).
    fn biased_matmul(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let width = bias.shape().num_elements();
        let row = Self::float_reshape(bias, [1, width].into());
        Self::matmul_plus(x, w, row)
    }

    /// (M, N) -> (N): each column's sum.
    fn column_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let width = x.shape()[1];
        Self::float_reshape(Self::float_sum_dim(x, 0), [width].into())
    }

    /// The gradients of the weights and of the bias of a linear layer, x^T dy (K, N) and the sums of the columns of dy (N), from x (M, K)
    /// and dy (M, N).
    fn weight_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let sums = Self::column_sums(gradient.clone());
        (Self::matmul(Self::float_transpose(x), gradient), sums)
    }
}

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
            |factors, (), gradient, wanted| of_factors::<B>(factors, gradient, wanted),
        )
    }

    fn biased_matmul(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        differentiable::<B, C, (), 3>(
            [x, w, bias],
            |[x, w, bias]| (B::biased_matmul(x, w, bias), ()),
            |[x, w, _], (), gradient, [x_wanted, w_wanted, bias_wanted]| {
                if w_wanted && bias_wanted {
                    let of_x = x_wanted.then(|| B::matmul(gradient.clone(), B::float_transpose(w)));
                    let (of_w, of_bias) = B::weight_gradients(x, gradient);
                    return [of_x, Some(of_w), Some(of_bias)];
                }
                let of_bias = bias_wanted.then(|| B::column_sums(gradient.clone()));
                let [of_x, of_w] = of_factors::<B>([x, w], gradient, [x_wanted, w_wanted]);
                [of_x, of_w, of_bias]
            },
        )
    }

    fn matmul_plus(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn column_sums(_: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }

    fn weight_gradients(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}

/// dy w^T, the gradient of x in x w, plus the gradient that x has from elsewhere, if it has any.
pub(crate) fn gradient_of_input<B: MatmulOps>(
    gradient: FloatTensor<B>,
    w: FloatTensor<B>,
    added: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let w = B::float_transpose(w);
    match added {
        Some(added) => B::matmul_plus(gradient, w, added),
        None => B::matmul(gradient, w),
    }
}

/// The gradients of x and w, dy w^T and x^T dy, as far as they are wanted.
fn of_factors<B: MatmulOps>(
    [x, w]: [FloatTensor<B>; 2],
    gradient: FloatTensor<B>,
    [x_wanted, w_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let of_x = x_wanted.then(|| B::matmul(gradient.clone(), B::float_transpose(w)));
    let of_w = w_wanted.then(|| B::matmul(B::float_transpose(x), gradient));
    [of_x, of_w]
}
