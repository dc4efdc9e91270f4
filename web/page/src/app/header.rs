//! Name, purpose, state of the engine, theme.

use leptos::prelude::*;
use limbeck_protocol::{EngineInfo, EngineKind};

use crate::live::{effect, live};
use crate::state::{Connection, page};

const THEME: &str = "limbeck-theme";

/// Name, purpose, state of the engine, theme.
#[component]
pub fn Header() -> impl IntoView {
    view! {
        <header class="head">
            <p class="mark">
                <svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
                    stroke-linejoin="round" aria-hidden="true">
                    <path d="M8 14.6C8 5 15 2.500 19 8l9.500 13M14 14.600c0-3.600 1.500-4.300 3.500-1.600L25 23.500M8 14.600a7.500 7.500 0 1 0 6 0M3.800 21.500h14.400M28 27v1.500"/>
                </svg>
                <span>"limbeck"</span>
            </p>
            <h1>"Distil a Transformer in a tab"</h1>
            <p class="lead">
                "limbeck turns a big encoder into a small, fast one, without labels: half of all-MiniLM-L6-v2\u{2019}s layers kept \
                97.8 % of its sentence-similarity score (95.6 % before training). "
                <a href="teach.html">"Six experiments"</a>
            </p>
            <div class="head-tools"><EngineChip/><ThemeButton/></div>
        </header>
    }
}

#[component]
fn EngineChip() -> impl IntoView {
    let page = page();
    let text = move || match (page.connection.get(), page.engine.get()) {
        (Connection::Loading(done, total), _) => match (done * 100).checked_div(total) {
            Some(percent) => format!("Loading the engine, {} %", percent.min(100)),
            None => "Loading the engine".into(),
        },
        (Connection::Open, Some(engine)) => place(&engine),
        (Connection::Open, None) => "Engine".into(),
        (Connection::Lost(_), _) => "Engine lost, trying again".into(),
        (Connection::Impossible(_), _) => "No engine".into(),
    };
    let state = move || match page.connection.get() {
        Connection::Loading(..) => "busy",
        Connection::Open => "ok",
        Connection::Lost(_) | Connection::Impossible(_) => "bad",
    };
    let more = move || {
        page.engine.with(|engine| {
            engine.as_ref().map(|engine| {
                format!(
                    "limbeck {}; {}; checkpoints go to {}",
                    engine.software, engine.cpu, engine.keeps
                )
            })
        })
    };
    view! { <span class="chip" id="engine" data-state=live(state) title=live(more)>{live(text)}</span> }
}

/// Where an engine would compute by itself, for people.
fn place(engine: &EngineInfo) -> String {
    let on = match &engine.adapter {
        Some(adapter) if !adapter.software => format!("on {}", adapter.name),
        _ => "on the CPU".to_owned(),
    };
    match engine.kind {
        EngineKind::Worker => format!("Ready {on}"),
        EngineKind::Native => format!("limbeck serve {on}"),
    }
}

/// What the page looks like.
#[derive(Clone, Copy, PartialEq)]
enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// The user's earlier choice.
    fn saved() -> Self {
        let storage = window().local_storage().ok().flatten();
        let name = storage.and_then(|storage| storage.get_item(THEME).ok().flatten());
        match name.as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    /// Storage may be forbidden; then the choice lasts as long as the page.
    fn save(self) {
        let storage = window().local_storage().ok().flatten();
        if let (Some(root), Some(storage)) = (document().document_element(), storage) {
            let set = match self {
                Self::System => {
                    storage.remove_item(THEME).ok();
                    root.remove_attribute("data-theme")
                }
                Self::Light | Self::Dark => {
                    storage.set_item(THEME, self.name()).ok();
                    root.set_attribute("data-theme", self.name())
                }
            };
            set.ok();
        }
    }
}

#[component]
fn ThemeButton() -> impl IntoView {
    let theme = RwSignal::new(Theme::saved());
    effect(move || theme.get().save());
    view! {
        <button class="button quiet" id="theme" title="Light, dark, or the system\u{2019}s setting"
            on:click=move |_| theme.update(|theme| *theme = theme.next())>
            <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
                <circle cx="10" cy="10" r="7.500" fill="none" stroke="currentColor" stroke-width="1.600"/>
                <path d="M10 2.500a7.500 7.500 0 0 1 0 15z" fill="currentColor"/>
            </svg>
            <span class="visually-hidden">"Theme: "</span>
            {live(move || theme.get().name())}
        </button>
    }
}
