//! The page as a whole: its parts, its keys, what is hidden.

use leptos::prelude::*;

/// The page as a whole: its parts, its keys, what is hidden.
#[component]
pub fn App() -> impl IntoView {
    view! { <section></section> }
}
