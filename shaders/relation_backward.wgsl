// The gradient of the student's vectors, streaming, without atomics (README.md: b to f).
//
// One workgroup takes THREADS * EACH vectors of one relation head of one sequence, EACH a thread, and streams over the vectors that
// they meet in tiles of TILE, four at a time. A vector gets gradient as a row (OWN: its own softmax), as a column (OTHER: the
// softmax of the row that it meets), or as both (a pair with itself). Slices and WHOLE: as in relation_forward.wgsl; where
// a vector is not WHOLE, the sums go through the output, where each thread touches its own vector only.
// Vectors at or past the length get exactly 0. Twin: `limbeck_oracle::relation::backward`.

@group(0) @binding(0) var<storage, read> own_s: array<f32>;       // (B, S, A * Ds)  student: whose gradient it is
@group(0) @binding(1) var<storage, read> other_s: array<f32>;     // (B, S, A * Ds)  student: what it meets
@group(0) @binding(2) var<storage, read> own_t: array<f32>;       // (B, S, A * Dt)  the teacher's
@group(0) @binding(3) var<storage, read> other_t: array<f32>;     // (B, S, A * Dt)
@group(0) @binding(4) var<storage, read> statistics: array<f32>;  // (P, 5, B, A, S) of relation_forward.wgsl
@group(0) @binding(5) var<storage, read> upstream: array<f32>;    // (P, B, A, S)    gradient of each row's KL
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;  // (B, S, A * Ds)
// as in relation_forward.wgsl, but [9]: 1 adds to what `gradient` holds, 0 replaces it
@group(0) @binding(7) var<storage, read> info: array<u32>;

const THREADS: u32 = {{threads}}u;
const EACH: u32 = {{each}}u;
const TILE: u32 = {{tile}}u;
const WIDE_S: u32 = {{wide_s}}u;
const WIDE_T: u32 = {{wide_t}}u;
const WHOLE: bool = {{whole}}u == 1u;
const OWN: bool = {{own}}u == 1u;
const OTHER: bool = {{other}}u == 1u;
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// The softmaxes of a row: exp(z - peak - log_sum) is a probability.
struct Row {
    peak_s: f32,
    log_sum_s: f32,
    peak_t: f32,
    log_sum_t: f32,
    // What the KL of this row weighs: alpha * upstream / (A * n * B), over sqrt(Ds).
    weight: f32,
}

var<workgroup> keys_s: array<vec4<f32>, {{shared_s}}>;            // (TILE, WIDE_S) or less
var<workgroup> keys_t: array<vec4<f32>, {{shared_t}}>;            // (TILE, WIDE_T) or less
var<workgroup> met: array<Row, TILE>;

// Where four features from `feature` on are, of a vector that starts at `start`; the last again for those past its width d.
fn places(start: u32, feature: u32, d: u32) -> vec4<u32> {
    return start + min(feature + FOUR, vec4<u32>(d - 1u));
}

// Those four features, 0 past the width.
fn within(four: vec4<f32>, feature: u32, d: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), four, feature + FOUR < vec4<u32>(d));
}

// Four features of a vector that starts at `start`, from `feature` on; 0 past its width d.
fn student_own(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(own_s[at.x], own_s[at.y], own_s[at.z], own_s[at.w]), feature, d);
}

fn student_other(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(other_s[at.x], other_s[at.y], other_s[at.z], other_s[at.w]), feature, d);
}

fn teacher_own(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(own_t[at.x], own_t[at.y], own_t[at.z], own_t[at.w]), feature, d);
}

fn teacher_other(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(other_t[at.x], other_t[at.y], other_t[at.z], other_t[at.w]), feature, d);
}

// Where the vectors of token `at` of relation head `head` of sequence `batch` start, in units of a width.
fn vector_of(batch: u32, at: u32, head: u32) -> u32 {
    return (batch * info[2] + at) * info[3] + head;
}

// Four features of four keys that lie `wide` apart: x * keys are their products with four features of a row.
fn student_keys(key: u32, wide: u32) -> mat4x4<f32> {
    return mat4x4<f32>(keys_s[key], keys_s[key + wide], keys_s[key + 2u * wide], keys_s[key + 3u * wide]);
}

fn teacher_keys(key: u32, wide: u32) -> mat4x4<f32> {
    return mat4x4<f32>(keys_t[key], keys_t[key + wide], keys_t[key + 2u * wide], keys_t[key + 3u * wide]);
}

// Row `at` of (B, A, S).
fn statistics_of(at: u32, rows: u32, scale: f32) -> Row {
    let pair = info[8];
    let first = pair * 5u * rows + at;
    return Row(
        statistics[first + rows],
        statistics[first + 2u * rows],
        statistics[first + 3u * rows],
        statistics[first + 4u * rows],
        upstream[pair * rows + at] * scale,
    );
}

// Weight times difference of the probabilities (student less teacher) that a row gives to scores z_s, z_t.
fn pull(z_s: f32, z_t: f32, row: Row) -> f32 {
    return row.weight * (exp(z_s - row.peak_s - row.log_sum_s) - exp(z_t - row.peak_t - row.log_sum_t));
}

// G of (b), and its mirror image where both count, of a vector with the four from `k` of the tile on.
fn four_pulls(own: Row, z_s: vec4<f32>, z_t: vec4<f32>, k: u32, real: vec4<bool>) -> vec4<f32> {
    var g = vec4<f32>(0.0);
    if (OWN) {
        let p_s = exp(z_s - own.peak_s - own.log_sum_s);
        let p_t = exp(z_t - own.peak_t - own.log_sum_t);
        g += own.weight * (p_s - p_t);
    }
    if (OTHER) {
        g += vec4<f32>(
            pull(z_s.x, z_t.x, met[k]), pull(z_s.y, z_t.y, met[k + 1u]),
            pull(z_s.z, z_t.z, met[k + 2u]), pull(z_s.w, z_t.w, met[k + 3u]),
        );
    }
    return select(vec4<f32>(0.0), g, real);
}

// Adds to four features of the gradient of a real vector.
fn add(start: u32, feature: u32, d: u32, real: bool, four: vec4<f32>) {
    for (var r = 0u; r < 4u; r++) {
        if (real && feature + r < d) {
            gradient[start + feature + r] += four[r];
        }
    }
}

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) at: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = at.y * grid.x + at.x;
    if (group >= info[0]) {
        return;
    }
    let b = info[1];
    let s = info[2];
    let a = info[3];
    let blocks = (s + THREADS * EACH - 1u) / (THREADS * EACH);
    let first_row = group % blocks * THREADS * EACH;
    let head = group / blocks % a;
    let batch = group / blocks / a;
    let length = info[10u + batch];
    // A workgroup whose rows are all padding has nothing to walk over.
    let end = select(length, 0u, first_row >= length);
    let d_s = info[4];
    let d_t = info[5];
    let scale_s = bitcast<f32>(info[6]);
    let scale_t = bitcast<f32>(info[7]);
    let rows = b * a * s;
    let head_row = (batch * a + head) * s;
    // A thread's vectors are THREADS apart, so that neighbours read neighbours.
    var vector: array<u32, EACH>;
    var own: array<Row, EACH>;
    for (var r = 0u; r < EACH; r++) {
        let i = first_row + r * THREADS + thread;
        let last = min(i, length - 1u);
        vector[r] = vector_of(batch, last, head);
        own[r] = statistics_of(head_row + last, rows, scale_s);
        if (i < s && info[9] == 0u) {
            for (var f = 0u; f < d_s; f++) {
                gradient[vector_of(batch, i, head) * d_s + f] = 0.0;
            }
        }
    }

    if (WHOLE) {
        var x_s: array<vec4<f32>, EACH * WIDE_S>;
        var x_t: array<vec4<f32>, EACH * WIDE_T>;
        for (var r = 0u; r < EACH; r++) {
            for (var f = 0u; f < WIDE_S; f++) {
                x_s[r * WIDE_S + f] = student_own(vector[r] * d_s, 4u * f, d_s);
            }
            for (var f = 0u; f < WIDE_T; f++) {
                x_t[r * WIDE_T + f] = teacher_own(vector[r] * d_t, 4u * f, d_t);
            }
        }
        var total: array<vec4<f32>, EACH * WIDE_S>;
        for (var n = 0u; n < EACH * WIDE_S; n++) {
            total[n] = vec4<f32>(0.0);
        }
        for (var first = 0u; first < end; first += TILE) {
            workgroupBarrier();
            for (var n = thread; n < TILE * WIDE_S; n += THREADS) {
                let key = vector_of(batch, min(first + n / WIDE_S, length - 1u), head);
                keys_s[n] = student_other(key * d_s, 4u * (n % WIDE_S), d_s);
            }
            for (var n = thread; n < TILE * WIDE_T; n += THREADS) {
                let key = vector_of(batch, min(first + n / WIDE_T, length - 1u), head);
                keys_t[n] = teacher_other(key * d_t, 4u * (n % WIDE_T), d_t);
            }
            if (OTHER && thread < TILE) {
                met[thread] = statistics_of(head_row + min(first + thread, length - 1u), rows, scale_s);
            }
            workgroupBarrier();
            for (var k = 0u; k < TILE; k += 4u) {
                var z_s: array<vec4<f32>, EACH>;
                var z_t: array<vec4<f32>, EACH>;
                // WGSL zeroes them at each turn, but Chromium on SwiftShader was seen to keep the values of the turn before.
                for (var r = 0u; r < EACH; r++) {
                    z_s[r] = vec4<f32>(0.0);
                    z_t[r] = vec4<f32>(0.0);
                }
                for (var f = 0u; f < WIDE_S; f++) {
                    let keys = student_keys(k * WIDE_S + f, WIDE_S);
                    for (var r = 0u; r < EACH; r++) {
                        z_s[r] += x_s[r * WIDE_S + f] * keys;
                    }
                }
                for (var f = 0u; f < WIDE_T; f++) {
                    let keys = teacher_keys(k * WIDE_T + f, WIDE_T);
                    for (var r = 0u; r < EACH; r++) {
                        z_t[r] += x_t[r * WIDE_T + f] * keys;
                    }
                }
                let there = first + k + FOUR < vec4<u32>(length);
                for (var r = 0u; r < EACH; r++) {
                    z_s[r] = four_pulls(own[r], z_s[r] * scale_s, z_t[r] * scale_t, k, there);
                }
                for (var f = 0u; f < WIDE_S; f++) {
                    let keys = student_keys(k * WIDE_S + f, WIDE_S);
                    for (var r = 0u; r < EACH; r++) {
                        total[r * WIDE_S + f] += keys * z_s[r];
                    }
                }
            }
        }
        for (var r = 0u; r < EACH; r++) {
            let real = first_row + r * THREADS + thread < length;
            for (var f = 0u; f < WIDE_S; f++) {
                add(vector[r] * d_s, 4u * f, d_s, real, total[r * WIDE_S + f]);
            }
        }
    } else {
        let real = first_row + thread < length;
        for (var first = 0u; first < end; first += TILE) {
            var z_s = vec4<f32>(0.0);
            for (var start = 0u; start < d_s; start += 4u * WIDE_S) {
                let wide = min(WIDE_S, (d_s - start + 3u) / 4u);
                workgroupBarrier();
                for (var n = thread; n < TILE * wide; n += THREADS) {
                    let key = vector_of(batch, min(first + n / wide, length - 1u), head);
                    keys_s[n] = student_other(key * d_s, start + 4u * (n % wide), d_s);
                }
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    z_s += student_own(vector[0] * d_s, start + 4u * f, d_s) * student_keys(f, wide);
                }
            }
            var z_t = vec4<f32>(0.0);
            for (var start = 0u; start < d_t; start += 4u * WIDE_T) {
                let wide = min(WIDE_T, (d_t - start + 3u) / 4u);
                workgroupBarrier();
                for (var n = thread; n < TILE * wide; n += THREADS) {
                    let key = vector_of(batch, min(first + n / wide, length - 1u), head);
                    keys_t[n] = teacher_other(key * d_t, start + 4u * (n % wide), d_t);
                }
                if (OTHER && thread < TILE) {
                    met[thread] = statistics_of(head_row + min(first + thread, length - 1u), rows, scale_s);
                }
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    z_t += teacher_own(vector[0] * d_t, start + 4u * f, d_t) * teacher_keys(f, wide);
                }
            }
            let there = first + FOUR < vec4<u32>(length);
            let g = four_pulls(own[0], z_s * scale_s, z_t * scale_t, 0u, there);
            for (var start = 0u; start < d_s; start += 4u * WIDE_S) {
                let wide = min(WIDE_S, (d_s - start + 3u) / 4u);
                workgroupBarrier();
                for (var n = thread; n < TILE * wide; n += THREADS) {
                    let key = vector_of(batch, min(first + n / wide, length - 1u), head);
                    keys_s[n] = student_other(key * d_s, start + 4u * (n % wide), d_s);
                }
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    add(vector[0] * d_s, start + 4u * f, d_s, real, student_keys(f, wide) * g);
                }
            }
        }
    }
}
