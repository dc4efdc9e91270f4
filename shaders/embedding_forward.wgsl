// Rows of up to three tables by ids, added up: what a token begins as. One thread a number. Symbols: README.md.
// Twin: `limbeck_oracle::embedding::forward`.

@group(0) @binding(0) var<storage, read> table_0: array<f32>;        // (any, H)
@group(0) @binding(1) var<storage, read> table_1: array<f32>;        // anything where there are fewer
@group(0) @binding(2) var<storage, read> table_2: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;            // (tables, places)
@group(0) @binding(4) var<storage, read_write> output: array<f32>;   // (places, H)
// [0] groups, [1] places, [2] H, [3] tables
@group(0) @binding(5) var<storage, read> info: array<u32>;

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) at: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = (at.y * grid.x + at.x) * {{threads}}u + thread;
    let places = info[1];
    let width = info[2];
    let place = number / width;
    if (place >= places) {
        return;
    }
    let column = number % width;
    var sum = table_0[ids[place] * width + column];
    if (info[3] > 1u) {
        sum += table_1[ids[places + place] * width + column];
    }
    if (info[3] > 2u) {
        sum += table_2[ids[2u * places + place] * width + column];
    }
    output[number] = sum;
}
