//! Curves of a run: loss by pair, learning rate, gradient norm.

use leptos::prelude::*;

/// Curves of a run: loss by pair, learning rate, gradient norm.
#[component]
pub fn Charts() -> impl IntoView {
    view! { <section></section> }
}
