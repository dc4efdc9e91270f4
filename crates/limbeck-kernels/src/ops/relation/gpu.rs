//! The relation loss on a GPU: `shaders/relation_forward.wgsl` and `shaders/relation_backward.wgsl`, a launch a pair, and
//! `shaders/mean_rows.wgsl`, which makes the loss of rows.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::{ExecutionMode, KernelId};
use limbeck_recipe::{Pair, Vector};

use super::{Call, RelationOps};
use crate::Dims;
use crate::gpu::{self, ALIGNMENT, Launch};
use crate::pair::RawTaps;

/// Statistics of a row: KL; maximum and log-sum of student and teacher.
const STATISTICS: usize = 5;
/// Widths of a relation head whose vectors fit in registers: those of the models that people distil. Others take the next.
const STOCK: [usize; 4] = [8, 16, 32, 64];
/// Features that go through workgroup memory at once where a head is wider than those.
const SLICE: usize = 128;

/// What a vector is to the pair whose gradient it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pass {
    Forward,
    /// The gradient of rows.
    Rows,
    /// The gradient of columns.
    Columns,
    /// Both, in a pair of a projection with itself.
    Both,
}

/// Everything that the text of a relation shader depends on: it renders the shader, keys the cache of pipelines and is what
/// the tests validate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RelationSpec {
    pass: Pass,
    /// Features of student and teacher that go through workgroup memory at once.
    slices: [usize; 2],
    /// They are all that there are.
    whole: bool,
    /// Rows that a thread takes: each key that it reads from workgroup memory serves all of them.
    each: usize,
}

impl RelationSpec {
    /// Threads of a workgroup: one or two subgroups on every vendor's GPU.
    const THREADS: usize = 64;
    /// Floats of rows and gradients that a thread may hold: GPUs have about 255 registers a thread. A software adapter, whose
    /// planes are a CPU's SIMD registers, holds them in its cache, and gains more from reading keys less often.
    const REGISTERS: [usize; 2] = [192, 256];

    fn new(pass: Pass, dims: &Dims, like: &CubeTensor) -> Self {
        let registers = Self::REGISTERS[usize::from(gpu::is_software(like))];
        let stock = |width| STOCK.into_iter().find(|stock| *stock >= width);
        match (stock(dims.student), stock(dims.teacher)) {
            (Some(student), Some(teacher)) => Self::whole(pass, [student, teacher], registers),
            _ => Self::sliced(pass),
        }
    }

    fn whole(pass: Pass, slices: [usize; 2], registers: usize) -> Self {
        let [student, teacher] = slices;
        let gradient = if pass == Pass::Forward { 0 } else { student };
        let each = match registers / (student + teacher + gradient) {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        Self {
            pass,
            slices,
            whole: true,
            each,
        }
    }

    fn sliced(pass: Pass) -> Self {
        Self {
            pass,
            slices: [SLICE; 2],
            whole: false,
            each: 1,
        }
    }

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for pass in [Pass::Forward, Pass::Rows, Pass::Columns, Pass::Both] {
            for (student, teacher) in STOCK.iter().flat_map(|s| STOCK.map(|t| (*s, t))) {
                let variants = Self::REGISTERS.map(|n| Self::whole(pass, [student, teacher], n));
                all.extend(variants);
            }
            all.push(Self::sliced(pass));
        }
        all.dedup();
        all
    }

    /// Keys that go through workgroup memory at once: at the widest stock shape 8 KiB, half of what WebGPU guarantees; four
    /// where they come in slices, as their scores then have to be kept from slice to slice.
    fn tile(&self) -> usize {
        if self.whole { 16 } else { 4 }
    }

    /// Launches the shader on all rows of a pair, with the last words before the lengths.
    fn launch(&self, inputs: &[&CubeTensor], output: &CubeTensor, call: &Call, says: [u32; 3]) {
        let Dims {
            batch,
            heads,
            length,
            student,
            teacher,
        } = call.dims;
        let scale = |d: usize| (1.0 / (d as f32).sqrt()).to_bits();
        let sizes = [batch, length, heads, student, teacher].map(|size| size as u32);
        let mut info = sizes.to_vec();
        info.extend([scale(student), scale(teacher)]);
        info.extend(says);
        info.extend(call.lengths.iter().map(|length| *length as u32));
        Launch {
            threads: Self::THREADS as u32,
            groups: batch * heads * length.div_ceil(Self::THREADS * self.each),
            inputs,
            output,
            info: &info,
        }
        .run(self.clone());
    }
}

impl KernelSource for RelationSpec {
    fn source(&self) -> SourceTemplate {
        let text = match self.pass {
            Pass::Forward => limbeck_shaders::RELATION_FORWARD,
            _ => limbeck_shaders::RELATION_BACKWARD,
        };
        let [wide_s, wide_t] = self.slices.map(|features| features / 4);
        let own = matches!(self.pass, Pass::Rows | Pass::Both);
        let other = matches!(self.pass, Pass::Columns | Pass::Both);
        let numbers = [
            ("threads", Self::THREADS),
            ("each", self.each),
            ("tile", self.tile()),
            ("wide_s", wide_s),
            ("wide_t", wide_t),
            ("shared_s", self.tile() * wide_s),
            ("shared_t", self.tile() * wide_t),
            ("whole", usize::from(self.whole)),
            ("own", usize::from(own)),
            ("other", usize::from(other)),
        ];
        numbers
            .into_iter()
            .fold(SourceTemplate::new(text), |text, (name, number)| {
                text.register(name, number.to_string())
            })
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

/// Everything that the text of `mean_rows.wgsl` depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MeanSpec {
    /// Means of sequences become those of pairs, and the loss.
    last: bool,
}

impl MeanSpec {
    /// Threads of a workgroup, which has a sequence, or all of them.
    const THREADS: u32 = 128;

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        [false, true].map(|last| Self { last }).into()
    }
}

impl KernelSource for MeanSpec {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(limbeck_shaders::MEAN_ROWS)
            .register("threads", Self::THREADS.to_string())
            .register("last", u32::from(self.last).to_string())
            .register("gap", ALIGNMENT.to_string())
    }

    /// Unchecked, as [`RelationSpec`].
    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .mode(ExecutionMode::Unchecked)
            .info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

type Vectors = RawTaps<CubeBackend>;

impl RelationOps for CubeBackend {
    fn relation_statistics(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        statistics(student, teacher, &call)
    }

    fn relation_means(
        statistics: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        means(&gpu::contiguous(statistics), &call)
    }

    fn relation_gradients(
        student: RawTaps<Self>,
        teacher: RawTaps<Self>,
        statistics: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        call: Call,
    ) -> RawTaps<Self> {
        gradients(student, teacher, &statistics, upstream, &call)
    }
}

fn contiguous(taps: Vectors) -> Vectors {
    taps.map(gpu::contiguous)
}

fn statistics(student: Vectors, teacher: Vectors, call: &Call) -> CubeTensor {
    let (student, teacher) = (contiguous(student), contiguous(teacher));
    let [p, b, a, s] = call.rows();
    let statistics = gpu::empty(&student.q, [p, STATISTICS, b, a, s]);
    let spec = RelationSpec::new(Pass::Forward, &call.dims, &statistics);
    for (index, (pair, _)) in call.pairs.iter().enumerate() {
        let inputs = [
            student.get(pair.row),
            student.get(pair.column),
            teacher.get(pair.row),
            teacher.get(pair.column),
        ];
        spec.launch(&inputs, &statistics, call, [index as u32, 0, 0]);
    }
    statistics
}

/// The loss (1), and by pair (P).
fn means(statistics: &CubeTensor, call: &Call) -> (CubeTensor, CubeTensor) {
    let [p, b, a, s] = call.rows();
    let mut info = [p, b, a * s].map(|size| size as u32).to_vec();
    let bits = |weight: f64| (weight as f32).to_bits();
    info.extend(call.pairs.iter().map(|(_, weight)| bits(*weight)));
    info.extend((0..b).map(|sequence| bits(call.row_weight(sequence))));
    let launch = |numbers: &CubeTensor, groups, size: usize, last| {
        let output = gpu::empty(numbers, [size]);
        Launch {
            threads: MeanSpec::THREADS,
            groups,
            inputs: &[numbers],
            output: &output,
            info: &info,
        }
        .run(MeanSpec { last });
        output
    };
    let by_sequence = launch(statistics, p * b, p * b, false);
    let all = launch(&by_sequence, 1, ALIGNMENT + p, true);
    let view = |start, count: usize| gpu::view(&all, start, [count].into());
    (view(0, 1), view(ALIGNMENT, p))
}

fn gradients(
    student: Vectors,
    teacher: Vectors,
    statistics: &CubeTensor,
    upstream: CubeTensor,
    call: &Call,
) -> Vectors {
    let (student, teacher) = (contiguous(student), contiguous(teacher));
    let upstream = gpu::contiguous(upstream);
    let of = |vector: Vector| {
        if !call.uses(vector) {
            return student.get(vector).clone();
        }
        let own = student.get(vector);
        let gradient = gpu::empty(own, own.meta.shape().clone());
        let mut written = false;
        for (index, (pair, weight)) in call.pairs.iter().enumerate() {
            if let Some((pass, other)) = pass(*pair, vector) {
                let inputs = [
                    own,
                    student.get(other),
                    teacher.get(vector),
                    teacher.get(other),
                    statistics,
                    &upstream,
                ];
                let weight = (weight / call.tasks() as f64) as f32;
                let says = [index as u32, u32::from(written), weight.to_bits()];
                RelationSpec::new(pass, &call.dims, &gradient)
                    .launch(&inputs, &gradient, call, says);
                written = true;
            }
        }
        gradient
    };
    RawTaps {
        q: of(Vector::Q),
        k: of(Vector::K),
        v: of(Vector::V),
    }
}

/// How a pair gives gradient to a projection, and what the projection meets there.
fn pass(pair: Pair, vector: Vector) -> Option<(Pass, Vector)> {
    match (pair.row == vector, pair.column == vector) {
        (true, true) => Some((Pass::Both, vector)),
        (true, false) => Some((Pass::Rows, pair.column)),
        (false, true) => Some((Pass::Columns, pair.row)),
        (false, false) => None,
    }
}
