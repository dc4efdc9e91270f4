//! One head at several steps of the run, side by side below the maps.

use std::rc::Rc;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::number;

use super::maps;
use crate::chart::surface::{Redraw, watch};
use crate::live::{effect, live};
use crate::maps::ink::Ink;
use crate::maps::picture::{Files, Picture};
use crate::maps::seen::Seen;
use crate::maps::stage::Stage;
use crate::maps::thumbs::{Thumb, draw_thumbs, images_of, thumb_at};
use crate::maps::view::View;
use crate::words::bytes;

/// The maps, and one head at several steps.
pub const FILM: Picture = Picture {
    key: "film",
    name: "Film",
    of_head: true,
    of_pair: true,
    panes: true,
    title: Seen::title,
    body: |view, stage| multiples(view, stage).into_any(),
    files: Files::Relations(maps::sheet),
};

/// Steps side by side at most.
const MULTIPLES: usize = 12;

/// One head at several steps, side by side.
fn multiples(view: View, stage: Rc<Stage>) -> impl IntoView {
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let (filmed, memory) = (stage.source.steps, stage.source.memory);
    let picked = StoredValue::new(Vec::<u64>::new());
    let missing = Trigger::new();
    let redraw = Redraw::new(move || {
        let (Some(canvas), Some(host)) = (canvas.get_untracked(), host.get_untracked()) else {
            return;
        };
        let steps = filmed.with_untracked(|steps| spread(steps, MULTIPLES));
        let (frames, are_missing) = stage.source.over_time(&steps);
        if are_missing {
            missing.notify();
        }
        let last = filmed.with_untracked(|steps| steps.last().copied());
        let chosen = view.choice.with_untracked(|choice| choice.step).or(last);
        let thumbs: Vec<Thumb> = frames
            .iter()
            .map(|(step, relation)| Thumb {
                name: step.to_string(),
                relation: relation.as_ref(),
                chosen: chosen == Some(*step),
            })
            .collect();
        let ink = Ink::of(&host);
        if let Some(images) = images_of(&thumbs, &ink) {
            draw_thumbs(&canvas, &thumbs, &images, &ink);
        }
        picked.set_value(frames.iter().map(|frame| frame.0).collect());
    });
    let again = redraw.clone();
    effect(move || {
        view.seen.track();
        view.choice.track();
        filmed.track();
        missing.track();
        again.request();
    });
    watch(host, redraw);
    let choose = move |event: ev::MouseEvent| {
        let width = host.get_untracked().map_or(0, |host| host.client_width());
        let place = (f64::from(event.offset_x()), f64::from(event.offset_y()));
        let count = picked.with_value(Vec::len);
        let index = thumb_at(place, count, f64::from(width));
        let step = index.and_then(|index| picked.with_value(|steps| steps.get(index).copied()));
        if let Some(step) = step {
            // The last one is what is now, and goes on to be.
            let newest = filmed.with_untracked(|steps| steps.last() == Some(&step));
            view.choose(|choice| choice.step = (!newest).then_some(step));
        }
    };
    let note = move || {
        let (size, thinned, error) = memory.get();
        let steps = filmed.with(Vec::len);
        let thinned = if thinned {
            " The film is full, so every other earlier step was dropped."
        } else {
            ""
        };
        let error = match error {
            0.0 => String::new(),
            error => format!(
                "; in the steps that were checked, rounding changed no probability by more than {}",
                number(error)
            ),
        };
        format!(
            "{} stored in {} (16 bits per number, at most 64 MB){error}. The film stores only the student's last layer.{thinned}",
            match steps {
                1 => "A new sentence starts a new film. One step is".to_owned(),
                _ => format!("{steps} steps are"),
            },
            bytes(size as u64)
        )
    };
    view! {
        <p class="hint">"Top: teacher. Middle: student. Bottom: difference. Numbers: step, and KL in nats. Click a step to show it."</p>
        <div class="maps-strip" tabindex="0" role="group" aria-label="One head at several steps" node_ref=host>
            <canvas node_ref=canvas id="maps-multiples" role="img" aria-label="Small maps of teacher, student and difference, step by step; the slider reaches each step" on:click=choose></canvas>
        </div>
        <p class="hint" id="maps-film-note">{live(note)}</p>
    }
}

/// So many of the steps, evenly, the first and the last among them.
fn spread(steps: &[u64], most: usize) -> Vec<u64> {
    if steps.len() <= most {
        return steps.to_vec();
    }
    let last = steps.len() - 1;
    (0..most).map(|i| steps[i * last / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn steps_are_spread_evenly() {
        let steps: Vec<u64> = (0..100).collect();
        assert_eq!(spread(&steps, 4), [0, 33, 66, 99]);
        assert_eq!(spread(&steps[..3], 4), [0, 1, 2]);
        assert_eq!(spread(&[], 4), [] as [u64; 0]);
    }
}
