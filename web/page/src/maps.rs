//! Relations of one sentence: teacher, student, difference.

use leptos::prelude::*;

/// Relations of one sentence: teacher, student, difference.
#[component]
pub fn MapsPanel() -> impl IntoView {
    view! { <section></section> }
}
