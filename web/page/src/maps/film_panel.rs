//! Looking back along a run: a slider with a play button, and steps side by side.

use std::rc::Rc;
use std::time::Duration;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::number;

use super::picture::{Ink, Thumb, draw_thumbs, pictures_of, thumb_at};
use super::stage::{Stage, Told};
use super::view::View;
use crate::chart::surface::{Redraw, watch};
use crate::words::bytes;

/// Time of a frame while the film plays.
const FRAME: Duration = Duration::from_millis(160);
/// Steps side by side at most.
const MULTIPLES: usize = 12;

/// The slider. It is there as soon as there are two steps.
pub fn scrubber(view: View, told: Told) -> impl IntoView {
    let steps = told.steps;
    let last = move || steps.with(|steps| steps.len().saturating_sub(1));
    let chosen = view.of(|choice| choice.step);
    let at = move || {
        let step = chosen.get();
        steps.with(|steps| match step {
            Some(step) => steps.partition_point(|s| *s <= step).saturating_sub(1),
            None => steps.len().saturating_sub(1),
        })
    };
    let words = move || {
        let step = steps.with(|steps| steps.get(at()).copied().unwrap_or(0));
        match chosen.get() {
            None => format!("step {step}, the newest"),
            Some(_) => format!("step {step}"),
        }
    };
    let go = move |index: usize| {
        let step = steps.with_untracked(|steps| match index + 1 < steps.len() {
            true => steps.get(index).copied(),
            false => None,
        });
        view.choose(|choice| choice.step = step);
    };
    let playing = RwSignal::new(false);
    let tick = move || {
        let Some(true) = playing.try_get_untracked() else {
            return;
        };
        let next = untrack(at) + 1;
        let end = untrack(last);
        go(next.min(end));
        if next >= end {
            playing.set(false);
        }
    };
    let ticking = StoredValue::new(None::<IntervalHandle>);
    let stop = move || {
        if let Some(handle) = ticking.try_update_value(Option::take).flatten() {
            handle.clear();
        }
    };
    Effect::new(move |_| {
        stop();
        if playing.get() {
            ticking.set_value(set_interval_with_handle(tick, FRAME).ok());
        }
    });
    on_cleanup(stop);
    let play = move |_| {
        if !playing.get_untracked() && untrack(at) == untrack(last) {
            go(0);
        }
        playing.update(|playing| *playing = !*playing);
    };
    let scrub = move |event: ev::Event| {
        playing.set(false);
        go(event_target_value(&event).parse().unwrap_or(usize::MAX - 1));
    };
    let compare = view.of(|choice| choice.beside_now);
    view! {
        <div class="maps-film" id="maps-film" hidden=move || { last() < 1 }>
            <button type="button" class="button quiet" on:click=play>{move || if playing.get() { "Pause" } else { "Play" }}</button>
            <label>
                <span>"Look back"</span>
                <input type="range" min="0" step="1" max=move || last().to_string() prop:value=move || at().to_string() aria-valuetext=words on:input=scrub />
            </label>
            <output class="number">{words}</output>
            <label class="maps-check">
                <input type="checkbox" disabled=move || chosen.get().is_none() prop:checked=move || compare.get()
                    on:change=move |event| view.choose(|choice| choice.beside_now = event_target_checked(&event)) />
                "beside the student now"
            </label>
        </div>
    }
}

/// One head at several steps, side by side.
pub fn multiples(view: View, stage: Rc<Stage>) -> impl IntoView {
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let told = stage.told;
    let picked = StoredValue::new(Vec::<u64>::new());
    let redraw = Redraw::new(move || {
        let (Some(canvas), Some(host)) = (canvas.get_untracked(), host.get_untracked()) else {
            return;
        };
        let steps = told.steps.with_untracked(|steps| spread(steps, MULTIPLES));
        let frames = stage.over_time(&steps);
        let last = told.steps.with_untracked(|steps| steps.last().copied());
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
        if let Some(pictures) = pictures_of(&thumbs, &ink) {
            draw_thumbs(&canvas, &thumbs, &pictures, &ink);
        }
        picked.set_value(frames.iter().map(|frame| frame.0).collect());
    });
    let again = redraw.clone();
    Effect::new(move |_| {
        view.seen.track();
        view.choice.track();
        told.steps.track();
        again.request();
    });
    watch(host, redraw);
    let choose = move |event: ev::MouseEvent| {
        let width = host.get_untracked().map_or(0, |host| host.client_width());
        let index = thumb_at(
            f64::from(event.offset_x()),
            f64::from(event.offset_y()),
            f64::from(width),
        );
        let step = index.and_then(|index| picked.with_value(|steps| steps.get(index).copied()));
        if let Some(step) = step {
            // The last one is what is now, and goes on to be.
            let newest = told
                .steps
                .with_untracked(|steps| steps.last() == Some(&step));
            view.choose(|choice| choice.step = (!newest).then_some(step));
        }
    };
    let note = move || {
        let (size, thinned, error) = told.film.get();
        let steps = told.steps.with(Vec::len);
        let thinned = if thinned {
            " The film is full: every other picture of the past was left out."
        } else {
            ""
        };
        let error = match error {
            0.0 => String::new(),
            error => format!(
                "; where that was measured it changed no probability by more than {}",
                number(error)
            ),
        };
        format!(
            "{} kept in {} (16 bits a number, 64 MB at most){error}. The film keeps the student's last layer.{thinned}",
            match steps {
                1 => "A new sentence begins a new film. One step is".to_owned(),
                _ => format!("{steps} steps are"),
            },
            bytes(size as u64)
        )
    };
    view! {
        <p class="hint">"Above: teacher. Middle: student. Below: the difference. Number: step, and KL in nats. Click one to look at it."</p>
        <div class="maps-strip" tabindex="0" role="group" aria-label="One head at several steps" node_ref=host>
            <canvas node_ref=canvas id="maps-multiples" role="img" aria-label="Small maps of teacher, student and difference, step by step; the slider goes to each step" on:click=choose></canvas>
        </div>
        <p class="hint" id="maps-film-note">{note}</p>
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
