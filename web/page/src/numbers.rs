//! Self-test and benchmark, as a report to copy.

use js_sys::Reflect;
use leptos::prelude::*;
use limbeck_protocol::{Command, Figure, RunState, Stage};

use crate::engine::send;
use crate::live::{live, memo};
use crate::out::CopyButton;
use crate::state::{Connection, Page, page};

/// Self-test and benchmark, as a report to copy.
#[component]
pub fn Numbers() -> impl IntoView {
    let page = page();
    let reason = memo(move || reason_against(page));
    let none = memo(move || page.figures.with(Vec::is_empty));
    let row = |figure: Figure| view! { <tr><th scope="row">{figure.name}</th><td>{figure.value}</td></tr> };
    let rows = move || {
        let figures = page.figures.get().into_iter().chain(of_the_page());
        figures.map(row).collect_view()
    };
    view! {
        <section class="panel numbers" id="numbers" aria-labelledby="numbers-title">
            <h2 id="numbers-title">"Numbers"</h2>
            <p class="hint">
                "Checks limbeck's kernels against plain formulas on this machine and measures their speed. This takes a few seconds, \
                longer on a slow machine."
            </p>
            <p class="row">
                <button
                    type="button"
                    class="button primary"
                    disabled=live(move || reason.get().is_some())
                    aria-describedby="numbers-reason"
                    on:click=move |_| send(Command::Numbers, Vec::new())
                >
                    "Measure"
                </button>
                <CopyButton label="Copy report" text=move || report(&all(page)) disabled=none />
            </p>
            <p class="hint" id="numbers-reason" aria-live="polite">{reason}</p>
            <Show when=move || !none.get()>
                <div class="numbers-table">
                    <table>
                        <caption class="visually-hidden">"The report"</caption>
                        <tbody>{live(rows)}</tbody>
                    </table>
                </div>
            </Show>
        </section>
    }
}

/// Why nothing can be measured now; none if it can.
fn reason_against(page: Page) -> Option<&'static str> {
    if page.connection.get() != Connection::Open {
        return Some("The engine has not loaded yet.");
    }
    match page.state.get() {
        RunState::Running | RunState::Preparing => {
            return Some(
                "A run is in progress: pause or stop it first, because each would slow the other down.",
            );
        }
        RunState::Idle | RunState::Paused | RunState::Ended { .. } => {}
    }
    match page.stage.get().0 {
        Stage::Ready => None,
        Stage::Measuring => Some("Measuring …"),
        Stage::Reading
        | Stage::Compiling
        | Stage::Evaluating
        | Stage::Saving
        | Stage::Searching => Some("The engine is busy."),
    }
}

fn all(page: Page) -> Vec<Figure> {
    page.figures
        .get_untracked()
        .into_iter()
        .chain(of_the_page())
        .collect()
}

/// What the page itself knows of the place.
fn of_the_page() -> Vec<Figure> {
    let mut figures = vec![Figure {
        name: "Page".into(),
        value: concat!("limbeck ", env!("CARGO_PKG_VERSION")).into(),
    }];
    let Some(window) = web_sys::window() else {
        return figures;
    };
    let navigator = window.navigator();
    let mut add = |name: &str, value: String| {
        figures.push(Figure {
            name: name.into(),
            value,
        })
    };
    add("Browser", navigator.user_agent().unwrap_or_default());
    add("System", navigator.platform().unwrap_or_default());
    add("Cores", navigator.hardware_concurrency().to_string());
    let screen = Reflect::get(&window, &"screen".into()).unwrap_or_default();
    let of = |from: &wasm_bindgen::JsValue, key: &str| {
        Reflect::get(from, &key.into())
            .ok()
            .and_then(|value| value.as_f64())
            .unwrap_or(0.0)
    };
    let (width, height, ratio) = (
        of(&screen, "width"),
        of(&screen, "height"),
        window.device_pixel_ratio(),
    );
    add(
        "Screen",
        format!("{width} × {height}, {ratio} device pixels per CSS pixel"),
    );
    add(
        "Window",
        format!(
            "{} × {}",
            of(&window, "innerWidth"),
            of(&window, "innerHeight")
        ),
    );
    figures
}

/// The report as plain text, names in one column and values in the next.
fn report(figures: &[Figure]) -> String {
    let width = figures
        .iter()
        .map(|figure| figure.name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = figures
        .iter()
        .map(|figure| format!("{:width$}  {}\n", figure.name, figure.value));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_two_columns() {
        let figure = |name: &str, value: &str| Figure {
            name: name.into(),
            value: value.into(),
        };
        let text = report(&[figure("CPU", "1 core"), figure("Loss", "2 ms")]);
        assert_eq!(text, "CPU   1 core\nLoss  2 ms\n");
    }
}
