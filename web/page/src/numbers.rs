//! Self-test and benchmark, as a report to copy.

use leptos::prelude::*;

/// Self-test and benchmark, as a report to copy.
#[component]
pub fn Numbers() -> impl IntoView {
    view! { <section></section> }
}
