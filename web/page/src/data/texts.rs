//! The texts to learn from.

use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::Control;

use super::chosen::{self, BundledText, Inputs, TextChoice, inputs};
use super::drop::{DropPlace, Picked};
use super::{Problems, blobs, check};
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
            </ul>
            <p class="hint" aria-live="polite">{reading}</p>
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
                <input type="checkbox" prop:checked=used disabled=move || locked.get() on:change=change />
                <span class="data-name">{shown}</span>
            </label>
            <span class="hint number">{size}</span>
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
            <span class="hint number">{move || measured(page, &of)}</span>
            <button class="button quiet" aria-label=label disabled=move || locked.get() on:click=remove>"Remove"</button>
        </li>
    }
}

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
    view! {
        <details class="data-more">
            <summary>"Paste a text"</summary>
            <div class="field">
                <label for="paste">"Text, one document per line"</label>
                <textarea id="paste" rows="5" prop:value=move || text.get() on:input=move |event| text.set(event_target_value(&event))></textarea>
            </div>
            <button class="button" disabled=move || locked.get() on:click=take>"Use this text"</button>
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

async fn take(inputs: Inputs, files: Result<Vec<Picked>, String>) -> Result<(), String> {
    inputs.page.solved(&Control::Texts);
    let mut texts = Vec::new();
    for Picked { path, blob } in files? {
        let bytes = blobs::size(&blob);
        check::size(&path, bytes)?;
        let first = blobs::read(&path, &blob, 0..bytes.min(check::FIRST)).await?;
        check::text(&path, &first, bytes)?;
        texts.push((path, blob));
    }
    add(inputs, texts).await
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
