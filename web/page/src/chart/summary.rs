//! A run in words and a small table, for those who do not see its curves.

use super::scale::number;
use crate::state::RunLog;

/// Rows that the table has at most.
const ROWS: usize = 10;

/// What the charts show, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Where the run is and where it came from.
    pub sentence: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// A few steps, evenly spaced, the first and the last among them.
    pub rows: Vec<Vec<String>>,
}

impl Summary {
    /// Of a run; empty before its first step.
    pub fn of(run: &RunLog) -> Self {
        let (Some(first), Some(last)) = (run.steps.first(), run.steps.last()) else {
            return Self::default();
        };
        let pairs = run.info.pairs.iter().zip(&last.by_pair);
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name} {}", number(*value)))
            .collect();
        let mut sentence = format!(
            "Step {}: loss {}, {}. The loss went from {} to {}.",
            last.step,
            number(last.loss),
            pairs.join(", "),
            number(first.loss),
            number(last.loss)
        );
        if let Some(held) = run.evaluations.last() {
            let held_pairs = run.info.pairs.iter().zip(&held.by_pair);
            let held_pairs: Vec<String> = held_pairs
                .map(|(name, value)| format!("{name} {}", number(*value)))
                .collect();
            sentence += &format!(
                " On held-out lines after {} steps: {}.",
                held.step,
                held_pairs.join(", ")
            );
        }
        let mut header = vec!["step".to_owned(), "loss".to_owned()];
        header.extend(run.info.pairs.iter().cloned());
        let end = run.steps.len() - 1;
        let count = ROWS.min(run.steps.len());
        let rows =
            (0..count).map(|i| &run.steps[if count > 1 { i * end / (count - 1) } else { 0 }]);
        let rows = rows.map(|step| {
            let mut row = vec![step.step.to_string(), number(step.loss)];
            row.extend(step.by_pair.iter().map(|value| number(*value)));
            row
        });
        Self {
            sentence,
            header,
            rows: rows.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::series::tests::run;

    #[test]
    fn a_run_is_told_in_a_sentence_and_ten_rows() {
        let losses: Vec<f64> = (0..300).map(|i| 3.0 - f64::from(i) / 200.0).collect();
        let summary = Summary::of(&run(&losses));
        assert_eq!(
            summary.sentence,
            "Step 300: loss 1.50, Q-Q 0.752. The loss went from 3.00 to 1.50."
        );
        assert_eq!(summary.rows.len(), ROWS);
        assert_eq!(
            (summary.rows[0][0].as_str(), summary.rows[9][0].as_str()),
            ("1", "300")
        );
        assert_eq!(Summary::of(&run(&[2.0])).rows.len(), 1);
        assert_eq!(Summary::of(&run(&[])), Summary::default());
    }
}
