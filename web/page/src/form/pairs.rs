//! The nine pairs as a grid: rows of one projection against columns of another, each with its weight.

use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_recipe::{Objective, Pair, Vector};

use super::desk::Desk;
use super::entry::Entry;
use super::fields::{self, Field};
use crate::live::{live, memo};

/// The grid.
pub fn grid(desk: Desk, field: &'static Field) -> AnyView {
    let fixed = Signal::derive(move || {
        desk.page
            .recipe
            .with(|recipe| recipe.objective == Objective::MinilmV1)
    });
    let weights = memo(move || desk.page.recipe.with(fields::weights));
    let errors: [RwSignal<Option<String>>; 9] = std::array::from_fn(|_| RwSignal::new(None));
    let cell = move |index: usize| Cell {
        desk,
        index,
        pair: Pair::all()[index],
        weights,
        fixed,
        error: errors[index],
    };
    let row = move |row: usize| {
        view! {
            <tr>
                <th scope="row">{format!("{:?}", Vector::ALL[row])}</th>
                {(0..3).map(|column| cell(3 * row + column).view()).collect_view()}
            </tr>
        }
    };
    // What was left wrong is shown with the other complaints of this field.
    let wrong = move || {
        let shown = desk.complaints(field);
        let errors = errors.iter().zip(Pair::all());
        let texts = errors.filter_map(|(error, pair)| Some(format!("{pair}: {}", error.get()?)));
        let texts = texts.filter(|text| !shown.contains(text));
        texts
            .map(|text| view! { <p class="mistake">{text}</p> })
            .collect_view()
    };
    view! {
        <div
            class="pairs"
            role="group"
            aria-labelledby="field-pairs-label"
            aria-describedby="field-pairs-hint field-pairs-mistake"
            id="field-pairs"
            tabindex="-1"
        >
            <table>
                <thead>
                    <tr>
                        <td class="hint">"rows \\ columns"</td>
                        {Vector::ALL.map(|v| view! { <th scope="col">{format!("{v:?}")}</th> }).into_iter().collect_view()}
                    </tr>
                </thead>
                <tbody>{(0..3).map(row).collect_view()}</tbody>
            </table>
            {live(wrong)}
            {state(desk, field, fixed)}
        </div>
    }
    .into_any()
}

/// Whether the pairs are automatic, and the way there.
fn state(desk: Desk, field: &'static Field, fixed: Signal<bool>) -> AnyView {
    let own = memo(move || desk.page.recipe.with(|recipe| recipe.pairs.is_some()));
    let sentence = move || match (fixed.get(), own.get()) {
        (true, _) => "MiniLM v1 compares Q-K and V-V; MiniLMv2 lets you choose.",
        (false, false) => "Automatic: Q-Q, K-K and V-V, as in the paper.",
        (false, true) => "Your own choice.",
    };
    view! {
        <div class="row">
            <span class="hint">{live(sentence)}</span>
            <button
                type="button"
                class="button quiet"
                hidden=live(move || !own.get())
                // An empty text is always the automatic choice.
                on:click=move |_| desk.write(field, "").unwrap_or_default()
            >
                "Make it automatic"
            </button>
        </div>
    }
    .into_any()
}

#[derive(Clone, Copy)]
struct Cell {
    desk: Desk,
    index: usize,
    pair: Pair,
    weights: Memo<[Option<f64>; 9]>,
    fixed: Signal<bool>,
    error: RwSignal<Option<String>>,
}

impl Cell {
    fn weight(self) -> Option<f64> {
        self.weights.with(|weights| weights[self.index])
    }

    fn set(self, weight: Option<f64>) {
        let mut recipe = self.desk.page.recipe.get_untracked();
        fields::set_weight(&mut recipe, self.pair, weight);
        self.desk.put("pairs", recipe);
    }

    /// The colour that the curves of this pair will have.
    fn colour(self) -> Option<String> {
        let counts = self.weight().is_some_and(|weight| weight > 0.0);
        counts.then(|| format!("--pair: var(--c{})", crate::colours::of_pair(self.pair)))
    }

    fn view(self) -> AnyView {
        let name = self.pair.to_string();
        let title = format!("{name}: {}", meaning(self.pair));
        let spoken = title.clone();
        let used = move || self.weight().is_some();
        let on_check = move |event| {
            self.error.set(None);
            self.set(event_target_checked(&event).then_some(1.0));
        };
        view! {
            <td title=title style=live(move || self.colour())>
                <label class="pair-name">
                    <input
                        type="checkbox"
                        id=format!("pair-{}", self.pair.key())
                        aria-label=spoken
                        prop:checked=live(used)
                        prop:disabled=self.fixed
                        on:change=on_check
                    />
                    <span aria-hidden="true">{name}</span>
                </label>
                {self.entry().view()}
            </td>
        }
        .into_any()
    }

    fn entry(self) -> Entry {
        let text = memo(move || self.weight().map(fields::decimal_text).unwrap_or_default());
        let (error, fixed) = (self.error, self.fixed);
        let write = move |text: String| {
            let weight = fields::decimal(&text)?;
            self.set(Some(weight));
            Ok(())
        };
        Entry {
            id: format!("weight-{}", self.pair.key()),
            described_by: "field-pairs-mistake".into(),
            label: Some(format!("Weight of {}", self.pair)),
            keyboard: "decimal",
            text,
            placeholder: Signal::stored("–".into()),
            disabled: Signal::derive(move || fixed.get() || self.weight().is_none()),
            invalid: Signal::derive(move || {
                error.with(Option::is_some) || self.weight().is_some_and(|w| w < 0.0)
            }),
            error,
            write: Callback::new(write),
            left_wrong: Callback::new(move |error: String| {
                let message = format!("{}: {error}", self.pair);
                let control = Control::Field("pairs".into());
                self.desk.page.problem(control, message);
            }),
            cleared: self.desk.cleared,
        }
    }
}

/// What a relation says, for people.
fn meaning(pair: Pair) -> String {
    let name = |vector: Vector| match vector {
        Vector::Q => "queries",
        Vector::K => "keys",
        Vector::V => "values",
    };
    if pair == Pair::QK {
        return "how much each token attends to each: the attention itself".into();
    }
    if pair.is_self() {
        return format!("how alike the {} of two tokens are", name(pair.row));
    }
    format!(
        "how alike the {} of one token and the {} of another are",
        name(pair.row),
        name(pair.column)
    )
}
