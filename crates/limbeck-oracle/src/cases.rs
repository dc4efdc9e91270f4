//! Inputs that every implementation is tested on: shapes chosen to hurt, values chosen to carry a signal.
//!
//! Random values alone mislead: at scale 3 and D = 64 a query-query softmax saturates on its diagonal, the gradient
//! vanishes, and a test accepts anything. So ordinary cases are drawn until the rows of each pair's teacher relation have
//! between 5 % and 95 % of the entropy of a uniform row. The others are marked extreme.

use std::fmt;
use std::ops::RangeInclusive;

use crate::relation::{self, Dims, Gradient, Loss, Pair, Side, Vector};
use crate::rng::Rng;

/// Mean row entropy of the teacher, as a part of that of a uniform row, within which a case carries signal.
pub const SIGNAL: RangeInclusive<f64> = 0.05..=0.95;

/// Redraws before a case that carries no signal is kept as it is (and the tests of this crate object).
const DRAWS: u64 = 64;

/// One model's queries, keys and values, each (B, S, H). They are f32 numbers, so that every precision has the same input.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Queries.
    pub q: Vec<f32>,
    /// Keys.
    pub k: Vec<f32>,
    /// Values.
    pub v: Vec<f32>,
}

impl Vectors {
    /// The tensor of one projection, (B, S, H).
    pub fn get(&self, vector: Vector) -> &[f32] {
        match vector {
            Vector::Q => &self.q,
            Vector::K => &self.k,
            Vector::V => &self.v,
        }
    }

    /// The same numbers in f64, (B, S, H).
    pub fn exact(&self, vector: Vector) -> Vec<f64> {
        self.get(vector).iter().map(|&x| f64::from(x)).collect()
    }

    /// Sets every number: `value(index, old)`, the same for q, k and v.
    fn set(&mut self, mut value: impl FnMut(usize, f32) -> f32) {
        for tensor in [&mut self.q, &mut self.k, &mut self.v] {
            for at in 0..tensor.len() {
                tensor[at] = value(at, tensor[at]);
            }
        }
    }
}

/// One input of the relation loss. Its `Display` says how to make it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is for, or how it was drawn.
    pub name: String,
    /// Sizes.
    pub dims: Dims,
    /// (B): real tokens of each sequence, 1 ..= S.
    pub lengths: Vec<usize>,
    /// The student's vectors, (B, S, Hs); padding holds ordinary numbers.
    pub student: Vectors,
    /// The teacher's vectors, (B, S, Ht); padding holds ordinary numbers.
    pub teacher: Vectors,
    /// Whether the values need not carry signal (see [`SIGNAL`]).
    pub extreme: bool,
    seed: u64,
    scale: f64,
    origin: Option<String>,
}

impl Case {
    /// Sequences of full length and ordinary values; the same values each time.
    pub fn new(b: usize, s: usize, a: usize, ds: usize, dt: usize) -> Self {
        let nothing = Vectors {
            q: vec![],
            k: vec![],
            v: vec![],
        };
        Self {
            name: "case".into(),
            dims: Dims { b, s, a, ds, dt },
            lengths: vec![s; b],
            student: nothing.clone(),
            teacher: nothing,
            extreme: false,
            seed: 1,
            scale: 1.0,
            origin: None,
        }
        .redrawn()
    }

    /// Gives the case a name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the real lengths, one for each sequence, and draws the values anew.
    ///
    /// # Panics
    /// If there are not B lengths in 1 ..= S.
    pub fn lengths(mut self, lengths: &[usize]) -> Self {
        let Dims { b, s, .. } = self.dims;
        let fit = lengths.len() == b && lengths.iter().all(|&length| (1..=s).contains(&length));
        assert!(
            fit,
            "lengths {lengths:?} must be B = {b} numbers in 1 ..= S = {s}"
        );
        self.lengths = lengths.to_vec();
        self.redrawn()
    }

    /// Draws the values anew, `scale` times as large; scores grow with its square. Far from 1 the case carries no signal.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self.redrawn()
    }

    /// Draws the values anew from another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.redrawn()
    }

    /// A case of random shape, lengths and scale, the same for the same seed.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut pick = |from: &[usize]| from[rng.below(from.len())];
        let b = pick(&[1, 2, 3, 4]);
        let s = pick(&[1, 2, 3, 5, 8, 11, 16, 17, 31, 33]);
        let a = pick(&[1, 2, 3, 4, 12]);
        let widths = [1, 2, 3, 4, 5, 7, 8, 13, 16, 19];
        let (ds, dt) = (pick(&widths), pick(&widths));
        let lengths: Vec<usize> = (0..b).map(|_| 1 + rng.below(s)).collect();
        let mut case = Self::new(b, s, a, ds, dt);
        case.seed = seed;
        case.scale = 0.9 + 0.2 * rng.uniform();
        case.origin = Some(format!("Case::random({seed})"));
        case.lengths(&lengths).named("random")
    }

    /// The same case with `value` in every padded token of student and teacher. No answer may notice.
    pub fn poisoned(mut self, value: f32) -> Self {
        let Dims { s, .. } = self.dims;
        let lengths = self.lengths.clone();
        for (vectors, h) in [
            (&mut self.student, self.dims.hs()),
            (&mut self.teacher, self.dims.ht()),
        ] {
            vectors.set(|at, old| {
                let (sequence, token) = (at / (s * h), at / h % s);
                if token < lengths[sequence] {
                    old
                } else {
                    value
                }
            });
        }
        let origin = self.origin();
        self.origin = Some(format!("{origin}.poisoned({value:?})"));
        self
    }

    /// The right loss of a pair.
    pub fn forward(&self, pair: Pair) -> Loss {
        self.with_sides(pair, |student, teacher| {
            relation::forward(student, teacher, &self.dims, &self.lengths)
        })
    }

    /// The right gradient of a pair, with respect to the student's row and column tensors.
    pub fn backward(&self, pair: Pair) -> Gradient {
        self.with_sides(pair, |student, teacher| {
            relation::backward(student, teacher, &self.dims, &self.lengths)
        })
    }

    /// Calls `f(student, teacher)` with the f64 tensors of a pair.
    pub fn with_sides<T>(&self, pair: Pair, f: impl FnOnce(Side, Side) -> T) -> T {
        let [student, teacher] = [&self.student, &self.teacher]
            .map(|vectors| (vectors.exact(pair.row), vectors.exact(pair.column)));
        f(
            Side {
                row: &student.0,
                column: &student.1,
            },
            Side {
                row: &teacher.0,
                column: &teacher.1,
            },
        )
    }

    /// Mean entropy of the teacher's rows, as a part of that of a uniform row: 0 is one-hot, 1 uniform. `None` if every
    /// sequence has one token, whose relation to itself is always 1.
    pub fn teacher_entropy(&self, pair: Pair) -> Option<f64> {
        let Dims { b, s, a, dt, .. } = self.dims;
        let relation = self.with_sides(pair, |_, teacher| {
            relation::relation(teacher, b, s, a, dt, &self.lengths)
        });
        let (mut sum, mut rows) = (0.0, 0);
        for sequence in (0..b).filter(|&sequence| self.lengths[sequence] > 1) {
            let length = self.lengths[sequence];
            for head in 0..a {
                for i in 0..length {
                    let start = ((sequence * a + head) * s + i) * s;
                    sum += entropy(&relation[start..start + length]) / (length as f64).ln();
                    rows += 1;
                }
            }
        }
        (rows > 0).then(|| sum / f64::from(rows))
    }

    fn carries_signal(&self) -> bool {
        Pair::ALL
            .iter()
            .filter_map(|&pair| self.teacher_entropy(pair))
            .all(|entropy| SIGNAL.contains(&entropy))
    }

    fn redrawn(mut self) -> Self {
        let Dims { b, s, a, ds, dt } = self.dims;
        for draw in 0..DRAWS {
            let mut rng = Rng::new(self.seed.wrapping_add(draw << 32));
            self.teacher = drawn_vectors(&mut rng, b * s, a, dt, self.scale);
            self.student = drawn_vectors(&mut rng, b * s, a, ds, self.scale);
            if self.carries_signal() {
                break;
            }
        }
        self
    }

    fn origin(&self) -> String {
        let Dims { b, s, a, ds, dt } = self.dims;
        let Self {
            lengths,
            seed,
            scale,
            ..
        } = self;
        self.origin.clone().unwrap_or_else(|| {
            format!("Case::new({b}, {s}, {a}, {ds}, {dt}).lengths(&{lengths:?}).seed({seed}).scale({scale:?})")
        })
    }

    /// Changes the values of an extreme case by hand, remembering where it is found.
    fn extreme(mut self, name: &str, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.extreme = true;
        self.origin = Some(format!("cases::extremes(), {name:?}"));
        self.named(name)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Dims { b, s, a, ds, dt } = self.dims;
        write!(
            f,
            "{} (B={b} S={s} A={a} Ds={ds} Dt={dt} lengths={:?}: {})",
            self.name,
            self.lengths,
            self.origin()
        )
    }
}

/// The ordinary cases by name: edges of the shape, and sizes around the tiles and workgroups (8, 16, 64) of the kernels.
pub fn grid() -> Vec<Case> {
    vec![
        Case::new(1, 1, 1, 1, 1).named("one number"),
        Case::new(1, 1, 2, 3, 2).named("one token"),
        Case::new(2, 2, 2, 2, 2).named("two tokens"),
        Case::new(2, 7, 3, 4, 4)
            .lengths(&[1, 7])
            .named("a row of one token beside a full one"),
        Case::new(4, 9, 2, 4, 6)
            .lengths(&[9, 1, 5, 8])
            .named("four lengths"),
        Case::new(2, 8, 2, 4, 4)
            .lengths(&[3, 5])
            .named("no sequence of full length"),
        Case::new(2, 6, 1, 8, 8).named("one head"),
        Case::new(1, 5, 48, 2, 4).named("48 heads"),
        Case::new(2, 6, 3, 4, 8)
            .lengths(&[6, 4])
            .named("narrower student"),
        Case::new(2, 6, 3, 8, 4)
            .lengths(&[5, 6])
            .named("wider student"),
        Case::new(2, 5, 4, 1, 1).named("heads of width 1"),
        Case::new(2, 5, 3, 3, 5)
            .lengths(&[5, 4])
            .named("odd widths"),
        Case::new(1, 9, 2, 33, 65).named("wide odd heads"),
        Case::new(1, 9, 2, 64, 64).named("wide heads"),
        Case::new(3, 13, 5, 7, 11)
            .lengths(&[13, 11, 2])
            .named("primes"),
        Case::new(2, 17, 2, 8, 16)
            .lengths(&[16, 17])
            .named("one past a small tile"),
        Case::new(1, 63, 2, 5, 4).named("one short of a tile"),
        Case::new(2, 64, 2, 8, 8).lengths(&[64, 63]).named("a tile"),
        Case::new(2, 65, 1, 8, 16)
            .lengths(&[65, 64])
            .named("one past a tile"),
        Case::new(1, 131, 1, 4, 4).named("two tiles and three"),
    ]
}

/// Values at the edge of what softmax and f32 can bear, each marked extreme. Where student and teacher are equal, or a row
/// is alone, the exact answer is 0 and an implementation must meet it within its naive twin's error.
pub fn extremes() -> Vec<Case> {
    let base = || Case::new(2, 6, 2, 4, 4).lengths(&[6, 4]);
    vec![
        base().extreme("equal student scores", |case| {
            equal_tokens(&mut case.student, case.dims.hs())
        }),
        base().extreme("equal teacher scores", |case| {
            equal_tokens(&mut case.teacher, case.dims.ht())
        }),
        base().extreme("all scores equal", |case| {
            equal_tokens(&mut case.student, case.dims.hs());
            equal_tokens(&mut case.teacher, case.dims.ht());
        }),
        base().extreme("one-hot teacher", one_hot_teacher),
        base().extreme("student is the teacher", |case| {
            case.student = case.teacher.clone()
        }),
        base().extreme("scores to 80", |case| scores_up_to(case, 80.0)),
        base().extreme("scores to 1e4", |case| scores_up_to(case, 1e4)),
        base().extreme("denormals", |case| {
            sprinkle(case, &[1e-40, -3e-42, f32::from_bits(1)])
        }),
        base().extreme("negative zeros", |case| sprinkle(case, &[-0.0])),
    ]
}

/// The same numbers for every token, so that every row of scores is constant.
fn equal_tokens(vectors: &mut Vectors, h: usize) {
    vectors.set(|at, _| 0.5 + 0.25 * (at % h) as f32);
}

/// Tokens around a circle of radius 20 in the first two features of each head: a token's score with itself is 200, with
/// its neighbour 100, so a row holds e^-100 beside 1.
fn one_hot_teacher(case: &mut Case) {
    let Dims { s, a, dt, .. } = case.dims;
    case.teacher.set(|at, _| {
        let angle = std::f64::consts::TAU * (at / (a * dt) % s) as f64 / s as f64;
        let feature = match at % dt {
            0 => angle.cos(),
            1 => angle.sin(),
            _ => 0.0,
        };
        (20.0 * feature) as f32
    });
}

/// Tokens along one line, of either sign, so that scores spread between -`most` and `most`.
fn scores_up_to(case: &mut Case, most: f64) {
    let mut rng = Rng::new(most as u64);
    let Dims { a, ds, dt, .. } = case.dims;
    for (vectors, d) in [(&mut case.student, ds), (&mut case.teacher, dt)] {
        let longest = (most / (d as f64).sqrt()).sqrt();
        let mut along = 0.0;
        vectors.set(|at, _| {
            if at % (a * d) == 0 {
                let sign = if rng.below(2) == 0 { -1.0 } else { 1.0 };
                along = sign * longest * (0.5 + 0.5 * rng.uniform());
            }
            along as f32
        });
    }
}

/// Puts one of `values` into a third of the places, and into the whole first token of each sequence.
fn sprinkle(case: &mut Case, values: &[f32]) {
    let mut rng = Rng::new(values.len() as u64);
    let Dims { s, .. } = case.dims;
    for (vectors, h) in [
        (&mut case.student, case.dims.hs()),
        (&mut case.teacher, case.dims.ht()),
    ] {
        vectors.set(|at, old| {
            let chosen = rng.below(3) == 0 || at / h % s == 0;
            if chosen {
                values[rng.below(values.len())]
            } else {
                old
            }
        });
    }
}

/// Queries, keys and values of `tokens` tokens, each token (A, D), whose scores spread alike for every D.
///
/// Independent features would not do: a token's score with itself grows as sqrt(D) and soon takes the whole row, or, made
/// smaller, leaves Q-K rows uniform. So a head's features are three hidden numbers seen through random signs, plus noise
/// that makes every feature matter. Scores then have a spread of about 1.3, with themselves about 2.5 more.
///
/// Benchmarks draw from here directly: a [`Case`] also computes the entropies of nine relations, in seconds at their sizes.
pub fn drawn_vectors(rng: &mut Rng, tokens: usize, a: usize, d: usize, scale: f64) -> Vectors {
    const HIDDEN: usize = 3;
    let signal = scale * (1.3 / (3.0 * d as f64).sqrt()).sqrt();
    let noise = scale * (0.3 / (d as f64).sqrt()).sqrt();
    let signs: Vec<f64> = (0..a * HIDDEN * d)
        .map(|_| if rng.below(2) == 0 { -1.0 } else { 1.0 })
        .collect();
    let mut tensor = || {
        let mut values = Vec::with_capacity(tokens * a * d);
        for _ in 0..tokens {
            for head in 0..a {
                let hidden: [f64; HIDDEN] = std::array::from_fn(|_| rng.normal());
                for c in 0..d {
                    let seen: f64 = (0..HIDDEN)
                        .map(|r| signs[(head * HIDDEN + r) * d + c] * hidden[r])
                        .sum();
                    values.push((signal * seen + noise * rng.normal()) as f32);
                }
            }
        }
        values
    };
    Vectors {
        q: tensor(),
        k: tensor(),
        v: tensor(),
    }
}

/// -sum(p ln p), in nats.
fn entropy(row: &[f64]) -> f64 {
    row.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_cases_carry_signal_for_every_pair() {
        for case in grid().into_iter().chain((0..200).map(Case::random)) {
            assert!(!case.extreme, "{case}");
            for pair in Pair::ALL {
                let entropy = case.teacher_entropy(pair);
                assert_eq!(
                    entropy.is_none(),
                    case.lengths.iter().all(|&length| length == 1),
                    "{case}"
                );
                assert!(
                    entropy.is_none_or(|part| SIGNAL.contains(&part)),
                    "{}: {entropy:?} of {case}",
                    pair.name()
                );
            }
        }
    }

    #[test]
    fn a_saturated_case_would_be_noticed() {
        assert!(!Case::new(1, 8, 1, 64, 64).scale(6.0).carries_signal());
        assert!(!Case::new(1, 8, 1, 64, 64).scale(0.1).carries_signal());
    }

    #[test]
    fn entropy_runs_from_one_hot_to_uniform() {
        assert_eq!(entropy(&[0.0, 1.0, 0.0]), 0.0);
        assert!((entropy(&[0.25; 4]) - 4.0f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn a_case_is_made_again_by_what_it_prints() {
        let case = Case::new(2, 5, 1, 2, 3).lengths(&[5, 2]).seed(9).scale(1.1);
        let printed = "case (B=2 S=5 A=1 Ds=2 Dt=3 lengths=[5, 2]: Case::new(2, 5, 1, 2, 3).lengths(&[5, 2]).seed(9).scale(1.1))";
        assert_eq!(case.to_string(), printed);
        assert_eq!(
            case,
            Case::new(2, 5, 1, 2, 3).lengths(&[5, 2]).seed(9).scale(1.1)
        );
        assert!(Case::random(3).to_string().ends_with(": Case::random(3))"));
        assert_eq!(Case::random(3), Case::random(3));
        let poisoned = Case::random(3).poisoned(f32::NAN).to_string();
        assert!(
            poisoned.ends_with(": Case::random(3).poisoned(NaN))"),
            "{poisoned}"
        );
        assert!(
            extremes()[0]
                .to_string()
                .ends_with("cases::extremes(), \"equal student scores\")")
        );
    }

    #[test]
    fn names_are_unique_and_shapes_fit() {
        let cases: Vec<Case> = grid().into_iter().chain(extremes()).collect();
        for (at, case) in cases.iter().enumerate() {
            assert!(
                cases[..at].iter().all(|other| other.name != case.name),
                "{case}"
            );
            let Dims { b, s, .. } = case.dims;
            for (vectors, h) in [
                (&case.student, case.dims.hs()),
                (&case.teacher, case.dims.ht()),
            ] {
                for tensor in [&vectors.q, &vectors.k, &vectors.v] {
                    assert_eq!(tensor.len(), b * s * h, "{case}");
                    assert!(tensor.iter().all(|x| x.is_finite()), "{case}");
                }
            }
        }
    }

    #[test]
    fn extremes_are_as_extreme_as_they_say() {
        let of = |name: &str| {
            extremes()
                .into_iter()
                .find(|case| case.name == name)
                .expect(name)
        };
        let largest = |case: &Case, pair| {
            let Dims { b, s, a, ds, .. } = case.dims;
            let scores = case.with_sides(pair, |student, _| {
                relation::scores(student, b, s, a, ds, &case.lengths)
            });
            scores
                .iter()
                .fold(0.0, |largest: f64, x| largest.max(x.abs()))
        };
        for pair in Pair::ALL {
            assert_eq!(of("all scores equal").forward(pair).value, 0.0);
            assert!(
                (of("equal teacher scores")
                    .teacher_entropy(pair)
                    .expect("tokens")
                    - 1.0)
                    .abs()
                    < 1e-12
            );
            assert!(of("one-hot teacher").teacher_entropy(pair).expect("tokens") < 1e-12);
            assert!(of("equal student scores").forward(pair).value > 0.1);
            assert_eq!(of("student is the teacher").forward(pair).value, 0.0);
            assert!((40.0..=80.1).contains(&largest(&of("scores to 80"), pair)));
            assert!((5e3..=1.001e4).contains(&largest(&of("scores to 1e4"), pair)));
        }
        assert!(of("denormals").student.q.iter().any(|x| x.is_subnormal()));
        assert!(
            of("negative zeros")
                .student
                .q
                .iter()
                .any(|x| *x == 0.0 && x.is_sign_negative())
        );
    }
}
