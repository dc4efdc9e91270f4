//! The page as a whole: its parts, its keys, what is hidden.

mod action;
mod banners;
mod controls;
mod evaluation;
mod figures;
mod front;
mod guards;
mod header;
mod hide;
mod keys;
mod measure;
mod next;
mod support;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::chart::Charts;
use crate::data::Inputs;
use crate::live::{effect, live};
use crate::maps::{MapsPanel, Tour};
use crate::numbers::Numbers;
use crate::out::Out;
use crate::state::{Connection, Page};
use banners::{Address, NoGpu, Toasts};
use evaluation::Evaluations;
use figures::Figures;
use front::Front;
use header::Header;
use hide::{Hidden, Part};
use keys::Keys;
use next::NextRun;

/// The page as a whole: its parts, its keys, what is hidden.
#[component]
pub fn App() -> impl IntoView {
    let (recipe, preset, mut warnings) = crate::form::initial();
    let page = Page::new(recipe, preset);
    provide_context(page);
    let inputs = Inputs::new(page);
    provide_context(inputs);
    let search = window().location().search().unwrap_or_default();
    let (hidden, unknown) = hide::read(&search);
    warnings.extend(unknown);
    let parameters = crate::form::parameters(&search);
    let (runs, unknown) = hide::embedded(&parameters);
    warnings.extend(unknown);
    warnings.extend(crate::maps::provide(page, &parameters));

    crate::recorded::play(page);
    if runs {
        crate::engine::connect(page, move || spawn_local(crate::data::provide(inputs)));
    }
    guards::keep(page);
    effect(move || {
        if page.connection.get() == Connection::Open {
            crate::form::adapt_to(page);
        }
    });
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    layout(hidden, warnings)
}

/// Hidden parts stay in the page, for they may still have work to do: the form chooses the preset, say.
fn layout(hidden: Hidden, warnings: Vec<String>) -> impl IntoView {
    let seen = |part| !hidden.has(part);
    let configured = seen(Part::Data) || seen(Part::Form);
    let front = seen(Part::Run) || seen(Part::Maps) || seen(Part::Charts);
    view! {
        <a class="skip" href="#recipe" on:click=move |_| next::open()>"To the next run"</a>
        <a class="skip" href="#relations">"To the relations"</a>
        <div hidden=hidden.has(Part::Header)><Header/></div>
        <Announcer/>
        <Toasts/>
        <main class="layout" id="run">
            <Address warnings/>
            <div hidden=!front><Front hidden=hidden.clone()/></div>
            <div hidden=!configured><NextRun data=seen(Part::Data) form=seen(Part::Form)/></div>
            <div class="beside">
                <section class="panel run" aria-labelledby="progress-title" hidden=hidden.has(Part::Run)>
                    <h2 id="progress-title">"Progress"</h2>
                    <Figures/>
                    <NoGpu/>
                    <Evaluations/>
                </section>
                <div hidden=hidden.has(Part::Charts)><Charts/></div>
            </div>
            <div hidden=hidden.has(Part::Maps)><MapsPanel/></div>
            <div hidden=hidden.has(Part::Out)><Out/></div>
        </main>
        <Tour/>
        <footer class="foot">
            <div id="numbers" hidden=hidden.has(Part::Numbers)><Numbers/></div>
            <Keys/>
        </footer>
    }
}

/// What a screen reader says of its own accord.
#[component]
fn Announcer() -> impl IntoView {
    let page = crate::state::page();
    view! {
        <p class="visually-hidden" aria-live="polite" id="announcer">
            {live(move || page.announcement.get())}
        </p>
    }
}
