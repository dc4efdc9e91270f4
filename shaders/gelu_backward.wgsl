// Gradient of GELU of a biased value: output = gradient * (Phi(u) + u phi(u)), phi the density of the standard normal
// distribution. The gradient of the bias is the sum of the output over rows. Symbols: README.md. Shared text: gelu_common.wgsl.
// Twin: `limbeck_oracle::gelu::backward`.

@group(0) @binding(2) var<storage, read> gradient: array<f32>;       // (rows, width)  of the output of the forward pass
@group(0) @binding(3) var<storage, read_write> output: array<f32>;   // (rows, width)
// as in gelu_common.wgsl
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
    let u = biased(at);
    let density = 0.3989423 * exp(-0.5 * u * u);
    output[at] = gradient[at] * (distribution(u) + u * density);
}
