//! The recipe as a form: presets, fields with their mistakes, what a run will cost, and the recipe as link and file.

mod cost;
mod desk;
mod entry;
mod estimates;
mod fields;
mod line;
mod link;
mod pairs;
mod presets;

use leptos::html::Details;
use leptos::prelude::*;
use limbeck_protocol::{EngineKind, RunState};
use limbeck_recipe::Recipe;

use crate::live::{effect, live, memo};
use crate::state::{Page, page};

use desk::Desk;
use fields::{FIELDS, Group};

pub use link::{parameters, query, replaced};

/// The recipe that the page's address asks for, the key of its preset, and what could not be taken from the address.
pub fn initial() -> (Recipe, &'static str, Vec<String>) {
    link::read(&desk::search())
}

/// Takes the preset that fits the engine, once it is known: not where a link names a recipe, nor over what was edited.
pub fn adapt_to(page: Page) {
    let Some(engine) = page.engine.get_untracked() else {
        return;
    };
    let gpu = cost::on_gpu(Some(&engine), page.recipe.get_untracked().device);
    let choice = presets::first_choice(gpu || engine.kind == EngineKind::Native);
    let now = presets::preset(page.preset.get_untracked());
    let untouched = now.is_some_and(|now| {
        let base = (now.recipe)();
        page.recipe
            .with_untracked(|recipe| fields::agree(recipe, &base))
    });
    let idle = page.state.with_untracked(|state| *state == RunState::Idle);
    let asked = link::holds_recipe(&desk::search());
    if untouched && idle && !asked && choice != page.preset.get_untracked() {
        desk::choose(page, choice);
    }
}

/// The edited recipe in a few words: `First look: a student of 2 x 64, 300 steps`. Reactive.
pub fn gist(page: Page) -> String {
    let name = presets::preset(page.preset.get()).map_or("", |preset| preset.name);
    page.recipe.with(|recipe| {
        let base = presets::preset(page.preset.get_untracked());
        let same = base.is_some_and(|base| fields::agree(recipe, &(base.recipe)()));
        let changed = if same { "" } else { ", changed" };
        format!(
            "Data and recipe. {name}{changed}: a student of {} \u{d7} {}, {} steps",
            recipe.student.layers,
            recipe.student.hidden,
            crate::words::count(recipe.steps)
        )
    })
}

/// A recipe as a file for the command line.
pub fn toml(recipe: &Recipe) -> String {
    const HEAD: &str = "\
# A recipe of Limbeck, from its page. Save it as recipe.toml; this runs it:
#   limbeck distill --config recipe.toml
# Paths of `teacher` and `corpus` count from the folder where you run that; change them to where yours are.
";
    // Only a number beyond TOML's cannot be written, and no control takes one.
    let body = ::toml::to_string(recipe).unwrap_or_default();
    format!("{HEAD}{body}")
}

/// The recipe as a form.
#[component]
pub fn Form() -> impl IntoView {
    let desk = Desk::new(page());
    desk.keep_address();
    view! {
        <section class="panel form" id="form" aria-labelledby="form-title">
            <h2 id="form-title">"Recipe"</h2>
            {preset_cards(desk)}
            {notes(desk)}
            {estimates::estimates(desk)}
            <div class="form-groups">
                {group(desk, Group::Student, "Student")}
                {group(desk, Group::Relations, "What is compared")}
                {group(desk, Group::Training, "Training")}
            </div>
            {more(desk)}
        </section>
    }
}

fn preset_cards(desk: Desk) -> AnyView {
    let card = move |preset: presets::Preset| {
        let key = preset.key;
        let chosen = move || desk.page.preset.get() == key;
        view! {
            <label class="preset" class:chosen=live(chosen)>
                <input
                    type="radio"
                    name="preset"
                    value=key
                    prop:checked=live(chosen)
                    on:change=move |_| desk.take_preset(key)
                />
                <span class="preset-name">{preset.name}</span>
                <span class="hint">{preset.sentence}</span>
            </label>
        }
    };
    view! {
        <fieldset class="presets">
            <legend>"Start from"</legend>
            {presets::presets().map(card).into_iter().collect_view()}
        </fieldset>
    }
    .into_any()
}

/// How far the recipe is from its preset and from the run.
fn notes(desk: Desk) -> AnyView {
    let changes = memo(move || desk.changes());
    let counted = move || match changes.get() {
        0 => "Same as the preset.".to_owned(),
        1 => "1 field differs from the preset.".to_owned(),
        n => format!("{n} fields differ from the preset."),
    };
    let undo = move || {
        desk.replaced.with(Option::is_some).then(|| {
            view! {
                <button type="button" class="button quiet" on:click=move |_| desk.undo()>
                    "Undo: restore my changes"
                </button>
            }
        })
    };
    view! {
        <div class="row form-notes">
            <span class="muted">{live(counted)}</span>
            <button
                type="button"
                class="button quiet"
                hidden=live(move || changes.get() == 0)
                on:click=move |_| desk.reset_all()
            >
                "Reset all"
            </button>
            {live(undo)}
        </div>
        <div aria-live="polite">
            {live(move || desk.differs_from_run().map(|text| view! { <p class="notice">{text}</p> }))}
        </div>
    }
    .into_any()
}

fn lines(desk: Desk, group: Group) -> Vec<AnyView> {
    let of_group = FIELDS.iter().filter(|field| field.group == group);
    of_group.map(|field| line::line(desk, field)).collect()
}

fn group(desk: Desk, group: Group, name: &'static str) -> AnyView {
    view! {
        <fieldset class="form-group">
            <legend>{name}</legend>
            <div class="form-lines">{lines(desk, group)}</div>
        </fieldset>
    }
    .into_any()
}

/// Closed, unless something in it must be fixed.
fn more(desk: Desk) -> AnyView {
    let details = NodeRef::<Details>::new();
    effect(move || {
        let hidden = FIELDS.iter().filter(|field| field.group == Group::More);
        let wrong = hidden
            .filter(|field| !desk.complaints(field).is_empty())
            .count();
        if wrong > 0
            && let Some(details) = details.get()
        {
            details.set_open(true);
        }
    });
    view! {
        <details class="form-more" node_ref=details>
            <summary>"More: checkpoints, held-out lines, pairs of texts, optimiser, output stage"</summary>
            <div class="form-lines">{lines(desk, Group::More)}</div>
        </details>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_the_whole_recipe_back() {
        for preset in presets::presets() {
            let mut recipe = (preset.recipe)();
            recipe.learning_rate = 0.1 + 0.2;
            recipe.seed = i64::MAX as u64;
            recipe.teacher = "a \"teacher\"\n\\ of 🐈".into();
            let text = toml(&recipe);
            assert!(text.starts_with('#') && text.contains("limbeck distill --config"));
            assert_eq!(::toml::from_str::<Recipe>(&text).expect("a recipe"), recipe);
        }
    }

    #[test]
    fn an_address_without_a_recipe_gives_the_first_preset() {
        let (recipe, preset, warnings) = initial();
        assert_eq!(recipe, (presets::presets()[0].recipe)());
        assert!(warnings.is_empty());
        assert_eq!(preset, presets::FIRST);
    }
}
