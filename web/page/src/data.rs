//! Teacher, texts and checkpoints: bundled, dropped, or from the hub.

pub mod blobs;
mod check;
mod checkpoint;
mod chosen;
mod download;
mod drop;
mod fetch;
mod hub;
mod hub_panel;
pub mod student;
mod teacher;
mod texts;
mod unzip;

use leptos::prelude::*;
use limbeck_protocol::RunState;

pub use chosen::{Chosen, Inputs, inputs, provide};

/// Teacher, texts and checkpoints: bundled, dropped, or from the hub.
#[component]
pub fn Data() -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    chosen::follow(inputs);
    student::follow(inputs);
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
