// What relation_forward.wgsl and relation_backward.wgsl share, put before either (README.md: rules for a shader).
//
// One workgroup takes THREADS * EACH vectors of one relation head of one sequence, EACH a thread: its own. It streams over the
// vectors that they meet, the others, in tiles of TILE, which come through workgroup memory and are worked on four at a time.
// Up to 4 * WIDE features of an own vector stay in registers and a tile holds WHOLE others; wider heads go in slices of as
// many. Nothing of size S is stored. Symbols: README.md.
//
// A pass declares `info`: [0] groups, [1] B, [2] S, [3] A, [4] Ds, [5] Dt, [6] 1 / sqrt(Ds), [7] 1 / sqrt(Dt), [8] pair,
// [9] what the pass says, [10] what the pair weighs, alpha / (A * B), [11 + b] length.

@group(0) @binding(0) var<storage, read> own_s: array<f32>;       // (B, S, A * Ds)  the student's own vectors
@group(0) @binding(1) var<storage, read> other_s: array<f32>;     // (B, S, A * Ds)  the student's others
@group(0) @binding(2) var<storage, read> own_t: array<f32>;       // (B, S, A * Dt)  the teacher's
@group(0) @binding(3) var<storage, read> other_t: array<f32>;     // (B, S, A * Dt)

const THREADS: u32 = {{threads}}u;
const EACH: u32 = {{each}}u;
const TILE: u32 = {{tile}}u;
const WIDE_S: u32 = {{wide_s}}u;
const WIDE_T: u32 = {{wide_t}}u;
const WHOLE: bool = {{whole}}u == 1u;
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Own vectors of a thread, whole, and their scores with four others.
alias Students = array<vec4<f32>, EACH * WIDE_S>;
alias Teachers = array<vec4<f32>, EACH * WIDE_T>;
alias Scores = array<vec4<f32>, EACH>;

var<workgroup> keys_s: array<vec4<f32>, {{shared_s}}>;            // (TILE, WIDE_S) or less
var<workgroup> keys_t: array<vec4<f32>, {{shared_t}}>;            // (TILE, WIDE_T) or less

// What a workgroup works on.
struct Task {
    batch: u32,
    head: u32,
    // Its first vector; a thread's vectors are THREADS apart, so that neighbours read neighbours.
    first: u32,
    length: u32,
    // Where the walk over the others ends: nowhere, if all own vectors are padding.
    end: u32,
}

fn task_of(group: u32) -> Task {
    let a = info[3];
    let blocks = (info[2] + THREADS * EACH - 1u) / (THREADS * EACH);
    let batch = group / blocks / a;
    let first = group % blocks * THREADS * EACH;
    let length = info[11u + batch];
    return Task(batch, group / blocks % a, first, length, select(length, 0u, first >= length));
}

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

// The r-th own vector of a thread, whole, into its place among them.
fn read_own(r: u32, vector: u32, x_s: ptr<function, Students>, x_t: ptr<function, Teachers>) {
    for (var f = 0u; f < WIDE_S; f++) {
        (*x_s)[r * WIDE_S + f] = student_own(vector * info[4], 4u * f, info[4]);
    }
    for (var f = 0u; f < WIDE_T; f++) {
        (*x_t)[r * WIDE_T + f] = teacher_own(vector * info[5], 4u * f, info[5]);
    }
}

// A tile of the student's others, from `first` on: `wide` fours of features from `start` on. Barriers are the caller's.
fn stage_student(task: Task, first: u32, start: u32, wide: u32, thread: u32) {
    for (var n = thread; n < TILE * wide; n += THREADS) {
        let key = vector_of(task.batch, min(first + n / wide, task.length - 1u), task.head);
        keys_s[n] = student_other(key * info[4], start + 4u * (n % wide), info[4]);
    }
}

fn stage_teacher(task: Task, first: u32, start: u32, wide: u32, thread: u32) {
    for (var n = thread; n < TILE * wide; n += THREADS) {
        let key = vector_of(task.batch, min(first + n / wide, task.length - 1u), task.head);
        keys_t[n] = teacher_other(key * info[5], start + 4u * (n % wide), info[5]);
    }
}

// Dot products of a thread's vectors with the four others from `k` of the tile on, where both are WHOLE.
fn whole_scores(
    k: u32,
    x_s: ptr<function, Students>,
    x_t: ptr<function, Teachers>,
    z_s: ptr<function, Scores>,
    z_t: ptr<function, Scores>,
) {
    for (var r = 0u; r < EACH; r++) {
        (*z_s)[r] = vec4<f32>(0.0);
        (*z_t)[r] = vec4<f32>(0.0);
    }
    for (var f = 0u; f < WIDE_S; f++) {
        let keys = student_keys(k * WIDE_S + f, WIDE_S);
        for (var r = 0u; r < EACH; r++) {
            (*z_s)[r] += (*x_s)[r * WIDE_S + f] * keys;
        }
    }
    for (var f = 0u; f < WIDE_T; f++) {
        let keys = teacher_keys(k * WIDE_T + f, WIDE_T);
        for (var r = 0u; r < EACH; r++) {
            (*z_t)[r] += (*x_t)[r * WIDE_T + f] * keys;
        }
    }
}

// Dot products of a thread's vector with a tile of four others, from `first` on, slice by slice. Has barriers.
fn student_scores(task: Task, first: u32, vector: u32, thread: u32) -> vec4<f32> {
    let d = info[4];
    var z = vec4<f32>(0.0);
    for (var start = 0u; start < d; start += 4u * WIDE_S) {
        let wide = min(WIDE_S, (d - start + 3u) / 4u);
        workgroupBarrier();
        stage_student(task, first, start, wide, thread);
        workgroupBarrier();
        for (var f = 0u; f < wide; f++) {
            z += student_own(vector * d, start + 4u * f, d) * student_keys(f, wide);
        }
    }
    return z;
}

fn teacher_scores(task: Task, first: u32, vector: u32, thread: u32) -> vec4<f32> {
    let d = info[5];
    var z = vec4<f32>(0.0);
    for (var start = 0u; start < d; start += 4u * WIDE_T) {
        let wide = min(WIDE_T, (d - start + 3u) / 4u);
        workgroupBarrier();
        stage_teacher(task, first, start, wide, thread);
        workgroupBarrier();
        for (var f = 0u; f < wide; f++) {
            z += teacher_own(vector * d, start + 4u * f, d) * teacher_keys(f, wide);
        }
    }
    return z;
}
