//! Attention on the GPU: `shaders/attention_forward.wgsl`, and `shaders/attention_backward.wgsl` in its two walks.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{Attended, AttentionOps, Call};
use crate::gpu::{self, ALIGNMENT, Launch};
use crate::pair::RawTaps;

/// Which walk of attention a shader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AttentionPass {
    /// Of the rows over the keys: the output.
    Forward,
    /// Of the rows over the keys: the gradient of the queries.
    Queries,
    /// Of the keys over the rows: the gradients of keys and values.
    Keys,
}

/// Everything that the texts of `attention_forward.wgsl` and `attention_backward.wgsl` depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AttentionSpec {
    pass: AttentionPass,
    /// Fours of features that a thread has of a vector at once.
    vectors: u32,
    /// Whether a vector is wider than that.
    sliced: bool,
    /// Whether probabilities are dropped.
    dropout: bool,
}

impl AttentionSpec {
    /// Threads of a workgroup, a row or key each: one or two subgroups on every vendor's GPU.
    const ROWS: u32 = 64;
    /// Vectors that go through workgroup memory at once: two times 16 of at most 64 features are 8 KiB.
    const TILE: u32 = 16;
    /// Widths of a slice that holds all of D. A wider one would not stay in registers: the walk of the keys has four.
    const WHOLE: [u32; 4] = [2, 4, 8, 16];
    /// Width of a slice of many: small, since software drivers take seconds to compile what is unrolled.
    const PART: u32 = 4;

    fn new(pass: AttentionPass, call: &Call) -> Self {
        let needed = (call.heads.d as u32).div_ceil(4);
        let whole = Self::WHOLE.into_iter().find(|width| *width >= needed);
        Self {
            pass,
            vectors: whole.unwrap_or(Self::PART),
            sliced: whole.is_none(),
            dropout: call.dropout.is_some(),
        }
    }

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        let widths = Self::WHOLE.map(|width| (width, false));
        let mut all = Vec::new();
        for pass in [
            AttentionPass::Forward,
            AttentionPass::Queries,
            AttentionPass::Keys,
        ] {
            for (vectors, sliced) in widths.into_iter().chain([(Self::PART, true)]) {
                all.extend([false, true].map(|dropout| Self {
                    pass,
                    vectors,
                    sliced,
                    dropout,
                }));
            }
        }
        all
    }
}

impl KernelSource for AttentionSpec {
    fn source(&self) -> SourceTemplate {
        let flag = |flag: bool| u32::from(flag).to_string();
        let text = match self.pass {
            AttentionPass::Forward => concat!(
                include_str!("../../../../../shaders/attention_common.wgsl"),
                include_str!("../../../../../shaders/attention_forward.wgsl")
            ),
            _ => concat!(
                include_str!("../../../../../shaders/attention_common.wgsl"),
                include_str!("../../../../../shaders/attention_backward.wgsl")
            ),
        };
        SourceTemplate::new(text)
            .register("rows", Self::ROWS.to_string())
            .register("tile", Self::TILE.to_string())
            .register("vectors", self.vectors.to_string())
            .register("sliced", flag(self.sliced))
            .register("dropout", flag(self.dropout))
            .register("keys", flag(self.pass == AttentionPass::Keys))
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

impl AttentionOps for CubeBackend {
    fn attention_forward(taps: RawTaps<Self>, call: Call) -> Attended<Self> {
        let RawTaps { q, k, v } = taps.map::<Self>(gpu::contiguous);
        let statistics = [2, call.lengths.len(), call.heads.heads, call.heads.s];
        let output = Parts::new(&q, q.shape(), statistics.into());
        output.launch(AttentionPass::Forward, &[&q, &k, &v], &call);
        let [output, statistics] = output.take();
        Attended { output, statistics }
    }

    fn attention_backward(
        taps: RawTaps<Self>,
        attended: Attended<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        let RawTaps { q, k, v } = taps.map::<Self>(gpu::contiguous);
        let gradient = gpu::contiguous(gradient);
        let Attended { output, statistics } = attended;
        let (output, statistics) = (gpu::contiguous(output), gpu::contiguous(statistics));

        let delta = [call.lengths.len(), call.heads.heads, call.heads.s];
        let of_queries = Parts::new(&q, q.shape(), delta.into());
        let inputs = [&q, &gradient, &k, &v, &statistics, &output];
        of_queries.launch(AttentionPass::Queries, &inputs, &call);
        let [dq, delta] = of_queries.take();

        let of_keys = Parts::new(&q, q.shape(), q.shape());
        let inputs = [&k, &v, &q, &gradient, &statistics, &delta];
        of_keys.launch(AttentionPass::Keys, &inputs, &call);
        let [dk, dv] = of_keys.take();
        RawTaps {
            q: dq,
            k: dk,
            v: dv,
        }
    }
}

/// Two results of one launch, which has one output: the second follows the first, aligned.
struct Parts {
    tensor: CubeTensor,
    shapes: [Shape; 2],
    second: usize,
}

impl Parts {
    fn new(like: &CubeTensor, first: Shape, second: Shape) -> Self {
        let start = first.num_elements().next_multiple_of(ALIGNMENT);
        Self {
            tensor: gpu::empty(like, [start + second.num_elements()]),
            shapes: [first, second],
            second: start,
        }
    }

    fn launch(&self, pass: AttentionPass, inputs: &[&CubeTensor], call: &Call) {
        let (b, heads) = (call.lengths.len(), &call.heads);
        let [b, s, a, d] = [b, heads.s, heads.heads, heads.d].map(|size| size as u32);
        let scale = 1.0 / (d as f32).sqrt();
        let mut info = vec![b, s, a, d, scale.to_bits(), self.second as u32];
        info.extend(call.dropout.map_or([0; 3], |mask| mask.words()));
        info.extend(call.lengths.iter().map(|length| *length as u32));
        Launch {
            threads: AttentionSpec::ROWS,
            groups: (s.div_ceil(AttentionSpec::ROWS) * a * b) as usize,
            inputs,
            output: &self.tensor,
            info: &info,
        }
        .run(AttentionSpec::new(pass, call));
    }

    fn take(self) -> [CubeTensor; 2] {
        let [first, second] = self.shapes;
        [
            gpu::view(&self.tensor, 0, first),
            gpu::view(&self.tensor, self.second, second),
        ]
    }
}
