// Gradients of attention, streaming, without an S x S tensor and without atomic additions. One text, two walks:
//
//   queries (KEYS is false)  the thread of row i walks over the keys j
//                            first += dZ_ij * key_j / sqrt(D)                                     dQ_i
//   keys (KEYS is true)      the thread of key j walks over the rows i
//                            first += dZ_ij * query_i / sqrt(D)   second += p_ij m_ij * dO_i      dK_j, dV_j
//
// Both compute z_ij = query_i . key_j / sqrt(D) and c_ij = dO_i . value_j, so either has a first and a second vector of
// its own and meets first and second vectors of others:
//
//   queries    own: query_i, dO_i        others: key_j, value_j
//   keys       own: key_j, value_j       others: query_i, dO_i
//
//   p_ij = exp((z_ij - largest_i) - log_sum_i)    dZ_ij = p_ij (m_ij c_ij - delta_i)    delta_i = dO_i . O_i
//
// With a bias, z_ij has bias_{j - i} added. Its gradient, the sum of dZ along each diagonal, comes from the walk of the
// queries: a tile's dZ lie in workgroup memory, a thread adds up a diagonal or two of them, and the workgroup keeps its own
// sums in the output. Others add up those. A launch takes some blocks of rows of each sequence and the next goes on with
// the sums of the one before, so that they grow as S, not as S times S.
//
// A thread has a row or a key. Where D goes in slices, what a thread makes of a tile is kept in workgroup memory between two
// rounds over the slices. Rows and keys at or past the length get exactly 0. Shared text: attention_common.wgsl.
// Twin: `limbeck_oracle::attention::backward`.

@group(0) @binding(0) var<storage, read> own_first: array<f32>;      // (B, S, H)
@group(0) @binding(1) var<storage, read> own_second: array<f32>;     // (B, S, H)
@group(0) @binding(2) var<storage, read> other_first: array<f32>;    // (B, S, H)
@group(0) @binding(3) var<storage, read> other_second: array<f32>;   // (B, S, H)
// queries: O (B, S, H), to compute delta from, then a gap, then (2, B, A, S): largest score, log of the sum
// keys: (3, B, A, S), the same and delta, as the walk of the queries left it
@group(0) @binding(4) var<storage, read> known: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;           // (A, 2S - 1)
// queries: dQ (B, S, H), then a gap, then (3, B, A, S), then a gap, then sums of dZ (B, blocks, A, 2S - 1)
// keys: dK (B, S, H), then a gap, then dV (B, S, H)
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
// as in attention_common.wgsl
@group(0) @binding(7) var<storage, read> info: array<u32>;

const KEYS: bool = {{keys}}u == 1u;
const KEPT: u32 = select(1u, TILE * ROWS, SLICED);
// Whether the gradient of the bias is wanted.
const BIAS_GRADIENT: bool = {{bias}}u == 2u;

var<workgroup> first_tile: array<vec4<f32>, TILE * VECTORS>;            // (TILE, VECTORS)
var<workgroup> second_tile: array<vec4<f32>, TILE * VECTORS>;           // (TILE, VECTORS)
var<workgroup> row_tile: array<vec4<f32>, TILE>;                    // largest, log_sum, delta of the rows of a tile
var<workgroup> scores: array<f32, KEPT>;                             // first z_ij, then p_ij m_ij
var<workgroup> changes: array<f32, KEPT>;                            // first c_ij, then dZ_ij / sqrt(D)
var<workgroup> of_scores: array<f32, select(1u, TILE * ROWS, BIAS_GRADIENT)>; // dZ_ij

fn four_of_own_first(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(own_first[p], own_first[at(p, 1u, n)], own_first[at(p, 2u, n)], own_first[at(p, 3u, n)]), n);
}

fn four_of_own_second(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(own_second[p], own_second[at(p, 1u, n)], own_second[at(p, 2u, n)], own_second[at(p, 3u, n)]), n);
}

fn four_of_other_first(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(other_first[p], other_first[at(p, 1u, n)], other_first[at(p, 2u, n)], other_first[at(p, 3u, n)]), n);
}

fn four_of_other_second(p: u32, n: u32) -> vec4<f32> {
    return cut(
        vec4(other_second[p], other_second[at(p, 1u, n)], other_second[at(p, 2u, n)], other_second[at(p, 3u, n)]), n
    );
}

fn four_of_known(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(known[p], known[at(p, 1u, n)], known[at(p, 2u, n)], known[at(p, 3u, n)]), n);
}

fn read_own(first: ptr<function, Slice>, second: ptr<function, Slice>, start: u32, slice: u32) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*first)[w] = vec4<f32>();
        (*second)[w] = vec4<f32>();
        if (feature < info[4]) {
            (*first)[w] = four_of_own_first(start + feature, info[4] - feature);
            (*second)[w] = four_of_own_second(start + feature, info[4] - feature);
        }
    }
}

// A slice of a tile of others; 0 at and past the length, so that nothing of the padding is ever read.
fn stage(task: Task, start: u32, slice: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let token = start + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var first = vec4<f32>();
        var second = vec4<f32>();
        if (token < task.length && feature < info[4]) {
            let p = vector(task.batch, token, task.head) + feature;
            first = four_of_other_first(p, info[4] - feature);
            second = four_of_other_second(p, info[4] - feature);
        }
        first_tile[at] = first;
        second_tile[at] = second;
    }
}

// (largest, log_sum, delta) of a row of (B, A, S). The walk of the queries has no delta yet.
fn statistics_of(row: u32) -> vec4<f32> {
    let rows = info[1] * info[3] * info[2];
    var of_row = vec4(known[info[12] + row], known[info[12] + rows + row], 0.0, 0.0);
    if (KEYS) {
        of_row.z = known[info[12] + 2u * rows + row];
    }
    return of_row;
}

// What the walk of the keys has to know of the rows of a tile.
fn stage_rows(row: u32, start: u32, length: u32, thread: u32) {
    for (var at = thread; at < TILE; at += ROWS) {
        var of_row = vec4<f32>();
        if (start + at < length) {
            of_row = statistics_of(row + start + at);
        }
        row_tile[at] = of_row;
    }
}

// Own first times other first, own second times other second, over the features of a slice.
fn dots_of(first: ptr<function, Slice>, second: ptr<function, Slice>, t: u32) -> vec2<f32> {
    var dots = vec2<f32>();
    for (var w = 0u; w < VECTORS; w++) {
        dots.x += dot((*first)[w], first_tile[t * VECTORS + w]);
        dots.y += dot((*second)[w], second_tile[t * VECTORS + w]);
    }
    return dots;
}

// Adds the vectors of an other to the sums.
fn add(
    first: ptr<function, Slice>,
    second: ptr<function, Slice>,
    t: u32,
    times_first: f32,
    times_second: f32,
) {
    for (var w = 0u; w < VECTORS; w++) {
        (*first)[w] += times_first * first_tile[t * VECTORS + w];
        if (KEYS) {
            (*second)[w] += times_second * second_tile[t * VECTORS + w];
        }
    }
}

// Adds the dZ of a tile to the sums of the workgroup: key t of it and row r of the block are on diagonal t - r + ROWS - 1.
fn add_diagonals(task: Task, start: u32, count: u32, sums: u32, thread: u32) {
    for (var diagonal = thread; diagonal < ROWS + TILE - 1u; diagonal += ROWS) {
        var sum = 0.0;
        for (var t = 0u; t < count; t++) {
            // Wraps where the diagonal has no such row, or lies outside of (S, S) below.
            let r = t + ROWS - 1u - diagonal;
            if (r < ROWS) {
                sum += of_scores[t * ROWS + r];
            }
        }
        let distance = start + diagonal + info[2] - ROWS - task.first;
        if (distance < 2u * info[2] - 1u) {
            output[sums + distance] += sum;
        }
    }
}

@compute @workgroup_size({{rows}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = place.y * places.x + place.x;
    if (group >= info[0]) {
        return;
    }
    let task = task_of(group, select(info[10], info[11], KEYS), select(info[11], info[10], KEYS));
    let s = info[2];
    let token = task.first + thread;
    let real = token < task.length;
    let scale = bitcast<f32>(info[5]);
    // The first row of this head in (B, A, S).
    let rows = (task.batch * info[3] + task.head) * s;
    let own = vector(task.batch, token, task.head);
    let source = vector(task.batch, min(token, task.length - 1u), task.head);

    var own_a: Slice;
    var own_b: Slice;
    var sum_a: Slice;
    var sum_b: Slice;
    if (!SLICED) {
        read_own(&own_a, &own_b, source, 0u);
        for (var w = 0u; w < VECTORS; w++) {
            sum_a[w] = vec4<f32>();
            sum_b[w] = vec4<f32>();
        }
    }
    var of_row = vec4<f32>();
    if (!KEYS) {
        of_row = statistics_of(rows + min(token, task.length - 1u));
        for (var slice = 0u; slice < task.slices; slice++) {
            if (SLICED) {
                read_own(&own_a, &own_b, source, slice);
            }
            for (var w = 0u; w < VECTORS; w++) {
                let feature = slice * SLICE + 4u * w;
                if (feature < info[4]) {
                    // In the order of c_ij below: a row with one key then has a gradient of exactly 0.
                    of_row.z += dot(own_b[w], four_of_known(source + feature, info[4] - feature));
                }
            }
        }
    }

    // Where the workgroup adds up dZ by distance.
    let distances = 2u * s - 1u;
    let sums = info[15] + ((task.batch * info[16] + group % info[14]) * info[3] + task.head) * distances;
    if (BIAS_GRADIENT && info[13] == 0u) {
        for (var distance = thread; distance < distances; distance += ROWS) {
            output[sums + distance] = 0.0;
        }
        storageBarrier();
    }

    for (var start = task.start; start < task.end; start += TILE) {
        let count = min(TILE, task.end - start);
        let limited = !sees_all(task, start, count);
        for (var slice = 0u; slice < task.slices; slice++) {
            workgroupBarrier();
            stage(task, start, slice, thread);
            if (KEYS && slice == 0u) {
                stage_rows(rows, start, task.length, thread);
            }
            workgroupBarrier();
            if (SLICED) {
                read_own(&own_a, &own_b, source, slice);
                for (var t = 0u; t < count; t++) {
                    let dots = dots_of(&own_a, &own_b, t);
                    let kept = t * ROWS + thread;
                    if (slice == 0u) {
                        scores[kept] = 0.0;
                        changes[kept] = 0.0;
                    }
                    scores[kept] += dots.x;
                    changes[kept] += dots.y;
                }
            }
        }
        for (var t = 0u; t < count; t++) {
            let kept = t * ROWS + thread;
            var dots: vec2<f32>;
            if (SLICED) {
                dots = vec2(scores[kept], changes[kept]);
            } else {
                dots = dots_of(&own_a, &own_b, t);
            }
            if (KEYS) {
                of_row = row_tile[t];
            }
            let i = select(token, start + t, KEYS);
            let j = select(start + t, token, KEYS);
            var score = dots.x * scale;
            if (BIASED) {
                score += bias_of(task.head, i, j);
            }
            var p = exp((score - of_row.x) - of_row.y);
            if (limited && !sees(task, token, start + t)) {
                p = 0.0;
            }
            var factor = 1.0;
            if (DROPOUT) {
                factor = factor_of((rows + i) * s + j);
            }
            let of_score = p * (factor * dots.y - of_row.z);
            if (BIAS_GRADIENT) {
                of_scores[kept] = select(0.0, of_score, real);
            }
            let change = of_score * scale;
            if (SLICED) {
                scores[kept] = p * factor;
                changes[kept] = change;
            } else {
                add(&sum_a, &sum_b, t, change, p * factor);
            }
        }
        if (BIAS_GRADIENT) {
            workgroupBarrier();
            add_diagonals(task, start, count, sums, thread);
            storageBarrier();
        }
        if (SLICED) {
            for (var slice = 0u; slice < task.slices; slice++) {
                workgroupBarrier();
                stage(task, start, slice, thread);
                workgroupBarrier();
                read_sum(&sum_a, own, slice, real && start > task.start);
                if (KEYS) {
                    read_sum(&sum_b, info[6] + own, slice, real && start > task.start);
                }
                for (var t = 0u; t < count; t++) {
                    add(&sum_a, &sum_b, t, changes[t * ROWS + thread], scores[t * ROWS + thread]);
                }
                if (real) {
                    write_sum(&sum_a, own, slice, 1.0, true);
                    if (KEYS) {
                        write_sum(&sum_b, info[6] + own, slice, 1.0, true);
                    }
                }
            }
        }
    }

    if (token < s && !(SLICED && real)) {
        for (var slice = 0u; slice < task.slices; slice++) {
            write_sum(&sum_a, own, slice, 1.0, real);
            if (KEYS) {
                write_sum(&sum_b, info[6] + own, slice, 1.0, real);
            }
        }
    }
    if (!KEYS && token < s) {
        let row = info[6] + rows + token;
        let count = info[1] * info[3] * s;
        output[row] = select(0.0, of_row.x, real);
        output[row + count] = select(0.0, of_row.y, real);
        output[row + 2u * count] = select(0.0, of_row.z, real);
    }
}
