//! What a trained model gives for the rows of a labelled file, beside what is known of them.

use std::collections::BTreeMap;

use crate::chunks::{chunks, f1};
use crate::metric::{mean, pearson, spearman};
use crate::task::Metric;

/// What is known of the rows of a file, and what a model gives for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Marks {
    /// The known and the given class of a row; where the rows are sentences, of each of their words.
    Classes(Vec<Vec<[usize; 2]>>),
    /// The chunks of a sentence.
    Chunks(Vec<Counts>),
    /// The known and the given score of a row.
    Scores(Vec<[f64; 2]>),
}

/// How much of a sentence is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Words.
    pub words: usize,
    /// Words whose tag is right.
    pub right_words: usize,
    /// Chunks that are known.
    pub known: usize,
    /// Chunks that the model gives.
    pub given: usize,
    /// Chunks that are both, with the same type.
    pub right: usize,
}

impl Counts {
    /// Of the tags of a sentence's words.
    pub fn of(known: &[&str], given: &[&str]) -> Self {
        let pairs = known.iter().zip(given);
        let (of_known, of_given) = (chunks(known), chunks(given));
        Self {
            words: known.len(),
            right_words: pairs.filter(|(known, given)| known == given).count(),
            known: of_known.len(),
            given: of_given.len(),
            right: of_known
                .iter()
                .filter(|chunk| of_given.contains(chunk))
                .count(),
        }
    }
}

impl Marks {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes(rows) => rows.len(),
            Self::Chunks(rows) => rows.len(),
            Self::Scores(rows) => rows.len(),
        }
    }

    /// The metrics; the first is the one that models are compared by.
    pub fn metrics(&self) -> [Metric; 2] {
        match self {
            Self::Classes(_) => [Metric::Accuracy, Metric::MacroF1],
            Self::Chunks(_) => [Metric::F1, Metric::Accuracy],
            Self::Scores(_) => [Metric::Spearman, Metric::Pearson],
        }
    }

    /// A metric of some of the rows; none if it is not defined on them.
    pub fn measure(&self, metric: Metric, rows: &[usize]) -> Option<f64> {
        match (self, metric) {
            (Self::Classes(all), Metric::Accuracy) => {
                let pairs: Vec<_> = rows.iter().flat_map(|row| &all[*row]).collect();
                let right = pairs.iter().filter(|[known, given]| known == given);
                share(right.count(), pairs.len())
            }
            (Self::Classes(all), Metric::MacroF1) => {
                macro_f1(rows.iter().flat_map(|row| &all[*row]))
            }
            (Self::Chunks(all), Metric::F1) => {
                let rows = || rows.iter().map(|row| &all[*row]);
                let known = rows().map(|counts| counts.known).sum();
                let given = rows().map(|counts| counts.given).sum();
                Some(f1(known, given, rows().map(|counts| counts.right).sum()))
            }
            (Self::Chunks(all), Metric::Accuracy) => {
                let rows = || rows.iter().map(|row| &all[*row]);
                let right = rows().map(|counts| counts.right_words).sum();
                share(right, rows().map(|counts| counts.words).sum())
            }
            (Self::Scores(all), Metric::Spearman | Metric::Pearson) => {
                let side = |side: usize| rows.iter().map(|row| all[*row][side]).collect::<Vec<_>>();
                let (known, given) = (side(0), side(1));
                match metric {
                    Metric::Spearman => spearman(&known, &given),
                    _ => pearson(&known, &given),
                }
            }
            _ => None,
        }
    }
}

fn share(right: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| right as f64 / all as f64)
}

/// The mean over the classes that occur among the known or the given ones, as scikit-learn has it.
fn macro_f1<'a>(pairs: impl Iterator<Item = &'a [usize; 2]>) -> Option<f64> {
    // Of each class: how often it is known, given, and both.
    let mut classes: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
    for [known, given] in pairs {
        classes.entry(*known).or_default()[0] += 1;
        classes.entry(*given).or_default()[1] += 1;
        classes.entry(*known).or_default()[2] += usize::from(known == given);
    }
    let f1s = classes.values();
    let f1s: Vec<f64> = f1s
        .map(|[known, given, right]| f1(*known, *given, *right))
        .collect();
    (!f1s.is_empty()).then(|| mean(&f1s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(marks: &Marks) -> [Option<f64>; 2] {
        let all: Vec<usize> = (0..marks.rows()).collect();
        marks.metrics().map(|metric| marks.measure(metric, &all))
    }

    #[test]
    fn classes_are_judged_as_scikit_learn_does() {
        // f1_score([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 4], average="macro"): class 3 occurs nowhere.
        let pairs = [[0, 0], [0, 1], [1, 1], [2, 2], [2, 2], [2, 4]];
        let of_rows = Marks::Classes(pairs.iter().map(|pair| vec![*pair]).collect());
        let of_words = Marks::Classes(vec![pairs[..2].to_vec(), vec![], pairs[2..].to_vec()]);
        let macro_f1 = (2.0 / 3.0 + 2.0 / 3.0 + 0.8 + 0.0) / 4.0;
        for marks in [&of_rows, &of_words] {
            let [accuracy, f1] = measured(marks);
            assert_eq!(accuracy, Some(4.0 / 6.0));
            assert!(f1.is_some_and(|f1| (f1 - macro_f1).abs() < 1e-15), "{f1:?}");
        }
        assert_eq!(of_words.measure(Metric::Accuracy, &[1]), None);
        assert_eq!(of_words.measure(Metric::MacroF1, &[1]), None);
        assert_eq!(
            of_rows.measure(Metric::Accuracy, &[1, 1, 0]),
            Some(1.0 / 3.0)
        );
    }

    #[test]
    fn scores_are_judged_by_correlation() {
        let marks = Marks::Scores(vec![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 1.0]]);
        for (metric, rows, expected) in [
            (Metric::Pearson, &[0, 1, 2][..], 1.0),
            (Metric::Spearman, &[0, 1, 2, 3], -0.2),
        ] {
            let value = marks.measure(metric, rows).expect("a correlation");
            assert!((value - expected).abs() < 1e-12, "{metric}: {value}");
        }
        assert_eq!(marks.measure(Metric::Spearman, &[1, 1]), None);
    }
}
