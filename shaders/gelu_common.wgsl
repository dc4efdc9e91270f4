// GELU and its slope, put before gelu_forward.wgsl and gelu_backward.wgsl, and before a matmul that ends with either (README.md:
// rules for a shader). Phi is the distribution function of the standard normal distribution, phi its density.

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

// Phi(u).
fn distribution(u: f32) -> f32 {
    return 0.5 * (1.0 + erf(u * 0.70710678));
}

// u Phi(u).
fn gelu(u: f32) -> f32 {
    return u * distribution(u);
}

// Phi(u) + u phi(u).
fn gelu_slope(u: f32) -> f32 {
    return distribution(u) + u * 0.3989423 * exp(-0.5 * u * u);
}
