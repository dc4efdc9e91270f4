// Attention, streaming: output[b, i, a] = sum_j p_ij * m_ij * value_j with p the softmax of query_i . key_j / sqrt(D) +
// bias_{j - i} over the real keys j in reach of i and m the factors of dropout, and per row what a backward pass needs: the
// largest score and the log of the sum of exponentials below it.
//
// A thread has a row and walks over the keys. Scores of a tile are in workgroup memory, though only their thread reads
// them: in registers, the loops over a tile would have to be unrolled. Rows at or past the length get exactly 0. Shared
// text: attention_common.wgsl.
// Twin: `limbeck_oracle::attention::forward`.

@group(0) @binding(0) var<storage, read> queries: array<f32>;       // (B, S, H)
@group(0) @binding(1) var<storage, read> keys: array<f32>;          // (B, S, H)
@group(0) @binding(2) var<storage, read> values: array<f32>;        // (B, S, H)
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // (A, 2S - 1)
// (B, S, H) what is attended to, then a gap, then (2, B, A, S): largest score, log of the sum
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
// as in attention_common.wgsl
@group(0) @binding(5) var<storage, read> info: array<u32>;

// Below every score, yet finite: WGSL lets an implementation assume that infinities do not occur.
const LOWEST: f32 = -3.0e38;
// The score of a key that is out of reach: above LOWEST, so that a row that has met no other yet forgets it at the first
// that it sees.
const HIDDEN: f32 = -1.0e30;

var<workgroup> key_tile: array<vec4<f32>, TILE * VECTORS>;             // (TILE, VECTORS)
var<workgroup> value_tile: array<vec4<f32>, TILE * VECTORS>;           // (TILE, VECTORS)
var<workgroup> scores: array<f32, TILE * ROWS>;

fn four_of_query(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(queries[p], queries[at(p, 1u, n)], queries[at(p, 2u, n)], queries[at(p, 3u, n)]), n);
}

fn four_of_key(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(keys[p], keys[at(p, 1u, n)], keys[at(p, 2u, n)], keys[at(p, 3u, n)]), n);
}

fn four_of_value(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(values[p], values[at(p, 1u, n)], values[at(p, 2u, n)], values[at(p, 3u, n)]), n);
}

fn read_query(into: ptr<function, Slice>, start: u32, slice: u32) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*into)[w] = vec4<f32>();
        if (feature < info[4]) {
            (*into)[w] = four_of_query(start + feature, info[4] - feature);
        }
    }
}

// A slice of a tile of keys; 0 at and past the length, so that nothing of the padding is ever read.
fn stage_keys(task: Task, first: u32, slice: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let j = first + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var four = vec4<f32>();
        if (j < task.length && feature < info[4]) {
            four = four_of_key(vector(task.batch, j, task.head) + feature, info[4] - feature);
        }
        key_tile[at] = four;
    }
}

fn stage_values(task: Task, first: u32, slice: u32, thread: u32) {
    for (var at = thread; at < TILE * VECTORS; at += ROWS) {
        let j = first + at / VECTORS;
        let feature = slice * SLICE + 4u * (at % VECTORS);
        var four = vec4<f32>();
        if (j < task.length && feature < info[4]) {
            four = four_of_value(vector(task.batch, j, task.head) + feature, info[4] - feature);
        }
        value_tile[at] = four;
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
    let task = task_of(group, info[10], info[11]);
    let s = info[2];
    let a = info[3];
    let i = task.first + thread;
    let real = i < task.length;
    let scale = bitcast<f32>(info[5]);
    // What a score lacks of its scale when the softmax takes it.
    let rest = select(scale, 1.0, BIASED);
    let row = (task.batch * a + task.head) * s + i;
    let own = vector(task.batch, i, task.head);
    let source = vector(task.batch, min(i, task.length - 1u), task.head);

    var query: Slice;
    var sum: Slice;
    if (!SLICED) {
        read_query(&query, source, 0u);
        for (var w = 0u; w < VECTORS; w++) {
            sum[w] = vec4<f32>();
        }
    }
    var highest = LOWEST;
    var total = 0.0;
    for (var first = task.start; first < task.end; first += TILE) {
        let count = min(TILE, task.end - first);
        let limited = !sees_all(task, first, count);
        var peak = highest;
        for (var slice = 0u; slice < task.slices; slice++) {
            workgroupBarrier();
            stage_keys(task, first, slice, thread);
            if (SLICED) {
                read_query(&query, source, slice);
            } else {
                stage_values(task, first, slice, thread);
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
        if (BIASED || limited) {
            for (var t = 0u; t < count; t++) {
                var score = scores[t * ROWS + thread];
                if (BIASED) {
                    score = score * scale + bias_of(task.head, i, first + t);
                }
                scores[t * ROWS + thread] = select(HIDDEN, score, sees(task, i, first + t));
            }
        }
        for (var t = 0u; t < count; t++) {
            peak = max(peak, scores[t * ROWS + thread] * rest);
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
            var p = exp(scores[t * ROWS + thread] * rest - peak);
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
            for (var slice = 0u; slice < task.slices; slice++) {
                workgroupBarrier();
                stage_values(task, first, slice, thread);
                workgroupBarrier();
                read_sum(&sum, own, slice, real && first > task.start);
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
        for (var slice = 0u; slice < task.slices; slice++) {
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
