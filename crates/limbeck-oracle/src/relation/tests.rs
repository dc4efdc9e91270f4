use super::*;
use crate::cases::{self, Case};
use crate::gradcheck::{directional_error, numeric_gradient};
use crate::judge::relative_l2;
use crate::rng::Rng;

/// Rounding of a sum of a few thousand f64 terms.
const CLOSE: f64 = 1e-12;

fn ordinary() -> impl Iterator<Item = Case> {
    cases::grid().into_iter().chain((0..20).map(Case::random))
}

/// Every number of a case's tensors from another place: `from(sequence, token, head)`, which must be a permutation.
fn rearranged(
    case: &Case,
    lengths: &[usize],
    from: impl Fn(usize, usize, usize) -> [usize; 3],
) -> Case {
    let Dims { b, s, a, ds, dt } = case.dims;
    let mut moved = case.clone();
    moved.lengths = lengths.to_vec();
    for (new, old, d) in [
        (&mut moved.student, &case.student, ds),
        (&mut moved.teacher, &case.teacher, dt),
    ] {
        for (new, old) in [
            (&mut new.q, &old.q),
            (&mut new.k, &old.k),
            (&mut new.v, &old.v),
        ] {
            for (sequence, token, head) in places(b, s, a) {
                let [from_sequence, from_token, from_head] = from(sequence, token, head);
                let to = ((sequence * s + token) * a + head) * d;
                let from = ((from_sequence * s + from_token) * a + from_head) * d;
                new[to..to + d].copy_from_slice(&old[from..from + d]);
            }
        }
    }
    moved
}

fn places(b: usize, s: usize, a: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..b * s * a).map(move |at| (at / (s * a), at / a % s, at % a))
}

/// Checks that loss, rows and gradient moved with the vectors.
fn check_rearranged(
    case: &Case,
    lengths: &[usize],
    from: impl Fn(usize, usize, usize) -> [usize; 3],
) {
    let Dims { b, s, a, ds, .. } = case.dims;
    let moved = rearranged(case, lengths, &from);
    for pair in Pair::ALL {
        let (before, after) = (case.forward(pair), moved.forward(pair));
        assert!((before.value - after.value).abs() < CLOSE, "{case}");
        let (old, new) = (case.backward(pair), moved.backward(pair));
        for (sequence, token, head) in places(b, s, a) {
            let [q, t, h] = from(sequence, token, head);
            let (kl_after, kl_before) = (
                after.rows[(sequence * a + head) * s + token],
                before.rows[(q * a + h) * s + t],
            );
            assert!((kl_after - kl_before).abs() < CLOSE, "{case}");
            for c in 0..ds {
                let (to, from) = (
                    ((sequence * s + token) * a + head) * ds + c,
                    ((q * s + t) * a + h) * ds + c,
                );
                assert!((new.row[to] - old.row[from]).abs() < CLOSE, "{case}");
                assert!((new.column[to] - old.column[from]).abs() < CLOSE, "{case}");
            }
        }
    }
}

#[test]
fn pairs_are_the_nine_of_q_k_and_v() {
    let names: Vec<&str> = Pair::ALL.iter().map(|pair| pair.name()).collect();
    assert_eq!(
        names,
        ["qq", "qk", "qv", "kq", "kk", "kv", "vq", "vk", "vv"]
    );
    assert_eq!(Pair::ALL.iter().filter(|pair| pair.is_self()).count(), 3);
    assert!(
        Pair::ALL
            .iter()
            .all(|pair| format!("{:?}{:?}", pair.row, pair.column).to_lowercase() == pair.name())
    );
}

/// Two tokens of width 1 and one of padding, small enough to do on paper.
#[test]
fn a_case_done_by_hand() {
    let (student, teacher) = ([1.0, 2.0, f64::NAN], [0.0, 3.0, f64::NAN]);
    let (student, teacher) = (Side::of_self_pair(&student), Side::of_self_pair(&teacher));
    let dims = Dims {
        b: 1,
        s: 3,
        a: 1,
        ds: 1,
        dt: 1,
    };
    assert_eq!(
        scores(student, 1, 3, 1, 1, &[2]),
        [1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    );
    let e = std::f64::consts::E;
    assert!((lse(student, 1, 3, 1, 1, &[2])[0] - (e + e * e).ln()).abs() < CLOSE);
    let first = 0.5 * (0.5 * (1.0 + e)).ln() + 0.5 * (0.5 * (1.0 + 1.0 / e)).ln(); // teacher uniform
    let (p, q) = (1.0 / (1.0 + e.powi(9)), 1.0 / (1.0 + e.powi(2)));
    let second = p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
    let loss = forward(student, teacher, &dims, &[2]);
    assert!(
        relative_l2(&loss.rows, &[first, second, 0.0]) < CLOSE,
        "{loss:?}"
    );
    assert!((loss.value - (first + second) / 2.0).abs() < CLOSE);
}

#[test]
fn relation_is_the_exponential_of_score_less_lse() {
    for case in ordinary() {
        let Dims { b, s, a, ds, .. } = case.dims;
        case.with_sides(Pair::ALL[1], |student, _| {
            let scores = scores(student, b, s, a, ds, &case.lengths);
            let lse = lse(student, b, s, a, ds, &case.lengths);
            let relation = relation(student, b, s, a, ds, &case.lengths);
            for row in 0..b * a * s {
                let length = case.lengths[row / (a * s)];
                let real = row % s < length;
                let sum: f64 = relation[row * s..(row + 1) * s].iter().sum();
                assert!((sum - f64::from(u8::from(real))).abs() < CLOSE, "{case}");
                assert!(real || lse[row] == 0.0, "{case}");
                for j in 0..s {
                    let expected = if real && j < length {
                        (scores[row * s + j] - lse[row]).exp()
                    } else {
                        0.0
                    };
                    assert!((relation[row * s + j] - expected).abs() < CLOSE, "{case}");
                }
            }
        });
    }
}

#[test]
fn gradients_agree_with_central_differences_for_all_pairs() {
    let mut rng = Rng::new(5);
    for case in cases::grid()
        .into_iter()
        .filter(|case| case.dims.s < 60)
        .chain((0..20).map(Case::random))
    {
        if case.lengths.iter().all(|&length| length == 1) {
            continue; // the loss is 0 whatever the vectors
        }
        for pair in Pair::ALL {
            case.with_sides(pair, |student, teacher| {
                let value = |side: Side| forward(side, teacher, &case.dims, &case.lengths).value;
                let gradient = backward(student, teacher, &case.dims, &case.lengths);
                let mut check = |part: &str, grad: &[f64], x: &[f64], f: &dyn Fn(&[f64]) -> f64| {
                    let error = directional_error(f, grad, x, &mut rng);
                    assert!(
                        error < 1e-7,
                        "{} by {part}: {error:.1e} on {case}",
                        pair.name()
                    );
                };
                check("row", &gradient.row, student.row, &|x| {
                    value(Side { row: x, ..student })
                });
                check("column", &gradient.column, student.column, &|x| {
                    value(Side {
                        column: x,
                        ..student
                    })
                });
                if pair.is_self() {
                    check("both", &gradient.of_self_pair(), student.row, &|x| {
                        value(Side::of_self_pair(x))
                    });
                }
            });
        }
    }
}

#[test]
fn whole_gradients_agree_with_central_differences() {
    let case = Case::new(2, 4, 2, 3, 2).lengths(&[4, 3]);
    for pair in Pair::ALL {
        case.with_sides(pair, |student, teacher| {
            let value = |side: Side| forward(side, teacher, &case.dims, &case.lengths).value;
            let gradient = backward(student, teacher, &case.dims, &case.lengths);
            let row = numeric_gradient(|x| value(Side { row: x, ..student }), student.row);
            let column = numeric_gradient(
                |x| {
                    value(Side {
                        column: x,
                        ..student
                    })
                },
                student.column,
            );
            assert!(relative_l2(&gradient.row, &row) < 1e-7, "{}", pair.name());
            assert!(
                relative_l2(&gradient.column, &column) < 1e-7,
                "{}",
                pair.name()
            );
        });
    }
}

#[test]
fn a_student_equal_to_the_teacher_has_no_loss_and_no_gradient() {
    for case in ordinary() {
        let Dims { b, s, a, dt, .. } = case.dims;
        let mut same = case.clone();
        same.dims = Dims {
            b,
            s,
            a,
            ds: dt,
            dt,
        };
        same.student = case.teacher.clone();
        for pair in Pair::ALL {
            assert_eq!(same.forward(pair).value, 0.0, "{case}");
            let gradient = same.backward(pair);
            assert!(
                gradient
                    .row
                    .iter()
                    .chain(&gradient.column)
                    .all(|&g| g == 0.0),
                "{case}"
            );
        }
    }
}

#[test]
fn row_kl_is_not_negative_and_ignores_a_constant() {
    let mut rng = Rng::new(2);
    for n in 1..50 {
        let mut draw = || (0..n).map(|_| 3.0 * rng.normal()).collect::<Vec<f64>>();
        let (teacher, student) = (draw(), draw());
        let kl = row_kl(&teacher, &student);
        assert!(kl >= -1e-15 && (n == 1 || kl > 1e-3), "{kl} for {n} keys");
        assert_eq!(row_kl(&teacher, &teacher), 0.0);
        let raised = |row: &[f64], by: f64| row.iter().map(|x| x + by).collect::<Vec<f64>>();
        let shifted = row_kl(&raised(&teacher, 17.0), &raised(&student, -5.0));
        assert!((kl - shifted).abs() < CLOSE, "{kl} became {shifted}");
    }
}

#[test]
fn losses_are_finite_and_not_negative_at_the_extremes() {
    for case in cases::extremes() {
        for pair in Pair::ALL {
            let (loss, gradient) = (case.forward(pair), case.backward(pair));
            assert!(
                loss.rows.iter().all(|kl| kl.is_finite() && *kl >= -CLOSE),
                "{case}"
            );
            assert!(
                gradient
                    .row
                    .iter()
                    .chain(&gradient.column)
                    .all(|g| g.is_finite()),
                "{case}"
            );
        }
    }
}

#[test]
fn permuting_tokens_heads_or_sequences_permutes_the_answer() {
    for case in ordinary() {
        let (Dims { b, a, .. }, lengths) = (case.dims, case.lengths.clone());
        check_rearranged(&case, &lengths, |sequence, token, head| {
            let length = lengths[sequence];
            [
                sequence,
                if token < length {
                    (token + 1) % length
                } else {
                    token
                },
                head,
            ]
        });
        check_rearranged(&case, &lengths, |sequence, token, head| {
            [sequence, token, a - 1 - head]
        });
        let reversed: Vec<usize> = lengths.iter().rev().copied().collect();
        check_rearranged(&case, &reversed, |sequence, token, head| {
            [b - 1 - sequence, token, head]
        });
    }
}

#[test]
fn growing_the_padding_changes_nothing() {
    for case in ordinary() {
        let (Dims { b, s, a, ds, dt }, more) = (case.dims, 3);
        let grown = |tensor: &[f64], d: usize| {
            let mut longer = vec![f64::NAN; b * (s + more) * a * d];
            for sequence in 0..b {
                let (to, from, n) = (
                    sequence * (s + more) * a * d,
                    sequence * s * a * d,
                    s * a * d,
                );
                longer[to..to + n].copy_from_slice(&tensor[from..from + n]);
            }
            longer
        };
        for pair in Pair::ALL {
            let dims = Dims {
                s: s + more,
                ..case.dims
            };
            case.with_sides(pair, |student, teacher| {
                let student = [grown(student.row, ds), grown(student.column, ds)];
                let teacher = [grown(teacher.row, dt), grown(teacher.column, dt)];
                let student = Side {
                    row: &student[0],
                    column: &student[1],
                };
                let teacher = Side {
                    row: &teacher[0],
                    column: &teacher[1],
                };
                assert_eq!(
                    forward(student, teacher, &dims, &case.lengths).value,
                    case.forward(pair).value,
                    "{case}"
                );
                let (got, before) = (
                    backward(student, teacher, &dims, &case.lengths),
                    case.backward(pair),
                );
                let real = |new: &[f64], old: &[f64]| {
                    let kept = grown(old, ds);
                    new.iter()
                        .zip(kept)
                        .all(|(new, old)| *new == if old.is_nan() { 0.0 } else { old })
                };
                assert!(
                    real(&got.row, &before.row) && real(&got.column, &before.column),
                    "{case}"
                );
            });
        }
    }
}

#[test]
fn padding_is_never_read_and_gets_no_gradient() {
    for case in ordinary() {
        let Dims { s, .. } = case.dims;
        for poison in [f32::NAN, 3.0e8] {
            let poisoned = case.clone().poisoned(poison);
            for pair in Pair::ALL {
                assert_eq!(case.forward(pair), poisoned.forward(pair), "{case}");
                let gradient = poisoned.backward(pair);
                assert_eq!(case.backward(pair), gradient, "{case}");
                for (at, g) in gradient.row.iter().chain(&gradient.column).enumerate() {
                    let token = at / case.dims.hs();
                    let (sequence, token) = (token / s % case.dims.b, token % s);
                    assert!(token < case.lengths[sequence] || *g == 0.0, "{case}");
                }
            }
        }
    }
}

#[test]
fn the_average_of_single_sequences_is_the_whole() {
    for case in ordinary() {
        let (Dims { b, s, .. }, dims) = (case.dims, Dims { b: 1, ..case.dims });
        let (hs, ht) = (case.dims.hs(), case.dims.ht());
        for pair in Pair::ALL {
            case.with_sides(pair, |student, teacher| {
                let values: Vec<f64> = (0..b)
                    .map(|sequence| {
                        let part = |side: Side<'_>, h: usize| {
                            let range = sequence * s * h..(sequence + 1) * s * h;
                            (
                                side.row[range.clone()].to_vec(),
                                side.column[range].to_vec(),
                            )
                        };
                        let (student, teacher) = (part(student, hs), part(teacher, ht));
                        let student = Side {
                            row: &student.0,
                            column: &student.1,
                        };
                        let teacher = Side {
                            row: &teacher.0,
                            column: &teacher.1,
                        };
                        forward(student, teacher, &dims, &case.lengths[sequence..=sequence]).value
                    })
                    .collect();
                let mean = values.iter().sum::<f64>() / b as f64;
                assert!((mean - case.forward(pair).value).abs() < CLOSE, "{case}");
            });
        }
    }
}

/// Scores of a self pair are inner products, so rotating a head's features leaves them; a mixed pair must notice.
#[test]
fn rotating_a_head_leaves_the_loss_of_a_self_pair() {
    let mut rng = Rng::new(3);
    for case in ordinary().filter(|case| case.dims.ds > 1) {
        let Dims { b, s, a, ds, .. } = case.dims;
        let mut rotated = case.student.exact(Vector::Q);
        for head in 0..a {
            for c in 1..ds {
                let (sin, cos) = (std::f64::consts::TAU * rng.uniform()).sin_cos();
                for token in 0..b * s {
                    let at = (token * a + head) * ds;
                    let (x, y) = (rotated[at], rotated[at + c]);
                    (rotated[at], rotated[at + c]) = (cos * x - sin * y, sin * x + cos * y);
                }
            }
        }
        let [self_pair, mixed] = [Pair::ALL[0], Pair::ALL[1]];
        let loss = |pair: Pair, side: &dyn Fn(Side) -> f64| {
            case.with_sides(pair, |student, _| side(student))
        };
        let teacher = |pair: Pair, student: Side| {
            case.with_sides(pair, |_, teacher| {
                forward(student, teacher, &case.dims, &case.lengths).value
            })
        };
        let of_self = loss(self_pair, &|_| {
            teacher(self_pair, Side::of_self_pair(&rotated))
        });
        assert!(
            (of_self - case.forward(self_pair).value).abs() < CLOSE,
            "{case}"
        );
        let of_mixed = loss(mixed, &|student| {
            teacher(
                mixed,
                Side {
                    row: &rotated,
                    ..student
                },
            )
        });
        let alone = case.lengths.iter().all(|&length| length == 1);
        assert!(
            alone || (of_mixed - case.forward(mixed).value).abs() > 1e-6,
            "{case}"
        );
    }
}

#[test]
#[should_panic(expected = "a tensor of 5 numbers is not (B, S, H) = (1, 2, 3)")]
fn a_tensor_of_another_size_is_refused() {
    let _ = scores(Side::of_self_pair(&[0.0; 5]), 1, 2, 1, 3, &[2]);
}

#[test]
#[should_panic(expected = "lengths [3] must be in 1 ..= S = 2")]
fn a_length_past_the_padded_length_is_refused() {
    let _ = scores(Side::of_self_pair(&[0.0; 6]), 1, 2, 1, 3, &[3]);
}

#[test]
#[should_panic(expected = "lengths [0] must be in 1 ..= S = 2")]
fn an_empty_sequence_is_refused() {
    let _ = scores(Side::of_self_pair(&[0.0; 6]), 1, 2, 1, 3, &[0]);
}
