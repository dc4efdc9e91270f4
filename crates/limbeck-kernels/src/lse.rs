//! Row log-sum-exp of scaled scores: the first hand-written kernel, `shaders/relation_lse.wgsl`, and the way that every
//! later one goes: WGSL on the GPU, a plain body of burn operations elsewhere.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;
use cubecl::server::{KernelArguments, MetadataBindingInfo};

use crate::{Dims, Lengths, ShapeError, Side, cpu};

/// Everything that the text of `relation_lse.wgsl` depends on: it renders the shader, keys the cache of pipelines and is
/// what the tests validate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LseSpec {
    /// Rows that a workgroup takes, one a thread.
    pub rows: u32,
    /// Keys that go through workgroup memory at once.
    pub tile: u32,
    /// Features of a key that go through workgroup memory at once.
    pub slice: u32,
}

impl LseSpec {
    /// 64 rows are one or two subgroups on every vendor's GPU; 16 keys of 32 features are 2 KiB of workgroup memory.
    const DEFAULT: Self = Self {
        rows: 64,
        tile: 16,
        slice: 32,
    };

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        vec![Self::DEFAULT]
    }
}

impl KernelSource for LseSpec {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(include_str!("../../../shaders/relation_lse.wgsl"))
            .register("rows", self.rows.to_string())
            .register("tile", self.tile.to_string())
            .register("slice", self.slice.to_string())
            .register("shared", (self.tile * self.slice).to_string())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

#[backend_extension(Cube, Flex, Autodiff)]
trait LseOps: Backend {
    /// `row`, `column` (B, S, H), `lengths` (B) -> (B, A, S).
    fn row_lse(
        row: FloatTensor<Self>,
        column: FloatTensor<Self>,
        lengths: IntTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}

impl LseOps for Flex {
    fn row_lse(
        row: FloatTensor<Self>,
        column: FloatTensor<Self>,
        lengths: IntTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let [b, s, h] = row.shape().dims();
        let (row, column) = (cpu::contiguous(row), cpu::contiguous(column));
        let lengths = lengths.to_contiguous();
        let lengths = lengths
            .as_slice::<i32>()
            .unwrap_or_else(|| unreachable!("lengths are i32"));
        let out = plain(
            cpu::values(&row),
            cpu::values(&column),
            lengths,
            [b, s, heads, h / heads],
        );
        FloatTensor::<Self>::from_data(TensorData::new(out, [b, heads, s]))
    }
}

/// The plain body: what the shader computes, one row after the other, for sizes [B, S, A, D].
fn plain(row: &[f32], column: &[f32], lengths: &[i32], [b, s, a, d]: [usize; 4]) -> Vec<f32> {
    let scale = 1.0 / (d as f32).sqrt();
    let mut lse = vec![0.0; b * a * s];
    for (at, out) in lse.iter_mut().enumerate() {
        let (batch, head, i) = (at / (a * s), at / s % a, at % s);
        let length = lengths[batch] as usize;
        if i >= length {
            continue;
        }
        let vector = |position: usize| {
            let start = ((batch * s + position) * a + head) * d;
            start..start + d
        };
        let x = &row[vector(i)];
        let score = |j: usize| -> f32 {
            x.iter()
                .zip(&column[vector(j)])
                .map(|(x, y)| x * y)
                .sum::<f32>()
                * scale
        };
        let (mut highest, mut total) = (f32::MIN, 0.0);
        for z in (0..length).map(score) {
            let peak = z.max(highest);
            total = total * (highest - peak).exp() + (z - peak).exp();
            highest = peak;
        }
        *out = highest + total.ln();
    }
    lse
}

impl LseOps for CubeBackend {
    fn row_lse(
        row: FloatTensor<Self>,
        column: FloatTensor<Self>,
        lengths: IntTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let [b, s, h] = row.shape().dims();
        forward(row, column, lengths, [b, s, heads, h / heads])
    }
}

/// Launches the kernel for sizes [B, S, A, D].
fn forward(
    row: CubeTensor,
    column: CubeTensor,
    lengths: CubeTensor,
    [b, s, a, d]: [usize; 4],
) -> CubeTensor {
    let (row, column, lengths) = (
        into_contiguous(row),
        into_contiguous(column),
        into_contiguous(lengths),
    );
    let client = row.client.clone();
    let handle = client.empty(b * a * s * size_of::<f32>());
    let out = CubeTensor::new_contiguous(
        client.clone(),
        row.device.clone(),
        [b, a, s].into(),
        handle,
        row.dtype,
    );
    let spec = LseSpec::DEFAULT;
    let scale = 1.0 / (d as f32).sqrt();
    let info = [b, s, a, d]
        .map(|size| size as u64)
        .into_iter()
        .chain([u64::from(scale.to_bits())]);
    let arguments = KernelArguments::new()
        .with_buffer_io(row.handle.clone().binding(), BufferIOAttr::ReadOnly)
        .with_buffer_io(column.handle.clone().binding(), BufferIOAttr::ReadOnly)
        .with_buffer_io(lengths.handle.clone().binding(), BufferIOAttr::ReadOnly)
        .with_buffer_io(out.handle.clone().binding(), BufferIOAttr::WriteOnly)
        .with_info(MetadataBindingInfo::custom(info.collect()));
    let groups = CubeCount::Static((s as u32).div_ceil(spec.rows), a as u32, b as u32);
    let block = CubeDim::new_1d(spec.rows);
    client.launch(Box::new(SourceKernel::new(spec, block)), groups, arguments);
    out
}

/// Only read, never differentiated: the inner backend's body, without a graph.
impl<B: Backend + LseOps, C: CheckpointStrategy> LseOps for Autodiff<B, C> {
    fn row_lse(
        row: FloatTensor<Self>,
        column: FloatTensor<Self>,
        lengths: IntTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let out = B::row_lse(
            row.into_primitive(),
            column.into_primitive(),
            lengths,
            heads,
        );
        <Self as burn::backend::AutodiffBackend>::from_inner(out)
    }
}

/// log sum_{j < length} exp(row_i . column_j / sqrt(D)) for every row of every relation head, (B, A, S); 0 at and past a
/// length. The statistic that the softmax of eq. (7) and (8) needs, without the S x S scores. Carries no gradient.
///
/// # Errors
/// [`ShapeError`] if `heads` does not divide H or the lengths do not fit.
pub fn relation_lse(side: &Side, lengths: &Lengths, heads: usize) -> Result<Tensor<3>, ShapeError> {
    Dims::parse(side.dims(), side.dims(), lengths, heads)?;
    let (row, column) = side.clone().into_parts();
    let lengths: Tensor<1, Int> = lengths.tensor();
    let out = <Dispatch as LseOps>::row_lse(
        row.without_autodiff().into_dispatch(),
        column.without_autodiff().into_dispatch(),
        lengths.into_dispatch(),
        heads,
    );
    Ok(Tensor::from_dispatch(out))
}
