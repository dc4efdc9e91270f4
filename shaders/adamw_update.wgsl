// One AdamW update of all parameters of a buffer, in place; one thread four numbers. Symbols: README.md. Shared text:
// adamw_common.wgsl. Twin: `limbeck_oracle::adamw::update`.

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>;
// [0] groups, [1] lines, [2] scale of the gradient, [3] beta1, [4] 1 - beta1, [5] beta2, [6] 1 - beta2, [7] epsilon; of each
// parameter: [0] its first block, [1] fours, 0 if it has no gradient, [2] 1 - learning rate * decay, [3] step size, [4]
// 1 / sqrt(1 - beta2^t)
@group(0) @binding(4) var<storage, read> info: array<u32>;

fn real(at: u32) -> f32 {
    return bitcast<f32>(info[at]);
}

@compute @workgroup_size({{threads}}, 1, 1)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) places: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = place.y * places.x + place.x;
    if (block >= info[0]) {
        return;
    }
    let line = line_of(block, info[1]);
    if ((block - info[line]) * {{threads}}u + thread >= info[line + 1u]) {
        return;
    }
    let at = block * {{threads}}u + thread;
    let g = gradient[at] * real(2u);
    let m = first[at] * real(3u) + g * real(4u);
    let v = second[at] * real(5u) + g * g * real(6u);
    first[at] = m;
    second[at] = v;
    weights[at] = weights[at] * real(line + 2u) - real(line + 3u) * (m / (sqrt(v) * real(line + 4u) + real(7u)));
}
