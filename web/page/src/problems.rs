//! What is wrong at a control, beside it.

use leptos::prelude::*;
use limbeck_protocol::Control;

use crate::live::live;
use crate::state::page;

/// What is wrong at a control, beside it.
#[component]
pub fn Problems(
    /// The control.
    of: Control,
) -> impl IntoView {
    let page = page();
    let problem = |message: String| view! { <p class="mistake">{message}</p> };
    view! { <div>{live(move || page.problems_of(&of).into_iter().map(problem).collect_view())}</div> }
}
