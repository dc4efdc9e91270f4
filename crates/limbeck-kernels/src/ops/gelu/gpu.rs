//! GELU on a GPU: `shaders/gelu_forward.wgsl` and `shaders/gelu_backward.wgsl`, one thread an element.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::KernelId;

use super::GeluOps;
use crate::gpu::{self, Launch};
use crate::ops::matmul::column_sums;
use crate::optional::Optional;

/// Which way a shader of GELU goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum GeluPass {
    /// The value.
    Forward,
    /// The gradient of x.
    Backward,
}

/// Everything that the texts of `gelu_forward.wgsl` and `gelu_backward.wgsl` depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GeluSpec {
    pass: GeluPass,
}

impl GeluSpec {
    /// Threads of a workgroup, one an element: as many as WebGPU guarantees.
    const THREADS: u32 = 256;

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        [GeluPass::Forward, GeluPass::Backward]
            .map(|pass| Self { pass })
            .into()
    }
}

impl KernelSource for GeluSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self.pass {
            GeluPass::Forward => limbeck_shaders::GELU_FORWARD,
            GeluPass::Backward => limbeck_shaders::GELU_BACKWARD,
        };
        SourceTemplate::new(text).register("threads", Self::THREADS.to_string())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl GeluOps for CubeBackend {
    fn biased_gelu(x: FloatTensor<Self>, bias: Optional<Self>) -> FloatTensor<Self> {
        let (x, bias) = (gpu::contiguous(x), bias.into_option().map(gpu::contiguous));
        launch(GeluPass::Forward, &x, bias.as_ref(), &[])
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: Optional<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let [x, gradient] = [x, gradient].map(gpu::contiguous);
        let bias = bias.into_option().map(gpu::contiguous);
        let of_x = launch(GeluPass::Backward, &x, bias.as_ref(), &[&gradient]);
        let of_bias = bias.map(|bias| {
            let width = bias.shape().num_elements();
            let rows = of_x.shape().num_elements() / width;
            column_sums(Self::float_reshape(of_x.clone(), [rows, width].into()))
        });
        (of_x, of_bias)
    }
}

/// One pass of the GPU over x and bias, and what else is read.
fn launch(
    pass: GeluPass,
    x: &CubeTensor,
    bias: Option<&CubeTensor>,
    more: &[&CubeTensor],
) -> CubeTensor {
    let width = bias.map_or(0, |bias| bias.shape().num_elements());
    let (output, elements) = (gpu::empty(x, x.shape()), x.shape().num_elements());
    Launch {
        threads: GeluSpec::THREADS,
        groups: elements.div_ceil(GeluSpec::THREADS as usize),
        // What is bound where there is no bias is never read.
        inputs: &[&[x, bias.unwrap_or(x)], more].concat(),
        output: &output,
        info: &[elements as u32, width as u32],
    }
    .run(GeluSpec { pass });
    output
}
