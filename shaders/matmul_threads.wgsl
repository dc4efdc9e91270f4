// A B + bias, or what `finish` makes of it: a thread takes a tile of the output, 16 by 16 or 4 by 4, and a part of K, and reads both matrices itself.
// For a few rows or columns, and for software adapters, to which workgroup memory is as far as any other: only reading
// less often is a gain there. Symbols, derivation: README.md. Shared text: matmul_common.wgsl. Twin:
// `limbeck_oracle::matmul::matmul`.

// Sixteen columns, of which the small variant has the first four.
struct Strip {
    c0: mat4x4<f32>,
    c1: mat4x4<f32>,
    c2: mat4x4<f32>,
    c3: mat4x4<f32>,
}

fn strip_of_b(product: u32, column: u32, k: u32) -> Strip {
    var strip = Strip();
    strip.c0 = block_of_b(product, column, k);
    if (LARGE) {
        strip.c1 = block_of_b(product, column + 1u, k);
        strip.c2 = block_of_b(product, column + 2u, k);
        strip.c3 = block_of_b(product, column + 3u, k);
    }
    return strip;
}

// What four k add to four rows by four columns.
fn plus_four(sums: mat4x4<f32>, x: mat4x4<f32>, y: mat4x4<f32>) -> mat4x4<f32> {
    return plus(plus(plus(plus(sums, x[0], y[0]), x[1], y[1]), x[2], y[2]), x[3], y[3]);
}

// What they add to four rows of a strip.
fn plus_strip(sums: Strip, x: mat4x4<f32>, y: Strip) -> Strip {
    var strip = sums;
    strip.c0 = plus_four(sums.c0, x, y.c0);
    if (LARGE) {
        strip.c1 = plus_four(sums.c1, x, y.c1);
        strip.c2 = plus_four(sums.c2, x, y.c2);
        strip.c3 = plus_four(sums.c3, x, y.c3);
    }
    return strip;
}

// Four columns at four k, over the k.
fn sum_of_four(y: mat4x4<f32>) -> vec4<f32> {
    return y[0] + y[1] + y[2] + y[3];
}

fn write_strip(to: Place, row: u32, column: u32, sums: Strip) {
    write(to, row, column, sums.c0);
    if (LARGE) {
        write(to, row, column + 1u, sums.c1);
        write(to, row, column + 2u, sums.c2);
        write(to, row, column + 3u, sums.c3);
    }
}

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = tile_at((place.y * places.x + place.x) * {{threads}}u + thread);
    if (tile.first >= info.fours) {
        return; // past the last part; no barrier follows
    }
    let to = tile.to;
    let row = tile.row;
    let column = tile.column;
    var s0 = Strip();
    var s1 = Strip();
    var s2 = Strip();
    var s3 = Strip();
    let sums_columns = END == COLUMN_SUMS && row == 0u;
    var z = mat4x4<f32>(); // a vector for each four of columns
    for (var k = tile.first; k < tile.end; k += 1u) {
        let y = strip_of_b(to.product, column, k);
        s0 = plus_strip(s0, block_of_a(row, k), y);
        if (LARGE) {
            s1 = plus_strip(s1, block_of_a(row + 1u, k), y);
            s2 = plus_strip(s2, block_of_a(row + 2u, k), y);
            s3 = plus_strip(s3, block_of_a(row + 3u, k), y);
        }
        if (sums_columns) {
            z[0] += sum_of_four(y.c0);
            if (LARGE) {
                z[1] += sum_of_four(y.c1);
                z[2] += sum_of_four(y.c2);
                z[3] += sum_of_four(y.c3);
            }
        }
    }
    write_strip(to, row, column, s0);
    if (LARGE) {
        write_strip(to, row + 1u, column, s1);
        write_strip(to, row + 2u, column, s2);
        write_strip(to, row + 3u, column, s3);
    }
    if (sums_columns) {
        write_column_sums(to, column, z[0]);
        if (LARGE) {
            write_column_sums(to, column + 1u, z[1]);
            write_column_sums(to, column + 2u, z[2]);
            write_column_sums(to, column + 3u, z[3]);
        }
    }
}
