//! What a user should know beside the run: a saved run, a lost engine, a hidden page, no GPU, an address that is not understood.

use leptos::prelude::*;
use limbeck_protocol::{
    Adapter, Command, Control, EngineInfo, EngineKind, Halt, RunState, SavedRun,
};
use limbeck_recipe::counted;

use super::guards::Visibility;
use super::measure::figure;
use super::support;
use crate::live::memo;
use crate::state::{Connection, Page, page};
use crate::words::count;

/// What comes late and must be seen wherever the page is scrolled to. It lies over the page and moves nothing of it.
#[component]
pub fn Toasts() -> impl IntoView {
    let page = page();
    view! {
        <aside class="toasts" aria-label="Messages">
            {lost(page)}
            {saved(page)}
            {hidden(page)}
        </aside>
    }
}

fn lost(page: Page) -> impl IntoView {
    move || {
        let (text, ended) = match page.connection.get() {
            Connection::Lost(why) => (why, false),
            Connection::Impossible(why) => (why, true),
            Connection::Loading(..) | Connection::Open => return None,
        };
        Some(view! {
            <div class="notice danger" id="connection">
                <p>{text}</p>
                {ended.then(|| view! {
                    <button class="button" id="start-engine" on:click=move |_| crate::engine::start_again()>
                        "Start the engine again"
                    </button>
                })}
            </div>
        })
    }
}

/// The run that an earlier visit has left.
fn saved(page: Page) -> impl IntoView {
    let put_off = RwSignal::new(false);
    let offered = memo(move || {
        let free = matches!(
            page.state.get(),
            RunState::Idle
                | RunState::Ended {
                    halt: Halt::Stopped | Halt::Failed
                }
        );
        let open = page.connection.get() == Connection::Open;
        page.saved.get().filter(|_| free && open && !put_off.get())
    });
    let without = move || {
        if page.teacher.with_untracked(Option::is_none) {
            crate::engine::provide();
        }
    };
    let restore = move |goes_on: bool| {
        page.solved(&Control::Run);
        crate::engine::restore(goes_on);
    };
    let not_now = move |_| {
        put_off.set(true);
        without();
    };
    let discard = move |_| {
        crate::engine::send(Command::Discard, Vec::new());
        page.saved.set(None);
        page.announce("The saved run was discarded.");
        without();
    };
    move || {
        offered.get().map(|run| {
            let finished = run.finished;
            let open = if finished { "Open it" } else { "Open it paused" };
            view! {
                <div class="notice" id="saved" role="group" aria-label="Saved run">
                    <p>{describe(&run)}</p>
                    <div class="row">
                        {(!finished).then(|| view! {
                            <button class="button primary" id="go-on" on:click=move |_| restore(true)>"Resume"</button>
                        })}
                        <button class="button" class:primary=finished id="restore" on:click=move |_| restore(false)>{open}</button>
                        <button class="button" id="not-now" on:click=not_now>"Not now"</button>
                        <button class="button quiet" id="discard" on:click=discard>"Discard it"</button>
                    </div>
                </div>
            }
        })
    }
}

fn describe(run: &SavedRun) -> String {
    let of = counted(count(run.recipe.steps), "step");
    let loss = run
        .loss
        .map_or_else(String::new, |loss| format!(", loss {}", figure(loss)));
    if run.finished {
        format!("A finished run of {of} was saved here{loss}.")
    } else {
        format!(
            "A run of {of} was saved here at step {}{loss}. It can resume from exactly that step.",
            count(run.step)
        )
    }
}

/// That there is no GPU, and how to get one.
#[component]
pub fn NoGpu() -> impl IntoView {
    let page = page();
    let away = RwSignal::new(false);
    move || {
        let engine = page.engine.get().filter(|_| !away.get())?;
        let why = reason(&engine)?;
        let agent = window().navigator().user_agent().unwrap_or_default();
        Some(view! {
            <div class="notice" id="no-gpu">
                <div>
                    <p>
                        {why} " Runs in this tab use one CPU thread, so a small preset is selected. They are slower, with the same results."
                    </p>
                    <details>
                        <summary>"How to get a GPU"</summary>
                        <p>{support::advice(&agent)}</p>
                        <table class="support">
                            <thead><tr><th scope="col">"Browser"</th><th scope="col">"WebGPU from version"</th></tr></thead>
                            <tbody>
                                {support::TABLE.iter().map(|(browser, version)| {
                                    view! { <tr><th scope="row">{*browser}</th><td>{*version}</td></tr> }
                                }).collect_view()}
                            </tbody>
                        </table>
                        <p class="hint">"Or run " <code>"limbeck serve"</code> " on this machine: the same page, computed by all CPU cores or any GPU."</p>
                    </details>
                </div>
                <button class="button quiet" on:click=move |_| away.set(true)>"Dismiss"</button>
            </div>
        })
    }
}

/// Why a worker has no GPU worth using.
fn reason(engine: &EngineInfo) -> Option<String> {
    match (&engine.kind, &engine.adapter) {
        (EngineKind::Native, _)
        | (
            _,
            Some(Adapter {
                software: false, ..
            }),
        ) => None,
        (_, None) => Some("This browser has no WebGPU, so it cannot use a GPU.".into()),
        (_, Some(adapter)) => Some(format!(
            "The only GPU here, {}, is emulated in software.",
            adapter.name
        )),
    }
}

/// Browsers give a page that nobody sees little time.
fn hidden(page: Page) -> impl IntoView {
    let visibility = Visibility::watch(page);
    move || {
        visibility.slowed().then(|| view! {
            <div class="notice" id="was-hidden">
                <p>
                    "This page was hidden while it trained. Browsers slow down hidden pages: to train at full speed, keep it visible \
                    in a window of its own."
                </p>
                <button class="button quiet" on:click=move |_| visibility.dismiss()>"Dismiss"</button>
            </div>
        })
    }
}

/// What of the page's address could not be taken.
#[component]
pub fn Address(
    /// Each in words.
    warnings: Vec<String>,
) -> impl IntoView {
    let warnings = RwSignal::new(warnings);
    move || {
        let texts = warnings.get();
        (!texts.is_empty()).then(|| view! {
            <div class="notice warn" id="address-warnings">
                <div>
                    <p>"These parts of the page's address were ignored:"</p>
                    <ul>{texts.into_iter().map(|text| view! { <li>{text}</li> }).collect_view()}</ul>
                </div>
                <button class="button quiet" on:click=move |_| warnings.set(Vec::new())>"Dismiss"</button>
            </div>
        })
    }
}
