//! Draws the maps and the strip of heads, and answers pointers and keys on them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_relations::{all_pairs, kl_part, pair_name};

use super::picture::{Ink, Layout, Names, Picture, Thumb, Window, draw_thumbs, gradient, thumb_at};
use super::seen::{How, Seen, Usual, first_pair};
use super::view::{MOST_ZOOM, View};
use crate::chart::scale::number;
use crate::chart::surface::Redraw;
use crate::state::{Learnt, Page, RunLog, Taught};

/// What is told in text of what is drawn.
#[derive(Clone, Copy)]
pub struct Told {
    /// Steps of the film.
    pub steps: RwSignal<Vec<u64>>,
    /// Bytes of the film, whether it has lost frames, and its largest error.
    pub film: RwSignal<(usize, bool, f32)>,
    /// The cell in words.
    pub reading: RwSignal<Reading>,
    /// Both scales: end values in words and gradients.
    pub scales: RwSignal<[(String, String, String); 2]>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// From and to.
    pub tokens: (String, String),
    /// Name and value of each number.
    pub values: Vec<(&'static str, String)>,
    /// How the numbers come about, with the numbers in it.
    pub formula: Vec<String>,
}

impl Reading {
    fn of(seen: &Seen, head: Option<usize>, (row, column): (usize, usize)) -> Option<Self> {
        let relation = seen.relation(head);
        let at = row * relation.size + column;
        let (p, q) = (*relation.teacher.get(at)?, *relation.student.get(at)?);
        let kl = *relation.kl.get(row)?;
        let value = |v: f32| number(f64::from(v));
        let labels = seen.labels();
        let first = match seen.beside_now {
            true => "student now",
            false => "teacher",
        };
        let mut formula = vec![match head {
            None => "in the mean of heads, the KL is the mean of theirs: choose a head to see how it comes about".to_owned(),
            Some(_) => format!(
                "part of the KL: p ln(p / q) = {} ln({} / {}) = {} of {} nats in this row",
                value(p),
                value(p),
                value(q),
                number(kl_part(p, q)),
                number(kl)
            ),
        }];
        let width = seen.taught.taps.hidden() / seen.how.heads;
        let vectors = pair_name(seen.how.pair)
            .to_lowercase()
            .replace('-', " \u{b7} ");
        let scores = head.and_then(|head| seen.scores(head, (row, column)));
        if let Some([teacher, student]) = scores.filter(|_| !seen.beside_now) {
            formula.push(format!(
                "p = exp(s) / sum of the row, s = {vectors} / \u{221a}D: {} for the teacher (D = {width}), {} for the student (D = {})",
                number(teacher),
                number(student),
                seen.learnt.taps.hidden() / seen.how.heads
            ));
        }
        Some(Self {
            tokens: (labels.get(row)?.clone(), labels.get(column)?.clone()),
            values: vec![
                (first, value(p)),
                ("student", value(q)),
                ("difference", value(q - p)),
                ("KL of the row", number(kl)),
            ],
            formula,
        })
    }

    /// As one sentence.
    pub fn sentence(&self) -> String {
        let values = self
            .values
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        format!(
            "{} to {}: {}",
            self.tokens.0,
            self.tokens.1,
            values.collect::<Vec<_>>().join(", ")
        )
    }
}

/// Draws the maps.
pub struct Stage {
    page: Page,
    view: View,
    /// What is told in text.
    pub told: Told,
    host: NodeRef<Div>,
    canvas: NodeRef<Canvas>,
    strip: NodeRef<Canvas>,
    /// The sentence and the student that were there last.
    shown: RefCell<Option<(Arc<Taught>, Arc<Learnt>)>>,
    /// What `view.seen` was made of, and the newest of the student.
    made_of: RefCell<Option<(Arc<Learnt>, super::view::Choice)>>,
    picture: RefCell<Option<Picture>>,
    layout: Cell<Option<Layout>>,
    window: Cell<Window>,
    /// Tokens that the crosshair was placed for.
    placed: RefCell<Vec<String>>,
    /// Where a pointer went down, and the window then.
    dragged: Cell<Option<(f64, f64, Window)>>,
}

impl Stage {
    /// On these canvases.
    pub fn new(
        page: Page,
        host: NodeRef<Div>,
        canvas: NodeRef<Canvas>,
        strip: NodeRef<Canvas>,
    ) -> Self {
        Self {
            page,
            view: page.view,
            told: Told {
                steps: RwSignal::default(),
                film: RwSignal::default(),
                reading: RwSignal::default(),
                scales: RwSignal::default(),
            },
            host,
            canvas,
            strip,
            shown: RefCell::default(),
            made_of: RefCell::default(),
            picture: RefCell::default(),
            layout: Cell::default(),
            window: Cell::default(),
            placed: RefCell::default(),
            dragged: Cell::default(),
        }
    }

    /// Redraws when taps, choices or the cell change.
    pub fn follow(self: &Rc<Self>) -> Redraw {
        let stage = self.clone();
        let redraw = Redraw::new(move || stage.draw());
        let (stage, again) = (self.clone(), redraw.clone());
        Effect::new(move |_| {
            if stage.is_new() {
                again.request();
            }
        });
        let (view, again) = (self.view, redraw.clone());
        Effect::new(move |_| {
            view.choice.track();
            again.request();
        });
        let stage = self.clone();
        Effect::new(move |_| {
            view.preview.track();
            stage.draw_head();
        });
        let stage = self.clone();
        Effect::new(move |_| {
            view.cell.track();
            stage.draw_cell();
        });
        redraw
    }

    /// Tells of the film if the sentence or the student is new; reactive.
    fn is_new(&self) -> bool {
        let now = self.page.runs.with(|runs| {
            let run = runs.last()?;
            Some((run.taught.clone()?, run.learnt.clone()?))
        });
        let mut before = self.shown.borrow_mut();
        let same = match (&*before, &now) {
            (Some((taught, learnt)), Some(now)) => {
                Arc::ptr_eq(taught, &now.0) && Arc::ptr_eq(learnt, &now.1)
            }
            (before, now) => before.is_none() && now.is_none(),
        };
        if same {
            return false;
        }
        *before = now;
        let (steps, film) = self
            .page
            .film
            .with_value(|film| (film.steps(), (film.bytes(), film.thinned(), film.error())));
        // A film that began anew has nothing of what was chosen in the old one.
        let had = self.told.steps.with_untracked(Vec::len);
        let chosen = self.view.choice.with_untracked(|choice| choice.step);
        if steps.len() < had && chosen.is_some_and(|step| !steps.contains(&step)) {
            self.view.choose(|choice| choice.step = None);
        }
        self.told.steps.set(steps);
        self.told.film.set(film);
        true
    }

    /// What is seen now; made anew only if what it is made of has changed.
    fn see(&self) -> Option<Rc<Seen>> {
        let choice = self.view.choice.get_untracked();
        let seen = self.page.runs.with_untracked(|runs| {
            let run = runs.last()?;
            let (taught, now) = (run.taught.clone()?, run.learnt.clone()?);
            let old = self.view.seen.get_untracked();
            let fresh = self
                .made_of
                .borrow()
                .as_ref()
                .is_some_and(|(learnt, made)| {
                    let shows = |c: &super::view::Choice| {
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
                    Arc::ptr_eq(learnt, &now) && shows(made) == shows(&choice)
                });
            if let Some(old) = old.filter(|old| fresh && Arc::ptr_eq(&old.taught, &taught)) {
                return Some(Ok(old));
            }
            let filmed = choice
                .step
                .and_then(|step| self.page.film.with_value(|film| film.student(step, &now)));
            let learnt = filmed.map_or_else(|| now.clone(), Arc::new);
            let how = How::new(&choice, &usual(run), &taught, &learnt);
            let seen = Seen::new(&choice, how, taught, (learnt, &now)).map(Rc::new);
            *self.made_of.borrow_mut() = Some((now, choice.clone()));
            if let Ok(seen) = &seen {
                self.view.seen.set(Some(seen.clone()));
            }
            Some(seen)
        })?;
        seen.map_err(|e| self.page.problem(Control::Sentence, e.to_string()))
            .ok()
    }

    /// The student at each of some steps of the film, in the pair and head that are shown.
    pub fn over_time(&self, steps: &[u64]) -> Vec<(u64, limbeck_relations::Relation)> {
        let choice = self.view.choice.get_untracked();
        self.page.runs.with_untracked(|runs| {
            let Some(run) = runs.last() else {
                return Vec::new();
            };
            let (Some(taught), Some(now)) = (&run.taught, &run.learnt) else {
                return Vec::new();
            };
            let at = |step: &u64| {
                let filmed = self.page.film.with_value(|film| film.student(*step, now));
                let learnt = Arc::new(filmed?);
                let choice = super::view::Choice {
                    step: Some(*step),
                    beside_now: false,
                    by_kl: false,
                    ..choice.clone()
                };
                let how = How::new(&choice, &usual(run), taught, &learnt);
                let seen = Seen::new(&choice, how, taught.clone(), (learnt, now)).ok()?;
                Some((*step, seen.relation(choice.head).clone()))
            };
            steps.iter().filter_map(at).collect()
        })
    }

    /// The head that is shown: the one under the pointer, or the chosen one.
    fn head(&self) -> Option<usize> {
        let chosen = self.view.choice.with_untracked(|choice| choice.head);
        self.view.preview.get_untracked().unwrap_or(chosen)
    }

    /// Draws everything anew.
    fn draw(&self) {
        let (Some(host), Some(seen)) = (self.host.get_untracked(), self.see()) else {
            return;
        };
        self.place_cell(&seen);
        self.draw_strip(&seen, &Ink::of(&host));
        self.draw_head();
    }

    /// Draws the head that is shown.
    fn draw_head(&self) {
        let (Some(host), Some(seen)) = (self.host.get_untracked(), self.view.seen.get_untracked())
        else {
            return;
        };
        let ink = Ink::of(&host);
        let picture = Picture::of(seen.relation(self.head()).clone(), &ink);
        if let Some(picture) = &picture {
            let scales = picture.scales();
            let end = |v: f32| number(f64::from(v));
            self.told.scales.set([
                (
                    "0".into(),
                    gradient(&ink.sequential, f32::sqrt),
                    end(scales.peak),
                ),
                (
                    end(-scales.gap),
                    gradient(&ink.diverging, |part| part),
                    end(scales.gap),
                ),
            ]);
        }
        *self.picture.borrow_mut() = picture;
        self.draw_cell();
    }

    /// A new sentence begins where there is most to see, or where a link says.
    fn place_cell(&self, seen: &Seen) {
        let mut placed = self.placed.borrow_mut();
        let labels = seen.labels();
        if *placed != labels {
            *placed = labels;
            let locked = self.view.choice.with_untracked(|choice| choice.cell);
            let inside = |(row, column): &(usize, usize)| row.max(column) < &seen.size();
            self.view
                .cell
                .set(locked.filter(inside).unwrap_or_else(|| seen.mean.worst()));
        }
    }

    fn draw_strip(&self, seen: &Seen, ink: &Ink) {
        let Some(strip) = self.strip.get_untracked() else {
            return;
        };
        let head = self.view.choice.with_untracked(|choice| choice.head);
        let named = seen.order.iter().map(|i| Thumb {
            name: (i + 1).to_string(),
            relation: &seen.each[*i],
            chosen: head == Some(*i),
        });
        let mean = Thumb {
            name: "mean".into(),
            relation: &seen.mean,
            chosen: head.is_none(),
        };
        let thumbs: Vec<Thumb> = std::iter::once(mean).chain(named).collect();
        draw_thumbs(&strip, &thumbs, ink);
    }

    /// Draws the crosshair and reads its cell.
    fn draw_cell(&self) {
        let (Some(host), Some(canvas)) = (self.host.get_untracked(), self.canvas.get_untracked())
        else {
            return;
        };
        let picture = self.picture.borrow();
        let (Some(picture), Some(seen)) = (picture.as_ref(), self.view.seen.get_untracked()) else {
            return;
        };
        let cell = self.view.cell.get_untracked();
        let zoom = self.view.choice.with_untracked(|choice| choice.zoom);
        let before = self.window.get();
        let mut window = Window::zoomed(seen.size(), zoom, (before.row, before.column));
        if self.dragged.get().is_none() {
            window = window.showing(cell);
        }
        self.window.set(window);
        let names: Names = [
            seen.first().to_owned(),
            match seen.beside_now {
                true => format!("Student, step {}", seen.learnt.step),
                false => "Student".to_owned(),
            },
            format!("Student \u{2212} {}", seen.first().to_lowercase()),
        ];
        self.layout.set(picture.draw(
            &canvas,
            (&seen.labels(), &names),
            (cell, window),
            &Ink::of(&host),
        ));
        self.told
            .reading
            .set(Reading::of(&seen, self.head(), cell).unwrap_or_default());
    }

    /// A pointer over the maps: the crosshair follows it unless its cell is locked, and a zoomed map is dragged along.
    pub fn point(&self, x: f64, y: f64, pressed: bool) {
        if let (true, Some((from_x, from_y, window)), Some(layout)) =
            (pressed, self.dragged.get(), self.layout.get())
        {
            let shift =
                |first: usize, by: f64| (first as f64 - by / layout.cell).round().max(0.0) as usize;
            let moved = Window {
                row: shift(window.row, y - from_y),
                column: shift(window.column, x - from_x),
                ..window
            };
            if moved != self.window.get() {
                self.window.set(moved);
                self.draw_cell();
            }
            return;
        }
        let locked = self
            .view
            .choice
            .with_untracked(|choice| choice.cell.is_some());
        let cell = self.layout.get().and_then(|layout| layout.cell_at(x, y));
        let new = cell.filter(|cell| !locked && *cell != self.view.cell.get_untracked());
        if let Some(cell) = new {
            self.view.cell.set(cell);
        }
    }

    /// A pointer goes down on the maps: where they are zoomed, it drags them.
    pub fn press_at(&self, x: f64, y: f64) {
        if self.view.choice.with_untracked(|choice| choice.zoom > 1) {
            self.dragged.set(Some((x, y, self.window.get())));
        }
    }

    /// A pointer goes up: where it has not dragged, it locks the cell, or frees it.
    pub fn release_at(&self, x: f64, y: f64) {
        let from = self.dragged.take();
        if from.is_some_and(|(_, _, window)| window != self.window.get()) {
            return;
        }
        let Some(cell) = self.layout.get().and_then(|layout| layout.cell_at(x, y)) else {
            return;
        };
        let locked = self.view.choice.with_untracked(|choice| choice.cell);
        let lock = (locked != Some(cell)).then_some(cell);
        self.view.choose(|choice| choice.cell = lock);
        self.view.cell.set(cell);
    }

    /// Moves the crosshair by a key; says whether the key means anything here.
    pub fn press(&self, key: &str) -> bool {
        let Some(seen) = self.view.seen.get_untracked() else {
            return false;
        };
        let (row, column) = self.view.cell.get_untracked();
        let last = seen.size().saturating_sub(1);
        let cell = match key {
            "ArrowUp" => (row.saturating_sub(1), column),
            "ArrowDown" => ((row + 1).min(last), column),
            "ArrowLeft" => (row, column.saturating_sub(1)),
            "ArrowRight" => (row, (column + 1).min(last)),
            "Home" => (row, 0),
            "End" => (row, last),
            "PageUp" => (0, column),
            "PageDown" => (last, column),
            "Enter" => {
                let locked = self.view.choice.with_untracked(|choice| choice.cell);
                let lock = (locked != Some((row, column))).then_some((row, column));
                self.view.choose(|choice| choice.cell = lock);
                self.page.announce(match lock {
                    Some(_) => "the cell is locked",
                    None => "the cell is free",
                });
                return true;
            }
            "Escape" => {
                self.view.choose(|choice| choice.cell = None);
                return true;
            }
            "+" | "=" => {
                self.zoom(true);
                return true;
            }
            "-" => {
                self.zoom(false);
                return true;
            }
            _ => return false,
        };
        if self
            .view
            .choice
            .with_untracked(|choice| choice.cell.is_some())
        {
            self.view.choose(|choice| choice.cell = Some(cell));
        }
        self.view.cell.set(cell);
        self.draw_cell();
        self.page
            .announce(self.told.reading.with_untracked(Reading::sentence));
        true
    }

    /// Shows half as many tokens, or twice as many.
    pub fn zoom(&self, larger: bool) {
        self.view.choose(|choice| {
            choice.zoom = match larger {
                true => (choice.zoom * 2).min(MOST_ZOOM),
                false => (choice.zoom / 2).max(1),
            };
        });
    }

    /// The head of the small maps at a pixel: the mean, or one.
    pub fn head_at(&self, x: f64, y: f64) -> Option<Option<usize>> {
        let seen = self.view.seen.get_untracked()?;
        let width = self.strip.get_untracked()?.parent_element()?.client_width();
        match thumb_at(x, y, f64::from(width))? {
            0 => Some(None),
            index => seen.order.get(index - 1).map(|head| Some(*head)),
        }
    }

    /// A key on the strip: another head, layer or pair; says whether the key means anything here.
    pub fn walk(&self, key: &str) -> bool {
        let Some(seen) = self.view.seen.get_untracked() else {
            return false;
        };
        let head = self.view.choice.with_untracked(|choice| choice.head);
        // The mean is before the first head.
        let place = head.and_then(|head| seen.order.iter().position(|h| *h == head));
        let at = place.map_or(0, |place| place + 1);
        let by_index = |index: usize| index.checked_sub(1).map(|i| seen.order[i]);
        let pairs: Vec<_> = all_pairs().collect();
        let pair = pairs.iter().position(|p| *p == seen.how.pair).unwrap_or(0);
        let layers = seen.taught.taps.layers();
        let layer = seen.how.teacher_layer;
        self.view.choose(|choice| match key {
            "ArrowRight" => choice.head = by_index((at + 1).min(seen.order.len())),
            "ArrowLeft" => choice.head = by_index(at.saturating_sub(1)),
            "ArrowUp" => choice.teacher_layer = Some((layer + 1).min(layers)),
            "ArrowDown" => choice.teacher_layer = Some(layer.saturating_sub(1).max(1)),
            "PageDown" => choice.pair = Some(pairs[(pair + 1) % pairs.len()]),
            "PageUp" => choice.pair = Some(pairs[(pair + pairs.len() - 1) % pairs.len()]),
            "Enter" => choice.alone = !choice.alone && choice.head.is_some(),
            "Escape" => (choice.head, choice.alone) = (None, false),
            _ => {}
        });
        let known = matches!(
            key,
            "ArrowRight"
                | "ArrowLeft"
                | "ArrowUp"
                | "ArrowDown"
                | "PageDown"
                | "PageUp"
                | "Enter"
                | "Escape"
        );
        if known {
            self.draw();
            if let Some(seen) = self.view.seen.get_untracked() {
                let head = self.view.choice.with_untracked(|choice| choice.head);
                self.page.announce(title(&seen, head));
            }
        }
        known
    }
}

/// What is seen, in words: `Q-K, head 3 of 8, teacher layer 4, student layer 2, KL 0.12`.
pub fn title(seen: &Seen, head: Option<usize>) -> String {
    let which = head.map_or_else(
        || format!("mean of {} heads", seen.how.heads),
        |head| format!("head {} of {}", head + 1, seen.how.heads),
    );
    format!(
        "{}, {which}, teacher layer {}, student layer {}, KL {} nats",
        seen.pair(),
        seen.how.teacher_layer,
        seen.how.student_layer,
        number(seen.relation(head).total())
    )
}

fn usual(run: &RunLog) -> Usual {
    Usual {
        pair: first_pair(&run.info.pairs),
        heads: run.info.relation_heads,
        teacher_layer: run.info.teacher_layer,
    }
}
