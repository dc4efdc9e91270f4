//! The student on lines that it never saw, before and now.

use std::collections::BTreeMap;

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
    let files = files(&parts, &first, last.as_ref());
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
            {files}
            <details><summary>"Before you use a student"</summary><p class="hint">{before_use}</p></details>
        </div>
    }
}

/// The trained parts on the lines of each file, now, and how they have changed. None where the files are not measured by themselves.
fn files(
    parts: &[(Part, Option<usize>)],
    first: &Evaluation,
    last: Option<&Evaluation>,
) -> Option<impl IntoView + use<>> {
    let measured = last.unwrap_or(first);
    (!measured.files.is_empty()).then(|| {
        let trained = parts.iter().filter(|(_, place)| place.is_some());
        let trained: Vec<Part> = trained.map(|(part, _)| *part).collect();
        let names = trained.iter().map(|part| view! { <th scope="col" class="number">{part.to_string()}</th> });
        let names = names.collect_view();
        let rows = measured.files.iter().enumerate().map(|(index, file)| {
            let before = first.files.get(index).filter(|_| last.is_some());
            let cells = trained.iter().map(|part| {
                let of = |parts: &BTreeMap<Part, f64>| parts.get(part).copied().unwrap_or(f64::NAN);
                let now = of(&file.parts);
                let change = before.map(|before| change(of(&before.parts), now));
                view! { <td class="number"><b>{figure(now)}</b>{change.map(|change| view! { <br />{change} })}</td> }
            });
            view! {
                <tr><th scope="row">{file.file.clone()}</th><td class="number">{count(file.lines)}</td>{cells.collect_view()}</tr>
            }
        });
        view! {
            <div class="scroll">
                <table id="evaluation-files">
                    <caption class="hint above">"The same, file by file"</caption>
                    <thead><tr><th scope="col">"File"</th><th scope="col" class="number">"Lines"</th>{names}</tr></thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        }
    })
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
