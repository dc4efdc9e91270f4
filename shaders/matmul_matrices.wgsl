// A B + bias, or what `finish` makes of it, of factors rounded to 16 bits, on cooperative matrices: a workgroup takes a tile of the output,
// 64 by 64, and a part of K, and brings both factors through workgroup memory; each of its four subgroups multiplies 16 by 16 numbers
// of 16 bits at once and has 32 by 32 sums of 32 bits. For GPUs with such matrices and subgroups of 32 threads. Symbols, derivation:
// README.md. Shared text: matmul_common.wgsl. Twin: `limbeck_oracle::matmul::mixed`.
//
// An index or a stride of a cooperative load or store is a name, not an expression: naga cannot write the latter.

const LINE_A: u32 = 4u * DEPTH + 8u;            // of the tile of A, with a gap that spreads lines over the banks of memory
const LINE_B: u32 = 4u * SIDE + 8u;             // of the tile of B
const START_B: u32 = 4u * SIDE * LINE_A;        // where that begins
const LINE_SUMS: u32 = 20u;                     // of a square of sums

var<workgroup> tiles: array<f16, {{halves}}>;   // A (4 SIDE, LINE_A), then B (4 DEPTH, LINE_B)
var<workgroup> squares: array<f32, 1280>;       // (subgroup, 16, LINE_SUMS): a square of sums of each, on its way out

// Four numbers of a line, all of which an f16 holds.
fn put(at: u32, numbers: vec4<f32>) {
    let halves = vec4<f16>(numbers);
    tiles[at] = halves.x;
    tiles[at + 1u] = halves.y;
    tiles[at + 2u] = halves.z;
    tiles[at + 3u] = halves.w;
}

// A thread brings a block of 4 by 4 of each matrix, along their lines.
fn bring_halves(thread: u32, product: u32, row: u32, column: u32, k: u32) {
    let r = thread / DEPTH;
    let d = thread % DEPTH;
    let x = transpose(block_of_a(row + r, k + d)); // four of K for each row
    let of_a = 4u * r * LINE_A + 4u * d;
    put(of_a, x[0]);
    put(of_a + LINE_A, x[1]);
    put(of_a + 2u * LINE_A, x[2]);
    put(of_a + 3u * LINE_A, x[3]);
    let c = thread % SIDE;
    let e = thread / SIDE;
    let y = block_of_b(product, column + c, k + e); // four columns for each of K
    let of_b = START_B + 4u * e * LINE_B + 4u * c;
    put(of_b, y[0]);
    put(of_b + LINE_B, y[1]);
    put(of_b + 2u * LINE_B, y[2]);
    put(of_b + 3u * LINE_B, y[3]);
}

// Writes what the 16 by 16 sums of a subgroup end as, but for what is past the last row or four of columns: two fours a thread.
fn write_square(to: Place, start: u32, line: u32, column: u32, lane: u32) {
    let four = lane % 4u;
    if (column + four >= info.line) {
        return;
    }
    for (var l = lane / 4u; l < 16u; l += 8u) {
        let at = start + l * LINE_SUMS + 4u * four;
        let sums = vec4<f32>(squares[at], squares[at + 1u], squares[at + 2u], squares[at + 3u]);
        finish(to, line + l, column + four, sums);
    }
}

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let group = place.y * places.x + place.x;
    if (group >= info.groups) {
        return;
    }
    let tile = tile_at(group);
    let to = tile.to;
    let row = tile.row;
    let column = tile.column;
    // Of the subgroup within the tile.
    let r = 32u * (subgroup / 2u);
    let c = 32u * (subgroup % 2u);
    let line_a = LINE_A;
    let line_b = LINE_B;
    var s00 = coop_mat16x16<f32, C>();
    var s01 = coop_mat16x16<f32, C>();
    var s10 = coop_mat16x16<f32, C>();
    var s11 = coop_mat16x16<f32, C>();
    for (var k = tile.first; k < tile.end; k += DEPTH) {
        bring_halves(thread, to.product, row, column, k);
        workgroupBarrier();
        for (var d = 0u; d < 4u * DEPTH; d += 16u) {
            let x0_at = r * LINE_A + d;
            let x1_at = x0_at + 16u * LINE_A;
            let y0_at = START_B + d * LINE_B + c;
            let y1_at = y0_at + 16u;
            let x0 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[x0_at], line_a);
            let x1 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[x1_at], line_a);
            let y0 = coopLoadT<coop_mat16x16<f16, B>>(&tiles[y0_at], line_b);
            let y1 = coopLoadT<coop_mat16x16<f16, B>>(&tiles[y1_at], line_b);
            s00 = coopMultiplyAdd(x0, y0, s00);
            s01 = coopMultiplyAdd(x0, y1, s01);
            s10 = coopMultiplyAdd(x1, y0, s10);
            s11 = coopMultiplyAdd(x1, y1, s11);
        }
        workgroupBarrier();
    }
    // One square after the other, each through the subgroup's own place.
    let line_sums = LINE_SUMS;
    let start = subgroup * 16u * LINE_SUMS;
    let line = 4u * row + r;
    let four = column + c / 4u;
    coopStoreT(s00, &squares[start], line_sums);
    workgroupBarrier();
    write_square(to, start, line, four, lane);
    workgroupBarrier();
    coopStoreT(s01, &squares[start], line_sums);
    workgroupBarrier();
    write_square(to, start, line, four + 4u, lane);
    workgroupBarrier();
    coopStoreT(s10, &squares[start], line_sums);
    workgroupBarrier();
    write_square(to, start, line + 16u, four, lane);
    workgroupBarrier();
    coopStoreT(s11, &squares[start], line_sums);
    workgroupBarrier();
    write_square(to, start, line + 16u, four + 4u, lane);
}
