//! Rows of a table by ids, and the gradient of the table. On a GPU burn adds the rows of a gradient to the table one after
//! the other: 4,096 of them took an H100 2 ms. The ids are known on the host, so the host says which places have an id, and
//! each row of the table is a sum of its own, in the order of places.
//!
//! Taking the rows is burn's everywhere, and so is the gradient on the CPU, which is quick there: there is no `cpu.rs`.

#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Device, Int, Tensor, TensorData};
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable;

#[cfg(feature = "gpu")]
pub(crate) use gpu::EmbeddingSpec;

/// Rows of a table for each token, (B, S), on a device and again on the host.
#[derive(Clone, Debug)]
pub struct Ids {
    tensor: Tensor<2, Int>,
    host: Arc<[u32]>,
}

impl Ids {
    /// From B * S ids, row-major.
    ///
    /// # Panics
    /// If they are of another number.
    pub fn new(ids: impl Into<Arc<[u32]>>, shape: [usize; 2], device: &Device) -> Self {
        let host = ids.into();
        let data: Vec<i32> = host.iter().map(|id| *id as i32).collect();
        let device = device.clone().without_autodiff();
        Self {
            tensor: Tensor::from_data(TensorData::new(data, shape), &device),
            host,
        }
    }

    /// The ids, row-major.
    pub fn as_slice(&self) -> &[u32] {
        &self.host
    }

    /// B and S.
    pub fn dims(&self) -> [usize; 2] {
        self.tensor.dims()
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.tensor.device()
    }
}

/// The rows of a table (V, H) by ids (B, S), all below V: (B, S, H); differentiable in the table.
pub fn embedding(kernels: impl Into<Kernels>, table: Tensor<2>, ids: &Ids) -> Tensor<3> {
    let tensor = ids.tensor.clone();
    if !kernels.into().has(Operation::Embedding) {
        return naive::embedding(table, tensor);
    }
    let (table, tensor) = (table.into_dispatch(), tensor.into_dispatch());
    let rows = <Dispatch as EmbeddingOps>::rows_of(table, tensor, ids.host.clone());
    Tensor::from_dispatch(rows)
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait EmbeddingOps: Backend {
    /// (V, H) and ids (B, S), which the host has too -> (B, S, H).
    fn rows_of(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
        _host: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        Self::embedding(table, ids)
    }

    /// The gradient of the table, (V, H), from that of its rows, (B, S, H).
    fn rows_backward(
        table: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        ids: IntTensor<Self>,
        _host: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        Self::embedding_backward(table, gradient, ids)
    }
}

impl EmbeddingOps for Flex {}

impl<B: Backend + EmbeddingOps, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
    fn rows_of(
        table: FloatTensor<Self>,
        ids: IntTensor<Self>,
        host: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        differentiable::<B, C, (IntTensor<B>, Arc<[u32]>), 1>(
            [table],
            |[table]| {
                let rows = B::rows_of(table, ids.clone(), host.clone());
                (rows, (ids, host))
            },
            |[table], (ids, host), gradient, _| {
                [Some(B::rows_backward(table, gradient, ids, host))]
            },
        )
    }

    fn rows_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: IntTensor<Self>,
        _: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}
