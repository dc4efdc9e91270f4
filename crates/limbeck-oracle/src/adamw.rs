//! AdamW (Loshchilov and Hutter 2019), as PyTorch has it, tensors side by side in one buffer, and mistakes in either.

/// The numbers of one update of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalars {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Which update of the parameter it is, from 1.
    pub time: u64,
    /// The gradient is scaled by this first.
    pub gradient_scale: f64,
}

/// A parameter and the running means of its gradient and of its square.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its values.
    pub values: Vec<f64>,
    /// First moment.
    pub first: Vec<f64>,
    /// Second moment.
    pub second: Vec<f64>,
}

impl Parameter {
    /// Before its first update.
    pub fn new(values: Vec<f64>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self {
            values,
            first: zeros.clone(),
            second: zeros,
        }
    }
}

/// The parameter after one update. Twin of `adamw_update.wgsl`.
pub fn update(parameter: &Parameter, gradient: &[f64], scalars: &Scalars) -> Parameter {
    let Scalars { beta1, beta2, .. } = *scalars;
    let time = scalars.time as f64;
    let mut updated = parameter.clone();
    for i in 0..gradient.len() {
        let g = scalars.gradient_scale * gradient[i];
        let m = beta1 * parameter.first[i] + (1.0 - beta1) * g;
        let v = beta2 * parameter.second[i] + (1.0 - beta2) * g * g;
        let unbiased = (m / (1.0 - beta1.powf(time)), v / (1.0 - beta2.powf(time)));
        let decayed = parameter.values[i] * (1.0 - scalars.learning_rate * scalars.weight_decay);
        updated.first[i] = m;
        updated.second[i] = v;
        updated.values[i] =
            decayed - scalars.learning_rate * unbiased.0 / (unbiased.1.sqrt() + scalars.eps);
    }
    updated
}

/// Tensors side by side, each padded with zeros to whole blocks; of one that is missing, zeros alone: (length, values). Twin of
/// `adamw_gather.wgsl`.
pub fn gather(tensors: &[(usize, Option<&[f64]>)], block: usize) -> Vec<f64> {
    let mut all = Vec::new();
    for (length, values) in tensors {
        let end = all.len() + length.next_multiple_of(block);
        all.extend_from_slice(values.unwrap_or_default());
        all.resize(end, 0.0);
    }
    all
}

/// The sum of the squares of all numbers. Twin of `sum_squares.wgsl`, which leaves it in parts.
pub fn squares(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum()
}

/// What an update of many parameters at once gets wrong when it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The bias of the moments is not corrected.
    NoCorrection,
    /// The bias is corrected by the count of updates of another parameter.
    CountOfANeighbour,
    /// Decay reaches the gradient, as in Adam with L2.
    CoupledDecay,
    /// A parameter that is not to decay does.
    DecaysAll,
    /// The gradient is not scaled.
    NoClip,
    /// Epsilon is added under the root.
    EpsilonInside,
    /// The last number is left as it was.
    LastMissing,
    /// The gradient is that of the number before.
    Shifted,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::NoCorrection,
        Self::CountOfANeighbour,
        Self::CoupledDecay,
        Self::DecaysAll,
        Self::NoClip,
        Self::EpsilonInside,
        Self::LastMissing,
        Self::Shifted,
    ];

    /// Whether the mistake changes this update, of a gradient that is not 0.
    pub fn applies(self, length: usize, scalars: &Scalars) -> bool {
        match self {
            Self::CoupledDecay => scalars.weight_decay > 0.0,
            Self::DecaysAll => scalars.weight_decay == 0.0,
            Self::NoClip => scalars.gradient_scale != 1.0,
            Self::Shifted => length > 1,
            _ => true,
        }
    }

    /// The update with this mistake.
    pub fn update(self, parameter: &Parameter, gradient: &[f64], scalars: &Scalars) -> Parameter {
        let mut gradient = gradient.to_vec();
        let mut scalars = *scalars;
        match self {
            // So late that there is nothing to correct.
            Self::NoCorrection => scalars.time = 1_000_000_000,
            Self::CountOfANeighbour => scalars.time += 1,
            Self::CoupledDecay => {
                for (g, p) in gradient.iter_mut().zip(&parameter.values) {
                    *g += scalars.weight_decay * p / scalars.gradient_scale;
                }
                scalars.weight_decay = 0.0;
            }
            Self::DecaysAll => scalars.weight_decay = 0.01,
            Self::NoClip => scalars.gradient_scale = 1.0,
            Self::EpsilonInside => {
                let right = update(parameter, &gradient, &scalars);
                return inside(parameter, right, &scalars);
            }
            Self::LastMissing => {
                let mut updated = update(parameter, &gradient, &scalars);
                let last = gradient.len() - 1;
                updated.values[last] = parameter.values[last];
                return updated;
            }
            Self::Shifted => gradient.rotate_right(1),
        }
        update(parameter, &gradient, &scalars)
    }
}

/// A right update with epsilon under the root instead of beside it.
fn inside(before: &Parameter, mut right: Parameter, scalars: &Scalars) -> Parameter {
    let time = scalars.time as f64;
    for i in 0..before.values.len() {
        let m = right.first[i] / (1.0 - scalars.beta1.powf(time));
        let v = right.second[i] / (1.0 - scalars.beta2.powf(time));
        let decayed = before.values[i] * (1.0 - scalars.learning_rate * scalars.weight_decay);
        right.values[i] = decayed - scalars.learning_rate * m / (v + scalars.eps).sqrt();
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    const SCALARS: Scalars = Scalars {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-6,
        weight_decay: 0.1,
        time: 1,
        gradient_scale: 0.5,
    };

    /// The first step goes by the learning rate against the sign of the gradient, whatever its size.
    #[test]
    fn the_first_step_is_the_learning_rate() {
        let scalars = Scalars {
            eps: 0.0,
            weight_decay: 0.0,
            ..SCALARS
        };
        let updated = update(&Parameter::new(vec![1.0, 2.0]), &[1e-3, -40.0], &scalars);
        for (got, expected) in updated.values.iter().zip([0.99, 2.01]) {
            assert!((got - expected).abs() < 1e-12, "{got} and {expected}");
        }
    }

    #[test]
    fn tensors_begin_with_a_block() {
        let all = gather(
            &[
                (3, Some(&[1.0, 2.0, 3.0])),
                (1, None),
                (2, Some(&[4.0, 5.0])),
            ],
            2,
        );
        assert_eq!(all, [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 5.0]);
        assert_eq!(squares(&all), 55.0);
    }

    /// With the factor that a GPU is judged with: what tests of kernels would see of a mistake.
    #[test]
    fn the_judge_sees_every_defect() {
        let mut rng = Rng::new(6);
        let mut random =
            |count: usize| (0..count).map(|_| f64::from(rng.normal() as f32)).collect();
        for length in [1, 3, 65, 1_025] {
            for (weight_decay, time) in [(0.1, 1), (0.0, 3)] {
                let scalars = Scalars {
                    weight_decay,
                    time,
                    ..SCALARS
                };
                let gradient: Vec<f64> = random(length);
                // Small enough for epsilon to matter.
                let gradient: Vec<f64> = gradient.iter().map(|g| 1e-5 * g).collect();
                let parameter = Parameter::new(random(length));
                let exact = update(&parameter, &gradient, &scalars);
                let naive = plain(&parameter, &gradient, &scalars);
                let judge =
                    |got: &[f32]| verdict_with_factor(8.0, "values", got, &naive, &exact.values);
                assert_eq!(judge(&naive), Ok(()));
                let applies = |defect: &Defect| defect.applies(length, &scalars);
                for defect in Defect::ALL.into_iter().filter(applies) {
                    let wrong = defect.update(&parameter, &gradient, &scalars);
                    let wrong: Vec<f32> = wrong.values.iter().map(|x| *x as f32).collect();
                    assert!(judge(&wrong).is_err(), "{defect:?} passes at {length}");
                }
            }
        }
    }

    /// In f32, before which there was no update.
    fn plain(parameter: &Parameter, gradient: &[f64], scalars: &Scalars) -> Vec<f32> {
        let time = scalars.time as f64;
        let step = scalars.learning_rate / (1.0 - scalars.beta1.powf(time));
        let correction = 1.0 / (1.0 - scalars.beta2.powf(time)).sqrt();
        let decay = 1.0 - scalars.learning_rate * scalars.weight_decay;
        let value = |(p, g): (&f64, &f64)| {
            let g = *g as f32 * scalars.gradient_scale as f32;
            let m = g * (1.0 - scalars.beta1) as f32;
            let v = g * g * (1.0 - scalars.beta2) as f32;
            let root = v.sqrt() * correction as f32 + scalars.eps as f32;
            *p as f32 * decay as f32 - step as f32 * (m / root)
        };
        parameter.values.iter().zip(gradient).map(value).collect()
    }
}
