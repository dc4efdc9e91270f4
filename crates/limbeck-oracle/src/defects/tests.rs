use super::*;
use crate::cases::{self, Vectors};
use crate::judge::verdict;
use crate::relation::Vector;

/// The right formula in f32, as one would first write it: the judge's baseline.
struct Naive<'a> {
    case: &'a Case,
    pair: Pair,
}

struct NaiveAnswer {
    value: f32,
    rows: Vec<f32>,
    row: Vec<f32>,
    column: Vec<f32>,
}

impl Naive<'_> {
    fn log_softmax(
        &self,
        vectors: &Vectors,
        d: usize,
        sequence: usize,
        head: usize,
        i: usize,
    ) -> Vec<f32> {
        let Dims { s, a, .. } = self.case.dims;
        let (row, column) = (vectors.get(self.pair.row), vectors.get(self.pair.column));
        let at = |token: usize| ((sequence * s + token) * a + head) * d;
        let scores: Vec<f32> = (0..self.case.lengths[sequence])
            .map(|j| {
                (0..d)
                    .map(|c| row[at(i) + c] * column[at(j) + c])
                    .sum::<f32>()
                    / (d as f32).sqrt()
            })
            .collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|x| (x - largest).exp()).sum();
        scores.iter().map(|x| x - largest - sum.ln()).collect()
    }

    fn answer(&self) -> NaiveAnswer {
        let Dims { b, s, a, ds, dt } = self.case.dims;
        let (row_of, column_of) = (
            self.case.student.get(self.pair.row),
            self.case.student.get(self.pair.column),
        );
        let nothing = vec![0.0; b * s * a * ds];
        let mut answer = NaiveAnswer {
            value: 0.0,
            rows: vec![0.0; b * a * s],
            row: nothing.clone(),
            column: nothing,
        };
        for sequence in 0..b {
            let length = self.case.lengths[sequence];
            for head in 0..a {
                for i in 0..length {
                    let log_p = self.log_softmax(&self.case.teacher, dt, sequence, head, i);
                    let log_q = self.log_softmax(&self.case.student, ds, sequence, head, i);
                    let kl: f32 = log_p
                        .iter()
                        .zip(&log_q)
                        .map(|(p, q)| p.exp() * (p - q))
                        .sum();
                    answer.rows[(sequence * a + head) * s + i] = kl;
                    answer.value += kl / (a * length * b) as f32;
                    for j in 0..length {
                        let g = (log_q[j].exp() - log_p[j].exp())
                            / (a * length * b) as f32
                            / (ds as f32).sqrt();
                        for c in 0..ds {
                            let row = ((sequence * s + i) * a + head) * ds + c;
                            let column = ((sequence * s + j) * a + head) * ds + c;
                            answer.row[row] += g * column_of[column];
                            answer.column[column] += g * row_of[row];
                        }
                    }
                }
            }
        }
        answer
    }
}

/// What the judge says of an answer: of the value, of the rows, and of what each tensor of the pair receives.
fn objections(
    case: &Case,
    pair: Pair,
    naive: &NaiveAnswer,
    loss: &Loss,
    gradient: &Gradient,
) -> Vec<String> {
    let (exact_loss, exact) = (case.forward(pair), case.backward(pair));
    let mut verdicts = vec![
        verdict(
            "value",
            &f32s(&[loss.value]),
            &[naive.value],
            &[exact_loss.value],
        ),
        verdict("rows", &f32s(&loss.rows), &naive.rows, &exact_loss.rows),
    ];
    if pair.is_self() {
        let sum: Vec<f32> = naive
            .row
            .iter()
            .zip(&naive.column)
            .map(|(row, column)| row + column)
            .collect();
        verdicts.push(verdict(
            "gradient",
            &f32s(&gradient.clone().of_self_pair()),
            &sum,
            &exact.of_self_pair(),
        ));
    } else {
        verdicts.push(verdict(
            "row gradient",
            &f32s(&gradient.row),
            &naive.row,
            &exact.row,
        ));
        verdicts.push(verdict(
            "column gradient",
            &f32s(&gradient.column),
            &naive.column,
            &exact.column,
        ));
    }
    verdicts.into_iter().filter_map(Result::err).collect()
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

fn all_cases() -> impl Iterator<Item = Case> {
    cases::grid()
        .into_iter()
        .chain(cases::extremes())
        .chain((0..12).map(Case::random))
}

#[test]
fn the_judge_notices_every_plausible_mistake() {
    let mut seen = [0; Defect::ALL.len()];
    for case in all_cases() {
        let applies = Defect::ALL.map(|defect| defect.applies(&case));
        for pair in Pair::ALL {
            let naive = Naive { case: &case, pair }.answer();
            for (at, defect) in Defect::ALL
                .into_iter()
                .enumerate()
                .filter(|(at, _)| applies[*at])
            {
                let (loss, gradient) = defect.answer(&case, pair);
                let objections = objections(&case, pair, &naive, &loss, &gradient);
                assert!(
                    !objections.is_empty(),
                    "missed {defect:?}, pair {}, on {case}",
                    pair.name()
                );
                seen[at] += 1;
            }
        }
    }
    assert!(
        seen.iter().all(|&times| times >= 9 * 9),
        "some defects were hardly tried: {seen:?} of {:?}",
        Defect::ALL
    );
}

#[test]
fn the_judge_accepts_the_right_answer() {
    for case in all_cases() {
        for pair in Pair::ALL {
            let naive = Naive { case: &case, pair }.answer();
            let objections = objections(
                &case,
                pair,
                &naive,
                &case.forward(pair),
                &case.backward(pair),
            );
            assert!(
                objections.is_empty(),
                "pair {}, {case}: {objections:?}",
                pair.name()
            );
        }
    }
}

#[test]
fn mistakes_in_the_gradient_show_in_the_gradient() {
    let case = Case::new(2, 6, 3, 4, 8).lengths(&[6, 4]);
    for defect in Defect::ALL {
        assert!(defect.applies(&case), "{defect:?} on {case}");
        for pair in Pair::ALL {
            let naive = Naive { case: &case, pair }.answer();
            let objections = objections(
                &case,
                pair,
                &naive,
                &case.forward(pair),
                &defect.backward(&case, pair),
            );
            assert!(
                !objections.is_empty(),
                "missed {defect:?}, pair {}",
                pair.name()
            );
        }
    }
}

#[test]
fn a_row_loop_without_a_defect_is_right() {
    for case in all_cases().filter(|case| !case.extreme) {
        for pair in Pair::ALL {
            let (loss, gradient) = case.with_sides(pair, |student, teacher| {
                by_rows(student, teacher, &case.dims, &case.lengths, &Rows::RIGHT)
            });
            let naive = Naive { case: &case, pair }.answer();
            assert_eq!(
                objections(&case, pair, &naive, &loss, &gradient),
                Vec::<String>::new(),
                "{case}"
            );
        }
    }
}

/// The mistakes that change the loss have the gradient that belongs to their loss, as a real program's autodiff would give.
#[test]
fn a_wrong_loss_has_its_own_gradient() {
    use Defect::{
        HeadsMixed, MeanOverPadded, NoScale, OneRowShort, PadLeaks, SharedScale, SwappedKl,
    };
    let case = Case::new(2, 4, 2, 2, 3).lengths(&[4, 2]);
    let pair = Pair {
        row: Vector::Q,
        column: Vector::K,
    };
    for defect in [
        HeadsMixed,
        MeanOverPadded,
        NoScale,
        OneRowShort,
        PadLeaks,
        SharedScale,
        SwappedKl,
    ] {
        // Steps that f32 holds exactly: the vectors of a case are f32.
        let moved = |at: usize, by: f32| {
            let mut case = case.clone();
            case.student.k[at] = (case.student.k[at] * 64.0).round() / 64.0 + by;
            defect.forward(&case, pair).value
        };
        for at in 0..case.student.k.len() {
            let mut here = case.clone();
            here.student.k[at] = (here.student.k[at] * 64.0).round() / 64.0;
            let (h, gradient) = (1.0 / 1024.0, defect.backward(&here, pair).column[at]);
            let slope = (moved(at, h) - moved(at, -h)) / (2.0 * f64::from(h));
            assert!(
                (slope - gradient).abs() < 1e-6,
                "{defect:?} at {at}: {slope} against {gradient}"
            );
        }
    }
}

#[test]
fn nothing_applies_where_there_is_nothing_to_get_wrong() {
    let one_token = Case::new(3, 1, 2, 3, 4);
    let equal = cases::extremes()
        .into_iter()
        .find(|case| case.name == "student is the teacher")
        .expect("is an extreme");
    for defect in Defect::ALL {
        assert!(
            !defect.applies(&one_token) && !defect.applies(&equal),
            "{defect:?}"
        );
    }
}
