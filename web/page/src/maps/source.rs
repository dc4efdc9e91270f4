//! Which relations are shown: made from the run, the film and what is chosen, and made again only if one of them has changed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_recipe::Pair;
use limbeck_relations::Relation;

use super::choice::Choice;
use super::film::Film;
use super::seen::{Other, Seen, Usual};
use super::view::View;
use super::whose::Whose;
use crate::state::{Learnt, Page, RunLog, Taught};

/// Seconds that working out steps of the film may take of a frame.
const SHARE: f64 = 0.01;

/// Which relations are shown.
pub struct Source {
    page: Page,
    view: View,
    film: StoredValue<Film, LocalStorage>,
    /// Steps of the film.
    pub steps: RwSignal<Vec<u64>>,
    /// Bytes of the film, whether it has lost frames, and its largest error.
    pub memory: RwSignal<(usize, bool, f32)>,
    /// The sentence and the student that were there last.
    shown: RefCell<Option<(Arc<Taught>, Arc<Learnt>)>>,
    /// The film that was there last.
    epoch: Cell<u64>,
    /// What `view.seen` was made of.
    made_of: RefCell<Option<Made>>,
    /// The head at several steps, and which head that is.
    times: RefCell<(Option<Times>, Steps)>,
}

/// What is seen at each of several steps: whose film, pair, heads, layer of the teacher, and head.
type Times = ((Whose, u64), Pair, usize, usize, Option<usize>);
/// What something seen was made of: the newest of the student, the choice, and the student of another run.
type Made = (Arc<Learnt>, Choice, Option<Other>);
/// A head at several steps.
pub type Steps = Rc<Vec<(u64, Rc<Relation>)>>;

impl Source {
    /// Of a page and its film.
    pub fn new(page: Page, view: View, film: StoredValue<Film, LocalStorage>) -> Self {
        Self {
            page,
            view,
            film,
            steps: RwSignal::default(),
            memory: RwSignal::default(),
            shown: RefCell::default(),
            epoch: Cell::default(),
            made_of: RefCell::default(),
            times: RefCell::default(),
        }
    }

    /// Whether the sentence or the student is new; then it shows the state of the film anew. Reactive.
    pub fn is_new(&self) -> bool {
        let now = self.view.with_run(self.page, |run| {
            Some((run.from_teacher.clone()?, run.from_student.clone()?))
        });
        let now = now.flatten();
        let mut before = self.shown.borrow_mut();
        let same = match (&*before, &now) {
            (Some((from_teacher, from_student)), Some(now)) => {
                Arc::ptr_eq(from_teacher, &now.0) && Arc::ptr_eq(from_student, &now.1)
            }
            (before, now) => before.is_none() && now.is_none(),
        };
        if same {
            return false;
        }
        *before = now;
        let (steps, film) =
            self.film(|film| (film.steps(), (film.bytes(), film.thinned(), film.error())));
        // A film that began anew has nothing of what was chosen in the old one. What a link chose waits for the first.
        let epoch = self.film(Film::epoch);
        let old = self.epoch.replace(epoch);
        let chosen = self.view.choice.with_untracked(|choice| choice.step);
        if old != 0 && old != epoch && chosen.is_some() {
            self.view.choose(|choice| choice.step = None);
        }
        self.steps.set(steps);
        self.memory.set(film);
        true
    }

    /// Reads the film of the run that is shown.
    fn film<T>(&self, read: impl FnOnce(&Film) -> T) -> T {
        match untrack(|| self.view.kept()) {
            Some(kept) => read(&kept.film),
            None => self.film.with_value(read),
        }
    }

    /// What is seen now; made anew only if what it is made of has changed.
    pub fn see(&self) -> Option<Rc<Seen>> {
        let mut choice = self.view.choice.get_untracked();
        if self.view.whose.get_untracked() == Whose::Linked {
            // A link carries one student.
            choice.step = None;
        }
        let other = untrack(|| self.view.other(self.page));
        let make = |run: &RunLog| {
            let (from_teacher, now) = (run.from_teacher.clone()?, run.from_student.clone()?);
            let old = self.view.seen.get_untracked();
            let fresh =
                self.made_of
                    .borrow()
                    .as_ref()
                    .is_some_and(|(from_student, made, beside)| {
                        let shows = |c: &Choice| {
                            (
                                c.pair,
                                c.heads,
                                c.teacher_layer,
                                c.student_layer,
                                c.step,
                                c.by_kl,
                                c.beside_now,
                            )
                        };
                        let same = match (beside, &other) {
                            (Some(a), Some(b)) => Arc::ptr_eq(&a.former, &b.former),
                            (a, b) => a.is_none() && b.is_none(),
                        };
                        same && Arc::ptr_eq(from_student, &now) && shows(made) == shows(&choice)
                    });
            let same = |old: &&Rc<Seen>| fresh && Arc::ptr_eq(&old.from_teacher, &from_teacher);
            if let Some(old) = old.as_ref().filter(same) {
                return Some(Ok(old.clone()));
            }
            let filmed = choice
                .step
                .and_then(|step| self.film(|film| film.student(step, &now)));
            let from_student = filmed.map_or_else(|| now.clone(), Arc::new);
            let both = (from_teacher, (from_student, &*now));
            let usual = Usual::of(run);
            let seen =
                Seen::new(&choice, &usual, both, other.as_ref(), old.as_deref()).map(Rc::new);
            *self.made_of.borrow_mut() = Some((now, choice.clone(), other.clone()));
            if let Ok(seen) = &seen {
                self.view.seen.set(Some(seen.clone()));
            }
            Some(seen)
        };
        let seen = untrack(|| self.view.with_run(self.page, make)).flatten()?;
        seen.map_err(|e| self.page.problem(Control::Sentence, e.to_string()))
            .ok()
    }

    /// The student at each of some steps of the film, in the pair and head that are shown, and whether some are missing, because a
    /// call takes a part of a frame: a long sentence needs several. What was worked out for the same head before is not worked out again.
    pub fn over_time(&self, steps: &[u64]) -> (Steps, bool) {
        let choice = self.view.choice.get_untracked();
        let Some(seen) = self.see() else {
            return Default::default();
        };
        let (how, head) = (&seen.how, seen.head(choice.head));
        let epoch = self.film(Film::epoch);
        let whose = self.view.whose.get_untracked();
        let key = ((whose, epoch), how.pair, how.heads, how.teacher_layer, head);
        let mut times = self.times.borrow_mut();
        let had = match times.0 == Some(key) {
            true => times.1.clone(),
            false => Steps::default(),
        };
        let clock = crate::state::now;
        let (until, mut some, mut missing) = (clock() + SHARE, false, false);
        let frames = |run: &RunLog| {
            let (from_teacher, now) = (run.from_teacher.as_ref()?, run.from_student.as_ref()?);
            let at = |step: &u64| {
                if let Some(frame) = had.iter().find(|frame| frame.0 == *step) {
                    return Some(frame.clone());
                }
                if some && clock() > until {
                    missing = true;
                    return None;
                }
                let filmed = self.film(|film| film.student(*step, now));
                let from_student = Arc::new(filmed?);
                let choice = Choice {
                    step: Some(*step),
                    beside_now: false,
                    by_kl: false,
                    ..choice.clone()
                };
                let both = (from_teacher.clone(), (from_student, &**now));
                let seen = Seen::new(&choice, &Usual::of(run), both, None, Some(&seen)).ok()?;
                some = true;
                Some((*step, Rc::new(seen.relation(head).clone())))
            };
            Some(steps.iter().filter_map(at).collect())
        };
        let frames = untrack(|| self.view.with_run(self.page, frames)).flatten();
        let frames: Steps = Rc::new(frames.unwrap_or_default());
        *times = (Some(key), frames.clone());
        (frames, missing)
    }
}
