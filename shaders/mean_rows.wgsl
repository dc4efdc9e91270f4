// The relation loss from the KL of its rows, in two launches: first the mean of each sequence, a workgroup each, then those of pairs
// and what they add up to (eq. 5 and 6), in one workgroup. Symbols: README.md. Twin: `limbeck_oracle::relation::forward`.

const THREADS: u32 = {{threads}}u;
const LAST: bool = {{last}}u == 1u;
const GAP: u32 = {{gap}}u;   // numbers before the means of pairs, so that they are a view

// Statistics of rows (P, 5, B, A, S), KL first; the last launch reads (P, B)
@group(0) @binding(0) var<storage, read> numbers: array<f32>;
// (P, B); of the last launch (1), and after the gap (P)
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
// [0] groups, [1] P, [2] B, [3] A * S, then as bits the weight of each pair, and of each sequence
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> parts: array<f32, THREADS>;

// The sum of so many numbers. Has barriers.
fn sum_of(first: u32, count: u32, thread: u32) -> f32 {
    var sum = 0.0;
    for (var at = thread; at < count; at += THREADS) {
        sum += numbers[first + at];
    }
    workgroupBarrier();
    parts[thread] = sum;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (thread < half) {
            parts[thread] += parts[thread + half];
        }
        workgroupBarrier();
    }
    return parts[0];
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
    let pairs = info[1];
    let batch = info[2];
    let rows = info[3];
    if (LAST) {
        var total = 0.0;
        for (var pair = 0u; pair < pairs; pair += 1u) {
            let mean = sum_of(pair * batch, batch, thread);
            total += bitcast<f32>(info[4u + pair]) * mean;
            if (thread == 0u) {
                output[GAP + pair] = mean;
            }
        }
        if (thread == 0u) {
            output[0] = total;
        }
    } else {
        let pair = group / batch;
        let sequence = group % batch;
        let first = (5u * pair * batch + sequence) * rows;
        let sum = sum_of(first, rows, thread);
        if (thread == 0u) {
            output[group] = sum * bitcast<f32>(info[4u + pairs + sequence]);
        }
    }
}
