//! The recipe as a form.

use leptos::prelude::*;
use limbeck_recipe::Recipe;

use crate::state::Page;

/// The recipe that the page's address asks for, and what of it could not be taken.
pub fn initial() -> (Recipe, Vec<String>) {
    (Recipe::default(), Vec::new())
}

/// Takes the preset that fits the engine, once it is known.
pub fn adapt_to(_page: Page) {}

/// The recipe as a form.
#[component]
pub fn Form() -> impl IntoView {
    view! { <section></section> }
}
