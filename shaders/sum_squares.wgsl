// Sums of squares of a buffer, one a workgroup, in an order that depends on its length alone. Symbols: README.md. Twin:
// `limbeck_oracle::adamw::squares`.

@group(0) @binding(0) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;   // (groups)
// [0] groups, [1] fours
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> sums: array<f32, {{threads}}>;

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
    var sum = vec4<f32>();
    for (var at = group * {{threads}}u + thread; at < info[1]; at += info[0] * {{threads}}u) {
        sum += values[at] * values[at];
    }
    sums[thread] = (sum.x + sum.y) + (sum.z + sum.w);
    for (var apart = {{threads}}u / 2u; apart > 0u; apart /= 2u) {
        workgroupBarrier();
        if (thread < apart) {
            sums[thread] += sums[thread + apart];
        }
    }
    if (thread == 0u) {
        output[group] = sums[0];
    }
}
