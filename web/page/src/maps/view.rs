//! What a reader has chosen and what follows from it, as signals.

use std::rc::Rc;

use leptos::prelude::*;

use super::choice::Choice;
use super::seen::Seen;
use super::whose::{Awaited, Kept, Whose};
use crate::live::memo;

/// What a reader has chosen, and what follows from it.
#[derive(Clone, Copy)]
pub struct View {
    /// What is chosen.
    pub choice: RwSignal<Choice>,
    /// The head under the pointer, while it is there: a head or the mean.
    pub preview: RwSignal<Option<Option<usize>>>,
    /// Row and column of the crosshair.
    pub cell: RwSignal<(usize, usize)>,
    /// The relations that follow.
    pub seen: RwSignal<Option<Rc<Seen>>, LocalStorage>,
    /// The sentence as it is written in its field.
    pub sentence: RwSignal<String>,
    /// Heads of words, where a parse is given.
    pub parse: RwSignal<String>,
    /// The step of the tour, from 1, while it goes on.
    pub tour: RwSignal<Option<usize>>,
    /// Whose student is shown.
    pub whose: RwSignal<Whose>,
    /// What a link was made from, until that is seen.
    pub awaited: RwSignal<Option<Awaited>>,
    /// What the page's link carries.
    pub(super) linked: StoredValue<Option<Rc<Kept>>, LocalStorage>,
    /// The recorded run, once it was asked for beside another one.
    pub(super) recorded: StoredValue<Option<Rc<Kept>>, LocalStorage>,
}

impl View {
    /// Nothing chosen.
    pub fn new() -> Self {
        Self {
            choice: RwSignal::default(),
            preview: RwSignal::new(None),
            cell: RwSignal::new((0, 0)),
            seen: RwSignal::new_local(None),
            sentence: RwSignal::default(),
            parse: RwSignal::default(),
            tour: RwSignal::new(None),
            whose: RwSignal::default(),
            awaited: RwSignal::new(None),
            linked: StoredValue::new_local(None),
            recorded: StoredValue::new_local(None),
        }
    }

    /// The head that is shown: the one under the pointer, or the chosen one; the mean where there is none such. Reactive.
    pub fn head(&self, seen: &Seen) -> Option<usize> {
        let chosen = || self.choice.with(|choice| choice.head);
        seen.head(self.preview.get().unwrap_or_else(chosen))
    }

    /// The chosen head, whatever is under the pointer.
    pub fn chosen(&self, seen: &Seen) -> Option<usize> {
        seen.head(self.choice.with_untracked(|choice| choice.head))
    }

    /// The locked cell: row and column.
    pub fn locked(&self) -> Option<(usize, usize)> {
        self.choice.with_untracked(|choice| choice.cell)
    }

    /// Frees a locked cell that a grid of this size does not have: it belongs to another picture.
    pub fn free_beyond(&self, size: usize) {
        if self
            .choice
            .with_untracked(|choice| choice.is_locked_beyond(size))
        {
            self.choose(|choice| choice.cell = None);
        }
    }

    /// Frees what is locked: it belongs to a sentence that is no longer there.
    pub fn free(&self) {
        self.awaited.set(None);
        self.choose(|choice| {
            choice.cell = None;
            choice.tokens.clear();
        });
        self.parse.update(String::clear);
    }

    /// Changes what is chosen.
    pub fn choose(&self, change: impl FnOnce(&mut Choice)) {
        self.choice.update(change);
    }

    /// One part of what is chosen; reactive, and only to this part.
    pub fn of<T: PartialEq + Send + Sync + 'static>(
        &self,
        part: impl Fn(&Choice) -> T + Send + Sync + 'static,
    ) -> Memo<T> {
        let choice = self.choice;
        memo(move || choice.with(&part))
    }

    /// Takes what a link says of the view, with the keys of all pictures; gives what is not understood.
    pub fn open(&self, parameters: &[(String, String)], pictures: &[&'static str]) -> Vec<String> {
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let (choice, unknown) = Choice::read(value("see").unwrap_or_default(), pictures);
        self.choice.set(choice);
        self.sentence
            .set(value("sentence").unwrap_or_default().to_owned());
        self.tour
            .set(value("tour").and_then(|step| step.parse().ok()));
        unknown
    }
}

/// The view of this context.
pub fn view() -> View {
    expect_context::<View>()
}
