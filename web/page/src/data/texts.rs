//! The texts to learn from.

use js_sys::{Array, Function, JsString, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::Control;
use wasm_bindgen::JsCast;
use web_sys::{Blob, ClipboardEvent};

use super::chosen::{self, BundledText, Inputs, TextChoice, inputs};
use super::drop::{DropPlace, Picked};
use super::{blobs, check};
use crate::live::live;
use crate::problems::Problems;
use crate::state::Page;
use crate::words;

/// The texts.
#[component]
pub fn Texts(
    /// Whether they cannot be changed now.
    locked: Signal<bool>,
) -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let bundled = move || {
        inputs.chosen.with(|chosen| {
            chosen
                .index
                .clone()
                .map(|index| index.texts)
                .unwrap_or_default()
        })
    };
    let own = move || {
        inputs.chosen.with(|chosen| {
            chosen
                .wanted_texts()
                .own
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        })
    };
    let of_run = move || {
        let texts = page.texts.with(|texts| {
            texts
                .iter()
                .map(|text| text.name.clone())
                .collect::<Vec<_>>()
        });
        inputs.chosen.with(|chosen| chosen.of_run(&texts))
    };
    let reading = move || {
        inputs.chosen.with(|chosen| {
            chosen
                .offered_texts
                .is_some()
                .then_some("Reading the texts …")
        })
    };
    let taken = move |files: Result<Vec<Picked>, String>| {
        spawn_local(async move { settle(page, take(inputs, files).await) });
    };
    view! {
        <div class="data-part" id="texts">
            <h3>"Text"</h3>
            <ul class="data-list">
                <For each=bundled key=|text| text.name.clone() let:text>
                    <Bundled text locked />
                </For>
                <For each=own key=Clone::clone let:name>
                    <Own name locked />
                </For>
                <For each=of_run key=Clone::clone let:name>
                    <OfRun name />
                </For>
            </ul>
            <p class="hint" aria-live="polite">{live(reading)}</p>
            <Problems of=Control::Texts />
            <DropPlace
                hint="Your own: drop .txt or .gz files, one document per line"
                accept=".txt,.gz,.md,text/plain"
                button="Choose files"
                locked
                taken
            />
            <Paste locked />
        </div>
    }
}

/// Size and lines of a text, once the engine has read it.
fn measured(page: Page, name: &str) -> Option<String> {
    page.texts.with(|texts| {
        let text = texts.iter().find(|text| text.name == name)?;
        Some(format!(
            "{}, {} {}",
            words::bytes(text.bytes),
            words::count(text.lines),
            if text.lines == 1 { "line" } else { "lines" }
        ))
    })
}

#[component]
fn Bundled(text: BundledText, locked: Signal<bool>) -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let (name, shown) = (text.name.clone(), text.name.clone());
    let used = {
        let name = name.clone();
        move || {
            inputs
                .chosen
                .with(|chosen| !chosen.wanted_texts().left_out.contains(&name))
        }
    };
    let change = move |_| {
        let name = name.clone();
        offer(inputs, move |choice| {
            let before = choice.left_out.len();
            choice.left_out.retain(|left| *left != name);
            if choice.left_out.len() == before {
                choice.left_out.push(name);
            }
        });
    };
    let size = move || measured(page, &text.name).unwrap_or_else(|| words::bytes(text.bytes));
    view! {
        <li>
            <label>
                <input type="checkbox" prop:checked=used disabled=locked on:change=change />
                <span class="data-name">{shown}</span>
            </label>
            <span class="hint number">{live(size)}</span>
        </li>
    }
}

#[component]
fn Own(name: String, locked: Signal<bool>) -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let (shown, label, of) = (name.clone(), format!("Remove {name}"), name.clone());
    let remove = move |_| {
        let name = name.clone();
        offer(inputs, move |choice| {
            choice.own.retain(|(own, _)| *own != name)
        });
    };
    view! {
        <li>
            <span class="data-name">{shown}</span>
            <span class="hint number">{live(move || measured(page, &of))}</span>
            <button class="button quiet" aria-label=label disabled=locked on:click=remove>"Remove"</button>
        </li>
    }
}

/// A text of the run that was taken up; its contents are with the engine alone.
#[component]
fn OfRun(name: String) -> impl IntoView {
    let page = inputs().page;
    let of = name.clone();
    view! {
        <li>
            <span class="data-name">{name}</span>
            <span class="hint number">{live(move || measured(page, &of))} ", from the saved run"</span>
        </li>
    }
}

/// Characters of a pasted text that go into the field. A browser takes seconds to lay out more, and nobody reads it there.
const SHOWN: u32 = 200_000;

#[component]
fn Paste(locked: Signal<bool>) -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let text = RwSignal::new(String::new());
    let take = move |_| {
        spawn_local(async move {
            let result = paste(inputs, &text.get_untracked()).await;
            if result.is_ok() {
                text.set(String::new());
            }
            settle(page, result);
        });
    };
    // A long text is used at once and never passes through the field.
    let pasted = move |event: ClipboardEvent| {
        let Some(long) = long_text(&event) else {
            return;
        };
        event.prevent_default();
        if locked.get_untracked() {
            return;
        }
        page.announce("The pasted text is long, so it is added without being shown.");
        spawn_local(async move { settle(page, paste_long(inputs, &long).await) });
    };
    view! {
        <details class="data-more">
            <summary>"Paste a text"</summary>
            <div class="field">
                <label for="paste">"Text, one document per line"</label>
                <textarea id="paste" rows="5" prop:value=text on:input=move |event| text.set(event_target_value(&event)) on:paste=pasted></textarea>
                <p class="hint">"A long text is added as soon as you paste it, and is not shown here."</p>
            </div>
            <button class="button" disabled=locked on:click=take>"Use this text"</button>
        </details>
    }
}

fn settle(page: Page, result: Result<(), String>) {
    if let Err(message) = result {
        page.problem(Control::Texts, message);
    }
}

fn offer(inputs: Inputs, change: impl FnOnce(&mut TextChoice) + 'static) {
    spawn_local(async move {
        // Another change may have come in since.
        let mut choice = inputs
            .chosen
            .with_untracked(|chosen| chosen.wanted_texts().clone());
        change(&mut choice);
        settle(inputs.page, chosen::offer_texts(inputs, choice).await);
    });
}

async fn paste(inputs: Inputs, text: &str) -> Result<(), String> {
    inputs.page.solved(&Control::Texts);
    check::text("The pasted text", text.as_bytes(), text.len() as u64)?;
    let blob = blobs::of_bytes(text.as_bytes())?;
    add(inputs, vec![("pasted text".to_owned(), blob)]).await
}

/// The text of a paste, if it is too long for the field. It stays outside of wasm's memory.
fn long_text(event: &ClipboardEvent) -> Option<JsString> {
    let data = event.clipboard_data()?;
    // web-sys's own would copy it into wasm's memory.
    let get: Function = Reflect::get(&data, &"getData".into())
        .ok()?
        .dyn_into()
        .ok()?;
    let text = get.call1(&data, &"text/plain".into()).ok()?;
    let text: JsString = text.dyn_into().ok()?;
    (text.length() > SHOWN).then_some(text)
}

async fn paste_long(inputs: Inputs, text: &JsString) -> Result<(), String> {
    let path = "pasted text".to_owned();
    let blob = Blob::new_with_str_sequence(&Array::of1(text)).map_err(|e| blobs::reason(&e));
    take(inputs, blob.map(|blob| vec![Picked { path, blob }])).await
}

async fn take(inputs: Inputs, files: Result<Vec<Picked>, String>) -> Result<(), String> {
    inputs.page.solved(&Control::Texts);
    let mut texts = Vec::new();
    for Picked { path, blob } in files? {
        look_at(&path, &blob).await?;
        texts.push((path, blob));
    }
    add(inputs, texts).await
}

/// Refuses what is no text by its size and its beginning.
async fn look_at(name: &str, blob: &Blob) -> Result<(), String> {
    let bytes = blobs::size(blob);
    check::size(name, bytes)?;
    let first = blobs::read(name, blob, 0..bytes.min(check::FIRST)).await?;
    check::text(name, &first, bytes)
}

async fn add(inputs: Inputs, texts: Vec<blobs::NamedBlob>) -> Result<(), String> {
    let mut choice = inputs
        .chosen
        .with_untracked(|chosen| chosen.wanted_texts().clone());
    for (name, blob) in texts {
        let name = choice.free_name(&name);
        choice.own.push((name, blob));
    }
    let sum = choice.own.iter().map(|(_, blob)| blobs::size(blob)).sum();
    check::size("Your texts together", sum)?;
    chosen::offer_texts(inputs, choice).await
}
