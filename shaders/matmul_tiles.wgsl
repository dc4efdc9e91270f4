// A B + bias, or what `finish` makes of it: a workgroup takes a tile of the output, 128 by 128 or 64 by 64, and a part of K, and brings both matrices
// through workgroup memory. For GPUs. A thread has 4 by 4 sums of each 64 by 64, so that neighbours read neighbouring
// vectors. Symbols, derivation: README.md. Shared text: matmul_common.wgsl. Twin: `limbeck_oracle::matmul::matmul`.

var<workgroup> tile_a: array<vec4<f32>, {{vectors}}>;     // (4 DEPTH, SIDE)
var<workgroup> tile_b: array<vec4<f32>, {{vectors}}>;     // (4 DEPTH, SIDE)

// A thread brings a block of 4 by 4 of one of the matrices. Neighbours read along the lines.
fn bring(thread: u32, product: u32, row: u32, column: u32, k: u32) {
    if (thread < SIDE * DEPTH) {
        let r = select(thread / DEPTH, thread % SIDE, A_ACROSS);
        let d = select(thread % DEPTH, thread / SIDE, A_ACROSS);
        let block = block_of_a(row + r, k + d);
        tile_a[4u * d * SIDE + r] = block[0];
        tile_a[(4u * d + 1u) * SIDE + r] = block[1];
        tile_a[(4u * d + 2u) * SIDE + r] = block[2];
        tile_a[(4u * d + 3u) * SIDE + r] = block[3];
    } else {
        let own = thread - SIDE * DEPTH;
        let c = select(own % SIDE, own / DEPTH, B_ACROSS);
        let d = select(own / SIDE, own % DEPTH, B_ACROSS);
        let block = block_of_b(product, column + c, k + d);
        tile_b[4u * d * SIDE + c] = block[0];
        tile_b[(4u * d + 1u) * SIDE + c] = block[1];
        tile_b[(4u * d + 2u) * SIDE + c] = block[2];
        tile_b[(4u * d + 3u) * SIDE + c] = block[3];
    }
}

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = place.y * places.x + place.x;
    if (group >= info.groups) {
        return;
    }
    let tile = tile_at(group);
    let to = tile.to;
    let row = tile.row;
    let column = tile.column;
    let r = thread / 16u;
    let c = thread % 16u;
    var s00 = mat4x4<f32>();
    var s01 = mat4x4<f32>();
    var s10 = mat4x4<f32>();
    var s11 = mat4x4<f32>();
    let sums_columns = END == COLUMN_SUMS && row == 0u;
    var z0 = vec4<f32>();
    var z1 = vec4<f32>();
    for (var k = tile.first; k < tile.end; k += DEPTH) {
        bring(thread, to.product, row, column, k);
        workgroupBarrier();
        for (var d = 0u; d < 4u * DEPTH; d += 1u) {
            let x0 = tile_a[d * SIDE + r];
            let y0 = tile_b[d * SIDE + c];
            s00 = plus(s00, x0, y0);
            if (LARGE) {
                let x1 = tile_a[d * SIDE + 16u + r];
                let y1 = tile_b[d * SIDE + 16u + c];
                s01 = plus(s01, x0, y1);
                s10 = plus(s10, x1, y0);
                s11 = plus(s11, x1, y1);
                if (sums_columns) {
                    z1 += y1;
                }
            }
            if (sums_columns) {
                z0 += y0;
            }
        }
        workgroupBarrier();
    }
    write(to, row + r, column + c, s00);
    if (LARGE) {
        write(to, row + r, column + 16u + c, s01);
        write(to, row + 16u + r, column + c, s10);
        write(to, row + 16u + r, column + 16u + c, s11);
    }
    if (sums_columns && r == 0u) {
        write_column_sums(to, column + c, z0);
        if (LARGE) {
            write_column_sums(to, column + 16u + c, z1);
        }
    }
}
