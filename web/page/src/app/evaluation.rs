//! The student on lines that it never saw, before and now.

use leptos::prelude::*;
use limbeck_protocol::before_use;
use limbeck_recipe::{Evaluation, Part};

use super::measure::figure;
use crate::live::memo;
use crate::state::{RunLog, page};
use crate::words::count;

/// The student on held-out lines.
#[component]
pub fn Evaluations() -> impl IntoView {
    let page = page();
    let measured = memo(move || page.runs.with(|runs| runs.last().and_then(Measured::of)));
    move || measured.get().map(table)
}

#[derive(Clone, PartialEq)]
struct Measured {
    /// With the place of its colour; none of a pair that the loss does not compare.
    parts: Vec<(Part, Option<usize>)>,
    first: Evaluation,
    last: Option<Evaluation>,
    before_use: &'static str,
}

impl Measured {
    fn of(run: &RunLog) -> Option<Self> {
        let first = run.evaluations.first()?.clone();
        let trained = run.info.parts.iter().copied();
        let colours = crate::colours::of_parts(&run.info.parts).into_iter();
        let others = first.untrained.keys().map(|part| (*part, None));
        Some(Self {
            parts: trained.zip(colours.map(Some)).chain(others).collect(),
            before_use: before_use(&run.info.recipe),
            last: run
                .evaluations
                .last()
                .filter(|e| e.step != first.step)
                .cloned(),
            first,
        })
    }
}

fn table(measured: Measured) -> impl IntoView {
    let Measured {
        parts,
        first,
        last,
        before_use,
    } = measured;
    let note = last.as_ref().unwrap_or(&first).note.clone();
    let now = last.as_ref().map(|last| view! { <th scope="col" class="number">{at(last.step)}</th><th scope="col" class="number">"Change"</th> });
    let of = |evaluation: &Evaluation, part: Part| {
        let value = evaluation.parts.get(&part);
        value.or_else(|| evaluation.untrained.get(&part)).copied()
    };
    let rows = parts.into_iter().map(|(part, place)| {
        let before = of(&first, part).unwrap_or(f64::NAN);
        let now = last.as_ref().and_then(|last| of(last, part));
        let colour = place.map(|place| format!("background: var(--c{place})"));
        view! {
            <tr class:untrained=place.is_none()>
                <th scope="row"><i class="swatch" style=colour></i>{part.to_string()}</th>
                <td class="number">{figure(before)}</td>
                {now.map(|now| view! {
                    <td class="number"><b>{figure(now)}</b></td>
                    <td class="number">{change(before, now)}</td>
                })}
            </tr>
        }
    });
    view! {
        <div class="measured" id="evaluation">
            <h3>"On lines that the student never saw"</h3>
            <div class="scroll">
                <table>
                    <caption class="hint">"Parts of the loss, KL of relations in nats; lower is closer. Pairs without a colour are measured, not trained. " {note}</caption>
                    <thead><tr><th scope="col">"Part"</th><th scope="col" class="number">{at(first.step)}</th>{now}</tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            <details><summary>"Before you use a student"</summary><p class="hint">{before_use}</p></details>
        </div>
    }
}

fn change(before: f64, now: f64) -> String {
    format!("{:+.0} %", (now / before - 1.0) * 100.0).replace('-', "\u{2212}")
}

fn at(step: u64) -> String {
    if step == 0 {
        "Before".into()
    } else {
        format!("Step {}", count(step))
    }
}
