//! What leaves the page: student, metrics, recipe, link.

mod clipboard;
mod pack;

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::{Command, Control, Export, RunState, before_use};
use limbeck_recipe::Recipe;

pub use clipboard::CopyButton;

use crate::chart::metrics;
use crate::data::blobs;
use crate::engine::send;
use crate::form;
use crate::live::{effect, live, memo};
use crate::state::{Files, Page, RunLog, page};

/// The name that an engine gives to an exported checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// What leaves the page: student, metrics, recipe, link.
#[component]
pub fn Out() -> impl IntoView {
    let page = page();
    let asked = RwSignal::new(None::<Export>);
    hand_over(page, asked);
    view! {
        <section class="panel out" id="out" aria-labelledby="out-title">
            <h2 id="out-title">"Take away"</h2>
            <div class="out-parts">
                {from_the_run(page, asked)}
                {numbers_of_the_run(page)}
                {recipe(page)}
            </div>
        </section>
    }
}

fn from_the_run(page: Page, asked: RwSignal<Option<Export>>) -> AnyView {
    let reason = memo(move || no_run(page));
    let disabled = move || reason.get().is_some() || asked.get().is_some();
    let with_onnx = RwSignal::new(false);
    let student = move || match with_onnx.get_untracked() {
        true => Export::StudentWithOnnx,
        false => Export::Student,
    };
    let ask = move |what| {
        page.solved(&Control::Run);
        asked.set(Some(what));
        send(Command::Export { what }, Vec::new());
    };
    let of_run = move || page.with_run(|run| before_use(&run.info.recipe));
    let of_form = move || page.recipe.with(before_use);
    let note = memo(move || of_run().unwrap_or_else(of_form));
    let packing = move || {
        asked.get().map(|what| match what {
            Export::Student | Export::StudentWithOnnx => "Packing the student …",
            Export::Checkpoint => "Saving the checkpoint …",
        })
    };
    view! {
        <div class="out-part">
            <h3>"Student"</h3>
            <p class="row">
                <button type="button" class="button primary" disabled=live(disabled) aria-describedby="out-run" on:click=move |_| ask(student())>
                    "Student (.zip)"
                </button>
                <button type="button" class="button" disabled=live(disabled) aria-describedby="out-run" on:click=move |_| ask(Export::Checkpoint)>
                    "Checkpoint"
                </button>
            </p>
            <label class="maps-check">
                <input type="checkbox" id="out-onnx" on:change=move |event| with_onnx.set(event_target_checked(&event)) />
                "also as ONNX (f32, f16, int8)"
            </label>
            <p class="hint" id="out-run" aria-live="polite">{live(move || reason.get().or_else(packing))}</p>
            <p class="hint">"A Hugging Face folder that opens in transformers; resume the checkpoint here or from the command line."</p>
            <p class="out-note">{note}</p>
        </div>
    }
    .into_any()
}

fn numbers_of_the_run(page: Page) -> AnyView {
    let none = memo(move || !page.with_run(|run| !run.steps.is_empty()).unwrap_or(false));
    let write = move |ending: &'static str, text: fn(&RunLog) -> String| {
        let file = page.with_run(|run| (format!("{}-metrics.{ending}", name_of(run)), text(run)));
        if let Some((name, text)) = file {
            save_text(page, &name, &text);
        }
    };
    view! {
        <div class="out-part">
            <h3>"Metrics"</h3>
            <p class="row">
                <button type="button" class="button" disabled=none on:click=move |_| write("csv", metrics::csv)>"CSV"</button>
                <button type="button" class="button" disabled=none on:click=move |_| write("json", metrics::json)>"JSON"</button>
            </p>
            <p class="hint">
                {live(move || if none.get() { "No step yet: start a run first." } else { "Loss by part, learning rate, gradient norm and speed of every step." })}
            </p>
        </div>
    }
    .into_any()
}

fn recipe(page: Page) -> AnyView {
    let save = move |_| {
        save_text(
            page,
            "recipe.toml",
            &form::toml(&page.recipe.get_untracked()),
        )
    };
    view! {
        <div class="out-part">
            <h3>"Recipe"</h3>
            <p class="row">
                <button type="button" class="button" on:click=save>"Recipe (TOML)"</button>
                <CopyButton label="Copy link" text=move || link(page) disabled=false />
            </p>
            <p class="hint">"The current settings. The command line runs the file:"</p>
            <p class="row out-command">
                <code>{COMMAND}</code>
                <CopyButton label="Copy" text=|| COMMAND.to_owned() disabled=false />
            </p>
        </div>
    }
    .into_any()
}

const COMMAND: &str = "limbeck distill --config recipe.toml";

/// This page with this recipe.
fn link(page: Page) -> String {
    let place = web_sys::window().map(|window| window.location());
    let place = place.and_then(|place| {
        Some(format!(
            "{}{}",
            place.origin().ok()?,
            place.pathname().ok()?
        ))
    });
    let query = page
        .recipe
        .with_untracked(|recipe| form::query(recipe, page.preset.get_untracked()));
    format!("{}{query}", place.unwrap_or_default())
}

/// Why an engine has nothing to export; none if it has.
fn no_run(page: Page) -> Option<&'static str> {
    match page.state.get() {
        RunState::Idle if page.saved.with(Option::is_some) => {
            Some("No run is open: open the saved run, or start one.")
        }
        RunState::Idle => Some("No run yet: start one first."),
        RunState::Preparing => Some("The run has not taken a step yet."),
        RunState::Running | RunState::Paused | RunState::Ended { .. } => None,
    }
}

/// Saves what the engine sends, and stops waiting when it refuses.
fn hand_over(page: Page, asked: RwSignal<Option<Export>>) {
    effect(move || {
        if page.files.with(Option::is_none) {
            return;
        }
        let Some(files) = page.files.try_update(Option::take).flatten() else {
            return;
        };
        spawn_local(async move {
            if let Err(reason) = save_files(page, files).await {
                page.problem(
                    Control::Run,
                    format!("the files could not be saved: {reason}"),
                );
            }
            asked.set(None);
        });
    });
    effect(move || {
        let failed = !page.problems_of(&Control::Run).is_empty();
        if failed || matches!(page.state.get(), RunState::Idle) {
            asked.set(None);
        }
    });
}

async fn save_files(page: Page, (kind, mut files): Files) -> Result<(), String> {
    let run = page
        .runs
        .with_untracked(|runs| runs.last().filter(|run| !run.recorded).map(name_of));
    let run = run.unwrap_or_else(|| "limbeck".into());
    if kind == CHECKPOINT && files.len() == 1 {
        let (_, bytes): (String, Uint8Array) = files.remove(0);
        let blob = web_sys::Blob::new_with_buffer_source_sequence(&js_sys::Array::of1(&bytes));
        return save(
            page,
            &format!("{run}-checkpoint.safetensors"),
            &blob.map_err(|e| pack::no_room(&e))?,
        );
    }
    let blob = pack::zip(&run, files).await?;
    save(page, &format!("{run}.zip"), &blob)
}

fn save(page: Page, name: &str, blob: &web_sys::Blob) -> Result<(), String> {
    blobs::download(name, blob)?;
    page.announce(format!("{name} is saved"));
    Ok(())
}

fn save_text(page: Page, name: &str, text: &str) {
    let saved = blobs::of_bytes(text.as_bytes()).and_then(|blob| save(page, name, &blob));
    if let Err(reason) = saved {
        page.problem(
            Control::Run,
            format!("{name} could not be saved ({reason})"),
        );
    }
}

/// `limbeck-2x64-300`: layers, hidden size, steps taken.
fn name_of(run: &RunLog) -> String {
    name(&run.info.recipe, run.step())
}

fn name(recipe: &Recipe, step: u64) -> String {
    format!(
        "limbeck-{}x{}-{step}",
        recipe.student.layers, recipe.student.hidden
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_student_is_called_by_its_size_and_steps() {
        let mut recipe = Recipe::default();
        (recipe.student.layers, recipe.student.hidden) = (2, 64);
        assert_eq!(name(&recipe, 300), "limbeck-2x64-300");
    }
}
