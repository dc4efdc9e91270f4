//! The gradient of a table on a GPU: `shaders/embedding_backward.wgsl`, once or twice.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::DType;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::{ExecutionMode, KernelId};

use super::EmbeddingOps;
use crate::gpu::{self, Launch};
use crate::ops::matmul::{cut, whole_fours};

/// The text of `embedding_backward.wgsl`, which has one variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EmbeddingSpec;

impl EmbeddingSpec {
    /// Threads of a workgroup, four sums each.
    const THREADS: u32 = 64;
}

impl KernelSource for EmbeddingSpec {
    fn source(&self) -> SourceTemplate {
        let text = limbeck_shaders::EMBEDDING_BACKWARD;
        SourceTemplate::new(text).register("threads", Self::THREADS.to_string())
    }

    /// Unchecked: naga then adds no counters to loops, all of which end.
    fn id(&self) -> KernelId {
        KernelId::new::<Self>().mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl EmbeddingOps for CubeBackend {
    fn rows_backward(
        table: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        _ids: IntTensor<Self>,
        host: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        let (table, width) = (table.shape(), table.shape()[1]);
        let gradient = gpu::contiguous(gradient);
        let gradient = Self::float_reshape(gradient, [host.len(), width].into());
        let (places, parts) = Lists::of_ids(&host, table[0]).cut();
        let mut rows = sums(&whole_fours(gradient), &places);
        if let Some(parts) = parts {
            rows = sums(&rows, &parts);
        }
        cut(rows, width)
    }
}

/// For each of several sums the rows that it adds up.
struct Lists {
    /// Where each list starts, and where the last one ends.
    starts: Vec<u32>,
    /// One list after the other.
    rows: Vec<u32>,
}

impl Lists {
    /// Rows that a thread adds up at most where others could help: an id such as that of padding may have half of all places.
    const MOST: usize = 32;

    /// The places of each of so many ids, in their order.
    fn of_ids(ids: &[u32], count: usize) -> Self {
        let mut starts = vec![0u32; count + 1];
        for id in ids {
            starts[*id as usize + 1] += 1;
        }
        for id in 0..count {
            starts[id + 1] += starts[id];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; ids.len()];
        for (place, id) in ids.iter().enumerate() {
            let next = &mut next[*id as usize];
            rows[*next as usize] = place as u32;
            *next += 1;
        }
        Self { starts, rows }
    }

    /// Lists of at most [`Self::MOST`] rows, and, if that made several of one, lists of these for each former one.
    fn cut(self) -> (Self, Option<Self>) {
        let longest = self.starts.windows(2).map(|ends| ends[1] - ends[0]).max();
        if longest.is_none_or(|longest| longest as usize <= Self::MOST) {
            return (self, None);
        }
        let (mut starts, mut parts) = (Vec::new(), vec![0]);
        for ends in self.starts.windows(2) {
            starts.extend((ends[0]..ends[1]).step_by(Self::MOST));
            parts.push(starts.len() as u32);
        }
        let rows = (0..starts.len() as u32).collect();
        starts.push(self.rows.len() as u32);
        let parts = Self {
            starts: parts,
            rows,
        };
        let rows = self.rows;
        (Self { starts, rows }, Some(parts))
    }

    /// As the shader reads them, on the device of `like`.
    fn upload(&self, like: &CubeTensor) -> CubeTensor {
        let words = [&self.starts[..], &self.rows].concat();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let handle = like.client.create_from_slice(&bytes);
        let (client, device) = (like.client.clone(), like.device.clone());
        CubeTensor::new_contiguous(client, device, [words.len()].into(), handle, DType::U32)
    }
}

/// Sums of the rows of a matrix, whose width is whole fours.
fn sums(rows: &CubeTensor, lists: &Lists) -> CubeTensor {
    let (count, width) = (lists.starts.len() - 1, rows.shape()[1]);
    let output = gpu::empty(rows, [count, width]);
    Launch {
        threads: EmbeddingSpec::THREADS,
        groups: (count * width / 4).div_ceil(EmbeddingSpec::THREADS as usize),
        inputs: &[rows, &lists.upload(rows)],
        output: &output,
        info: &[count as u32, (width / 4) as u32],
    }
    .run(EmbeddingSpec);
    output
}
