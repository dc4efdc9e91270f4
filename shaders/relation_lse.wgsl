// Row log-sum-exp of scaled scores, streaming: lse[b, a, i] = log sum_{j < len_b} exp(row_i . column_j / sqrt(D)).
//
// One workgroup takes {{rows}} rows of one relation head of one sequence, one row a thread. It streams over the keys in
// tiles of {{tile}}; each tile comes through workgroup memory in slices of {{slice}} features, so any D fits in
// {{tile}} x {{slice}} floats. The sum is kept online (running maximum and rescaled sum), so nothing of size S is stored.
// Rows at or past the length get exactly 0. Symbols: README.md in this folder. Twin: `limbeck_oracle::relation::lse`.

@group(0) @binding(0) var<storage, read> row: array<f32>;         // (B, S, A * D)  row vectors as the projection wrote them
@group(0) @binding(1) var<storage, read> column: array<f32>;      // (B, S, A * D)  column vectors
@group(0) @binding(2) var<storage, read> lengths: array<i32>;     // (B)            1 ..= S
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;   // (B, A, S)
// u64 words, low half first: [0] B, [2] S, [4] A, [6] D, [8] bits of 1 / sqrt(D)
@group(0) @binding(4) var<storage, read> info: array<u32>;

const ROWS: u32 = {{rows}}u;
const TILE: u32 = {{tile}}u;
const SLICE: u32 = {{slice}}u;
// Below every score, yet finite: WGSL lets an implementation assume that infinities do not occur.
const LOWEST: f32 = -3.0e38;

var<workgroup> keys: array<f32, {{shared}}>;                       // (TILE, SLICE)

@compute @workgroup_size({{rows}}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let s = info[2];
    let a = info[4];
    let d = info[6];
    let scale = bitcast<f32>(info[8]);
    let i = group.x * ROWS + thread;
    let head = group.y;
    let batch = group.z;
    let length = u32(lengths[batch]);
    let real = i < length;
    let row_start = ((batch * s + min(i, length - 1u)) * a + head) * d;

    var highest = LOWEST;
    var total = 0.0;
    for (var first = 0u; first < length; first += TILE) {
        var score: array<f32, TILE>;
        // WGSL zeroes it at each turn, but Chromium on SwiftShader was seen to keep the values of the turn before.
        for (var t = 0u; t < TILE; t++) {
            score[t] = 0.0;
        }
        for (var start = 0u; start < d; start += SLICE) {
            let width = min(SLICE, d - start);
            workgroupBarrier();
            for (var at = thread; at < TILE * SLICE; at += ROWS) {
                let j = first + at / SLICE;
                let feature = at % SLICE;
                var value = 0.0;
                if (j < length && feature < width) {
                    value = column[((batch * s + j) * a + head) * d + start + feature];
                }
                keys[at] = value;
            }
            workgroupBarrier();
            for (var feature = 0u; feature < width; feature++) {
                let x = row[row_start + start + feature];
                for (var t = 0u; t < TILE; t++) {
                    score[t] += x * keys[t * SLICE + feature];
                }
            }
        }
        let count = min(TILE, length - first);
        var peak = highest;
        for (var t = 0u; t < count; t++) {
            score[t] *= scale;
            peak = max(peak, score[t]);
        }
        total *= exp(highest - peak);
        for (var t = 0u; t < count; t++) {
            total += exp(score[t] - peak);
        }
        highest = peak;
    }
    if (i < s) {
        lse[(batch * a + head) * s + i] = select(0.0, highest + log(total), real);
    }
}
