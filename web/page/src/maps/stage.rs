//! Draws the maps and the strip of heads, and answers pointers and keys on them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_recipe::Pair;
use limbeck_relations::{Projections, Reference, Relation, kl_part, number};

use super::film::Film;
use super::picture::{
    Ink, Layout, Names, Picture, Pictures, Thumb, Window, draw_thumbs, gradient, pictures_of,
    thumb_at,
};
use super::seen::{How, Seen, Usual, first_pair};
use super::view::{Choice, MOST_ZOOM, View};
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
        let mut formula = vec![match head {
            None => "in the mean of heads, the KL is the mean of theirs: choose a head to see how it comes about".to_owned(),
            Some(_) => format!(
                "part of the KL: p ln(p / q) = {} ln({} / {}) = {}; all parts of this row, negative ones too, sum to {} nats",
                number(p),
                number(p),
                number(q),
                number(kl_part(p, q)),
                number(kl)
            ),
        }];
        let vectors = seen
            .how
            .pair
            .to_string()
            .to_lowercase()
            .replace('-', " \u{b7} ");
        if let Some([teacher, student]) = head.and_then(|head| seen.scores(head, (row, column))) {
            let width = |taps: &Projections| taps.hidden() / seen.how.heads;
            formula.push(format!(
                "p = exp(s) / sum of the row, s = {vectors} / \u{221a}D: {} for the teacher (D = {}), {} for the student (D = {})",
                number(teacher),
                width(&seen.taught.taps),
                number(student),
                width(&seen.learnt.taps)
            ));
        }
        Some(Self {
            tokens: (
                seen.labels.get(row)?.clone(),
                seen.labels.get(column)?.clone(),
            ),
            values: vec![
                (seen.reference.word(), number(p)),
                match seen.reference {
                    Reference::Teacher => ("student", number(q)),
                    Reference::StudentNow => ("student then", number(q)),
                },
                ("difference", number(q - p)),
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
            "\u{201c}{}\u{201d} to \u{201c}{}\u{201d}: {}",
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
    /// The film that was there last.
    epoch: Cell<u64>,
    /// What `view.seen` was made of, and the newest of the student.
    made_of: RefCell<Option<(Arc<Learnt>, Choice)>>,
    ink: RefCell<Option<Rc<Ink>>>,
    /// The strip as it was drawn last.
    thumbs: RefCell<Option<Thumbs>>,
    /// The head at several steps, and which head that is.
    times: RefCell<(Option<Times>, Steps)>,
    picture: RefCell<Option<Picture>>,
    layout: Cell<Option<Layout>>,
    window: Cell<Window>,
    /// The cell and the zoom that the window was moved for.
    followed: Cell<Option<((usize, usize), usize)>>,
    /// Tokens, and the head, that the crosshair was placed for.
    placed: RefCell<(Vec<String>, Option<usize>)>,
    /// Where a pointer went down, and the window then.
    dragged: Cell<Option<(f64, f64, Window)>>,
}

/// What a strip shows.
struct Thumbs {
    seen: Rc<Seen>,
    ink: Rc<Ink>,
    pictures: Pictures,
    /// The chosen head, and the strip's width.
    place: (Option<usize>, i32),
}
/// What is seen at each of several steps: film, pair, heads, layer of the teacher, and head.
type Times = (u64, Pair, usize, usize, Option<usize>);
/// A head at several steps.
pub type Steps = Rc<Vec<(u64, Rc<Relation>)>>;

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
            epoch: Cell::default(),
            made_of: RefCell::default(),
            ink: RefCell::default(),
            thumbs: RefCell::default(),
            times: RefCell::default(),
            picture: RefCell::default(),
            layout: Cell::default(),
            window: Cell::default(),
            followed: Cell::default(),
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
        // A film that began anew has nothing of what was chosen in the old one. What a link chose waits for the first.
        let epoch = self.page.film.with_value(Film::epoch);
        let old = self.epoch.replace(epoch);
        let chosen = self.view.choice.with_untracked(|choice| choice.step);
        if old != 0 && old != epoch && chosen.is_some() {
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

    /// What is seen now, with the crosshair where it belongs: a key or a pointer may come before the frame that draws the
    /// choice before it.
    fn settled(&self) -> Option<Rc<Seen>> {
        let seen = self.see()?;
        let placed = {
            let (labels, head) = &*self.placed.borrow();
            *labels == seen.labels && *head == self.chosen(&seen)
        };
        if !placed {
            self.draw();
        }
        Some(seen)
    }

    /// The student at each of some steps of the film, in the pair and head that are shown. What was worked out for the same
    /// head before is not worked out again.
    pub fn over_time(&self, steps: &[u64]) -> Steps {
        let choice = self.view.choice.get_untracked();
        let Some(seen) = self.see() else {
            return Steps::default();
        };
        let (how, head) = (&seen.how, seen.head(choice.head));
        let epoch = self.page.film.with_value(Film::epoch);
        let key = (epoch, how.pair, how.heads, how.teacher_layer, head);
        let mut times = self.times.borrow_mut();
        let had = match times.0 == Some(key) {
            true => times.1.clone(),
            false => Steps::default(),
        };
        let frames = self.page.runs.with_untracked(|runs| {
            let run = runs.last()?;
            let (taught, now) = (run.taught.as_ref()?, run.learnt.as_ref()?);
            let at = |step: &u64| {
                if let Some(frame) = had.iter().find(|frame| frame.0 == *step) {
                    return Some(frame.clone());
                }
                let filmed = self.page.film.with_value(|film| film.student(*step, now));
                let learnt = Arc::new(filmed?);
                let choice = Choice {
                    step: Some(*step),
                    beside_now: false,
                    by_kl: false,
                    ..choice.clone()
                };
                let how = How::new(&choice, &usual(run), taught, &learnt);
                let seen = Seen::new(&choice, how, taught.clone(), (learnt, now)).ok()?;
                Some((*step, Rc::new(seen.relation(head).clone())))
            };
            Some(steps.iter().filter_map(at).collect())
        });
        let frames: Steps = Rc::new(frames.unwrap_or_default());
        *times = (Some(key), frames.clone());
        frames
    }

    /// The head that is shown: the one under the pointer, or the chosen one.
    fn head(&self, seen: &Seen) -> Option<usize> {
        untrack(|| self.view.head(seen))
    }

    /// Draws everything anew.
    fn draw(&self) {
        let (Some(host), Some(seen)) = (self.host.get_untracked(), self.see()) else {
            return;
        };
        let ink = Ink::of(&host);
        if self.ink.borrow().as_deref() != Some(&ink) {
            *self.ink.borrow_mut() = Some(Rc::new(ink));
        }
        self.place_cell(&seen);
        self.draw_strip(&seen);
        self.draw_head();
    }

    /// Draws the head that is shown.
    fn draw_head(&self) {
        let (Some(seen), Some(ink)) = (self.view.seen.get_untracked(), self.ink.borrow().clone())
        else {
            return;
        };
        let picture = Picture::of(seen.relation(self.head(&seen)).clone(), &ink);
        if let Some(picture) = &picture {
            let scales = picture.scales();
            self.told.scales.set([
                (
                    "0".into(),
                    gradient(&ink.sequential, f32::sqrt),
                    number(scales.peak),
                ),
                (
                    number(-scales.gap),
                    gradient(&ink.diverging, |part| part),
                    number(scales.gap),
                ),
            ]);
        }
        *self.picture.borrow_mut() = picture;
        self.draw_cell();
    }

    /// The crosshair goes where a cell is locked; otherwise a new sentence, or another head, begins where there is most to see.
    fn place_cell(&self, seen: &Seen) {
        let place = (seen.labels.clone(), self.chosen(seen));
        let before = self.placed.replace(place.clone());
        if before == place && self.locked().is_none() {
            return;
        }
        let other = !before.0.is_empty() && before.0 != place.0;
        if other
            && self
                .view
                .sentence
                .with_untracked(|text| text.trim().is_empty())
        {
            self.view.free();
        }
        let inside = |(row, column): &(usize, usize)| row.max(column) < &seen.size();
        let cell = self.locked().filter(inside);
        let cell = cell.unwrap_or_else(|| seen.relation(place.1).worst());
        if cell != self.view.cell.get_untracked() {
            self.view.cell.set(cell);
        }
    }

    /// The chosen head, whatever is under the pointer.
    fn chosen(&self, seen: &Seen) -> Option<usize> {
        seen.head(self.view.choice.with_untracked(|choice| choice.head))
    }

    fn locked(&self) -> Option<(usize, usize)> {
        self.view.choice.with_untracked(|choice| choice.cell)
    }

    fn draw_strip(&self, seen: &Rc<Seen>) {
        let (Some(strip), Some(ink)) = (self.strip.get_untracked(), self.ink.borrow().clone())
        else {
            return;
        };
        let head = self.chosen(seen);
        let width = strip.parent_element().map_or(0, |p| p.client_width());
        let before = self.thumbs.take();
        let before = before.filter(|b| Rc::ptr_eq(&b.seen, seen) && Rc::ptr_eq(&b.ink, &ink));
        let place = (head, width);
        if width == 0 || before.as_ref().is_some_and(|before| before.place == place) {
            self.thumbs.replace(before);
            return;
        }
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
        let pictures = before.map(|before| before.pictures);
        let Some(pictures) = pictures.or_else(|| pictures_of(&thumbs, &ink)) else {
            return;
        };
        draw_thumbs(&strip, &thumbs, &pictures, &ink);
        self.thumbs.replace(Some(Thumbs {
            seen: seen.clone(),
            ink,
            pictures,
            place,
        }));
    }

    /// Draws the crosshair and reads its cell.
    fn draw_cell(&self) {
        let (Some(canvas), Some(ink)) = (self.canvas.get_untracked(), self.ink.borrow().clone())
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
        // A window that was dragged away from the cell stays there until the cell moves.
        if self.followed.replace(Some((cell, zoom))) != Some((cell, zoom)) {
            window = window.showing(cell);
        }
        self.window.set(window);
        let reference = seen.reference;
        let names: Names = [
            reference.title().to_owned(),
            match reference {
                Reference::Teacher => "Student".to_owned(),
                Reference::StudentNow => format!("Student, step {}", seen.learnt.step),
            },
            format!("Student \u{2212} {}", reference.word()),
        ];
        let drawn = picture.draw(&canvas, (&seen.labels, &names), (cell, window), &ink);
        self.layout.set(drawn);
        let reading = Reading::of(&seen, self.head(&seen), cell).unwrap_or_default();
        self.told.reading.set(reading);
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
        self.settled();
        let cell = self.layout.get().and_then(|layout| layout.cell_at(x, y));
        let free = self.locked().is_none();
        let new = cell.filter(|cell| free && *cell != self.view.cell.get_untracked());
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

    /// A pointer was taken away while it was down.
    pub fn let_go(&self) {
        self.dragged.set(None);
    }

    /// A pointer goes up: where it has not dragged, it locks the cell, or frees it.
    pub fn release_at(&self, x: f64, y: f64) {
        let from = self.dragged.take();
        if from.is_some_and(|(_, _, window)| window != self.window.get()) {
            return;
        }
        self.settled();
        if let Some(cell) = self.layout.get().and_then(|layout| layout.cell_at(x, y)) {
            self.lock(cell);
            self.view.cell.set(cell);
        }
    }

    /// Locks a cell, or frees it if it is the locked one; says whether it is locked then.
    fn lock(&self, cell: (usize, usize)) -> bool {
        let lock = (self.locked() != Some(cell)).then_some(cell);
        self.view.choose(|choice| choice.cell = lock);
        lock.is_some()
    }

    /// Moves the crosshair by a key; says whether the key means anything here.
    pub fn press(&self, key: &str) -> bool {
        let Some(seen) = self.settled() else {
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
                self.page.announce(match self.lock((row, column)) {
                    true => "the cell is locked",
                    false => "the cell is free",
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
        if self.locked().is_some() {
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
        let pairs = Pair::all();
        let pair = pairs.iter().position(|p| *p == seen.how.pair).unwrap_or(0);
        let layers = seen.taught.taps.layers();
        let layer = seen.how.teacher_layer;
        let mut choice = self.view.choice.get_untracked();
        match key {
            "ArrowRight" => choice.head = by_index((at + 1).min(seen.order.len())),
            "ArrowLeft" => choice.head = by_index(at.saturating_sub(1)),
            "ArrowUp" => choice.teacher_layer = Some((layer + 1).min(layers)),
            "ArrowDown" => choice.teacher_layer = Some(layer.saturating_sub(1).max(1)),
            "PageDown" => choice.pair = Some(pairs[(pair + 1) % pairs.len()]),
            "PageUp" => choice.pair = Some(pairs[(pair + pairs.len() - 1) % pairs.len()]),
            "Enter" => choice.alone = !choice.alone && choice.head.is_some(),
            "Escape" => (choice.head, choice.alone) = (None, false),
            _ => return false,
        }
        self.view.choice.set(choice);
        if let Some(seen) = self.see() {
            self.page.announce(title(&seen, self.head(&seen)));
        }
        true
    }
}

/// What is seen, in words: `Q-K, head 3 of 8, teacher layer 4, student layer 2 at step 300, KL 0.12 nats`.
pub fn title(seen: &Seen, head: Option<usize>) -> String {
    let which = match (head, seen.how.heads) {
        (Some(head), heads) => format!("head {} of {heads}", head + 1),
        (None, 1) => "the only head".to_owned(),
        (None, heads) => format!("mean of {heads} heads"),
    };
    format!(
        "{}, {which}, {}, KL {} nats",
        seen.how.pair,
        layers_of(seen),
        number(seen.relation(head).total())
    )
}

/// `teacher layer 4, student layer 2 at step 300`.
pub fn layers_of(seen: &Seen) -> String {
    let (layer, step) = (seen.how.student_layer, seen.learnt.step);
    match seen.reference {
        Reference::Teacher => format!(
            "teacher layer {}, student layer {layer} at step {step}",
            seen.how.teacher_layer
        ),
        Reference::StudentNow => {
            format!("student layer {layer} at step {step} beside the same now")
        }
    }
}

/// What follows from a run and a choice, on its own.
pub fn seen_of(page: Page, choice: &Choice) -> Option<Seen> {
    page.runs.with_untracked(|runs| {
        let run = runs.last()?;
        let (taught, now) = (run.taught.clone()?, run.learnt.clone()?);
        let how = How::new(choice, &usual(run), &taught, &now);
        Seen::new(choice, how, taught, (now.clone(), &now)).ok()
    })
}

fn usual(run: &RunLog) -> Usual {
    Usual {
        pair: first_pair(&run.info.pairs),
        heads: run.info.relation_heads,
        teacher_layer: run.info.teacher_layer,
    }
}
