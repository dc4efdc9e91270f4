// What matmul_tiles.wgsl and matmul_threads.wgsl share, put before either, after gelu_common.wgsl (README.md: rules for a shader): where the
// numbers of A (M, K) and B (K, N) lie, in blocks of 4 by 4, and where the sums go. A tile is a rectangle of the output: a
// workgroup's in the one, a thread's in the other.
//
// Either matrix may be stored transposed, so no product needs a copy. A line is a row of a matrix as it is stored, in
// whole fours: past the end of a line of A or B are zeros, past that of the output is anything.

const A_ACROSS: bool = {{a_across}}u == 1u;     // A is stored (K, M), else (M, K)
const B_ACROSS: bool = {{b_across}}u == 1u;     // B is stored (N, K), else (K, N)
const LARGE: bool = {{large}}u == 1u;           // the larger of a pass's two tiles
const SIDE: u32 = {{side}}u;                    // fours of rows of a tile, and of columns

// What becomes of the sums: `finish`. The last also sums the columns of B, which pass by anyway.
const END: u32 = {{end}}u;
const PLAIN: u32 = 0u;
const GELU: u32 = 1u;
const GELU_SLOPE: u32 = 2u;
const COLUMN_SUMS: u32 = 3u;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// (N), the bias, or (M, N), the slopes' u; anything where there is none
@group(0) @binding(2) var<storage, read> beside: array<vec4<f32>>;
// (parts), each (M, N) and then, after a gap, what else is written: (M, N), the u of GELU, or (N), the sums of columns
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
// [0] groups, [1] M, [2] K, [3] N, [4] fours in a line of A, [5] of B, [6] of the output, [7] fours of K in a part, [8] 1
// if there is a bias, [9] fours of a part of the output, [10] where in it that starts, 0 if it is not wanted
@group(0) @binding(4) var<storage, read> info: array<u32>;

// Four numbers of a line of A; zeros past K where lines go along K.
fn line_of_a(line: u32, four: u32) -> vec4<f32> {
    if (A_ACROSS) {
        return select(vec4<f32>(), a[min(line, info[2] - 1u) * info[4] + four], line < info[2]);
    }
    return a[min(line, info[1] - 1u) * info[4] + four];
}

// Rows 4 row .. 4 row + 3 of A at 4 k .. 4 k + 3: a vector of four rows for each k. Zeros at and past K; rows past M
// repeat the last, and nobody writes their sums.
fn block_of_a(row: u32, k: u32) -> mat4x4<f32> {
    if (4u * k >= info[2]) {
        return mat4x4<f32>();
    }
    let line = 4u * select(row, k, A_ACROSS);
    let four = select(k, min(row, info[4] - 1u), A_ACROSS);
    let lines = mat4x4<f32>(
        line_of_a(line, four),
        line_of_a(line + 1u, four),
        line_of_a(line + 2u, four),
        line_of_a(line + 3u, four),
    );
    if (A_ACROSS) {
        return lines;
    }
    return transpose(lines);
}

// As `line_of_a`.
fn line_of_b(line: u32, four: u32) -> vec4<f32> {
    if (B_ACROSS) {
        return b[min(line, info[3] - 1u) * info[5] + four];
    }
    return select(vec4<f32>(), b[min(line, info[2] - 1u) * info[5] + four], line < info[2]);
}

// Columns 4 column .. 4 column + 3 of B at 4 k .. 4 k + 3: a vector of four columns for each k, as `block_of_a`.
fn block_of_b(column: u32, k: u32) -> mat4x4<f32> {
    if (4u * k >= info[2]) {
        return mat4x4<f32>();
    }
    let line = 4u * select(k, column, B_ACROSS);
    let four = select(min(column, info[5] - 1u), k, B_ACROSS);
    let lines = mat4x4<f32>(
        line_of_b(line, four),
        line_of_b(line + 1u, four),
        line_of_b(line + 2u, four),
        line_of_b(line + 3u, four),
    );
    if (B_ACROSS) {
        return transpose(lines);
    }
    return lines;
}

// Sums of 4 rows by 4 columns, a vector for each row, and what one k adds: the outer product of four of A and four of B.
fn plus(sums: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        sums[0] + x.x * y,
        sums[1] + x.y * y,
        sums[2] + x.z * y,
        sums[3] + x.w * y,
    );
}

// Writes what those sums end as, but for what is past the last row or four of columns.
fn write(part: u32, row: u32, column: u32, sums: mat4x4<f32>) {
    if (column < info[6]) {
        var bias = vec4<f32>();
        if (info[8] == 1u) {
            bias = beside[column];
        }
        let line = 4u * row;
        finish(part, line, column, sums[0] + bias);
        finish(part, line + 1u, column, sums[1] + bias);
        finish(part, line + 2u, column, sums[2] + bias);
        finish(part, line + 3u, column, sums[3] + bias);
    }
}

fn finish(part: u32, line: u32, four: u32, sums: vec4<f32>) {
    if (line >= info[1]) {
        return;
    }
    let place = line * info[6] + four;
    var ended = sums;
    if (END == GELU) {
        if (info[10] > 0u) {
            output[info[10] + place] = sums;
        }
        ended = vec4(gelu(sums.x), gelu(sums.y), gelu(sums.z), gelu(sums.w));
    }
    if (END == GELU_SLOPE) {
        let u = beside[place];
        ended = sums * vec4(gelu_slope(u.x), gelu_slope(u.y), gelu_slope(u.z), gelu_slope(u.w));
    }
    output[part * info[9] + place] = ended;
}

// Of four columns of B, in the rows that a part has.
fn write_column_sums(part: u32, column: u32, sums: vec4<f32>) {
    if (column < info[6]) {
        output[part * info[9] + info[10] + column] = sums;
    }
}
