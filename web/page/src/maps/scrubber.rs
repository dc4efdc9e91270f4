//! Looking back along a run: a slider with a play button.

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;

use super::view::View;
use super::whose::Whose;
use crate::live::{effect, live};

/// Time of a frame while the film plays.
const FRAME: Duration = Duration::from_millis(160);

/// The slider over the steps of the film. It is there as soon as there are two.
pub fn scrubber(view: View, steps: RwSignal<Vec<u64>>) -> impl IntoView {
    let last = move || steps.with(|steps| steps.len().saturating_sub(1));
    let chosen = view.of(|choice| choice.step);
    let at = move || {
        let step = chosen.get();
        steps.with(|steps| match step {
            Some(step) => steps.partition_point(|s| *s <= step).saturating_sub(1),
            None => steps.len().saturating_sub(1),
        })
    };
    let words = move || {
        let step = steps.with(|steps| steps.get(at()).copied().unwrap_or(0));
        match chosen.get() {
            None => format!("step {step}, the newest"),
            Some(_) => format!("step {step}"),
        }
    };
    let go = move |index: usize| {
        let step = steps.with_untracked(|steps| match index + 1 < steps.len() {
            true => steps.get(index).copied(),
            false => None,
        });
        view.choose(|choice| choice.step = step);
    };
    let playing = RwSignal::new(false);
    let tick = move || {
        let Some(true) = playing.try_get_untracked() else {
            return;
        };
        let next = untrack(at) + 1;
        let end = untrack(last);
        go(next.min(end));
        if next >= end {
            playing.set(false);
        }
    };
    let ticking = StoredValue::new(None::<IntervalHandle>);
    let stop = move || {
        if let Some(handle) = ticking.try_update_value(Option::take).flatten() {
            handle.clear();
        }
    };
    effect(move || {
        stop();
        if playing.get() {
            ticking.set_value(set_interval_with_handle(tick, FRAME).ok());
        }
    });
    on_cleanup(stop);
    let play = move |_| {
        if !playing.get_untracked() && untrack(at) == untrack(last) {
            go(0);
        }
        playing.update(|playing| *playing = !*playing);
    };
    let scrub = move |event: ev::Event| {
        playing.set(false);
        go(event_target_value(&event).parse().unwrap_or(usize::MAX - 1));
    };
    let compare = view.of(|choice| choice.beside_now);
    view! {
        <div class="maps-film" id="maps-film" hidden=live(move || { last() < 1 })>
            <button type="button" class="button quiet" on:click=play>{live(move || if playing.get() { "Pause" } else { "Play" })}</button>
            <label>
                <span>"Earlier steps"</span>
                <input type="range" min="0" step="1" max=live(move || last().to_string()) prop:value=live(move || at().to_string()) aria-valuetext=live(words) on:input=scrub />
            </label>
            <output class="number" aria-hidden="true">{live(words)}</output>
            <label class="maps-check">
                <input type="checkbox" disabled=live(move || chosen.get().is_none() || matches!(view.whose.get(), Whose::Beside(_))) prop:checked=compare
                    on:change=move |event| view.choose(|choice| choice.beside_now = event_target_checked(&event)) />
                "compare with the current student"
            </label>
        </div>
    }
}
