//! Teacher, texts and checkpoints: bundled, dropped, or from the hub.

use leptos::prelude::*;

/// Teacher, texts and checkpoints: bundled, dropped, or from the hub.
#[component]
pub fn Data() -> impl IntoView {
    view! { <section></section> }
}
