//! The cell under the crosshair, in numbers and words.

use leptos::prelude::*;
use limbeck_relations::{Projections, Reference, kl_part, number};

use super::seen::Seen;
use crate::live::live;

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
            .to_ascii_lowercase()
            .replace('-', " \u{b7} ");
        if let Some([teacher, student]) = head.and_then(|head| seen.scores(head, (row, column))) {
            let width = |taps: &Projections| taps.width(seen.how.pair) / seen.how.heads;
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
                    Reference::StudentNow => ("student then", number(q)),
                    other => (other.student_word(), number(q)),
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

/// The id of the cell of a row and a column, from 0. Another one for each cell: one that stays would tell a screen reader that
/// nothing has moved.
pub fn id_of(name: &str, (row, column): (usize, usize)) -> String {
    format!("maps-{name}-{}-{}", row + 1, column + 1)
}

/// The cell under the crosshair as a screen reader finds it in its grid. It lies behind the maps: of a row that is out of
/// sight, as one pixel is, Orca reads no cell.
pub fn grid_cell(
    name: &'static str,
    cell: Memo<(usize, usize)>,
    reading: RwSignal<Reading>,
    locked: Memo<bool>,
) -> impl IntoView {
    view! {
        <div role="row" class="maps-words-behind" aria-rowindex=live(move || (cell.get().0 + 1).to_string())>
            <span role="gridcell" id=live(move || id_of(name, cell.get())) aria-colindex=live(move || (cell.get().1 + 1).to_string())
                aria-selected=live(move || locked.get().to_string())>
                {live(move || reading.with(Reading::sentence))}
            </span>
        </div>
    }
}

/// Of the options of a list that is drawn, the one that a screen reader is at: its words, its place from 1, and how many there are. It
/// lies behind the drawing as [`grid_cell`] does.
pub fn option(
    id: &'static str,
    at: Memo<(String, usize, usize)>,
    selected: Signal<bool>,
) -> impl IntoView {
    view! {
        <div role="option" class="maps-words-behind" id=id aria-selected=live(move || selected.get().to_string())
            aria-posinset=live(move || at.with(|at| at.1.to_string())) aria-setsize=live(move || at.with(|at| at.2.to_string()))>
            {live(move || at.with(|at| at.0.clone()))}
        </div>
    }
}

/// The cell under the crosshair.
pub fn cell(id: &'static str, reading: RwSignal<Reading>, locked: Memo<bool>) -> impl IntoView {
    view! {
        <div class="maps-cell" id=id>
            <p>
                <b>{live(move || reading.with(|reading| reading.tokens.0.clone()))}</b>
                " \u{2192} "
                <b>{live(move || reading.with(|reading| reading.tokens.1.clone()))}</b>
                <span class="hint">{live(move || if locked.get() { " locked; Esc or a click unlocks it" } else { "" })}</span>
            </p>
            <dl>
                {live(move || reading.with(|reading| reading.values.clone()).into_iter().map(|(name, value)| view! {
                    <div><dt>{name}</dt><dd class="number">{value}</dd></div>
                }).collect_view())}
            </dl>
            {live(move || reading.with(|reading| reading.formula.clone()).into_iter().map(|line| view! { <p class="maps-formula">{line}</p> }).collect_view())}
        </div>
    }
}
