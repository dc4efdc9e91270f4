// Tensors to their places in one buffer, out of up to six others, zeros after each and where a tensor is missing. Symbols: README.md. Shared
// text: adamw_common.wgsl. Twin: `limbeck_oracle::adamw::gather`.

@group(0) @binding(0) var<storage, read> from_0: array<f32>;
@group(0) @binding(1) var<storage, read> from_1: array<f32>;
@group(0) @binding(2) var<storage, read> from_2: array<f32>;
@group(0) @binding(3) var<storage, read> from_3: array<f32>;
@group(0) @binding(4) var<storage, read> from_4: array<f32>;
@group(0) @binding(5) var<storage, read> from_5: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
// [0] groups, [1] first block, [2] lines; of each tensor: [0] its first block, [1] numbers, 0 if it is missing, [2] its
// binding, [3] where in that it starts
@group(0) @binding(7) var<storage, read> info: array<u32>;

fn number(source: u32, at: u32) -> f32 {
    switch source {
        case 0u: { return from_0[at]; }
        case 1u: { return from_1[at]; }
        case 2u: { return from_2[at]; }
        case 3u: { return from_3[at]; }
        case 4u: { return from_4[at]; }
        default: { return from_5[at]; }
    }
}

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
    let block = info[1] + group;
    let line = line_of(block, info[2]);
    for (var part = 0u; part < 4u; part += 1u) {
        let within = part * {{threads}}u + thread;
        let at = (block - info[line]) * 1024u + within;
        var value = 0.0;
        if (at < info[line + 1u]) {
            value = number(info[line + 2u], info[line + 3u] + at);
        }
        output[block * 1024u + within] = value;
    }
}
