//! Whose student the maps show, and beside what: this run's beside its teacher or beside another run's student, or the recorded
//! run's.

use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use limbeck_protocol::{Command, RunState};
use limbeck_relations::{Reference, Token, fingerprint};

use super::film::Film;
use super::seen::{Other, Seen};
use super::view::View;
use crate::chart::differences;
use crate::keys::focus;
use crate::live::{effect, live, memo};
use crate::recorded;
use crate::state::{Former, Page, RunLog, page};
use crate::words::count;

/// Whose student is shown, and beside what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Whose {
    /// That of the page's run, beside its teacher.
    #[default]
    Present,
    /// That of the page's run, beside that of another one.
    Beside(Reference),
    /// That of the recorded run, beside its teacher, while the page has another run.
    Recorded,
    /// That which the page's link carries, beside its teacher.
    Linked,
}

impl Whose {
    /// Whether that is not the page's run.
    fn is_away(self) -> bool {
        matches!(self, Self::Recorded | Self::Linked)
    }
}

/// A run that a link was made from, and what it had locked, until it is the one that is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaited {
    /// [`fingerprint`] of its sentence.
    sentence: u32,
    /// Its step.
    pub step: u64,
    /// The locked row and column.
    cell: Option<(usize, usize)>,
    /// The locked tokens.
    tokens: Vec<usize>,
}

impl Awaited {
    /// Of the value of `on` in a link: `5f3a9c01-300`.
    pub fn read(text: &str) -> Option<Self> {
        let (sentence, step) = text.split_once('-')?;
        Some(Self {
            sentence: u32::from_str_radix(sentence, 16).ok()?,
            step: step.parse().ok()?,
            cell: None,
            tokens: Vec::new(),
        })
    }

    /// That value, of what is seen.
    pub fn text(tokens: &[Token], step: u64) -> String {
        format!("{:08x}-{step}", fingerprint(tokens))
    }
}

/// What is said of maps that a link carries.
const LINKED: &str = "These maps come from the link itself: one sentence in one layer of teacher and student, at 8 bits per number. \
    This browser need not have the run.";

/// A run beside that of the page, as it is at its end.
pub struct Kept {
    /// Its sentence and its student.
    pub run: RunLog,
    /// Its student at earlier steps.
    pub film: Film,
    /// What is set beside another run.
    former: Option<Arc<Former>>,
}

impl Kept {
    /// The recorded run, once it is loaded.
    fn recorded() -> Option<Self> {
        let mut film = Film::default();
        let run = recorded::whole(|run| film.take(run))?;
        Some(Self {
            former: run.to_former().map(Arc::new),
            run,
            film,
        })
    }
}

impl View {
    /// Shows another student. Nothing of it is chosen yet: its steps are others, and so may be its sentence.
    pub fn show(&self, whose: Whose) {
        let before = self.whose.get_untracked();
        if before == whose {
            return;
        }
        if before.is_away() || whose.is_away() {
            self.choose(|choice| choice.step = None);
            self.free();
        }
        self.whose.set(whose);
    }

    /// Shows what the page's link carries.
    pub fn link(&self, run: RunLog) {
        let kept = Kept {
            run,
            film: Film::default(),
            former: None,
        };
        self.linked.set_value(Some(Rc::new(kept)));
        self.whose.set(Whose::Linked);
    }

    /// Puts aside what a link has locked, until the sentence is seen that it was locked in.
    pub fn put_aside(&self, mut awaited: Awaited) {
        self.choose(|choice| {
            awaited.cell = choice.cell.take();
            awaited.tokens = std::mem::take(&mut choice.tokens);
        });
        self.awaited.set(Some(awaited));
    }

    /// Locks again what a link has locked, if this is its sentence.
    pub fn arrive(&self, seen: &Seen) {
        let here = fingerprint(&seen.from_teacher.tokens);
        let awaited = self.awaited.get_untracked();
        if let Some(awaited) = awaited.filter(|awaited| awaited.sentence == here) {
            self.awaited.set(None);
            self.choose(|choice| (choice.cell, choice.tokens) = (awaited.cell, awaited.tokens));
        }
    }

    /// The run whose student is shown, if it is not the page's. Reactive.
    pub fn kept(&self) -> Option<Rc<Kept>> {
        match self.whose.get() {
            Whose::Recorded => self.recorded(),
            Whose::Linked => self.linked.get_value(),
            Whose::Present | Whose::Beside(_) => None,
        }
    }

    /// The recorded run; read once, when it is asked for.
    fn recorded(&self) -> Option<Rc<Kept>> {
        if self.recorded.with_value(Option::is_none) {
            self.recorded.set_value(Kept::recorded().map(Rc::new));
        }
        self.recorded.get_value()
    }

    /// Reads the run whose student is shown. Reactive.
    pub fn with_run<T>(&self, page: Page, read: impl FnOnce(&RunLog) -> T) -> Option<T> {
        match self.kept() {
            Some(kept) => Some(read(&kept.run)),
            None => page.runs.with(|runs| runs.last().map(read)),
        }
    }

    /// The student that this run's is to be set beside. Reactive.
    pub fn other(&self, page: Page) -> Option<Other> {
        let Whose::Beside(reference) = self.whose.get() else {
            return None;
        };
        let former = match reference {
            Reference::EarlierRun => earlier(page, |run| run.former.clone())?,
            _ => self.recorded()?.former.clone(),
        };
        let former = former?;
        Some(Other { reference, former })
    }
}

/// Reads the run before the present one. Reactive.
fn earlier<T>(page: Page, read: impl FnOnce(&RunLog) -> T) -> Option<T> {
    let runs = page.runs;
    runs.with(|runs| runs.iter().rev().nth(1).map(read))
}

/// Chooses whose student is shown, and beside what, in pictures of a pair. It is there while the page has a run of its own, or a link
/// that carries one.
pub fn whose(view: View, of_pair: Memo<bool>) -> impl IntoView {
    let page = page();
    let own = memo(move || page.with_run(|run| run.from_student.is_some()) == Some(true));
    let has_earlier = memo(move || earlier(page, |run| run.former.is_some()) == Some(true));
    let has_recorded = memo(recorded::is_loaded);
    let now = view.whose;
    // A run that begins is what there is to see.
    effect(move || {
        if page.state.get() == RunState::Preparing && now.get_untracked().is_away() {
            view.show(Whose::Present);
        }
    });
    let button = move |whose: Whose, name: &'static str, there: Memo<bool>| {
        view! {
            <button type="button" hidden=live(move || !there.get()) aria-pressed=live(move || (now.get() == whose).to_string())
                on:click=move |_| view.show(whose)>{name}</button>
        }
    };
    let is_linked = view.linked.with_value(Option::is_some);
    // Without a run of its own, that of the page is the recorded one.
    let at_recorded = move || match now.get() {
        Whose::Recorded => true,
        Whose::Present => !own.get(),
        Whose::Beside(_) | Whose::Linked => false,
    };
    let back = move |_| {
        view.show(match (untrack(at_recorded), own.get_untracked()) {
            (true, true) | (false, false) => Whose::Present,
            (true, false) => Whose::Linked,
            (false, true) => Whose::Recorded,
        });
    };
    let alone = move || now.get().is_away() || !own.get() || !of_pair.get();
    let way = move || match (at_recorded(), own.get()) {
        (true, true) => "Back to this run",
        (true, false) => "Back to what the link shows",
        (false, _) => "Back to the recorded run",
    };
    let note = move || match now.get() {
        Whose::Beside(reference) if of_pair.get() => beside(page, view, reference),
        Whose::Present | Whose::Beside(_) => None,
        Whose::Recorded => Some("These are the maps of the recorded run.".to_owned()),
        Whose::Linked => Some(LINKED.to_owned()),
    };
    let elsewhere = memo(move || {
        let seen = view.seen.get().filter(|_| own.get())?;
        seen.how.elsewhere.clone()
    });
    let ask = move |_| {
        if let Some(text) = elsewhere.get_untracked() {
            view.free();
            view.sentence.set(text.clone());
            crate::engine::send(Command::Sentence { text }, Vec::new());
            // The button goes when the sentence is there.
            focus("maps-text");
        }
    };
    view! {
        <div class="maps-choices" id="maps-whose" hidden=live(move || !(own.get() || is_linked))>
            <div class="switch" role="group" aria-label="Whose maps stand side by side" hidden=live(move || alone() || !(has_earlier.get() || has_recorded.get()))>
                {button(Whose::Present, "Teacher | this run", own)}
                {button(Whose::Beside(Reference::EarlierRun), "Earlier run | this run", has_earlier)}
                {button(Whose::Beside(Reference::RecordedRun), "Recorded run | this run", has_recorded)}
            </div>
            <button type="button" class="button quiet" id="maps-recorded" hidden=live(move || !has_recorded.get()) on:click=back>{live(way)}</button>
            <button type="button" class="button" id="maps-elsewhere" hidden=live(move || elsewhere.get().is_none() || !of_pair.get()) on:click=ask>"Show that sentence in this run"</button>
        </div>
        <p class="hint" id="maps-whose-note" aria-live="polite">{live(note)}</p>
    }
}

/// Which two students are seen, and how their runs differ; nothing where they cannot be compared, which is said elsewhere.
fn beside(page: Page, view: View, reference: Reference) -> Option<String> {
    let seen = view.seen.get().filter(|seen| seen.reference == reference)?;
    let other = match reference {
        Reference::EarlierRun => earlier(page, |run| run.info.clone())?,
        _ => view.recorded()?.run.info.clone(),
    };
    let differences = page.with_run(|run| differences(&run.info, &other))?;
    let name = reference.word();
    Some(format!(
        "First map: the student of the {name} at step {} ({differences}). Second map: the student of this run. KL is KL({name} \u{2016} this run).",
        count(seen.first_step)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_sentence_and_step() {
        let token = |text: &str| Token {
            text: text.into(),
            special: false,
        };
        let text = Awaited::text(&[token("a"), token("b")], 300);
        let back = Awaited::read(&text).expect("it was just written");
        assert_eq!(back.step, 300);
        assert_eq!(back.sentence, fingerprint(&[token("a"), token("b")]));
        for wrong in ["", "300", "xyz-300", "5f3a9c01-", "5f3a9c01-3-0"] {
            assert!(Awaited::read(wrong).is_none(), "{wrong}");
        }
    }
}
