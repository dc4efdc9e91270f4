// Gradient of GELU of a biased value: output = gradient * (Phi(u) + u phi(u)) with u = x + bias, one thread an element. The
// gradient of the bias is the sum of the output over rows. Symbols: README.md. Shared text: gelu_common.wgsl.
// Twin: `limbeck_oracle::gelu::backward`.

@group(0) @binding(0) var<storage, read> x: array<f32>;              // (rows, width)
@group(0) @binding(1) var<storage, read> bias: array<f32>;           // (width); anything where there is none
@group(0) @binding(2) var<storage, read> gradient: array<f32>;       // (rows, width)  of the output of the forward pass
@group(0) @binding(3) var<storage, read_write> output: array<f32>;   // (rows, width)
// [0] groups, [1] rows * width, [2] width, 0 if there is no bias
@group(0) @binding(4) var<storage, read> info: array<u32>;

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = place.y * places.x + place.x;
    let at = group * {{threads}}u + thread;
    if (group >= info[0] || at >= info[1]) {
        return;
    }
    var u = x[at];
    if (info[2] > 0u) {
        u += bias[at % info[2]];
    }
    output[at] = gradient[at] * gelu_slope(u);
}
