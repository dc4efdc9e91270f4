//! Relations of one sentence: teacher, student, difference.

mod film;
mod picture;
mod stage;

use std::rc::Rc;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_protocol::{Command, Control};

use self::stage::{Reading, Stage, View};
use crate::chart::scale::number;
use crate::chart::surface;
use crate::state::page;

/// Relations of one sentence: teacher, student, difference.
#[component]
pub fn MapsPanel() -> impl IntoView {
    let page = page();
    let view = View::new();
    let (host, canvas, strip) = (
        NodeRef::<Div>::new(),
        NodeRef::<Canvas>::new(),
        NodeRef::<Canvas>::new(),
    );
    let stage = Rc::new(Stage::new(page, view, host, canvas, strip));
    surface::watch(host, stage.follow());
    let some = Memo::new(move |_| {
        page.runs
            .with(|runs| runs.last().is_some_and(|run| run.maps.is_some()))
    });
    let (hovered, tapped, pressed) = (stage.clone(), stage.clone(), stage.clone());
    let point = |stage: &Stage, event: &ev::PointerEvent| {
        stage.point(f64::from(event.offset_x()), f64::from(event.offset_y()))
    };
    view! {
        <section class="panel maps" aria-labelledby="maps-title">
            <h2 id="maps-title">"Relations" <span class="hint">"of one sentence: how much each token (row) attends to each other (column)"</span></h2>
            <Sentence />
            <p class="hint" hidden=move || some.get()>"Maps appear with the first evaluation of a run."</p>
            <div class="maps-body" hidden=move || !some.get() node_ref=host>
                <Choices view />
                <div class="maps-strip" tabindex="0" role="group" aria-label="Small maps of all relation heads">
                    <canvas node_ref=strip aria-hidden="true" on:click=move |event| stage.choose(f64::from(event.offset_x()), f64::from(event.offset_y()))></canvas>
                </div>
                <div class="maps-canvas">
                    <canvas
                        node_ref=canvas
                        tabindex="0"
                        role="img"
                        aria-label=move || format!("{}. Arrow keys move from cell to cell.", view.reading.with(Reading::sentence))
                        on:pointermove=move |event| point(&hovered, &event)
                        on:pointerdown=move |event| point(&tapped, &event)
                        on:keydown=move |event| if pressed.press(&event.key()) {
                            event.prevent_default();
                            event.stop_propagation();
                        }
                    ></canvas>
                </div>
                <Cell view />
                <Scales view />
                <Scrubber view />
            </div>
        </section>
    }
}

/// A sentence of the reader's own.
#[component]
fn Sentence() -> impl IntoView {
    let page = page();
    let text = RwSignal::new(String::new());
    let recorded = Memo::new(move |_| {
        page.runs
            .with(|runs| runs.last().is_none_or(|run| run.recorded))
    });
    let mistakes = move || page.problems_of(&Control::Sentence);
    let show = move |event: ev::SubmitEvent| {
        event.prevent_default();
        page.solved(&Control::Sentence);
        crate::engine::send(
            Command::Maps {
                text: text.get_untracked().trim().to_owned(),
            },
            Vec::new(),
        );
    };
    view! {
        <form class="field maps-sentence" on:submit=show>
            <label for="maps-text">"Your own sentence"</label>
            <div class="row">
                <input id="maps-text" type="text" maxlength="2000" autocomplete="off" placeholder="empty: the run's held-out sentence"
                    prop:value=move || text.get()
                    disabled=move || recorded.get()
                    aria-invalid=move || (!mistakes().is_empty()).to_string()
                    aria-describedby="maps-text-mistakes"
                    on:input=move |event| text.set(event_target_value(&event)) />
                <button type="submit" class="button" disabled=move || recorded.get()>"Show"</button>
            </div>
            <p class="hint" hidden=move || !recorded.get()>"Start a run to look at a sentence of your own."</p>
            <div id="maps-text-mistakes" role="alert">
                {move || mistakes().into_iter().map(|message| view! { <p class="mistake">{message}</p> }).collect_view()}
            </div>
        </form>
    }
}

/// Pair and head.
#[component]
fn Choices(view: View) -> impl IntoView {
    let pair = move |(i, name): (usize, String)| {
        view! {
            <button type="button" aria-pressed=move || (view.pair.get() == i).to_string() on:click=move |_| view.pair.set(i)>{name}</button>
        }
    };
    let named = move || view.pairs.get().into_iter().enumerate().collect::<Vec<_>>();
    let heads = move || view.totals.with(|totals| totals.len().saturating_sub(1));
    let kl = move |i: usize| {
        view.totals
            .with(|totals| totals.get(i).map_or_else(String::new, |kl| number(*kl)))
    };
    view! {
        <div class="maps-choices">
            <div class="switch" role="group" aria-label="Pair">
                <For each=named key=Clone::clone children=pair />
            </div>
            <label>
                "Relation head "
                <select
                    prop:value=move || view.head.get().map_or(0, |head| head + 1).to_string()
                    on:change=move |event| view.head.set(event_target_value(&event).parse::<usize>().ok().and_then(|i| i.checked_sub(1)))
                >
                    <option value="0">{move || format!("mean of heads, KL {}", kl(0))}</option>
                    <For each=move || 1..=heads() key=|i| *i children=move |i| view! {
                        <option value=i.to_string()>{move || format!("{i}, KL {}", kl(i))}</option>
                    } />
                </select>
            </label>
            <span class="hint">"Below: the student's heads, with their KL in nats."</span>
        </div>
    }
}

/// The cell under the crosshair.
#[component]
fn Cell(view: View) -> impl IntoView {
    view! {
        <div class="maps-cell">
            <p>
                <b>{move || view.reading.with(|reading| reading.tokens.0.clone())}</b>
                " \u{2192} "
                <b>{move || view.reading.with(|reading| reading.tokens.1.clone())}</b>
            </p>
            <dl>
                {move || view.reading.with(|reading| reading.values.clone()).into_iter().map(|(name, value)| view! {
                    <div><dt>{name}</dt><dd class="number">{value}</dd></div>
                }).collect_view()}
            </dl>
        </div>
    }
}

/// What the colours mean.
#[component]
fn Scales(view: View) -> impl IntoView {
    let scale = move |i: usize, note: &'static str| {
        view! {
            <span class="maps-scale">
                <span class="number">{move || view.scales.with(|scales| scales[i].0.clone())}</span>
                <i style:background=move || view.scales.with(|scales| scales[i].1.clone())></i>
                <span class="number">{move || view.scales.with(|scales| scales[i].2.clone())}</span>
                <span>{note}</span>
            </span>
        }
    };
    view! {
        <div class="maps-scales hint">
            {scale(0, "probability (colour by its square root)")}
            {scale(1, "student less teacher")}
        </div>
    }
}

/// Looks back along the run.
#[component]
fn Scrubber(view: View) -> impl IntoView {
    let last = move || view.steps.with(|steps| steps.len().saturating_sub(1));
    let at = move || view.frame.get().unwrap_or_else(last);
    let step = move || {
        view.steps
            .with(|steps| steps.get(at()).copied().unwrap_or(0))
    };
    let words = move || match view.frame.get() {
        None => format!("step {}, the newest", step()),
        Some(_) => format!("step {}", step()),
    };
    let scrub = move |event: ev::Event| {
        let index: usize = event_target_value(&event).parse().unwrap_or(usize::MAX);
        view.frame.set((index < last()).then_some(index));
    };
    view! {
        <div class="maps-film" hidden=move || { last() < 1 }>
            <label>
                <span>"Look back"</span>
                <input type="range" min="0" step="1" max=move || last().to_string() prop:value=move || at().to_string() aria-valuetext=words on:input=scrub />
            </label>
            <output class="number">{words}</output>
            <p class="hint" hidden=move || !view.thinned.get()>"The film is full (64 MB): every other picture of the past was left out."</p>
        </div>
    }
}
