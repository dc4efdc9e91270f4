//! The recipe as a form.

use leptos::prelude::*;

/// The recipe as a form.
#[component]
pub fn Form() -> impl IntoView {
    view! { <section></section> }
}
