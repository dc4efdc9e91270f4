// Sums of rows in their order, some consecutive rows each: what the parts of a product over K add up to, and the
// gradient of a bias. One thread four sums. Symbols: README.md. Twin: `limbeck_oracle::matmul::sum_rows`.

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;     // (rows, width)
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;     // of each column; anything where there is none
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>; // (rows / each, width), rounded up
// [0] groups, [1] rows, [2] fours in a row, [3] each: rows of a sum, [4] fours in the bias, 0 if there is none
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (place.y * places.x + place.x) * {{threads}}u + thread;
    let width = info[2];
    let first = at / width * info[3];
    if (first >= info[1]) {
        return;
    }
    let end = min(first + info[3], info[1]);
    var sum = vec4<f32>();
    for (var row = first; row < end; row += 1u) {
        sum += rows[row * width + at % width];
    }
    if (info[4] > 0u) {
        sum += bias[at % info[4]];
    }
    output[at] = sum;
}
