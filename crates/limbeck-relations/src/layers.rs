//! Which layer to learn from: every layer of the teacher and every pair beside the student as it is.

use limbeck_recipe::Pair;

use crate::projections::Projections;
use crate::relation::{MapError, PairMaps};

/// One layer of the teacher and one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerCell {
    /// Mean entropy of the teacher's rows, in nats: 0 if it is all on one token, ln S if uniform.
    pub entropy: f64,
    /// Mean overlap of the student's rows with the teacher's, the sum of the smaller probabilities: 1 if they are equal.
    pub overlap: f64,
    /// KL(teacher || student), mean over heads and rows (eq. 6), in nats.
    pub kl: f64,
}

/// A layer of the teacher, from 1, beside a layer of the student, from 1, in one pair and A relation heads.
///
/// # Errors
/// [`MapError`] if a layer does not exist or A does not divide both hidden sizes.
pub fn layer_cell(
    (teacher, teacher_layer): (&Projections, usize),
    (student, student_layer): (&Projections, usize),
    pair: Pair,
    heads: usize,
) -> Result<LayerCell, MapError> {
    let from_teacher = teacher.map(teacher_layer, pair, heads)?;
    let from_student = student.map(student_layer, pair, heads)?;
    let size = teacher.size();
    let maps = PairMaps::new(pair, (heads, size), from_teacher, from_student)?;
    Ok(maps.summary())
}

impl PairMaps {
    /// The pair in three numbers.
    pub fn summary(&self) -> LayerCell {
        let (teacher, student) = self.both();
        let rows = self.kl().len() as f64;
        let term = |p: &f32| match *p {
            0.0 => 0.0,
            p => -f64::from(p) * f64::from(p).ln(),
        };
        let smaller = teacher
            .iter()
            .zip(student)
            .map(|(p, q)| f64::from(p.min(*q)));
        LayerCell {
            entropy: teacher.iter().map(term).sum::<f64>() / rows,
            overlap: smaller.sum::<f64>() / rows,
            kl: self.kl().iter().sum::<f64>() / rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_in_three_numbers() {
        let maps = PairMaps::new(
            Pair::QQ,
            (1, 2),
            vec![0.5, 0.5, 1.0, 0.0],
            vec![0.5, 0.5, 0.5, 0.5],
        )
        .expect("maps of two tokens");
        let ln2 = std::f64::consts::LN_2;
        let cell = maps.summary();
        assert!((cell.entropy - ln2 / 2.0).abs() < 1e-12);
        assert!((cell.overlap - 0.75).abs() < 1e-12);
        assert!((cell.kl - ln2 / 2.0).abs() < 1e-12);
    }

    #[test]
    fn equal_taps_overlap_fully() {
        let layer: Vec<f32> = (0..36).map(|i| (i as f32).sin()).collect();
        let taps = Projections::new(3, 1, vec![layer.clone(), layer]).expect("3 x 3 x 4 numbers");
        let kv = "kv".parse().expect("a pair");
        let cell = layer_cell((&taps, 1), (&taps, 2), kv, 2).expect("layers that exist");
        assert!((cell.overlap - 1.0).abs() < 1e-6 && cell.kl < 1e-9);
        assert!(cell.entropy > 0.0 && cell.entropy <= 3.0_f64.ln() + 1e-6);
        assert!(layer_cell((&taps, 3), (&taps, 1), Pair::QQ, 2).is_err());
        assert!(layer_cell((&taps, 1), (&taps, 1), Pair::QQ, 3).is_err());
    }
}
