//! What heads do, in words: the role that each relation head follows most, of teacher and student; and which is farthest.

use leptos::prelude::*;
use limbeck_recipe::Pair;
use limbeck_relations::{Reference, Relation, Sentence, number};

use super::maps::MAPS;
use crate::live::live;
use crate::maps::picture::{Files, Picture};
use crate::maps::seen::Seen;
use crate::maps::view::View;
use crate::state::page;

/// What each head does, in words.
pub const HEADS: Picture = Picture {
    key: "heads",
    name: "Roles of heads",
    of_head: false,
    of_pair: true,
    panes: false,
    title: |seen, _| format!("{}, {}", seen.how.pair, seen.layers()),
    body: |view, _| view! { <Heads view /> }.into_any(),
    files: Files::Numbers,
};

/// A head in words.
struct Row {
    head: usize,
    kl: f64,
    both: [String; 2],
}

fn rows(seen: &Seen, sentence: &Sentence) -> Vec<Row> {
    let row = |head: usize| {
        let relation = &seen.each[head];
        Row {
            head,
            kl: relation.total(),
            both: [&relation.teacher, &relation.student].map(|map| sentence.role(map)),
        }
    };
    seen.by_kl().into_iter().map(row).collect()
}

/// Of these pairs the head that is farthest from the teacher.
fn farthest(seen: &Seen, pairs: &[Pair]) -> Option<(Pair, usize, Relation)> {
    let heads = pairs.iter().flat_map(|pair| {
        let heads = seen.each_of(*pair).into_iter().enumerate();
        heads.map(move |(head, relation)| (*pair, head, relation))
    });
    heads.max_by(|a, b| a.2.total().total_cmp(&b.2.total()))
}

/// Why a head is far from the teacher: the row of its map that adds most.
fn why(seen: &Seen, (pair, head, relation): &(Pair, usize, Relation)) -> String {
    let (row, column) = relation.worst();
    let label = |token: usize| format!("\u{201c}{}\u{201d}", seen.labels[token]);
    let strongest = relation.strongest(&relation.student, row, 1, |_| false);
    let (to, q) = strongest.first().copied().unwrap_or((0, 0.0));
    let at = row * relation.size + column;
    let student = match to == column {
        true => format!("the student gives it {:.0} %", 100.0 * q),
        false => format!(
            "the student gives it {:.0} % and gives the most, {:.0} %, to {}",
            100.0 * relation.student[at],
            100.0 * q,
            label(to)
        ),
    };
    let reference = seen.reference.word();
    format!(
        "head {} of {} is farthest from the {reference}. Most of that is in the row of {}: the {reference} gives {:.0} % to {}, and {student}.",
        head + 1,
        pair,
        label(row),
        100.0 * relation.teacher[at],
        label(column)
    )
}

/// A table of heads, the farthest from the teacher first.
#[component]
fn Heads(view: View) -> impl IntoView {
    let page = page();
    let mistake = RwSignal::new(String::new());
    let show = move |pair: Pair, head: usize| {
        view.choose(|c| (c.picture, c.pair, c.head) = (MAPS.key, Some(pair), Some(head)));
    };
    let table = move || {
        let seen = view.seen.get()?;
        let tokens = &seen.from_teacher.tokens;
        let parsed = view
            .parse
            .with(|heads| Sentence::new(tokens).with_parse(heads));
        let (sentence, wrong) = match parsed {
            Ok(sentence) => (sentence, String::new()),
            Err(wrong) => (Sentence::new(tokens), wrong),
        };
        mistake.set(wrong);
        let rows = rows(&seen, &sentence);
        let from_student = view.with_run(page, |run| run.info.pairs.clone())?;
        let pairs: Vec<Pair> = match seen.reference {
            Reference::Teacher => from_student
                .iter()
                .filter_map(|name| Pair::named(name))
                .collect(),
            _ => vec![seen.how.pair],
        };
        let names: Vec<String> = pairs.iter().map(Pair::to_string).collect();
        let farthest = farthest(&seen, &pairs);
        let why = farthest.as_ref().map(|farthest| {
            let (pair, head) = (farthest.0, farthest.1);
            view! {
                <p id="maps-why">
                    {format!("Of {}, {} ", names.join(", "), why(&seen, farthest))}
                    <button type="button" class="button quiet" on:click=move |_| show(pair, head)>"See its maps"</button>
                </p>
            }
        });
        let row = |row: Row| {
            let [teacher, student] = row.both;
            let (pair, head) = (seen.how.pair, row.head);
            view! {
                <tr>
                    <th scope="row"><button type="button" class="button quiet" on:click=move |_| show(pair, head)>{format!("Head {}", head + 1)}</button></th>
                    <td class="number">{number(row.kl)}</td>
                    <td>{teacher}</td>
                    <td>{student}</td>
                </tr>
            }
        };
        Some(view! {
            {why}
            <div class="scroll" tabindex="0" role="group" aria-label="Heads and their roles">
                <table class="maps-heads">
                    <thead><tr><th scope="col">"Head"</th><th scope="col" class="number">"KL"</th><th scope="col">{seen.reference.title()}</th><th scope="col">{seen.reference.student()}</th></tr></thead>
                    <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        })
    };
    let words = move || {
        let seen = view.seen.get()?;
        let words = Sentence::new(&seen.from_teacher.tokens).words();
        let numbered = words
            .iter()
            .enumerate()
            .map(|(i, word)| format!("{} {word}", i + 1));
        Some(numbered.collect::<Vec<_>>().join(", "))
    };
    view! {
        {live(table)}
        <p class="hint">"Percentages are means over the rows of words. A head has a role if the role gets at least a fifth of its probability, and three times what a uniform row would give it. Roles describe this one sentence, not the head in general."</p>
        <details>
            <summary>"With a parse: does a head follow syntax?"</summary>
            <div class="field">
                <label for="maps-parse">"The head of each word, 0 for the root (the column HEAD of CoNLL-U)"</label>
                <input id="maps-parse" type="text" autocomplete="off" placeholder="2 3 0 5 3"
                    prop:value=live(move || view.parse.get())
                    aria-describedby="maps-parse-words maps-parse-mistake"
                    on:input=move |event| view.parse.set(event_target_value(&event)) />
                <p class="hint" id="maps-parse-words">"Words: "{live(words)}</p>
                <p class="mistake" id="maps-parse-mistake" role="alert" hidden=live(move || mistake.with(String::is_empty))>{mistake}</p>
            </div>
        </details>
    }
}
