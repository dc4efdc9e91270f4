//! A tour of relation distillation on the live page: each step says something and sets the view to show it.

use leptos::html::Div;
use leptos::prelude::*;
use limbeck_recipe::Pair;

use super::choice::Choice;
use super::picture::Picture;
use super::pictures::{FILM, LINES, MAPS};
use super::seen::Seen;
use super::view::{View, view};
use crate::keys::focus;
use crate::live::{effect, live, memo};
use crate::state::{RunLog, page};

/// A step of the tour.
struct Step {
    title: &'static str,
    text: &'static str,
    /// The part of the page that it is about.
    place: &'static str,
    /// The whole view that it shows, from what a run shows by itself. It depends on no step before it.
    show: fn(&Seen) -> Choice,
}

/// A picture, and all else as a run has it.
fn plainly(picture: &Picture) -> Choice {
    Choice {
        picture: picture.key,
        ..Choice::default()
    }
}

const STEPS: [Step; 8] = [
    Step {
        title: "Vectors",
        text: "In every layer a Transformer computes three vectors for each token: a query, a key and a value. Attention compares queries with keys. \
            But any two of the three can be compared, even queries with queries. MiniLMv2 teaches a student exactly these comparisons. \
            You see one sentence: its tokens are the rows and the columns.",
        place: "maps-strip",
        show: |_| plainly(&MAPS),
    },
    Step {
        title: "Dot products",
        text: "A cell starts as the dot product of two vectors, divided by the square root of their dimension D: s = q \u{b7} q / \u{221a}D for two queries. One cell is locked: below the maps you \
            see s for the teacher and for the student, with the numbers. The vectors of the two models differ in dimension, yet their scaled products \
            can be compared. That is the trick: a small student can learn from a large teacher.",
        place: "maps-cell",
        show: |seen| Choice {
            pair: Some(Pair::QQ),
            head: Some(0),
            cell: Some(seen.relation(Some(0)).worst()),
            ..Choice::default()
        },
    },
    Step {
        title: "Rows of a softmax",
        text: "A softmax over each row turns the products into probabilities: each row sums to 1 and says how strongly one token relates to each token of the \
            sentence. Here the rows are drawn as lines. One token is locked: its lines go to the tokens that it is most related to, in the teacher and in the student.",
        place: "maps-lines",
        show: |seen| Choice {
            head: Some(0),
            tokens: vec![seen.relation(Some(0)).worst().0],
            ..plainly(&LINES)
        },
    },
    Step {
        title: "Relation heads",
        text: "Teacher and student may have different numbers of attention heads. So their vectors are concatenated and split again, into as many relation heads as \
            you like. Move the slider and watch: each number of heads gives different maps. They are not the attention heads, which are one split among many.",
        place: "maps-cut",
        show: |seen| Choice {
            heads: seen.how.fits.iter().rfind(|heads| **heads <= 32).copied(),
            ..Choice::default()
        },
    },
    Step {
        title: "KL divergence",
        text: "How wrong is one row of the student\u{2019}s map? KL(teacher \u{2016} student) sums each probability of the teacher times the log of its ratio to the student's: \
            0 if both rows are equal. The bars beside the difference are the KL of each row. The small maps are sorted by it, and the head that was worst when this step began is chosen.",
        place: "maps-strip",
        show: |seen| Choice {
            head: seen.by_kl().first().copied(),
            by_kl: true,
            ..Choice::default()
        },
    },
    Step {
        title: "The gradient",
        text: "The loss is the mean of these KLs over heads and rows, summed over the pairs that the recipe names, say Q-Q, K-K and V-V. Training follows its gradient downhill: the \
            curves show the loss, step by step. Start a run of your own with the button at the top of the page; the maps change while it learns.",
        place: "charts-title",
        show: |_| Choice::default(),
    },
    Step {
        title: "The film of a run",
        text: "The page records the student while it trains. Press Play, or drag the slider: the student starts with even, blurred rows, finds the strong relations of the teacher first, \
            and then the faint ones. Below are several steps, side by side.",
        place: "maps-film",
        show: |_| plainly(&FILM),
    },
    Step {
        title: "Is attention copied?",
        text: "Attention compares queries with keys, and Q-K is not among the three pairs. In the recorded run Q-Q comes closer to the teacher, from 0.28 to 0.04 nats \
            on held-out lines, while Q-K, shown here, moves away, from 0.22 to 0.33: all three pairs stay as they are when the queries alone are rotated. \
            Tick Q-K in the recipe of the next run to keep it. Whether that makes a better student is another question; the experiments, linked at the top, ask more.",
        place: "maps-strip",
        show: |_| Choice {
            pair: Some(Pair::QK),
            ..Choice::default()
        },
    },
];

/// A step that there is, from 1.
pub fn within(step: usize) -> usize {
    step.clamp(1, STEPS.len())
}

/// The button that begins the tour.
pub fn begin(view: View) -> impl IntoView {
    view! {
        <button type="button" class="button quiet" id="tour-begin" hidden=live(move || view.tour.get().is_some()) on:click=move |_| view.tour.set(Some(1))>
            "Take the tour"
        </button>
    }
}

/// The card of the tour, over the page. Of a dialog that takes the focus a screen reader says title and text.
#[component]
pub fn Tour() -> impl IntoView {
    let (page, view) = (page(), view());
    // What was chosen before the tour began.
    let chosen = StoredValue::new(None::<Choice>);
    let card = NodeRef::<Div>::new();
    let waits = memo(move || view.seen.with(Option::is_some));
    effect(move || {
        let step = view.tour.get();
        keep_address(step);
        if step.is_none() {
            return;
        }
        // The panel draws when it is in sight, and only then is there something to show the step on.
        if !waits.get_untracked() {
            scroll_to("relations");
        }
        if let Some(card) = card.get() {
            // Reading goes on at the text of the step; what it is about stays where it is.
            let options = web_sys::FocusOptions::new();
            options.set_prevent_scroll(true);
            let _ = card.focus_with_options(&options);
        }
    });
    // A step is shown once, when there is something to show it on.
    Effect::new(move |shown: Option<Option<usize>>| {
        let step = view.tour.get();
        let before = shown.flatten();
        if step == before || !waits.get() {
            return before;
        }
        let Some(number) = step else {
            if let Some(choice) = chosen.try_update_value(Option::take).flatten() {
                view.choice.set(choice);
            }
            return None;
        };
        chosen.update_value(|chosen| {
            chosen.get_or_insert_with(|| view.choice.get_untracked());
        });
        let step = &STEPS[number - 1];
        let of = |run: &RunLog| Seen::of(run, &Choice::default());
        let seen = untrack(|| view.with_run(page, of));
        if let Some(seen) = seen.flatten() {
            view.preview.set(None);
            view.choice.set((step.show)(&seen));
        }
        // What it is about may have been made just now.
        request_animation_frame(move || scroll_to(step.place));
        Some(number)
    });
    let step = move || view.tour.get().map(|number| (number, &STEPS[number - 1]));
    let go = move |by: isize| {
        let number = view.tour.get_untracked().unwrap_or(1);
        view.tour
            .set(Some(within(number.saturating_add_signed(by))));
    };
    let end = move || {
        view.tour.set(None);
        focus("tour-begin");
    };
    view! {
        <div class="tour" id="tour" role="dialog" aria-labelledby="tour-title" tabindex="-1" node_ref=card hidden=live(move || view.tour.get().is_none())
            on:keydown=move |event| if event.key() == "Escape" { end() }>
            <h3 id="tour-title">{live(move || step().map(|(number, step)| format!("{number} of {}: {}", STEPS.len(), step.title)))}</h3>
            <p>{live(move || step().map(|(_, step)| step.text))}</p>
            <div class="row">
                <button type="button" class="button" disabled=live(move || view.tour.get() == Some(1)) on:click=move |_| go(-1)>"Back"</button>
                <button type="button" class="button primary" hidden=live(move || view.tour.get() == Some(STEPS.len())) on:click=move |_| go(1)>"Next"</button>
                <button type="button" class="button quiet" on:click=move |_| end()>"End the tour"</button>
            </div>
        </div>
    }
}

/// Brings a part of the page to its upper edge: the card is at the lower one.
fn scroll_to(id: &str) {
    if let Some(place) = document().get_element_by_id(id) {
        place.scroll_into_view();
    }
}

/// Writes the step into the address, so that it can be linked to.
fn keep_address(step: Option<usize>) {
    let location = window().location();
    let (Ok(search), Ok(path), Ok(hash)) =
        (location.search(), location.pathname(), location.hash())
    else {
        return;
    };
    let parts = search.trim_start_matches('?').split('&');
    let mut parts: Vec<String> = parts
        .filter(|part| !part.is_empty() && !part.starts_with("tour="))
        .map(str::to_owned)
        .collect();
    parts.extend(step.map(|step| format!("tour={step}")));
    let query = if parts.is_empty() {
        String::new()
    } else {
        format!("?{}", parts.join("&"))
    };
    if query == search {
        return;
    }
    if let Ok(history) = window().history() {
        let address = format!("{path}{query}{hash}");
        // The address is a convenience: a browser that refuses it loses nothing.
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eight_steps_that_can_be_linked_to() {
        assert_eq!(STEPS.len(), 8);
        assert_eq!([0, 1, 8, 99].map(within), [1, 1, 8, 8]);
        assert!(
            STEPS
                .iter()
                .all(|step| (120..700).contains(&step.text.len()))
        );
    }
}
