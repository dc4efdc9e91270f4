//! Teacher, texts and checkpoints: bundled, dropped, or from the hub.

mod archive;
pub mod blobs;
mod check;
mod checkpoint;
mod chosen;
mod download;
mod drop;
mod fetch;
mod hub;
mod hub_panel;
mod teacher;
mod texts;
mod unzip;

use leptos::prelude::*;
use limbeck_protocol::{Control, RunState};

pub use chosen::{Chosen, Inputs, inputs, provide};

use crate::state::page;

/// Teacher, texts and checkpoints: bundled, dropped, or from the hub.
#[component]
pub fn Data() -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    chosen::follow(inputs);
    let computes = move || matches!(page.state.get(), RunState::Running | RunState::Preparing);
    let locked = Signal::derive(computes);
    view! {
        <section class="panel data" id="data" aria-labelledby="data-title">
            <h2 id="data-title">"Data"</h2>
            <Show when=computes>
                <p class="hint">"A run is in progress. Pause or stop it to change its data."</p>
            </Show>
            <div class="data-parts">
                <teacher::Teacher locked />
                <texts::Texts locked />
                <checkpoint::Checkpoint locked />
            </div>
        </section>
    }
}

/// What is wrong at a control, beside it.
#[component]
fn Problems(of: Control) -> impl IntoView {
    let page = page();
    let problem = |message: String| view! { <p class="mistake">{message}</p> };
    view! { <div>{move || page.problems_of(&of).into_iter().map(problem).collect_view()}</div> }
}
