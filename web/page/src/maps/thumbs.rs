//! Small maps in columns: of all heads, or of one head at several steps.

use limbeck_relations::{Relation, Scales, number};
use web_sys::HtmlCanvasElement;

use super::ink::{Ink, three};
use crate::chart::surface::Surface;

/// Side of a small map, and room for the lines below the three of them.
const THUMB: f64 = 40.0;
const THUMB_TEXT: f64 = 32.0;
const THUMB_GAP: f64 = 8.0;
/// Between the small maps of one head.
const THUMB_LINE: f64 = 2.0;

/// A column of small maps: teacher, student and difference of one head, or of one step.
pub struct Thumb<'a> {
    /// What it is.
    pub name: String,
    /// What it shows.
    pub relation: &'a Relation,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// Teacher, student and difference of each of some thumbs, one below the other, as large as they are drawn.
pub type Images = Vec<HtmlCanvasElement>;

/// The images of thumbs. All have one scale, so that they can be compared.
pub fn images_of(thumbs: &[Thumb], ink: &Ink) -> Option<Images> {
    let scales = thumbs.iter().map(|thumb| Scales::of(thumb.relation));
    let scales = scales.reduce(Scales::with)?;
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
    images: &Images,
    ink: &Ink,
) -> Option<()> {
    let width = f64::from(canvas.parent_element()?.client_width());
    let a_row = a_row(thumbs.len(), width);
    let lines = thumbs.len().div_ceil(a_row);
    let surface = Surface::of(canvas, lines as f64 * thumb_height())?;
    let context = &surface.context;
    context.set_image_smoothing_enabled(false);
    context.set_text_align("center");
    for (i, (thumb, image)) in thumbs.iter().zip(images).enumerate() {
        let (x, y) = thumb_place(i, a_row);
        let side = f64::from(image.width());
        for line in [0.0, 1.0, 2.0] {
            let top = y + line * (THUMB + THUMB_LINE);
            let _ = context
                .draw_image_with_html_canvas_element_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
                    image,
                    0.0,
                    line * side,
                    side,
                    side,
                    x,
                    top,
                    THUMB,
                    THUMB,
                );
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

/// How many of so many stand in a row: as many as there is room for, but in rows of about the same length.
fn a_row(count: usize, width: f64) -> usize {
    let most = (((width - 4.0 + THUMB_GAP) / (THUMB + THUMB_GAP)) as usize).max(1);
    let rows = count.div_ceil(most).max(1);
    count.div_ceil(rows).max(1)
}

fn thumb_place(index: usize, a_row: usize) -> (f64, f64) {
    let (line, place) = (index / a_row, index % a_row);
    (
        2.0 + place as f64 * (THUMB + THUMB_GAP),
        2.0 + line as f64 * thumb_height(),
    )
}

/// Which of so many small maps is at a pixel of a strip of this width.
pub fn thumb_at((x, y): (f64, f64), count: usize, width: f64) -> Option<usize> {
    let a_row = a_row(count, width);
    let place = ((x - 2.0) / (THUMB + THUMB_GAP)).max(0.0) as usize;
    let line = (y / thumb_height()).max(0.0) as usize;
    (place < a_row).then(|| line * a_row + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_finds_its_thumb() {
        for index in [0, 3, 7, 12] {
            let (x, y) = thumb_place(index, a_row(13, 300.0));
            assert_eq!(thumb_at((x + 5.0, y + 5.0), 13, 300.0), Some(index));
        }
    }

    #[test]
    fn no_thumb_is_left_over_for_a_row_of_its_own() {
        // The mean and sixteen heads, where there is room for sixteen.
        let width = 16.0 * (THUMB + THUMB_GAP);
        assert_eq!([17, 16, 1].map(|count| a_row(count, width)), [9, 16, 1]);
        assert_eq!(a_row(17, 17.0 * (THUMB + THUMB_GAP)), 17);
        assert_eq!(a_row(5, 1.0), 1, "no room at all");
    }
}
