//! A teacher from the hub: looked up by its id, downloaded with one bar, stored for the next time.

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{AbortController, UrlSearchParams};

use super::chosen::{self, Inputs, inputs};
use super::download::{Download, Store, StoredModel, look_up};
use super::fetch::Failure;
use super::hub::{self, HubModel};
use super::teacher;
use crate::live::live;
use crate::words;

/// What the panel knows.
#[derive(Clone, Copy)]
struct Panel {
    inputs: Inputs,
    store: StoredValue<Store, LocalStorage>,
    hub: StoredValue<String>,
    /// What was looked up.
    found: RwSignal<Option<HubModel>>,
    /// Whether the hub is being asked.
    asking: RwSignal<bool>,
    /// Bytes that are there of a download that goes on.
    fetched: RwSignal<Option<u64>>,
    /// What went wrong.
    trouble: RwSignal<Option<String>>,
    /// What is stored.
    stored: RwSignal<Vec<StoredModel>>,
    abort: RwSignal<Option<AbortController>, LocalStorage>,
}

/// A teacher from the hub.
#[component]
pub fn HubPanel(
    /// Whether the teacher cannot be changed now.
    locked: Signal<bool>,
) -> impl IntoView {
    let base = hub::base(asked("hub").as_deref());
    let wrong = base.clone().err();
    let panel = Panel::new(inputs(), base.unwrap_or_else(|_| hub::HUGGING_FACE.into()));
    // A link may name a teacher of the hub; it is not fetched before somebody has seen its size.
    let linked = asked("teacher").and_then(|text| hub::id(&text).ok());
    let opened = linked.is_some();
    let text = RwSignal::new(linked.unwrap_or_default());
    let host = panel.hub.with_value(|hub| hub::host(hub).to_owned());
    let ask = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        panel.ask(text.get_untracked());
    };
    view! {
        <details class="data-more" id="hub" open=opened>
            <summary>"From the Hugging Face hub"</summary>
            {wrong.map(|wrong| view! { <p class="mistake">{wrong}</p> })}
            <form class="field" on:submit=ask>
                <label for="hub-id">"Model id"</label>
                <span class="row">
                    <input
                        id="hub-id"
                        type="text"
                        autocomplete="off"
                        autocapitalize="none"
                        spellcheck="false"
                        placeholder="sentence-transformers/all-MiniLM-L6-v2"
                        aria-describedby="hub-host"
                        prop:value=text
                        on:input=move |event| text.set(event_target_value(&event))
                    />
                    <button class="button" disabled=live(move || panel.busy())>"Look up"</button>
                </span>
                <span class="hint" id="hub-host">{format!("This contacts {host}; none of your data is sent.")}</span>
            </form>
            <div aria-live="polite">
                {live(move || panel.asking.get().then(|| view! { <p class="hint">"Looking it up …"</p> }))}
                {live(move || panel.trouble.get().map(|trouble| view! { <p class="mistake">{trouble}</p> }))}
                {live(move || panel.memory_only().map(|memory_only| view! { <p class="hint">{memory_only}</p> }))}
            </div>
            {live(move || panel.found.get().map(|model| view! { <Found panel model locked /> }))}
            <StoredList panel locked />
        </details>
    }
}

/// A parameter of the address.
fn asked(name: &str) -> Option<String> {
    let search = web_sys::window()?.location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()?.get(name)
}

impl Panel {
    fn new(inputs: Inputs, hub: String) -> Self {
        let panel = Self {
            inputs,
            store: StoredValue::new_local(Store::new(hub.clone())),
            hub: StoredValue::new(hub),
            found: RwSignal::new(None),
            asking: RwSignal::new(false),
            fetched: RwSignal::new(None),
            trouble: RwSignal::new(None),
            stored: RwSignal::new(Vec::new()),
            abort: RwSignal::new_local(None),
        };
        panel.list();
        panel
    }

    fn busy(&self) -> bool {
        self.asking.get() || self.fetched.get().is_some()
    }

    fn memory_only(&self) -> Option<String> {
        self.store.with_value(|store| store.memory_only).get()
    }

    fn list(self) {
        let store = self.store.get_value();
        spawn_local(async move { self.stored.set(store.list().await) });
    }

    fn fail(&self, failure: Failure) {
        let message = match failure {
            Failure::Cancelled => "Cancelled. The part already downloaded is saved.".into(),
            Failure::Trouble(message) => message,
        };
        self.inputs.page.announce(message.clone());
        self.trouble.set(Some(message));
    }

    fn ask(self, text: String) {
        self.trouble.set(None);
        self.found.set(None);
        let id = match hub::id(&text) {
            Ok(id) => id,
            Err(message) => return self.fail(Failure::Trouble(message)),
        };
        self.asking.set(true);
        spawn_local(async move {
            match look_up(&self.hub.get_value(), &id).await {
                Ok(model) => self.found.set(Some(model)),
                Err(failure) => self.fail(failure),
            }
            self.asking.set(false);
        });
    }

    fn fetch(self, model: HubModel) {
        // Browsers without it are too old for WebGPU and wasm SIMD alike.
        let Ok(controller) = AbortController::new() else {
            return;
        };
        self.trouble.set(None);
        self.found.set(Some(model.clone()));
        self.fetched.set(Some(0));
        let asked_now = chosen::ask_teacher(self.inputs);
        let signal = controller.signal();
        self.abort.set(Some(controller));
        spawn_local(async move {
            let (hub, store) = (self.hub.get_value(), self.store.get_value());
            let progress = |bytes| self.fetched.set(Some(bytes));
            let (model, store, abort, progress) =
                (&model, &store, &signal, &progress as &dyn Fn(u64));
            let files = Download {
                hub: &hub,
                model,
                store,
                abort,
                progress,
            }
            .run()
            .await;
            self.fetched.set(None);
            self.list();
            match files {
                Ok(files) => {
                    self.found.set(None);
                    teacher::settle(
                        self.inputs.page,
                        teacher::offer(self.inputs, model.id.clone(), files, asked_now).await,
                    );
                }
                Err(failure) => self.fail(failure),
            }
        });
    }

    fn cancel(&self) {
        self.abort.with_untracked(|abort| {
            if let Some(abort) = abort {
                abort.abort();
            }
        });
    }

    fn clear(self, model: &HubModel) {
        let (store, prefix) = (self.store.get_value(), model.prefix(&self.hub.get_value()));
        spawn_local(async move {
            store.clear(&prefix).await;
            store.memory_only.set(None);
            self.stored.set(store.list().await);
        });
    }
}

#[component]
fn Found(panel: Panel, model: HubModel, locked: Signal<bool>) -> impl IntoView {
    let (total, listing, id) = (model.bytes(), model.listing(), model.id.clone());
    let label = move || match panel.trouble.get() {
        Some(_) => "Try again".to_owned(),
        None => format!("Download {}", words::bytes(total)),
    };
    let fetching = move || panel.fetched.get().is_some();
    let model = StoredValue::new(model);
    view! {
        <div class="data-card">
            <p class="data-name">{id}</p>
            <p class="hint">{listing}</p>
            <Show
                when=fetching
                fallback=move || view! {
                    <button class="button primary" disabled=locked on:click=move |_| panel.fetch(model.get_value())>
                        {live(label)}
                    </button>
                }
            >
                <Bar panel total />
            </Show>
        </div>
    }
}

#[component]
fn Bar(panel: Panel, total: u64) -> impl IntoView {
    let done = move || panel.fetched.get().unwrap_or(0);
    view! {
        <progress aria-label="Download" max=total.to_string() prop:value=live(move || done() as f64)></progress>
        <p class="row">
            <span class="hint number">{live(move || format!("{} of {}", words::bytes(done()), words::bytes(total)))}</span>
            <button class="button quiet" type="button" on:click=move |_| panel.cancel()>"Cancel"</button>
        </p>
    }
}

#[component]
fn StoredList(panel: Panel, locked: Signal<bool>) -> impl IntoView {
    let entry = move |stored: StoredModel| {
        let (id, whole) = (stored.model.id.clone(), stored.is_whole());
        let size = words::bytes(stored.bytes);
        let state = if whole {
            format!("cached ✓ {size}")
        } else {
            format!("{size} of {}", words::bytes(stored.model.bytes()))
        };
        let action = if whole { "Use" } else { "Resume" };
        let (use_label, clear_label) = (format!("{action}: {id}"), format!("Clear {id}"));
        let (used, cleared) = (stored.model.clone(), stored.model);
        view! {
            <li>
                <span class="data-name">{id}</span>
                <span class="hint number">{state}</span>
                <span class="row">
                    <button
                        class="button quiet"
                        aria-label=use_label
                        disabled=live(move || locked.get() || panel.busy())
                        on:click=move |_| panel.fetch(used.clone())
                    >
                        {action}
                    </button>
                    <button
                        class="button quiet"
                        aria-label=clear_label
                        disabled=live(move || panel.busy())
                        on:click=move |_| panel.clear(&cleared)
                    >
                        "Clear"
                    </button>
                </span>
            </li>
        }
    };
    view! { <ul class="data-list">{live(move || panel.stored.get().into_iter().map(entry).collect_view())}</ul> }
}
