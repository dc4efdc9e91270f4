//! Matmul on a GPU: `shaders/matmul_tiles.wgsl`, `shaders/matmul_threads.wgsl` or, in mixed precision, `shaders/matmul_matrices.wgsl`; and
//! `shaders/sum_rows.wgsl` where K is in parts.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Slice};
use burn_cubecl::template::{KernelSource, SourceTemplate};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::prelude::{ExecutionMode, KernelId};
use limbeck_recipe::Mixed;

use super::MatmulOps;
use crate::gpu::{self, ALIGNMENT, Launch};

/// What an output is cut into, and who computes a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tile {
    /// A workgroup has 64 by 64, or 128 by 128, in workgroup memory.
    Group { large: bool },
    /// A thread has 4 by 4, or 16 by 16, in registers.
    Thread { large: bool },
    /// A workgroup has 64 by 64 in cooperative matrices.
    Matrices,
}

/// A line of the table by which a product gets its tile.
struct Line {
    tile: Tile,
    /// It applies where rows or columns are at most so many ...
    narrow: usize,
    /// ... and the output has at least so many tiles.
    tiles: usize,
}

/// Any number of rows and columns.
const ANY: usize = usize::MAX;

/// The tile of a product is that of the first line that applies.
const GPU: [Line; 3] = [
    // A few rows or columns, of a classifier's head or of one short text: most of a workgroup's tile would be empty.
    Line {
        tile: Tile::Thread { large: false },
        narrow: 16,
        tiles: 0,
    },
    // A number that comes from workgroup memory is used eight times; a trial of this tile had 37 TFLOP/s on an H100. 128 of
    // them are about one for each multiprocessor of the largest GPUs.
    Line {
        tile: Tile::Group { large: true },
        narrow: ANY,
        tiles: 128,
    },
    // With fewer tiles, four times as many.
    Line {
        tile: Tile::Group { large: false },
        narrow: ANY,
        tiles: 0,
    },
];

/// A software adapter reads any memory a lane at a time, some 20 cycles for 4 numbers, and multiplies and adds 8 in one
/// or two. On lavapipe, in GFLOP/s and core: 11 to 13 with 16 by 16 sums a thread, 6.5 with 4 by 16, 4.5 with 4 by 4;
/// 4.8 with the workgroup's 128 by 128, 2.8 with its 64 by 64. More sums than 16 by 16 leave the first-level cache and
/// take seconds to compile.
const SOFTWARE: [Line; 2] = [
    // Two SIMD registers of tiles.
    Line {
        tile: Tile::Thread { large: true },
        narrow: ANY,
        tiles: 16,
    },
    Line {
        tile: Tile::Thread { large: false },
        narrow: ANY,
        tiles: 0,
    },
];

/// With cooperative matrices. In a trial on an H100 this tile had 126 TFLOP/s and one of 128 by 128 had 102.
const COOPERATIVE: [Line; 2] = [
    Line {
        tile: Tile::Thread { large: false },
        narrow: 16,
        tiles: 0,
    },
    Line {
        tile: Tile::Matrices,
        narrow: ANY,
        tiles: 0,
    },
];

impl Tile {
    /// Those of any GPU.
    const ALL: [Self; 4] = [
        Self::Group { large: false },
        Self::Group { large: true },
        Self::Thread { large: false },
        Self::Thread { large: true },
    ];

    /// Rows, and columns.
    fn side(self) -> usize {
        match self {
            Self::Group { large: false } | Self::Matrices => 64,
            Self::Group { large: true } => 128,
            Self::Thread { large: false } => 4,
            Self::Thread { large: true } => 16,
        }
    }

    /// Fours of K that go through workgroup memory at once: with either side two matrices of 8 KiB, all that WebGPU
    /// guarantees, and a block of four by four for each of the 256 threads to bring.
    fn depth(self) -> usize {
        match self {
            Self::Group { large: false } | Self::Matrices => 8,
            Self::Group { large: true } => 4,
            Self::Thread { .. } => 1,
        }
    }

    /// Threads of a workgroup. Large tiles of threads are few and are computed on CPUs, so their groups are small.
    fn threads(self) -> u32 {
        match self {
            Self::Group { .. } => 256,
            Self::Matrices => 128,
            Self::Thread { large: false } => 64,
            Self::Thread { large: true } => 16,
        }
    }

    /// How many an output has.
    fn count(self, [rows, columns]: [usize; 2]) -> usize {
        rows.div_ceil(self.side()) * columns.div_ceil(self.side())
    }

    /// Workgroups for so many.
    fn groups(self, tiles: usize) -> usize {
        match self {
            Self::Group { .. } | Self::Matrices => tiles,
            Self::Thread { .. } => tiles.div_ceil(self.threads() as usize),
        }
    }
}

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    tile: Tile,
    /// Fours of K in a part.
    part: usize,
    /// Parts that K has.
    parts: usize,
}

impl Plan {
    /// Workgroups below which K is cut into parts: twice the multiprocessors of a large GPU, or the threads of a CPU.
    const BUSY: [usize; 2] = [256, 16];
    /// Fours of K that a part has at least: a sum of fewer is hardly longer than writing it, reading it and adding it
    /// to others.
    const LEAST: usize = 64;

    /// Of so many products (M, K) times (K, N); K goes through so many fours, and nothing is 0.
    fn new(
        [m, n]: [usize; 2],
        fours: usize,
        products: usize,
        software: bool,
        mixed: Option<Mixed>,
    ) -> Self {
        let (table, busy): (&[Line], _) = match (mixed, software) {
            (Some(Mixed::Cooperative), _) => (&COOPERATIVE, Self::BUSY[0]),
            (_, true) => (&SOFTWARE, Self::BUSY[1]),
            (_, false) => (&GPU, Self::BUSY[0]),
        };
        let tiles = |tile: Tile| products * tile.count([m, n]);
        let applies = |line: &&Line| m.min(n) <= line.narrow && tiles(line.tile) >= line.tiles;
        // The last line of a table applies to all.
        let line = table
            .iter()
            .find(applies)
            .unwrap_or(&table[table.len() - 1]);
        let tile = line.tile;
        let wanted = busy / tile.groups(tiles(tile));
        let parts = wanted.min(fours / Self::LEAST).max(1);
        let part = fours.div_ceil(parts).next_multiple_of(tile.depth());
        let parts = fours.div_ceil(part);
        Self { tile, part, parts }
    }

    /// The same with K, of so many fours, in one part.
    fn in_one_part(self, fours: usize) -> Self {
        Self {
            part: fours,
            parts: 1,
            ..self
        }
    }
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// It is written, plus what is added to it.
    Plain,
    /// GELU of it and what is added is written, and what that is of too, if it is wanted.
    Gelu,
    /// It is written times the slope of GELU at u.
    GeluSlope,
    /// It is written, and so are the sums of the columns of its second factor.
    ColumnSums,
}

/// How many products a launch computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Products {
    /// A B.
    One,
    /// A B0, A B1, A B2.
    Three,
    /// A0 B0 + A1 B1 + A2 B2.
    Sum,
}

/// Everything that the texts of `matmul_tiles.wgsl`, `matmul_threads.wgsl` and `matmul_matrices.wgsl` depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MatmulSpec {
    tile: Tile,
    products: Products,
    /// Which factors are stored transposed.
    across: [bool; 2],
    end: End,
    /// Whether factors are rounded to f16.
    rounded: bool,
}

impl MatmulSpec {
    /// Of mixed precision: forward alone.
    const ROUNDED: [(Products, End); 3] = [
        (Products::One, End::Plain),
        (Products::One, End::Gelu),
        (Products::Three, End::Plain),
    ];

    fn rounded(tile: Tile) -> [Self; 3] {
        Self::ROUNDED.map(|(products, end)| Self {
            tile,
            products,
            across: [false; 2],
            end,
            rounded: true,
        })
    }

    /// Every variant that is ever launched on a device with cooperative matrices and on no other.
    #[cfg(not(target_family = "wasm"))]
    pub fn cooperative() -> Vec<Self> {
        Self::rounded(Tile::Matrices).into()
    }

    /// Every variant that is ever launched on any device.
    pub fn all() -> Vec<Self> {
        const ALL: [(Products, [bool; 2], End); 11] = [
            (Products::One, [false, false], End::Plain),
            (Products::One, [false, true], End::Plain),
            (Products::One, [true, false], End::Plain),
            (Products::One, [true, true], End::Plain),
            (Products::One, [false, false], End::Gelu),
            (Products::One, [false, true], End::GeluSlope),
            (Products::One, [true, false], End::ColumnSums),
            (Products::Three, [false, false], End::Plain),
            (Products::Three, [true, false], End::Plain),
            (Products::Three, [true, false], End::ColumnSums),
            (Products::Sum, [false, true], End::Plain),
        ];
        let of_tile = |tile| {
            ALL.map(|(products, across, end)| Self {
                tile,
                products,
                across,
                end,
                rounded: false,
            })
        };
        let plain = Tile::ALL.into_iter().flat_map(of_tile);
        plain
            .chain(Tile::ALL.into_iter().flat_map(Self::rounded))
            .collect()
    }
}

impl KernelSource for MatmulSpec {
    fn source(&self) -> SourceTemplate {
        let flag = |flag: bool| u32::from(flag).to_string();
        let fours = self.tile.side() / 4;
        let (text, large) = match self.tile {
            Tile::Group { large } => (limbeck_shaders::MATMUL_TILES, large),
            Tile::Thread { large } => (limbeck_shaders::MATMUL_THREADS, large),
            Tile::Matrices => (limbeck_shaders::MATMUL_MATRICES, false),
        };
        let factor = match self.rounded {
            true => limbeck_shaders::ROUNDED_FACTOR,
            false => limbeck_shaders::WHOLE_FACTOR,
        };
        let depth = self.tile.depth();
        // Lines of both tiles have a gap of 8.
        let halves = 4 * fours * (4 * depth + 8) + 4 * depth * (4 * fours + 8);
        SourceTemplate::new(text)
            .add_template(factor)
            .register("a_across", flag(self.across[0]))
            .register("b_across", flag(self.across[1]))
            .register("three", flag(self.products != Products::One))
            .register("summed", flag(self.products == Products::Sum))
            .register(
                "products",
                if self.products == Products::Three {
                    "3"
                } else {
                    "1"
                },
            )
            .register("large", flag(large))
            .register("end", (self.end as u32).to_string())
            .register("side", fours.to_string())
            .register("depth", depth.to_string())
            .register("vectors", (4 * depth * fours).to_string())
            .register("halves", halves.to_string())
            .register("threads", self.tile.threads().to_string())
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

/// Everything that the text of `sum_rows.wgsl` depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SumSpec {
    /// Whether several threads take turns at the rows of four sums.
    shared: bool,
}

impl SumSpec {
    /// Rows of a sum from which on threads share it.
    const MANY: usize = 64;

    /// Every variant that is ever launched.
    pub fn all() -> Vec<Self> {
        [false, true].map(|shared| Self { shared }).into()
    }

    /// Threads of a workgroup, and of four sums.
    fn threads(&self) -> [u32; 2] {
        match self.shared {
            false => [64, 1],
            true => [256, 8],
        }
    }
}

impl KernelSource for SumSpec {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(limbeck_shaders::SUM_ROWS)
            .register("threads", self.threads()[0].to_string())
            .register("turns", self.threads()[1].to_string())
    }

    /// Unchecked, as [`MatmulSpec`].
    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .mode(ExecutionMode::Unchecked)
            .info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl MatmulOps for CubeBackend {
    fn matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        if is_ours(&x) && is_ours(&w) {
            product(Factor::new(x), Factor::new(w), End::Plain, None, false).0
        } else {
            Self::float_matmul(x, w)
        }
    }

    fn matmul_plus(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        added: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if is_ours(&x) && is_ours(&w) {
            let (x, w) = (Factor::new(x), Factor::new(w));
            product(x, w, End::Plain, Some(added), false).0
        } else {
            Self::float_add(Self::float_matmul(x, w), added)
        }
    }

    fn column_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        column_sums(x)
    }

    fn weight_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !is_ours(&x) || !is_ours(&gradient) {
            let sums = column_sums(gradient.clone());
            return (Self::matmul(Self::float_transpose(x), gradient), sums);
        }
        let (x, gradient) = (Factor::transpose_of(x), Factor::stored(gradient));
        let width = gradient.columns;
        match product(x, gradient, End::ColumnSums, None, true) {
            (of_w, Some(sums)) => (of_w, Self::float_reshape(sums, [width].into())),
            (_, None) => unreachable!("sums were asked for"),
        }
    }
}

/// The shaders know f32 alone, and no empty axis.
fn is_ours(tensor: &CubeTensor) -> bool {
    tensor.dtype() == DType::F32 && tensor.shape().num_elements() > 0
}

/// (M, N) -> (N): each column's sum, in an order that depends on the shape alone.
pub(crate) fn column_sums(x: CubeTensor) -> CubeTensor {
    /// Rows of a first sum at least, since a launch costs what adding them costs, and sums that keep any device busy.
    const ROWS: usize = 512;
    const SUMS: usize = 16_384;

    let [rows, width] = sizes(&x);
    if !is_ours(&x) {
        return CubeBackend::float_reshape(CubeBackend::float_sum_dim(x, 0), [width].into());
    }
    let lines = whole_fours(gpu::contiguous(x));
    let chunks = (SUMS / width.div_ceil(4)).min(rows / ROWS).max(1);
    let mut sums = sum_rows(&lines, rows.div_ceil(chunks));
    if sums.shape()[0] > 1 {
        sums = sum_rows(&sums, chunks);
    }
    CubeBackend::float_reshape(cut(sums, width), [width].into())
}

/// A factor as a shader reads it.
pub(crate) struct Factor {
    rows: usize,
    columns: usize,
    /// Its lines, which are whole fours.
    lines: CubeTensor,
    /// Whether they are columns of the factor, not rows.
    across: bool,
}

impl Factor {
    /// The transpose of a contiguous matrix is read as it lies there.
    fn new(tensor: CubeTensor) -> Self {
        let [rows, _] = sizes(&tensor);
        let transposed = !tensor.is_contiguous()
            && !tensor.meta.is_tiled()
            && tensor.meta.strides().iter().eq(&[1, rows]);
        match transposed {
            true => Self::transpose_of(CubeBackend::float_swap_dims(tensor, 0, 1)),
            false => Self::stored(tensor),
        }
    }

    /// A matrix, row by row.
    pub fn stored(matrix: CubeTensor) -> Self {
        let [rows, columns] = sizes(&matrix);
        Self {
            rows,
            columns,
            lines: whole_fours(gpu::contiguous(matrix)),
            across: false,
        }
    }

    /// The transpose of a matrix, which is not moved.
    pub fn transpose_of(matrix: CubeTensor) -> Self {
        let stored = Self::stored(matrix);
        Self {
            rows: stored.columns,
            columns: stored.rows,
            across: true,
            ..stored
        }
    }

    /// Of a line.
    fn fours(&self) -> usize {
        sizes(&self.lines)[1] / 4
    }
}

/// What one launch multiplies: one A or three, and one B or three. Factors of one side are alike in size and in the way they are
/// stored, and none is empty.
pub(crate) struct Factors {
    a: Vec<Factor>,
    b: Vec<Factor>,
    /// What multiplies them after they are rounded, if they are.
    mixed: Option<Mixed>,
}

impl Factors {
    /// To A B.
    pub fn one(a: Factor, b: Factor) -> Self {
        Self::new(vec![a], vec![b])
    }

    /// To A B0, A B1, A B2.
    pub fn three(a: Factor, b: [Factor; 3]) -> Self {
        Self::new(vec![a], b.into())
    }

    /// To A0 B0 + A1 B1 + A2 B2.
    pub fn sum(a: [Factor; 3], b: [Factor; 3]) -> Self {
        Self::new(a.into(), b.into())
    }

    fn new(a: Vec<Factor>, b: Vec<Factor>) -> Self {
        Self { a, b, mixed: None }
    }

    /// The same in mixed precision, if any is given: to A B or three of them, of matrices that are stored row by row.
    pub fn mixed(self, mixed: Option<Mixed>) -> Self {
        Self { mixed, ..self }
    }

    fn products(&self) -> Products {
        match (self.a.len(), self.b.len()) {
            (1, 1) => Products::One,
            (1, _) => Products::Three,
            _ => Products::Sum,
        }
    }
}

/// A product, (M, N), and what else its end has written, (M, N) or (1, N).
pub(crate) type Ended = (CubeTensor, Option<CubeTensor>);

/// The product of two factors as `end` has it: beside it what is added, (1, N) or (M, N), or u (M, N). Comes with the second result
/// where there is one and it is wanted.
pub(crate) fn product(
    x: Factor,
    w: Factor,
    end: End,
    beside: Option<CubeTensor>,
    second: bool,
) -> Ended {
    let mut products = products(
        &Factors::one(x, w),
        end,
        beside.into_iter().collect(),
        second,
    );
    products.swap_remove(0)
}

/// [`product`] of each of the products that factors make; there is as much beside as there are products, or nothing.
pub(crate) fn products(
    factors: &Factors,
    end: End,
    beside: Vec<CubeTensor>,
    second: bool,
) -> Vec<Ended> {
    let Factors { a, b, mixed } = factors;
    let [m, k, n] = [a[0].rows, a[0].columns, b[0].columns];
    let count = b.len() / a.len();
    let fours = a.len() * k.div_ceil(4);
    let software = gpu::is_software(&a[0].lines);
    let mut plan = Plan::new([m, n], fours, count, software, *mixed);
    if matches!(end, End::Gelu | End::GeluSlope) {
        // GELU is of the whole sum.
        plan = plan.in_one_part(fours);
    }
    let added = match (end, beside.first()) {
        (End::GeluSlope, _) | (_, None) => 0,
        (_, Some(beside)) => sizes(beside)[0].min(2),
    };
    let beside: Vec<CubeTensor> = beside
        .into_iter()
        .map(|beside| whole_fours(gpu::contiguous(beside)))
        .collect();
    let width = n.next_multiple_of(4);
    let seconds = match end {
        _ if !second => 0,
        End::Gelu => m,
        End::ColumnSums => 1,
        End::Plain | End::GeluSlope => 0,
    };
    let start = match seconds {
        0 => 0,
        _ => (m * width).next_multiple_of(ALIGNMENT),
    };
    let product = (start.max(m * width) + seconds * width).next_multiple_of(ALIGNMENT);
    let output = gpu::empty(&a[0].lines, [plan.parts, count * product]);
    // What is not read must be bound all the same.
    let [mut bound, mut others] = [[&b[0].lines; 3]; 2];
    for (bound, b) in bound.iter_mut().zip(b) {
        *bound = &b.lines;
    }
    for (other, beside) in others.iter_mut().zip(&beside) {
        *other = beside;
    }
    for (other, a) in others.iter_mut().zip(a).skip(1) {
        *other = &a.lines;
    }
    let info = [
        m,
        k,
        n,
        a[0].fours(),
        b[0].fours(),
        width / 4,
        fours,
        plan.part,
        added,
        start / 4,
        product / 4,
        count * product / 4,
        // A uniform buffer is whole fours.
        0,
        0,
        0,
    ];
    Launch {
        threads: plan.tile.threads(),
        groups: plan
            .tile
            .groups(plan.tile.count([m, n]) * count * plan.parts),
        inputs: &[&[&a[0].lines][..], &bound, &others].concat(),
        output: &output,
        info: &info.map(|size| size as u32),
    }
    .run(MatmulSpec {
        tile: plan.tile,
        products: factors.products(),
        across: [a[0].across, b[0].across],
        end,
        rounded: mixed.is_some(),
    });
    let output = match plan.parts {
        1 => output,
        parts => sum_rows(&output, parts),
    };
    let view = |start, rows: usize| cut(gpu::view(&output, start, [rows, width].into()), n);
    let ended = |first: usize| {
        let second = (seconds > 0).then(|| view(first + start, seconds));
        (view(first, m), second)
    };
    (0..count).map(|at| ended(at * product)).collect()
}

/// Sums of `each` consecutive rows: (rows / each, width), rounded up. The width is whole fours.
fn sum_rows(rows: &CubeTensor, each: usize) -> CubeTensor {
    let [count, width] = sizes(rows);
    let output = gpu::empty(rows, [count.div_ceil(each), width]);
    let sums = output.shape().num_elements() / 4;
    // A software adapter gains nothing from more threads.
    let spec = SumSpec {
        shared: each >= SumSpec::MANY && !gpu::is_software(rows),
    };
    let [threads, of_sum] = spec.threads();
    Launch {
        threads,
        groups: sums.div_ceil((threads / of_sum) as usize),
        inputs: &[rows],
        output: &output,
        info: &[count, width / 4, each].map(|size| size as u32),
    }
    .run(spec);
    output
}

fn sizes(tensor: &CubeTensor) -> [usize; 2] {
    let shape = tensor.shape();
    [shape[0], shape[1]]
}

/// (N) -> (1, N).
pub(crate) fn row(tensor: CubeTensor) -> CubeTensor {
    let width = tensor.shape().num_elements();
    CubeBackend::float_reshape(tensor, [1, width].into())
}

/// The matrix with zeros after each row, up to whole fours. Widths of models are whole fours, so this rarely copies.
pub(crate) fn whole_fours(matrix: CubeTensor) -> CubeTensor {
    let [rows, width] = sizes(&matrix);
    if width.is_multiple_of(4) {
        return matrix;
    }
    let shape = [rows, width.next_multiple_of(4)].into();
    let zeros =
        CubeBackend::float_zeros(shape, &matrix.device.clone(), burn::tensor::FloatDType::F32);
    let place = [Slice::from(0..rows), Slice::from(0..width)];
    CubeBackend::float_slice_assign(zeros, &place, matrix)
}

/// The first columns of a matrix.
pub(crate) fn cut(matrix: CubeTensor, columns: usize) -> CubeTensor {
    let [rows, width] = sizes(&matrix);
    if columns == width {
        return matrix;
    }
    let place = [Slice::from(0..rows), Slice::from(0..columns)];
    CubeBackend::float_slice(matrix, &place)
}
