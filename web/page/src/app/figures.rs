//! Where a run is: its progress, and the numbers of its last step.

use leptos::prelude::*;
use limbeck_protocol::{RunState, Stage};
use limbeck_recipe::counted;

use super::measure::{figure, pace, percent, time};
use crate::live::{live, memo};
use crate::state::{Connection, Page, RunLog, SavedCheckpoint, now, page};
use crate::words::{bytes, count};

/// The bar: text, done, of how much; 0 of 0 if it is not known.
type Progress = (String, u64, u64);

/// Name and value.
type Line = (&'static str, String);

/// Where a run is.
#[component]
pub fn Figures() -> impl IntoView {
    let page = page();
    let progress = memo(move || progress(&page));
    let lines = memo(move || {
        page.runs
            .with(|runs| runs.last().map(lines).unwrap_or_default())
    });
    announce_quarters(page);
    view! {
        <div class="progress">
            <p class="progress-text number" id="progress-text">{live(move || progress.get().0)}</p>
            {live(move || match progress.get() {
                (_, _, 0) => view! { <progress aria-hidden="true"></progress> }.into_any(),
                (_, done, of) => {
                    view! { <progress aria-hidden="true" max=of.to_string() value=done.to_string()></progress> }
                        .into_any()
                }
            })}
        </div>
        <dl class="figures" id="figures">
            {NAMES.iter().map(|(name, hint)| {
                let value = move || {
                    lines.with(|lines| lines.iter().find(|(n, _)| n == name).map_or_else(|| "–".into(), |(_, v)| v.clone()))
                };
                view! { <div title=*hint><dt>{*name}</dt><dd class="number">{live(value)}</dd></div> }
            }).collect_view()}
        </dl>
        {live(move || about(page))}
        {live(move || page.checkpoint.get().map(|saved| checkpoint_line(&saved, &storage(page))))}
    }
}

const NAMES: [(&str, &str); 8] = [
    ("Step", "Steps done, out of all steps"),
    ("Loss", "Weighted sum of its parts"),
    ("Learning rate", "Of the last step"),
    ("Gradient norm", "Of all gradients, before clipping"),
    (
        "Tokens per second",
        "Mean of the last 20 steps, excluding shader compilation",
    ),
    (
        "Time left",
        "At the recent speed, including evaluations and checkpoints",
    ),
    ("Elapsed", "Wall-clock time while the run was computing"),
    ("Memory", "Allocated on the device"),
];

fn lines(run: &RunLog) -> Vec<Line> {
    let of = run.info.recipe.steps;
    let (Some(last), Some(pace)) = (run.steps.last(), pace(&run.steps, of, &run.watch, now()))
    else {
        return vec![("Step", format!("{} / {}", count(run.info.step), count(of)))];
    };
    let mut lines = vec![
        ("Step", format!("{} / {}", count(last.step), count(of))),
        ("Loss", figure(last.loss)),
        ("Learning rate", figure(last.learning_rate)),
        ("Gradient norm", figure(last.gradient_norm)),
        (
            "Tokens per second",
            count(pace.tokens_a_second.round() as u64),
        ),
        ("Time left", time(pace.left)),
        ("Elapsed", time(pace.elapsed)),
    ];
    if last.memory > 0 {
        lines.push(("Memory", bytes(last.memory)));
    }
    lines
}

fn progress(page: &Page) -> Progress {
    if let Connection::Loading(done, total) = page.connection.get() {
        return ("Loading the engine".into(), done, total);
    }
    let (stage, done, total) = page.stage.get();
    if stage == Stage::Ready {
        return of_run(page);
    }
    let amount = match (stage, total) {
        (_, 0) => String::new(),
        (Stage::Reading | Stage::Saving, _) => format!(", {} of {}", bytes(done), bytes(total)),
        _ => format!(", {} of {}", count(done), count(total)),
    };
    (format!("{}{amount}", name(stage)), done, total)
}

/// What the engine does beside the steps, in the middle of a sentence.
pub fn doing(page: &Page) -> Option<String> {
    let (stage, ..) = page.stage.get();
    if stage == Stage::Ready {
        return None;
    }
    let name = name(stage);
    let (first, rest) = name.split_at_checked(1)?;
    Some(format!("{}{rest}", first.to_ascii_lowercase()))
}

fn of_run(page: &Page) -> Progress {
    let run = page
        .runs
        .with(|runs| runs.last().map(|run| (run.step(), run.info.recipe.steps)));
    match (run, page.state.get()) {
        (None, RunState::Preparing) => ("Preparing".into(), 0, 0),
        (None, _) => ("No steps yet".into(), 0, 1),
        (Some((step, of)), _) => (format!("{} %", percent(step, of)), step, of.max(1)),
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Ready => "Ready",
        Stage::Reading => "Reading teacher and texts",
        Stage::Compiling => "Compiling shaders (not counted in the speed)",
        Stage::Evaluating => "Measuring on held-out lines",
        Stage::Saving => "Saving a checkpoint",
        Stage::Measuring => "Measuring the speed of this device",
        Stage::Searching => "Reading the lines to search",
    }
}

/// What the run is: its device, and why its kernels are not used.
fn about(page: Page) -> Option<impl IntoView> {
    page.begun.track();
    let info = page
        .runs
        .with_untracked(|runs| runs.last().map(|run| run.info.clone()))?;
    let text = format!(
        "{} parameters in the student, {}, teacher layer {}, on {}.",
        count(info.parameters),
        counted(info.relation_heads, "relation head"),
        info.teacher_layer,
        info.device
    );
    Some(view! {
        <p class="hint">{text}</p>
        {info.self_test_failure.map(|failure| view! { <p class="notice warn">{plain_instead(&failure)}</p> })}
    })
}

fn storage(page: Page) -> String {
    page.engine.with(|engine| {
        engine
            .as_ref()
            .map_or_else(String::new, |engine| engine.keeps.clone())
    })
}

fn checkpoint_line(saved: &SavedCheckpoint, place: &str) -> AnyView {
    let (step, size) = (count(saved.step), bytes(saved.bytes));
    let Some(why) = &saved.only_in_memory else {
        return view! {
            <p class="hint" id="saved-step">{format!("Saved at step {step}: {size} in {place}.")}</p>
        }
        .into_any();
    };
    let room = if saved.quota > 0 {
        format!(
            " Storage: {} of {} used.",
            bytes(saved.used),
            bytes(saved.quota)
        )
    } else {
        String::new()
    };
    let text = format!(
        "The checkpoint of step {step} ({size}) is in memory only: {why}. Closing or reloading this page would lose it.{room} \
         Make room, or export the checkpoint."
    );
    view! { <p class="notice warn" id="saved-step">{text}</p> }.into_any()
}

/// A screen reader hears of a run at each quarter; every step would be noise.
fn announce_quarters(page: Page) {
    let quarter = memo(move || {
        let at = page.with_run(|run| {
            let step = run.steps.last().map_or(0, |s| s.step);
            percent(step, run.info.recipe.steps) / 25
        });
        at.unwrap_or(0)
    });
    Effect::new(move |before: Option<u64>| {
        let now = quarter.get();
        let running = page.state.get_untracked() == RunState::Running;
        if running && (1..4).contains(&now) && before.is_some_and(|before| before < now) {
            let loss = page.with_run_untracked(|run| run.steps.last().map_or(f64::NAN, |s| s.loss));
            let loss = figure(loss.unwrap_or(f64::NAN));
            page.announce(format!("{} percent, loss {loss}", now * 25));
        }
        now
    });
}

/// What to know when kernels of a device failed their test.
fn plain_instead(failure: &str) -> String {
    format!(
        "Kernels failed their self-test: {failure}. Slower plain operations take their place. Updating the graphics driver may help."
    )
}
