//! Rows of tables by ids, added up, and the gradients of the tables: what a token begins as is the sum of the vectors of its word, its
//! position and its type. On a GPU that is one launch. burn adds the rows of a gradient to a table one after the other there:
//! 4,096 of them took an H100 2 ms. The ids are known on the host, so the host says which places have an id, and each row of a
//! table is a sum of its own, in the order of places.
//!
//! On the CPU burn's own is quick: there is no `cpu.rs`.

#[cfg(feature = "gpu")]
mod gpu;
mod naive;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{
    Autodiff, Backend, Dispatch, ExtensionType, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Tensor, TensorData};
use limbeck_recipe::{Kernels, Operation};

use crate::graph::differentiable;

#[cfg(feature = "gpu")]
pub(crate) use gpu::EmbeddingSpec;

/// A row of a table for each token, (B, S). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ids {
    ids: Arc<[u32]>,
    shape: [usize; 2],
    highest: u32,
}

impl Ids {
    /// From B * S ids, row-major.
    ///
    /// # Panics
    /// If they are of another number.
    pub fn new(ids: impl Into<Arc<[u32]>>, shape: [usize; 2]) -> Self {
        let ids = ids.into();
        assert_eq!(ids.len(), shape[0] * shape[1], "ids of {shape:?} tokens");
        let highest = ids.iter().copied().max().unwrap_or(0);
        Self {
            ids,
            shape,
            highest,
        }
    }

    /// The ids, row-major.
    pub fn as_slice(&self) -> &[u32] {
        &self.ids
    }

    /// The highest of them, or 0 if there is none.
    pub fn highest(&self) -> u32 {
        self.highest
    }

    /// B and S.
    pub fn dims(&self) -> [usize; 2] {
        self.shape
    }

    /// As burn takes them.
    fn data(&self) -> TensorData {
        let ids: Vec<i32> = self.ids.iter().map(|id| *id as i32).collect();
        TensorData::new(ids, self.shape)
    }
}

/// Rows of one to three tables (V, H), each by ids (B, S) of its own that are below its V, added up: (B, S, H); differentiable in the
/// tables.
///
/// # Panics
/// If there are more tables or none, sizes do not fit, or an id is beyond its table.
pub fn embedding(kernels: impl Into<Kernels>, tables: Vec<(Tensor<2>, Ids)>) -> Tensor<3> {
    assert!(
        (1..=3).contains(&tables.len()),
        "one to three tables, not {}",
        tables.len()
    );
    let (tables, ids): (Vec<_>, Vec<_>) = tables.into_iter().unzip();
    let width = |table: &Tensor<2>| table.dims()[1];
    assert!(
        tables.iter().all(|table| width(table) == width(&tables[0])),
        "tables of one width"
    );
    assert!(
        ids.iter().all(|of: &Ids| of.shape == ids[0].shape),
        "ids of the same tokens"
    );
    for (table, ids) in tables.iter().zip(&ids) {
        let (highest, [rows, _]) = (ids.highest(), table.dims());
        assert!((highest as usize) < rows, "id {highest} of {rows} rows");
    }
    if !kernels.into().has(Operation::Embedding) {
        return naive::embedding(tables, &ids);
    }
    let tables = Tables::new(tables.into_iter().map(Tensor::into_dispatch));
    Tensor::from_dispatch(<Dispatch as EmbeddingOps>::sum_of_rows(tables, ids))
}

/// Tables (V, H), or their gradients.
#[derive(Clone, Debug, ExtensionType)]
enum Tables<B: Backend> {
    One(FloatTensor<B>),
    Two(FloatTensor<B>, FloatTensor<B>),
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
}

impl<B: Backend> Tables<B> {
    /// One to three.
    fn new(tables: impl IntoIterator<Item = FloatTensor<B>>) -> Self {
        let mut tables = tables.into_iter();
        let first_four = [(); 4].map(|()| tables.next());
        match first_four {
            [Some(a), None, ..] => Self::One(a),
            [Some(a), Some(b), None, _] => Self::Two(a, b),
            [Some(a), Some(b), Some(c), None] => Self::Three(a, b, c),
            _ => unreachable!("tables were counted"),
        }
    }

    fn into_vec(self) -> Vec<FloatTensor<B>> {
        match self {
            Self::One(a) => vec![a],
            Self::Two(a, b) => vec![a, b],
            Self::Three(a, b, c) => vec![a, b, c],
        }
    }
}

#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait EmbeddingOps: Backend {
    /// Tables (V, H) and ids (B, S) of each -> (B, S, H).
    fn sum_of_rows(#[extension_type] tables: Tables<Self>, ids: Vec<Ids>) -> FloatTensor<Self> {
        let taken = tables.into_vec().into_iter().zip(&ids);
        let taken = taken.map(|(table, ids)| {
            let ids = tensor_of::<Self>(ids, &table);
            Self::embedding(table, ids)
        });
        let Some(sum) = taken.reduce(Self::float_add) else {
            unreachable!("there is a table")
        };
        sum
    }

    /// The gradients of the tables, from that of the sum of their rows.
    fn tables_backward(
        #[extension_type] tables: Tables<Self>,
        gradient: FloatTensor<Self>,
        ids: Vec<Ids>,
    ) -> Tables<Self> {
        let tables = tables.into_vec().into_iter().zip(&ids);
        Tables::new(tables.map(|(table, ids)| {
            let ids = tensor_of::<Self>(ids, &table);
            Self::embedding_backward(table, gradient.clone(), ids)
        }))
    }
}

/// Ids on the device of a table.
fn tensor_of<B: Backend>(ids: &Ids, table: &FloatTensor<B>) -> IntTensor<B> {
    B::int_from_data(ids.data(), &table.device())
}

impl EmbeddingOps for Flex {}

impl<B: Backend + EmbeddingOps, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
    fn sum_of_rows(tables: Tables<Self>, ids: Vec<Ids>) -> FloatTensor<Self> {
        match tables {
            Tables::One(a) => differentiable_sum::<B, C, 1>([a], ids),
            Tables::Two(a, b) => differentiable_sum::<B, C, 2>([a, b], ids),
            Tables::Three(a, b, c) => differentiable_sum::<B, C, 3>([a, b, c], ids),
        }
    }

    fn tables_backward(_: Tables<Self>, _: FloatTensor<Self>, _: Vec<Ids>) -> Tables<Self> {
        unreachable!("gradients are first order: nothing differentiates a backward pass")
    }
}

fn differentiable_sum<B: EmbeddingOps, C: CheckpointStrategy, const N: usize>(
    tables: [FloatTensor<Autodiff<B, C>>; N],
    ids: Vec<Ids>,
) -> FloatTensor<Autodiff<B, C>> {
    differentiable::<B, C, Vec<Ids>, N>(
        tables,
        |tables| (B::sum_of_rows(Tables::new(tables), ids.clone()), ids),
        |tables, ids, gradient, _| {
            let of_tables = B::tables_backward(Tables::new(tables), gradient, ids);
            let mut of_tables = of_tables.into_vec().into_iter();
            [(); N].map(|()| of_tables.next())
        },
    )
}
