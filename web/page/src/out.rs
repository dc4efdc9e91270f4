//! What leaves the page: student, metrics, recipe, link.

use leptos::prelude::*;

/// What leaves the page: student, metrics, recipe, link.
#[component]
pub fn Out() -> impl IntoView {
    view! { <section></section> }
}
