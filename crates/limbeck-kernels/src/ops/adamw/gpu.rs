//! AdamW on a GPU: all parameters at once. `shaders/adamw_gather.wgsl` puts tensors side by side into a buffer,
//! `shaders/sum_squares.wgsl` adds up its squares, `shaders/adamw_update.wgsl` updates what lies in four of them.
//!
//! Parameters and moments are views of buffers: tensors whose handles have an offset. burn writes into a tensor only where
//! nobody else holds its memory (`can_mut`), and the views of a buffer share it, so no operation changes one through another.
//! In one launch a buffer is either read or written, never both.

use std::cell::Cell;
use std::ops::Add;

use burn::tensor::{DType, Device, Tensor};
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::{ExecutionMode, KernelId};
use limbeck_recipe::{Kernels, Operation};

use super::{AdamWMoments, AdamWParameter, AdamWScalars};
use crate::gpu::{self, Launch, MOST_BOUND};

/// Numbers of a block, which is a workgroup's and belongs to one tensor: 4 KiB, so that a view begins where a binding may.
const BLOCK: usize = 1_024;
/// Blocks of a buffer at most, unless it holds one tensor alone.
const BLOCKS: usize = MOST_BOUND / (BLOCK * size_of::<f32>());
/// Buffers that a launch gathers from: with output and `info` the eight that WebGPU guarantees.
const GATHERED: usize = 6;
/// Sums of squares of a buffer at most: enough workgroups for the largest GPUs.
const SUMS: usize = 1_024;

thread_local! {
    /// What stands for [`BLOCKS`].
    static LIMIT: Cell<usize> = const { Cell::new(BLOCKS) };
}

/// For tests: on this thread, buffers hold so many blocks of 1,024 numbers at most.
pub fn limit_buffers(blocks: Option<usize>) {
    LIMIT.set(blocks.unwrap_or(BLOCKS));
}

/// For tests: what the buffers of a pack hold.
pub fn buffers(pack: &Pack) -> Vec<Tensor<1>> {
    pack.buffers.iter().cloned().map(tensor).collect()
}

/// Which shader of AdamW.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AdamWSpec {
    Gather,
    Squares,
    Update,
}

impl AdamWSpec {
    /// Threads of a workgroup: four numbers of a block each.
    const THREADS: u32 = 256;

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        vec![Self::Gather, Self::Squares, Self::Update]
    }

    /// Words of `info` before its table, and of a line of it.
    fn table(&self) -> [usize; 2] {
        match self {
            Self::Gather => [3, 4],
            Self::Squares => [2, 0],
            Self::Update => [8, 5],
        }
    }
}

impl KernelSource for AdamWSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self {
            Self::Gather => limbeck_shaders::ADAMW_GATHER,
            Self::Squares => limbeck_shaders::SUM_SQUARES,
            Self::Update => limbeck_shaders::ADAMW_UPDATE,
        };
        let [head, words] = self.table();
        SourceTemplate::new(text)
            .register("threads", Self::THREADS.to_string())
            .register("head", head.to_string())
            .register("words", words.to_string())
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

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    shape: [usize; 2],
    /// Which buffer.
    buffer: usize,
    /// Its first block there.
    start: usize,
}

impl Place {
    fn length(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    fn end(&self) -> usize {
        self.start + self.length().div_ceil(BLOCK)
    }
}

/// Tensors of f32 side by side in a few buffers of a GPU: in one, unless they are larger than a binding may be. Each begins with
/// a block of 1,024 numbers; after it, and where one is missing, are zeros.
#[derive(Clone, Debug)]
pub struct Pack {
    places: Vec<Place>,
    present: Vec<bool>,
    buffers: Vec<CubeTensor>,
}

/// Puts tensors of these shapes side by side, where the kernels are ours and the tensors are on a GPU: a launch takes what lies in six
/// buffers, which may hold more tensors than six. A tensor may be missing, but not all.
///
/// # Errors
/// The tensors as they are, where they are not to be packed.
pub fn pack(
    kernels: impl Into<Kernels>,
    shapes: &[[usize; 2]],
    tensors: Vec<Option<Tensor<2>>>,
) -> Result<Pack, Vec<Option<Tensor<2>>>> {
    let there = tensors.iter().flatten().next();
    let is_ours = |tensor: &&Tensor<2>| kernels.into().has(Operation::AdamW) && is_ours(tensor);
    let Some(like) = there.filter(is_ours) else {
        return Err(tensors);
    };
    let (like, places) = (primitive(like.clone()), places(shapes));
    let tensors: Vec<_> = tensors.into_iter().map(|t| t.map(primitive)).collect();
    Ok(Pack {
        present: tensors.iter().map(Option::is_some).collect(),
        buffers: gathered(&places, &tensors, &like),
        places,
    })
}

impl Pack {
    /// The tensors, as views; none where it is missing.
    pub fn tensors(&self) -> Vec<Option<Tensor<2>>> {
        let views = views(&self.places, &self.buffers);
        let views = views.into_iter().zip(&self.present);
        views
            .map(|(view, present)| present.then(|| tensor(view)))
            .collect()
    }

    /// Which tensors are there.
    pub fn present(&self) -> Vec<bool> {
        self.present.clone()
    }

    /// Sums of squares, some thousand at most, which add up to that of all numbers: added in f32, in an order that depends on
    /// the shapes alone. The square of a number above 1.8e19 is infinite, and so is the sum, as in PyTorch.
    pub fn squares(&self) -> Vec<Tensor<1>> {
        let sums = |buffer: &CubeTensor| {
            let length = buffer.meta.num_elements();
            let groups = (length / BLOCK).min(SUMS);
            let output = gpu::empty(buffer, [groups]);
            Launch {
                threads: AdamWSpec::THREADS,
                groups,
                inputs: &[buffer],
                output: &output,
                info: &[(length / 4) as u32],
            }
            .run(AdamWSpec::Squares);
            tensor(output)
        };
        self.buffers.iter().map(sums).collect()
    }

    /// Times a number.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        let scaled = |buffer| primitive(tensor::<1>(buffer) * factor);
        Self {
            buffers: self.buffers.into_iter().map(scaled).collect(),
            ..self
        }
    }
}

/// What lies at each place.
fn views(places: &[Place], buffers: &[CubeTensor]) -> Vec<CubeTensor> {
    let view = |place: &Place| {
        let buffer = &buffers[place.buffer];
        gpu::view(buffer, place.start * BLOCK, place.shape.into())
    };
    places.iter().map(view).collect()
}

/// The sum, tensor by tensor, of packs of the same shapes. What is missing on one side is that of the other side.
impl Add for Pack {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let present = self.present.iter().zip(&other.present);
        let buffers = self.buffers.into_iter().zip(other.buffers);
        Self {
            places: self.places,
            present: present.map(|(ours, theirs)| *ours || *theirs).collect(),
            buffers: buffers
                .map(|(ours, theirs)| primitive(tensor::<1>(ours) + tensor(theirs)))
                .collect(),
        }
    }
}

/// Updates the parameters whose gradients a pack holds, in one launch a buffer, and leaves the others, in place where nobody
/// else holds the values. `scalars` are those of all parameters; `time` is each one's own, and those that do not decay have no
/// `weight_decay`. What is returned are views; given back at the next update, they are not moved again.
pub fn adamw_all(
    parameters: Vec<AdamWParameter>,
    gradients: Pack,
    scalars: AdamWScalars,
) -> Vec<(Tensor<2>, AdamWMoments<2>)> {
    let places = &gradients.places;
    let tables = tables(&gradients, &parameters, scalars);
    let (mut weights, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in parameters {
        weights.push(Some(primitive(parameter.values)));
        let moments = parameter
            .moments
            .map(|m| [m.first, m.second].map(primitive));
        let [of_first, of_second] = moments.map_or([None, None], |m| m.map(Some));
        first.push(of_first);
        second.push(of_second);
    }
    let like = &gradients.buffers[0];
    let [weights, first, second] =
        [weights, first, second].map(|tensors| owned(places, tensors, like));
    for (at, (buffer, table)) in gradients.buffers.iter().zip(&tables).enumerate() {
        Launch {
            threads: AdamWSpec::THREADS,
            groups: buffer.meta.num_elements() / BLOCK,
            inputs: &[buffer],
            output: &weights[at],
            info: table,
        }
        .run_with(&[&first[at], &second[at]], AdamWSpec::Update);
    }
    let [weights, first, second] =
        [weights, first, second].map(|buffers| views(places, &buffers).into_iter().map(tensor));
    let moments = first
        .zip(second)
        .map(|(first, second)| AdamWMoments { first, second });
    weights.zip(moments).collect()
}

/// What `adamw_update.wgsl` reads of each buffer: the numbers of all, then a line for each parameter in it.
fn tables(gradients: &Pack, parameters: &[AdamWParameter], scalars: AdamWScalars) -> Vec<Vec<u32>> {
    let bits = |number: f64| (number as f32).to_bits();
    let all = [
        scalars.gradient_scale,
        scalars.beta1,
        1.0 - scalars.beta1,
        scalars.beta2,
        1.0 - scalars.beta2,
        scalars.eps,
    ];
    let mut tables = vec![vec![0]; gradients.buffers.len()];
    for table in &mut tables {
        table.extend(all.map(bits));
    }
    let lines = gradients.places.iter().zip(&gradients.present);
    for ((place, present), parameter) in lines.zip(parameters) {
        let own = AdamWScalars {
            time: parameter.time,
            ..scalars
        };
        let (step, correction) = own.corrections();
        let decay = match parameter.decays {
            true => 1.0 - scalars.learning_rate * scalars.weight_decay,
            false => 1.0,
        };
        let fours = match present {
            true => place.length().div_ceil(4),
            false => 0,
        };
        let table = &mut tables[place.buffer];
        table[0] += 1;
        table.extend([place.start as u32, fours as u32]);
        table.extend([decay, step, correction].map(bits));
    }
    tables
}

/// Where tensors of these shapes lie, one after the other.
fn places(shapes: &[[usize; 2]]) -> Vec<Place> {
    let (mut buffer, mut start) = (0, 0);
    let place = |shape: &[usize; 2]| {
        let mut place = Place {
            shape: *shape,
            buffer,
            start,
        };
        if start > 0 && place.end() > LIMIT.get() {
            buffer += 1;
            place = Place {
                buffer,
                start: 0,
                ..place
            };
        }
        start = place.end();
        place
    };
    shapes.iter().map(place).collect()
}

/// Buffers with the tensors at their places, to be written into: those that the tensors are views of, unless somebody else holds
/// any, or new ones.
fn owned(places: &[Place], tensors: Vec<Option<CubeTensor>>, like: &CubeTensor) -> Vec<CubeTensor> {
    let Some(buffers) = viewed(places, &tensors) else {
        return gathered(places, &tensors, like);
    };
    drop(tensors);
    if buffers.iter().all(CubeTensor::can_mut) {
        return buffers;
    }
    let views = views(places, &buffers).into_iter().map(Some);
    gathered(places, &views.collect::<Vec<_>>(), like)
}

/// The buffers that all tensors are views of, each at its place; none if any is elsewhere.
fn viewed(places: &[Place], tensors: &[Option<CubeTensor>]) -> Option<Vec<CubeTensor>> {
    let mut buffers: Vec<CubeTensor> = Vec::new();
    for (place, tensor) in places.iter().zip(tensors) {
        let tensor = tensor.as_ref()?;
        if place.buffer == buffers.len() {
            buffers.push(whole(tensor, blocks(places, place.buffer))?);
        }
        let buffer = &buffers[place.buffer];
        let start = (place.start * BLOCK * size_of::<f32>()) as u64;
        let is_there = tensor.handle.offset_start == Some(start) && tensor.is_contiguous();
        if !is_there || !are_in_one(tensor, buffer) {
            return None;
        }
    }
    Some(buffers)
}

/// The buffer of so many blocks that a tensor is a view of, if it is one.
fn whole(view: &CubeTensor, blocks: usize) -> Option<CubeTensor> {
    let buffer = buffer_of(view);
    (buffer.meta.num_elements() == blocks * BLOCK).then_some(buffer)
}

/// All of the buffer that a tensor lies in.
fn buffer_of(tensor: &CubeTensor) -> CubeTensor {
    let mut handle = tensor.handle.clone();
    (handle.offset_start, handle.offset_end) = (None, None);
    let length = handle.size() as usize / size_of::<f32>();
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    CubeTensor::new_contiguous(client, device, [length].into(), handle, DType::F32)
}

/// Blocks of a buffer.
fn blocks(places: &[Place], buffer: usize) -> usize {
    let of_buffer = places.iter().filter(|place| place.buffer == buffer);
    of_buffer.map(Place::end).max().unwrap_or(0)
}

/// New buffers on the device of `like`, with the tensors at their places.
fn gathered(
    places: &[Place],
    tensors: &[Option<CubeTensor>],
    like: &CubeTensor,
) -> Vec<CubeTensor> {
    let mut buffers: Vec<CubeTensor> = Vec::new();
    let of = |tensor: &Option<CubeTensor>| tensor.clone().map(gpu::contiguous);
    let tensors: Vec<_> = tensors.iter().map(of).collect();
    let all: Vec<_> = places.iter().zip(&tensors).collect();
    let mut rest = &all[..];
    while let Some((Place { buffer, .. }, _)) = rest.first() {
        if *buffer == buffers.len() {
            buffers.push(gpu::empty(like, [blocks(places, *buffer) * BLOCK]));
        }
        rest = gather(rest, like, &buffers[buffers.len() - 1]);
    }
    buffers
}

/// Buffers that tensors lie in, six at most: gradients of one launch share one.
#[derive(Default)]
struct Sources(Vec<CubeTensor>);

impl Sources {
    /// Which buffer a tensor is in, and where it starts there; none if that would be a seventh buffer.
    fn binding(&mut self, tensor: &CubeTensor) -> Option<[usize; 2]> {
        let start = tensor.handle.offset_start.unwrap_or(0) as usize / size_of::<f32>();
        let known = self.0.iter().position(|buffer| are_in_one(buffer, tensor));
        let at = known.unwrap_or(self.0.len());
        if at == GATHERED {
            return None;
        }
        if known.is_none() {
            self.0.push(buffer_of(tensor));
        }
        Some([at, start])
    }
}

/// A tensor, which may be missing, and where it goes.
type Placed<'a> = (&'a Place, &'a Option<CubeTensor>);

/// One launch: the first of the tensors, which lie without gaps, to their places in a buffer, as far as they go to that one and lie in
/// six. Returns the others.
fn gather<'a>(
    tensors: &'a [Placed<'a>],
    like: &CubeTensor,
    output: &CubeTensor,
) -> &'a [Placed<'a>] {
    let mut sources = Sources::default();
    let (Place { buffer, start, .. }, _) = tensors[0];
    let (mut taken, mut end) = (0, *start);
    let mut info = vec![*start as u32, 0];
    let to_one = tensors.iter().take_while(|(to, _)| to.buffer == *buffer);
    for (place, tensor) in to_one {
        let source = match tensor {
            Some(tensor) => sources.binding(tensor).map(|at| (place.length(), at)),
            None => Some((0, [0, 0])),
        };
        let Some((numbers, [binding, from])) = source else {
            break;
        };
        info.extend([place.start, numbers, binding, from].map(|n| n as u32));
        (taken, end) = (taken + 1, place.end());
    }
    info[1] = taken as u32;
    let mut bound: Vec<&CubeTensor> = sources.0.iter().collect();
    // What is not read must be bound all the same.
    bound.resize(GATHERED, like);
    Launch {
        threads: AdamWSpec::THREADS,
        groups: end - start,
        inputs: &bound,
        output,
        info: &info,
    }
    .run(AdamWSpec::Gather);
    &tensors[taken..]
}

/// Whether two tensors lie in one buffer.
fn are_in_one(tensor: &CubeTensor, other: &CubeTensor) -> bool {
    let id = |tensor: &CubeTensor| tensor.handle.memory.clone().binding().id();
    id(tensor) == id(other)
}

/// The shaders know f32 alone.
fn is_ours(tensor: &Tensor<2>) -> bool {
    let on_gpu = tensor.device().without_autodiff() != Device::flex();
    on_gpu && tensor.dtype() == DType::F32
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    match tensor.try_into_primitive::<CubeBackend>() {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("packs are of tensors on one GPU: {error:?}"),
    }
}

fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(primitive)
}
