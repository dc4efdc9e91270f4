//! GELU on a GPU: `shaders/gelu_forward.wgsl` and `shaders/gelu_backward.wgsl`, one thread an element.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use cubecl::prelude::KernelId;

use super::GeluOps;
use crate::gpu::{self, Launch};
use crate::ops::matmul::column_sums;

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
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, bias) = (gpu::contiguous(x), gpu::contiguous(bias));
        launch(GeluPass::Forward, &[&x, &bias])
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, bias, gradient] = [x, bias, gradient].map(gpu::contiguous);
        let of_x = launch(GeluPass::Backward, &[&x, &bias, &gradient]);
        let width = bias.shape().num_elements();
        let rows = of_x.shape().num_elements() / width;
        let of_rows = Self::float_reshape(of_x.clone(), [rows, width].into());
        (of_x, column_sums(of_rows))
    }
}

/// One pass of the GPU over x and bias, the first two inputs.
fn launch(pass: GeluPass, inputs: &[&FloatTensor<CubeBackend>]) -> FloatTensor<CubeBackend> {
    let (x, width) = (inputs[0], inputs[1].shape().num_elements());
    let (output, elements) = (gpu::empty(x, x.shape()), x.shape().num_elements());
    Launch {
        threads: GeluSpec::THREADS,
        groups: elements.div_ceil(GeluSpec::THREADS as usize),
        inputs,
        output: &output,
        info: &[elements as u32, width as u32],
    }
    .run(GeluSpec { pass });
    output
}
