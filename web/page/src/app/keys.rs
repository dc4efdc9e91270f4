//! Keys of the page, and the list of them.

use leptos::ev;
use leptos::html::Dialog;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::action::{Action, Ready, act};
use crate::data::{Inputs, inputs};
use crate::keys::plain;

const KEYS: [(&str, &str); 9] = [
    ("Space", "start, pause, resume"),
    (".", "one step of a paused run"),
    ("?", "this list"),
    ("Esc", "close what is open"),
    (
        "\u{2190} \u{2192}",
        "in the small maps: another head; in a map: another column",
    ),
    (
        "\u{2191} \u{2193}",
        "in the small maps: another teacher layer; in a map or lines: another row",
    ),
    ("Page \u{2191} \u{2193}", "in the small maps: another pair"),
    (
        "Enter",
        "in the small maps: show the head alone; in a map or lines: lock the cell or token",
    ),
    ("+ \u{2212}", "in a map: zoom in or out"),
];

/// The list of keys, and a link to it.
#[component]
pub fn Keys() -> impl IntoView {
    let inputs = inputs();
    let dialog = NodeRef::<Dialog>::new();
    let listener = window_event_listener(ev::keydown, move |event| pressed(inputs, dialog, &event));
    on_cleanup(move || listener.remove());
    view! {
        <p class="foot-line">
            <button class="button quiet" id="keys-button" aria-haspopup="dialog" on:click=move |_| show(dialog)>
                "Keys " <kbd>"?"</kbd>
            </button>
            <span class="hint">"Nothing is sent anywhere: no server, no account, no count of visitors."</span>
        </p>
        <dialog node_ref=dialog id="keys" aria-labelledby="keys-title">
            <h2 id="keys-title">"Keys"</h2>
            <dl class="keys">
                {KEYS.iter().map(|(key, what)| view! { <dt><kbd>{*key}</kbd></dt><dd>{*what}</dd> }).collect_view()}
            </dl>
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
    match key.unwrap_or_default().as_str() {
        // a key that is held down must not start and pause in turns
        " " if !takes_space(target.as_ref()) => {
            event.prevent_default();
            if !event.repeat() {
                act(inputs, untrack(|| Ready::of(inputs)).main());
            }
        }
        "." if !takes_text(target.as_ref()) => act(inputs, Action::Step),
        "?" if !takes_text(target.as_ref()) => {
            event.prevent_default();
            show(dialog);
        }
        _ => {}
    }
}

fn takes_text(target: Option<&Element>) -> bool {
    matches(target, "input, textarea, select, [contenteditable]")
}

/// Space writes, presses or chooses here.
fn takes_space(target: Option<&Element>) -> bool {
    let pressed = "button, a[href], summary, label, [role=button], [role=slider], [role=tab], [role=option], [tabindex]";
    takes_text(target) || matches(target, pressed)
}

fn matches(target: Option<&Element>, selector: &str) -> bool {
    target.is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}
