//! Rotary positions on a GPU: `shaders/rotary_turn.wgsl`, one thread an element.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use cubecl::prelude::KernelId;

use super::{RotaryOps, Turn};
use crate::gpu::{self, Launch};

/// `rotary_turn.wgsl` has one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RotarySpec;

impl RotarySpec {
    /// Threads of a workgroup, one an element: as many as WebGPU guarantees.
    const THREADS: u32 = 256;
}

impl KernelSource for RotarySpec {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(limbeck_shaders::ROTARY_TURN)
            .register("threads", Self::THREADS.to_string())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl RotaryOps for CubeBackend {
    fn turned(x: FloatTensor<Self>, table: FloatTensor<Self>, turn: Turn) -> FloatTensor<Self> {
        let (x, table) = (gpu::contiguous(x), gpu::contiguous(table));
        let (output, elements) = (gpu::empty(&x, x.shape()), x.shape().num_elements());
        let sizes = [elements, turn.s, turn.heads, turn.d, turn.features];
        let mut info: Vec<u32> = sizes.iter().map(|size| *size as u32).collect();
        info.push(u32::from(turn.back));
        Launch {
            threads: RotarySpec::THREADS,
            groups: elements.div_ceil(RotarySpec::THREADS as usize),
            inputs: &[&x, &table],
            output: &output,
            info: &info,
        }
        .run(RotarySpec);
        output
    }
}
