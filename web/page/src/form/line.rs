//! One field: label, control, hint, what is wrong with it, and the way back to the preset.

use leptos::prelude::*;
use limbeck_protocol::Control;

use super::desk::Desk;
use super::entry::Entry;
use super::fields::{Choice, Field, Kind, control_id};
use super::pairs;
use crate::live::{live, memo};

/// The view of a field.
pub fn line(desk: Desk, field: &'static Field) -> AnyView {
    let id = control_id(field.key);
    let error = RwSignal::new(None::<String>);
    let text = memo(move || desk.page.recipe.with(|recipe| field.text(recipe)));
    let control = match field.kind {
        Kind::Whole => number(desk, field, text, error, "numeric"),
        Kind::Decimal => number(desk, field, text, error, "decimal"),
        Kind::Layers => number(desk, field, text, error, "text"),
        Kind::Choice(choices) => select(desk, field, choices),
        Kind::Pairs => pairs::grid(desk, field),
    };
    let title = match field.kind {
        Kind::Pairs => view! { <span id=format!("{id}-label")>{field.label}</span> }.into_any(),
        _ => view! { <label for=id.clone()>{field.label}</label> }.into_any(),
    };
    let complaints = move || match error.get() {
        Some(error) => vec![error],
        None => desk.complaints(field),
    };
    let changed = memo(move || text.get() != desk.base.with(|base| field.text(base)));
    let wide = matches!(field.kind, Kind::Pairs);
    view! {
        <div class="field form-line" class:changed=changed class:wide=wide>
            <div class="form-label">{title} {reset(desk, field, changed, error)}</div>
            {control}
            <p class="hint" id=format!("{id}-hint")>{field.hint}</p>
            <div id=format!("{id}-mistake") aria-live="polite">
                {live(move || {
                    let texts = complaints().into_iter();
                    texts.map(|text| view! { <p class="mistake">{text}</p> }).collect_view()
                })}
            </div>
        </div>
    }
    .into_any()
}

/// The mark of a changed field, which takes the change back.
fn reset(
    desk: Desk,
    field: &'static Field,
    changed: Memo<bool>,
    error: RwSignal<Option<String>>,
) -> AnyView {
    let base = move || {
        let text = desk.base.with(|base| field.text(base));
        if text.is_empty() {
            "automatic".to_owned()
        } else {
            text
        }
    };
    let name = move || format!("Reset {} to {}", field.label, base());
    let on_click = move |_| {
        let text = desk.base.with_untracked(|base| field.text(base));
        // A preset's own text is always a value.
        error.set(desk.write(field, &text).err());
    };
    view! {
        <button
            type="button"
            class="form-reset"
            hidden=live(move || !changed.get() && error.with(Option::is_none))
            title=live(name)
            aria-label=live(name)
            on:click=on_click
        >
            "changed"
            <span aria-hidden="true">" ↺"</span>
        </button>
    }
    .into_any()
}

fn number(
    desk: Desk,
    field: &'static Field,
    text: Memo<String>,
    error: RwSignal<Option<String>>,
    keyboard: &'static str,
) -> AnyView {
    let id = control_id(field.key);
    let placeholder = Signal::derive(move || automatic(desk, field));
    let invalid =
        Signal::derive(move || error.with(Option::is_some) || !desk.complaints(field).is_empty());
    let entry = Entry {
        described_by: format!("{id}-hint {id}-mistake"),
        id,
        label: None,
        keyboard,
        text,
        placeholder,
        disabled: Signal::stored(false),
        invalid,
        error,
        write: Callback::new(move |text: String| desk.write(field, &text)),
        left_wrong: Callback::new(move |error: String| {
            desk.page.problem(Control::Field(field.key.into()), error);
        }),
        cleared: desk.cleared,
    };
    let seed = (field.key == "seed").then(|| {
        view! {
            <button type="button" class="button quiet" on:click=move |_| error.set(new_seed(desk, field).err())>
                "New seed"
            </button>
        }
    });
    view! { <div class="form-control">{entry.view()} {seed}</div> }.into_any()
}

fn automatic(desk: Desk, field: &Field) -> String {
    let Some(automatic) = field.automatic else {
        return String::new();
    };
    let teacher = desk.teacher.get();
    let value = desk
        .page
        .recipe
        .with(|recipe| automatic(recipe, teacher.as_ref()));
    if value.is_empty() {
        "automatic".into()
    } else {
        format!("automatic ({value})")
    }
}

fn new_seed(desk: Desk, field: &Field) -> Result<(), String> {
    let seed = (js_sys::Math::random() * f64::from(u32::MAX)).floor();
    desk.write(field, &seed.to_string())
}

fn select(
    desk: Desk,
    field: &'static Field,
    choices: fn(&limbeck_recipe::Recipe, Option<&limbeck_recipe::Config>) -> Vec<Choice>,
) -> AnyView {
    let id = control_id(field.key);
    let listed = memo(move || {
        let teacher = desk.teacher.get();
        desk.page.recipe.with(|recipe| {
            let now = field.text(recipe);
            let all = choices(recipe, teacher.as_ref()).into_iter();
            all.map(|choice| (choice.value == now, choice))
                .collect::<Vec<_>>()
        })
    });
    let option = |(chosen, choice): (bool, Choice)| {
        let text = match &choice.refused {
            Some(reason) => format!("{}: {reason}", choice.text),
            None => choice.text,
        };
        view! {
            <option value=choice.value disabled=choice.refused.is_some() prop:selected=chosen>
                {text}
            </option>
        }
    };
    let on_change = move |event| {
        // Every entry that can be chosen is a value.
        desk.write(field, &event_target_value(&event))
            .unwrap_or_default();
    };
    let described_by = format!("{id}-hint {id}-mistake");
    view! {
        <select
            id=id
            aria-describedby=described_by
            aria-invalid=live(move || (!desk.complaints(field).is_empty()).then_some("true"))
            on:change=on_change
        >
            {live(move || listed.get().into_iter().map(option).collect_view())}
        </select>
    }
    .into_any()
}
