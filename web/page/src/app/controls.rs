//! Start, pause, step, stop; what the run does, in a word; what went wrong.

use leptos::prelude::*;
use limbeck_protocol::{Control, Halt, RunState};

use super::action::{Action, Ready, act, announcement};
use crate::data::{Inputs, inputs};
use crate::live::{live, memo};
use crate::state::{Page, page};

/// Problems that are shown at once; there may be one a step.
const SHOWN: usize = 3;

/// Start and pause; step and stop while there is a run.
#[component]
pub fn Buttons() -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let ready = memo(move || Ready::of(inputs));
    announce_changes(page);
    let idle = move || ready.with(|ready| ready.state == RunState::Idle);
    let paused = move || ready.with(|ready| ready.state == RunState::Paused);
    view! {
        <div class="row buttons" role="group" aria-label="The run">
            {main_button(inputs, ready)}
            <span class="row" hidden=live(idle)>
                {side_button(inputs, ready, Action::Step, "step", "Step")}
                {side_button(inputs, ready, Action::Stop, "stop", "Stop")}
                <Show when=paused>
                    {side_button(inputs, ready, Action::Start, "start-anew", "Start over")}
                </Show>
            </span>
        </div>
        <p class="hint" id="why-not">{live(move || ready.with(|ready| ready.obstacle(ready.main())))}</p>
    }
}

/// What went wrong in the run.
#[component]
pub fn Notices() -> impl IntoView {
    let page = page();
    view! {
        {mistakes(page)}
        {problems(page, Control::Run)}
        {problems(page, Control::Storage)}
    }
}

fn main_button(inputs: Inputs, ready: Memo<Ready>) -> impl IntoView {
    let action = memo(move || ready.with(Ready::main));
    let label = move || match (action.get(), ready.with(|ready| ready.state.clone())) {
        (Action::Pause, _) if inputs.page.pausing.get() => "Pausing \u{2026}",
        (Action::Pause, _) => "Pause",
        (Action::Resume, _) => "Resume",
        (_, RunState::Ended { .. }) => "Distil another student",
        _ => "Distil a student",
    };
    let obstacle = move || ready.with(|ready| ready.obstacle(ready.main()));
    view! {
        <button class="button primary large" id="main-action" aria-describedby="why-not"
            aria-disabled=live(move || obstacle().map(|_| "true")) title=live(move || obstacle().unwrap_or(""))
            on:click=move |_| act(inputs, action.get_untracked())>
            {live(label)}
        </button>
    }
}

/// It stays focusable while it cannot be used, so that its reason can be read.
fn side_button(
    inputs: Inputs,
    ready: Memo<Ready>,
    action: Action,
    id: &'static str,
    label: &'static str,
) -> impl IntoView {
    let obstacle = move || ready.with(|ready| ready.obstacle(action));
    view! {
        <button class="button" id=id aria-disabled=live(move || obstacle().map(|_| "true"))
            title=live(move || obstacle().unwrap_or("")) on:click=move |_| act(inputs, action)>
            {label}
        </button>
    }
}

/// What the run does, in a word.
#[component]
pub fn StateChip() -> impl IntoView {
    let page = page();
    let text = move || match page.state.get() {
        _ if page.pausing.get() => "Pausing",
        RunState::Idle if crate::recorded::is_shown(page) => "Recorded",
        RunState::Idle => "Not started",
        RunState::Preparing => "Preparing",
        RunState::Running => "Training",
        RunState::Paused => "Paused",
        RunState::Ended { halt } => match halt {
            Halt::Finished => "Finished",
            Halt::Stopped => "Stopped",
            Halt::Failed => "Failed",
        },
    };
    let state = move || match page.state.get() {
        RunState::Preparing | RunState::Running => "busy",
        RunState::Ended {
            halt: Halt::Finished,
        } => "ok",
        RunState::Ended { halt: Halt::Failed } => "bad",
        _ => "",
    };
    view! { <span class="chip" id="run-state" data-state=live(state)>{live(text)}</span> }
}

fn announce_changes(page: Page) {
    Effect::new(move |before: Option<RunState>| {
        let state = page.state.get();
        if before.is_some_and(|before| before != state) {
            let step = page.with_run_untracked(|run| run.steps.last().map_or(0, |s| s.step));
            page.announce(announcement(&state, step.unwrap_or(0)));
        }
        state
    });
}

/// How many mistakes the recipe has, where they may be out of sight.
fn mistakes(page: Page) -> impl IntoView {
    move || {
        let mistakes = page.plan.with(|plan| match plan {
            Some(Err(mistakes)) => mistakes.iter().map(|m| m.message.clone()).collect(),
            _ => Vec::new(),
        });
        let first = mistakes.first()?.clone();
        let more = match mistakes.len() - 1 {
            0 => String::new(),
            more => format!(" ({more} more)"),
        };
        Some(
            view! { <p class="mistake" id="recipe-mistakes">"The recipe cannot be run: " {first} {more}</p> },
        )
    }
}

fn problems(page: Page, control: Control) -> impl IntoView {
    let solved = control.clone();
    move || {
        let problems = page.problems_of(&control);
        let solved = solved.clone();
        (!problems.is_empty()).then(|| {
            let earlier = problems.len().saturating_sub(SHOWN);
            let shown: Vec<_> = problems.into_iter().skip(earlier).collect();
            view! {
                <div class="notice warn">
                    <div>
                        {shown.into_iter().map(|text| view! { <p>{text}</p> }).collect_view()}
                        {(earlier > 0).then(|| view! { <p class="hint">{earlier} " earlier ones"</p> })}
                    </div>
                    <button class="button quiet" on:click=move |_| page.solved(&solved)>"Dismiss"</button>
                </div>
            }
        })
    }
}
