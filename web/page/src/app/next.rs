//! What the next run is made of: teacher, texts and recipe, in a panel that opens.

use leptos::prelude::*;
use limbeck_protocol::Control;

use crate::data::Data;
use crate::form::{Form, gist};
use crate::live::{live, memo};
use crate::state::page;

/// The panel's id.
const ID: &str = "recipe";

/// Opens the panel.
pub fn open() {
    if let Some(panel) = document().get_element_by_id(ID) {
        // It is on the page for good, and any value will do.
        let _ = panel.set_attribute("open", "");
    }
}

/// Teacher, texts and recipe. It opens by itself when something in it has to be fixed.
#[component]
pub fn NextRun(
    /// Whether it has the data.
    data: bool,
    /// Whether it has the recipe.
    form: bool,
) -> impl IntoView {
    let page = page();
    let wrong = memo(move || {
        let controls = [Control::Teacher, Control::Texts, Control::Checkpoint];
        let refused = controls
            .iter()
            .map(|control| page.problems_of(control).len());
        let mistakes = page.plan.with(|plan| match plan {
            Some(Err(mistakes)) => mistakes.len(),
            _ => 0,
        });
        refused.sum::<usize>() + mistakes
    });
    Effect::new(move |before: Option<usize>| {
        let now = wrong.get();
        if now > before.unwrap_or(0) {
            open();
        }
        now
    });
    view! {
        <details class="panel next" id=ID>
            <summary>
                <h2>"Next run"</h2>
                <span class="hint">{live(move || gist(page))}</span>
            </summary>
            <div class="next-parts">
                <div hidden=!data><Data/></div>
                <div hidden=!form><Form/></div>
            </div>
        </details>
    }
}
