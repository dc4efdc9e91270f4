//! LayerNorm on a GPU: `shaders/layer_norm_forward.wgsl` and `shaders/layer_norm_backward.wgsl`, some rows a workgroup.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::{ExecutionMode, KernelId};

use super::{Gradients, LayerNormOps, Normed, Terms};
use crate::gpu::{self, ALIGNMENT, Launch};
use crate::ops::matmul::{column_sums, cut, row, whole_fours};
use crate::optional::Optional;

/// Which way a shader of LayerNorm goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum LayerNormPass {
    /// The value, and the statistics of rows.
    Forward,
    /// The gradients.
    Backward,
}

/// Everything that the texts of `layer_norm_forward.wgsl` and `layer_norm_backward.wgsl` depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LayerNormSpec {
    pass: LayerNormPass,
    threads: u32,
    /// Threads of a row.
    lanes: u32,
}

impl LayerNormSpec {
    /// Threads of a workgroup: as many as a row has fours, in whole subgroups.
    const THREADS: [u32; 4] = [64, 128, 192, 256];
    /// Rows of a workgroup: twice as many halve what is left to add up for weight and bias, and the workgroups.
    const ROWS: u32 = 8;
    /// Threads on a software adapter, a row each, which needs no barrier: on lavapipe 18 ms forward for 4096 x 768 in place of
    /// 45, and 97 in place of 112 backward.
    const SOFTWARE: u32 = 32;

    fn new(pass: LayerNormPass, line: usize, software: bool) -> Self {
        let most = Self::THREADS[Self::THREADS.len() - 1];
        let fits = |threads: &u32| *threads as usize >= line;
        let threads = Self::THREADS.into_iter().find(fits).unwrap_or(most);
        match software {
            true => Self::on_software(pass),
            false => Self::on_gpu(pass, threads),
        }
    }

    fn on_gpu(pass: LayerNormPass, threads: u32) -> Self {
        Self {
            pass,
            threads,
            lanes: threads / Self::ROWS,
        }
    }

    fn on_software(pass: LayerNormPass) -> Self {
        Self {
            pass,
            threads: Self::SOFTWARE,
            lanes: 1,
        }
    }

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        let passes = [LayerNormPass::Forward, LayerNormPass::Backward];
        let of_pass = |pass| {
            let gpus = Self::THREADS.map(|threads| Self::on_gpu(pass, threads));
            gpus.into_iter().chain([Self::on_software(pass)])
        };
        passes.into_iter().flat_map(of_pass).collect()
    }

    /// Rows of a workgroup.
    fn rows(&self) -> usize {
        (self.threads / self.lanes) as usize
    }
}

impl KernelSource for LayerNormSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self.pass {
            LayerNormPass::Forward => limbeck_shaders::LAYER_NORM_FORWARD,
            LayerNormPass::Backward => limbeck_shaders::LAYER_NORM_BACKWARD,
        };
        SourceTemplate::new(text)
            .register("threads", self.threads.to_string())
            .register("lanes", self.lanes.to_string())
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

impl LayerNormOps for CubeBackend {
    fn norm_forward(
        terms: Terms<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        eps: f64,
    ) -> Normed<Self> {
        let (x, residual) = terms.split();
        let shape = x.shape();
        let sum = Sum::new(x, residual, weight);
        let bias = bias.into_option().map(vector);
        let start = (sum.rows * sum.line()).next_multiple_of(ALIGNMENT);
        let output = gpu::empty(&sum.x, [start + 4 * sum.rows]);
        let last = [(eps as f32).to_bits(), u32::from(bias.is_some())];
        // What is bound where there is no bias is never read.
        let bound = bias.as_ref().unwrap_or(&sum.weight);
        sum.launch(LayerNormPass::Forward, &[bound], &output, start, &last);
        Normed {
            output: sum.whole_rows(&output, shape),
            statistics: gpu::view(&output, start, [sum.rows, 4].into()),
        }
    }

    fn norm_backward(
        terms: Terms<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> Gradients<Self> {
        let (x, residual) = terms.split();
        let shape = x.shape();
        let sum = Sum::new(x, residual, weight);
        let (statistics, gradient) = (gpu::contiguous(statistics), sum.lines(gradient));
        let spec = sum.spec(LayerNormPass::Backward);
        // Aligned, so that the gradients of weight and bias are views.
        let part = sum.line().next_multiple_of(ALIGNMENT);
        let parts = [sum.rows.div_ceil(spec.rows()), 2 * part];
        let start = (sum.rows * sum.line()).next_multiple_of(ALIGNMENT);
        let output = gpu::empty(&sum.x, [start + parts[0] * parts[1]]);
        let inputs = [&statistics, &gradient];
        let fours = (part / 4) as u32;
        sum.launch(LayerNormPass::Backward, &inputs, &output, start, &[fours]);
        let sums = column_sums(gpu::view(&output, start, parts.into()));
        let of = |start| gpu::view(&sums, start, [sum.width].into());
        Gradients {
            sum: sum.whole_rows(&output, shape),
            weight: of(0),
            bias: of(part),
        }
    }
}

/// What both passes read: x, residual and weight, in whole fours.
struct Sum {
    x: CubeTensor,
    residual: Option<CubeTensor>,
    weight: CubeTensor,
    rows: usize,
    width: usize,
}

impl Sum {
    fn new(x: CubeTensor, residual: Option<CubeTensor>, weight: CubeTensor) -> Self {
        let width = weight.shape().num_elements();
        let rows = x.shape().num_elements() / width;
        let lines = |tensor| lines(tensor, [rows, width]);
        Self {
            x: lines(x),
            residual: residual.map(lines),
            weight: vector(weight),
            rows,
            width,
        }
    }

    /// Numbers of a line.
    fn line(&self) -> usize {
        self.width.next_multiple_of(4)
    }

    fn lines(&self, tensor: CubeTensor) -> CubeTensor {
        lines(tensor, [self.rows, self.width])
    }

    fn spec(&self, pass: LayerNormPass) -> LayerNormSpec {
        LayerNormSpec::new(pass, self.line() / 4, gpu::is_software(&self.x))
    }

    /// `start` is where the second of two results starts in the output, and `last` the last words of `info`.
    fn launch(
        &self,
        pass: LayerNormPass,
        inputs: &[&CubeTensor],
        output: &CubeTensor,
        start: usize,
        last: &[u32],
    ) {
        let spec = self.spec(pass);
        let residual = self.residual.as_ref().unwrap_or(&self.x);
        let sizes = [self.rows, self.width, self.line() / 4].map(|size| size as u32);
        let has_residual = u32::from(self.residual.is_some());
        Launch {
            threads: spec.threads,
            groups: self.rows.div_ceil(spec.rows()),
            inputs: &[&[&self.x, residual, &self.weight], inputs].concat(),
            output,
            info: &[&sizes[..], &[has_residual, (start / 4) as u32], last].concat(),
        }
        .run(spec);
    }

    /// The first of two results: rows of lines, cut to their width.
    fn whole_rows(&self, output: &CubeTensor, shape: Shape) -> CubeTensor {
        let lines = gpu::view(output, 0, [self.rows, self.line()].into());
        CubeBackend::float_reshape(cut(lines, self.width), shape)
    }
}

/// (rows, width) in whole fours.
fn lines(tensor: CubeTensor, shape: [usize; 2]) -> CubeTensor {
    let rows = CubeBackend::float_reshape(gpu::contiguous(tensor), shape.into());
    whole_fours(rows)
}

/// (width) in whole fours.
fn vector(tensor: CubeTensor) -> CubeTensor {
    whole_fours(row(gpu::contiguous(tensor)))
}
