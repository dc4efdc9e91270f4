//! What the WGSL implementations share: outputs, and one way to launch.

use std::any::type_name;
use std::cell::Cell;

use burn::tensor::Shape;
use burn_cubecl::template::{KernelSource, SourceKernel};
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;
use cubecl::server::{KernelArguments, MetadataBindingInfo};

/// Parts of an output start at multiples of this many floats: 256 bytes, the largest alignment of a binding that WebGPU
/// lets a device ask for, so that a part is a view and not a copy.
pub(crate) const ALIGNMENT: usize = 64;

/// Bytes of a binding that WebGPU guarantees.
pub(crate) const MOST_BOUND: usize = 128 << 20;

/// Groups that WebGPU guarantees in one dimension of a launch.
const MOST_GROUPS: usize = 65_535;

thread_local! {
    /// What [`empty`] fills outputs with, if anything.
    static FILL: Cell<Option<f32>> = const { Cell::new(None) };
    /// Launches of shaders whose type has this in its name do nothing.
    static SKIP: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// Launches so far.
    static LAUNCHES: Cell<u64> = const { Cell::new(0) };
    /// What [`is_software`] answers, if not the truth.
    static PRETENDED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// For tests: on this thread, outputs of WGSL kernels hold this value before they are written, so that what a kernel forgets
/// to write shows.
pub fn fill_outputs_with(value: Option<f32>) {
    FILL.set(value);
}

/// For tests: on this thread, launches of shaders whose type has this in its name do nothing, as in a browser that has refused
/// them; an empty name skips all.
pub fn skip_launches(of: Option<&'static str>) {
    SKIP.set(of);
}

/// For tests: how many of our kernels this thread has launched so far.
pub fn launches() -> u64 {
    LAUNCHES.get()
}

/// For tests: on this thread, kernels are chosen as for a software adapter, or as for a real one, whatever the adapter is.
pub fn pretend_software(software: Option<bool>) {
    PRETENDED.set(software);
}

/// Whether the tensor is on a software adapter: its planes are the SIMD registers of a CPU, of 8 numbers at most, and
/// those of GPUs have 16 threads and more.
pub(crate) fn is_software(like: &CubeTensor) -> bool {
    let plane = like.client.properties().hardware.plane_size_max;
    PRETENDED.get().unwrap_or(plane <= 8)
}

/// A tensor for a kernel to write into, on the device of `like`. It holds anything: every element must be written.
pub(crate) fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let shape = shape.into();
    let bytes = shape.num_elements() * size_of::<f32>();
    let handle = match FILL.get() {
        None => like.client.empty(bytes),
        Some(value) => {
            let values = value.to_le_bytes().repeat(shape.num_elements());
            like.client.create_from_slice(&values)
        }
    };
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        shape,
        handle,
        like.dtype,
    )
}

/// Numbers of a contiguous tensor from `start` on, a multiple of [`ALIGNMENT`], as a tensor: a launch has one output, and
/// several results lie in it one after the other.
pub(crate) fn view(of: &CubeTensor, start: usize, shape: Shape) -> CubeTensor {
    let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
    let rest = of.meta.num_elements() - start - shape.num_elements();
    let handle = of.handle.clone();
    let handle = handle.offset_start(bytes(start)).offset_end(bytes(rest));
    let (client, device) = (of.client.clone(), of.device.clone());
    CubeTensor::new_contiguous(client, device, shape, handle, of.dtype)
}

/// One launch of a shader whose bindings are inputs, then one output, then `info`.
pub(crate) struct Launch<'a> {
    /// Threads of a workgroup, all in x.
    pub threads: u32,
    /// Workgroups; spread over two dimensions, so the shader computes `y * num_workgroups.x + x`, and stops at or past
    /// `groups`, which it finds in `info[0]`.
    pub groups: usize,
    /// Contiguous, bound as `read`.
    pub inputs: &'a [&'a CubeTensor],
    /// Bound as `read_write`.
    pub output: &'a CubeTensor,
    /// What follows `groups` in `info`: sizes, and real numbers as bits.
    pub info: &'a [u32],
}

impl Launch<'_> {
    pub fn run<S: KernelSource>(&self, source: S) {
        self.run_with(&[], source);
    }

    /// With more outputs, bound after the first.
    pub fn run_with<S: KernelSource>(&self, outputs: &[&CubeTensor], source: S) {
        if SKIP
            .get()
            .is_some_and(|name| type_name::<S>().contains(name))
        {
            return;
        }
        LAUNCHES.set(LAUNCHES.get() + 1);
        let mut arguments = KernelArguments::new();
        for input in self.inputs {
            let binding = input.handle.clone().binding();
            arguments = arguments.with_buffer_io(binding, BufferIOAttr::ReadOnly);
        }
        for output in [self.output].iter().chain(outputs) {
            let binding = output.handle.clone().binding();
            arguments = arguments.with_buffer_io(binding, BufferIOAttr::ReadWrite);
        }
        arguments = arguments.with_info(MetadataBindingInfo::custom(self.words()));
        let x = self.groups.min(MOST_GROUPS);
        let y = self.groups.div_ceil(x);
        let count = CubeCount::Static(x as u32, y as u32, 1);
        let kernel = SourceKernel::new(source, CubeDim::new_1d(self.threads));
        self.output
            .client
            .launch(Box::new(kernel), count, arguments);
    }

    /// `groups` and `info`, two u32 in a word, the first in its low half: an array of u32 to the shader.
    fn words(&self) -> Vec<u64> {
        let all: Vec<u32> = std::iter::once(self.groups as u32)
            .chain(self.info.iter().copied())
            .collect();
        let word =
            |pair: &[u32]| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32;
        all.chunks(2).map(word).collect()
    }
}

/// The tensor with its values in row-major order and nothing between them.
pub(crate) fn contiguous(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(tensor)
}
