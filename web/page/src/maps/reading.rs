//! The cell under the crosshair, in numbers and words.

use limbeck_relations::{Projections, Reference, kl_part, number};

use super::seen::Seen;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// From and to.
    pub tokens: (String, String),
    /// Name and value of each number.
    pub values: Vec<(&'static str, String)>,
    /// How the numbers come about, with the numbers in it.
    pub formula: Vec<String>,
}

impl Reading {
    /// The cell of a row and a column in a head, or in the mean; none if there is no such cell.
    pub fn of(seen: &Seen, head: Option<usize>, (row, column): (usize, usize)) -> Option<Self> {
        let relation = seen.relation(head);
        let at = row * relation.size + column;
        let (p, q) = (*relation.teacher.get(at)?, *relation.student.get(at)?);
        let kl = *relation.kl.get(row)?;
        let mut formula = vec![match head {
            None => "for the mean of heads, the KL is the mean of their KLs; choose a head to see how it is computed".to_owned(),
            Some(_) => format!(
                "contribution to the KL: p ln(p / q) = {} ln({} / {}) = {}; the contributions of this row, negative ones included, sum to {} nats",
                number(p),
                number(p),
                number(q),
                number(kl_part(p, q)),
                number(kl)
            ),
        }];
        let vectors = seen
            .how
            .pair
            .to_string()
            .to_lowercase()
            .replace('-', " \u{b7} ");
        if let Some([teacher, student]) = head.and_then(|head| seen.scores(head, (row, column))) {
            let width = |taps: &Projections| taps.hidden() / seen.how.heads;
            formula.push(format!(
                "p = exp(s) / sum of the row, s = {vectors} / \u{221a}D: {} for the teacher (D = {}), {} for the student (D = {})",
                number(teacher),
                width(&seen.from_teacher.taps),
                number(student),
                width(&seen.from_student.taps)
            ));
        }
        Some(Self {
            tokens: (
                seen.labels.get(row)?.clone(),
                seen.labels.get(column)?.clone(),
            ),
            values: vec![
                (seen.reference.word(), number(p)),
                match seen.reference {
                    Reference::Teacher => ("student", number(q)),
                    Reference::StudentNow => ("student then", number(q)),
                },
                ("difference", number(q - p)),
                ("KL of the row", number(kl)),
            ],
            formula,
        })
    }

    /// As one sentence.
    pub fn sentence(&self) -> String {
        let values = self
            .values
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        format!(
            "\u{201c}{}\u{201d} to \u{201c}{}\u{201d}: {}",
            self.tokens.0,
            self.tokens.1,
            values.collect::<Vec<_>>().join(", ")
        )
    }
}
