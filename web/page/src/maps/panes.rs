//! Draws the three maps of one relation side by side: teacher, student and difference, with one crosshair.

use limbeck_relations::{Relation, Scales};
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::ink::{Ink, three};
use crate::chart::surface::Surface;

/// What the three maps are called.
pub type Names = [String; 3];
/// Width below which the maps are stacked.
const NARROW: f64 = 560.0;
/// Room of the column with the KL of each row.
const KL: f64 = 40.0;
const GAP: f64 = 14.0;
/// Between maps that fill a box: in a narrow one, and at most.
const NARROW_GAP: f64 = 8.0;
const WIDEST_GAP: f64 = 64.0;
const TITLE: f64 = 20.0;
const LARGEST_CELL: f64 = 24.0;

/// The three maps, one below the other in an image of one pixel a cell.
pub struct Panes {
    image: HtmlCanvasElement,
    relation: Relation,
    scales: Scales,
}

impl Panes {
    /// Of a relation, on scales of its own.
    pub fn of(relation: Relation, ink: &Ink) -> Option<Self> {
        let scales = Scales::of(&relation);
        Self::scaled(relation, scales, ink)
    }

    /// Of a relation, on given scales.
    pub fn scaled(relation: Relation, scales: Scales, ink: &Ink) -> Option<Self> {
        let image = three(&relation, usize::MAX, scales, ink)?;
        Some(Self {
            image,
            relation,
            scales,
        })
    }

    /// Its scales.
    pub fn scales(&self) -> Scales {
        self.scales
    }

    /// Draws the three maps with a crosshair at a cell, or the part of them that a window shows; says where.
    pub fn draw(
        &self,
        canvas: &HtmlCanvasElement,
        (tokens, names): (&[String], &Names),
        (cell, window): ((usize, usize), Window),
        ink: &Ink,
    ) -> Option<Layout> {
        let width = f64::from(canvas.parent_element()?.client_width());
        let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
        context.set_font(&ink.palette.font(400, 11.0));
        let measure = |token: &String| context.measure_text(token).map_or(0.0, |m| m.width());
        let longest = tokens.iter().map(measure).fold(0.0, f64::max);
        let layout = Layout::new(width, longest, window.within(self.relation.size));
        self.paint(canvas, layout, (tokens, names), Some(cell), ink)
    }

    /// Draws the whole maps in a box of this size, without a crosshair.
    pub fn fill(
        &self,
        canvas: &HtmlCanvasElement,
        (width, height): (f64, f64),
        (tokens, names): (&[String], &Names),
        ink: &Ink,
    ) -> Option<()> {
        let layout = Layout::filling((width, height), self.relation.size);
        self.paint(canvas, layout, (tokens, names), None, ink)
            .map(|_| ())
    }

    fn paint(
        &self,
        canvas: &HtmlCanvasElement,
        layout: Layout,
        (tokens, names): (&[String], &Names),
        cell: Option<(usize, usize)>,
        ink: &Ink,
    ) -> Option<Layout> {
        let surface = Surface::of(canvas, layout.height)?;
        let context = &surface.context;
        context.set_image_smoothing_enabled(false);
        for (i, (x, y)) in layout.places.into_iter().enumerate() {
            context.set_font(&ink.palette.font(600, 13.0));
            context.set_text_align("left");
            context.set_text_baseline("alphabetic");
            context.set_fill_style_str(&ink.palette.ink);
            surface.text(&names[i], x, layout.title(i));
            let (side, window) = (layout.side(), layout.window);
            let count = window.count as f64;
            // An image that is not loaded would be an error; these are canvases.
            let _ = context
                .draw_image_with_html_canvas_element_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
                    &self.image,
                    window.column as f64,
                    (i * self.relation.size + window.row) as f64,
                    count,
                    count,
                    x,
                    y,
                    side,
                    side,
                );
            if layout.gutter > 0.0 {
                labels(&surface, &layout, i, tokens, cell, ink);
            }
            if let Some(cell) = cell {
                cross(context, &layout, i, cell, ink);
            }
        }
        if layout.gutter > 0.0 {
            self.bars(&surface, &layout, cell, ink);
        }
        Some(layout)
    }

    /// The KL of each row, right of the last map.
    fn bars(&self, surface: &Surface, layout: &Layout, cell: Option<(usize, usize)>, ink: &Ink) {
        let context = &surface.context;
        let beside = layout.places[2];
        let x = beside.0 + layout.side() + 8.0;
        context.set_font(&ink.palette.font(600, 11.0));
        context.set_text_align("left");
        context.set_text_baseline("alphabetic");
        context.set_fill_style_str(&ink.palette.muted);
        surface.text("KL", x, layout.title(2));
        let window = layout.window;
        let rows = self.relation.kl.iter().enumerate();
        for (i, kl) in rows.skip(window.row).take(window.count) {
            let colour = if cell.is_some_and(|(row, _)| i == row) {
                &ink.palette.ink
            } else {
                &ink.palette.muted
            };
            context.set_fill_style_str(colour);
            let length = match kl.is_nan() {
                // It must be seen.
                true => KL - 10.0,
                false => (kl / self.scales.kl * (KL - 10.0)).max(1.0),
            };
            let thick = (layout.cell * 0.6).max(1.0);
            let y = beside.1 + layout.cell * ((i - window.row) as f64 + 0.5) - thick / 2.0;
            context.fill_rect(x, y, length, thick);
        }
    }
}

/// The part of the maps that is shown: `count` rows and columns from here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Rows, and columns.
    pub count: usize,
}

impl Window {
    /// What a zoom shows of maps of this size: eight tokens at least.
    pub fn zoomed(size: usize, zoom: usize, (row, column): (usize, usize)) -> Self {
        let count = size.div_ceil(zoom.max(1)).max(8);
        Self { row, column, count }.within(size)
    }

    /// The same, pushed into maps of this size.
    fn within(self, size: usize) -> Self {
        let count = self.count.clamp(1, size.max(1));
        let last = size.max(1) - count;
        Self {
            row: self.row.min(last),
            column: self.column.min(last),
            count,
        }
    }

    /// The same, moved as little as it takes to show a cell.
    pub fn showing(self, (row, column): (usize, usize)) -> Self {
        let moved =
            |first: usize, cell: usize| first.clamp((cell + 1).saturating_sub(self.count), cell);
        Self {
            row: moved(self.row, row),
            column: moved(self.column, column),
            ..self
        }
    }
}

/// Where the maps are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    places: [(f64, f64); 3],
    /// Side of a cell.
    pub cell: f64,
    window: Window,
    gutter: f64,
    height: f64,
    stacked: bool,
}

impl Layout {
    fn new(width: f64, longest: f64, window: Window) -> Self {
        let size = window.count;
        let stacked = width < NARROW;
        let gutter = (longest + 8.0).min(if stacked { 64.0 } else { 84.0 });
        let room = if stacked {
            width - gutter - KL
        } else {
            (width - gutter - KL - 2.0 * GAP) / 3.0
        };
        let cell = (room / size.max(1) as f64).clamp(1.0, LARGEST_CELL);
        let side = cell * size as f64;
        let head = TITLE + gutter;
        let places = std::array::from_fn(|i| {
            let i = i as f64;
            if stacked {
                (gutter, head + i * (side + TITLE + GAP))
            } else {
                (gutter + i * (side + GAP), head)
            }
        });
        let height = head
            + side
            + 2.0
            + if stacked {
                2.0 * (side + TITLE + GAP)
            } else {
                0.0
            };
        Self {
            places,
            cell,
            window,
            gutter,
            height,
            stacked,
        }
    }

    /// Three whole maps side by side in a box. A narrow box has no room for tokens.
    fn filling((width, height): (f64, f64), size: usize) -> Self {
        let narrow = width < NARROW;
        let (gutter, kl, least) = if narrow {
            (0.0, 0.0, NARROW_GAP)
        } else {
            (84.0, KL, GAP)
        };
        let head = TITLE + gutter * 0.8;
        let room = (width - gutter - kl - 2.0 * least) / 3.0;
        let side = room.min(height - head - 2.0).max(1.0);
        let spare = width - gutter - kl - 3.0 * side;
        let gap = (spare / 2.0).clamp(least, WIDEST_GAP);
        let left = gutter + ((spare - 2.0 * gap) / 2.0).max(0.0);
        Self {
            places: std::array::from_fn(|i| (left + i as f64 * (side + gap), head)),
            cell: side / size.max(1) as f64,
            window: Window::zoomed(size, 1, (0, 0)),
            gutter,
            height,
            stacked: false,
        }
    }

    fn side(&self) -> f64 {
        self.cell * self.window.count as f64
    }

    /// Baseline of a title.
    fn title(&self, map: usize) -> f64 {
        if self.stacked && map > 0 {
            self.places[map].1 - 6.0
        } else {
            13.0
        }
    }

    /// The row and column at a pixel.
    pub fn cell_at(&self, x: f64, y: f64) -> Option<(usize, usize)> {
        let index = |pixel: f64| {
            let index = (pixel / self.cell).floor();
            (index >= 0.0 && index < self.window.count as f64).then_some(index as usize)
        };
        let (row, column) = self
            .places
            .iter()
            .find_map(|(left, top)| Some((index(y - top)?, index(x - left)?)))?;
        Some((row + self.window.row, column + self.window.column))
    }
}

/// Tokens at the rows of the maps on the left, and above the columns of those on top.
fn labels(
    surface: &Surface,
    layout: &Layout,
    map: usize,
    tokens: &[String],
    cell: Option<(usize, usize)>,
    ink: &Ink,
) {
    let (row, column) = (cell.map(|cell| cell.0), cell.map(|cell| cell.1));
    let context = &surface.context;
    let (left, top) = layout.places[map];
    let every = (11.0 / layout.cell).ceil() as usize;
    let clear = |i: usize, chosen: Option<usize>| {
        let beside = chosen.is_some_and(|chosen| every > 1 && i.abs_diff(chosen) < every);
        chosen == Some(i) || (i.is_multiple_of(every) && !beside)
    };
    let style = |chosen: bool| {
        let (weight, colour) = if chosen {
            (700, &ink.palette.ink)
        } else {
            (400, &ink.palette.muted)
        };
        context.set_font(&ink.palette.font(weight, 11.0));
        context.set_fill_style_str(colour);
    };
    let room = layout.gutter - 6.0;
    context.set_text_baseline("middle");
    let window = layout.window;
    let all = tokens.iter().enumerate();
    for (place, (i, token)) in all.clone().skip(window.row).take(window.count).enumerate() {
        let middle = layout.cell * (place as f64 + 0.5);
        if (layout.stacked || map == 0) && clear(i, row) {
            style(row == Some(i));
            context.set_text_align("right");
            // The errors of these calls are positions that are not numbers.
            let _ = context.fill_text_with_max_width(token, left - 5.0, top + middle, room);
        }
    }
    for (place, (i, token)) in all.skip(window.column).take(window.count).enumerate() {
        let middle = layout.cell * (place as f64 + 0.5);
        if (!layout.stacked || map == 0) && clear(i, column) {
            style(column == Some(i));
            context.set_text_align("left");
            context.save();
            let _ = context.translate(left + middle, top - 5.0);
            let _ = context.rotate(-std::f64::consts::FRAC_PI_2);
            let _ = context.fill_text_with_max_width(token, 0.0, 0.0, room);
            context.restore();
        }
    }
}

/// Outlines a row, a column and their cell, with a rim that shows on any colour.
fn cross(
    context: &CanvasRenderingContext2d,
    layout: &Layout,
    map: usize,
    (row, column): (usize, usize),
    ink: &Ink,
) {
    let (left, top) = layout.places[map];
    let window = layout.window;
    let shown = |cell: usize, first: usize| {
        cell.checked_sub(first)
            .filter(|place| *place < window.count)
            .map(|place| place as f64 * layout.cell)
    };
    let (x, y) = (shown(column, window.column), shown(row, window.row));
    let outline = |x: f64, y: f64, width: f64, height: f64, line: f64| {
        context.set_stroke_style_str(&ink.palette.card);
        context.set_line_width(line + 1.6);
        context.stroke_rect(x, y, width, height);
        context.set_stroke_style_str(&ink.focus);
        context.set_line_width(line);
        context.stroke_rect(x, y, width, height);
    };
    context.set_global_alpha(0.55);
    if let Some(y) = y {
        outline(left, top + y, layout.side(), layout.cell, 1.0);
    }
    if let Some(x) = x {
        outline(left + x, top, layout.cell, layout.side(), 1.0);
    }
    context.set_global_alpha(1.0);
    if let (Some(x), Some(y)) = (x, y) {
        outline(left + x, top + y, layout.cell, layout.cell, 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_finds_its_cell_on_every_map() {
        for width in [320.0, 1200.0] {
            let layout = Layout::new(width, 40.0, Window::zoomed(20, 1, (0, 0)));
            for (left, top) in layout.places {
                assert_eq!(
                    layout.cell_at(left + 2.5 * layout.cell, top + 1.5 * layout.cell),
                    Some((1, 2))
                );
                assert!(left + layout.side() + KL <= width + 1e-9);
            }
            assert_eq!(layout.cell_at(0.0, 0.0), None);
        }
    }

    #[test]
    fn maps_that_fill_a_box_are_inside_it() {
        for (width, height) in [
            (342.0, 130.0),
            (1000.0, 400.0),
            (1400.0, 300.0),
            (700.0, 900.0),
        ] {
            let layout = Layout::filling((width, height), 16);
            let (left, top) = layout.places[2];
            assert!(layout.places[0].0 >= layout.gutter);
            assert!(left + layout.side() <= width + 1e-9 && top + layout.side() <= height);
            assert!(layout.places[1].0 - layout.places[0].0 > layout.side());
        }
    }

    #[test]
    fn a_window_stays_inside_and_shows_its_cell() {
        let whole = Window::zoomed(128, 1, (50, 50));
        assert_eq!((whole.row, whole.column, whole.count), (0, 0, 128));
        let part = Window::zoomed(128, 4, (120, 3));
        assert_eq!((part.row, part.column, part.count), (96, 3, 32));
        let moved = part.showing((10, 90));
        assert_eq!((moved.row, moved.column), (10, 59));
        assert_eq!(moved.showing((12, 60)), moved, "it is shown already");
        assert_eq!(Window::zoomed(3, 16, (0, 0)).count, 3);
        let layout = Layout::new(900.0, 40.0, moved);
        let (left, top) = layout.places[1];
        assert_eq!(layout.cell_at(left + 1.0, top + 1.0), Some((10, 59)));
    }
}
