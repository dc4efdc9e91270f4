//! Exact GELU of a biased value, u * Phi(u) with u = x + bias (Hendrycks and Gimpel 2016), with its gradient.

/// Gradients of x (rows, width) and of the bias (width).
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Of x.
    pub x: Vec<f64>,
    /// Of the bias: the sum of that of x over rows.
    pub bias: Vec<f64>,
}

/// u * Phi(u) for each number of x, (rows, width), plus the bias of its column, (width). Twin of `gelu_forward.wgsl`.
///
/// # Panics
/// If x is not whole rows.
pub fn forward(x: &[f64], bias: &[f64]) -> Vec<f64> {
    check(x, bias);
    let mut output = vec![0.0; x.len()];
    for at in 0..x.len() {
        let u = x[at] + bias[at % bias.len()];
        output[at] = u * normal_cdf(u);
    }
    output
}

/// The gradients of sum(weight * [`forward`]): weight is what comes from above, (rows, width). Twin of
/// `gelu_backward.wgsl`.
///
/// # Panics
/// As [`forward`], or if weight and x differ in length.
pub fn backward(x: &[f64], bias: &[f64], weight: &[f64]) -> Gradient {
    check(x, bias);
    assert_eq!(x.len(), weight.len(), "one weight for each number of x");
    let mut gradient = Gradient {
        x: vec![0.0; x.len()],
        bias: vec![0.0; bias.len()],
    };
    for at in 0..x.len() {
        let u = x[at] + bias[at % bias.len()];
        gradient.x[at] = weight[at] * (normal_cdf(u) + u * normal_density(u));
        gradient.bias[at % bias.len()] += gradient.x[at];
    }
    gradient
}

/// The error function: the series whose terms are all positive, so that nothing cancels; ±1 where it would be long.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum(); // 1 - erf(6) is 2e-17
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// Phi(u) of the standard normal distribution.
fn normal_cdf(u: f64) -> f64 {
    0.5 * (1.0 + erf(u * std::f64::consts::FRAC_1_SQRT_2))
}

/// phi(u) of the standard normal distribution.
fn normal_density(u: f64) -> f64 {
    (-0.5 * u * u).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn check(x: &[f64], bias: &[f64]) {
    let (got, width) = (x.len(), bias.len());
    assert!(
        width > 0 && got.is_multiple_of(width),
        "{got} numbers are not whole rows of {width}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::directional_error;
    use crate::rng::Rng;

    #[test]
    fn erf_has_its_tabulated_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, value) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (7.0, 1.0),
        ] {
            assert!((erf(x) - value).abs() < 1e-10, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((erf(5.999_999) - erf(6.000_001)).abs() < 1e-15);
    }

    #[test]
    fn a_value_and_its_mirror_image_differ_by_the_value() {
        for u in [0.0, 0.3, 1.7, 5.0] {
            let both = forward(&[u, -u], &[0.0]);
            assert!((both[0] - both[1] - u).abs() < 1e-14, "at {u}");
        }
    }

    #[test]
    fn backward_is_the_gradient_of_forward() {
        let mut rng = Rng::new(3);
        let mut random = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
        let (x, bias, weight) = (random(12), random(4), random(12));
        let gradient = backward(&x, &bias, &weight);
        let value = |x: &[f64], bias: &[f64]| -> f64 {
            forward(x, bias)
                .iter()
                .zip(&weight)
                .map(|(y, w)| y * w)
                .sum()
        };
        let mut rng = Rng::new(4);
        let of_x = directional_error(|x| value(x, &bias), &gradient.x, &x, &mut rng);
        let of_bias = directional_error(|bias| value(&x, bias), &gradient.bias, &bias, &mut rng);
        assert!(of_x < 1e-7 && of_bias < 1e-7, "{of_x:e} {of_bias:e}");
    }

    #[test]
    #[should_panic(expected = "5 numbers are not whole rows of 2")]
    fn rows_are_whole() {
        forward(&[0.0; 5], &[0.0; 2]);
    }
}
