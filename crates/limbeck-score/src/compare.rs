//! How sure scores are: the rows of a task drawn anew, with replacement, many times (Efron 1979).

use limbeck_recipe::Rng;

use crate::marks::Marks;
use crate::task::{Metric, Task};

/// Times that the rows are drawn anew.
pub const RESAMPLES: usize = 1000;
/// Share of draws on which a metric must be defined for an interval to mean anything.
const ENOUGH: f64 = 0.95;

/// A metric of a model on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What is measured.
    pub metric: Metric,
    /// Its value; none where it is not defined, as where all cosines are alike.
    pub value: Option<f64>,
    /// The 95 % interval over the rows: 2.5th and 97.5th percentile of the draws.
    pub interval: Option<[f64; 2]>,
    /// Divided by the first model's; none where that one is not above 0, of which there are no shares.
    pub share: Option<f64>,
    /// How likely a difference from the first model that is as large comes of the choice of rows alone, by the draws of both on
    /// the same rows, two-sided; none of the first model.
    pub p: Option<f64>,
}

/// The scores of each model, for each metric of the task, from its answers. `seed` chooses the rows of the draws: the same ones
/// for every model.
pub fn compare(task: &Task, answers: &[Vec<f64>], seed: u64) -> Vec<[Score; 2]> {
    let measure =
        |metric: Metric, model: usize, rows: &[usize]| task.measure(metric, &answers[model], rows);
    scores(task.metrics(), task.rows(), answers.len(), seed, measure)
}

/// The same from what each model gives for the rows of one labelled file.
pub fn compare_marks(marks: &[Marks], seed: u64) -> Vec<[Score; 2]> {
    let Some(first) = marks.first() else {
        return Vec::new();
    };
    let measure = |metric: Metric, model: usize, rows: &[usize]| marks[model].measure(metric, rows);
    scores(first.metrics(), first.rows(), marks.len(), seed, measure)
}

/// `measure` gives a metric of a model on some of the rows.
fn scores(
    metrics: [Metric; 2],
    rows: usize,
    models: usize,
    seed: u64,
    measure: impl Fn(Metric, usize, &[usize]) -> Option<f64>,
) -> Vec<[Score; 2]> {
    let draws = draws(rows, seed);
    let all: Vec<usize> = (0..rows).collect();
    let of_metric = |metric: Metric| -> Vec<Score> {
        let drawn = |model: usize| -> Vec<Option<f64>> {
            let each = draws.iter();
            each.map(|rows| measure(metric, model, rows)).collect()
        };
        let drawn: Vec<Vec<Option<f64>>> = (0..models).map(drawn).collect();
        let values: Vec<Option<f64>> = (0..models)
            .map(|model| measure(metric, model, &all))
            .collect();
        let score = |model: usize| Score {
            metric,
            value: values[model],
            interval: values[model].and_then(|_| interval(&drawn[model])),
            share: values[model]
                .zip(values[0])
                .filter(|(_, first)| *first > 0.0)
                .map(|(own, first)| own / first),
            p: values[model]
                .zip(values[0])
                .filter(|_| model > 0)
                .and_then(|_| p(&drawn[model], &drawn[0])),
        };
        (0..models).map(score).collect()
    };
    let [first, second] = metrics.map(of_metric);
    first.into_iter().zip(second).map(|(a, b)| [a, b]).collect()
}

pub(crate) fn draws(rows: usize, seed: u64) -> Vec<Vec<usize>> {
    let draw = |number: usize| {
        let mut rng = Rng::keyed(&[seed, number as u64]);
        (0..rows).map(|_| rng.below(rows as u64) as usize).collect()
    };
    (0..RESAMPLES).map(draw).collect()
}

pub(crate) fn interval(drawn: &[Option<f64>]) -> Option<[f64; 2]> {
    let mut values: Vec<f64> = drawn.iter().flatten().copied().collect();
    if (values.len() as f64) < ENOUGH * drawn.len() as f64 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some([0.025, 0.975].map(|share| quantile(&values, share)))
}

/// Between the two nearest of the sorted values, as numpy has it.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

fn p(own: &[Option<f64>], first: &[Option<f64>]) -> Option<f64> {
    let pairs = own.iter().zip(first);
    let differences: Vec<f64> = pairs
        .filter_map(|(own, first)| Some((*own)? - (*first)?))
        .collect();
    if (differences.len() as f64) < ENOUGH * own.len() as f64 {
        return None;
    }
    let share = |holds: &dyn Fn(f64) -> bool| {
        let count = differences.iter().filter(|d| holds(**d)).count();
        (count + 1) as f64 / (differences.len() + 1) as f64
    };
    let (below, above) = (share(&|d| d <= 0.0), share(&|d| d >= 0.0));
    Some((2.0 * below.min(above)).min(1.0))
}

/// A score's sureness in words: `p < 0.002` where no draw contradicts, else `p = 0.041`.
pub fn confidence(p: f64) -> String {
    let least = 2.0 / (RESAMPLES + 1) as f64;
    match p <= least * 1.000_001 {
        true => "p < 0.002".to_owned(),
        false => format!("p = {p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Separator;

    fn task(rows: usize) -> Task {
        let row = |row: usize| format!("a{row}\tb{row}\t{}\n", row % 7);
        let rows: String = (0..rows).map(row).collect();
        let text = format!("sentence1\tsentence2\tscore\n{rows}");
        Task::parse("t.tsv", Separator::Tab, &text).expect("a task")
    }

    /// Answers that follow the scores but for noise of this size.
    fn noisy(rows: usize, noise: f64, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        (0..rows)
            .map(|row| (row % 7) as f64 + noise * rng.normal())
            .collect()
    }

    #[test]
    fn a_model_is_as_good_as_itself() {
        let task = task(60);
        let answers = noisy(60, 1.0, 1);
        let scores = compare(&task, &[answers.clone(), answers], 0);
        for (first, second) in scores[0].iter().zip(&scores[1]) {
            assert_eq!(
                (first.value, first.interval),
                (second.value, second.interval)
            );
            assert_eq!(
                (first.p, second.p, second.share),
                (None, Some(1.0), Some(1.0))
            );
        }
    }

    #[test]
    fn a_much_worse_model_is_told_from_the_first_and_an_equal_one_is_not() {
        let task = task(200);
        let answers = [noisy(200, 0.5, 1), noisy(200, 8.0, 2), noisy(200, 0.5, 3)];
        let scores = compare(&task, &answers, 0);
        let [_, worse, equal] = [0, 1, 2].map(|model| &scores[model][0]);
        assert_eq!(worse.p.map(confidence).as_deref(), Some("p < 0.002"));
        assert!(equal.p.is_some_and(|p| p > 0.05), "{equal:?}");
        assert!(worse.share.is_some_and(|share| share < 0.5), "{worse:?}");
    }

    #[test]
    fn a_first_score_that_is_not_above_0_has_no_shares() {
        let task = task(200);
        let against = |answers: Vec<f64>| answers.iter().map(|answer| -answer).collect();
        let answers = [against(noisy(200, 4.0, 1)), against(noisy(200, 0.5, 2))];
        let scores = compare(&task, &answers, 0);
        // Worse, and its quotient is above 1.
        assert!(scores[1][0].value < scores[0][0].value && scores[0][0].value < Some(0.0));
        for [first, second] in &scores {
            assert_eq!((first.share, second.share), (None, None));
        }
        let p = scores[1][0].p.map(confidence);
        assert_eq!(p.as_deref(), Some("p < 0.002"));
    }

    #[test]
    fn marks_are_compared_as_answers_are() {
        let mut rng = Rng::new(9);
        let mut given = |right: u64| -> Marks {
            let row = |row: usize| {
                let wrong = usize::from(rng.below(10) >= right);
                vec![[row % 3, (row + wrong) % 3]]
            };
            Marks::Classes((0..300).map(row).collect())
        };
        let marks = [given(9), given(5), given(9)];
        let scores = compare_marks(&marks, 0);
        let [_, worse, equal] = [0, 1, 2].map(|model| &scores[model][0]);
        assert_eq!(worse.metric, Metric::Accuracy);
        assert_eq!(worse.p.map(confidence).as_deref(), Some("p < 0.002"));
        assert!(equal.p.is_some_and(|p| p > 0.01), "{equal:?}");
        let (value, [low, high]) = worse.value.zip(worse.interval).expect("an interval");
        assert!(low < value && value < high, "{low} {value} {high}");
        assert_eq!(compare_marks(&[], 0), Vec::<[Score; 2]>::new());
    }

    #[test]
    fn the_interval_holds_the_value_and_narrows_with_more_rows() {
        let width = |rows: usize| {
            let scores = compare(&task(rows), &[noisy(rows, 2.0, 4)], 0);
            let (value, [low, high]) = scores[0][0]
                .value
                .zip(scores[0][0].interval)
                .expect("an interval");
            assert!(low < value && value < high, "{low} {value} {high}");
            high - low
        };
        // By the square root of 16, roughly.
        let ratio = width(50) / width(800);
        assert!((2.5..6.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_seed_chooses_the_draws() {
        let (task, answers) = (task(40), [noisy(40, 2.0, 5)]);
        let interval = |seed| compare(&task, &answers, seed)[0][0].interval;
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn answers_that_are_all_alike_have_no_score() {
        let scores = compare(&task(20), &[noisy(20, 1.0, 6), vec![0.5; 20]], 0);
        let none = &scores[1][0];
        assert_eq!(
            (none.value, none.interval, none.share, none.p),
            (None, None, None, None)
        );
    }
}
