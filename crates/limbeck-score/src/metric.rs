//! Cosines and correlations, in f64.

/// The cosine of two vectors; 0 if one of them is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let norms = dot(a, a).sqrt() * dot(b, b).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}

/// The mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Pearson's correlation; none if it is not defined: fewer than two values, or all of one side alike.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let (x, y) = (centred(x)?, centred(y)?);
    let dot: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    Some(dot.clamp(-1.0, 1.0))
}

/// Deviations from the mean, scaled to length 1.
fn centred(values: &[f64]) -> Option<Vec<f64>> {
    let first = values.first()?;
    if values.iter().all(|x| x == first) {
        return None;
    }
    let mean = mean(values);
    let deviations: Vec<f64> = values.iter().map(|x| x - mean).collect();
    // Divided by the largest first: squares of tiny or huge deviations would leave the range.
    let largest = deviations.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let squares = deviations.iter().map(|x| (x / largest) * (x / largest));
    let norm = squares.sum::<f64>().sqrt();
    let scaled = deviations.iter().map(|x| x / largest / norm);
    Some(scaled.collect())
}

/// Spearman's correlation: Pearson's of the ranks, ties sharing the mean of theirs; none if it is not defined.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// The rank of each value, from 1; equal values share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let alike = |a: &usize, b: &usize| values[*a] == values[*b];
    let mut before = 0;
    for tie in order.chunk_by(alike) {
        let rank = before as f64 + (tie.len() + 1) as f64 / 2.0;
        tie.iter().for_each(|at| ranks[*at] = rank);
        before += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What scipy says of fixed and adversarial vectors, see tests/golden/score.py.
    #[test]
    fn correlations_are_those_of_scipy() {
        let golden = include_str!("../../../tests/golden/score.json");
        let golden: Value = serde_json::from_str(golden).expect("JSON");
        let cases = golden.as_array().expect("cases");
        assert!(cases.len() >= 10, "{} cases", cases.len());
        for case in cases {
            let numbers = |key: &str| -> Vec<f64> {
                let text = case[key].as_str().expect("numbers");
                let numbers = text.split(' ');
                numbers.map(|x| x.parse().expect("a number")).collect()
            };
            let (name, x, y) = (&case["name"], numbers("x"), numbers("y"));
            for (metric, ours) in [("pearson", pearson(&x, &y)), ("spearman", spearman(&x, &y))] {
                match (ours, case[metric].as_f64()) {
                    (None, None) => {}
                    (Some(ours), Some(scipy)) => assert!(
                        (ours - scipy).abs() <= 1e-12,
                        "{name}, {metric}: {ours}, scipy {scipy}"
                    ),
                    (ours, scipy) => panic!("{name}, {metric}: {ours:?}, scipy {scipy:?}"),
                }
            }
            assert_eq!(ranks(&x), numbers("ranks"), "{name}");
        }
    }

    #[test]
    fn the_cosine_of_a_zero_vector_is_zero() {
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), 0.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), 0.0);
        assert!((cosine(&[1.0, 2.0], &[-2.0, -4.0]) + 1.0).abs() < 1e-15);
    }
}
