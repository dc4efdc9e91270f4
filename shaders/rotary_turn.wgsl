// Rotary positions: pairs of features of a vector turned by the angles of its position, or back. One thread an element.
// Symbols: README.md. Twin: `limbeck_oracle::attention::rotate`.

@group(0) @binding(0) var<storage, read> x: array<f32>;              // (B, S, H)
@group(0) @binding(1) var<storage, read> table: array<f32>;          // (positions, R): R / 2 cosines, then R / 2 sines
@group(0) @binding(2) var<storage, read_write> output: array<f32>;   // (B, S, H)
// [0] groups, [1] B * S * H, [2] S, [3] A, [4] D, [5] R, [6] 1 to turn back
@group(0) @binding(3) var<storage, read> info: array<u32>;

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
    let feature = at % info[4];
    let position = at / (info[3] * info[4]) % info[2];
    let half = info[5] / 2u;
    if (feature >= info[5]) {
        output[at] = x[at];
        return;
    }
    // Of a pair (x, y) the first becomes x cos - y sin, the second y cos + x sin.
    let first = feature < half;
    let partner = select(at - half, at + half, first);
    let angle = position * info[5] + select(feature - half, feature, first);
    let sine = table[angle + half];
    output[at] = x[at] * table[angle] + x[partner] * select(sine, -sine, first == (info[6] == 0u));
}
