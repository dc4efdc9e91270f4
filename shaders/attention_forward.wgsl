// Attention, streaming: output[b, i, a] = sum_{j < length_b} p_ij * m_ij * value_j with p the softmax of
// query_i . key_j / sqrt(D) over j and m the factors of dropout, and per row what a backward pass needs: the largest score
// and the log of the sum of exponentials below it.
//
// One workgroup takes {{rows}} rows of one head of one sequence, one row a thread. It streams over the keys in tiles of
// {{tile}}, which come through workgroup memory in slices of {{vectors}} times four features. Where one slice holds all of
// D, query and sum stay in registers (SLICED is false, and what it guards folds away). Where not, a slice of the query is
// read again for each tile, and the sum lives in the thread's own row of the output. Scores of a tile are in workgroup
// memory, though only their thread reads them: the loops over a tile are not meant to be unrolled, which takes some
// drivers minutes. Rows at or past the length get exactly 0. Symbols: README.md in this folder.
// Twin: `limbeck_oracle::attention::forward`.

@group(0) @binding(0) var<storage, read> queries: array<f32>;       // (B, S, H)
@group(0) @binding(1) var<storage, read> keys: array<f32>;          // (B, S, H)
@group(0) @binding(2) var<storage, read> values: array<f32>;        // (B, S, H)
// (B, S, H) what is attended to, then a gap, then (2, B, A, S): largest score, log of the sum
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
// [0] groups, [1] B, [2] S, [3] A, [4] D, [5] bits of 1 / sqrt(D), [6] where the second part of the output starts,
// [7] key of dropout, [8] its threshold, [9] bits of its factor, [10 ..] lengths, 1 ..= S
@group(0) @binding(4) var<storage, read> info: array<u32>;

const ROWS: u32 = {{rows}}u;
const TILE: u32 = {{tile}}u;
const VECTORS: u32 = {{vectors}}u;
const SLICE: u32 = 4u * VECTORS;
const SLICED: bool = {{sliced}}u == 1u;
const DROPOUT: bool = {{dropout}}u == 1u;
// Below every score, yet finite: WGSL lets an implementation assume that infinities do not occur.
const LOWEST: f32 = -3.0e38;

var<workgroup> key_tile: array<vec4<f32>, TILE * VECTORS>;             // (TILE, VECTORS)
var<workgroup> value_tile: array<vec4<f32>, TILE * VECTORS>;           // (TILE, VECTORS)
var<workgroup> scores: array<f32, TILE * ROWS>;

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

fn four_of_query(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(queries[p], queries[at(p, 1u, n)], queries[at(p, 2u, n)], queries[at(p, 3u, n)]), n);
}

fn four_of_key(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(keys[p], keys[at(p, 1u, n)], keys[at(p, 2u, n)], keys[at(p, 3u, n)]), n);
}

fn four_of_value(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(values[p], values[at(p, 1u, n)], values[at(p, 2u, n)], values[at(p, 3u, n)]), n);
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

fn read_query(into: ptr<function, array<vec4<f32>, VECTORS>>, start: u32, slice: u32) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*into)[w] = vec4<f32>();
        if (feature < info[4]) {
            (*into)[w] = four_of_query(start + feature, info[4] - feature);
        }
    }
}

// A slice of a tile of keys; 0 at and past the length, so that nothing of the padding is ever read.
fn stage_keys(batch: u32, head: u32, first: u32, slice: u32, length: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let j = first + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var four = vec4<f32>();
        if (j < length && feature < info[4]) {
            four = four_of_key(vector(batch, j, head) + feature, info[4] - feature);
        }
        key_tile[at] = four;
    }
}

fn stage_values(batch: u32, head: u32, first: u32, slice: u32, length: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let j = first + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var four = vec4<f32>();
        if (j < length && feature < info[4]) {
            four = four_of_value(vector(batch, j, head) + feature, info[4] - feature);
        }
        value_tile[at] = four;
    }
}

// The sum of a row so far; a thread whose row is padding has none.
fn read_sum(into: ptr<function, array<vec4<f32>, VECTORS>>, start: u32, slice: u32, exists: bool) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*into)[w] = vec4<f32>();
        if (exists && feature < info[4]) {
            (*into)[w] = four_of_output(start + feature, info[4] - feature);
        }
    }
}

// The sum of a row times a factor; 0 if the row is padding.
fn write_sum(sum: ptr<function, array<vec4<f32>, VECTORS>>, start: u32, slice: u32, factor: f32, real: bool) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        if (feature < info[4]) {
            write_four(start + feature, info[4] - feature, select(vec4<f32>(), (*sum)[w] * factor, real));
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
    let i = group % blocks * ROWS + thread;
    let length = info[10u + batch];
    let real = i < length;
    // A workgroup whose rows are all padding has nothing to walk over.
    let end = select(length, 0u, group % blocks * ROWS >= length);
    let slices = select(1u, (info[4] + SLICE - 1u) / SLICE, SLICED);
    let scale = bitcast<f32>(info[5]);
    let row = (batch * a + head) * s + i;
    let own = vector(batch, i, head);
    let source = vector(batch, min(i, length - 1u), head);

    var query: array<vec4<f32>, VECTORS>;
    var sum: array<vec4<f32>, VECTORS>;
    if (!SLICED) {
        read_query(&query, source, 0u);
        for (var w = 0u; w < VECTORS; w++) {
            sum[w] = vec4<f32>();
        }
    }
    var highest = LOWEST;
    var total = 0.0;
    for (var first = 0u; first < end; first += TILE) {
        let count = min(TILE, length - first);
        var peak = highest;
        for (var slice = 0u; slice < slices; slice++) {
            workgroupBarrier();
            stage_keys(batch, head, first, slice, length, thread);
            if (SLICED) {
                read_query(&query, source, slice);
            } else {
                stage_values(batch, head, first, slice, length, thread);
            }
            workgroupBarrier();
            for (var t = 0u; t < count; t++) {
                var score = 0.0;
                for (var w = 0u; w < VECTORS; w++) {
                    score += dot(query[w], key_tile[t * VECTORS + w]);
                }
                if (SLICED && slice > 0u) {
                    score += scores[t * ROWS + thread];
                }
                scores[t * ROWS + thread] = score;
            }
        }
        for (var t = 0u; t < count; t++) {
            peak = max(peak, scores[t * ROWS + thread] * scale);
        }
        let shrink = exp(highest - peak);
        highest = peak;
        total *= shrink;
        if (!SLICED) {
            for (var w = 0u; w < VECTORS; w++) {
                sum[w] *= shrink;
            }
        }
        for (var t = 0u; t < count; t++) {
            var p = exp(scores[t * ROWS + thread] * scale - peak);
            total += p;
            if (DROPOUT) {
                p *= factor_of(row * s + first + t);
            }
            if (SLICED) {
                scores[t * ROWS + thread] = p;
            } else {
                for (var w = 0u; w < VECTORS; w++) {
                    sum[w] += p * value_tile[t * VECTORS + w];
                }
            }
        }
        if (SLICED) {
            for (var slice = 0u; slice < slices; slice++) {
                workgroupBarrier();
                stage_values(batch, head, first, slice, length, thread);
                workgroupBarrier();
                read_sum(&sum, own, slice, real && first > 0u);
                for (var w = 0u; w < VECTORS; w++) {
                    sum[w] *= shrink;
                }
                for (var t = 0u; t < count; t++) {
                    for (var w = 0u; w < VECTORS; w++) {
                        sum[w] += scores[t * ROWS + thread] * value_tile[t * VECTORS + w];
                    }
                }
                if (real) {
                    write_sum(&sum, own, slice, 1.0, true);
                }
            }
        }
    }
    if (i < s) {
        for (var slice = 0u; slice < slices; slice++) {
            if (SLICED) {
                read_sum(&sum, own, slice, real);
            }
            // The sum of exponentials is at least that of the largest score, 1.
            write_sum(&sum, own, slice, 1.0 / max(total, 1.0), real);
        }
        output[info[6] + row] = select(0.0, highest, real);
        output[info[6] + info[1] * a * s + row] = select(0.0, log(max(total, 1.0)), real);
    }
}
