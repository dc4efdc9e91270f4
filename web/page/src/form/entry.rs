//! A control for a number or a list of numbers: what is typed stays while it is none, and the recipe stays as it was.

use leptos::prelude::*;

use crate::live::live;

/// What was typed since the field was last at rest.
#[derive(Clone, PartialEq)]
struct Typed {
    text: String,
    /// The field's text that came of it; none if it is no value.
    value: Option<String>,
}

/// A control for a number or a list of numbers.
#[derive(Clone)]
pub struct Entry {
    /// Id of the control; its hint and its mistakes have it with `-hint` and `-mistake`.
    pub id: String,
    /// Id of what describes it.
    pub described_by: String,
    /// Name for a screen reader, where no label says it.
    pub label: Option<String>,
    /// `inputmode`: the keyboard of a phone.
    pub keyboard: &'static str,
    /// The recipe's text.
    pub text: Memo<String>,
    /// What an empty control means.
    pub placeholder: Signal<String>,
    /// Whether it cannot be used.
    pub disabled: Signal<bool>,
    /// Whether something is wrong with it.
    pub invalid: Signal<bool>,
    /// Why what is typed is no value; it goes when that is mended or the form is set anew.
    pub error: RwSignal<Option<String>>,
    /// Sets the recipe.
    pub write: Callback<String, Result<(), String>>,
    /// Called with the error when somebody leaves the control so.
    pub left_wrong: Callback<String>,
    /// See [`super::desk::Desk::cleared`].
    pub cleared: RwSignal<u32>,
}

impl Entry {
    /// The control.
    pub fn view(self) -> AnyView {
        let (text, error) = (self.text, self.error);
        let typed = RwSignal::new(None::<Typed>);
        let cleared = self.cleared;
        Effect::new(move |first: Option<()>| {
            cleared.track();
            if first.is_some() {
                typed.set(None);
                error.set(None);
            }
        });
        // A value that was set elsewhere wins over what was typed.
        let shown = move || {
            let value = text.get();
            let stands = |typed: &Typed| match &typed.value {
                Some(own) => *own == value,
                None => error.with(Option::is_some),
            };
            let held = typed.get().filter(stands);
            held.map_or(value, |typed| typed.text)
        };
        let (write, left_wrong) = (self.write, self.left_wrong);
        let on_input = move |event| {
            let written = event_target_value(&event);
            let result = write.run(written.clone());
            typed.set(Some(Typed {
                text: written,
                value: result.is_ok().then(|| text.get_untracked()),
            }));
            error.set(result.err());
        };
        let on_change = move |_| match error.get_untracked() {
            Some(error) => left_wrong.run(error),
            None => typed.set(None),
        };
        let invalid = self.invalid;
        view! {
            <input
                type="text"
                class="number"
                autocomplete="off"
                spellcheck="false"
                inputmode=self.keyboard
                id=self.id
                aria-describedby=self.described_by
                aria-label=self.label
                aria-invalid=live(move || invalid.get().then_some("true"))
                disabled=self.disabled
                placeholder=self.placeholder
                prop:value=live(shown)
                on:input=on_input
                on:change=on_change
            />
        }
        .into_any()
    }
}
