//! Self-attention of an encoder, softmax(Q K^T / sqrt(D)) V with dropout of the probabilities, and its gradient.
//!
//! Queries, keys, values and what is attended to are (B, S, H), flat, as in [`crate::relation`]; here A counts attention
//! heads. Padding is never read; rows at or past a length attend to nothing and are 0.

use crate::relation::{Side, relation};

/// Queries, keys and values, (B, S, H) each.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// Queries.
    pub q: &'a [f64],
    /// Keys.
    pub k: &'a [f64],
    /// Values.
    pub v: &'a [f64],
}

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B, sequences in the batch.
    pub b: usize,
    /// S, padded length.
    pub s: usize,
    /// A, attention heads.
    pub a: usize,
    /// D, width of a head.
    pub d: usize,
}

/// Gradients of queries, keys and values, (B, S, H) each; exactly 0 in padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Of the queries.
    pub q: Vec<f64>,
    /// Of the keys.
    pub k: Vec<f64>,
    /// Of the values.
    pub v: Vec<f64>,
}

/// What each row attends to, (B, S, H). `factors` (B, A, S, S) multiply the probabilities, as dropout does; an empty slice
/// stands for none. Twin of `attention_forward.wgsl`.
///
/// # Panics
/// If a tensor does not fit `dims` or a length is not in 1 ..= S.
pub fn forward(taps: Taps, dims: &Dims, lengths: &[usize], factors: &[f64]) -> Vec<f64> {
    let Dims { b, s, a, d } = *dims;
    check(&[taps.v], dims, factors);
    let p = probabilities(taps, dims, lengths);
    let mut output = vec![0.0; b * s * a * d];
    for sequence in 0..b {
        for head in 0..a {
            for i in 0..lengths[sequence] {
                for j in 0..lengths[sequence] {
                    let at = ((sequence * a + head) * s + i) * s + j;
                    let weight = p[at] * factors.get(at).unwrap_or(&1.0);
                    for c in 0..d {
                        let row = ((sequence * s + i) * a + head) * d + c;
                        let key = ((sequence * s + j) * a + head) * d + c;
                        output[row] += weight * taps.v[key];
                    }
                }
            }
        }
    }
    output
}

/// The gradients of sum(weight * [`forward`]): weight is what comes from above, (B, S, H).
///
/// With P the probabilities and M the factors: dV = (P M)^T dO, dP = M (dO V^T), dZ = P (dP - rowsum(P dP)),
/// dQ = dZ K / sqrt(D), dK = dZ^T Q / sqrt(D). Twin of `attention_backward.wgsl`.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    taps: Taps,
    dims: &Dims,
    lengths: &[usize],
    factors: &[f64],
    weight: &[f64],
) -> Gradient {
    let Dims { b, s, a, d } = *dims;
    check(&[taps.v, weight], dims, factors);
    let p = probabilities(taps, dims, lengths);
    let zeros = vec![0.0; b * s * a * d];
    let mut gradient = Gradient {
        q: zeros.clone(),
        k: zeros.clone(),
        v: zeros,
    };
    for sequence in 0..b {
        for head in 0..a {
            for i in 0..lengths[sequence] {
                let at = |j: usize| ((sequence * a + head) * s + i) * s + j;
                let feature = |token: usize, c: usize| ((sequence * s + token) * a + head) * d + c;
                let mut dp = vec![0.0; lengths[sequence]];
                let mut sum = 0.0;
                for j in 0..lengths[sequence] {
                    let factor = factors.get(at(j)).unwrap_or(&1.0);
                    for c in 0..d {
                        dp[j] += factor * weight[feature(i, c)] * taps.v[feature(j, c)];
                        gradient.v[feature(j, c)] += p[at(j)] * factor * weight[feature(i, c)];
                    }
                    sum += p[at(j)] * dp[j];
                }
                for j in 0..lengths[sequence] {
                    let dz = p[at(j)] * (dp[j] - sum) / (d as f64).sqrt();
                    for c in 0..d {
                        gradient.q[feature(i, c)] += dz * taps.k[feature(j, c)];
                        gradient.k[feature(j, c)] += dz * taps.q[feature(i, c)];
                    }
                }
            }
        }
    }
    gradient
}

/// The Q-K relation of the attention heads: (B, A, S, S).
fn probabilities(taps: Taps, dims: &Dims, lengths: &[usize]) -> Vec<f64> {
    let side = Side {
        row: taps.q,
        column: taps.k,
    };
    relation(side, dims.b, dims.s, dims.a, dims.d, lengths)
}

fn check(tensors: &[&[f64]], dims: &Dims, factors: &[f64]) {
    let Dims { b, s, a, d } = *dims;
    for tensor in tensors {
        let got = tensor.len();
        assert_eq!(
            got,
            b * s * a * d,
            "a tensor of {got} numbers does not fit {dims:?}"
        );
    }
    let got = factors.len();
    assert!(
        got == 0 || got == b * a * s * s,
        "{got} factors are neither none nor one for each probability of {dims:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::directional_error;
    use crate::rng::Rng;

    const DIMS: Dims = Dims {
        b: 2,
        s: 5,
        a: 3,
        d: 2,
    };
    const LENGTHS: [usize; 2] = [5, 3];

    struct Case {
        q: Vec<f64>,
        k: Vec<f64>,
        v: Vec<f64>,
        weight: Vec<f64>,
        factors: Vec<f64>,
    }

    impl Case {
        fn new() -> Self {
            let mut rng = Rng::new(21);
            let mut random = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
            let count = DIMS.b * DIMS.s * DIMS.a * DIMS.d;
            let [q, k, v, weight] = [(); 4].map(|()| random(count));
            let factors = random(DIMS.b * DIMS.a * DIMS.s * DIMS.s)
                .iter()
                .map(|x| if *x < -0.5 { 0.0 } else { 1.25 })
                .collect();
            Self {
                q,
                k,
                v,
                weight,
                factors,
            }
        }

        fn taps(&self) -> Taps<'_> {
            Taps {
                q: &self.q,
                k: &self.k,
                v: &self.v,
            }
        }

        fn value(&self, taps: Taps, factors: &[f64]) -> f64 {
            let output = forward(taps, &DIMS, &LENGTHS, factors);
            output.iter().zip(&self.weight).map(|(o, w)| o * w).sum()
        }
    }

    #[test]
    fn backward_is_the_gradient_of_forward() {
        let case = Case::new();
        for factors in [&case.factors[..], &[]] {
            let taps = case.taps();
            let gradient = backward(taps, &DIMS, &LENGTHS, factors, &case.weight);
            let mut rng = Rng::new(22);
            let q = |q: &[f64]| case.value(Taps { q, ..taps }, factors);
            let k = |k: &[f64]| case.value(Taps { k, ..taps }, factors);
            let v = |v: &[f64]| case.value(Taps { v, ..taps }, factors);
            for error in [
                directional_error(q, &gradient.q, taps.q, &mut rng),
                directional_error(k, &gradient.k, taps.k, &mut rng),
                directional_error(v, &gradient.v, taps.v, &mut rng),
            ] {
                assert!(error < 1e-7, "{error:e}");
            }
        }
    }

    #[test]
    fn one_key_gives_its_value_and_no_gradient_to_queries_and_keys() {
        let (q, k, v, weight) = ([0.3, -1.0], [2.0, 0.5], [0.7, -0.2], [1.5, 3.0]);
        let dims = Dims {
            b: 1,
            s: 1,
            a: 1,
            d: 2,
        };
        let taps = Taps {
            q: &q,
            k: &k,
            v: &v,
        };
        assert_eq!(forward(taps, &dims, &[1], &[]), v);
        let gradient = backward(taps, &dims, &[1], &[], &weight);
        assert_eq!(gradient.v, weight);
        assert_eq!((gradient.q, gradient.k), (vec![0.0; 2], vec![0.0; 2]));
    }

    #[test]
    fn equal_keys_give_the_mean_of_the_values() {
        let dims = Dims {
            b: 1,
            s: 4,
            a: 1,
            d: 1,
        };
        let taps = Taps {
            q: &[1.0, -2.0, 0.5, 3.0],
            k: &[0.7; 4],
            v: &[1.0, 2.0, 6.0, 1000.0],
        };
        let output = forward(taps, &dims, &[3], &[]);
        assert!(output[..3].iter().all(|o| (o - 3.0).abs() < 1e-14));
        assert_eq!(output[3], 0.0);
    }

    #[test]
    fn padding_is_never_read_and_gets_nothing() {
        let mut case = Case::new();
        let clean = case.taps();
        let expected = forward(clean, &DIMS, &LENGTHS, &case.factors);
        let gradient = backward(clean, &DIMS, &LENGTHS, &case.factors, &case.weight);
        let h = DIMS.a * DIMS.d;
        let padding = (DIMS.s + LENGTHS[1]) * h..;
        for part in [&expected, &gradient.q, &gradient.k, &gradient.v] {
            assert!(part[padding.clone()].iter().all(|x| *x == 0.0));
            assert!(part[..DIMS.s * h].iter().all(|x| *x != 0.0));
        }
        for tensor in [&mut case.q, &mut case.k, &mut case.v, &mut case.weight] {
            tensor[padding.clone()].fill(f64::NAN);
        }
        let taps = case.taps();
        assert_eq!(forward(taps, &DIMS, &LENGTHS, &case.factors), expected);
        assert_eq!(
            backward(taps, &DIMS, &LENGTHS, &case.factors, &case.weight),
            gradient
        );
    }
}
