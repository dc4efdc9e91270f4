//! Attention on the GPU: `shaders/attention_forward.wgsl`, and `shaders/attention_backward.wgsl` in its two walks.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{Attended, AttentionOps, Call, Given, Gradients};
use crate::gpu::{self, ALIGNMENT, Launch};
use crate::ops::matmul::column_sums;
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

/// What a call has of a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bias {
    Nothing = 0,
    Added = 1,
    /// And the walk of the queries gives its gradient.
    Differentiated = 2,
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
    bias: Bias,
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

    /// Blocks of rows of a sequence that add up the gradient of a bias at a time, each by itself.
    const BLOCKS: usize = 8;

    fn new(pass: AttentionPass, bias: Bias, call: &Call) -> Self {
        let needed = (call.heads.d as u32).div_ceil(4);
        let whole = Self::WHOLE.into_iter().find(|width| *width >= needed);
        Self {
            pass,
            vectors: whole.unwrap_or(Self::PART),
            sliced: whole.is_none(),
            dropout: call.dropout.is_some(),
            bias,
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
            let biases = match pass {
                AttentionPass::Queries => &[Bias::Nothing, Bias::Added, Bias::Differentiated][..],
                _ => &[Bias::Nothing, Bias::Added],
            };
            for (vectors, sliced) in widths.into_iter().chain([(Self::PART, true)]) {
                for bias in biases {
                    all.extend([false, true].map(|dropout| Self {
                        pass,
                        vectors,
                        sliced,
                        dropout,
                        bias: *bias,
                    }));
                }
            }
        }
        all
    }
}

impl KernelSource for AttentionSpec {
    fn source(&self) -> SourceTemplate {
        let flag = |flag: bool| u32::from(flag).to_string();
        let text = match self.pass {
            AttentionPass::Forward => limbeck_shaders::ATTENTION_FORWARD,
            _ => limbeck_shaders::ATTENTION_BACKWARD,
        };
        SourceTemplate::new(text)
            .register("rows", Self::ROWS.to_string())
            .register("tile", Self::TILE.to_string())
            .register("vectors", self.vectors.to_string())
            .register("sliced", flag(self.sliced))
            .register("dropout", flag(self.dropout))
            .register("bias", (self.bias as u32).to_string())
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
    fn attention_forward(given: Given<Self>, call: Call) -> Attended<Self> {
        let (taps, bias) = given.split();
        let RawTaps { q, k, v } = taps.map::<Self>(gpu::contiguous);
        let bias = bias.map(gpu::contiguous);
        let statistics = [2, call.lengths.len(), call.heads.heads, call.heads.s];
        let parts = Parts::new(&q, vec![q.shape(), statistics.into()]);
        let walk = Walk {
            pass: AttentionPass::Forward,
            bias: bias.as_ref().map_or(Bias::Nothing, |_| Bias::Added),
            // What is bound where there is no bias is never read.
            inputs: &[&q, &k, &v, bias.as_ref().unwrap_or(&q)],
            statistics: 0,
        };
        walk.launch(&parts, &call);
        Attended {
            output: parts.part(0),
            kept: parts.tensor,
        }
    }

    fn attention_backward(
        given: Given<Self>,
        kept: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Call,
        wanted: bool,
    ) -> Gradients<Self> {
        let (taps, bias) = given.split();
        let RawTaps { q, k, v } = taps.map::<Self>(gpu::contiguous);
        let [gradient, kept] = [gradient, kept].map(gpu::contiguous);
        let bias = bias.map(gpu::contiguous);
        let added = bias.as_ref().map_or(Bias::Nothing, |_| Bias::Added);
        let bound = bias.as_ref().unwrap_or(&q);
        let [b, a, s] = [call.lengths.len(), call.heads.heads, call.heads.s];

        let mut shapes = vec![q.shape(), [3, b, a, s].into()];
        if wanted {
            let blocks = call.blocks().min(AttentionSpec::BLOCKS);
            shapes.push([b * blocks, a * (2 * s - 1)].into());
        }
        let of_queries = Parts::new(&q, shapes);
        let walk = Walk {
            pass: AttentionPass::Queries,
            bias: if wanted { Bias::Differentiated } else { added },
            inputs: &[&q, &gradient, &k, &v, &kept, bound],
            statistics: aligned(q.shape().num_elements()),
        };
        walk.launch(&of_queries, &call);

        let rows = of_queries.part(1);
        let of_keys = Parts::new(&q, vec![q.shape(), q.shape()]);
        let walk = Walk {
            pass: AttentionPass::Keys,
            bias: added,
            inputs: &[&k, &v, &q, &gradient, &rows, bound],
            statistics: 0,
        };
        walk.launch(&of_keys, &call);
        let of_taps = RawTaps {
            q: of_queries.part(0),
            k: of_keys.part(0),
            v: of_keys.part(1),
        };
        if !wanted {
            return Gradients::OfTaps(of_taps);
        }
        let of_bias = column_sums(of_queries.part(2));
        let of_bias = Self::float_reshape(of_bias, [a, 2 * s - 1].into());
        Gradients::OfAll(of_taps, of_bias)
    }
}

impl Call {
    /// Blocks of rows of a sequence.
    fn blocks(&self) -> usize {
        self.heads.s.div_ceil(AttentionSpec::ROWS as usize)
    }
}

/// The next place in an output where a result may start.
fn aligned(place: usize) -> usize {
    place.next_multiple_of(ALIGNMENT)
}

/// Results of one launch, which has one output: they follow each other in it, aligned.
struct Parts {
    tensor: CubeTensor,
    shapes: Vec<Shape>,
    starts: Vec<usize>,
}

impl Parts {
    fn new(like: &CubeTensor, shapes: Vec<Shape>) -> Self {
        let (mut starts, mut end) = (Vec::new(), 0);
        for shape in &shapes {
            starts.push(aligned(end));
            end = aligned(end) + shape.num_elements();
        }
        Self {
            tensor: gpu::empty(like, [end]),
            shapes,
            starts,
        }
    }

    fn part(&self, n: usize) -> CubeTensor {
        gpu::view(&self.tensor, self.starts[n], self.shapes[n].clone())
    }
}

/// A walk over all rows or keys, and what it reads.
struct Walk<'a> {
    pass: AttentionPass,
    bias: Bias,
    inputs: &'a [&'a CubeTensor],
    /// Where statistics of rows start in what a backward pass knows.
    statistics: usize,
}

impl Walk<'_> {
    /// In one launch; where the gradient of a bias is added up, in one for some blocks of rows, and then the next.
    fn launch(&self, into: &Parts, call: &Call) {
        let blocks = call.blocks();
        let together = match self.bias {
            Bias::Differentiated => blocks.min(AttentionSpec::BLOCKS),
            _ => blocks,
        };
        let (b, heads) = (call.lengths.len(), &call.heads);
        let [b, s, a, d] = [b, heads.s, heads.heads, heads.d].map(|size| size as u32);
        let scale = 1.0 / (d as f32).sqrt();
        let far = |side: Option<usize>| side.map_or(s, |side| side.min(heads.s) as u32);
        for first in (0..blocks).step_by(together) {
            let count = together.min(blocks - first);
            let mut info = vec![b, s, a, d, scale.to_bits(), into.starts[1] as u32];
            info.extend(call.dropout.map_or([0; 3], |mask| mask.words()));
            info.extend([far(call.reach.before), far(call.reach.after)]);
            let of_bias = into.starts.get(2).copied().unwrap_or(0);
            let places = [self.statistics, first, count, of_bias, together];
            info.extend(places.map(|place| place as u32));
            info.extend(call.lengths.iter().map(|length| *length as u32));
            Launch {
                threads: AttentionSpec::ROWS,
                groups: count * (a * b) as usize,
                inputs: self.inputs,
                output: &into.tensor,
                info: &info,
            }
            .run(AttentionSpec::new(self.pass, self.bias, call));
        }
    }
}
