//! What a page does about the events of an engine besides showing them: after a greeting it provides data, waits for a
//! choice, or takes a run up again.

use leptos::prelude::*;
use limbeck_protocol::{Event, RunState, VERSION};
use limbeck_recipe::Recipe;

use crate::state::Page;

/// What a fresh engine is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// It gets teacher and texts.
    Provide,
    /// It takes up the run that its predecessor had.
    Restore {
        /// And goes on at once.
        resume: bool,
    },
}

/// What the page knows, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The recipe of the saved run.
    pub saved: Option<Recipe>,
    /// The recipe of the run that is shown, and the step it was taken up at.
    pub shown: Option<(Recipe, u64)>,
}

impl Facts {
    /// Of a page.
    pub fn of(page: &Page) -> Self {
        let shown = page.runs.with_untracked(|runs| {
            let run = runs.last().filter(|run| !run.recorded)?;
            Some((run.info.recipe.clone(), run.info.step))
        });
        Self {
            saved: page
                .saved
                .with_untracked(|saved| saved.as_ref().map(|run| run.recipe.clone())),
            shown,
        }
    }
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Fetch and send teacher and texts.
    Provide,
    /// Take the saved run up.
    Restore,
    /// Go on with it.
    Resume,
    /// Greet again as a page without steps.
    GreetAnew,
    /// The engine is of this version.
    OtherVersion(u32),
    /// The engine ends.
    Died(String),
}

/// What to do about an event.
#[derive(Debug, PartialEq)]
pub struct Reaction {
    /// Whether the page shows it.
    pub show: bool,
    /// What else.
    pub next: Option<Next>,
}

/// The talk with one engine.
#[derive(Debug)]
pub struct Session {
    goal: Option<Goal>,
    /// Between `Hello` and the state that ends its answer: whether a teacher came.
    answer: Option<bool>,
    /// While a run is taken up: whether it goes on then.
    restoring: Option<bool>,
    /// Whether the user wants the saved run to go on as soon as it is back.
    goes_on: bool,
    /// The last step that the greeting named.
    since: u64,
    /// What comes belongs to an answer that does not fit what is shown; a second greeting is under way.
    stale: bool,
}

impl Session {
    /// With an engine that has not been greeted.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            answer: None,
            restoring: None,
            goes_on: false,
            since: 0,
            stale: false,
        }
    }

    /// What the engine was for and has not done: its successor's goal.
    pub fn undone(&self) -> Option<Goal> {
        let restoring = self.restoring.map(|resume| Goal::Restore { resume });
        self.goal.or(restoring)
    }

    /// The user takes the saved run up; it goes on by itself, or waits.
    pub fn takes_up(&mut self, goes_on: bool) {
        self.goes_on = goes_on;
    }

    /// A greeting is sent.
    pub fn greeting(&mut self, since: u64) {
        self.since = since;
    }

    /// What to do about an event.
    pub fn take(&mut self, event: &Event, facts: &Facts) -> Reaction {
        let mut show = !self.stale;
        let next = match event {
            Event::Hello { version, .. } => {
                self.stale = false;
                show = *version == VERSION;
                self.answer = show.then_some(false);
                (!show).then_some(Next::OtherVersion(*version))
            }
            _ if self.stale => None,
            Event::Failing { reason } => Some(Next::Died(reason.clone())),
            Event::Teacher { .. } => {
                self.answer = self.answer.map(|_| true);
                None
            }
            Event::Started { run } if self.answer.is_some() && self.since > 0 => {
                show = false;
                let same = facts.shown == Some((run.recipe.clone(), run.step));
                self.stale = !same;
                self.stale.then_some(Next::GreetAnew)
            }
            Event::State { state } => match self.answer.take() {
                Some(teacher) => self.answered(teacher, facts),
                None => self.restored(state),
            },
            Event::Refused { .. } => {
                self.goes_on = false;
                self.restoring.take().map(|_| Next::Provide)
            }
            _ => None,
        };
        Reaction { show, next }
    }

    /// The answer to the greeting is complete.
    fn answered(&mut self, teacher: bool, facts: &Facts) -> Option<Next> {
        let shown = facts.shown.as_ref().map(|(recipe, _)| recipe);
        match self.goal.take() {
            Some(Goal::Restore { resume })
                if facts.saved.is_some() && facts.saved.as_ref() == shown =>
            {
                self.restoring = Some(resume);
                Some(Next::Restore)
            }
            // the user chooses first
            Some(Goal::Provide) | None if facts.saved.is_some() => None,
            _ if teacher => None,
            _ => Some(Next::Provide),
        }
    }

    fn restored(&mut self, state: &RunState) -> Option<Next> {
        match (self.restoring, state) {
            (Some(resume), RunState::Paused) => {
                self.restoring = None;
                resume.then_some(Next::Resume)
            }
            (None, RunState::Paused) => std::mem::take(&mut self.goes_on).then_some(Next::Resume),
            (_, RunState::Ended { .. }) => {
                (self.restoring, self.goes_on) = (None, false);
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::examples;
    use limbeck_protocol::{
        Control, EngineInfo, EngineKind, Event, RunInfo, RunState, TeacherInfo, VERSION,
    };
    use limbeck_recipe::Recipe;

    use super::{Facts, Goal, Next, Session};

    fn hello(version: u32) -> Event {
        let engine = EngineInfo {
            kind: EngineKind::Worker,
            software: String::new(),
            adapter: None,
            cpu: String::new(),
            keeps: String::new(),
        };
        Event::Hello { version, engine }
    }

    fn state(state: RunState) -> Event {
        Event::State { state }
    }

    fn started(recipe: Recipe) -> Event {
        let run = RunInfo {
            recipe,
            ..examples::info()
        };
        Event::Started { run }
    }

    fn facts(saved: bool) -> Facts {
        Facts {
            saved: saved.then(Recipe::default),
            shown: Some((Recipe::default(), 0)),
        }
    }

    fn seeded(seed: u64) -> Recipe {
        Recipe {
            seed,
            ..Recipe::default()
        }
    }

    #[test]
    fn an_engine_without_a_teacher_is_provided_for() {
        let mut session = Session::new(Goal::Provide);
        assert!(session.take(&hello(VERSION), &Facts::default()).show);
        let end = session.take(&state(RunState::Idle), &Facts::default());
        assert_eq!(end.next, Some(Next::Provide));
        let later = session.take(&state(RunState::Idle), &Facts::default());
        assert_eq!(later.next, None);
    }

    #[test]
    fn an_engine_with_a_teacher_is_left_alone() {
        let mut session = Session::new(Goal::Provide);
        session.take(&hello(VERSION), &Facts::default());
        let teacher = TeacherInfo {
            name: String::new(),
            config: String::new(),
            bytes: 0,
        };
        session.take(&Event::Teacher { teacher }, &Facts::default());
        let end = session.take(&state(RunState::Running), &Facts::default());
        assert_eq!(end.next, None);
    }

    #[test]
    fn a_saved_run_waits_for_the_user_and_after_a_death_for_nobody() {
        let mut first = Session::new(Goal::Provide);
        first.take(&hello(VERSION), &facts(true));
        assert_eq!(first.take(&state(RunState::Idle), &facts(true)).next, None);

        let mut second = Session::new(Goal::Restore { resume: true });
        second.take(&hello(VERSION), &facts(true));
        let restore = second.take(&state(RunState::Idle), &facts(true)).next;
        assert_eq!(restore, Some(Next::Restore));
        let reading = second.take(&state(RunState::Preparing), &facts(true)).next;
        assert_eq!(reading, None);
        let resume = second.take(&state(RunState::Paused), &facts(true)).next;
        assert_eq!(resume, Some(Next::Resume));
    }

    #[test]
    fn a_run_that_the_user_takes_up_goes_on_once() {
        let mut session = Session::new(Goal::Provide);
        session.take(&hello(VERSION), &facts(true));
        session.take(&state(RunState::Idle), &facts(true));
        session.takes_up(true);
        let reading = session.take(&state(RunState::Preparing), &facts(true)).next;
        assert_eq!(reading, None);
        let back = session.take(&state(RunState::Paused), &facts(true)).next;
        assert_eq!(back, Some(Next::Resume));
        let paused_by_hand = session.take(&state(RunState::Paused), &facts(true)).next;
        assert_eq!(paused_by_hand, None);
        session.takes_up(true);
        let refusal = Event::Refused {
            control: Control::Checkpoint,
            message: String::new(),
        };
        assert_eq!(session.take(&refusal, &facts(true)).next, None);
        let later = session.take(&state(RunState::Paused), &facts(true)).next;
        assert_eq!(later, None, "what was refused does not go on later");
    }

    #[test]
    fn a_run_that_was_not_saved_or_is_refused_leaves_a_provided_engine() {
        let mut unsaved = Session::new(Goal::Restore { resume: true });
        unsaved.take(&hello(VERSION), &facts(false));
        let end = unsaved.take(&state(RunState::Idle), &facts(false));
        assert_eq!(end.next, Some(Next::Provide));

        let mut refused = Session::new(Goal::Restore { resume: true });
        refused.take(&hello(VERSION), &facts(true));
        refused.take(&state(RunState::Idle), &facts(true));
        let refusal = Event::Refused {
            control: Control::Checkpoint,
            message: String::new(),
        };
        let end = refused.take(&refusal, &facts(true));
        assert_eq!(end.next, Some(Next::Provide));
    }

    #[test]
    fn a_connection_that_was_lost_keeps_the_steps_of_its_run_only() {
        let mut same = Session::new(Goal::Provide);
        same.greeting(7);
        same.take(&hello(VERSION), &facts(false));
        let reaction = same.take(&started(Recipe::default()), &facts(false));
        assert_eq!((reaction.show, reaction.next), (false, None));

        let mut other = Session::new(Goal::Provide);
        other.greeting(7);
        other.take(&hello(VERSION), &facts(false));
        let anew = other.take(&started(seeded(1)), &facts(false));
        assert_eq!((anew.show, anew.next), (false, Some(Next::GreetAnew)));
        assert!(!other.take(&state(RunState::Running), &facts(false)).show);
        other.greeting(0);
        other.take(&hello(VERSION), &facts(false));
        assert!(other.take(&started(seeded(1)), &facts(false)).show);
    }

    #[test]
    fn another_version_is_not_shown() {
        let mut session = Session::new(Goal::Provide);
        let reaction = session.take(&hello(VERSION + 1), &Facts::default());
        assert!(!reaction.show);
        assert_eq!(reaction.next, Some(Next::OtherVersion(VERSION + 1)));
    }
}
