// KL(teacher row || student row) of every row of every relation head, streaming (eq. 6; derivation: README.md).
//
// One workgroup takes THREADS * EACH rows of one relation head of one sequence, EACH a thread, and streams over the keys in tiles
// of TILE, which come through workgroup memory, four keys at a time into the running sums. Up to 4 * WIDE features a row
// stays in registers and a tile holds WHOLE keys; wider heads go in slices of as many. Nothing of size S is stored.
// Rows at or past the length get 0 in every statistic. Symbols: README.md. Twin: `limbeck_oracle::relation::forward`.

@group(0) @binding(0) var<storage, read> row_s: array<f32>;       // (B, S, A * Ds)  the student's row vectors
@group(0) @binding(1) var<storage, read> column_s: array<f32>;    // (B, S, A * Ds)  the student's column vectors
@group(0) @binding(2) var<storage, read> row_t: array<f32>;       // (B, S, A * Dt)  the teacher's
@group(0) @binding(3) var<storage, read> column_t: array<f32>;    // (B, S, A * Dt)
// (P, 5, B, A, S): KL; maximum of the scores and log of the sum of exp(score - maximum), of the student, of the teacher
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;
// [0] groups, [1] B, [2] S, [3] A, [4] Ds, [5] Dt, [6] 1 / sqrt(Ds), [7] 1 / sqrt(Dt), [8] pair, [9] unused, [10 + b] length
@group(0) @binding(5) var<storage, read> info: array<u32>;

const THREADS: u32 = {{threads}}u;
const EACH: u32 = {{each}}u;
const TILE: u32 = {{tile}}u;
const WIDE_S: u32 = {{wide_s}}u;
const WIDE_T: u32 = {{wide_t}}u;
const WHOLE: bool = {{whole}}u == 1u;
// Below every score, yet finite: WGSL lets an implementation assume that infinities do not occur.
const LOWEST: f32 = -3.0e38;
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

var<workgroup> keys_s: array<vec4<f32>, {{shared_s}}>;            // (TILE, WIDE_S) or less
var<workgroup> keys_t: array<vec4<f32>, {{shared_t}}>;            // (TILE, WIDE_T) or less

// Where four features from `feature` on are, of a vector that starts at `start`; the last again for those past its width d.
fn places(start: u32, feature: u32, d: u32) -> vec4<u32> {
    return start + min(feature + FOUR, vec4<u32>(d - 1u));
}

// Those four features, 0 past the width.
fn within(four: vec4<f32>, feature: u32, d: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), four, feature + FOUR < vec4<u32>(d));
}

// Four features of a vector that starts at `start`, from `feature` on; 0 past its width d.
fn student_row(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(row_s[at.x], row_s[at.y], row_s[at.z], row_s[at.w]), feature, d);
}

fn student_column(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(column_s[at.x], column_s[at.y], column_s[at.z], column_s[at.w]), feature, d);
}

fn teacher_row(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(row_t[at.x], row_t[at.y], row_t[at.z], row_t[at.w]), feature, d);
}

fn teacher_column(start: u32, feature: u32, d: u32) -> vec4<f32> {
    let at = places(start, feature, d);
    return within(vec4<f32>(column_t[at.x], column_t[at.y], column_t[at.z], column_t[at.w]), feature, d);
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

// What is known of a row so far. The sums are of exp(z - peak), and cross is that of the teacher's times the difference of
// the shifted scores, teacher less student.
struct Row {
    peak_s: f32,
    sum_s: f32,
    peak_t: f32,
    sum_t: f32,
    cross: f32,
}

fn highest(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// Takes four more scores in; those that are not `real` are not looked at.
fn with_scores(row: Row, score_s: vec4<f32>, score_t: vec4<f32>, real: vec4<bool>) -> Row {
    let z_s = select(vec4<f32>(LOWEST), score_s, real);
    let z_t = select(vec4<f32>(LOWEST), score_t, real);
    let peak_s = max(row.peak_s, highest(z_s));
    let peak_t = max(row.peak_t, highest(z_t));
    let shift_s = row.peak_s - peak_s;
    let shift_t = row.peak_t - peak_t;
    let q = exp(z_s - peak_s);
    let p = exp(z_t - peak_t);
    return Row(
        peak_s,
        row.sum_s * exp(shift_s) + dot(q, vec4<f32>(1.0)),
        peak_t,
        row.sum_t * exp(shift_t) + dot(p, vec4<f32>(1.0)),
        (row.cross + row.sum_t * (shift_t - shift_s)) * exp(shift_t) + dot(p, (z_t - peak_t) - (z_s - peak_s)),
    );
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
    // A thread's rows are THREADS apart, so that neighbours read neighbours.
    var vector: array<u32, EACH>;
    var row: array<Row, EACH>;
    for (var r = 0u; r < EACH; r++) {
        vector[r] = vector_of(batch, min(first_row + r * THREADS + thread, length - 1u), head);
        row[r] = Row(LOWEST, 0.0, LOWEST, 0.0, 0.0);
    }
    if (WHOLE) {
        var x_s: array<vec4<f32>, EACH * WIDE_S>;
        var x_t: array<vec4<f32>, EACH * WIDE_T>;
        for (var r = 0u; r < EACH; r++) {
            for (var f = 0u; f < WIDE_S; f++) {
                x_s[r * WIDE_S + f] = student_row(vector[r] * d_s, 4u * f, d_s);
            }
            for (var f = 0u; f < WIDE_T; f++) {
                x_t[r * WIDE_T + f] = teacher_row(vector[r] * d_t, 4u * f, d_t);
            }
        }
        for (var first = 0u; first < end; first += TILE) {
            workgroupBarrier();
            for (var n = thread; n < TILE * WIDE_S; n += THREADS) {
                let key = vector_of(batch, min(first + n / WIDE_S, length - 1u), head);
                keys_s[n] = student_column(key * d_s, 4u * (n % WIDE_S), d_s);
            }
            for (var n = thread; n < TILE * WIDE_T; n += THREADS) {
                let key = vector_of(batch, min(first + n / WIDE_T, length - 1u), head);
                keys_t[n] = teacher_column(key * d_t, 4u * (n % WIDE_T), d_t);
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
                let real = first + k + FOUR < vec4<u32>(length);
                for (var r = 0u; r < EACH; r++) {
                    row[r] = with_scores(row[r], z_s[r] * scale_s, z_t[r] * scale_t, real);
                }
            }
        }
    } else {
        for (var first = 0u; first < end; first += TILE) {
            var z_s = vec4<f32>(0.0);
            for (var start = 0u; start < d_s; start += 4u * WIDE_S) {
                let wide = min(WIDE_S, (d_s - start + 3u) / 4u);
                workgroupBarrier();
                for (var n = thread; n < TILE * wide; n += THREADS) {
                    let key = vector_of(batch, min(first + n / wide, length - 1u), head);
                    keys_s[n] = student_column(key * d_s, start + 4u * (n % wide), d_s);
                }
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    z_s += student_row(vector[0] * d_s, start + 4u * f, d_s) * student_keys(f, wide);
                }
            }
            var z_t = vec4<f32>(0.0);
            for (var start = 0u; start < d_t; start += 4u * WIDE_T) {
                let wide = min(WIDE_T, (d_t - start + 3u) / 4u);
                workgroupBarrier();
                for (var n = thread; n < TILE * wide; n += THREADS) {
                    let key = vector_of(batch, min(first + n / wide, length - 1u), head);
                    keys_t[n] = teacher_column(key * d_t, start + 4u * (n % wide), d_t);
                }
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    z_t += teacher_row(vector[0] * d_t, start + 4u * f, d_t) * teacher_keys(f, wide);
                }
            }
            let real = first + FOUR < vec4<u32>(length);
            row[0] = with_scores(row[0], z_s * scale_s, z_t * scale_t, real);
        }
    }
    let rows = b * a * s;
    for (var r = 0u; r < EACH; r++) {
        let i = first_row + r * THREADS + thread;
        if (i < s) {
            let real = i < length;
            let out = info[8] * 5u * rows + (batch * a + head) * s + i;
            let kl = row[r].cross / row[r].sum_t - log(row[r].sum_t) + log(row[r].sum_s);
            statistics[out] = select(0.0, kl, real);
            statistics[out + rows] = select(0.0, row[r].peak_s, real);
            statistics[out + 2u * rows] = select(0.0, log(row[r].sum_s), real);
            statistics[out + 3u * rows] = select(0.0, row[r].peak_t, real);
            statistics[out + 4u * rows] = select(0.0, log(row[r].sum_t), real);
        }
    }
}
