// The gradients of LayerNorm: of the sum x + residual, and sums over a workgroup's rows of those of weight and bias. Symbols:
// README.md. Shared text: layer_norm_common.wgsl. Twin: `limbeck_oracle::layer_norm::backward`.

@group(0) @binding(3) var<storage, read> statistics: array<vec4<f32>>; // (rows), as layer_norm_forward.wgsl leaves them
@group(0) @binding(4) var<storage, read> gradient: array<vec4<f32>>; // of the output, (rows, line)
// (rows, line), then (groups, 2, part): of weight, of bias
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;
// [0] to [4] as in layer_norm_forward.wgsl, [5] where the sums start, [6] fours in a part
@group(0) @binding(6) var<storage, read> info: array<u32>;

// Of each row: the means of dy * weight, and of that times the normalised number.
var<workgroup> means: array<vec2<f32>, ROWS>;

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
    let line = info[3];
    let first = group * ROWS;
    let own = min(first + thread / LANES, info[1] - 1u);
    let of_own = statistics[own];
    var sums = vec2<f32>();
    for (var four = thread % LANES; four < line; four += LANES) {
        let at = own * line + four;
        let scaled = gradient[at] * weight[four];
        sums += vec2<f32>(dot(scaled, vec4<f32>(1.0)), dot(scaled, normalised(of_own, at)));
    }
    sums = along_row(thread, sums) / f32(info[2]);
    if (thread % LANES == 0u) {
        means[thread / LANES] = sums;
    }
    workgroupBarrier();

    // A thread now has columns, not a row.
    let rows = min(ROWS, info[1] - first);
    for (var four = thread; four < line; four += THREADS) {
        var of_weight = vec4<f32>();
        var of_bias = vec4<f32>();
        for (var row = 0u; row < rows; row += 1u) {
            let at = (first + row) * line + four;
            let of_row = statistics[first + row];
            let hat = normalised(of_row, at);
            let dy = gradient[at];
            output[at] = of_row.z * (dy * weight[four] - means[row].x - hat * means[row].y);
            of_weight += dy * hat;
            of_bias += dy;
        }
        let to = info[5] + 2u * group * info[6] + four;
        output[to] = of_weight;
        output[to + info[6]] = of_bias;
    }
}

fn normalised(of_row: vec4<f32>, at: u32) -> vec4<f32> {
    return (summed(at) - of_row.x - of_row.y) * of_row.z;
}
