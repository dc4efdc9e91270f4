// What layer_norm_forward.wgsl and layer_norm_backward.wgsl share, put before either (README.md: rules for a shader): which
// rows a workgroup has, and sums along a row. A line is a row in whole fours: past the width are zeros.

const THREADS: u32 = {{threads}}u;
const LANES: u32 = {{lanes}}u;                  // threads of a row
const ROWS: u32 = THREADS / LANES;              // rows of a workgroup

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;        // (rows, line)
@group(0) @binding(1) var<storage, read> residual: array<vec4<f32>>; // (rows, line); anything where there is none
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;   // (line)

var<workgroup> parts: array<vec2<f32>, THREADS>;

fn summed(at: u32) -> vec4<f32> {
    if (info[4] == 1u) {
        return x[at] + residual[at];
    }
    return x[at];
}

// What the threads of a row have, added up in their order.
fn along_row(thread: u32, part: vec2<f32>) -> vec2<f32> {
    if (LANES == 1u) {
        return part;
    }
    workgroupBarrier();
    parts[thread] = part;
    workgroupBarrier();
    let first = thread / LANES * LANES;
    var sum = parts[first];
    for (var lane = 1u; lane < LANES; lane += 1u) {
        sum += parts[first + lane];
    }
    return sum;
}
