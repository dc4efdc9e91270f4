//! Keys of the page, and the list of them.

use leptos::ev;
use leptos::html::Dialog;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::action::{Action, act};
use crate::data::{Inputs, inputs};
use crate::keys::plain;
use crate::live::live;

const KEYS: [(&str, &str); 9] = [
    (
        "Space",
        "on the run\u{2019}s main button: start, pause, resume",
    ),
    (
        ".",
        "with the focus on a button of the run: take one step while paused",
    ),
    ("?", "with the focus on any control: show this list"),
    ("Esc", "close what is open"),
    (
        "\u{2190} \u{2192}",
        "in the small maps: another head; in a map: another column",
    ),
    (
        "\u{2191} \u{2193}",
        "in the small maps: another teacher layer; in a map or in the lines: another row",
    ),
    ("Page \u{2191} \u{2193}", "in the small maps: another pair"),
    (
        "Enter",
        "in the small maps: show the head alone; in a map or in the lines: lock the cell or token",
    ),
    ("+ \u{2212}", "in a map: zoom in or out"),
];

/// Where the browser keeps that the reader wants no shortcuts of a single character.
const OFF: &str = "limbeck-no-shortcuts";

/// The list of keys, and a link to it.
#[component]
pub fn Keys() -> impl IntoView {
    let inputs = inputs();
    let dialog = NodeRef::<Dialog>::new();
    let off =
        RwSignal::new(storage().is_some_and(|kept| matches!(kept.get_item(OFF), Ok(Some(_)))));
    let listener = window_event_listener(ev::keydown, move |event| {
        if !off.get_untracked() {
            pressed(inputs, dialog, &event);
        }
    });
    on_cleanup(move || listener.remove());
    view! {
        <p class="foot-line">
            <button class="button quiet" id="keys-button" aria-haspopup="dialog" on:click=move |_| show(dialog)>
                "Keys " <kbd>"?"</kbd>
            </button>
            <span class="hint">"Nothing leaves this page: no server, no account, no analytics."</span>
        </p>
        <dialog node_ref=dialog id="keys" aria-labelledby="keys-title">
            <h2 id="keys-title">"Keys"</h2>
            <dl class="keys">
                {KEYS.iter().map(|(key, what)| view! { <dt><kbd>{*key}</kbd></dt><dd>{*what}</dd> }).collect_view()}
            </dl>
            <label class="maps-check">
                <input type="checkbox" id="shortcuts" prop:checked=live(move || !off.get())
                    on:change=move |event| turn(off, !event_target_checked(&event)) />
                "Shortcuts of a single character (. and ?)"
            </label>
            <form method="dialog"><button class="button">"Close"</button></form>
        </dialog>
    }
}

fn show(dialog: NodeRef<Dialog>) {
    if let Some(dialog) = dialog.get_untracked()
        && !dialog.open()
    {
        dialog.show_modal().ok();
    }
}

fn pressed(inputs: Inputs, dialog: NodeRef<Dialog>, event: &KeyboardEvent) {
    let target = event.target().and_then(|target| target.dyn_into().ok());
    let open = document()
        .query_selector("dialog[open]")
        .ok()
        .flatten()
        .is_some();
    let key = plain(event).filter(|_| !open && !event.default_prevented());
    // Elsewhere a key is the browser's or the reader's own: a page that nobody has touched is only read (WCAG 2.1.4).
    if takes_text(target.as_ref()) || !matches(target.as_ref(), "main, footer") {
        return;
    }
    match key.unwrap_or_default().as_str() {
        "." if matches(target.as_ref(), ".buttons") => act(inputs, Action::Step),
        "?" => {
            event.prevent_default();
            show(dialog);
        }
        _ => {}
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

/// Storage may be forbidden; then the choice lasts as long as the page.
fn turn(off: RwSignal<bool>, to: bool) {
    off.set(to);
    if let Some(kept) = storage() {
        let _ = match to {
            true => kept.set_item(OFF, "1"),
            false => kept.remove_item(OFF),
        };
    }
}

fn takes_text(target: Option<&Element>) -> bool {
    matches(target, "input, textarea, select, [contenteditable]")
}

fn matches(target: Option<&Element>, selector: &str) -> bool {
    target.is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}
