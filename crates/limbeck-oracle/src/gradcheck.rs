//! Is a gradient the gradient of its function? Asked by central differences, in f64 only.
//!
//! In f32 the question cannot be asked: the loss is O(1), its rounding 6e-8, and gradients are 1e-6. Judge an f32
//! gradient against the oracle instead ([`crate::judge`]).

use crate::rng::Rng;

/// Step along a unit vector. The five-point rule is off by about h^4 = 1e-12 and rounding by about 1e-16 / h = 1e-13, both
/// far below the 1e-7 that is asked for; the two-point rule at its best step leaves 1e-10, too near for small slopes.
const STEP: f64 = 1e-3;

/// Relative error of `grad` at `x` along one random direction: one number that checks a whole gradient.
///
/// # Panics
/// If `grad` and `x` differ in length.
pub fn directional_error(f: impl Fn(&[f64]) -> f64, grad: &[f64], x: &[f64], rng: &mut Rng) -> f64 {
    assert_eq!(
        grad.len(),
        x.len(),
        "a gradient has one number for each of its variables"
    );
    let direction = unit_vector(x.len(), rng);
    let slope = slope(f, x, &direction);
    (slope - dot(grad, &direction)).abs() / slope.abs().max(norm(grad) * 1e-3)
}

/// The whole gradient of `f` at `x`, one axis at a time: slower than [`directional_error`], and it locates a fault.
pub fn numeric_gradient(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let axis = |at: usize| {
        (0..x.len())
            .map(|i| f64::from(u8::from(i == at)))
            .collect::<Vec<f64>>()
    };
    (0..x.len()).map(|at| slope(&f, x, &axis(at))).collect()
}

/// Five-point central difference of `f` at `x` along `direction`.
fn slope(f: impl Fn(&[f64]) -> f64, x: &[f64], direction: &[f64]) -> f64 {
    let along = |h: f64| {
        let moved: Vec<f64> = x.iter().zip(direction).map(|(x, d)| x + h * d).collect();
        f(&moved)
    };
    let near = along(STEP) - along(-STEP);
    let far = along(2.0 * STEP) - along(-2.0 * STEP);
    (8.0 * near - far) / (12.0 * STEP)
}

fn unit_vector(n: usize, rng: &mut Rng) -> Vec<f64> {
    let drawn: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
    let length = norm(&drawn);
    drawn.iter().map(|x| x / length).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 3] = [0.3, -0.7, 1.1];

    fn function(x: &[f64]) -> f64 {
        x[0].sin() * x[1].exp() + x[2].powi(3)
    }

    fn gradient() -> [f64; 3] {
        [
            X[0].cos() * X[1].exp(),
            X[0].sin() * X[1].exp(),
            3.0 * X[2] * X[2],
        ]
    }

    #[test]
    fn a_right_gradient_is_accepted() {
        let mut rng = Rng::new(1);
        for _ in 0..20 {
            let error = directional_error(function, &gradient(), &X, &mut rng);
            assert!(error < 1e-9, "{error:e}");
        }
        let numeric = numeric_gradient(function, &X);
        assert!(
            numeric
                .iter()
                .zip(gradient())
                .all(|(got, right)| (got - right).abs() < 1e-10),
            "{numeric:?}"
        );
    }

    #[test]
    fn a_wrong_gradient_is_seen() {
        let mut rng = Rng::new(1);
        let mut wrong = gradient();
        wrong[1] *= 1.001;
        let worst = (0..20)
            .map(|_| directional_error(function, &wrong, &X, &mut rng))
            .fold(0.0, f64::max);
        assert!(worst > 1e-6, "{worst:e}");
    }
}
