//! How good predictions are: accuracy and macro F1 of classes, correlations of scores.

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

/// In the order of [`OF_SCORES`].
pub fn of_scores(truth: &[f64], predicted: &[f64]) -> [f64; 2] {
    [
        pearson(&ranks(truth), &ranks(predicted)),
        pearson(truth, predicted),
    ]
}

/// Pearson's correlation; 0 if one side is constant and says nothing of the other.
fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| -> f64 {
        let pairs = x.iter().zip(y);
        pairs.map(|(x, y)| (x - mean_x) * (y - mean_y)).sum()
    };
    let spread = product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b);
    match spread > 0.0 {
        true => product(a, mean_a, b, mean_b) / spread.sqrt(),
        false => 0.0,
    }
}

/// The place of each value in their order, from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|index| ranks[*index] = rank);
        before += equal.len();
    }
    ranks
}

/// The arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample's standard deviation (n - 1); none of a single value.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let center = mean(values);
    let squares = values.iter().map(|value| (value - center).powi(2));
    (values.len() > 1).then(|| (squares.sum::<f64>() / (values.len() - 1) as f64).sqrt())
}
