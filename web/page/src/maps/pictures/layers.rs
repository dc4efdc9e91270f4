//! Layers of the teacher and pairs beside the student: which layer there is to learn from.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Promise;
use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_recipe::{Pair, counted};
use limbeck_relations::{LayerCell, Rgb, number};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::maps::MAPS;
use crate::live::{effect, live};
use crate::maps::ink::gradient;
use crate::maps::paint::theme;
use crate::maps::picture::{Files, Picture};
use crate::maps::seen::Seen;
use crate::maps::view::View;
use crate::state::page;

/// Every layer of the teacher and every pair, beside the student.
pub const LAYERS: Picture = Picture {
    key: "layers",
    name: "Layers",
    of_head: false,
    of_pair: false,
    panes: false,
    title: |seen, _| {
        format!(
            "All layers and pairs, {}, student layer {} at step {}",
            counted(seen.how.heads, "relation head"),
            seen.how.student_layer,
            seen.from_student.step
        )
    },
    body: |view, _| view! { <Layers view /> }.into_any(),
    files: Files::Numbers,
};

/// What is shown of each cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Measure {
    #[default]
    Kl,
    Overlap,
    Entropy,
}

const MEASURES: [(Measure, &str, &str); 3] = [
    (
        Measure::Kl,
        "KL",
        "KL(teacher \u{2016} student) in nats: how far the student is from this layer",
    ),
    (
        Measure::Overlap,
        "Similarity",
        "overlap of the student's rows with this layer's: 100 % if they are equal",
    ),
    (
        Measure::Entropy,
        "Entropy",
        "entropy of the teacher's rows in nats: 0 puts all probability on one token",
    ),
];

impl Measure {
    fn of(self, cell: &LayerCell) -> f64 {
        match self {
            Self::Kl => cell.kl,
            Self::Overlap => cell.overlap,
            Self::Entropy => cell.entropy,
        }
    }

    fn words(self, value: f64) -> String {
        match self {
            Self::Overlap => format!("{:.0} %", 100.0 * value),
            _ => number(value),
        }
    }
}

/// The cells that are worked out so far, layer by layer.
type Cells = Vec<Vec<LayerCell>>;

/// Layers x pairs. It is worked out a cell at a time, so that the page stays quick.
#[component]
fn Layers(view: View) -> impl IntoView {
    let page = page();
    let cells = RwSignal::new(Cells::new());
    let measure = RwSignal::new(Measure::default());
    let scale = RwSignal::new((String::new(), String::new(), String::new()));
    let busy = Rc::new(Cell::new(false));
    let done = StoredValue::new_local(None::<Rc<Seen>>);
    effect(move || {
        let seen = view.seen.get();
        let same = done.with_value(|done| match (done, &seen) {
            (Some(done), Some(seen)) => is_equal(done, seen),
            _ => false,
        });
        done.set_value(seen);
        if !same && !busy.replace(true) {
            fill(view, cells, busy.clone());
        }
    });
    let button = move |(value, name, what): (Measure, &'static str, &'static str)| {
        view! {
            <button type="button" title=what aria-pressed=live(move || (measure.get() == value).to_string()) on:click=move |_| measure.set(value)>{name}</button>
        }
    };
    let note = move || MEASURES.iter().find(|m| m.0 == measure.get()).map(|m| m.2);
    let rows = move || {
        let seen = view.seen.get()?;
        let colours = theme().sequential;
        let measure = measure.get();
        let from_teacher = page.recipe.with(|recipe| recipe.teacher_layer);
        Some(cells.with(|cells| {
            let values: Vec<f64> = cells.iter().flatten().map(|cell| measure.of(cell)).collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let part = move |value: f64| ((value - least) / (most - least).max(1e-12)) as f32;
            scale.set(match values.is_empty() {
                true => Default::default(),
                false => (
                    measure.words(least),
                    gradient(&colours, |part| part),
                    measure.words(most),
                ),
            });
            let layers = (1..=seen.from_teacher.taps.layers()).rev();
            layers
                .map(|layer| {
                    let row = cells.get(layer - 1).cloned().unwrap_or_default();
                    let cell = |(pair, cell): (Pair, LayerCell)| {
                        let value = measure.of(&cell);
                        let words = measure.words(value);
                        let fill = colours.at(part(value));
                        let chosen = seen.how.pair == pair && seen.how.teacher_layer == layer;
                        view! {
                            <td>
                                <button type="button" class="maps-layer number" style=paint(fill) aria-pressed=chosen.to_string()
                                    aria-label=format!("layer {layer}, {}: {words}. Show its maps", pair)
                                    on:click=move |_| view.choose(|c| (c.teacher_layer, c.pair, c.picture) = (Some(layer), Some(pair), MAPS.key))>{words.clone()}</button>
                            </td>
                        }
                    };
                    let is_taught = from_teacher == Some(layer);
                    view! {
                        <tr>
                            <th scope="row">{format!("layer {layer}")}</th>
                            {Pair::all().into_iter().zip(row).map(cell).collect_view()}
                            <td>
                                <button type="button" class="button quiet" disabled=is_taught aria-label=format!("layer {layer}: {}", recipe(is_taught))
                                    on:click=move |_| {
                                        page.recipe.update(|recipe| recipe.teacher_layer = Some(layer));
                                        page.announce(format!("the next run learns from layer {layer}"));
                                    }>{recipe(is_taught)}</button>
                            </td>
                        </tr>
                    }
                })
                .collect_view()
        }))
    };
    view! {
        <div class="maps-choices">
            <div class="switch" role="group" aria-label="What the colours show">{MEASURES.map(button).into_iter().collect_view()}</div>
            <span class="hint">{live(note)}</span>
        </div>
        <p class="maps-scale hint">
            <span class="number">{live(move || scale.with(|scale| scale.0.clone()))}</span>
            <i style:background=live(move || scale.with(|scale| scale.1.clone()))></i>
            <span class="number">{live(move || scale.with(|scale| scale.2.clone()))}</span>
            <span>"over the cells shown"</span>
        </p>
        <div class="scroll" tabindex="0" role="group" aria-label="Layers and pairs">
            <table class="maps-layers" id="maps-layers">
                <thead><tr><th scope="col">"teacher"</th>{Pair::all().map(|pair| view! { <th scope="col">{pair.to_string()}</th> }).into_iter().collect_view()}<th scope="col">"recipe"</th></tr></thead>
                <tbody>{live(rows)}</tbody>
            </table>
        </div>
        <p class="hint">"The student layer is the one chosen above. Click a cell to see its maps; \u{201c}learn from it\u{201d} sets the layer in the recipe of the next run."</p>
    }
}

/// What the button of a layer does, or says.
fn recipe(is_taught: bool) -> &'static str {
    if is_taught {
        "in the recipe"
    } else {
        "learn from it"
    }
}

/// Works out all cells of what is seen, one at a time; then, if something else is seen by that time, again, but not more than
/// once a second. A row is shown when it is whole; until then, what was there before stays. It ends with the view.
fn fill(view: View, cells: RwSignal<Cells>, busy: Rc<Cell<bool>>) {
    let seen = move || view.seen.get_untracked();
    spawn_local(async move {
        while let Some(now) = seen() {
            let layers = now.from_teacher.taps.layers();
            'layers: for layer in 1..=layers {
                let mut row = Vec::new();
                for pair in Pair::all() {
                    wait(0).await;
                    if seen().is_none_or(|seen| !is_alike(&seen, &now)) {
                        break 'layers;
                    }
                    match now.layer_cell(layer, pair) {
                        Ok(cell) => row.push(cell),
                        Err(_) => break 'layers,
                    }
                }
                let shown = cells.try_update(|cells| {
                    cells.resize(layers, Vec::new());
                    cells[layer - 1] = row;
                });
                if shown.is_none() {
                    return;
                }
            }
            if seen().is_none_or(|seen| is_equal(&seen, &now)) {
                break;
            }
            wait(1000).await;
        }
        busy.set(false);
    });
}

/// Whether the cells of one are those of the other, but for the step.
fn is_alike(a: &Seen, b: &Seen) -> bool {
    a.how.heads == b.how.heads
        && a.how.student_layer == b.how.student_layer
        && Arc::ptr_eq(&a.from_teacher, &b.from_teacher)
}

/// Whether the cells of one are those of the other.
fn is_equal(a: &Seen, b: &Seen) -> bool {
    is_alike(a, b)
        && (Arc::ptr_eq(&a.from_student, &b.from_student)
            || a.from_student.taps == b.from_student.taps)
}

/// Lets the browser draw and answer, for this many milliseconds at least.
async fn wait(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        let later =
            window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
        // Without a clock there is nothing to wait for.
        if later.is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(promise).await;
}

/// A ground, and of black and white the ink that has more contrast on it.
fn paint(ground: Rgb) -> String {
    let [r, g, b] = ground;
    // Where both have the same contrast: (l + 0.05)^2 = 1.05 * 0.05.
    let ink = if luminance(ground) > 0.179 {
        "#000"
    } else {
        "#fff"
    };
    format!("background:rgb({r} {g} {b});color:{ink}")
}

/// Relative luminance (WCAG 2).
fn luminance(colour: Rgb) -> f64 {
    let [r, g, b] = colour.map(|c| {
        let c = f64::from(c) / 255.0;
        match c <= 0.04045 {
            true => c / 12.92,
            false => ((c + 0.055) / 1.055).powf(2.4),
        }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use limbeck_relations::{Colours, DARK, LIGHT};

    use super::*;

    #[test]
    fn ink_can_be_read_on_every_ground() {
        for stops in [LIGHT, DARK] {
            let colours = Colours::between(&stops.map);
            for step in 0..=50 {
                let fill = colours.at(step as f32 / 50.0);
                let ink = if paint(fill).ends_with("#fff") {
                    1.0
                } else {
                    0.0
                };
                let ground = luminance(fill);
                let contrast = (ground.max(ink) + 0.05) / (ground.min(ink) + 0.05);
                assert!(contrast >= 4.5, "{fill:?}: {contrast}");
            }
        }
    }

    #[test]
    fn each_measure_has_its_words() {
        let cell = LayerCell {
            entropy: 1.5,
            overlap: 0.756,
            kl: 0.25,
        };
        let words = MEASURES.map(|(measure, ..)| measure.words(measure.of(&cell)));
        assert_eq!(words, ["0.250", "76 %", "1.50"]);
    }
}
