//! One relation of a sentence: what the teacher has, what the student has, and how far they are apart.

use crate::state::Maps;

/// Probabilities below this are no smaller to the eye, and their logarithm is finite.
const LEAST: f32 = 1e-12;

/// The maps of one relation head, or the mean of all heads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relation {
    /// S.
    pub size: usize,
    /// (S, S), rows sum to 1.
    pub teacher: Vec<f32>,
    /// (S, S), rows sum to 1.
    pub student: Vec<f32>,
    /// KL of each row in nats; of the mean of heads it is the mean of theirs.
    pub kl: Vec<f32>,
}

impl Relation {
    /// Every head of a pair; `student` is (A, S, S).
    pub fn heads(maps: &Maps, pair: usize, student: &[f32]) -> Vec<Self> {
        let size = maps.tokens.len();
        let area = size * size;
        let Some(teacher) = maps.teacher.get(pair).filter(|_| area > 0) else {
            return Vec::new();
        };
        let both = teacher.chunks_exact(area).zip(student.chunks_exact(area));
        both.map(|(teacher, student)| Self::new(size, teacher, student))
            .collect()
    }

    fn new(size: usize, teacher: &[f32], student: &[f32]) -> Self {
        let rows = teacher.chunks_exact(size).zip(student.chunks_exact(size));
        Self {
            size,
            kl: rows.map(|(p, q)| divergence(p, q)).collect(),
            teacher: teacher.to_vec(),
            student: student.to_vec(),
        }
    }

    /// The mean of heads.
    pub fn mean(heads: &[Self]) -> Self {
        let mut mean = heads.first().cloned().unwrap_or_default();
        let count = heads.len().max(1) as f32;
        let average = |into: &mut [f32], of: fn(&Self) -> &[f32]| {
            for (i, value) in into.iter_mut().enumerate() {
                *value = heads.iter().map(|head| of(head)[i]).sum::<f32>() / count;
            }
        };
        average(&mut mean.teacher, |head| &head.teacher);
        average(&mut mean.student, |head| &head.student);
        average(&mut mean.kl, |head| &head.kl);
        mean
    }

    /// Mean KL of the rows.
    pub fn total(&self) -> f32 {
        self.kl.iter().sum::<f32>() / self.kl.len().max(1) as f32
    }

    /// Student less teacher.
    pub fn difference(&self) -> Vec<f32> {
        self.student
            .iter()
            .zip(&self.teacher)
            .map(|(s, t)| s - t)
            .collect()
    }

    /// The row with the greatest KL, and the teacher's strongest token in it: where there is most to see.
    pub fn worst(&self) -> (usize, usize) {
        let row = greatest(&self.kl);
        let from = row * self.size;
        (
            row,
            self.teacher.get(from..from + self.size).map_or(0, greatest),
        )
    }
}

fn greatest(values: &[f32]) -> usize {
    let all = values.iter().enumerate();
    all.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i)
}

fn divergence(p: &[f32], q: &[f32]) -> f32 {
    let terms = p.iter().zip(q).filter(|(p, _)| **p > 0.0);
    terms.map(|(p, q)| p * (p / q.max(LEAST)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> Maps {
        Maps {
            step: 1,
            tokens: vec!["a".into(), "b".into()],
            pairs: vec!["Q-Q".into()],
            heads: 2,
            teacher: vec![vec![0.5, 0.5, 1.0, 0.0, 0.25, 0.75, 0.5, 0.5]],
            student: vec![vec![0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 0.5, 0.5]],
        }
    }

    #[test]
    fn kl_is_of_rows_and_of_heads() {
        let maps = maps();
        let heads = Relation::heads(&maps, 0, &maps.student[0]);
        assert_eq!(heads.len(), 2);
        assert!((heads[0].kl[1] - 2.0_f32.ln()).abs() < 1e-6 && heads[0].kl[0] == 0.0);
        assert!(heads[1].kl.iter().all(|kl| *kl == 0.0));
        assert_eq!(heads[0].worst(), (1, 0));
        let mean = Relation::mean(&heads);
        assert_eq!(mean.teacher, [0.375, 0.625, 0.75, 0.25]);
        assert!((mean.total() - 2.0_f32.ln() / 4.0).abs() < 1e-6);
        assert_eq!(heads[0].difference(), [0.0, 0.0, -0.5, 0.5]);
    }

    #[test]
    fn maps_that_do_not_fit_show_nothing() {
        assert!(Relation::heads(&maps(), 7, &[]).is_empty());
        assert!(Relation::heads(&Maps::default(), 0, &[]).is_empty());
        assert_eq!(Relation::mean(&[]).worst(), (0, 0));
    }
}
