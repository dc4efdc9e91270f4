//! The student on lines that it never saw, before and now.

use leptos::prelude::*;
use limbeck_protocol::before_use;
use limbeck_recipe::{Evaluation, Init};

use super::measure::figure;
use crate::state::{RunLog, page};
use crate::words::count;

/// The student on held-out lines.
#[component]
pub fn Evaluations() -> impl IntoView {
    let page = page();
    let measured = Memo::new(move |_| page.runs.with(|runs| runs.last().and_then(Measured::of)));
    move || measured.get().map(table)
}

#[derive(Clone, PartialEq)]
struct Measured {
    pairs: Vec<String>,
    first: Evaluation,
    last: Option<Evaluation>,
    init: Init,
}

impl Measured {
    fn of(run: &RunLog) -> Option<Self> {
        let first = run.evaluations.first()?.clone();
        Some(Self {
            pairs: run.info.pairs.clone(),
            init: run.info.recipe.student.init,
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
        pairs,
        first,
        last,
        init,
    } = measured;
    let note = last.as_ref().unwrap_or(&first).note.clone();
    let now = last.as_ref().map(|last| view! { <th scope="col" class="number">{at(last.step)}</th><th scope="col" class="number">"Change"</th> });
    let rows = pairs.into_iter().enumerate().map(|(place, pair)| {
        let before = first.by_pair.get(place).copied().unwrap_or(f64::NAN);
        let now = last.as_ref().and_then(|last| last.by_pair.get(place).copied());
        view! {
            <tr>
                <th scope="row"><i class="swatch" style=format!("background: var(--c{})", place % 9)></i>{pair}</th>
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
                    <caption class="hint">"KL from the teacher's relations, in nats; lower is closer. " {note}</caption>
                    <thead><tr><th scope="col">"Pair"</th><th scope="col" class="number">{at(first.step)}</th>{now}</tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            <details><summary>"Before you use a student"</summary><p class="hint">{before_use(init)}</p></details>
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
