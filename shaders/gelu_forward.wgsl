// GELU of a biased value: output = u * Phi(u) with u = x + bias, one thread an element. Phi is the distribution function
// of the standard normal distribution. Symbols: README.md in this folder. Twin: `limbeck_oracle::gelu::forward`.

@group(0) @binding(0) var<storage, read> x: array<f32>;              // (rows, width)
@group(0) @binding(1) var<storage, read> bias: array<f32>;           // (width)
@group(0) @binding(2) var<storage, read_write> output: array<f32>;   // (rows, width)
// [0] groups, [1] rows * width, [2] width
@group(0) @binding(3) var<storage, read> info: array<u32>;

// WGSL has no erf: the rational function of x^2 that cpu.rs has, off by less than 4e-7.
fn erf(value: f32) -> f32 {
    let x = clamp(value, -4.0, 4.0);
    let x2 = x * x;
    var p = -2.7261423e-10;
    p = p * x2 + 2.7706814e-8;
    p = p * x2 - 2.101024e-6;
    p = p * x2 - 5.6925064e-5;
    p = p * x2 - 7.3499063e-4;
    p = p * x2 - 2.9546e-3;
    p = p * x2 - 1.6096033e-2;
    var q = -1.4566072e-5;
    q = q * x2 - 2.1337405e-4;
    q = q * x2 - 1.682827e-3;
    q = q * x2 - 7.373329e-3;
    q = q * x2 - 1.4264739e-2;
    return x * p / q;
}

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
    let u = x[at] + bias[at % info[2]];
    output[at] = u * 0.5 * (1.0 + erf(u * 0.70710678));
}
