//! What the panel of maps shows of a run, and how it is drawn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::Relation;

use super::film::Film;
use super::picture::{Ink, Layout, Picture, Thumb, draw_thumbs, gradient, thumb_at};
use crate::chart::scale::number;
use crate::chart::surface::Redraw;
use crate::state::{Maps, Page};

/// What the reader has chosen, and what is told in text.
#[derive(Clone, Copy)]
pub struct View {
    /// Which pair.
    pub pair: RwSignal<usize>,
    /// Which relation head, or the mean.
    pub head: RwSignal<Option<usize>>,
    /// Row and column.
    pub cell: RwSignal<(usize, usize)>,
    /// A frame of the film, or what is now.
    pub frame: RwSignal<Option<usize>>,
    /// Steps of the film.
    pub steps: RwSignal<Vec<u64>>,
    /// Whether the film has lost frames.
    pub thinned: RwSignal<bool>,
    /// Names of the pairs.
    pub pairs: RwSignal<Vec<String>>,
    /// KL of the mean and of each head.
    pub totals: RwSignal<Vec<f64>>,
    /// The cell in words.
    pub reading: RwSignal<Reading>,
    /// Both scales: end values in words and gradients.
    pub scales: RwSignal<[(String, String, String); 2]>,
}

impl View {
    /// The first pair, the mean of heads, now.
    pub fn new() -> Self {
        Self {
            pair: RwSignal::new(0),
            head: RwSignal::new(None),
            cell: RwSignal::new((0, 0)),
            frame: RwSignal::new(None),
            steps: RwSignal::default(),
            thinned: RwSignal::new(false),
            pairs: RwSignal::default(),
            totals: RwSignal::default(),
            reading: RwSignal::default(),
            scales: RwSignal::default(),
        }
    }
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// From and to.
    pub tokens: (String, String),
    /// Name and value of each number.
    pub values: Vec<(&'static str, String)>,
}

impl Reading {
    fn of(relation: &Relation, tokens: &[String], (row, column): (usize, usize)) -> Option<Self> {
        let at = row * relation.size + column;
        let (teacher, student) = (*relation.teacher.get(at)?, *relation.student.get(at)?);
        let value = |v: f32| number(f64::from(v));
        Some(Self {
            tokens: (tokens.get(row)?.clone(), tokens.get(column)?.clone()),
            values: vec![
                ("teacher", value(teacher)),
                ("student", value(student)),
                ("difference", value(student - teacher)),
                ("KL of the row", number(*relation.kl.get(row)?)),
            ],
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

fn of_pair(maps: &[Vec<f32>], pair: usize) -> Option<&[f32]> {
    maps.get(pair).map(Vec::as_slice)
}

/// Draws the maps.
pub struct Stage {
    page: Page,
    view: View,
    host: NodeRef<Div>,
    canvas: NodeRef<Canvas>,
    strip: NodeRef<Canvas>,
    film: RefCell<Film>,
    picture: RefCell<Option<Picture>>,
    layout: Cell<Option<Layout>>,
    /// Tokens that the crosshair was placed for.
    placed: RefCell<Vec<String>>,
}

impl Stage {
    /// On these canvases.
    pub fn new(
        page: Page,
        view: View,
        host: NodeRef<Div>,
        canvas: NodeRef<Canvas>,
        strip: NodeRef<Canvas>,
    ) -> Self {
        Self {
            page,
            view,
            host,
            canvas,
            strip,
            film: RefCell::default(),
            picture: RefCell::default(),
            layout: Cell::default(),
            placed: RefCell::default(),
        }
    }

    /// Redraws when maps, choices or the cell change.
    pub fn follow(self: &Rc<Self>) -> Redraw {
        let stage = self.clone();
        let redraw = Redraw::new(move || stage.draw());
        let (stage, again) = (self.clone(), redraw.clone());
        Effect::new(move |_| {
            if stage.film_is_new() {
                again.request();
            }
        });
        let (view, again) = (self.view, redraw.clone());
        Effect::new(move |_| {
            view.pair.track();
            view.head.track();
            view.frame.track();
            again.request();
        });
        let stage = self.clone();
        Effect::new(move |_| {
            view.cell.track();
            stage.draw_cell();
        });
        redraw
    }

    /// Takes the present maps into the film; reactive.
    fn film_is_new(&self) -> bool {
        let mut film = self.film.borrow_mut();
        let new = self.page.runs.with(|runs| {
            runs.last()
                .is_some_and(|run| run.maps.as_ref().is_some_and(|maps| film.take(run, maps)))
        });
        if new {
            let before = self.view.steps.get_untracked();
            let steps = film.steps();
            // A shorter or thinned film has other frames at the old places.
            if steps.len() <= before.len() {
                self.view.frame.set(None);
            }
            self.view.steps.set(steps);
            self.view.thinned.set(film.thinned());
        }
        new
    }

    fn with_maps<T>(&self, read: impl FnOnce(&Maps) -> T) -> Option<T> {
        self.page
            .runs
            .with_untracked(|runs| runs.last().and_then(|run| run.maps.as_ref().map(read)))
    }

    /// Draws everything anew.
    fn draw(&self) {
        let Some(host) = self.host.get_untracked() else {
            return;
        };
        let ink = Ink::of(&host);
        let drawn = self.with_maps(|maps| {
            let pair = self
                .view
                .pair
                .get_untracked()
                .min(maps.pairs.len().saturating_sub(1));
            let filmed = self
                .view
                .frame
                .get_untracked()
                .and_then(|frame| self.film.borrow().student(frame, pair));
            let student = filmed.as_deref().or_else(|| of_pair(&maps.student, pair));
            let teacher = of_pair(&maps.teacher, pair).unwrap_or_default();
            let heads = Relation::heads(maps.tokens.len(), teacher, student.unwrap_or_default());
            let mean = Relation::mean(&heads);
            self.place_cell(&maps.tokens, &mean);
            self.view.pairs.set(maps.pairs.clone());
            self.view.totals.set(
                std::iter::once(&mean)
                    .chain(&heads)
                    .map(Relation::total)
                    .collect(),
            );
            let head = self
                .view
                .head
                .get_untracked()
                .filter(|head| *head < heads.len());
            self.draw_strip(&mean, &heads, head, &ink);
            head.map_or(mean, |head| heads[head].clone())
        });
        let picture = drawn.and_then(|relation| Picture::of(relation, &ink));
        if let Some(picture) = &picture {
            let scales = picture.scales();
            let end = |v: f32| number(f64::from(v));
            self.view.scales.set([
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

    /// A new sentence begins where there is most to see.
    fn place_cell(&self, tokens: &[String], mean: &Relation) {
        let mut placed = self.placed.borrow_mut();
        if *placed != tokens {
            *placed = tokens.to_vec();
            self.view.cell.set(mean.worst());
        }
    }

    fn draw_strip(&self, mean: &Relation, heads: &[Relation], head: Option<usize>, ink: &Ink) {
        let Some(strip) = self.strip.get_untracked() else {
            return;
        };
        let named = heads.iter().enumerate().map(|(i, relation)| Thumb {
            name: (i + 1).to_string(),
            relation,
        });
        let mean = Thumb {
            name: "mean".into(),
            relation: mean,
        };
        let thumbs: Vec<Thumb> = std::iter::once(mean).chain(named).collect();
        draw_thumbs(&strip, &thumbs, head.map_or(0, |head| head + 1), ink);
    }

    /// Draws the crosshair and reads its cell.
    fn draw_cell(&self) {
        let (Some(host), Some(canvas)) = (self.host.get_untracked(), self.canvas.get_untracked())
        else {
            return;
        };
        let picture = self.picture.borrow();
        let Some(picture) = picture.as_ref() else {
            return;
        };
        let cell = self.view.cell.get_untracked();
        self.with_maps(|maps| {
            self.layout
                .set(picture.draw(&canvas, &maps.tokens, cell, &Ink::of(&host)));
            self.view
                .reading
                .set(Reading::of(picture.relation(), &maps.tokens, cell).unwrap_or_default());
        });
    }

    /// Moves the crosshair to a pixel.
    pub fn point(&self, x: f64, y: f64) {
        let cell = self.layout.get().and_then(|layout| layout.cell_at(x, y));
        if let Some(cell) = cell.filter(|cell| *cell != self.view.cell.get_untracked()) {
            self.view.cell.set(cell);
        }
    }

    /// Moves the crosshair by a key; says whether the key means anything here.
    pub fn press(&self, key: &str) -> bool {
        let size = self
            .picture
            .borrow()
            .as_ref()
            .map_or(0, |picture| picture.relation().size);
        let (row, column) = self.view.cell.get_untracked();
        let last = size.saturating_sub(1);
        let cell = match key {
            "ArrowUp" => (row.saturating_sub(1), column),
            "ArrowDown" => ((row + 1).min(last), column),
            "ArrowLeft" => (row, column.saturating_sub(1)),
            "ArrowRight" => (row, (column + 1).min(last)),
            "Home" => (row, 0),
            "End" => (row, last),
            _ => return false,
        };
        self.view.cell.set(cell);
        self.draw_cell();
        self.page
            .announce(self.view.reading.with_untracked(Reading::sentence));
        true
    }

    /// Chooses the head of the small map at a pixel.
    pub fn choose(&self, x: f64, y: f64) {
        let width = self
            .strip
            .get_untracked()
            .and_then(|strip| strip.parent_element())
            .map_or(0, |parent| parent.client_width());
        let count = self.view.totals.with_untracked(Vec::len);
        if let Some(index) = thumb_at(x, y, f64::from(width)).filter(|index| *index < count) {
            self.view.head.set(index.checked_sub(1));
        }
    }
}
