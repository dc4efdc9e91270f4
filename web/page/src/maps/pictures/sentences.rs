//! Sentences side by side: the cosines of the vectors of each two, of teacher, student and their difference.

use std::sync::Arc;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::{Similarity, number};

use crate::chart::surface::{Redraw, Surface, watch};
use crate::keys::plain;
use crate::live::{effect, live, memo};
use crate::maps::input::{cell_key, lock};
use crate::maps::paint::{paint, theme};
use crate::maps::picture::{Files, Picture};
use crate::maps::reading::{Reading, cell, grid_cell, id_of};
use crate::maps::search::search;
use crate::maps::seen::Seen;
use crate::maps::view::View;
use crate::state::page;

/// Cosines of a few sentences.
pub const SENTENCES: Picture = Picture {
    key: "sentences",
    name: "Sentences",
    of_head: false,
    of_pair: false,
    panes: false,
    title: |seen, _| {
        let title = of(seen).map(|similarity| similarity.title());
        title.unwrap_or_else(|| MISSING.to_owned())
    },
    body: |view, _| view! { <Sentences view /> {search()} }.into_any(),
    files: Files::Sentences,
};

/// The part of an id of this picture's cells.
const NAME: &str = "sentence";
const MISSING: &str = "This recorded run holds no sentences to compare. Start a run to see them.";

/// The sentences at the step that is seen.
pub fn of(seen: &Seen) -> Option<&Arc<Similarity>> {
    seen.from_student.similarity.as_ref()
}

/// The same of a view, with the crosshair: the locked cell or the last one, within the sentences. Reactive.
fn now(view: View) -> Option<(Arc<Similarity>, (usize, usize))> {
    let similarity = view.seen.with(|seen| of(seen.as_ref()?).cloned())?;
    let last = similarity.size() - 1;
    let locked = view.choice.with(|choice| choice.cell);
    let (row, column) = locked.unwrap_or_else(|| view.cell.get());
    Some((similarity, (row.min(last), column.min(last))))
}

fn read((similarity, (row, column)): (Arc<Similarity>, (usize, usize))) -> Option<Reading> {
    let [teacher, student] = similarity.both((row, column))?;
    let values = [
        ("cosine of the teacher", teacher),
        ("student", student),
        ("difference", student - teacher),
    ];
    Some(Reading {
        tokens: (similarity.text(row), similarity.text(column)),
        values: values.map(|(name, value)| (name, number(value))).into(),
        formula: Vec::new(),
    })
}

/// Cosines of sentences with a crosshair.
#[component]
fn Sentences(view: View) -> impl IntoView {
    let page = page();
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let width = move || host.get_untracked().map_or(0, |host| host.client_width()) as f32;
    if let Some((similarity, _)) = untrack(|| now(view)) {
        view.free_beyond(similarity.size());
        if view.locked().is_none() {
            view.cell.set(similarity.worst());
        }
    }
    // The maps share the crosshair and the locked cell, and may have fewer rows.
    on_cleanup(move || {
        let size = view
            .seen
            .try_with_untracked(|seen| Some(seen.as_ref()?.size()));
        if let Some(size) = size.flatten() {
            view.free_beyond(size);
            let inside = |at: usize| at.min(size.saturating_sub(1));
            view.cell
                .update(|cell| *cell = (inside(cell.0), inside(cell.1)));
        }
    });
    let redraw = Redraw::new(move || {
        if let (Some(canvas), Some((similarity, cell))) =
            (canvas.get_untracked(), untrack(|| now(view)))
        {
            let drawing = similarity.maps(Some(cell), width(), &theme());
            if let Some(surface) = Surface::of(&canvas, f64::from(drawing.height)) {
                paint(&surface.context, &drawing);
            }
        }
    });
    let reading = RwSignal::new(Reading::default());
    let again = redraw.clone();
    effect(move || {
        // A link may lock a cell before there is a sentence.
        if let Some((similarity, _)) = now(view) {
            view.free_beyond(similarity.size());
        }
        reading.set(now(view).and_then(read).unwrap_or_default());
        again.request();
    });
    watch(host, redraw);
    let size = move || now(view).map_or(0, |now| now.0.size());
    let shown = memo(move || now(view).map_or((0, 0), |now| now.1));
    let locked = view.of(|choice| choice.cell.is_some());
    let at = move |event: &ev::MouseEvent| {
        let point = (event.offset_x() as f32, event.offset_y() as f32);
        Similarity::cell_at(point, width(), untrack(size))
    };
    let press = move |event: ev::KeyboardEvent| {
        let key = plain(&event).unwrap_or_default();
        let (cell, size) = (shown.get_untracked(), untrack(size));
        let Some(moved) = cell_key(page, view, (cell, size), &key) else {
            return;
        };
        event.prevent_default();
        event.stop_propagation();
        if moved && let Some(reading) = untrack(|| now(view)).and_then(read) {
            page.announce(reading.sentence());
        }
    };
    view! {
        <div hidden=live(move || size() == 0)>
            <div class="maps-canvas" id="maps-sentences" tabindex="0" role="grid" node_ref=host
                aria-activedescendant=live(move || id_of(NAME, shown.get()))
                aria-label="Sentences: teacher, student and difference. Arrow keys move between cells, Enter locks a cell."
                aria-rowcount=live(move || size().to_string()) aria-colcount=live(move || size().to_string())
                on:keydown=press>
                <canvas node_ref=canvas aria-hidden="true"
                    on:pointermove=move |event| if let Some(cell) = at(&event).filter(|_| !locked.get_untracked()) { view.cell.set(cell) }
                    on:click=move |event| if let Some(cell) = at(&event) {
                        lock(view, cell);
                        view.cell.set(cell);
                    }
                ></canvas>
                {grid_cell(NAME, shown, reading, locked)}
            </div>
            {cell("maps-sentence", reading, locked)}
            <p class="hint">"Cosines of sentence vectors: held-out lines, each cut to 48 tokens, and your own last four sentences. Hidden states are pooled as the teacher's folder specifies, without its Dense layers."</p>
        </div>
    }
}
