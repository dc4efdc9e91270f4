//! How good predictions are: accuracy and macro F1 of classes, correlations of scores.

use limbeck_score::{mean, pearson, spearman};

/// What predictions are judged by; the best epoch has the highest first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// For programs.
    pub key: &'static str,
    /// For people.
    pub name: &'static str,
}

/// Of classes.
pub const OF_CLASSES: [Measure; 2] = [
    Measure {
        key: "accuracy",
        name: "accuracy",
    },
    Measure {
        key: "macro_f1",
        name: "macro F1",
    },
];

/// Of scores.
pub const OF_SCORES: [Measure; 2] = [
    Measure {
        key: "spearman",
        name: "Spearman",
    },
    Measure {
        key: "pearson",
        name: "Pearson",
    },
];

/// In the order of [`OF_CLASSES`]. F1 is averaged over the classes that occur among the truths or the predictions, as
/// scikit-learn does.
pub fn of_classes(truth: &[usize], predicted: &[usize], classes: usize) -> [f64; 2] {
    let pairs = || truth.iter().zip(predicted);
    let right = pairs()
        .filter(|(truth, predicted)| truth == predicted)
        .count();
    let f1s = (0..classes).filter_map(|class| {
        let hits = pairs()
            .filter(|(t, p)| **t == class && **p == class)
            .count();
        let named = pairs().map(|(t, p)| usize::from(*t == class) + usize::from(*p == class));
        let named: usize = named.sum();
        (named > 0).then(|| 2.0 * hits as f64 / named as f64)
    });
    let f1s: Vec<f64> = f1s.collect();
    [right as f64 / truth.len() as f64, mean(&f1s)]
}

/// In the order of [`OF_SCORES`]; 0 where one side is constant and says nothing of the other.
pub fn of_scores(truth: &[f64], predicted: &[f64]) -> [f64; 2] {
    [spearman, pearson].map(|metric| metric(truth, predicted).unwrap_or(0.0))
}

/// The sample's standard deviation (n - 1); none of a single value.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let center = mean(values);
    let squares = values.iter().map(|value| (value - center).powi(2));
    (values.len() > 1).then(|| (squares.sum::<f64>() / (values.len() - 1) as f64).sqrt())
}
