//! Draws the maps of one relation, and small ones of all heads.

use limbeck_relations::{Colours, Pixels, Relation, Scales, fitted, number};
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, Element, HtmlCanvasElement};

use super::paint::raster;
use crate::chart::plot::Palette;
use crate::chart::surface::{Surface, css};

/// What the three maps are called.
pub type Names = [String; 3];
/// Width below which the maps are stacked.
const NARROW: f64 = 560.0;
/// Room of the column with the KL of each row.
const KL: f64 = 40.0;
const GAP: f64 = 14.0;
const TITLE: f64 = 20.0;
const LARGEST_CELL: f64 = 24.0;
/// Side of a small map, and room for the lines below the three of them.
const THUMB: f64 = 40.0;
const THUMB_TEXT: f64 = 32.0;
const THUMB_GAP: f64 = 8.0;
/// Between the small maps of one head.
const THUMB_LINE: f64 = 2.0;

/// Colours of the maps.
#[derive(PartialEq)]
pub struct Ink {
    /// Of the page.
    pub palette: Palette,
    /// Of probabilities.
    pub sequential: Colours,
    /// Of differences.
    pub diverging: Colours,
    focus: String,
}

impl Ink {
    /// As they are at an element.
    pub fn of(element: &Element) -> Self {
        let all = css(
            element,
            &[
                "--map-stops",
                "--map-minus",
                "--map-zero",
                "--map-plus",
                "--focus",
            ],
        );
        let stops: Vec<&str> = all[0].split_whitespace().collect();
        Self {
            palette: Palette::of(element),
            sequential: Colours::between(&stops),
            diverging: Colours::between(&[&all[1], &all[2], &all[3]]),
            focus: all[4].clone(),
        }
    }
}

/// A map (S, S) as a picture of one pixel a cell; `part` tells the place of a value on the scale.
fn image(
    colours: &Colours,
    values: &[f32],
    size: usize,
    part: impl Fn(f32) -> f32,
) -> Option<HtmlCanvasElement> {
    raster(&Pixels {
        columns: size,
        cells: colours.of(values, part),
    })
}

/// A CSS gradient; `part` tells the place on the scale of each place in the gradient.
pub fn gradient(colours: &Colours, part: impl Fn(f32) -> f32) -> String {
    let stops = (0..13).map(|i| {
        let [r, g, b] = colours.at(part(i as f32 / 12.0));
        format!("rgb({r} {g} {b})")
    });
    let stops: Vec<_> = stops.collect();
    format!("linear-gradient(90deg,{})", stops.join(","))
}

/// The maps as pictures of one pixel a cell.
pub struct Picture {
    images: [HtmlCanvasElement; 3],
    relation: Relation,
    scales: Scales,
}

impl Picture {
    /// Of a relation.
    pub fn of(relation: Relation, ink: &Ink) -> Option<Self> {
        let scales = Scales::of(&relation);
        let images = three(&relation, usize::MAX, scales, ink)?;
        Some(Self {
            images,
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
        let surface = Surface::of(canvas, layout.height)?;
        let context = &surface.context;
        context.set_image_smoothing_enabled(false);
        for (i, image) in self.images.iter().enumerate() {
            let (x, y) = layout.places[i];
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
                    image,
                    window.column as f64,
                    window.row as f64,
                    count,
                    count,
                    x,
                    y,
                    side,
                    side,
                );
            labels(&surface, &layout, i, tokens, cell, ink);
            cross(context, &layout, i, cell, ink);
        }
        self.bars(&surface, &layout, cell, ink);
        Some(layout)
    }

    /// The KL of each row, right of the last map.
    fn bars(&self, surface: &Surface, layout: &Layout, (row, _): (usize, usize), ink: &Ink) {
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
            let colour = if i == row {
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

/// The part of the maps that is shown: so many rows and columns from here.
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
    (row, column): (usize, usize),
    ink: &Ink,
) {
    let context = &surface.context;
    let (left, top) = layout.places[map];
    let every = (11.0 / layout.cell).ceil() as usize;
    let clear = |i: usize, chosen: usize| {
        i == chosen || (i.is_multiple_of(every) && (every == 1 || i.abs_diff(chosen) >= every))
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
            style(i == row);
            context.set_text_align("right");
            // The errors of these calls are positions that are not numbers.
            let _ = context.fill_text_with_max_width(token, left - 5.0, top + middle, room);
        }
    }
    for (place, (i, token)) in all.skip(window.column).take(window.count).enumerate() {
        let middle = layout.cell * (place as f64 + 0.5);
        if (!layout.stacked || map == 0) && clear(i, column) {
            style(i == column);
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

/// Teacher, student and difference, with at most so many cells in a row.
fn three(
    relation: &Relation,
    most: usize,
    scales: Scales,
    ink: &Ink,
) -> Option<[HtmlCanvasElement; 3]> {
    let probability = |values: &[f32]| {
        let (size, values) = fitted(values, relation.size, most);
        image(&ink.sequential, &values, size, scales.probability())
    };
    let difference = relation.difference();
    let (size, less) = fitted(&difference, relation.size, most);
    Some([
        probability(&relation.teacher)?,
        probability(&relation.student)?,
        image(&ink.diverging, &less, size, scales.difference())?,
    ])
}

/// A column of small maps: teacher, student and difference of one head, or of one step.
pub struct Thumb<'a> {
    /// What it is.
    pub name: String,
    /// What it shows.
    pub relation: &'a Relation,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// Teacher, student and difference of each of some thumbs, as large as they are drawn.
pub type Pictures = Vec<[HtmlCanvasElement; 3]>;

/// The pictures of thumbs. All have one scale, so that they can be compared.
pub fn pictures_of(thumbs: &[Thumb], ink: &Ink) -> Option<Pictures> {
    let scales = thumbs.iter().map(|thumb| Scales::of(thumb.relation));
    let scales = scales.reduce(|a, b| Scales {
        peak: a.peak.max(b.peak),
        gap: a.gap.max(b.gap),
        kl: a.kl.max(b.kl),
    })?;
    let ratio = leptos::prelude::window().device_pixel_ratio().max(1.0);
    let most = (THUMB * ratio) as usize;
    let thumbs = thumbs.iter();
    thumbs
        .map(|thumb| three(thumb.relation, most, scales, ink))
        .collect()
}

/// Small maps in columns, and where each is: the index at a pixel is [`thumb_at`].
pub fn draw_thumbs(
    canvas: &HtmlCanvasElement,
    thumbs: &[Thumb],
    pictures: &Pictures,
    ink: &Ink,
) -> Option<()> {
    let width = f64::from(canvas.parent_element()?.client_width());
    let lines = thumbs.len().div_ceil(a_row(width));
    let surface = Surface::of(canvas, lines as f64 * thumb_height())?;
    let context = &surface.context;
    context.set_image_smoothing_enabled(false);
    context.set_text_align("center");
    for (i, (thumb, three)) in thumbs.iter().zip(pictures).enumerate() {
        let (x, y) = thumb_place(i, width);
        for (line, picture) in three.iter().enumerate() {
            let top = y + line as f64 * (THUMB + THUMB_LINE);
            let _ = context
                .draw_image_with_html_canvas_element_and_dw_and_dh(picture, x, top, THUMB, THUMB);
        }
        let (weight, colour) = match thumb.chosen {
            true => (700, &ink.palette.ink),
            false => (400, &ink.palette.muted),
        };
        context.set_font(&ink.palette.font(weight, 11.0));
        context.set_fill_style_str(colour);
        let below = y + 3.0 * (THUMB + THUMB_LINE);
        surface.text(&thumb.name, x + THUMB / 2.0, below + 11.0);
        surface.text(
            &number(thumb.relation.total()),
            x + THUMB / 2.0,
            below + 23.0,
        );
        if thumb.chosen {
            context.set_stroke_style_str(&ink.focus);
            context.set_line_width(2.0);
            let height = 3.0 * THUMB + 2.0 * THUMB_LINE + 2.0;
            context.stroke_rect(x - 1.0, y - 1.0, THUMB + 2.0, height);
        }
    }
    Some(())
}

fn thumb_height() -> f64 {
    3.0 * (THUMB + THUMB_LINE) + THUMB_TEXT
}

fn a_row(width: f64) -> usize {
    (((width - 4.0 + THUMB_GAP) / (THUMB + THUMB_GAP)) as usize).max(1)
}

fn thumb_place(index: usize, width: f64) -> (f64, f64) {
    let a_row = a_row(width);
    let (line, place) = (index / a_row, index % a_row);
    (
        2.0 + place as f64 * (THUMB + THUMB_GAP),
        2.0 + line as f64 * thumb_height(),
    )
}

/// The small maps at a pixel of a strip of this width.
pub fn thumb_at(x: f64, y: f64, width: f64) -> Option<usize> {
    let place = ((x - 2.0) / (THUMB + THUMB_GAP)).max(0.0) as usize;
    let line = (y / thumb_height()).max(0.0) as usize;
    (place < a_row(width)).then(|| line * a_row(width) + place)
}

#[cfg(test)]
mod tests {
    use limbeck_relations::{DARK, LIGHT};

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

    #[test]
    fn a_pixel_finds_its_thumb() {
        for index in [0, 3, 7, 12] {
            let (x, y) = thumb_place(index, 300.0);
            assert_eq!(thumb_at(x + 5.0, y + 5.0, 300.0), Some(index));
        }
    }

    #[test]
    fn colours_become_gradients() {
        let colours = Colours::between(&["#000000", "#ffffff", "#ff0000"]);
        assert!(gradient(&colours, |v| v).starts_with("linear-gradient(90deg,rgb(0 0 0),"));
    }

    #[test]
    fn the_style_sheet_has_the_colours_of_all_our_pictures() {
        let sheet = include_str!("../../style/chart.css");
        for stops in [LIGHT, DARK] {
            let [minus, zero, plus] = stops.difference;
            let difference =
                format!("--map-minus: {minus}; --map-zero: {zero}; --map-plus: {plus};");
            assert!(sheet.contains(&difference), "{difference}");
            let map = format!("--map-stops: {};", stops.map.join(" "));
            assert!(sheet.contains(&map), "{map}");
        }
    }
}
