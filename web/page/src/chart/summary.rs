//! A run in words and a small table, for those who do not see its curves.

use std::collections::BTreeMap;

use limbeck_recipe::{Part, counted};

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
        let in_words = |parts: &BTreeMap<Part, f64>| {
            let parts = parts.iter();
            let parts = parts.map(|(part, value)| format!("{part} {}", number(*value)));
            parts.collect::<Vec<_>>().join(", ")
        };
        let mut sentence = format!(
            "Step {}: loss {}, {}. The loss went from {} to {}.",
            last.step,
            number(last.loss),
            in_words(&last.parts),
            number(first.loss),
            number(last.loss)
        );
        if let Some(held) = run.evaluations.last() {
            sentence += &format!(
                " On held-out lines after {}: {}.",
                counted(held.step, "step"),
                in_words(&held.parts)
            );
        }
        let mut header = vec!["step".to_owned(), "loss".to_owned()];
        header.extend(run.info.parts.iter().map(Part::to_string));
        let end = run.steps.len() - 1;
        let count = ROWS.min(run.steps.len());
        let rows =
            (0..count).map(|i| &run.steps[if count > 1 { i * end / (count - 1) } else { 0 }]);
        let rows = rows.map(|step| {
            let mut row = vec![step.step.to_string(), number(step.loss)];
            let value = |part: &Part| {
                step.parts
                    .get(part)
                    .map_or_else(String::new, |v| number(*v))
            };
            row.extend(run.info.parts.iter().map(value));
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
