//! A picture as a list of plain shapes, in the order in which they are painted.

use crate::colours::Rgb;

/// A picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// In the unit of all coordinates: a pixel of a screen.
    pub width: f32,
    /// In the same unit.
    pub height: f32,
    /// What it is, in a few words.
    pub title: String,
    /// What it shows, for those who do not see it.
    pub description: String,
    /// The shapes.
    pub items: Vec<Item>,
}

/// A shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A filled rectangle: left, top, width, height.
    Rect {
        /// Left, top, width, height.
        place: [f32; 4],
        /// Its colour.
        fill: Rgb,
    },
    /// The edge of a rectangle.
    Frame {
        /// Left, top, width, height.
        place: [f32; 4],
        /// Its colour.
        stroke: Rgb,
        /// Width of the line, half of it on either side of the edge.
        width: f32,
    },
    /// A line from one point to another.
    Curve(Curve),
    /// Text.
    Text(Words),
    /// A raster of cells with sharp edges.
    Image {
        /// Left, top, width, height.
        place: [f32; 4],
        /// The cells.
        pixels: Pixels,
    },
}

/// A line that leaves one point and reaches another horizontally: a cubic curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// Where it begins.
    pub from: (f32, f32),
    /// Where it ends.
    pub to: (f32, f32),
    /// Its colour.
    pub stroke: Rgb,
    /// Width of the line.
    pub width: f32,
    /// From 0 to 1.
    pub opacity: f32,
}

impl Curve {
    /// Its four points: where it begins, the two that it bends towards on its way, and where it ends.
    pub fn points(&self) -> [(f32, f32); 4] {
        let (from, to) = (self.from, self.to);
        let bend = (to.0 - from.0) * 0.4;
        [from, (from.0 + bend, from.1), (to.0 - bend, to.1), to]
    }
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// The point on the base line that `anchor` refers to.
    pub at: (f32, f32),
    /// Any characters: who draws it escapes them.
    pub text: String,
    /// Size of the font.
    pub size: f32,
    /// Whether it is bold.
    pub bold: bool,
    /// Its colour.
    pub fill: Rgb,
    /// Which part of the text is at the point.
    pub anchor: Anchor,
    /// Whether it runs upwards, rotated by 90 degrees to the left.
    pub upwards: bool,
}

/// Which part of a text is at its point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// The left end.
    #[default]
    Start,
    /// The middle.
    Middle,
    /// The right end.
    End,
}

impl Words {
    /// Upright text of ordinary weight with its left end at the point.
    pub fn new(at: (f32, f32), text: impl Into<String>, size: f32, fill: Rgb) -> Self {
        Self {
            at,
            text: text.into(),
            size,
            bold: false,
            fill,
            anchor: Anchor::Start,
            upwards: false,
        }
    }

    /// The same in bold.
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// The same with another part of it at the point.
    pub fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same running upwards.
    pub fn upwards(self) -> Self {
        Self {
            upwards: true,
            ..self
        }
    }
}

/// Cells of a raster, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Cells in a row.
    pub columns: usize,
    /// The cells.
    pub cells: Vec<Rgb>,
}

impl Pixels {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.cells.len() / self.columns.max(1)
    }
}

impl Drawing {
    /// Puts another drawing's shapes below this one's.
    pub fn append(&mut self, below: Self) {
        let by = (0.0, self.height);
        let items = below.items.into_iter();
        self.items.extend(items.map(|item| item.moved(by)));
        self.width = self.width.max(below.width);
        self.height += below.height;
    }
}

impl Item {
    /// The same, further to the right and further down.
    pub fn moved(self, (right, down): (f32, f32)) -> Self {
        let lower = |[x, y, width, height]: [f32; 4]| [x + right, y + down, width, height];
        let point = |(x, y): (f32, f32)| (x + right, y + down);
        match self {
            Self::Rect { place, fill } => Self::Rect {
                place: lower(place),
                fill,
            },
            Self::Frame {
                place,
                stroke,
                width,
            } => Self::Frame {
                place: lower(place),
                stroke,
                width,
            },
            Self::Curve(curve) => Self::Curve(Curve {
                from: point(curve.from),
                to: point(curve.to),
                ..curve
            }),
            Self::Text(words) => Self::Text(Words {
                at: point(words.at),
                ..words
            }),
            Self::Image { place, pixels } => Self::Image {
                place: lower(place),
                pixels,
            },
        }
    }
}
