//! What is looked at: pair, layers, relation heads.

use leptos::ev;
use leptos::prelude::*;
use limbeck_recipe::Pair;

use super::choice::Choice;
use super::seen::{How, Seen};
use super::view::View;
use crate::live::{live, memo};
use crate::state::page;

/// Pair, layers, relation heads.
pub fn choices(view: View) -> impl IntoView {
    let how = memo(move || {
        view.seen
            .with(|seen| seen.as_ref().map(|seen| seen.how.clone()))
    });
    let instead = move || of(how, |how| how.instead.join(". "));
    view! {
        <div class="maps-choices">
            {pairs(view, how)}
            <div class="maps-selects">
                {layer(view, how, true)}
                {layer(view, how, false)}
                {cut(view, how)}
            </div>
        </div>
        <p class="mistake" role="status" hidden=live(move || instead().is_empty())>{live(instead)}</p>
    }
}

/// A part of how relations are made; the default before there are any.
fn of<T: Default>(how: Memo<Option<How>>, part: impl Fn(&How) -> T) -> T {
    how.with(|how| how.as_ref().map(part).unwrap_or_default())
}

fn pairs(view: View, how: Memo<Option<How>>) -> impl IntoView {
    let page = page();
    let from_student = memo(move || {
        let pairs = view.with_run(page, |run| run.info.pairs.clone());
        pairs.unwrap_or_default()
    });
    let button = move |pair: Pair| {
        let name = pair.to_string();
        let shown = name.clone();
        let is_trained = memo(move || from_student.with(|pairs| pairs.contains(&name)));
        let title = move || {
            let trained = if is_trained.get() {
                "; this run trains it"
            } else {
                ""
            };
            format!("rows: {:?}, columns: {:?}{trained}", pair.row, pair.column)
        };
        view! {
            <button type="button" title=live(title) class:taught=is_trained
                aria-pressed=live(move || of(how, |how| how.pair == pair).to_string())
                on:click=move |_| view.choose(|choice| choice.pair = Some(pair))>{shown}</button>
        }
    };
    view! {
        <div class="switch maps-pairs" role="group" aria-label="Pair">
            {Pair::all().map(button).into_iter().collect_view()}
        </div>
    }
}

fn layer(view: View, how: Memo<Option<How>>, of_teacher: bool) -> impl IntoView {
    let layers = move |seen: &Seen| match of_teacher {
        true => seen.from_teacher.taps.layers(),
        false => seen.from_student.taps.layers(),
    };
    let back = view.of(|choice| choice.step.is_some());
    let count = memo(move || {
        view.seen
            .with(|seen| seen.as_ref().map_or(1, |seen| layers(seen)))
    });
    let now = move || {
        of(how, |how| match of_teacher {
            true => how.teacher_layer,
            false => how.student_layer,
        })
    };
    let choose = move |event: ev::Event| {
        let layer = event_target_value(&event).parse().ok();
        view.choose(|choice| match of_teacher {
            true => choice.teacher_layer = layer,
            false => choice.student_layer = layer,
        });
    };
    let option = move |i: usize| view! { <option value=i.to_string() selected=live(move || now() == i)>{i.to_string()}</option> };
    view! {
        <label>
            {if of_teacher { "Teacher layer " } else { "Student layer " }}
            <select prop:value=live(move || now().to_string()) on:change=choose disabled=live(move || !of_teacher && back.get())
                title=live(move || if !of_teacher && back.get() { "The film stores only the student's last layer" } else { "" })>
                <For each=move || 1..=count.get() key=|i| *i children=option />
            </select>
        </label>
    }
}

/// The slider that cuts the vectors into relation heads: only into as many as divide both widths.
fn cut(view: View, how: Memo<Option<How>>) -> impl IntoView {
    let fits = move || of(how, |how| how.fits.clone());
    let last = move || fits().len().saturating_sub(1).to_string();
    let place = move || {
        let place = of(how, |how| how.fits.iter().position(|fit| *fit == how.heads));
        place.unwrap_or(0).to_string()
    };
    let cut = move |event: ev::Event| {
        let index: usize = event_target_value(&event).parse().unwrap_or(0);
        let heads = untrack(fits).get(index).copied();
        view.choose(|choice| (choice.heads, choice.head) = (heads, None));
    };
    let words = move || {
        view.seen.with(|seen| {
            let seen = seen.as_ref()?;
            let heads = seen.how.heads;
            let own = [&seen.from_teacher.taps, &seen.from_student.taps].map(|taps| {
                let own = taps.attention_heads();
                let same = if own == heads { " (this split)" } else { "" };
                format!("{own}{same}")
            });
            Some(format!(
                "{heads}; the models' own attention heads: teacher {}, student {}",
                own[0], own[1]
            ))
        })
    };
    view! {
        <label class="maps-cut" id="maps-cut">
            "Relation heads "
            <input type="range" id="maps-heads" min="0" step="1" max=live(last) prop:value=live(place) aria-valuetext=live(words) on:input=cut />
            <output class="number" aria-hidden="true">{live(words)}</output>
        </label>
    }
}

/// A box that switches one part of what is chosen.
pub fn check(
    view: View,
    label: &'static str,
    of: fn(&Choice) -> bool,
    set: fn(&mut Choice, bool),
) -> impl IntoView {
    let on = view.of(of);
    let change = move |event: ev::Event| {
        let on = event_target_checked(&event);
        view.choose(|choice| set(choice, on));
    };
    view! {
        <label class="maps-check">
            <input type="checkbox" prop:checked=on on:change=change />
            {label}
        </label>
    }
}
