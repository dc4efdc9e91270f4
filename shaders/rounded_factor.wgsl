// What the shaders of matmul multiply in mixed precision: factors rounded to 16 bits. Put after a pass. Twin:
// `limbeck_oracle::matmul::rounded`.

// The nearest numbers that an f16 holds, of two that are as near the even one; 65504 in place of what is larger. Bit by bit,
// because a conversion may round either way: the unit of the last place is 2^-10 of the power of two below, and 2^-24 at least.
fn rounded(x: vec4<f32>) -> vec4<f32> {
    let most = vec4<f32>(65504.0);
    let near = select(x, sign(x) * most, abs(x) > most);
    let power = max(bitcast<vec4<u32>>(near) & vec4<u32>(0x7f800000u), vec4<u32>(0x38800000u));
    let unit = power - vec4<u32>(0x05000000u);
    let inverse = vec4<u32>(0x7f000000u) - unit;
    return round(near * bitcast<vec4<f32>>(inverse)) * bitcast<vec4<f32>>(unit);
}

fn factor(block: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(rounded(block[0]), rounded(block[1]), rounded(block[2]), rounded(block[3]));
}
