// Sums of rows, some consecutive rows each: what the parts of a product over K add up to, and gradients of biases and LayerNorms.
// One thread four sums; of many rows, threads take turns at four sums and add up what they have. Always in one order.
// Symbols: README.md. Twin: `limbeck_oracle::matmul::sum_rows`.

const THREADS: u32 = {{threads}}u;
const TURNS: u32 = {{turns}}u;              // threads of four sums
const FOURS: u32 = THREADS / TURNS;         // fours of sums of a workgroup

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;     // (rows, width)
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>; // (rows / each, width), rounded up
// [0] groups, [1] rows, [2] fours in a row, [3] each: rows of a sum
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> parts: array<vec4<f32>, THREADS>;

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = place.y * places.x + place.x;
    if (group >= info[0]) {
        return;
    }
    let width = info[2];
    let at = group * FOURS + thread % FOURS;
    let turn = thread / FOURS;
    let first = at / width * info[3];
    let end = min(first + info[3], info[1]);
    var sum = vec4<f32>();
    for (var row = first + turn; row < end; row += TURNS) {
        sum += rows[row * width + at % width];
    }
    if (TURNS > 1u) {
        parts[thread] = sum;
        workgroupBarrier();
        for (var other = thread + FOURS; other < THREADS; other += FOURS) {
            sum += parts[other];
        }
    }
    if (turn == 0u && first < info[1]) {
        output[at] = sum;
    }
}
