//! What heads do, in words: the role that each relation head follows most, of teacher and student.

use leptos::prelude::*;
use limbeck_relations::Sentence;

use super::seen::Seen;
use crate::chart::scale::number;
use crate::state::page;

/// A head in words.
struct Row {
    head: usize,
    kl: f64,
    both: [String; 2],
}

fn rows(seen: &Seen, sentence: &Sentence) -> Vec<Row> {
    let words = |map: &[f32]| match sentence.habit(map) {
        Some(share) => share.words(),
        None => {
            let shares = sentence.shares(map);
            let beyond = |s: &limbeck_relations::Share| s.share - s.even;
            let most = shares.iter().max_by(|a, b| beyond(a).total_cmp(&beyond(b)));
            match most {
                Some(share) => format!(
                    "no clear role; most: {:.0} % on {}",
                    100.0 * share.share,
                    share.role.words()
                ),
                None => "no clear role".to_owned(),
            }
        }
    };
    let mut order: Vec<usize> = (0..seen.each.len()).collect();
    order.sort_by(|a, b| seen.each[*b].total().total_cmp(&seen.each[*a].total()));
    let row = |head: usize| {
        let relation = &seen.each[head];
        Row {
            head,
            kl: relation.total(),
            both: [words(&relation.teacher), words(&relation.student)],
        }
    };
    order.into_iter().map(row).collect()
}

/// Why the first of the rows is the farthest from the teacher: the row of its map that adds most.
fn farthest(seen: &Seen, head: usize) -> String {
    let relation = &seen.each[head];
    let (row, column) = relation.worst();
    let labels = seen.labels();
    let strongest = relation.strongest(&relation.student, row, 1, |_| false);
    let (to, q) = strongest.first().copied().unwrap_or((0, 0.0));
    let p = relation.teacher[row * relation.size + column];
    let student = match to == column {
        true => format!("the student gives it {:.0} %", 100.0 * q),
        false => format!(
            "the student {:.0} %, and most, {:.0} %, to \u{201c}{}\u{201d}",
            100.0 * relation.student[row * relation.size + column],
            100.0 * q,
            labels[to]
        ),
    };
    format!(
        "Head {} is farthest from the teacher, mostly by the row of \u{201c}{}\u{201d}: the teacher gives {:.0} % to \u{201c}{}\u{201d}, {student}.",
        head + 1,
        labels[row],
        100.0 * p,
        labels[column]
    )
}

/// A table of heads, the farthest from the teacher first.
#[component]
pub fn Heads() -> impl IntoView {
    let page = page();
    let view = page.view;
    let mistake = RwSignal::new(String::new());
    let table = move || {
        let seen = view.seen.get()?;
        let tokens = &seen.taught.tokens;
        let parsed = view
            .parse
            .with(|heads| Sentence::new(tokens).with_parse(heads));
        let (sentence, wrong) = match parsed {
            Ok(sentence) => (sentence, String::new()),
            Err(wrong) => (Sentence::new(tokens), wrong),
        };
        mistake.set(wrong);
        let rows = rows(&seen, &sentence);
        let why = rows.first().map(|row| farthest(&seen, row.head));
        let row = |row: Row| {
            let [teacher, student] = row.both;
            let head = row.head;
            view! {
                <tr>
                    <th scope="row"><button type="button" class="button quiet" on:click=move |_| view.choose(|c| c.head = Some(head))>{format!("Head {}", head + 1)}</button></th>
                    <td class="number">{number(row.kl)}</td>
                    <td>{teacher}</td>
                    <td>{student}</td>
                </tr>
            }
        };
        Some(view! {
            <p id="maps-why">{why}</p>
            <div class="scroll" tabindex="0" role="group" aria-label="Heads and their roles">
                <table class="maps-heads">
                    <thead><tr><th scope="col">"Head"</th><th scope="col" class="number">"KL"</th><th scope="col">{seen.first()}</th><th scope="col">"Student"</th></tr></thead>
                    <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        })
    };
    let words = move || {
        let seen = view.seen.get()?;
        let words = Sentence::new(&seen.taught.tokens).words();
        let numbered = words
            .iter()
            .enumerate()
            .map(|(i, word)| format!("{} {word}", i + 1));
        Some(numbered.collect::<Vec<_>>().join(", "))
    };
    view! {
        {table}
        <p class="hint">"Shares are means over the rows of words. A role counts from a fifth of the mass, if that is three times what an even look would give. Roles are a habit in this one sentence, not a law."</p>
        <details>
            <summary>"With a parse: does a head follow syntax?"</summary>
            <div class="field">
                <label for="maps-parse">"The head of each word, 0 for the root (the column HEAD of CoNLL-U)"</label>
                <input id="maps-parse" type="text" autocomplete="off" placeholder="2 3 0 5 3"
                    prop:value=move || view.parse.get()
                    aria-describedby="maps-parse-words maps-parse-mistake"
                    on:input=move |event| view.parse.set(event_target_value(&event)) />
                <p class="hint" id="maps-parse-words">"Words: "{words}</p>
                <p class="mistake" id="maps-parse-mistake" role="alert" hidden=move || mistake.with(String::is_empty)>{move || mistake.get()}</p>
            </div>
        </details>
    }
}
