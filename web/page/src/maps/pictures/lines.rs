//! Relations as lines from token to token, teacher and student side by side.

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::{Drawing, View as Sheet, lines, token_at};

use super::maps;
use crate::chart::surface::{Redraw, Surface, watch};
use crate::keys::plain;
use crate::live::{effect, live, memo};
use crate::maps::choice::{Choice, MOST_LINES};
use crate::maps::choices::check;
use crate::maps::paint::{paint, theme};
use crate::maps::picture::{Files, Picture};
use crate::maps::reading::option;
use crate::maps::seen::Seen;
use crate::maps::view::View;
use crate::state::page;

/// Lines from token to token, of one head.
pub const LINES: Picture = Picture {
    key: "lines",
    name: "Lines",
    of_head: true,
    of_pair: true,
    panes: false,
    title: Seen::title,
    body: |view, _| view! { <Lines view /> }.into_any(),
    files: Files::Relations(|choice, seen| Sheet {
        lines: Some(lines_of(choice, seen.size())),
        ..maps::sheet(choice, seen)
    }),
};

/// The lines that are drawn.
fn lines_of(choice: &Choice, size: usize) -> limbeck_relations::Lines {
    let tokens = choice.tokens.iter().copied();
    limbeck_relations::Lines {
        tokens: tokens.filter(|token| *token < size).collect(),
        most: choice.most,
        least: choice.over as f32 / 100.0,
        no_special: choice.no_special,
    }
}

/// The lines of what is seen; those of a token under the pointer beside those of the locked ones.
fn drawing(view: View, seen: &Seen, hovered: Option<usize>, width: f32) -> Drawing {
    let mut choice = view
        .choice
        .with_untracked(|choice| lines_of(choice, seen.size()));
    if let Some(token) = hovered.filter(|token| !choice.tokens.contains(token)) {
        choice.tokens.push(token);
    }
    let relation = seen.relation(untrack(|| view.head(seen)));
    let names = [seen.reference.title(), seen.reference.student()].map(str::to_owned);
    let both = (relation, seen.from_teacher.tokens.as_slice());
    lines(both, &names, &choice, width, &theme())
}

/// Lines from token to token, and what chooses them.
#[component]
fn Lines(view: View) -> impl IntoView {
    let page = page();
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let hovered = RwSignal::new(None::<usize>);
    let width = move || host.get_untracked().map_or(0, |host| host.client_width()) as f32;
    let redraw = Redraw::new(move || {
        if let (Some(canvas), Some(seen)) = (canvas.get_untracked(), view.seen.get_untracked()) {
            let drawing = drawing(view, &seen, hovered.get_untracked(), width());
            if let Some(surface) = Surface::of(&canvas, f64::from(drawing.height)) {
                paint(&surface.context, &drawing);
            }
        }
    });
    let again = redraw.clone();
    effect(move || {
        view.seen.track();
        view.choice.track();
        view.preview.track();
        hovered.track();
        again.request();
    });
    watch(host, redraw);
    let at = move |event: &ev::MouseEvent| {
        let size = view
            .seen
            .with_untracked(|seen| seen.as_ref().map(|seen| seen.size()))?;
        let point = (event.offset_x() as f32, event.offset_y() as f32);
        token_at(point, width(), size)
    };
    let toggle = move |token: usize| {
        view.choose(
            |choice| match choice.tokens.iter().position(|t| *t == token) {
                Some(place) => {
                    choice.tokens.remove(place);
                }
                None => choice.tokens.push(token),
            },
        );
    };
    let cursor = RwSignal::new(0_usize);
    let at_token = memo(move || {
        let words = view.seen.with(|seen| {
            let seen = seen.as_ref()?;
            let token = cursor.get().min(seen.size().checked_sub(1)?);
            Some((
                seen.strongest(view.head(seen), token),
                token + 1,
                seen.size(),
            ))
        });
        words.unwrap_or_default()
    });
    let is_locked = memo(move || {
        view.choice
            .with(|choice| choice.tokens.contains(&cursor.get()))
    });
    let press = move |event: ev::KeyboardEvent| {
        let Some(seen) = view.seen.get_untracked() else {
            return;
        };
        let last = seen.size().saturating_sub(1);
        let now = cursor.get_untracked().min(last);
        match plain(&event).unwrap_or_default().as_str() {
            "ArrowDown" => cursor.set((now + 1).min(last)),
            "ArrowUp" => cursor.set(now.saturating_sub(1)),
            "Enter" => toggle(now),
            "Escape" => view.choose(|choice| choice.tokens.clear()),
            _ => return,
        }
        event.prevent_default();
        event.stop_propagation();
        let token = cursor.get_untracked();
        hovered.set(Some(token));
        let locked = view
            .choice
            .with_untracked(|choice| choice.tokens.contains(&token));
        let head = untrack(|| view.head(&seen));
        let locked = if locked { ", locked" } else { "" };
        page.announce(seen.strongest(head, token) + locked);
    };
    let choice = view.choice;
    let number = move |event: ev::Event| event_target_value(&event).parse::<usize>().ok();
    let percent = move || choice.with(|choice| format!("{} %", choice.over));
    let free = view.of(|choice| choice.tokens.is_empty());
    view! {
        <div class="maps-choices">
            <label>"Lines per token "
                <input type="range" min="1" max=MOST_LINES.to_string() prop:value=live(move || choice.with(|c| c.most.to_string()))
                    on:input=move |event| if let Some(most) = number(event) { view.choose(|c| c.most = most) } />
                <output class="number" aria-hidden="true">{live(move || choice.with(|c| c.most))}</output>
            </label>
            <label>"Lines of at least "
                <input type="range" min="0" max="100" prop:value=live(move || choice.with(|c| c.over.to_string())) aria-valuetext=live(percent)
                    on:input=move |event| if let Some(over) = number(event) { view.choose(|c| c.over = over) } />
                <output class="number" aria-hidden="true">{live(percent)}</output>
            </label>
            {check(view, "hide special tokens", |choice| choice.no_special, |choice, on| choice.no_special = on)}
            // It leaves its place empty, so that the picture does not move when a token is locked.
            <button type="button" class="button quiet" class:unseen=free on:click=move |_| view.choose(|c| c.tokens.clear())>"Unlock all tokens"</button>
        </div>
        <p class="hint">"Point at a token to see only its lines, with their probabilities; click to lock it. If several tokens are locked, the bars and numbers on the right are means. Hidden special tokens keep their share: the others are not rescaled to 100 %."</p>
        <div class="maps-canvas" id="maps-tokens" tabindex="0" role="listbox" aria-multiselectable="true" aria-activedescendant="maps-token" node_ref=host
            aria-label="Lines from token to token. Up and down move between tokens, Enter locks a token, Escape unlocks all."
            on:keydown=press>
            <canvas node_ref=canvas id="maps-lines" aria-hidden="true"
                on:pointermove=move |event| hovered.set(at(&event))
                on:pointerleave=move |_| hovered.set(None)
                on:click=move |event| if let Some(token) = at(&event) { toggle(token) }
            ></canvas>
            {option("maps-token", at_token, is_locked.into())}
        </div>
    }
}
