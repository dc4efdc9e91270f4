//! Matmul with WebAssembly's relaxed SIMD, which multiplies and adds in one instruction. A browser that lacks it refuses a
//! module that names it, so only the innermost loop is in a module of its own, a few hundred bytes that are written here when
//! the first matmul is asked for. It shares this program's memory and has a place in its table of functions: calling it is
//! calling a function pointer.
//!
//! The loops around it are those of Goto and van de Geijn (2008): both matrices are laid out anew in panels that the innermost
//! loop reads from start to end.

use std::borrow::Cow;
use std::hint::black_box;
use std::ops::Range;
use std::sync::OnceLock;

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use js_sys::WebAssembly::{Instance, Module, Table};
use js_sys::{Function, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function as Code,
    FunctionSection, ImportSection, MemArg, MemArgTarget, MemoryType, TypeSection, ValType,
};

/// Rows and columns of a tile. Its sums take 12 of the 16 registers of SSE and AVX, two vectors of W and one of x three more,
/// and the compiler of the browser keeps one.
const ROWS: usize = 6;
const COLUMNS: usize = 8;
/// Of K at a time: a panel of columns is 16 KiB, half of a small first-level cache.
const DEPTH: usize = 512;
/// Rows at a time, in whole tiles: their panels are 192 KiB, in the second-level cache.
const BAND: usize = 16 * ROWS;

/// (depth, panel of rows (depth, ROWS), panel of columns (depth, COLUMNS), sums (ROWS, COLUMNS) to write). The depth is not 0.
type Tile = unsafe extern "C" fn(usize, *const f32, *const f32, *mut f32);

/// The innermost loop, or `None` where the browser has no relaxed SIMD.
pub(super) fn tile() -> Option<Tile> {
    static TILE: OnceLock<Option<Tile>> = OnceLock::new();
    *TILE.get_or_init(|| load().ok())
}

/// x (M, K) times w (K, N): (M, N); `None` where the browser has no relaxed SIMD, or the numbers are not f32.
pub(super) fn matmul(x: &FlexTensor, w: &FlexTensor) -> Option<FlexTensor> {
    let tile = tile().filter(|_| [x, w].iter().all(|tensor| tensor.dtype() == DType::F32))?;
    let (x, w) = (plain(x), plain(w));
    let (x, w) = (Lines::rows(&x), Lines::columns(&w));
    let mut out = vec![0.0; x.lines * w.lines];
    multiply(tile, &x, &w, &mut out);
    let shape = [x.lines, w.lines];
    Some(FlexTensor::from_data(TensorData::new(out, shape)))
}

/// Compiles the module and puts its function into the table, in the place of `not_loaded`: the table cannot grow.
fn load() -> Result<Tile, JsValue> {
    let module = Module::new(&Uint8Array::from(module().as_slice()))?;
    let (imports, ours) = (Object::new(), Object::new());
    Reflect::set(&ours, &"memory".into(), &wasm_bindgen::memory())?;
    Reflect::set(&imports, &"ours".into(), &ours)?;
    let instance = Instance::new(&module, &imports)?;
    let function: Function = Reflect::get(&instance.exports(), &"tile".into())?.dyn_into()?;
    let table: Table = wasm_bindgen::function_table().dyn_into()?;
    // A function pointer is a place in the table. What it points to is hidden from the compiler, which knows the old function.
    let tile = black_box(not_loaded as Tile);
    table.set(tile as usize as u32, &function)?;
    Ok(tile)
}

/// Holds a place in the table of functions.
unsafe extern "C" fn not_loaded(_: usize, _: *const f32, _: *const f32, _: *mut f32) {
    unreachable!("nobody has this function pointer before the place is taken by another function")
}

/// The module: one function, of the type `Tile`.
fn module() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], []);
    let mut imports = ImportSection::new();
    let memory = MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    };
    imports.import("ours", "memory", EntityType::Memory(memory));
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("tile", ExportKind::Func, 0);
    let mut code = CodeSection::new();
    code.function(&tile_code());
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&functions);
    module.section(&exports).section(&code);
    module.finish()
}

/// sums[r, c] = sum over k of rows[k, r] * columns[k, c], all sums in registers.
fn tile_code() -> Code {
    const LANES: usize = 4;
    const VECTORS: usize = COLUMNS / LANES;
    let [depth, rows, columns, out, x] = [0, 1, 2, 3, 4];
    let column = |v: usize| x + 1 + v as u32;
    let sum = |r: usize, v: usize| column(VECTORS) + (r * VECTORS + v) as u32;
    let at = |float: usize| MemArg {
        offset: 4 * float as u64,
        align: 2,
        target: MemArgTarget::Memory(0),
        ordering: None,
    };
    let vectors = 1 + VECTORS + ROWS * VECTORS;
    let mut code = Code::new([(vectors as u32, ValType::V128)]);
    let mut write = code.instructions();
    write.loop_(BlockType::Empty);
    for v in 0..VECTORS {
        write.local_get(columns).v128_load(at(v * LANES));
        write.local_set(column(v));
    }
    for r in 0..ROWS {
        write.local_get(rows).v128_load32_splat(at(r));
        write.local_set(x);
        for v in 0..VECTORS {
            write.local_get(x).local_get(column(v));
            write.local_get(sum(r, v)).f32x4_relaxed_madd();
            write.local_set(sum(r, v));
        }
    }
    for (pointer, floats) in [(rows, ROWS), (columns, COLUMNS)] {
        write.local_get(pointer).i32_const(4 * floats as i32);
        write.i32_add().local_set(pointer);
    }
    write.local_get(depth).i32_const(1).i32_sub();
    write.local_tee(depth).br_if(0).end();
    for r in 0..ROWS {
        for v in 0..VECTORS {
            write.local_get(out).local_get(sum(r, v));
            write.v128_store(at(r * COLUMNS + v * LANES));
        }
    }
    write.end();
    code
}

/// The tensor with rows or columns that lie together in memory.
fn plain(tensor: &FlexTensor) -> Cow<'_, FlexTensor> {
    match tensor.layout().strides() {
        [other, 1] | [1, other] if *other >= 0 => Cow::Borrowed(tensor),
        _ => Cow::Owned(tensor.to_contiguous()),
    }
}

/// A matrix as lines of `depth` numbers that are multiplied: the rows of x, the columns of W.
struct Lines<'a> {
    values: &'a [f32],
    lines: usize,
    depth: usize,
    /// Between neighbours of a line and of a depth; one of them is 1.
    strides: [usize; 2],
}

impl<'a> Lines<'a> {
    fn rows(x: &'a FlexTensor) -> Self {
        Self::new(x, [0, 1])
    }

    fn columns(w: &'a FlexTensor) -> Self {
        Self::new(w, [1, 0])
    }

    fn new(tensor: &'a FlexTensor, [line, depth]: [usize; 2]) -> Self {
        let layout = tensor.layout();
        let stride = |axis: usize| layout.strides()[axis].unsigned_abs();
        Self {
            values: &tensor.storage()[layout.start_offset()..],
            lines: layout.shape()[line],
            depth: layout.shape()[depth],
            strides: [stride(line), stride(depth)],
        }
    }

    /// Panels of `WIDTH` lines, each (depth, WIDTH), zeros where there are no more lines.
    fn panels<const WIDTH: usize>(
        &self,
        lines: Range<usize>,
        depth: Range<usize>,
        into: &mut Vec<f32>,
    ) {
        into.clear();
        into.resize(lines.len().next_multiple_of(WIDTH) * depth.len(), 0.0);
        let [line_stride, depth_stride] = self.strides;
        let panels = into.chunks_exact_mut(WIDTH * depth.len());
        for (panel, first) in panels.zip(lines.clone().step_by(WIDTH)) {
            let width = WIDTH.min(lines.end - first);
            let start = first * line_stride + depth.start * depth_stride;
            let (panel, _) = panel.as_chunks_mut::<WIDTH>();
            if line_stride == 1 {
                for (k, into) in panel.iter_mut().enumerate() {
                    let from = &self.values[start + k * depth_stride..][..width];
                    // A copy of known size is a few instructions, any other a call.
                    match <[f32; WIDTH]>::try_from(from) {
                        Ok(whole) => *into = whole,
                        Err(_) => into[..width].copy_from_slice(from),
                    }
                }
            } else {
                for line in 0..width {
                    let from = &self.values[start + line * line_stride..][..depth.len()];
                    for (into, value) in panel.iter_mut().zip(from) {
                        into[line] = *value;
                    }
                }
            }
        }
    }
}

/// out (M, N) += x W.
fn multiply(tile: Tile, x: &Lines, w: &Lines, out: &mut [f32]) {
    let n = w.lines;
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    let mut sums = [0.0; ROWS * COLUMNS];
    for depth in parts(x.depth, DEPTH) {
        let k = depth.len();
        w.panels::<COLUMNS>(0..n, depth.clone(), &mut columns);
        for band in parts(x.lines, BAND) {
            x.panels::<ROWS>(band.clone(), depth.clone(), &mut rows);
            let out = &mut out[band.start * n..band.end * n];
            for (columns, c) in columns
                .chunks_exact(k * COLUMNS)
                .zip((0..n).step_by(COLUMNS))
            {
                let bands = out.chunks_mut(ROWS * n);
                for (rows, out) in rows.chunks_exact(k * ROWS).zip(bands) {
                    // SAFETY: the panels hold k times ROWS and COLUMNS numbers, and k is not 0.
                    unsafe { tile(k, rows.as_ptr(), columns.as_ptr(), sums.as_mut_ptr()) };
                    add(&sums, out, n, c);
                }
            }
        }
    }
}

/// Adds what of a tile's sums lies inside the matrix: rows of `n`, from column `c`.
fn add(sums: &[f32; ROWS * COLUMNS], out: &mut [f32], n: usize, c: usize) {
    let end = n.min(c + COLUMNS);
    for (sums, row) in sums.chunks_exact(COLUMNS).zip(out.chunks_exact_mut(n)) {
        for (out, sum) in row[c..end].iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

/// 0..count in parts of at most `size`.
fn parts(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(size)
        .map(move |start| start..count.min(start + size))
}
