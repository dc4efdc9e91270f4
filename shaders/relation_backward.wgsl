// The gradient of the student's vectors, streaming, without atomics (README.md: b to f).
//
// Own vectors are those whose gradient it is. A vector gets gradient as a row (OWN: its own softmax), as a column (OTHER: the
// softmax of the row that it meets), or as both (a pair with itself). Where it is not WHOLE, the sums go through the output,
// where each thread touches its own vector only. Vectors at or past the length get exactly 0. Shared text:
// relation_common.wgsl. Twin: `limbeck_oracle::relation::backward`.

@group(0) @binding(4) var<storage, read> statistics: array<f32>;  // (P, 5, B, A, S) of relation_forward.wgsl
@group(0) @binding(5) var<storage, read> upstream: array<f32>;    // (1)             gradient of the loss
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;  // (B, S, A * Ds)
// as in relation_common.wgsl, [9]: 1 adds to what `gradient` holds, 0 replaces it
@group(0) @binding(7) var<storage, read> info: array<u32>;

const OWN: bool = {{own}}u == 1u;
const OTHER: bool = {{other}}u == 1u;

// The softmaxes of a row: exp(z - peak - log_sum) is a probability.
struct Row {
    peak_s: f32,
    log_sum_s: f32,
    peak_t: f32,
    log_sum_t: f32,
}

var<workgroup> met: array<Row, TILE>;

// Row `at` of (B, A, S).
fn statistics_of(at: u32, rows: u32) -> Row {
    let pair = info[8];
    let first = pair * 5u * rows + at;
    return Row(
        statistics[first + rows],
        statistics[first + 2u * rows],
        statistics[first + 3u * rows],
        statistics[first + 4u * rows],
    );
}

// Difference of the probabilities (student less teacher) that a row gives to scores z_s, z_t.
fn pull(z_s: f32, z_t: f32, row: Row) -> f32 {
    return exp(z_s - row.peak_s - row.log_sum_s) - exp(z_t - row.peak_t - row.log_sum_t);
}

// G of (b), and its mirror image where both count, of a vector with the four from `k` of the tile on, by what each row of the
// sequence weighs.
fn four_pulls(weight: f32, own: Row, z_s: vec4<f32>, z_t: vec4<f32>, k: u32, real: vec4<bool>) -> vec4<f32> {
    var g = vec4<f32>(0.0);
    if (OWN) {
        let p_s = exp(z_s - own.peak_s - own.log_sum_s);
        let p_t = exp(z_t - own.peak_t - own.log_sum_t);
        g += p_s - p_t;
    }
    if (OTHER) {
        g += vec4<f32>(
            pull(z_s.x, z_t.x, met[k]), pull(z_s.y, z_t.y, met[k + 1u]),
            pull(z_s.z, z_t.z, met[k + 2u]), pull(z_s.w, z_t.w, met[k + 3u]),
        );
    }
    return select(vec4<f32>(0.0), weight * g, real);
}

// Adds to four features of the gradient of a real vector.
fn add(start: u32, feature: u32, d: u32, real: bool, four: vec4<f32>) {
    for (var r = 0u; r < 4u; r++) {
        if (real && feature + r < d) {
            gradient[start + feature + r] += four[r];
        }
    }
}

// The softmaxes of a tile of others, from `first` on. Barriers are the caller's.
fn stage_met(task: Task, first: u32, head_row: u32, rows: u32, thread: u32) {
    if (OTHER && thread < TILE) {
        met[thread] = statistics_of(head_row + min(first + thread, task.length - 1u), rows);
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
    let task = task_of(group);
    let s = info[2];
    let d_s = info[4];
    let scale_s = bitcast<f32>(info[6]);
    let scale_t = bitcast<f32>(info[7]);
    let rows = info[1] * info[3] * s;
    let head_row = (task.batch * info[3] + task.head) * s;
    // What the KL of a row weighs, alpha * upstream / (A * n * B), over sqrt(Ds).
    let weight = upstream[0] * bitcast<f32>(info[10]) / f32(task.length) * scale_s;
    var vector: array<u32, EACH>;
    var own: array<Row, EACH>;
    for (var r = 0u; r < EACH; r++) {
        let i = task.first + r * THREADS + thread;
        let last = min(i, task.length - 1u);
        vector[r] = vector_of(task.batch, last, task.head);
        own[r] = statistics_of(head_row + last, rows);
        if (i < s && info[9] == 0u) {
            for (var f = 0u; f < d_s; f++) {
                gradient[vector_of(task.batch, i, task.head) * d_s + f] = 0.0;
            }
        }
    }

    if (WHOLE) {
        var x_s: Students;
        var x_t: Teachers;
        for (var r = 0u; r < EACH; r++) {
            read_own(r, vector[r], &x_s, &x_t);
        }
        var total: Students;
        for (var n = 0u; n < EACH * WIDE_S; n++) {
            total[n] = vec4<f32>(0.0);
        }
        for (var first = 0u; first < task.end; first += TILE) {
            workgroupBarrier();
            stage_student(task, first, 0u, WIDE_S, thread);
            stage_teacher(task, first, 0u, WIDE_T, thread);
            stage_met(task, first, head_row, rows, thread);
            workgroupBarrier();
            for (var k = 0u; k < TILE; k += 4u) {
                var z_s: Scores;
                var z_t: Scores;
                whole_scores(k, &x_s, &x_t, &z_s, &z_t);
                let there = first + k + FOUR < vec4<u32>(task.length);
                for (var r = 0u; r < EACH; r++) {
                    z_s[r] = four_pulls(weight, own[r], z_s[r] * scale_s, z_t[r] * scale_t, k, there);
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
            let real = task.first + r * THREADS + thread < task.length;
            for (var f = 0u; f < WIDE_S; f++) {
                add(vector[r] * d_s, 4u * f, d_s, real, total[r * WIDE_S + f]);
            }
        }
    } else {
        let real = task.first + thread < task.length;
        for (var first = 0u; first < task.end; first += TILE) {
            // Between barriers: the loop over slices that ends a tile has one after the last use of `met`.
            stage_met(task, first, head_row, rows, thread);
            let z_s = student_scores(task, first, vector[0], thread);
            let z_t = teacher_scores(task, first, vector[0], thread);
            let there = first + FOUR < vec4<u32>(task.length);
            let g = four_pulls(weight, own[0], z_s * scale_s, z_t * scale_t, 0u, there);
            for (var start = 0u; start < d_s; start += 4u * WIDE_S) {
                let wide = min(WIDE_S, (d_s - start + 3u) / 4u);
                workgroupBarrier();
                stage_student(task, first, start, wide, thread);
                workgroupBarrier();
                for (var f = 0u; f < wide; f++) {
                    add(vector[0] * d_s, start + 4u * f, d_s, real, student_keys(f, wide) * g);
                }
            }
        }
    }
}
