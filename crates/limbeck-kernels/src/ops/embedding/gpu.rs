//! Rows of tables on a GPU: `shaders/embedding_forward.wgsl`, and for the gradients `shaders/embedding_backward.wgsl`, once or more often.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::{ExecutionMode, KernelId};

use super::{EmbeddingOps, Ids, Tables};
use crate::gpu::{self, ALIGNMENT, Launch, MOST_BOUND};
use crate::ops::matmul::{cut, whole_fours};

/// Which shader of embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EmbeddingSpec {
    Forward,
    Backward,
}

impl EmbeddingSpec {
    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        vec![Self::Forward, Self::Backward]
    }

    /// Threads of a workgroup, a number each forward and four sums backward.
    fn threads(&self) -> u32 {
        match self {
            Self::Forward => 256,
            Self::Backward => 64,
        }
    }
}

impl KernelSource for EmbeddingSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self {
            Self::Forward => limbeck_shaders::EMBEDDING_FORWARD,
            Self::Backward => limbeck_shaders::EMBEDDING_BACKWARD,
        };
        SourceTemplate::new(text).register("threads", self.threads().to_string())
    }

    /// Unchecked: naga then adds no counters to loops, all of which end.
    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .mode(ExecutionMode::Unchecked)
            .info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl EmbeddingOps for CubeBackend {
    fn sum_of_rows(tables: Tables<Self>, ids: Vec<Ids>) -> FloatTensor<Self> {
        let tables: Vec<CubeTensor> = tables.into_vec().into_iter().map(gpu::contiguous).collect();
        let ([b, s], width) = (ids[0].dims(), tables[0].shape()[1]);
        let output = gpu::empty(&tables[0], [b, s, width]);
        let words: Vec<u32> = ids.iter().flat_map(|ids| ids.as_slice()).copied().collect();
        let ids = upload(&words, &output);
        // What is not read must be bound all the same.
        let table = |at: usize| tables.get(at).unwrap_or(&tables[0]);
        let spec = EmbeddingSpec::Forward;
        let threads = spec.threads();
        Launch {
            threads,
            groups: (b * s * width).div_ceil(threads as usize),
            inputs: &[table(0), table(1), table(2), &ids],
            output: &output,
            info: &[b * s, width, tables.len()].map(|size| size as u32),
        }
        .run(spec);
        output
    }

    fn tables_backward(
        tables: Tables<Self>,
        gradient: FloatTensor<Self>,
        ids: Vec<Ids>,
    ) -> Tables<Self> {
        let [b, s] = ids[0].dims();
        let tables: Vec<[usize; 2]> = tables.into_vec().iter().map(sizes).collect();
        let width = tables[0][1];
        let gradient = gpu::contiguous(gradient);
        let gradient = Self::float_reshape(gradient, [b * s, width].into());
        let gradient = whole_fours(gradient);
        let rows: Vec<usize> = tables.iter().map(|[rows, _]| *rows).collect();
        let all: usize = rows.iter().map(|rows| padded(*rows)).sum();
        if size_of::<f32>() * all * width.next_multiple_of(4) <= MOST_BOUND {
            return Tables::new(of_tables(&rows, width, &gradient, &ids));
        }
        let each = rows.iter().zip(&ids);
        Tables::new(each.flat_map(|(rows, ids)| {
            of_tables(&[*rows], width, &gradient, std::slice::from_ref(ids))
        }))
    }
}

/// The gradients of tables of so many rows, from that of places, (B S, H) in whole fours: in one buffer, one after the other.
fn of_tables(rows: &[usize], width: usize, gradient: &CubeTensor, ids: &[Ids]) -> Vec<CubeTensor> {
    let mut lists = Lists::default();
    let mut starts = Vec::new();
    for (rows, ids) in rows.iter().zip(ids) {
        starts.push(lists.count());
        lists.append(&Lists::of_ids(ids.as_slice(), padded(*rows)));
    }
    let launches = lists.cut();
    let sum = launches
        .iter()
        .fold(gradient.clone(), |rows, lists| sums(&rows, lists));
    let [_, line] = sizes(&sum);
    let view = |(start, rows): (&usize, &usize)| {
        cut(gpu::view(&sum, start * line, [*rows, line].into()), width)
    };
    starts.iter().zip(rows).map(view).collect()
}

/// So many rows of any whole fours are whole alignments, so the next table is a view.
fn padded(rows: usize) -> usize {
    rows.next_multiple_of(ALIGNMENT / 4)
}

fn sizes(matrix: &CubeTensor) -> [usize; 2] {
    let shape = matrix.shape();
    [shape[0], shape[1]]
}

/// Words on the device of `like`.
fn upload(words: &[u32], like: &CubeTensor) -> CubeTensor {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let handle = like.client.create_from_slice(&bytes);
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(client, device, [words.len()].into(), handle, DType::U32)
}

/// For each of several sums the rows that it adds up.
struct Lists {
    /// Where each list starts, and where the last one ends.
    starts: Vec<u32>,
    /// One list after the other.
    rows: Vec<u32>,
}

impl Default for Lists {
    /// None.
    fn default() -> Self {
        Self {
            starts: vec![0],
            rows: Vec::new(),
        }
    }
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

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// These lists, and then others.
    fn append(&mut self, others: &Self) {
        let rows = self.rows.len() as u32;
        let starts = others.starts[1..].iter().map(|start| rows + start);
        self.starts.extend(starts);
        self.rows.extend(&others.rows);
    }

    /// Lists of at most [`Self::MOST`] rows; then, as long as that made several of one, lists of those for each former one.
    fn cut(self) -> Vec<Self> {
        let (mut all, mut lists) = (Vec::new(), self);
        while lists.longest() > Self::MOST {
            let (mut starts, mut parts) = (Vec::new(), vec![0]);
            for ends in lists.starts.windows(2) {
                starts.extend((ends[0]..ends[1]).step_by(Self::MOST));
                parts.push(starts.len() as u32);
            }
            let of_parts = Self {
                starts: parts,
                rows: (0..starts.len() as u32).collect(),
            };
            starts.push(lists.rows.len() as u32);
            lists.starts = starts;
            all.push(std::mem::replace(&mut lists, of_parts));
        }
        all.push(lists);
        all
    }

    /// Rows of the longest list.
    fn longest(&self) -> usize {
        let counts = self.starts.windows(2).map(|ends| ends[1] - ends[0]);
        counts.max().unwrap_or(0) as usize
    }

    /// As the shader reads them, on the device of `like`.
    fn upload(&self, like: &CubeTensor) -> CubeTensor {
        upload(&[&self.starts[..], &self.rows].concat(), like)
    }
}

/// Sums of the rows of a matrix, whose width is whole fours.
fn sums(rows: &CubeTensor, lists: &Lists) -> CubeTensor {
    let (count, [_, width]) = (lists.count(), sizes(rows));
    let spec = EmbeddingSpec::Backward;
    let threads = spec.threads();
    let output = gpu::empty(rows, [count, width]);
    Launch {
        threads,
        groups: (count * width / 4).div_ceil(threads as usize),
        inputs: &[rows, &lists.upload(rows)],
        output: &output,
        info: &[count as u32, (width / 4) as u32],
    }
    .run(spec);
    output
}
