//! What a user can have a run do, from buttons and keys alike.

use leptos::prelude::*;
use limbeck_protocol::{Command, Control, Halt, RunState};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::data::{Chosen, Inputs};
use crate::state::Connection;

/// What a run can be made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin, in place of any run before.
    Start,
    /// Wait.
    Pause,
    /// Go on.
    Resume,
    /// Take one step of a run that waits.
    Step,
    /// End.
    Stop,
}

/// What the engine is ready for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// The way to the engine.
    pub connection: Connection,
    /// Whether there is a teacher.
    pub teacher: bool,
    /// Whether there are texts.
    pub texts: bool,
    /// Whether the engine still reads what the user has chosen.
    pub reading: bool,
    /// Whether a saved run waits for the user's choice.
    pub offered: bool,
    /// What the run does.
    pub state: RunState,
    /// Whether it is to pause after its step.
    pub pausing: bool,
}

impl Ready {
    /// Of a page and what is chosen on it; reactive.
    pub fn of(inputs: Inputs) -> Self {
        let page = inputs.page;
        Self {
            connection: page.connection.get(),
            teacher: page.teacher.with(Option::is_some),
            texts: page.texts.with(|texts| !texts.is_empty()),
            reading: inputs.chosen.with(Chosen::is_read),
            offered: page.saved.with(Option::is_some),
            state: page.state.get(),
            pausing: page.pausing.get(),
        }
    }

    /// What the main button does.
    pub fn main(&self) -> Action {
        match self.state {
            RunState::Running | RunState::Preparing => Action::Pause,
            RunState::Paused => Action::Resume,
            RunState::Idle | RunState::Ended { .. } => Action::Start,
        }
    }

    /// Why an action cannot be done now; none if it can.
    pub fn obstacle(&self, action: Action) -> Option<&'static str> {
        match &self.connection {
            Connection::Open => {}
            Connection::Loading(..) => return Some("The engine is still loading."),
            Connection::Lost(_) => return Some("The engine does not respond; trying again."),
            Connection::Impossible(_) => {
                return Some(
                    "The engine could not start; the message at the bottom of the screen says why.",
                );
            }
        }
        match (action, &self.state) {
            (Action::Start, RunState::Running | RunState::Preparing) => {
                Some("A run is in progress; stop it first.")
            }
            (Action::Start, _) => self.missing_data(),
            (Action::Pause, RunState::Running) if self.pausing => {
                Some("The run pauses after this step.")
            }
            (Action::Pause, RunState::Running)
            | (Action::Resume | Action::Step, RunState::Paused) => None,
            (Action::Pause, RunState::Preparing) => Some("The run is still being prepared."),
            (Action::Step, RunState::Running) => Some("Pause the run to take single steps."),
            (Action::Stop, RunState::Running | RunState::Paused | RunState::Preparing) => None,
            _ => Some("There is no run yet."),
        }
    }

    fn missing_data(&self) -> Option<&'static str> {
        match (self.teacher, self.texts) {
            (true, true) if self.reading => Some("The teacher or the texts are still being read."),
            (true, true) => None,
            _ if self.offered => Some("Decide first what to do with the saved run."),
            (false, _) => Some("The teacher has not loaded yet: wait, or choose one."),
            (true, false) => Some("No texts yet: wait for them, or choose some."),
        }
    }
}

/// Does it, or says why not. A recipe with mistakes is not started: the first control with one gets the focus.
pub fn act(inputs: Inputs, action: Action) {
    let page = inputs.page;
    let ready = untrack(|| Ready::of(inputs));
    if let Some(obstacle) = ready.obstacle(action) {
        page.announce(obstacle);
        return;
    }
    page.solved(&Control::Run);
    let command = match action {
        Action::Start => {
            if let Some(Err(mistakes)) = page.plan.get_untracked() {
                let first = mistakes.first().map_or("", |mistake| &mistake.message);
                page.announce(format!(
                    "The recipe has {} to fix: {first}",
                    count(mistakes.len())
                ));
                show_first_mistake();
                return;
            }
            Command::Start {
                recipe: page.recipe.get_untracked(),
            }
        }
        Action::Pause => {
            // The engine answers when its step is done, which may take long.
            page.pausing.set(true);
            page.announce("Pausing after this step.");
            Command::Pause
        }
        Action::Resume => Command::Resume,
        Action::Step => Command::Step,
        Action::Stop => Command::Stop,
    };
    crate::engine::send(command, Vec::new());
}

/// What a screen reader hears when a run changes; none at the very beginning.
pub fn announcement(state: &RunState, step: u64) -> String {
    match state {
        RunState::Idle => String::new(),
        RunState::Preparing => "The run is being prepared.".into(),
        RunState::Running => "Training.".into(),
        RunState::Paused => format!("Paused after step {step}."),
        RunState::Ended { halt } => match halt {
            Halt::Finished => format!("Finished: all {step} steps are done."),
            Halt::Stopped => format!("Stopped after step {step}."),
            Halt::Failed => format!("The run failed after step {step}."),
        },
    }
}

fn count(mistakes: usize) -> String {
    if mistakes == 1 {
        "a mistake".into()
    } else {
        format!("{mistakes} mistakes")
    }
}

fn show_first_mistake() {
    let control = document()
        .query_selector("[aria-invalid=true], .field:has(.mistake) :is(input, select, textarea)");
    let Some(control) = control.ok().flatten() else {
        return;
    };
    // a control in a closed group can be neither seen nor focused
    let mut outer = control.parent_element();
    while let Some(element) = outer {
        if element.tag_name() == "DETAILS" {
            element.set_attribute("open", "").ok();
        }
        outer = element.parent_element();
    }
    control.scroll_into_view();
    if let Some(control) = control.dyn_ref::<HtmlElement>() {
        control.focus().ok();
    }
}

#[cfg(test)]
mod tests {
    use limbeck_protocol::{Halt, RunState};

    use super::{Action, Ready};
    use crate::state::Connection;

    fn ready(state: RunState) -> Ready {
        Ready {
            connection: Connection::Open,
            teacher: true,
            texts: true,
            reading: false,
            offered: false,
            state,
            pausing: false,
        }
    }

    fn possible(ready: &Ready) -> Vec<Action> {
        use Action::{Pause, Resume, Start, Step, Stop};
        let all = [Start, Pause, Resume, Step, Stop].into_iter();
        all.filter(|action| ready.obstacle(*action).is_none())
            .collect()
    }

    #[test]
    fn each_state_has_its_actions() {
        use Action::{Pause, Resume, Start, Step, Stop};
        assert_eq!(possible(&ready(RunState::Idle)), [Start]);
        assert_eq!(possible(&ready(RunState::Preparing)), [Stop]);
        assert_eq!(possible(&ready(RunState::Running)), [Pause, Stop]);
        let mut pausing = ready(RunState::Running);
        pausing.pausing = true;
        assert_eq!(possible(&pausing), [Stop]);
        assert_eq!(
            possible(&ready(RunState::Paused)),
            [Start, Resume, Step, Stop]
        );
        let ended = RunState::Ended {
            halt: Halt::Finished,
        };
        assert_eq!(possible(&ready(ended)), [Start]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut loading = ready(RunState::Idle);
        loading.connection = Connection::Loading(1, 2);
        assert!(
            loading
                .obstacle(Action::Start)
                .is_some_and(|why| why.contains("loading"))
        );
        let mut reading = ready(RunState::Idle);
        reading.reading = true;
        assert!(
            reading
                .obstacle(Action::Start)
                .is_some_and(|why| why.contains("being read"))
        );
        let mut bare = ready(RunState::Idle);
        bare.teacher = false;
        assert!(
            bare.obstacle(Action::Start)
                .is_some_and(|why| why.contains("teacher"))
        );
        bare.offered = true;
        assert!(
            bare.obstacle(Action::Start)
                .is_some_and(|why| why.contains("saved run"))
        );
    }
}
