//! The loss beneath the picture that the page opens with: one curve, as wide as the whole run, that grows with it.

use std::cell::RefCell;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;

use super::plot::{Curve, Palette, Plot, draw};
use super::series::Series;
use super::surface::{Redraw, watch};
use crate::live::{effect, live};
use crate::state::page;

/// Steps that the curve is smoothed over, about.
const SMOOTH: f64 = 8.0;

/// The loss of the run that is shown.
#[component]
pub fn FrontLoss() -> impl IntoView {
    let page = page();
    let (host, canvas) = (NodeRef::<Div>::new(), NodeRef::<Canvas>::new());
    let series = RefCell::<Vec<Series>>::default();
    let redraw = Redraw::new(move || {
        let (Some(host), Some(canvas)) = (host.get_untracked(), canvas.get_untracked()) else {
            return;
        };
        let palette = Palette::of(&host);
        page.runs.with_untracked(|runs| {
            let mut all = series.borrow_mut();
            Series::follow(&mut all, runs, SMOOTH);
            let (Some(run), Some(series)) = (runs.last(), all.last()) else {
                return;
            };
            let curve = Curve {
                label: String::new(),
                note: String::new(),
                steps: &series.steps,
                raw: Some(&series.loss.raw),
                main: &series.loss.smooth,
                colour: &palette.pairs[0],
                width: 2.2,
                dash: &[],
                alpha: 1.0,
                dots: Vec::new(),
            };
            let plot = Plot {
                curves: vec![curve],
                log: false,
                height: f64::from(host.client_height()),
                ticks: 3,
                range: (0.0, (run.info.recipe.steps as f64).max(2.0)),
            };
            draw(&canvas, &plot, &palette);
        });
    });
    let again = redraw.clone();
    effect(move || {
        page.runs.track();
        again.request();
    });
    watch(host, redraw);
    let label = move || {
        let loss = page.runs.with(|runs| Some(runs.last()?.steps.last()?.loss));
        loss.map_or_else(String::new, super::scale::number)
    };
    view! {
        <div class="front-loss">
            <p class="front-caption"><span>"Loss over steps"</span> <b class="number">{live(label)}</b></p>
            <div class="front-plot" node_ref=host>
                <canvas node_ref=canvas role="img" aria-label="Loss over steps; the panel \u{201c}Loss\u{201d} below has every part, and the numbers as text"></canvas>
            </div>
        </div>
    }
}
