//! Draws the maps and the strip of heads, and only what has changed of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_relations::{Reference, number};

use super::ink::{Ink, gradient};
use super::panes::{Layout, Names, Panes, Window};
use super::reading::Reading;
use super::seen::Seen;
use super::source::Source;
use super::thumbs::{Images, Thumb, draw_thumbs, images_of, thumb_at};
use super::view::View;
use crate::chart::surface::Redraw;
use crate::live::effect;

/// A scale in words: its lower end, its colours as a CSS gradient, its upper end.
pub type Scale = (String, String, String);

/// What is drawn on.
#[derive(Clone, Copy)]
pub struct Canvases {
    /// The element that the maps are in; its style has their colours.
    pub host: NodeRef<Div>,
    /// The three maps.
    pub maps: NodeRef<Canvas>,
    /// The small maps of all heads.
    pub strip: NodeRef<Canvas>,
}

/// Draws the maps.
pub struct Stage {
    view: View,
    /// Which relations are drawn.
    pub source: Source,
    /// The cell under the crosshair, in words.
    pub reading: RwSignal<Reading>,
    /// The scales of probabilities and of differences.
    pub scales: RwSignal<[Scale; 2]>,
    canvases: Canvases,
    ink: RefCell<Option<Rc<Ink>>>,
    /// The strip as it was drawn last.
    thumbs: RefCell<Option<Thumbs>>,
    panes: RefCell<Option<Panes>>,
    layout: Cell<Option<Layout>>,
    window: Cell<Window>,
    /// The cell and the zoom that the window was moved for.
    followed: Cell<Option<((usize, usize), usize)>>,
    /// Tokens, and the head, that the crosshair was placed for.
    placed: RefCell<(Vec<String>, Option<usize>)>,
}

/// What a strip shows.
struct Thumbs {
    seen: Rc<Seen>,
    ink: Rc<Ink>,
    images: Images,
    /// The chosen head, and the strip's width.
    place: (Option<usize>, i32),
}

impl Stage {
    /// On these canvases.
    pub fn new(view: View, source: Source, canvases: Canvases) -> Self {
        Self {
            view,
            source,
            reading: RwSignal::default(),
            scales: RwSignal::default(),
            canvases,
            ink: RefCell::default(),
            thumbs: RefCell::default(),
            panes: RefCell::default(),
            layout: Cell::default(),
            window: Cell::default(),
            followed: Cell::default(),
            placed: RefCell::default(),
        }
    }

    /// Redraws when taps, choices or the cell change: first the maps, then the strip, each in a frame of its own.
    pub fn follow(self: &Rc<Self>) -> [Redraw; 2] {
        let (maps, strip) = (self.clone(), self.clone());
        let redraws = [
            Redraw::new(move || maps.draw()),
            Redraw::new(move || strip.draw_strip()),
        ];
        let (stage, again) = (self.clone(), redraws.clone());
        effect(move || {
            if stage.source.is_new() {
                again.iter().for_each(Redraw::request);
            }
        });
        let (view, again) = (self.view, redraws.clone());
        effect(move || {
            view.choice.track();
            view.whose.track();
            again.iter().for_each(Redraw::request);
        });
        let stage = self.clone();
        effect(move || {
            view.preview.track();
            stage.draw_head();
        });
        let stage = self.clone();
        effect(move || {
            view.cell.track();
            stage.draw_cell();
        });
        redraws
    }

    /// What is seen now, with the crosshair where it belongs: a key or a pointer may come before the frame that draws the
    /// choice before it.
    pub fn settled(&self) -> Option<Rc<Seen>> {
        let seen = self.source.see()?;
        let placed = {
            let (labels, head) = &*self.placed.borrow();
            *labels == seen.labels && *head == self.view.chosen(&seen)
        };
        if !placed {
            self.draw();
        }
        Some(seen)
    }

    /// Draws the maps anew.
    fn draw(&self) {
        let (Some(host), Some(seen)) = (self.canvases.host.get_untracked(), self.source.see())
        else {
            return;
        };
        let ink = Ink::of(&host);
        if self.ink.borrow().as_deref() != Some(&ink) {
            *self.ink.borrow_mut() = Some(Rc::new(ink));
        }
        self.place_cell(&seen);
        self.draw_head();
    }

    /// Draws the head that is shown.
    fn draw_head(&self) {
        let (Some(seen), Some(ink)) = (self.view.seen.get_untracked(), self.ink.borrow().clone())
        else {
            return;
        };
        let panes = Panes::of(
            seen.relation(untrack(|| self.view.head(&seen))).clone(),
            &ink,
        );
        if let Some(panes) = &panes {
            let scales = panes.scales();
            self.scales.set([
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
        *self.panes.borrow_mut() = panes;
        self.draw_cell();
    }

    /// The crosshair goes where a cell is locked; otherwise a new sentence, or another head, begins where there is most to see.
    fn place_cell(&self, seen: &Seen) {
        self.view.arrive(seen);
        let place = (seen.labels.clone(), self.view.chosen(seen));
        let before = self.placed.replace(place.clone());
        if before == place && self.view.locked().is_none() {
            return;
        }
        let other = !before.0.is_empty() && before.0 != place.0;
        let waits = self.view.awaited.with_untracked(Option::is_some);
        let own = (self.view.sentence).with_untracked(|text| !text.trim().is_empty());
        if other && !(own || waits) {
            self.view.free();
        }
        let inside = |(row, column): &(usize, usize)| row.max(column) < &seen.size();
        let cell = self.view.locked().filter(inside);
        let cell = cell.unwrap_or_else(|| seen.relation(place.1).worst());
        if cell != self.view.cell.get_untracked() {
            self.view.cell.set(cell);
        }
    }

    /// Draws the small maps anew, in the colours that the maps were drawn with.
    fn draw_strip(&self) {
        let (Some(strip), Some(ink), Some(seen)) = (
            self.canvases.strip.get_untracked(),
            self.ink.borrow().clone(),
            self.source.see(),
        ) else {
            return;
        };
        let head = self.view.chosen(&seen);
        let width = strip.parent_element().map_or(0, |p| p.client_width());
        let before = self.thumbs.take();
        let before = before.filter(|b| Rc::ptr_eq(&b.seen, &seen) && Rc::ptr_eq(&b.ink, &ink));
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
        let images = before.map(|before| before.images);
        let Some(images) = images.or_else(|| images_of(&thumbs, &ink)) else {
            return;
        };
        draw_thumbs(&strip, &thumbs, &images, &ink);
        self.thumbs.replace(Some(Thumbs {
            seen: seen.clone(),
            ink,
            images,
            place,
        }));
    }

    /// Where the maps are, once they are drawn.
    pub fn layout(&self) -> Option<Layout> {
        self.layout.get()
    }

    /// The part of the maps that is shown.
    pub fn window(&self) -> Window {
        self.window.get()
    }

    /// Shows another part of the maps.
    pub fn move_window(&self, window: Window) {
        if window != self.window.replace(window) {
            self.draw_cell();
        }
    }

    /// The head of the small maps at a pixel of the strip: the mean, or one.
    pub fn head_at(&self, x: f64, y: f64) -> Option<Option<usize>> {
        let seen = self.view.seen.get_untracked()?;
        let strip = self.canvases.strip.get_untracked()?;
        let width = strip.parent_element()?.client_width();
        match thumb_at((x, y), seen.order.len() + 1, f64::from(width))? {
            0 => Some(None),
            index => seen.order.get(index - 1).map(|head| Some(*head)),
        }
    }

    /// Draws the crosshair and reads its cell.
    pub fn draw_cell(&self) {
        let (Some(canvas), Some(ink)) = (
            self.canvases.maps.get_untracked(),
            self.ink.borrow().clone(),
        ) else {
            return;
        };
        let panes = self.panes.borrow();
        let (Some(panes), Some(seen)) = (panes.as_ref(), self.view.seen.get_untracked()) else {
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
                Reference::StudentNow => format!("Student, step {}", seen.from_student.step),
                other => other.student().to_owned(),
            },
            reference.less(),
        ];
        let drawn = panes.draw(&canvas, (&seen.labels, &names), (cell, window), &ink);
        self.layout.set(drawn);
        let reading =
            Reading::of(&seen, untrack(|| self.view.head(&seen)), cell).unwrap_or_default();
        self.reading.set(reading);
    }
}
