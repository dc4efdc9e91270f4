//! A search by teacher and student: what each finds first, side by side, and which lines both find.

use std::fmt::Write;

use leptos::ev;
use leptos::prelude::*;
use limbeck_protocol::{Command, Control, Found, Hit, Stage};

use crate::engine::send;
use crate::live::{effect, live, memo};
use crate::problems::Problems;
use crate::state::{Page, RunLog, page};
use crate::words::count;

/// A field for what is searched for, and what was found.
pub fn search() -> AnyView {
    let page = page();
    let sought = page.with_run_untracked(|run| run.sought.clone()).flatten();
    let text = RwSignal::new(sought.unwrap_or_default());
    // A recorded run has no texts that could be searched.
    let none = memo(move || page.with_run(|run| run.from_student.is_some()) != Some(true));
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        page.solved(&Control::Search);
        page.update_run(|run| run.sought = Some(text.get_untracked()));
        ask(page);
    };
    follow(page);
    let hint = move || match (none.get(), page.stage.get().0 == Stage::Searching) {
        (true, _) => "There is no student to search with: start a run, or open a saved one.",
        (false, true) => "Teacher and student are reading the lines \u{2026}",
        (false, false) => {
            "Both models read lines of the texts (held-out lines, if there are any) and rank them by the cosine between their vectors and that of your text."
        }
    };
    let invalid = move || (!page.problems_of(&Control::Search).is_empty()).to_string();
    let found = memo(move || page.with_run(|run| run.found.clone()).flatten());
    view! {
        <form class="field found-form" role="search" aria-labelledby="found-title" on:submit=submit>
            <h3 id="found-title">"Search with teacher and student"</h3>
            <div class="row">
                <input id="found-text" type="search" dir="auto" autocomplete="off" aria-label="What to search for" placeholder="such as: a tool for cutting wood"
                    aria-describedby="found-hint found-mistakes" aria-invalid=live(invalid) disabled=none prop:value=text
                    on:input=move |event| text.set(event_target_value(&event)) />
                <button type="submit" class="button" disabled=none>"Search"</button>
            </div>
            <p class="hint" id="found-hint">{live(hint)}</p>
            <div id="found-mistakes" role="alert">
                <Problems of=Control::Search />
            </div>
        </form>
        <p id="found-share" aria-live="polite">{live(move || found.with(|found| found.as_ref().map(in_words)))}</p>
        {live(move || found.get().map(columns))}
    }
    .into_any()
}

/// Has the engine search for what was sought last. It answers the newest search alone, so that none has to wait for another.
fn ask(page: Page) {
    let text = page.with_run_untracked(|run| run.sought.clone());
    if let Some(text) = text.flatten() {
        send(Command::Search { text }, Vec::new());
    }
}

/// Searches again whenever the student was measured after the last search, also while this was out of sight: it has learnt since.
fn follow(page: Page) {
    let is_old = |run: &RunLog| {
        let measured = run.evaluations.iter().map(|e| e.step).max();
        measured.filter(|step| run.found.as_ref().is_some_and(|found| found.step < *step))
    };
    // Of each evaluation once, however long the answer takes.
    let old = memo(move || page.with_run(is_old).flatten());
    effect(move || {
        if old.get().is_some() {
            ask(page);
        }
    });
}

/// The place of a line among the first of the other model, which are so many.
fn among(hit: &Hit, others: usize) -> Option<u64> {
    hit.other.filter(|place| *place <= others as u64)
}

/// Lines that are among the first of both.
fn shared(found: &Found) -> usize {
    let others = found.student.len();
    let is_shared = |hit: &&Hit| among(hit, others).is_some();
    found.teacher.iter().filter(is_shared).count()
}

fn in_words(found: &Found) -> String {
    let (shared, of) = (shared(found), found.teacher.len());
    let first = match of.max(found.student.len()) {
        0 => "Neither model found a line".to_owned(),
        _ => format!(
            "{shared} of the first {of} are the same ({} %)",
            100 * shared / of.max(1)
        ),
    };
    let cut = match found.left_out {
        0 => String::new(),
        left_out => format!(" Its last {} tokens were not read.", count(left_out)),
    };
    // The text may run from right to left: it stands apart from the sentence about it.
    format!(
        "{first}, for \u{2068}\u{201c}{}\u{201d}\u{2069} among {} {}, with the student at step {}.{cut}",
        found.text, found.lines, found.kind, found.step
    )
}

fn columns(found: Found) -> AnyView {
    let (of_teacher, of_student) = (found.teacher.len(), found.student.len());
    let rows = of_teacher.max(of_student);
    let lines = lines(&found);
    view! {
        <div class="found" style=format!("--rows:{rows}")>
            {column("Teacher", "student", found.teacher, of_student)}
            <svg class="found-lines" viewBox=format!("0 0 10 {rows}") preserveAspectRatio="none" aria-hidden="true"><path d=lines /></svg>
            {column("Student", "teacher", found.student, of_teacher)}
        </div>
    }
    .into_any()
}

/// A line from each of the teacher's to the student's that is the same, in rows.
fn lines(found: &Found) -> String {
    let mut path = String::new();
    for (row, hit) in found.teacher.iter().enumerate() {
        let Some(to) = among(hit, found.student.len()) else {
            continue;
        };
        let (from, to) = (row as f64 + 0.5, to as f64 - 0.5);
        let _ = write!(path, "M0 {from}C5 {from} 5 {to} 10 {to}");
    }
    path
}

fn column(name: &'static str, other: &'static str, hits: Vec<Hit>, others: usize) -> AnyView {
    let line = |hit: Hit| {
        let place = hit
            .other
            .map_or_else(|| "\u{2013}".to_owned(), |place| place.to_string());
        let both = among(&hit, others).is_some();
        view! {
            <li class:both=both>
                <span class="found-line" dir="auto">{hit.text}</span>
                <span class="found-figures number">{format!("{:.2}", hit.cosine)} <span class="hint">{format!("{other}\u{2019}s place: {place}")}</span></span>
            </li>
        }
    };
    view! {
        <div>
            <h4>{name}</h4>
            <ol role="list">{hits.into_iter().map(line).collect_view()}</ol>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let hit = |text: &str, other| Hit {
            text: text.into(),
            cosine: 0.5,
            other,
        };
        Found {
            step: 20,
            text: "saw".into(),
            left_out: 0,
            lines: 128,
            kind: "held-out lines".into(),
            teacher: vec![hit("a", Some(2)), hit("b", Some(3)), hit("c", None)],
            student: vec![hit("d", Some(40)), hit("a", Some(1)), hit("b", Some(2))],
        }
    }

    #[test]
    fn lines_of_both_are_counted_and_joined() {
        let found = found();
        assert_eq!(shared(&found), 2);
        assert!(in_words(&found).starts_with("2 of the first 3 are the same (66 %)"));
        assert_eq!(
            lines(&found),
            "M0 0.5C5 0.5 5 1.5 10 1.5M0 1.5C5 1.5 5 2.5 10 2.5"
        );
    }

    #[test]
    fn nothing_found_is_no_share() {
        let (teacher, student) = (Vec::new(), Vec::new());
        let nothing = Found {
            teacher,
            student,
            ..found()
        };
        assert!(in_words(&nothing).starts_with("Neither model found a line, for"));
    }

    #[test]
    fn a_text_that_was_cut_is_said_to_be() {
        assert!(in_words(&found()).ends_with("at step 20."));
        let cut = Found {
            left_out: 1234,
            ..found()
        };
        assert!(in_words(&cut).ends_with("at step 20. Its last 1,234 tokens were not read."));
    }
}
