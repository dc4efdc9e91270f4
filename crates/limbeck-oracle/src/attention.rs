//! Self-attention, softmax(Q K^T / sqrt(D)) V with dropout of the probabilities, and its gradient. What a query sees may have
//! a limit, queries and keys may be rotated by their positions, and a bias may be added to each score.
//!
//! Queries, keys, values and what is attended to are (B, S, H), flat, as in [`crate::relation`]; here A counts attention
//! heads. Padding is never read; rows at or past a length attend to nothing and are 0.

use std::ops::RangeInclusive;

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

/// What a call may have beside its vectors; the default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attending<'a> {
    /// A query sees at most so many tokens before itself; `None`: all.
    pub before: Option<usize>,
    /// And at most so many after.
    pub after: Option<usize>,
    /// Rotary positions of queries and keys.
    pub rotation: Option<Rotation>,
    /// (A, 2S - 1): what is added to the score of query i and key j of a head, at j - i + S - 1. Empty: nothing.
    pub bias: &'a [f64],
    /// (B, A, S, S), multiplied with the probabilities, as dropout does. Empty: nothing.
    pub factors: &'a [f64],
}

/// Rotary positions (Su et al. 2021), in the order of transformers' `rotate_half`: of the first `features` (R) features of a head,
/// f and f + R / 2 are a pair, which is turned by position * theta^(-2 f / R) / stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// The base of the angles.
    pub theta: f64,
    /// By how many times slower all of them turn.
    pub stretch: f64,
    /// R, even, at most D.
    pub features: usize,
}

impl Rotation {
    /// Turns the vectors of all heads, (B, S, H): `1.0` forward, `-1.0` back. Twin of `rotary_turn.wgsl`.
    pub fn rotate(self, x: &[f64], dims: &Dims, direction: f64) -> Vec<f64> {
        let half = self.features / 2;
        let mut turned = x.to_vec();
        for (at, vector) in turned.chunks_mut(dims.d).enumerate() {
            let position = (at / dims.a % dims.s) as f64;
            for f in 0..half {
                let exponent = -2.0 * f as f64 / self.features as f64;
                let angle = direction * position * self.theta.powf(exponent) / self.stretch;
                let (x, y) = (vector[f], vector[f + half]);
                vector[f] = x * angle.cos() - y * angle.sin();
                vector[f + half] = y * angle.cos() + x * angle.sin();
            }
        }
        turned
    }
}

/// Gradients: exactly 0 in padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// Of the queries, (B, S, H), as they are before a rotation.
    pub q: Vec<f64>,
    /// Of the keys.
    pub k: Vec<f64>,
    /// Of the values.
    pub v: Vec<f64>,
    /// Of the bias, (A, 2S - 1), whether there is one or not.
    pub bias: Vec<f64>,
}

/// What each row attends to, (B, S, H). Twin of `attention_forward.wgsl`.
///
/// # Panics
/// If a tensor does not fit `dims` or a length is not in 1 ..= S.
pub fn forward(taps: Taps, dims: &Dims, lengths: &[usize], how: &Attending) -> Vec<f64> {
    check(&[taps.q, taps.k, taps.v], dims, lengths, how);
    let [q, k] = rotated(taps, dims, how);
    let mut output = vec![0.0; taps.v.len()];
    each_row(dims, lengths, |sequence, head, i| {
        let row = Row::new(&q, &k, dims, lengths, how, [sequence, head, i]);
        for (j, p, factor) in row.keys {
            for c in 0..dims.d {
                let value = taps.v[feature(dims, sequence, j, head, c)];
                output[feature(dims, sequence, i, head, c)] += p * factor * value;
            }
        }
    });
    output
}

/// The gradients of sum(weight * [`forward`]): weight is what comes from above, (B, S, H).
///
/// With P the probabilities and M the factors: dV = (P M)^T dO, dP = M (dO V^T), dZ = P (dP - rowsum(P dP)),
/// dQ = dZ K / sqrt(D), dK = dZ^T Q / sqrt(D) for the rotated queries and keys, turned back; and dBias is the sum of dZ over
/// sequences and along each diagonal. Twin of `attention_backward.wgsl`.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    taps: Taps,
    dims: &Dims,
    lengths: &[usize],
    how: &Attending,
    weight: &[f64],
) -> Gradient {
    check(&[taps.q, taps.k, taps.v, weight], dims, lengths, how);
    let [q, k] = rotated(taps, dims, how);
    let zeros = vec![0.0; taps.v.len()];
    let mut gradient = Gradient {
        q: zeros.clone(),
        k: zeros.clone(),
        v: zeros,
        bias: vec![0.0; dims.a * (2 * dims.s - 1)],
    };
    each_row(dims, lengths, |sequence, head, i| {
        let at = |token: usize, c: usize| feature(dims, sequence, token, head, c);
        let row = Row::new(&q, &k, dims, lengths, how, [sequence, head, i]);
        let mut dp = Vec::new();
        let mut sum = 0.0;
        for (j, p, factor) in &row.keys {
            let mut of_key = 0.0;
            for c in 0..dims.d {
                of_key += factor * weight[at(i, c)] * taps.v[at(*j, c)];
                gradient.v[at(*j, c)] += p * factor * weight[at(i, c)];
            }
            sum += p * of_key;
            dp.push(of_key);
        }
        for ((j, p, _), dp) in row.keys.iter().zip(dp) {
            let dz = p * (dp - sum);
            gradient.bias[by_distance(dims, head, i, *j)] += dz;
            for c in 0..dims.d {
                gradient.q[at(i, c)] += dz * k[at(*j, c)] / (dims.d as f64).sqrt();
                gradient.k[at(*j, c)] += dz * q[at(i, c)] / (dims.d as f64).sqrt();
            }
        }
    });
    if let Some(rotation) = how.rotation {
        gradient.q = rotation.rotate(&gradient.q, dims, -1.0);
        gradient.k = rotation.rotate(&gradient.k, dims, -1.0);
    }
    gradient
}

/// What one query sees.
struct Row {
    /// Key, probability and factor of each that it sees.
    keys: Vec<(usize, f64, f64)>,
}

impl Row {
    fn new(
        q: &[f64],
        k: &[f64],
        dims: &Dims,
        lengths: &[usize],
        how: &Attending,
        [sequence, head, i]: [usize; 3],
    ) -> Self {
        let score = |j: usize| {
            let at = |token: usize, c: usize| feature(dims, sequence, token, head, c);
            let dot: f64 = (0..dims.d).map(|c| q[at(i, c)] * k[at(j, c)]).sum();
            let bias = how.bias.get(by_distance(dims, head, i, j)).unwrap_or(&0.0);
            dot / (dims.d as f64).sqrt() + bias
        };
        let seen = seen(how, i, lengths[sequence]);
        let scores: Vec<f64> = seen.clone().map(score).collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = scores.iter().map(|z| (z - highest).exp()).sum();
        let key = |(j, z): (usize, &f64)| {
            let at = ((sequence * dims.a + head) * dims.s + i) * dims.s + j;
            let factor = how.factors.get(at).unwrap_or(&1.0);
            (j, (z - highest).exp() / sum, *factor)
        };
        let keys = seen.zip(&scores).map(key).collect();
        Self { keys }
    }
}

/// The keys that query i of a sequence sees.
fn seen(how: &Attending, i: usize, length: usize) -> RangeInclusive<usize> {
    let first = how.before.map_or(0, |n| i.saturating_sub(n));
    let last = how.after.map_or(length - 1, |n| i.saturating_add(n));
    first..=last.min(length - 1)
}

/// Where a feature of a token's head is in (B, S, H).
fn feature(dims: &Dims, sequence: usize, token: usize, head: usize, c: usize) -> usize {
    ((sequence * dims.s + token) * dims.a + head) * dims.d + c
}

/// Where the bias of query i and key j is in (A, 2S - 1).
fn by_distance(dims: &Dims, head: usize, i: usize, j: usize) -> usize {
    head * (2 * dims.s - 1) + j + dims.s - 1 - i
}

/// Every sequence, head and real row.
fn each_row(dims: &Dims, lengths: &[usize], mut body: impl FnMut(usize, usize, usize)) {
    for (sequence, length) in lengths.iter().enumerate() {
        for head in 0..dims.a {
            for i in 0..*length {
                body(sequence, head, i);
            }
        }
    }
}

/// Queries and keys as they meet.
fn rotated(taps: Taps, dims: &Dims, how: &Attending) -> [Vec<f64>; 2] {
    [taps.q, taps.k].map(|x| match how.rotation {
        Some(rotation) => rotation.rotate(x, dims, 1.0),
        None => x.to_vec(),
    })
}

fn check(tensors: &[&[f64]], dims: &Dims, lengths: &[usize], how: &Attending) {
    let Dims { b, s, a, d } = *dims;
    for tensor in tensors {
        let got = tensor.len();
        assert_eq!(
            got,
            b * s * a * d,
            "a tensor of {got} numbers does not fit {dims:?}"
        );
    }
    assert!(
        lengths.len() == b && lengths.iter().all(|length| (1..=s).contains(length)),
        "lengths {lengths:?} do not fit {dims:?}"
    );
    let got = how.factors.len();
    assert!(
        got == 0 || got == b * a * s * s,
        "{got} factors are neither none nor one for each probability of {dims:?}"
    );
    let got = how.bias.len();
    assert!(
        got == 0 || got == a * (2 * s - 1),
        "{got} biases are neither none nor one for each head and distance of {dims:?}"
    );
    let got = how.rotation.map_or(0, |rotation| rotation.features);
    assert!(
        got <= d && got.is_multiple_of(2),
        "a rotation of {got} features does not fit {dims:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::directional_error;
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    const DIMS: Dims = Dims {
        b: 2,
        s: 5,
        a: 3,
        d: 5,
    };
    /// Heads of whole fours, half of which turn.
    const WIDE: Dims = Dims { d: 8, ..DIMS };
    const LENGTHS: [usize; 2] = [5, 3];
    const ROTATION: Rotation = Rotation {
        theta: 10.0,
        stretch: 1.25,
        features: 4,
    };

    struct Case {
        q: Vec<f64>,
        k: Vec<f64>,
        v: Vec<f64>,
        weight: Vec<f64>,
        factors: Vec<f64>,
        bias: Vec<f64>,
    }

    impl Case {
        fn new() -> Self {
            Self::of(&DIMS)
        }

        fn of(dims: &Dims) -> Self {
            let mut rng = Rng::new(21);
            let mut random = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
            let count = dims.b * dims.s * dims.a * dims.d;
            let [q, k, v, weight] = [(); 4].map(|()| random(count));
            let factors = random(dims.b * dims.a * dims.s * dims.s)
                .iter()
                .map(|x| if *x < -0.5 { 0.0 } else { 1.25 })
                .collect();
            let bias = random(dims.a * (2 * dims.s - 1));
            Self {
                q,
                k,
                v,
                weight,
                factors,
                bias,
            }
        }

        fn taps(&self) -> Taps<'_> {
            Taps {
                q: &self.q,
                k: &self.k,
                v: &self.v,
            }
        }

        /// Nothing, each alone, and all at once.
        fn ways(&self) -> [Attending<'_>; 6] {
            let rotation = Some(ROTATION);
            let (factors, bias) = (&self.factors[..], &self.bias[..]);
            let none = Attending::default();
            let local = Attending {
                before: Some(1),
                after: Some(2),
                ..none
            };
            [
                none,
                Attending { factors, ..none },
                local,
                Attending { rotation, ..none },
                Attending { bias, ..none },
                Attending {
                    factors,
                    rotation,
                    bias,
                    ..local
                },
            ]
        }

        fn value(&self, taps: Taps, how: &Attending) -> f64 {
            let output = forward(taps, &DIMS, &LENGTHS, how);
            output.iter().zip(&self.weight).map(|(o, w)| o * w).sum()
        }
    }

    #[test]
    fn backward_is_the_gradient_of_forward() {
        let case = Case::new();
        for how in &case.ways() {
            let taps = case.taps();
            let gradient = backward(taps, &DIMS, &LENGTHS, how, &case.weight);
            let mut rng = Rng::new(22);
            let q = |q: &[f64]| case.value(Taps { q, ..taps }, how);
            let k = |k: &[f64]| case.value(Taps { k, ..taps }, how);
            let v = |v: &[f64]| case.value(Taps { v, ..taps }, how);
            let bias = |bias: &[f64]| case.value(taps, &Attending { bias, ..*how });
            let zeros = vec![0.0; case.bias.len()];
            let at = if how.bias.is_empty() {
                &zeros
            } else {
                how.bias
            };
            for error in [
                directional_error(q, &gradient.q, taps.q, &mut rng),
                directional_error(k, &gradient.k, taps.k, &mut rng),
                directional_error(v, &gradient.v, taps.v, &mut rng),
                directional_error(bias, &gradient.bias, at, &mut rng),
            ] {
                assert!(error < 1e-7, "{error:e} of {how:?}");
            }
        }
    }

    /// A row of scores written down by hand: what `before` and `after` mean, and which bias belongs to which key.
    #[test]
    fn a_query_sees_its_reach_and_adds_the_bias_of_the_distance() {
        let dims = Dims {
            b: 1,
            s: 5,
            a: 1,
            d: 1,
        };
        let (q, v) = ([0.0; 5], [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        let taps = Taps {
            q: &q,
            k: &q,
            v: &v,
        };
        let local = Attending {
            before: Some(1),
            after: Some(0),
            ..Attending::default()
        };
        let seen = forward(taps, &dims, &[4], &local);
        assert_eq!(seen, [1.0, 5.5, 55.0, 550.0, 0.0]);
        let after = Attending {
            after: Some(1),
            ..Attending::default()
        };
        let seen = forward(taps, &dims, &[4], &after);
        assert_eq!(seen[0], 5.5);
        assert!((seen[3] - 1_111.0 / 4.0).abs() < 1e-9);
        // Nothing but the next key.
        let mut bias = [-1e30; 9];
        bias[4 + 1] = 0.0;
        let how = Attending {
            bias: &bias,
            ..Attending::default()
        };
        assert_eq!(forward(taps, &dims, &[5], &how)[..4], v[1..]);
    }

    /// A vector of two features turns by its position in radians; features past the pairs stay.
    #[test]
    fn a_rotation_turns_by_the_position() {
        let dims = Dims {
            b: 1,
            s: 3,
            a: 1,
            d: 3,
        };
        let rotation = Rotation {
            theta: 100.0,
            stretch: 1.0,
            features: 2,
        };
        let turned = rotation.rotate(&[1.0, 0.0, 7.0].repeat(3), &dims, 1.0);
        for (position, vector) in turned.chunks(3).enumerate() {
            let angle = position as f64;
            assert_eq!(vector, [angle.cos(), angle.sin(), 7.0]);
        }
        // Of four features, 0 and 2 are a pair, and 1 and 3, which turns at theta^(-1/2) of the speed.
        let dims = Dims { d: 4, ..dims };
        let rotation = Rotation {
            features: 4,
            ..rotation
        };
        let turned = rotation.rotate(&[1.0, 1.0, 0.0, 0.0].repeat(3), &dims, 1.0);
        let slow = 0.2f64;
        let expected = [2f64.cos(), slow.cos(), 2f64.sin(), slow.sin()];
        for (got, expected) in turned[8..].iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15);
        }
        // Twice as slow, the last of the positions is where the one in the middle was.
        let slower = Rotation {
            stretch: 2.0,
            ..rotation
        };
        let again = slower.rotate(&[1.0, 1.0, 0.0, 0.0].repeat(3), &dims, 1.0);
        assert_eq!(again[8..], turned[4..8]);
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
        assert_eq!(forward(taps, &dims, &[1], &Attending::default()), v);
        let gradient = backward(taps, &dims, &[1], &Attending::default(), &weight);
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
        let output = forward(taps, &dims, &[3], &Attending::default());
        assert!(output[..3].iter().all(|o| (o - 3.0).abs() < 1e-14));
        assert_eq!(output[3], 0.0);
    }

    #[test]
    fn padding_is_never_read_and_gets_nothing() {
        let case = Case::new();
        for how in &case.ways() {
            let expected = forward(case.taps(), &DIMS, &LENGTHS, how);
            let gradient = backward(case.taps(), &DIMS, &LENGTHS, how, &case.weight);
            let h = DIMS.a * DIMS.d;
            let padding = (DIMS.s + LENGTHS[1]) * h..;
            for part in [&expected, &gradient.q, &gradient.k, &gradient.v] {
                assert!(part[padding.clone()].iter().all(|x| *x == 0.0));
                assert!(part[..DIMS.s * h].iter().all(|x| *x != 0.0));
            }
            let mut poisoned = Case::new();
            let Case {
                q, k, v, weight, ..
            } = &mut poisoned;
            for tensor in [q, k, v, weight] {
                tensor[padding.clone()].fill(f64::NAN);
            }
            let taps = poisoned.taps();
            assert_eq!(forward(taps, &DIMS, &LENGTHS, how), expected);
            let again = backward(taps, &DIMS, &LENGTHS, how, &poisoned.weight);
            assert_eq!(again, gradient);
        }
    }

    /// Mistakes that somebody will make, as what a call would have to ask for to get them, and where they show.
    #[derive(Clone, Copy, Debug)]
    enum Defect {
        SeesOneFurther,
        SeesOneLess,
        ReachMirrored,
        TurnsBackwards,
        TurnsQueriesAlone,
        PairsOfNeighbours,
        TurnsAllFeatures,
        TurnsUnstretched,
        GradientNotTurnedBack,
        BiasMirrored,
        BiasOfTheNeighbour,
        BiasBeforeTheScale,
        BiasGradientOfOneSequence,
        BiasGradientScaled,
    }

    const DEFECTS: [Defect; 14] = [
        Defect::SeesOneFurther,
        Defect::SeesOneLess,
        Defect::ReachMirrored,
        Defect::TurnsBackwards,
        Defect::TurnsQueriesAlone,
        Defect::PairsOfNeighbours,
        Defect::TurnsAllFeatures,
        Defect::TurnsUnstretched,
        Defect::GradientNotTurnedBack,
        Defect::BiasMirrored,
        Defect::BiasOfTheNeighbour,
        Defect::BiasBeforeTheScale,
        Defect::BiasGradientOfOneSequence,
        Defect::BiasGradientScaled,
    ];

    /// Output and gradients of queries, keys, values and bias.
    fn parts(taps: Taps, lengths: &[usize], how: &Attending, weight: &[f64]) -> [Vec<f64>; 5] {
        let output = forward(taps, &WIDE, lengths, how);
        let Gradient { q, k, v, bias } = backward(taps, &WIDE, lengths, how, weight);
        [output, q, k, v, bias]
    }

    /// Of each four features the middle ones change places: what were neighbours are R / 2 apart then.
    fn neighbours_apart(x: &[f64]) -> Vec<f64> {
        let fours = x.chunks(4);
        fours
            .flat_map(|four| [four[0], four[2], four[1], four[3]])
            .collect()
    }

    impl Defect {
        fn parts(self, taps: Taps, how: &Attending, weight: &[f64]) -> [Vec<f64>; 5] {
            let (mut how, lengths) = (*how, &LENGTHS);
            let of = |how: &Attending| parts(taps, lengths, how, weight);
            let distances = 2 * WIDE.s - 1;
            let rotation = ROTATION;
            match self {
                Self::SeesOneFurther => how.before = how.before.map(|n| n + 1),
                Self::SeesOneLess => how.after = how.after.map(|n| n - 1),
                Self::ReachMirrored => (how.before, how.after) = (how.after, how.before),
                Self::TurnsBackwards | Self::TurnsQueriesAlone => {
                    // Before what the call turns itself: twice back, or the keys back to where they were.
                    let back = |x: &[f64]| rotation.rotate(x, &WIDE, -1.0);
                    let q = match self {
                        Self::TurnsBackwards => back(&back(taps.q)),
                        _ => taps.q.to_vec(),
                    };
                    let k = match self {
                        Self::TurnsBackwards => back(&back(taps.k)),
                        _ => back(taps.k),
                    };
                    let taps = Taps {
                        q: &q,
                        k: &k,
                        ..taps
                    };
                    return parts(taps, lengths, &how, weight);
                }
                Self::PairsOfNeighbours => {
                    let [q, k] = [taps.q, taps.k].map(neighbours_apart);
                    let apart = Taps {
                        q: &q,
                        k: &k,
                        ..taps
                    };
                    let [o, q, k, v, bias] = parts(apart, lengths, &how, weight);
                    return [o, neighbours_apart(&q), neighbours_apart(&k), v, bias];
                }
                Self::TurnsAllFeatures => {
                    let features = WIDE.d;
                    how.rotation = Some(Rotation {
                        features,
                        ..rotation
                    });
                }
                Self::TurnsUnstretched => {
                    how.rotation = Some(Rotation {
                        stretch: 1.0,
                        ..rotation
                    });
                }
                Self::GradientNotTurnedBack => {
                    let [o, q, k, v, bias] = of(&how);
                    let [q, k] = [q, k].map(|x| rotation.rotate(&x, &WIDE, 1.0));
                    return [o, q, k, v, bias];
                }
                Self::BiasMirrored => {
                    let rows = how.bias.chunks(distances);
                    let bias: Vec<f64> = rows.flat_map(|row| row.iter().rev().copied()).collect();
                    return of(&Attending { bias: &bias, ..how });
                }
                Self::BiasOfTheNeighbour => {
                    let mut bias = how.bias.to_vec();
                    bias.rotate_left(1);
                    return of(&Attending { bias: &bias, ..how });
                }
                Self::BiasBeforeTheScale => {
                    let scale = (WIDE.d as f64).sqrt();
                    let bias: Vec<f64> = how.bias.iter().map(|x| x / scale).collect();
                    return of(&Attending { bias: &bias, ..how });
                }
                Self::BiasGradientOfOneSequence => {
                    let mut alone = weight.to_vec();
                    alone[WIDE.s * WIDE.a * WIDE.d..].fill(0.0);
                    let [.., bias] = parts(taps, lengths, &how, &alone);
                    let [o, q, k, v, _] = of(&how);
                    return [o, q, k, v, bias];
                }
                Self::BiasGradientScaled => {
                    let [o, q, k, v, bias] = of(&how);
                    let bias = bias.iter().map(|x| x / (WIDE.d as f64).sqrt()).collect();
                    return [o, q, k, v, bias];
                }
            }
            of(&how)
        }
    }

    /// With the factor that a GPU is judged with, and a plain formula that is worse than any in f32.
    #[test]
    fn the_judge_sees_every_defect() {
        let case = Case::of(&WIDE);
        let how = Attending {
            before: Some(2),
            after: Some(1),
            rotation: Some(ROTATION),
            bias: &case.bias,
            factors: &case.factors,
        };
        let exact = parts(case.taps(), &LENGTHS, &how, &case.weight);
        let judged = |got: &[Vec<f64>; 5]| -> Result<(), String> {
            for (got, exact) in got.iter().zip(&exact) {
                let largest = exact.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                let off = |x: &f64| (x + 1e-5 * largest) as f32;
                let naive: Vec<f32> = exact.iter().map(off).collect();
                let got: Vec<f32> = got.iter().map(|x| *x as f32).collect();
                verdict_with_factor(8.0, "a part", &got, &naive, exact)?;
            }
            Ok(())
        };
        assert_eq!(judged(&exact), Ok(()));
        for defect in DEFECTS {
            let wrong = defect.parts(case.taps(), &how, &case.weight);
            assert!(judged(&wrong).is_err(), "{defect:?} passes");
        }
    }
}
