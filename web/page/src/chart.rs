//! Curves of a run: loss by part, learning rate, gradient norm, speed; and the runs before it.

mod board;
mod columns;
mod differences;
mod front;
pub mod metrics;
pub mod plot;
pub mod scale;
mod series;
mod summary;
pub mod surface;

use std::rc::Rc;
use std::time::Duration;

use leptos::ev;
use leptos::html::Div;
use leptos::prelude::*;

use self::board::{Board, Earlier, Entry, Sheet, View};
pub use self::differences::differences;
pub use self::front::FrontLoss;
use crate::live::{live, memo};

use self::summary::Summary;
use crate::keys::plain;
use crate::state::page;

/// Names of the small charts.
const SMALL: [&str; 3] = ["Learning rate", "Gradient norm", "Tokens per second"];

/// How often the text beside the curves is written anew.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);

/// Curves of a run: loss by part, learning rate, gradient norm, speed; and the runs before it.
#[component]
pub fn Charts() -> impl IntoView {
    let page = page();
    let view = View::new();
    let entries = memo(move || {
        page.runs
            .with(|runs| runs.last().map(Entry::of).unwrap_or_default())
    });
    let earlier = memo(move || {
        page.begun.track();
        page.runs.with_untracked(|runs| Earlier::of(runs))
    });
    let empty = memo(move || {
        page.runs
            .with(|runs| runs.last().is_none_or(|run| run.steps.is_empty()))
    });
    let host = NodeRef::<Div>::new();
    let sheets: [Sheet; 4] = std::array::from_fn(|_| Sheet::default());
    let board = Rc::new(Board::new(page, view, host, sheets, earlier));
    for redraw in board.follow() {
        surface::watch(host, redraw);
    }
    view! {
        <section class="panel charts" aria-labelledby="charts-title">
            <div class="charts-head">
                <h2 id="charts-title">"Loss " <span class="hint">"by part, over steps"</span></h2>
                <Switches view />
            </div>
            <Legend entries view />
            <div class="charts-body" node_ref=host>
                <div class="plot-large">
                    {plot(&board, view, 0, sheets[0], "Loss by part over steps")}
                    <Show when=move || empty.get()>
                        <p class="plot-empty">"Curves appear with the first step."</p>
                    </Show>
                    <Tip view />
                </div>
                <div class="plots-small">
                    {SMALL.iter().enumerate().map(|(i, name)| view! {
                        <figure>
                            <figcaption>{*name} <b class="number">{live(move || view.latest.with(|all| all[i].clone()))}</b></figcaption>
                            {plot(&board, view, i + 1, sheets[i + 1], name)}
                        </figure>
                    }).collect_view()}
                </div>
            </div>
            <EarlierRuns earlier view />
            <Text />
        </section>
    }
}

/// One chart, with the keys and the pointer that move the crosshair. For a screen reader it is a slider over the steps, so that it
/// hands the arrow keys on.
fn plot(
    board: &Rc<Board>,
    view: View,
    index: usize,
    sheet: Sheet,
    label: &'static str,
) -> impl IntoView + use<> {
    let (moved, pressed) = (board.clone(), board.clone());
    let (pointed, left) = (board.clone(), board.clone());
    let point = move |board: &Board, event: &ev::PointerEvent| {
        board.point(index, f64::from(event.offset_x()))
    };
    view! {
        <div class="plot">
            <canvas
                node_ref=sheet.lines
                tabindex="0"
                role="slider"
                aria-label=format!("{label}. Left and right arrows read the values at a step")
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=live(move || view.readout.with(|readout| readout.percent.unwrap_or(100).to_string()))
                aria-valuetext=live(move || view.readout.with(|readout| readout.text(index)))
                on:pointermove=move |event| point(&moved, &event)
                on:pointerdown=move |event| point(&pointed, &event)
                on:pointerleave=move |event| if event.pointer_type() == "mouse" { left.leave() }
                on:keydown=move |event| if plain(&event).is_some_and(|key| pressed.press(&key, event.shift_key())) {
                    event.prevent_default();
                    event.stop_propagation();
                }
            ></canvas>
            <canvas class="plot-cross" node_ref=sheet.cross aria-hidden="true"></canvas>
        </div>
    }
}

/// Linear or logarithmic, and how smooth.
#[component]
fn Switches(view: View) -> impl IntoView {
    let log = view.log;
    let over = move || match view.smoothing.get() {
        0 => "off".to_owned(),
        power => format!("{} steps", 1_u32 << power),
    };
    let scale = move |name: &'static str, value: bool| {
        view! {
            <button type="button" aria-pressed=live(move || (log.get() == value).to_string()) on:click=move |_| log.set(value)>{name}</button>
        }
    };
    view! {
        <div class="charts-switches">
            <div class="switch" role="group" aria-label="Scale of the loss">
                {scale("Linear", false)}
                {scale("Log", true)}
            </div>
            <label class="charts-smooth">
                <span>"Smoothing"</span>
                <input type="range" min="0" max="8" step="1"
                    prop:value=live(move || view.smoothing.get().to_string())
                    aria-valuetext=live(over)
                    on:input=move |event| view.smoothing.set(event_target_value(&event).parse().unwrap_or(0)) />
                <output class="number" aria-hidden="true">{live(over)}</output>
            </label>
        </div>
    }
}

/// The lines of the present run, to switch off and on.
#[component]
fn Legend(entries: Memo<Vec<Entry>>, view: View) -> impl IntoView {
    let hidden = view.hidden;
    let button = move |entry: Entry| {
        let (name, shown) = (entry.name.clone(), entry.name.clone());
        let toggle = move |_| {
            hidden.update(|all| {
                if !all.remove(&name) {
                    all.insert(name.clone());
                }
            })
        };
        view! {
            <button type="button" aria-pressed=live(move || hidden.with(|all| !all.contains(&shown)).to_string()) on:click=toggle>
                {sample(entry.css(), entry.svg_dash(), if entry.part.is_some() { "2" } else { "2.6" })}
                {entry.name.clone()}
            </button>
        }
    };
    view! {
        <div class="chart-legend" role="group" aria-label="Lines shown">
            <For each=move || entries.get() key=|entry| (entry.name.clone(), entry.part) children=button />
            <Show when=move || !entries.with(Vec::is_empty)>
                <span class="hint chart-dots"><i></i>"held-out lines"</span>
            </Show>
        </div>
    }
}

/// A piece of a line.
fn sample(colour: String, dash: String, width: &'static str) -> impl IntoView {
    view! {
        <svg width="24" height="8" aria-hidden="true">
            <line x1="0" x2="24" y1="4" y2="4" style:stroke=colour stroke-width=width stroke-dasharray=dash />
        </svg>
    }
}

/// The numbers of the step under the crosshair.
#[component]
fn Tip(view: View) -> impl IntoView {
    let place = move || view.readout.with(|readout| readout.place);
    let style = move || match place() {
        Some((x, width)) if x < width / 2.0 => format!("left:{}px", x + 14.0),
        Some((x, _)) => format!("left:{}px;transform:translateX(-100%)", x - 14.0),
        None => String::new(),
    };
    view! {
        <div class="plot-tip" class:plot-tip-idle=live(move || place().is_none()) style=live(style) aria-hidden="true">
            <b>{live(move || view.readout.with(|readout| readout.title.clone()))}</b>
            <dl>
                {live(move || view.readout.with(|readout| readout.rows.clone()).into_iter().map(|row| view! {
                    <div><dt>{row.colour.map(|colour| sample(colour, row.dash, "2.4"))}{row.name}</dt><dd class="number">{row.value}</dd></div>
                }).collect_view())}
            </dl>
        </div>
    }
}

/// The runs before the present one, each with a box to show its loss.
#[component]
fn EarlierRuns(earlier: Memo<Vec<Earlier>>, view: View) -> impl IntoView {
    let hidden = view.hidden_runs;
    let each = move |run: Earlier| {
        let key = run.key;
        let set = move |event: ev::Event| {
            let on = event_target_checked(&event);
            hidden.update(|all| {
                if on {
                    all.remove(&key);
                } else {
                    all.insert(key);
                }
            });
        };
        view! {
            <label>
                <input type="checkbox" prop:checked=live(move || hidden.with(|all| !all.contains(&key))) on:change=set />
                <b>{run.tag}</b>
                <span>{run.words}</span>
            </label>
        }
    };
    view! {
        <Show when=move || !earlier.with(Vec::is_empty)>
            <fieldset class="chart-earlier">
                <legend class="hint">"Earlier runs: their total loss, and what was different"</legend>
                <For each=move || earlier.get() key=|run| (run.key, run.tag.clone(), run.words.clone()) children=each />
            </fieldset>
        </Show>
    }
}

/// The same as text.
#[component]
fn Text() -> impl IntoView {
    let page = page();
    let summary = RwSignal::new(Summary::default());
    let write = move || {
        let now = page
            .runs
            .with_untracked(|runs| runs.last().map(Summary::of).unwrap_or_default());
        if summary.with_untracked(|before| *before != now) {
            summary.set(now);
        }
    };
    if let Ok(timer) = set_interval_with_handle(write, SUMMARY_EVERY) {
        on_cleanup(move || timer.clear());
    }
    let cells = |row: Vec<String>| {
        row.into_iter()
            .map(|cell| view! { <td>{cell}</td> })
            .collect_view()
    };
    view! {
        <div class="visually-hidden" aria-live="off">
            <p>{live(move || summary.with(|all| all.sentence.clone()))}</p>
            <table>
                <caption>"Loss at selected steps"</caption>
                <thead><tr>{live(move || summary.with(|all| all.header.clone()).into_iter().map(|name| view! { <th scope="col">{name}</th> }).collect_view())}</tr></thead>
                <tbody>{live(move || summary.with(|all| all.rows.clone()).into_iter().map(|row| view! { <tr>{cells(row)}</tr> }).collect_view())}</tbody>
            </table>
        </div>
    }
}
