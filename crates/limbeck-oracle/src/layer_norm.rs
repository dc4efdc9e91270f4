//! LayerNorm of a sum over the last axis (arXiv:1607.06450), with its gradients, and mistakes in either.

/// What goes in, and what comes from above.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// (rows, width).
    pub x: Vec<f64>,
    /// What is added to x before, (rows, width), if anything.
    pub residual: Option<Vec<f64>>,
    /// (width).
    pub weight: Vec<f64>,
    /// (width).
    pub bias: Vec<f64>,
    /// Added to the variance.
    pub eps: f64,
    /// The gradient of the output, (rows, width).
    pub upstream: Vec<f64>,
}

impl Inputs {
    /// The sum that is normalised.
    fn sum(&self) -> Vec<f64> {
        let mut sum = self.x.clone();
        if let Some(residual) = &self.residual {
            for at in 0..sum.len() {
                sum[at] += residual[at];
            }
        }
        sum
    }
}

/// Gradients of sum(upstream * [`forward`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Of the sum, so of x and of the residual, (rows, width).
    pub sum: Vec<f64>,
    /// (width).
    pub weight: Vec<f64>,
    /// (width).
    pub bias: Vec<f64>,
}

/// Mean and 1 / sqrt(variance + eps) of a row.
fn statistics(row: &[f64], eps: f64) -> (f64, f64) {
    let width = row.len() as f64;
    let mean = row.iter().sum::<f64>() / width;
    let variance = row.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / width;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Each row of x + residual with mean 0 and variance 1, times weight, plus bias. Twin of `layer_norm_forward.wgsl`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(inputs: &Inputs) -> Vec<f64> {
    let (sum, width) = (inputs.sum(), inputs.weight.len());
    let mut output = vec![0.0; sum.len()];
    for start in (0..sum.len()).step_by(width) {
        let (mean, scale) = statistics(&sum[start..start + width], inputs.eps);
        for at in 0..width {
            let normalised = (sum[start + at] - mean) * scale;
            output[start + at] = normalised * inputs.weight[at] + inputs.bias[at];
        }
    }
    output
}

/// The gradients. Twin of `layer_norm_backward.wgsl`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward(inputs: &Inputs) -> Gradient {
    let (sum, width) = (inputs.sum(), inputs.weight.len());
    let mut gradient = Gradient {
        sum: vec![0.0; sum.len()],
        weight: vec![0.0; width],
        bias: vec![0.0; width],
    };
    for start in (0..sum.len()).step_by(width) {
        let (mean, scale) = statistics(&sum[start..start + width], inputs.eps);
        let normalised = |at: usize| (sum[start + at] - mean) * scale;
        let scaled = |at: usize| inputs.upstream[start + at] * inputs.weight[at];
        let (mut along_mean, mut along_scale) = (0.0, 0.0);
        for at in 0..width {
            along_mean += scaled(at) / width as f64;
            along_scale += scaled(at) * normalised(at) / width as f64;
            gradient.weight[at] += inputs.upstream[start + at] * normalised(at);
            gradient.bias[at] += inputs.upstream[start + at];
        }
        for at in 0..width {
            let rest = scaled(at) - along_mean - normalised(at) * along_scale;
            gradient.sum[start + at] = scale * rest;
        }
    }
    gradient
}

/// What a LayerNorm gets wrong when it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The residual is not added.
    NoResidual,
    /// The variance is the sum of squares over width - 1.
    Unbiased,
    /// Nothing is added to the variance: rows that do not vary become NaN.
    NoEpsilon,
    /// The zeros that fill a row up to whole fours take part.
    FilledUp,
    /// The last column is 0: nobody wrote it.
    LastColumnMissing,
    /// The gradient lacks the part that goes through the mean.
    NoMeanTerm,
    /// The gradient lacks the part that goes through the variance.
    NoVarianceTerm,
    /// The last row is in no sum over rows.
    LastRowMissing,
    /// The gradient of the weight is that of the bias.
    NotNormalised,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::NoResidual,
        Self::Unbiased,
        Self::NoEpsilon,
        Self::FilledUp,
        Self::LastColumnMissing,
        Self::NoMeanTerm,
        Self::NoVarianceTerm,
        Self::LastRowMissing,
        Self::NotNormalised,
    ];

    /// Whether the mistake changes anything: a row of one number is always 0 and has no gradient.
    pub fn applies(self, inputs: &Inputs) -> bool {
        let width = inputs.weight.len();
        match self {
            Self::NoResidual => inputs.residual.is_some() && width > 1,
            Self::FilledUp => !width.is_multiple_of(4) && width > 1,
            Self::NoEpsilon => {
                let rows = inputs.sum();
                rows.chunks(width)
                    .any(|row| row.iter().all(|s| *s == row[0]))
            }
            // In a row of two numbers, what is left of a gradient is 0 but for eps.
            Self::Unbiased | Self::NoVarianceTerm => width > 2,
            Self::NoMeanTerm => width > 1,
            Self::LastColumnMissing | Self::LastRowMissing | Self::NotNormalised => true,
        }
    }

    /// Output, and gradients of the sum, the weight and the bias, with this mistake.
    ///
    /// # Panics
    /// As [`forward`].
    pub fn results(self, inputs: &Inputs) -> [Vec<f64>; 4] {
        let width = inputs.weight.len();
        let mut wrong = inputs.clone();
        match self {
            Self::NoResidual => wrong.residual = None,
            Self::NoEpsilon => wrong.eps = 0.0,
            Self::FilledUp => return filled_up(inputs),
            _ => {}
        }
        let (mut output, mut gradient) = (forward(&wrong), backward(&wrong));
        let sum = inputs.sum();
        for start in (0..sum.len()).step_by(width) {
            let row = start..start + width;
            let (mean, scale) = statistics(&sum[row.clone()], inputs.eps);
            for at in 0..width {
                let scaled = |at: usize| inputs.upstream[start + at] * inputs.weight[at];
                let normalised = |at: usize| (sum[start + at] - mean) * scale;
                let total = |term: &dyn Fn(usize) -> f64| (0..width).map(term).sum::<f64>();
                let of = &mut gradient.sum[start + at];
                let y = &mut output[start + at];
                match self {
                    Self::Unbiased => {
                        let ratio = ((width - 1) as f64 / width as f64).sqrt();
                        *y = (*y - inputs.bias[at]) * ratio + inputs.bias[at];
                    }
                    Self::LastColumnMissing if at + 1 == width => *y = 0.0,
                    Self::NoMeanTerm => *of += scale * total(&scaled) / width as f64,
                    Self::NoVarianceTerm => {
                        let along = total(&|at| scaled(at) * normalised(at)) / width as f64;
                        *of += scale * normalised(at) * along;
                    }
                    Self::LastRowMissing if start + width == sum.len() => {
                        gradient.weight[at] -= inputs.upstream[start + at] * normalised(at);
                        gradient.bias[at] -= inputs.upstream[start + at];
                    }
                    _ => {}
                }
            }
        }
        if self == Self::NotNormalised {
            gradient.weight.clone_from(&gradient.bias);
        }
        [output, gradient.sum, gradient.weight, gradient.bias]
    }
}

/// The answers where rows are filled up with zeros to whole fours, which then count.
fn filled_up(inputs: &Inputs) -> [Vec<f64>; 4] {
    let width = inputs.weight.len();
    let whole = width.next_multiple_of(4);
    let fill = |values: &[f64]| -> Vec<f64> {
        let filled = values.chunks(width).flat_map(|row| {
            row.iter()
                .copied()
                .chain(std::iter::repeat_n(0.0, whole - width))
        });
        filled.collect()
    };
    let cut = |values: Vec<f64>| -> Vec<f64> {
        let rows = values.chunks(whole);
        rows.flat_map(|row| row[..width].to_vec()).collect()
    };
    let filled = Inputs {
        x: fill(&inputs.x),
        residual: inputs.residual.as_deref().map(fill),
        weight: fill(&inputs.weight),
        bias: fill(&inputs.bias),
        upstream: fill(&inputs.upstream),
        eps: inputs.eps,
    };
    let gradient = backward(&filled);
    [
        forward(&filled),
        gradient.sum,
        gradient.weight,
        gradient.bias,
    ]
    .map(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::directional_error;
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    fn random(rows: usize, width: usize, residual: bool, rng: &mut Rng) -> Inputs {
        let mut numbers = |count: usize| -> Vec<f64> {
            // As a kernel would have them.
            (0..count).map(|_| f64::from(rng.normal() as f32)).collect()
        };
        Inputs {
            x: numbers(rows * width),
            residual: residual.then(|| numbers(rows * width)),
            weight: numbers(width),
            bias: numbers(width),
            upstream: numbers(rows * width),
            eps: f64::from(1e-5f32),
        }
    }

    #[test]
    fn of_a_row_by_hand() {
        let inputs = Inputs {
            x: vec![1.0, 2.0, 3.0, 6.0],
            residual: Some(vec![0.0, 1.0, 2.0, 1.0]),
            weight: vec![1.0, 1.0, 2.0, 1.0],
            bias: vec![0.0, 0.0, 0.5, 0.0],
            eps: 0.0,
            upstream: vec![0.0; 4],
        };
        // 1, 3, 5, 7: mean 4, variance 5.
        let root = 5.0f64.sqrt();
        let expected = [-3.0 / root, -1.0 / root, 2.0 / root + 0.5, 3.0 / root];
        for (got, expected) in forward(&inputs).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn backward_is_the_gradient_of_forward() {
        let mut rng = Rng::new(6);
        let inputs = random(3, 5, true, &mut rng);
        let gradient = backward(&inputs);
        let value = |inputs: &Inputs| -> f64 {
            let terms = forward(inputs).into_iter().zip(&inputs.upstream);
            terms.map(|(y, w)| y * w).sum()
        };
        let with = |change: &dyn Fn(&mut Inputs)| {
            let mut changed = inputs.clone();
            change(&mut changed);
            value(&changed)
        };
        let residual = inputs.residual.clone().unwrap_or_default();
        let errors = [
            directional_error(
                |x| with(&|i| i.x = x.to_vec()),
                &gradient.sum,
                &inputs.x,
                &mut rng,
            ),
            directional_error(
                |r| with(&|i| i.residual = Some(r.to_vec())),
                &gradient.sum,
                &residual,
                &mut rng,
            ),
            directional_error(
                |w| with(&|i| i.weight = w.to_vec()),
                &gradient.weight,
                &inputs.weight,
                &mut rng,
            ),
            directional_error(
                |b| with(&|i| i.bias = b.to_vec()),
                &gradient.bias,
                &inputs.bias,
                &mut rng,
            ),
        ];
        assert!(errors.iter().all(|error| *error < 1e-7), "{errors:?}");
    }

    /// With the factor that a GPU is judged with: what tests of kernels would see of a mistake.
    #[test]
    fn the_judge_sees_every_defect() {
        let mut rng = Rng::new(7);
        let mut seen = 0;
        for (rows, width) in [(1, 1), (1, 3), (9, 4), (65, 384), (3, 1_001)] {
            for residual in [false, true] {
                let mut inputs = random(rows, width, residual, &mut rng);
                if rows == 9 {
                    // A row that does not vary; its gradients are so large that they hide others.
                    inputs.x[..width].fill(0.25);
                    if let Some(residual) = &mut inputs.residual {
                        residual[..width].fill(0.5);
                    }
                }
                let gradient = backward(&inputs);
                let exact = [
                    forward(&inputs),
                    gradient.sum,
                    gradient.weight,
                    gradient.bias,
                ];
                let plain = exact.clone().map(rounded);
                for part in 0..4 {
                    let (plain, exact) = (&plain[part], &exact[part]);
                    assert_eq!(
                        verdict_with_factor(8.0, "plain", plain, plain, exact),
                        Ok(())
                    );
                }
                for defect in Defect::ALL.into_iter().filter(|d| d.applies(&inputs)) {
                    let wrong = defect.results(&inputs).map(rounded);
                    let mut parts = 0..4;
                    let noticed = parts.any(|part| {
                        let (wrong, plain) = (&wrong[part], &plain[part]);
                        verdict_with_factor(8.0, "defect", wrong, plain, &exact[part]).is_err()
                    });
                    assert!(noticed, "{defect:?} passes at {rows} x {width}, {residual}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 50, "{seen}");
    }

    /// In f32, off by some roundings.
    fn rounded(values: Vec<f64>) -> Vec<f32> {
        let off = 1.0 + 4.0 * f32::EPSILON;
        values.iter().map(|x| *x as f32 * off).collect()
    }
}
