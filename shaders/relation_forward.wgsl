// KL(teacher row || student row) of every row of every relation head, streaming (eq. 6; derivation: README.md).
//
// Own vectors are rows, and what they meet are keys. Each four scores go into the running sums of their row. Rows at or past
// the length get 0 in every statistic. Shared text: relation_common.wgsl. Twin: `limbeck_oracle::relation::forward`.

// (P, 5, B, A, S): KL; maximum of the scores and log of the sum of exp(score - maximum), of the student, of the teacher
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;
// as in relation_common.wgsl, [9] unused
@group(0) @binding(5) var<storage, read> info: array<u32>;

// Below every score, yet finite: WGSL lets an implementation assume that infinities do not occur.
const LOWEST: f32 = -3.0e38;

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
    let task = task_of(group);
    let scale_s = bitcast<f32>(info[6]);
    let scale_t = bitcast<f32>(info[7]);
    var vector: array<u32, EACH>;
    var row: array<Row, EACH>;
    for (var r = 0u; r < EACH; r++) {
        let i = task.first + r * THREADS + thread;
        vector[r] = vector_of(task.batch, min(i, task.length - 1u), task.head);
        row[r] = Row(LOWEST, 0.0, LOWEST, 0.0, 0.0);
    }
    if (WHOLE) {
        var x_s: Students;
        var x_t: Teachers;
        for (var r = 0u; r < EACH; r++) {
            read_own(r, vector[r], &x_s, &x_t);
        }
        for (var first = 0u; first < task.end; first += TILE) {
            workgroupBarrier();
            stage_student(task, first, 0u, WIDE_S, thread);
            stage_teacher(task, first, 0u, WIDE_T, thread);
            workgroupBarrier();
            for (var k = 0u; k < TILE; k += 4u) {
                var z_s: Scores;
                var z_t: Scores;
                whole_scores(k, &x_s, &x_t, &z_s, &z_t);
                let real = first + k + FOUR < vec4<u32>(task.length);
                for (var r = 0u; r < EACH; r++) {
                    row[r] = with_scores(row[r], z_s[r] * scale_s, z_t[r] * scale_t, real);
                }
            }
        }
    } else {
        for (var first = 0u; first < task.end; first += TILE) {
            let z_s = student_scores(task, first, vector[0], thread);
            let z_t = teacher_scores(task, first, vector[0], thread);
            let real = first + FOUR < vec4<u32>(task.length);
            row[0] = with_scores(row[0], z_s * scale_s, z_t * scale_t, real);
        }
    }
    let s = info[2];
    let rows = info[1] * info[3] * s;
    for (var r = 0u; r < EACH; r++) {
        let i = task.first + r * THREADS + thread;
        if (i < s) {
            let real = i < task.length;
            let out = info[8] * 5u * rows + (task.batch * info[3] + task.head) * s + i;
            let kl = row[r].cross / row[r].sum_t - log(row[r].sum_t) + log(row[r].sum_s);
            statistics[out] = select(0.0, kl, real);
            statistics[out + rows] = select(0.0, row[r].peak_s, real);
            statistics[out + 2u * rows] = select(0.0, log(row[r].sum_s), real);
            statistics[out + 3u * rows] = select(0.0, row[r].peak_t, real);
            statistics[out + 4u * rows] = select(0.0, log(row[r].sum_t), real);
        }
    }
}
