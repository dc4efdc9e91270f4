//! How a student's score differs from another's, and how sure that is.

use std::fmt;

use super::results::Line;
use super::score::Score;

/// What 95 % of a normal distribution lie within, in standard deviations.
const NORMAL: f64 = 1.959_964;

/// A score of a task with what is known of single examples.
pub struct Sample {
    mean: f64,
    /// Standard error of the score over the examples of the task.
    error: Option<f64>,
    /// How often each example was right, over heads and students.
    right: Option<Vec<f64>>,
}

/// A difference of two scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    mean: f64,
    /// Half of its 95 % interval over the examples of the task.
    half: Option<f64>,
    /// Whether both were compared example by example.
    is_paired: bool,
}

impl Sample {
    /// Of the lines of an arm: their score of a task, which has so many examples.
    pub fn of(
        lines: &[&Line],
        (task, metric): (&str, &str),
        score: Score,
        examples: Option<f64>,
    ) -> Self {
        let of_task = lines.iter().filter(|line| {
            line.of.task.as_deref() == Some(task)
                && line.of.metric == metric
                && line.value.is_some()
        });
        let of_task: Vec<&&Line> = of_task.collect();
        let right = right(&of_task);
        let examples = right.as_ref().map(|right| right.len() as f64).or(examples);
        // Of an interval that is drawn over the rows, or of a share of examples.
        let drawn = score.rows.map(|[low, high]| (high - low) / (2.0 * NORMAL));
        let of_share = examples
            .filter(|_| metric == "accuracy")
            .map(|count| (score.mean * (1.0 - score.mean) / count).sqrt());
        Self {
            mean: score.mean,
            error: drawn.or(of_share),
            right,
        }
    }

    /// The difference from another one: paired where both say of each example whether it was right, and else by the
    /// standard errors of two samples that know nothing of each other.
    pub fn beside(&self, other: &Self) -> Difference {
        let mean = self.mean - other.mean;
        let paired = self.right.as_ref().zip(other.right.as_ref());
        if let Some((own, other)) =
            paired.filter(|(own, other)| own.len() == other.len() && own.len() > 1)
        {
            let differences: Vec<f64> = own.iter().zip(other).map(|(a, b)| a - b).collect();
            let count = differences.len() as f64;
            let center = differences.iter().sum::<f64>() / count;
            let squares: f64 = differences.iter().map(|d| (d - center).powi(2)).sum();
            return Difference {
                mean,
                half: Some(NORMAL * (squares / (count - 1.0) / count).sqrt()),
                is_paired: true,
            };
        }
        let errors = self.error.zip(other.error);
        Difference {
            mean,
            half: errors.map(|(own, other)| NORMAL * own.hypot(other)),
            is_paired: false,
        }
    }
}

/// How often each example was right; none unless every line says it of as many examples.
fn right(lines: &[&&Line]) -> Option<Vec<f64>> {
    let each = lines.iter().map(|line| line.right.as_deref());
    let each: Vec<&str> = each.collect::<Option<_>>()?;
    let count = each.first()?.len();
    if each.iter().any(|right| right.len() != count) {
        return None;
    }
    let share = |at: usize| {
        let right = each.iter().filter(|right| right.as_bytes()[at] == b'1');
        right.count() as f64 / each.len() as f64
    };
    Some((0..count).map(share).collect())
}

/// In points, such as `+0.4 ± 1.2, paired`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.1}", 100.0 * self.mean)?;
        if let Some(half) = self.half {
            write!(f, " ± {:.1}", 100.0 * half)?;
        }
        match self.is_paired {
            true => f.write_str(", paired"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::Key;

    fn line(metric: &str, value: f64, right: Option<&str>) -> Line {
        let [arm, recipe] = ["a", "r"].map(str::to_owned);
        Line {
            of: Key {
                arm,
                student: None,
                budget: None,
                seed: None,
                recipe,
                task: Some("t".to_owned()),
                tuning: None,
                metric: metric.to_owned(),
            },
            value: Some(value),
            interval: None,
            right: right.map(str::to_owned),
            seconds: 0.0,
        }
    }

    fn sample(lines: &[Line], metric: &str, mean: f64, rows: Option<[f64; 2]>) -> Sample {
        let lines: Vec<&Line> = lines.iter().collect();
        let spread = None;
        Sample::of(
            &lines,
            ("t", metric),
            Score { mean, spread, rows },
            Some(100.0),
        )
    }

    #[test]
    fn examples_that_are_known_one_by_one_are_compared_in_pairs() {
        // The second example is right in one head of two.
        let own = [("1101", 0.75), ("1001", 0.5)];
        let own = own.map(|(right, value)| line("accuracy", value, Some(right)));
        let other = [line("accuracy", 0.25, Some("1000"))];
        let own = sample(&own, "accuracy", 0.625, None);
        let difference = own.beside(&sample(&other, "accuracy", 0.25, None));
        // 0, 0.5, 0 and 1: mean 0.375, deviation 0.4787.
        let half = difference.half.expect("an interval");
        assert!((half - NORMAL * 0.478_714 / 2.0).abs() < 1e-5, "{half}");
        assert_eq!(difference.to_string(), "+37.5 ± 46.9, paired");
        // A head of which single examples are not known makes it unpaired, and so does another number of examples.
        for other in [
            line("accuracy", 0.25, None),
            line("accuracy", 0.25, Some("10")),
        ] {
            let difference = own.beside(&sample(&[other], "accuracy", 0.25, None));
            assert!(
                !difference.is_paired && difference.half.is_some(),
                "{difference:?}"
            );
        }
    }

    #[test]
    fn without_them_the_standard_errors_of_both_count() {
        let [own, other] = [0.9, 0.8]
            .map(|value| sample(&[line("accuracy", value, None)], "accuracy", value, None));
        // The root of 0.9 * 0.1 / 100 + 0.8 * 0.2 / 100 is 0.05.
        assert_eq!(own.beside(&other).to_string(), "+10.0 ± 9.8");
        // Half widths of 3 and 4 give 5.
        let of = |value: f64, half: f64| {
            let rows = Some([value - half, value + half]);
            sample(&[line("Spearman", value, None)], "Spearman", value, rows)
        };
        assert_eq!(
            of(0.8, 0.03).beside(&of(0.85, 0.04)).to_string(),
            "-5.0 ± 5.0"
        );
        // A correlation without an interval, and accuracy of who knows how many examples, have none.
        let bare = sample(&[line("Spearman", 0.8, None)], "Spearman", 0.8, None);
        assert_eq!(bare.beside(&bare).to_string(), "+0.0");
    }
}
