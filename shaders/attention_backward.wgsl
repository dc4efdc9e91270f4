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
// {{rows}} threads a workgroup, one row or key each; tiles of {{tile}} others come through workgroup memory in slices of
// {{vectors}} times four features. Where one slice holds all of D, vectors and sums stay in registers (SLICED is false, and
// what it guards folds away). Where not, own slices are read again for each tile, the sums live in the thread's own part
// of the output, and what a thread makes of a tile is kept in workgroup memory between two rounds over the slices. The
// loops over a tile are not meant to be unrolled, which takes some drivers minutes. Rows and keys at or past the length get
// exactly 0. Symbols: README.md in this folder.
// Twin: `limbeck_oracle::attention::backward`.

@group(0) @binding(0) var<storage, read> own_first: array<f32>;      // (B, S, H)
@group(0) @binding(1) var<storage, read> own_second: array<f32>;     // (B, S, H)
@group(0) @binding(2) var<storage, read> other_first: array<f32>;    // (B, S, H)
@group(0) @binding(3) var<storage, read> other_second: array<f32>;   // (B, S, H)
@group(0) @binding(4) var<storage, read> statistics: array<f32>;     // (2, B, A, S)  largest score, log of the sum
// queries: O (B, S, H), to compute delta from; keys: delta (B, A, S), as the walk of the queries left it
@group(0) @binding(5) var<storage, read> known: array<f32>;
// queries: dQ (B, S, H), then a gap, then delta (B, A, S); keys: dK (B, S, H), then a gap, then dV (B, S, H)
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
// [0] groups, [1] B, [2] S, [3] A, [4] D, [5] bits of 1 / sqrt(D), [6] where the second part of the output starts,
// [7] key of dropout, [8] its threshold, [9] bits of its factor, [10 ..] lengths, 1 ..= S
@group(0) @binding(7) var<storage, read> info: array<u32>;

const ROWS: u32 = {{rows}}u;
const TILE: u32 = {{tile}}u;
const VECTORS: u32 = {{vectors}}u;
const SLICE: u32 = 4u * VECTORS;
const SLICED: bool = {{sliced}}u == 1u;
const DROPOUT: bool = {{dropout}}u == 1u;
const KEYS: bool = {{keys}}u == 1u;
const KEPT: u32 = select(1u, TILE * ROWS, SLICED);

var<workgroup> first_tile: array<vec4<f32>, TILE * VECTORS>;            // (TILE, VECTORS)
var<workgroup> second_tile: array<vec4<f32>, TILE * VECTORS>;           // (TILE, VECTORS)
var<workgroup> row_tile: array<vec4<f32>, TILE>;                    // largest, log_sum, delta of the rows of a tile
var<workgroup> scores: array<f32, KEPT>;                             // first z_ij, then p_ij m_ij
var<workgroup> changes: array<f32, KEPT>;                            // first c_ij, then dZ_ij / sqrt(D)

// Where the vector of a token starts.
fn vector(batch: u32, token: u32, head: u32) -> u32 {
    return ((batch * info[2] + token) * info[3] + head) * info[4];
}

// The c-th of four features from `start` on, or the last of the `count` that exist.
fn at(start: u32, c: u32, count: u32) -> u32 {
    return start + min(c, count - 1u);
}

// The first `count` of four features, 0 for the others.
fn cut(four: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(), four, vec4(0u, 1u, 2u, 3u) < vec4(count));
}

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

fn four_of_output(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(output[p], output[at(p, 1u, n)], output[at(p, 2u, n)], output[at(p, 3u, n)]), n);
}

fn write_four(p: u32, n: u32, four: vec4<f32>) {
    output[p] = four.x;
    if (n > 1u) { output[p + 1u] = four.y; }
    if (n > 2u) { output[p + 2u] = four.z; }
    if (n > 3u) { output[p + 3u] = four.w; }
}

fn read_own(
    first: ptr<function, array<vec4<f32>, VECTORS>>,
    second: ptr<function, array<vec4<f32>, VECTORS>>,
    start: u32,
    slice: u32,
) {
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
fn stage(batch: u32, head: u32, start: u32, slice: u32, length: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let token = start + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var first = vec4<f32>();
        var second = vec4<f32>();
        if (token < length && feature < info[4]) {
            let p = vector(batch, token, head) + feature;
            first = four_of_other_first(p, info[4] - feature);
            second = four_of_other_second(p, info[4] - feature);
        }
        first_tile[at] = first;
        second_tile[at] = second;
    }
}

// (largest, log_sum, -) of a row of (B, A, S).
fn statistics_of(row: u32) -> vec4<f32> {
    return vec4(statistics[row], statistics[info[1] * info[3] * info[2] + row], 0.0, 0.0);
}

// What the walk of the keys has to know of the rows of a tile.
fn stage_rows(row: u32, start: u32, length: u32, thread: u32) {
    for (var at = thread; at < TILE; at += ROWS) {
        var of_row = vec4<f32>();
        if (start + at < length) {
            of_row = statistics_of(row + start + at);
            of_row.z = known[row + start + at];
        }
        row_tile[at] = of_row;
    }
}

// The sums of a thread so far: of the first vectors in the first part of the output, of the second in the second.
fn read_sum(into: ptr<function, array<vec4<f32>, VECTORS>>, start: u32, slice: u32, exists: bool) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*into)[w] = vec4<f32>();
        if (exists && feature < info[4]) {
            (*into)[w] = four_of_output(start + feature, info[4] - feature);
        }
    }
}

// A sum; 0 if the row or key is padding.
fn write_sum(sum: ptr<function, array<vec4<f32>, VECTORS>>, start: u32, slice: u32, real: bool) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        if (feature < info[4]) {
            write_four(start + feature, info[4] - feature, select(vec4<f32>(), (*sum)[w], real));
        }
    }
}

// Own first times other first, own second times other second, over the features of a slice.
fn dots_of(
    first: ptr<function, array<vec4<f32>, VECTORS>>, second: ptr<function, array<vec4<f32>, VECTORS>>, t: u32
) -> vec2<f32> {
    var dots = vec2<f32>();
    for (var w = 0u; w < VECTORS; w++) {
        dots.x += dot((*first)[w], first_tile[t * VECTORS + w]);
        dots.y += dot((*second)[w], second_tile[t * VECTORS + w]);
    }
    return dots;
}

// Adds the vectors of an other to the sums.
fn add(
    first: ptr<function, array<vec4<f32>, VECTORS>>,
    second: ptr<function, array<vec4<f32>, VECTORS>>,
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

// The finaliser of MurmurHash3, as in dropout.rs.
fn mix(h: u32) -> u32 {
    let a = (h ^ (h >> 16u)) * 0x85EBCA6Bu;
    let b = (a ^ (a >> 13u)) * 0xC2B2AE35u;
    return b ^ (b >> 16u);
}

// What dropout makes of the probability at an index of (B, A, S, S): 0, or 1 / (1 - p) times it.
fn factor_of(index: u32) -> f32 {
    let dropped = mix(mix(index ^ info[7]) + 0x9E3779B9u) < info[8];
    return select(bitcast<f32>(info[9]), 0.0, dropped);
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
    let s = info[2];
    let a = info[3];
    let blocks = (s + ROWS - 1u) / ROWS;
    let head = group / blocks % a;
    let batch = group / (blocks * a);
    let token = group % blocks * ROWS + thread;
    let length = info[10u + batch];
    let real = token < length;
    // A workgroup whose rows are all padding has nothing to walk over.
    let end = select(length, 0u, group % blocks * ROWS >= length);
    let slices = select(1u, (info[4] + SLICE - 1u) / SLICE, SLICED);
    let scale = bitcast<f32>(info[5]);
    // The first row of this head in (B, A, S).
    let rows = (batch * a + head) * s;
    let own = vector(batch, token, head);
    let source = vector(batch, min(token, length - 1u), head);

    var own_a: array<vec4<f32>, VECTORS>;
    var own_b: array<vec4<f32>, VECTORS>;
    var sum_a: array<vec4<f32>, VECTORS>;
    var sum_b: array<vec4<f32>, VECTORS>;
    if (!SLICED) {
        read_own(&own_a, &own_b, source, 0u);
        for (var w = 0u; w < VECTORS; w++) {
            sum_a[w] = vec4<f32>();
            sum_b[w] = vec4<f32>();
        }
    }
    var of_row = vec4<f32>();
    if (!KEYS) {
        of_row = statistics_of(rows + min(token, length - 1u));
        for (var slice = 0u; slice < slices; slice++) {
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

    for (var start = 0u; start < end; start += TILE) {
        let count = min(TILE, length - start);
        for (var slice = 0u; slice < slices; slice++) {
            workgroupBarrier();
            stage(batch, head, start, slice, length, thread);
            if (KEYS && slice == 0u) {
                stage_rows(rows, start, length, thread);
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
            let p = exp((dots.x * scale - of_row.x) - of_row.y);
            var factor = 1.0;
            if (DROPOUT) {
                let i = select(token, start + t, KEYS);
                let j = select(start + t, token, KEYS);
                factor = factor_of((rows + i) * s + j);
            }
            let change = p * (factor * dots.y - of_row.z) * scale;
            if (SLICED) {
                scores[kept] = p * factor;
                changes[kept] = change;
            } else {
                add(&sum_a, &sum_b, t, change, p * factor);
            }
        }
        if (SLICED) {
            for (var slice = 0u; slice < slices; slice++) {
                workgroupBarrier();
                stage(batch, head, start, slice, length, thread);
                workgroupBarrier();
                read_sum(&sum_a, own, slice, real && start > 0u);
                if (KEYS) {
                    read_sum(&sum_b, info[6] + own, slice, real && start > 0u);
                }
                for (var t = 0u; t < count; t++) {
                    add(&sum_a, &sum_b, t, changes[t * ROWS + thread], scores[t * ROWS + thread]);
                }
                if (real) {
                    write_sum(&sum_a, own, slice, true);
                    if (KEYS) {
                        write_sum(&sum_b, info[6] + own, slice, true);
                    }
                }
            }
        }
    }

    if (token < s && !(SLICED && real)) {
        for (var slice = 0u; slice < slices; slice++) {
            write_sum(&sum_a, own, slice, real);
            if (KEYS) {
                write_sum(&sum_b, info[6] + own, slice, real);
            }
        }
    }
    if (!KEYS && token < s) {
        output[info[6] + rows + token] = select(0.0, of_row.z, real);
    }
}
