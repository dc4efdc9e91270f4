// LayerNorm of x + residual. Symbols: README.md. Shared text: layer_norm_common.wgsl.
// Twin: `limbeck_oracle::layer_norm::forward`.

@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;     // (line); anything where there is none
// (rows, line), then for each row: mean, what rounding it left, 1 / sqrt(variance + epsilon)
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
// [0] groups, [1] rows, [2] width, [3] fours in a line, [4] 1 if there is a residual, [5] where the statistics start, in
// fours, [6] epsilon, [7] 1 if there is a bias
@group(0) @binding(5) var<storage, read> info: array<u32>;

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
    let row = group * ROWS + thread / LANES;
    let line = info[3];
    let start = min(row, info[1] - 1u) * line;
    let lane = thread % LANES;
    let width = f32(info[2]);

    // From the first number, so that a row that does not vary has its very mean.
    let first = summed(start).x;
    var sum = 0.0;
    for (var four = lane; four < line; four += LANES) {
        sum += dot(summed(start + four) - first, real(four));
    }
    let mean = first + along_row(thread, vec2<f32>(sum, 0.0)).x / width;
    var sums = vec2<f32>();
    for (var four = lane; four < line; four += LANES) {
        let away = (summed(start + four) - mean) * real(four);
        sums += vec2<f32>(dot(away, vec4<f32>(1.0)), dot(away, away));
    }
    let moments = along_row(thread, sums) / width;
    let rest = moments.x;
    let scale = inverseSqrt(max(moments.y - rest * rest, 0.0) + bitcast<f32>(info[6]));

    if (row < info[1]) {
        for (var four = lane; four < line; four += LANES) {
            let at = start + four;
            var y = (summed(at) - mean - rest) * scale * weight[four];
            if (info[7] == 1u) {
                y += bias[four];
            }
            output[at] = y;
        }
        if (lane == 0u) {
            output[info[5] + row] = vec4<f32>(mean, rest, scale, 0.0);
        }
    }
}

// 1 for each number of a row, 0 for what fills it up.
fn real(four: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(0u, 1u, 2u, 3u) + 4u * four < vec4<u32>(info[2]));
}
