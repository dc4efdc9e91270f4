// Sums of rows by lists: the gradients of tables whose rows were taken by ids. One thread four sums, in the order of the
// list. Symbols: README.md. Twin: `limbeck_oracle::embedding::backward`.

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;     // (any, line)
// Where the list of each sum starts, and where the last one ends; then the lists, rows one after the other
@group(0) @binding(1) var<storage, read> lists: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>; // (sums, line)
// [0] groups, [1] sums, [2] fours in a line
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (place.y * places.x + place.x) * {{threads}}u + thread;
    let line = info[2];
    let list = at / line;
    if (list >= info[1]) {
        return;
    }
    var sum = vec4<f32>();
    for (var next = lists[list]; next < lists[list + 1u]; next += 1u) {
        sum += rows[lists[info[1] + 1u + next] * line + at % line];
    }
    output[at] = sum;
}
