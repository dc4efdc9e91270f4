// What attention_forward.wgsl and attention_backward.wgsl share, put before either (README.md: rules for a shader).
//
// One workgroup takes {{rows}} tokens of one head of one sequence, one a thread. It streams over the others in their reach
// in tiles of {{tile}}, which come through workgroup memory in slices of {{vectors}} times four features. Where one slice
// holds all of D, vectors and sums stay in registers (SLICED is false, and what it guards folds away). Where not, own
// slices are read again for each tile, and sums live in the thread's own part of the output. The loops over a tile are not
// meant to be unrolled, which takes some drivers minutes. Symbols: README.md.
//
// A pass declares `output`, whose parts follow each other after gaps; `bias`, (A, 2S - 1), anything where there is none;
// and `info`: [0] groups, [1] B, [2] S, [3] A, [4] D, [5] bits of 1 / sqrt(D), [6] where the second part of the output
// starts, [7] key of dropout, [8] its threshold, [9] bits of its factor, [10] how many tokens before itself a row sees, and
// [11] after, S at most; [12] where the statistics of rows start in what the backward pass knows; [13] the first block of
// {{rows}} tokens that the launch takes of each sequence, and [14] how many; [15] where the gradient of the bias starts in
// the output, and [16] how many blocks have one each; [17 ..] lengths, 1 ..= S.

const ROWS: u32 = {{rows}}u;
const TILE: u32 = {{tile}}u;
const VECTORS: u32 = {{vectors}}u;
const SLICE: u32 = 4u * VECTORS;
const SLICED: bool = {{sliced}}u == 1u;
const DROPOUT: bool = {{dropout}}u == 1u;
const BIASED: bool = {{bias}}u > 0u;

// A slice of a vector, or of a sum of vectors.
alias Slice = array<vec4<f32>, VECTORS>;

// What a workgroup works on.
struct Task {
    batch: u32,
    head: u32,
    // Its first token.
    first: u32,
    length: u32,
    // Others that meet a token lie at most so far before it, and so far after it.
    back: u32,
    ahead: u32,
    // Where the walk over the others starts, a tile's start, and where it ends: nowhere, if all own tokens are padding.
    start: u32,
    end: u32,
    slices: u32,
}

fn task_of(group: u32, back: u32, ahead: u32) -> Task {
    let a = info[3];
    let blocks = info[14];
    let batch = group / (blocks * a);
    let first = (info[13] + group % blocks) * ROWS;
    let length = info[17u + batch];
    let start = (first - min(first, back)) / TILE * TILE;
    let end = select(min(length, first + ROWS + ahead), 0u, first >= length);
    let slices = select(1u, (info[4] + SLICE - 1u) / SLICE, SLICED);
    return Task(batch, group / blocks % a, first, length, back, ahead, start, end, slices);
}

// Whether an own token and another meet.
fn sees(task: Task, own: u32, other: u32) -> bool {
    return other + task.back >= own && other <= own + task.ahead;
}

// Whether every real own token and every one of a tile meet.
fn sees_all(task: Task, start: u32, count: u32) -> bool {
    let last = min(task.first + ROWS, task.length) - 1u;
    return start + task.back >= last && start + count - 1u <= task.first + task.ahead;
}

// What is added to the score of row i and key j; both are clamped, because a thread may have none.
fn bias_of(head: u32, i: u32, j: u32) -> f32 {
    let last = info[2] - 1u;
    return bias[head * (2u * last + 1u) + min(j, last) + last - min(i, last)];
}

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

fn four_of_output(p: u32, n: u32) -> vec4<f32> {
    return cut(vec4(output[p], output[at(p, 1u, n)], output[at(p, 2u, n)], output[at(p, 3u, n)]), n);
}

fn write_four(p: u32, n: u32, four: vec4<f32>) {
    output[p] = four.x;
    if (n > 1u) { output[p + 1u] = four.y; }
    if (n > 2u) { output[p + 2u] = four.z; }
    if (n > 3u) { output[p + 3u] = four.w; }
}

// A sum of a thread so far, from where it starts in the output; a thread whose token is padding has none.
fn read_sum(into: ptr<function, Slice>, start: u32, slice: u32, exists: bool) {
    for (var w = 0u; w < VECTORS; w++) {
        let feature = slice * SLICE + 4u * w;
        (*into)[w] = vec4<f32>();
        if (exists && feature < info[4]) {
            (*into)[w] = four_of_output(start + feature, info[4] - feature);
        }
    }
}

// A sum times a factor; 0 if the token is padding.
fn write_sum(sum: ptr<function, Slice>, start: u32, slice: u32, factor: f32, real: bool) {
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
