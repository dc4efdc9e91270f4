//! How far two models agree about lines that nobody has labelled, and which of several models agrees most.

use crate::compare::{draws, interval};
use crate::metric::{cosine, mean, spearman};

/// For each of N lines, in what order the two models have all other lines by their cosine to it: Spearman's correlation of the
/// cosines, 1 where the orders are the same. A line whose cosines are all alike has no order, and counts as 0. Both models have a
/// vector of each line; they may be of different widths.
pub fn agreement(teacher: &[Vec<f32>], student: &[Vec<f32>]) -> Vec<f64> {
    let others = |rows: &[Vec<f32>], line: usize| -> Vec<f64> {
        let others = rows.iter().enumerate().filter(|(other, _)| *other != line);
        others.map(|(_, row)| cosine(&rows[line], row)).collect()
    };
    let of_line = |line| spearman(&others(teacher, line), &others(student, line)).unwrap_or(0.0);
    (0..teacher.len().min(student.len())).map(of_line).collect()
}

/// A mean over lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Its value.
    pub value: f64,
    /// The 95 % interval: the lines are drawn anew, with replacement, [`crate::RESAMPLES`] times.
    pub interval: [f64; 2],
}

impl Mean {
    /// Of one number a line; none without a line. `seed` chooses the draws.
    pub fn of(values: &[f64], seed: u64) -> Option<Self> {
        let drawn = |lines: &Vec<usize>| {
            let drawn: Vec<f64> = lines.iter().map(|line| values[*line]).collect();
            Some(mean(&drawn))
        };
        if values.is_empty() {
            return None;
        }
        let draws = draws(values.len(), seed);
        let drawn: Vec<Option<f64>> = draws.iter().map(drawn).collect();
        Some(Self {
            value: mean(values),
            interval: interval(&drawn)?,
        })
    }
}

/// The best of several candidates, and whether the lines can tell it from another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The candidate whose mean is the greatest, from 0.
    pub best: usize,
    /// The one that it is held beside: the usual candidate, or the second best where the usual one is the best or not among them.
    pub rival: usize,
    /// By how much the best is ahead, line by line.
    pub lead: Mean,
}

impl Verdict {
    /// Of one number a line for each candidate, of the same lines; none of fewer than two candidates, or without a line.
    pub fn of(candidates: &[Vec<f64>], usual: Option<usize>, seed: u64) -> Option<Self> {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| mean(&candidates[*b]).total_cmp(&mean(&candidates[*a])));
        let (best, second) = (*order.first()?, *order.get(1)?);
        let rival = usual.filter(|usual| *usual != best).unwrap_or(second);
        let pairs = candidates[best].iter().zip(&candidates[rival]);
        let ahead: Vec<f64> = pairs.map(|(best, rival)| best - rival).collect();
        Some(Self {
            best,
            rival,
            lead: Mean::of(&ahead, seed)?,
        })
    }

    /// Whether the interval of the lead is above 0.
    pub fn is_clear(&self) -> bool {
        self.lead.interval[0] > 0.0
    }
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Rng;

    use super::*;

    #[track_caller]
    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let far = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-12;
        assert!(
            !found.iter().zip(expected).any(far),
            "{found:?}, {expected:?}"
        );
    }

    #[test]
    fn models_agree_as_far_as_they_order_lines_alike() {
        let teacher = [[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]].map(Vec::from);
        near(&agreement(&teacher, &teacher), &[1.0; 4]);
        // Wider, and longer: cosines know neither.
        let same = [
            [2.0, 0.0, 0.0],
            [9.0, 1.0, 0.0],
            [3.0, 3.0, 0.0],
            [0.0, 1.0, 0.0],
        ];
        near(&agreement(&teacher, &same.map(Vec::from)), &[1.0; 4]);
        // Seen from the first line: 2, 3, 4 for the teacher, and 4, 3, 2 here.
        let turned = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.9, 0.1]].map(Vec::from);
        near(&agreement(&teacher, &turned)[..1], &[-1.0]);
        let alike = vec![vec![1.0, 1.0]; 4];
        assert_eq!(agreement(&teacher, &alike), [0.0; 4]);
        assert!(agreement(&[], &[]).is_empty());
    }

    #[test]
    fn a_mean_has_an_interval_as_wide_as_its_lines_differ() {
        let same = Mean::of(&[0.25; 40], 1).expect("a mean");
        assert_eq!((same.value, same.interval), (0.25, [0.25; 2]));
        // Half of 100 lines are 0 and half 1: a standard error of 0.05, and 1.96 of them on either side.
        let halves: Vec<f64> = (0..100).map(|line| f64::from(line % 2)).collect();
        let Mean { value, interval } = Mean::of(&halves, 1).expect("a mean");
        assert_eq!(value, 0.5);
        for (end, expected) in interval.into_iter().zip([0.402, 0.598]) {
            assert!((end - expected).abs() < 0.02, "{interval:?}");
        }
        assert_eq!(Mean::of(&[], 1), None);
    }

    #[test]
    fn the_best_is_told_from_the_usual_one_or_it_is_not() {
        let mut rng = Rng::new(3);
        let mut noisy =
            |around: f64| -> Vec<f64> { (0..100).map(|_| around + 0.1 * rng.normal()).collect() };
        let candidates = [noisy(0.5), noisy(0.8), noisy(0.7)];
        let of = |usual| Verdict::of(&candidates, usual, 0).expect("three candidates");
        let clear = of(Some(0));
        assert_eq!((clear.best, clear.rival, clear.is_clear()), (1, 0, true));
        assert!((clear.lead.value - 0.3).abs() < 0.05, "{clear:?}");
        // The usual one is the best, or is not among them: the second best is the rival.
        assert_eq!((of(Some(1)).best, of(Some(1)).rival), (1, 2));
        assert_eq!((of(None).best, of(None).rival), (1, 2));
        let twice = [candidates[1].clone(), candidates[1].clone()];
        let equal = Verdict::of(&twice, Some(0), 0).expect("two candidates");
        assert!(!equal.is_clear() && equal.lead.value == 0.0);
        assert_eq!(Verdict::of(&twice[..1], None, 0), None);
        assert_eq!(Verdict::of(&[vec![], vec![]], None, 0), None);
    }
}
