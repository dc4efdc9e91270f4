//! Answers pointers and keys on the maps and on the strip of heads.

use std::cell::Cell;
use std::rc::Rc;

use leptos::prelude::*;
use limbeck_recipe::Pair;

use super::choice::MOST_ZOOM;
use super::panes::Window;
use super::reading::Reading;
use super::stage::Stage;
use super::view::View;
use crate::state::Page;

/// Locks a cell, or frees it if it is the locked one; says whether it is locked then.
pub fn lock(view: View, cell: (usize, usize)) -> bool {
    let lock = (view.locked() != Some(cell)).then_some(cell);
    view.choose(|choice| choice.cell = lock);
    lock.is_some()
}

/// Moves the crosshair from a cell of a map of this size by a key, or locks or frees the cell; says whether it has moved, or
/// nothing if the key means nothing here.
pub fn cell_key(
    page: Page,
    view: View,
    ((row, column), size): ((usize, usize), usize),
    key: &str,
) -> Option<bool> {
    let last = size.saturating_sub(1);
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
            page.announce(match lock(view, (row, column)) {
                true => "cell locked",
                false => "cell unlocked",
            });
            return Some(false);
        }
        "Escape" => {
            view.choose(|choice| choice.cell = None);
            return Some(false);
        }
        _ => return None,
    };
    if view.locked().is_some() {
        view.choose(|choice| choice.cell = Some(cell));
    }
    view.cell.set(cell);
    Some(true)
}

/// Pointers and keys on what a stage draws.
pub struct Input {
    page: Page,
    view: View,
    stage: Rc<Stage>,
    /// Where a pointer went down, and the window then.
    dragged: Cell<Option<(f64, f64, Window)>>,
}

impl Input {
    /// On a stage.
    pub fn new(page: Page, view: View, stage: Rc<Stage>) -> Self {
        Self {
            page,
            view,
            stage,
            dragged: Cell::default(),
        }
    }

    /// A pointer over the maps: the crosshair follows it unless its cell is locked, and a zoomed map is dragged along.
    pub fn point(&self, x: f64, y: f64, pressed: bool) {
        if let (true, Some((from_x, from_y, window)), Some(layout)) =
            (pressed, self.dragged.get(), self.stage.layout())
        {
            let shift =
                |first: usize, by: f64| (first as f64 - by / layout.cell).round().max(0.0) as usize;
            let moved = Window {
                row: shift(window.row, y - from_y),
                column: shift(window.column, x - from_x),
                ..window
            };
            self.stage.move_window(moved);
            return;
        }
        self.stage.settled();
        let cell = self.stage.layout().and_then(|layout| layout.cell_at(x, y));
        let free = self.view.locked().is_none();
        let new = cell.filter(|cell| free && *cell != self.view.cell.get_untracked());
        if let Some(cell) = new {
            self.view.cell.set(cell);
        }
    }

    /// A pointer goes down on the maps: where they are zoomed, it drags them.
    pub fn down(&self, x: f64, y: f64) {
        if self.view.choice.with_untracked(|choice| choice.zoom > 1) {
            self.dragged.set(Some((x, y, self.stage.window())));
        }
    }

    /// A pointer was taken away while it was down.
    pub fn cancel(&self) {
        self.dragged.set(None);
    }

    /// A pointer goes up: where it has not dragged, it locks the cell, or frees it.
    pub fn up(&self, x: f64, y: f64) {
        let from = self.dragged.take();
        if from.is_some_and(|(_, _, window)| window != self.stage.window()) {
            return;
        }
        self.stage.settled();
        if let Some(cell) = self.stage.layout().and_then(|layout| layout.cell_at(x, y)) {
            lock(self.view, cell);
            self.view.cell.set(cell);
        }
    }

    /// Moves the crosshair or zooms by a key; says whether the key means anything here.
    pub fn cell_key(&self, key: &str) -> bool {
        let Some(seen) = self.stage.settled() else {
            return false;
        };
        if let "+" | "=" | "-" = key {
            self.zoom(key != "-");
            return true;
        }
        let cell = self.view.cell.get_untracked();
        let moved = cell_key(self.page, self.view, (cell, seen.size()), key);
        if moved == Some(true) {
            self.stage.draw_cell();
            self.page
                .announce(self.stage.reading.with_untracked(Reading::sentence));
        }
        moved.is_some()
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

    /// A key on the strip: another head, layer or pair; says whether the key means anything here.
    pub fn strip_key(&self, key: &str) -> bool {
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
        let layers = seen.from_teacher.taps.layers();
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
        if let Some(seen) = self.stage.source.see() {
            let head = untrack(|| self.view.head(&seen));
            self.page.announce(seen.title(head));
        }
        true
    }
}
