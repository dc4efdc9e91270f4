// What the shaders of matmul share, put before each, after gelu_common.wgsl (README.md: rules for a shader): where the
// numbers of A (M, K) and B (K, N) lie, in blocks of 4 by 4, and where the sums go. A tile is a rectangle of the output: a
// thread's in matmul_threads.wgsl, a workgroup's in the others.
//
// Either matrix may be stored transposed, so no product needs a copy. A line is a row of a matrix as it is stored, in
// whole fours: past the end of a line of A or B are zeros, past that of the output is anything.
//
// What a block is multiplied as, `factor` says: WHOLE_FACTOR of lib.rs or rounded_factor.wgsl, whichever ends the text.
//
// A launch computes A B; or three products of one A, with B0, B1, B2; or one sum of three, A0 B0 + A1 B1 + A2 B2, as if
// K went through all of them. Matrices of one name are alike in size and in the way they are stored.

const A_ACROSS: bool = {{a_across}}u == 1u;     // A is stored (K, M), else (M, K)
const B_ACROSS: bool = {{b_across}}u == 1u;     // B is stored (N, K), else (K, N)
const LARGE: bool = {{large}}u == 1u;           // the larger of a pass's two tiles
const SIDE: u32 = {{side}}u;                    // fours of rows of a tile, and of columns
const DEPTH: u32 = {{depth}}u;                  // fours of K that are in workgroup memory at once, where any are
const THREE: bool = {{three}}u == 1u;           // there are three of B
const SUMMED: bool = {{summed}}u == 1u;         // and of A, and K goes through all
const PRODUCTS: u32 = {{products}}u;            // 1 or 3

// What becomes of the sums: `finish`. The last also sums the columns of B, which pass by anyway.
const END: u32 = {{end}}u;
const PLAIN: u32 = 0u;
const GELU: u32 = 1u;
const GELU_SLOPE: u32 = 2u;
const COLUMN_SUMS: u32 = 3u;

struct Info {
    groups: u32,
    m: u32,
    k: u32,         // of one product
    n: u32,
    line_a: u32,    // fours in a line of A
    line_b: u32,
    line: u32,      // of the output
    fours: u32,     // of K, through all products that are summed
    part: u32,      // fours of K in a part
    beside: u32,    // rows of what is added: 0, 1 (a bias), or 2 for M
    start: u32,     // where in a product what else is written starts, in fours; 0 if it is not wanted
    product: u32,   // fours of a product in the output
    whole: u32,     // fours of a part of the output, all its products
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
// What is added to each product, (N) or (M, N), or the u of slopes, (M, N); of a sum, c1 and c2 are A1 and A2. Anything where
// there is none, as of B.
@group(0) @binding(4) var<storage, read> c0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> c1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> c2: array<vec4<f32>>;
// (parts, products), each (M, N) and then, after a gap, what else is written: (M, N), the u of GELU, or (N), the sums of columns
@group(0) @binding(7) var<storage, read_write> output: array<vec4<f32>>;
// Uniform, because storage buffers are eight at most.
@group(0) @binding(8) var<uniform> info: Info;

// Which of the products that are summed K is in at that four, and at which of its fours.
fn within_sum(k: u32) -> vec2<u32> {
    if (!SUMMED) {
        return vec2<u32>(0u, k);
    }
    let each = info.fours / 3u;
    let product = select(0u, 1u, k >= each) + select(0u, 1u, k >= 2u * each);
    return vec2<u32>(product, k - product * each);
}

// Four fours of A.
fn fours_of_a(product: u32, at: vec4<u32>) -> mat4x4<f32> {
    if (SUMMED && product == 1u) {
        return mat4x4<f32>(c1[at.x], c1[at.y], c1[at.z], c1[at.w]);
    }
    if (SUMMED && product == 2u) {
        return mat4x4<f32>(c2[at.x], c2[at.y], c2[at.z], c2[at.w]);
    }
    return mat4x4<f32>(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn fours_of_b(product: u32, at: vec4<u32>) -> mat4x4<f32> {
    if (THREE && product == 1u) {
        return mat4x4<f32>(b1[at.x], b1[at.y], b1[at.z], b1[at.w]);
    }
    if (THREE && product == 2u) {
        return mat4x4<f32>(b2[at.x], b2[at.y], b2[at.z], b2[at.w]);
    }
    return mat4x4<f32>(b0[at.x], b0[at.y], b0[at.z], b0[at.w]);
}

// Four lines along M or N, one for each k, zeros at and past K.
fn up_to_k(lines: mat4x4<f32>, k: vec4<u32>) -> mat4x4<f32> {
    let zeros = vec4<f32>();
    return mat4x4<f32>(
        select(zeros, lines[0], k.x < info.k),
        select(zeros, lines[1], k.y < info.k),
        select(zeros, lines[2], k.z < info.k),
        select(zeros, lines[3], k.w < info.k),
    );
}

fn four_from(first: u32) -> vec4<u32> {
    return 4u * first + vec4<u32>(0u, 1u, 2u, 3u);
}

// Rows 4 row .. 4 row + 3 of A at 4 k .. 4 k + 3: a vector of four rows for each k. Zeros at and past K; rows past M
// repeat the last, and nobody writes their sums.
fn block_of_a(row: u32, k: u32) -> mat4x4<f32> {
    if (k >= info.fours) {
        return mat4x4<f32>();
    }
    let at = within_sum(k);
    if (A_ACROSS) {
        let lines = four_from(at.y);
        let four = min(row, info.line_a - 1u);
        let places = min(lines, vec4<u32>(info.k - 1u)) * info.line_a + four;
        return factor(up_to_k(fours_of_a(at.x, places), lines));
    }
    let places = min(four_from(row), vec4<u32>(info.m - 1u)) * info.line_a + at.y;
    return factor(transpose(fours_of_a(at.x, places)));
}

// Columns 4 column .. 4 column + 3 of the B of a product at 4 k .. 4 k + 3: a vector of four columns for each k, as `block_of_a`.
fn block_of_b(product: u32, column: u32, k: u32) -> mat4x4<f32> {
    if (k >= info.fours) {
        return mat4x4<f32>();
    }
    let at = within_sum(k);
    if (B_ACROSS) {
        let places = min(four_from(column), vec4<u32>(info.n - 1u)) * info.line_b + at.y;
        return factor(transpose(fours_of_b(product + at.x, places)));
    }
    let lines = four_from(at.y);
    let four = min(column, info.line_b - 1u);
    let places = min(lines, vec4<u32>(info.k - 1u)) * info.line_b + four;
    return factor(up_to_k(fours_of_b(product + at.x, places), lines));
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

// Where sums go: to a product of a part of K.
struct Place {
    part: u32,
    product: u32,
}

// A tile, and what is summed for it.
struct Tile {
    to: Place,
    row: u32,       // its first four of rows
    column: u32,    // and of columns
    first: u32,     // of K, in fours
    end: u32,
}

// Tiles are counted along rows, then down, then through the products of a part, then through the parts.
fn tile_at(at: u32) -> Tile {
    let down = (info.m + 4u * SIDE - 1u) / (4u * SIDE);
    let across = (info.n + 4u * SIDE - 1u) / (4u * SIDE);
    let product = at / (down * across);
    let to = Place(product / PRODUCTS, product % PRODUCTS);
    let row = at / across % down * SIDE;
    let column = at % across * SIDE;
    let first = to.part * info.part;
    return Tile(to, row, column, first, min(first + info.part, info.fours));
}

fn start_of(to: Place) -> u32 {
    return to.part * info.whole + to.product * info.product;
}

// Writes what those sums end as, but for what is past the last row or four of columns.
fn write(to: Place, row: u32, column: u32, sums: mat4x4<f32>) {
    if (column < info.line) {
        let line = 4u * row;
        finish(to, line, column, sums[0]);
        finish(to, line + 1u, column, sums[1]);
        finish(to, line + 2u, column, sums[2]);
        finish(to, line + 3u, column, sums[3]);
    }
}

// What is added to a product: in one part of K, as the parts are added up.
fn beside(to: Place, line: u32, four: u32) -> vec4<f32> {
    if (info.beside == 0u || to.part > 0u) {
        return vec4<f32>();
    }
    let place = select(four, line * info.line + four, info.beside == 2u);
    if (PRODUCTS > 1u && to.product == 1u) {
        return c1[place];
    }
    if (PRODUCTS > 1u && to.product == 2u) {
        return c2[place];
    }
    return c0[place];
}

fn finish(to: Place, line: u32, four: u32, sums: vec4<f32>) {
    if (line >= info.m) {
        return;
    }
    let place = line * info.line + four;
    var ended = sums;
    if (END == GELU_SLOPE) {
        let u = c0[place];
        ended = sums * vec4(gelu_slope(u.x), gelu_slope(u.y), gelu_slope(u.z), gelu_slope(u.w));
    } else {
        ended = sums + beside(to, line, four);
    }
    if (END == GELU) {
        if (info.start > 0u) {
            output[info.start + place] = ended;
        }
        ended = vec4(gelu(ended.x), gelu(ended.y), gelu(ended.z), gelu(ended.w));
    }
    output[start_of(to) + place] = ended;
}

// Of four columns of B, in the rows that a part has.
fn write_column_sums(to: Place, column: u32, sums: vec4<f32>) {
    if (column < info.line) {
        output[start_of(to) + info.start + column] = sums;
    }
}
