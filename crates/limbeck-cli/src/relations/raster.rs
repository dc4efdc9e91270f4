//! A drawing as pixels, for PNG. Letters come from GNU Unifont: every script and emoji of Unicode 14, one weight, sharp
//! edges. A later character is a box with its number; SVG and HTML have them all.

use std::collections::BTreeSet;

use limbeck_relations::{Anchor, Curve, Drawing, Item, Pixels, Rgb, Words, is_right_to_left};
use unifont::i18n::preprocess_text;
use unifont_bitmap::Unifont;

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
        font: Font::open(),
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
    font: Font,
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
        let letters = visual(&words.text).into_iter();
        let letters: Vec<Letter> = letters.map(|c| self.font.letter(c)).collect();
        // A bitmap grows by whole steps only.
        let step = ((words.size * self.scale / 14.0) as i64).max(1);
        let length: i64 = letters.iter().map(|letter| letter.advance).sum::<i64>() * step;
        let back = match words.anchor {
            Anchor::Start => 0,
            Anchor::Middle => length / 2,
            Anchor::End => length,
        };
        let pixel = |at: f32| (at * self.scale).round() as i64;
        let (x, y) = (pixel(words.at.0), pixel(words.at.1));
        let mut along = -back;
        for letter in letters {
            let advance = letter.advance * step;
            // A mark stands on the letter before it.
            let start = if advance == 0 {
                along - 8 * step
            } else {
                along
            };
            for (column, row) in letter.dots(step) {
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
    let mut font = Font::open();
    texts
        .flatten()
        .filter(|c| font.letter(*c).is_box())
        .collect()
}

/// GNU Unifont, unpacked in blocks of 256 characters when one of them is asked for.
struct Font(Box<Unifont>);

impl Font {
    fn open() -> Self {
        Self(Box::new(Unifont::open()))
    }

    fn letter(&mut self, c: char) -> Letter {
        let mut rows = |c: char| self.0.load_bitmap(c.into()).get_bytes().to_vec();
        let (unknown, rows) = (rows(char::REPLACEMENT_CHARACTER), rows(c));
        let rows = (c == char::REPLACEMENT_CHARACTER || rows != unknown).then_some(rows);
        let width = rows.as_ref().map_or(LETTER, |rows| rows.len() as i64 / 2);
        let advance = match limbeck_relations::columns(c.encode_utf8(&mut [0; 4])) {
            0 => 0,
            _ => width,
        };
        Letter {
            c,
            rows,
            width,
            advance,
        }
    }
}

struct Letter {
    c: char,
    /// Eight dots a byte, the leftmost first, 8 or 16 dots a row; none where the font has no such character.
    rows: Option<Vec<u8>>,
    width: i64,
    /// Pixels to the next letter; combining marks have none.
    advance: i64,
}

impl Letter {
    /// Whether a character has a place of its own, and no letter in the font.
    fn is_box(&self) -> bool {
        self.rows.is_none() && self.advance > 0
    }

    /// The dots (column, row), each a square of `step` pixels; a box where the font has none.
    fn dots(&self, step: i64) -> Vec<(i64, i64)> {
        let is_set = |x: i64, y: i64| match &self.rows {
            Some(rows) => rows[((y * self.width + x) / 8) as usize] & (0x80 >> (x % 8)) != 0,
            None => self.is_box() && box_dot(self.c, x, y),
        };
        let mut dots = Vec::new();
        for y in 0..LETTER * step {
            let row = (0..self.width * step).filter(|x| is_set(x / step, y / step));
            dots.extend(row.map(|x| (x, y)));
        }
        dots
    }
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
