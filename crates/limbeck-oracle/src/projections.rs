//! Attention's projections, three linear layers of the same states, and mistakes in them.

use crate::matmul::{matmul, sum_rows, transposed};

/// What goes in, and what comes from above.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// M, H and N.
    pub shape: [usize; 3],
    /// (M, H).
    pub states: Vec<f64>,
    /// To queries, keys and values, (H, N) each.
    pub weights: [Vec<f64>; 3],
    /// (N) each; zeros where there are none.
    pub biases: [Vec<f64>; 3],
    /// The gradients of queries, keys and values, (M, N) each.
    pub upstream: [Vec<f64>; 3],
    /// What the gradient of the states has from elsewhere, (M, H).
    pub passed: Vec<f64>,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// Queries, keys and values, (M, N) each.
    pub vectors: [Vec<f64>; 3],
    /// The gradient of the states, (M, H).
    pub states: Vec<f64>,
    /// Those of the weights, (H, N) each.
    pub weights: [Vec<f64>; 3],
    /// Those of the biases, (N) each.
    pub biases: [Vec<f64>; 3],
}

/// Vectors and gradients. Twin of `matmul_tiles.wgsl` and `matmul_threads.wgsl` where they have three matrices.
///
/// # Panics
/// If lengths and shape do not fit.
pub fn projections(inputs: &Inputs) -> Outputs {
    let [m, h, n] = inputs.shape;
    let across = transposed(&inputs.states, h);
    let mut states = inputs.passed.clone();
    for (weight, upstream) in inputs.weights.iter().zip(&inputs.upstream) {
        add(
            &mut states,
            &matmul(upstream, &transposed(weight, n), [m, n, h]),
        );
    }
    let of = |at: usize| {
        let mut vectors = matmul(&inputs.states, &inputs.weights[at], [m, h, n]);
        add(&mut vectors, &inputs.biases[at].repeat(m));
        vectors
    };
    Outputs {
        vectors: [0, 1, 2].map(of),
        states,
        weights: [0, 1, 2].map(|at| matmul(&across, &inputs.upstream[at], [h, m, n])),
        biases: [0, 1, 2].map(|at| sum_rows(&inputs.upstream[at], n)),
    }
}

/// What three products in a launch get wrong when they are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The values are computed with the weights of the keys.
    KeysTwice,
    /// All vectors have the bias of the queries.
    OneBias,
    /// What the values give is missing in the gradient of the states.
    OneMissing,
    /// What the gradient of the states has from elsewhere is missing.
    NothingPassed,
    /// It is added by each part of K.
    PassedTwice,
    /// The gradients of keys and values have changed places.
    Swapped,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::KeysTwice,
        Self::OneBias,
        Self::OneMissing,
        Self::NothingPassed,
        Self::PassedTwice,
        Self::Swapped,
    ];

    /// The outputs with this mistake.
    pub fn outputs(self, inputs: &Inputs) -> Outputs {
        let mut wrong = inputs.clone();
        let right = projections(inputs);
        match self {
            Self::KeysTwice => wrong.weights[2].clone_from(&inputs.weights[1]),
            Self::OneBias => wrong.biases = [0; 3].map(|at| inputs.biases[at].clone()),
            Self::OneMissing => wrong.upstream[2].fill(0.0),
            Self::NothingPassed => wrong.passed.fill(0.0),
            Self::PassedTwice => add(&mut wrong.passed, &inputs.passed),
            Self::Swapped => wrong.upstream.swap(1, 2),
        }
        let wrong = projections(&wrong);
        match self {
            Self::KeysTwice | Self::OneBias => Outputs {
                vectors: wrong.vectors,
                ..right
            },
            Self::OneMissing | Self::NothingPassed | Self::PassedTwice => Outputs {
                states: wrong.states,
                ..right
            },
            Self::Swapped => Outputs {
                weights: wrong.weights,
                biases: wrong.biases,
                ..right
            },
        }
    }
}

fn add(to: &mut [f64], values: &[f64]) {
    assert_eq!(to.len(), values.len(), "lengths of a sum");
    for (to, value) in to.iter_mut().zip(values) {
        *to += value;
    }
}

impl Outputs {
    /// All of them, one after the other.
    pub fn into_parts(self) -> [Vec<f64>; 10] {
        let [q, k, v] = self.vectors;
        let [of_q, of_k, of_v] = self.weights;
        let [bias_q, bias_k, bias_v] = self.biases;
        [
            q,
            k,
            v,
            self.states,
            of_q,
            of_k,
            of_v,
            bias_q,
            bias_k,
            bias_v,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Defect, Inputs, projections};
    use crate::gradcheck::directional_error;
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    fn inputs(shape: [usize; 3]) -> Inputs {
        let [m, h, n] = shape;
        let mut rng = Rng::new(31);
        let mut numbers = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
        Inputs {
            shape,
            states: numbers(m * h),
            weights: [(); 3].map(|()| numbers(h * n)),
            biases: [(); 3].map(|()| numbers(n)),
            upstream: [(); 3].map(|()| numbers(m * n)),
            passed: numbers(m * h),
        }
    }

    /// The sum of all that comes out, each number times what comes from above.
    fn value(inputs: &Inputs) -> f64 {
        let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
        let of = projections(inputs).vectors;
        let vectors = of.iter().zip(&inputs.upstream);
        let vectors: f64 = vectors.map(|(of, upstream)| dot(of, upstream)).sum();
        vectors + dot(&inputs.states, &inputs.passed)
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let inputs = inputs([4, 3, 5]);
        let of = projections(&inputs);
        let mut rng = Rng::new(32);
        let with = |change: &dyn Fn(&mut Inputs)| {
            let mut changed = inputs.clone();
            change(&mut changed);
            value(&changed)
        };
        let of_states = |x: &[f64]| with(&|i| i.states = x.to_vec());
        let mut errors = vec![directional_error(
            of_states,
            &of.states,
            &inputs.states,
            &mut rng,
        )];
        for at in 0..3 {
            let of_weight = |x: &[f64]| with(&|i| i.weights[at] = x.to_vec());
            let of_bias = |x: &[f64]| with(&|i| i.biases[at] = x.to_vec());
            let (weight, bias) = (&inputs.weights[at], &inputs.biases[at]);
            errors.push(directional_error(
                of_weight,
                &of.weights[at],
                weight,
                &mut rng,
            ));
            errors.push(directional_error(of_bias, &of.biases[at], bias, &mut rng));
        }
        assert!(errors.iter().all(|error| *error < 1e-7), "{errors:?}");
    }

    /// With the factor that a GPU is judged with: what tests of kernels would see of a mistake.
    #[test]
    fn the_judge_sees_every_defect() {
        for shape in [[1, 1, 1], [5, 3, 7], [65, 33, 63]] {
            let inputs = inputs(shape);
            let exact = projections(&inputs).into_parts();
            for defect in Defect::ALL {
                let wrong = defect.outputs(&inputs).into_parts();
                let seen = wrong.iter().zip(&exact).any(|(wrong, exact)| {
                    let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
                    let (wrong, plain): (Vec<f32>, Vec<f32>) = (single(wrong), single(exact));
                    verdict_with_factor(8.0, "defect", &wrong, &plain, exact).is_err()
                });
                assert!(seen, "{defect:?} passes at {shape:?}");
            }
        }
    }
}
