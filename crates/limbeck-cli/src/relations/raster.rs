//! A drawing as pixels, for PNG. Letters come from GNU Unifont's table: every script of the basic plane, one weight, sharp
//! edges. Characters beyond that plane, emoji among them, are boxes with the number of the character; SVG and HTML have them all.

use std::collections::BTreeSet;

use limbeck_relations::{Anchor, Curve, Drawing, Item, Pixels, Rgb, Words, is_right_to_left};
use unifont::i18n::preprocess_text;
use unifont::{Glyph, get_glyph};

/// Pixels for a unit of the drawing, so that small labels can be read.
const SCALE: f32 = 2.0;
/// A picture with more pixels than this is drawn at half the scale.
const MOST_PIXELS: f32 = 60e6;
/// Rows of a letter, and how many of them are above the base line.
const LETTER: i64 = 16;
const ASCENT: i64 = 14;

/// Paints every shape in turn.
pub fn pixels(drawing: &Drawing) -> Pixels {
    let area = drawing.width * drawing.height * SCALE * SCALE;
    let scale = if area > MOST_PIXELS {
        SCALE / 2.0
    } else {
        SCALE
    };
    let (width, height) = (drawing.width * scale, drawing.height * scale);
    let columns = (width.ceil() as usize).max(1);
    let rows = (height.ceil() as usize).max(1);
    let mut canvas = Canvas {
        pixels: Pixels {
            columns,
            cells: vec![[255; 3]; columns * rows],
        },
        scale,
    };
    drawing.items.iter().for_each(|item| canvas.paint(item));
    canvas.pixels
}

/// The point at a part of a cubic curve, from 0 to 1.
fn on_curve(curve: &Curve, part: f32) -> (f32, f32) {
    let left = 1.0 - part;
    let weights = [
        left * left * left,
        3.0 * left * left * part,
        3.0 * left * part * part,
        part * part * part,
    ];
    let sum = |of: fn((f32, f32)) -> f32| {
        let points = curve.points().map(of);
        points
            .iter()
            .zip(weights)
            .map(|(point, weight)| point * weight)
            .sum()
    };
    (sum(|point| point.0), sum(|point| point.1))
}

fn mix(under: Rgb, over: Rgb, opacity: f32) -> Rgb {
    std::array::from_fn(|i| {
        let (under, over) = (f32::from(under[i]), f32::from(over[i]));
        (under + (over - under) * opacity).round() as u8
    })
}

struct Canvas {
    pixels: Pixels,
    scale: f32,
}

impl Canvas {
    fn paint(&mut self, item: &Item) {
        match item {
            Item::Rect { place, fill } => self.fill(*place, |_, _| *fill),
            Item::Image { place, pixels } => {
                let [columns, rows] = [pixels.columns, pixels.rows()];
                // A part of exactly 1 cannot be, but roundings come near it.
                let cell =
                    |part: f32, of: usize| ((part * of as f32) as usize).min(of.saturating_sub(1));
                let colour = |x, y| pixels.cells.get(cell(y, rows) * columns + cell(x, columns));
                self.fill(*place, |x, y| colour(x, y).copied().unwrap_or_default());
            }
            Item::Frame {
                place: [x, y, width, height],
                stroke,
                width: line,
            } => {
                let (left, top, half) = (x - line / 2.0, y - line / 2.0, line / 2.0);
                let (wide, high) = (width + line, height + line);
                for side in [
                    [left, top, wide, *line],
                    [left, y + height - half, wide, *line],
                    [left, top, *line, high],
                    [x + width - half, top, *line, high],
                ] {
                    self.fill(side, |_, _| *stroke);
                }
            }
            Item::Curve(curve) => self.bend(curve),
            Item::Text(words) => self.write(words),
        }
    }

    /// Colours every pixel of a curve once, whatever was there, so that it is of one opacity.
    fn bend(&mut self, curve: &Curve) {
        let half = curve.width * self.scale / 2.0;
        let mut pixels = BTreeSet::new();
        // Two points a pixel leave no gap.
        let (from, to) = (curve.from, curve.to);
        let points = (2.0 * self.scale * ((to.0 - from.0).abs() + (to.1 - from.1).abs())) as usize;
        for i in 0..=points {
            let (x, y) = on_curve(curve, i as f32 / points.max(1) as f32);
            let (x, y) = (x * self.scale, y * self.scale);
            let around = |at: f32| (at - half).round() as i64..=(at + half - 1.0).round() as i64;
            pixels.extend(around(y).flat_map(|row| around(x).map(move |column| (column, row))));
        }
        for (x, y) in pixels {
            let at = usize::try_from(y).ok().zip(usize::try_from(x).ok());
            let cell = at.and_then(|(y, x)| self.pixels.cells.get(y * self.pixels.columns + x));
            if let Some(under) = cell.copied() {
                self.set(x, y, mix(under, curve.stroke, curve.opacity));
            }
        }
    }

    /// Colours every pixel whose centre is in the rectangle by its place in it, from 0 to 1 on each axis.
    fn fill(&mut self, [x, y, width, height]: [f32; 4], colour: impl Fn(f32, f32) -> Rgb) {
        let pixel = |at: f32| (at * self.scale).round() as i64;
        let ((left, right), (top, bottom)) =
            ((pixel(x), pixel(x + width)), (pixel(y), pixel(y + height)));
        let part = |at: i64, from: i64, to: i64| ((at - from) as f32 + 0.5) / (to - from) as f32;
        for row in top..bottom {
            for column in left..right {
                let colour = colour(part(column, left, right), part(row, top, bottom));
                self.set(column, row, colour);
            }
        }
    }

    fn set(&mut self, x: i64, y: i64, colour: Rgb) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.pixels.columns
            && let Some(cell) = self.pixels.cells.get_mut(y * self.pixels.columns + x)
        {
            *cell = colour;
        }
    }

    fn write(&mut self, words: &Words) {
        let text = visual(&words.text);
        // A bitmap grows by whole steps only.
        let step = ((words.size * self.scale / 14.0) as i64).max(1);
        let length: i64 = text.iter().map(|c| advance(*c)).sum::<i64>() * step;
        let back = match words.anchor {
            Anchor::Start => 0,
            Anchor::Middle => length / 2,
            Anchor::End => length,
        };
        let pixel = |at: f32| (at * self.scale).round() as i64;
        let (x, y) = (pixel(words.at.0), pixel(words.at.1));
        let mut along = -back;
        for c in text {
            let advance = advance(c) * step;
            // A mark stands on the letter before it.
            let start = if advance == 0 {
                along - 8 * step
            } else {
                along
            };
            for (column, row) in dots(c, step) {
                let (along, down) = (start + column, row - ASCENT * step);
                let bold = i64::from(words.bold);
                for thick in 0..=bold {
                    match words.upwards {
                        false => self.set(x + along + thick, y + down, words.fill),
                        true => self.set(x + down, y - along - thick, words.fill),
                    }
                }
            }
            along += advance;
        }
    }
}

/// Hexadecimal digits of 3 by 5 dots, a row in three bits, the top row first.
const DIGITS: [u16; 16] = [
    0o75557, 0o26227, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71111, 0o75757, 0o75717,
    0o25755, 0o65656, 0o34443, 0o65556, 0o74747, 0o74744,
];

/// The characters of a drawing that are boxes in its pixels.
pub fn without_letter(drawing: &Drawing) -> BTreeSet<char> {
    let texts = drawing.items.iter().filter_map(|item| match item {
        Item::Text(words) => Some(words.text.chars()),
        _ => None,
    });
    texts.flatten().filter(|c| is_box(*c)).collect()
}

/// Whether a character has a place of its own, and no letter in the table.
fn is_box(c: char) -> bool {
    get_glyph(c).is_none() && limbeck_relations::columns(c.encode_utf8(&mut [0; 4])) > 0
}

/// Characters from left to right, Arabic letters in the forms that join: runs of right-to-left scripts are reversed, with
/// the spaces and signs between their letters.
fn visual(text: &str) -> Vec<char> {
    let mut all: Vec<char> = preprocess_text(text).chars().collect();
    let mut start = 0;
    while start < all.len() {
        let goes_on = |c: &&char| is_right_to_left(**c) || !c.is_alphanumeric();
        let run = match is_right_to_left(all[start]) {
            true => all[start..].iter().take_while(goes_on).count(),
            false => 0,
        };
        // What follows the last letter is no part of it.
        let letters = all[start..start + run]
            .iter()
            .rposition(|c| is_right_to_left(*c));
        let run = letters.map_or(0, |last| last + 1);
        all[start..start + run].reverse();
        start += run.max(1);
    }
    all
}

/// Width in pixels of the table; combining marks have none.
fn advance(c: char) -> i64 {
    match limbeck_relations::columns(c.encode_utf8(&mut [0; 4])) {
        0 => 0,
        _ => get_glyph(c).map_or(LETTER, |glyph| glyph.get_width() as i64),
    }
}

/// The dots of a character; a box where the table has none.
fn dots(c: char, step: i64) -> Vec<(i64, i64)> {
    let glyph = get_glyph(c);
    let width = glyph.map_or(LETTER, |glyph| glyph.get_width() as i64);
    let boxed = is_box(c);
    let is_set = |x: i64, y: i64| match glyph {
        Some(glyph) => is_dot(glyph, x, y),
        None => boxed && box_dot(c, x, y),
    };
    let mut dots = Vec::new();
    for y in 0..LETTER * step {
        let row = (0..width * step).filter(|x| is_set(x / step, y / step));
        dots.extend(row.map(|x| (x, y)));
    }
    dots
}

fn is_dot(glyph: &Glyph, x: i64, y: i64) -> bool {
    glyph.get_pixel(x as usize, y as usize)
}

/// A frame around the six hexadecimal digits of a character's number, in two rows.
fn box_dot(c: char, x: i64, y: i64) -> bool {
    let edges = [0, LETTER - 1];
    if edges.contains(&x) || edges.contains(&y) {
        return true;
    }
    let (column, row) = ((x - 2) / 4, (y - 2) / 7);
    let (right, down) = ((x - 2) % 4, (y - 2) % 7);
    if !(2..LETTER - 2).contains(&x) || !(2..LETTER - 1).contains(&y) || right > 2 || down > 4 {
        return false;
    }
    let digit = u32::from(c) >> (4 * (5 - (3 * row + column))) & 0xf;
    DIGITS[digit as usize] >> (3 * (4 - down) + (2 - right)) & 1 == 1
}
