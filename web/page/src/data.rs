//! Teacher, texts and checkpoints: bundled, dropped, or from the hub.

use leptos::prelude::*;

use crate::state::Page;

/// Teacher, texts and checkpoints: bundled, dropped, or from the hub.
#[component]
pub fn Data() -> impl IntoView {
    view! { <section></section> }
}

/// Sends the data at hand to the engine.
pub async fn provide(_page: Page) {}
