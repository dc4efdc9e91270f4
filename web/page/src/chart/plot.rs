//! Draws lines over steps on a canvas.

use js_sys::Array;
use web_sys::{CanvasRenderingContext2d, Element, HtmlCanvasElement};

use super::columns::{Bin, Column, bins, columns};
use super::scale::{Scale, grouped, tick_label, ticks};
use super::surface::{Surface, css};

const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Least distance between the baselines of two labels.
const LABEL: f64 = 14.0;

/// Dashes of the lines of pairs, so that they differ by more than hue.
pub const DASHES: [&[f64]; 9] = [
    &[],
    &[7.0, 3.0],
    &[2.0, 2.5],
    &[9.0, 3.0, 2.0, 3.0],
    &[4.0, 4.0],
    &[12.0, 4.0],
    &[2.0, 5.0],
    &[9.0, 3.0, 2.0, 3.0, 2.0, 3.0],
    &[14.0, 3.0, 4.0, 3.0],
];

/// The colours of the page, as it is now.
#[derive(PartialEq)]
pub struct Palette {
    /// Text.
    pub ink: String,
    /// Text of axes, and earlier runs.
    pub muted: String,
    /// Grid.
    pub line: String,
    /// Ground.
    pub card: String,
    /// Of each pair, in the order of a run.
    pub pairs: Vec<String>,
    font: String,
}

impl Palette {
    /// As they are at an element.
    pub fn of(element: &Element) -> Self {
        let mut all = css(
            element,
            &[
                "font-family",
                "--card",
                "--line",
                "--muted",
                "--ink",
                "--c0",
                "--c1",
                "--c2",
                "--c3",
                "--c4",
                "--c5",
                "--c6",
                "--c7",
                "--c8",
            ],
        );
        let pairs = all.split_off(5);
        let mut next = || all.pop().unwrap_or_default();
        Self {
            ink: next(),
            muted: next(),
            line: next(),
            card: next(),
            font: next(),
            pairs,
        }
    }

    /// A font of the page at a size.
    pub fn font(&self, weight: u32, size: f64) -> String {
        format!("{weight} {size}px {}", self.font)
    }
}

/// One line.
pub struct Curve<'a> {
    /// Written at its end.
    pub label: String,
    /// Written in muted after the label, if the line ends early and leaves room.
    pub note: String,
    /// x of each value.
    pub steps: &'a [f64],
    /// Drawn faintly behind.
    pub raw: Option<&'a [f32]>,
    /// Drawn.
    pub main: &'a [f32],
    /// Any CSS colour.
    pub colour: &'a str,
    /// Pixels.
    pub width: f64,
    /// See [`DASHES`].
    pub dash: &'a [f64],
    /// How much of the ground it covers, from 0 to 1.
    pub alpha: f64,
    /// Measured now and then: x and y.
    pub dots: Vec<(f64, f64)>,
}

/// What to draw.
pub struct Plot<'a> {
    /// In the order of drawing.
    pub curves: Vec<Curve<'a>>,
    /// Logarithmic y.
    pub log: bool,
    /// Pixels.
    pub height: f64,
    /// Ticks of y, about.
    pub ticks: usize,
    /// First and last x.
    pub range: (f64, f64),
}

/// Where things were drawn.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Steps.
    pub x: Scale,
    /// Values.
    pub y: Scale,
    /// Pixels.
    pub height: f64,
    /// Bounds of the lines: left, right.
    pub sides: (f64, f64),
}

impl Frame {
    /// Bounds of the lines: top, bottom.
    pub fn ends(&self) -> (f64, f64) {
        (TOP, self.height - BOTTOM)
    }
}

/// Draws; says where, if there was anything to draw.
pub fn draw(canvas: &HtmlCanvasElement, plot: &Plot, palette: &Palette) -> Option<Frame> {
    let surface = Surface::of(canvas, plot.height)?;
    let bounds = bounds(plot)?;
    let context = &surface.context;
    context.set_font(&palette.font(400, 11.5));
    context.set_text_baseline("middle");
    let ticks = ticks(bounds.0, bounds.1, plot.log, plot.ticks);
    let widest = |texts: &mut dyn Iterator<Item = String>| {
        texts.map(|t| surface.measure(&t)).fold(0.0, f64::max)
    };
    let left = 9.0 + widest(&mut ticks.iter().map(|t| tick_label(*t)));
    context.set_font(&palette.font(600, 11.5));
    let labels = widest(&mut plot.curves.iter().map(|curve| curve.label.clone()));
    let right = surface.width - if labels > 0.0 { labels + 10.0 } else { 6.0 };
    let frame = Frame {
        x: Scale::new(plot.range, (left, right), false),
        y: Scale::new(bounds, (plot.height - BOTTOM, TOP), plot.log),
        height: plot.height,
        sides: (left, right),
    };
    context.set_font(&palette.font(400, 11.5));
    axes(&surface, &frame, &ticks, plot.range, palette);
    let mut room = Vec::new();
    let mut sorted: Option<(&[f64], Vec<Bin>)> = None;
    for curve in &plot.curves {
        let (_, bins) = match sorted.take() {
            Some(known) if std::ptr::eq(known.0, curve.steps) => sorted.insert(known),
            _ => sorted.insert((curve.steps, bins(curve.steps, |x| frame.x.place(x)))),
        };
        draw_curve(context, &frame, curve, palette, (bins, &mut room));
    }
    draw_labels(&surface, &frame, plot, palette);
    Some(frame)
}

/// Least and greatest y: from zero, or on a logarithmic scale from the least positive.
fn bounds(plot: &Plot) -> Option<(f64, f64)> {
    let floor = if plot.log {
        f32::MIN_POSITIVE
    } else {
        f32::MIN
    };
    let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
    for curve in &plot.curves {
        let dots = curve.dots.iter().map(|dot| dot.1 as f32);
        let values = curve
            .main
            .iter()
            .chain(curve.raw.unwrap_or_default())
            .copied();
        // Comparisons with what is not a number are false, so it is left out.
        for value in values
            .chain(dots)
            .filter(|value| (floor..=f32::MAX).contains(value))
        {
            least = least.min(value);
            greatest = greatest.max(value);
        }
    }
    let (low, high) = (f64::from(least), f64::from(greatest));
    if high < low {
        return None;
    }
    if plot.log {
        let wider = 1.05_f64.max(if high > low { 1.0 } else { 2.0 });
        return Some((low / wider, high * wider));
    }
    let low = low.min(0.0);
    Some((low, if high > low { high * 1.03 } else { low + 1.0 }))
}

fn axes(surface: &Surface, frame: &Frame, marks: &[f64], range: (f64, f64), palette: &Palette) {
    let context = &surface.context;
    let (left, right) = frame.sides;
    context.set_stroke_style_str(&palette.line);
    context.set_fill_style_str(&palette.muted);
    context.set_line_width(1.0);
    context.set_line_cap("butt");
    set_dash(context, &[]);
    context.begin_path();
    context.set_text_align("right");
    for tick in marks {
        // Half a pixel keeps a line of one pixel sharp.
        let y = frame.y.place(*tick).round() + 0.5;
        context.move_to(left, y);
        context.line_to(right, y);
        surface.text(&tick_label(*tick), left - 7.0, y);
    }
    context.stroke();
    context.set_text_align("center");
    let wanted = (((right - left) / 90.0) as usize).max(2);
    let whole = ticks(range.0, range.1, false, wanted);
    for tick in whole.into_iter().filter(|tick| tick.fract() == 0.0) {
        let text = grouped(tick);
        let half = surface.measure(&text) / 2.0;
        let x = frame
            .x
            .place(tick)
            .clamp(left + half - 4.0, (surface.width - half).max(left + half));
        surface.text(&text, x, frame.height - BOTTOM + 13.0);
    }
}

fn draw_curve(
    context: &CanvasRenderingContext2d,
    frame: &Frame,
    curve: &Curve,
    palette: &Palette,
    (bins, room): (&[Bin], &mut Vec<Column>),
) {
    context.set_stroke_style_str(curve.colour);
    context.set_line_join("round");
    if let Some(raw) = curve.raw {
        columns(bins, raw, room);
        context.set_global_alpha(0.2);
        context.set_line_width(1.0);
        set_dash(context, &[]);
        trace_all(context, frame, room);
        context.set_global_alpha(1.0);
    }
    context.set_line_width(curve.width);
    context.set_global_alpha(curve.alpha);
    set_dash(context, curve.dash);
    if curve.raw.is_some() {
        trace_last(context, frame, bins, curve.main);
    } else {
        columns(bins, curve.main, room);
        trace_all(context, frame, room);
    }
    set_dash(context, &[]);
    context.set_global_alpha(1.0);
    if let [only] = curve.main {
        dot(
            context,
            frame.x.place(curve.steps[0]),
            frame.y.place(f64::from(*only)),
            curve.colour,
            curve.colour,
        );
    }
    for (step, value) in &curve.dots {
        dot(
            context,
            frame.x.place(*step),
            frame.y.place(*value),
            &palette.card,
            curve.colour,
        );
    }
}

/// A disc with a rim.
pub fn dot(context: &CanvasRenderingContext2d, x: f64, y: f64, fill: &str, rim: &str) {
    if !x.is_finite() || !y.is_finite() {
        return;
    }
    context.begin_path();
    // The only error is a negative radius.
    let _ = context.arc(x, y, 3.2, 0.0, std::f64::consts::TAU);
    context.set_fill_style_str(fill);
    context.fill();
    context.set_line_width(1.7);
    context.set_stroke_style_str(rim);
    context.stroke();
}

fn trace_all(context: &CanvasRenderingContext2d, frame: &Frame, columns: &[Column]) {
    context.begin_path();
    for column in columns {
        let y = |v: f32| frame.y.place(f64::from(v));
        if column.min == column.max {
            context.line_to(column.x, y(column.last));
        } else {
            // Rising lines meet the least first: that is how they looked with all their points.
            let (one, two) = if column.first <= column.last {
                (column.min, column.max)
            } else {
                (column.max, column.min)
            };
            context.line_to(column.x, y(one));
            context.line_to(column.x, y(two));
        }
    }
    context.stroke();
}

fn trace_last(context: &CanvasRenderingContext2d, frame: &Frame, bins: &[Bin], values: &[f32]) {
    context.begin_path();
    for bin in bins {
        // A place that is not a number is passed over by the canvas.
        context.line_to(bin.x, frame.y.place(f64::from(values[bin.values.end - 1])));
    }
    context.stroke();
}

fn set_dash(context: &CanvasRenderingContext2d, dash: &[f64]) {
    let segments: Array = dash
        .iter()
        .map(|length| wasm_bindgen::JsValue::from_f64(*length))
        .collect();
    // The only error is something that is no list.
    let _ = context.set_line_dash(&segments);
}

/// Names beside the ends of their lines, moved apart where they would overlap.
fn draw_labels(surface: &Surface, frame: &Frame, plot: &Plot, palette: &Palette) {
    let context = &surface.context;
    context.set_text_align("left");
    let end = |curve: &Curve| -> Option<(f64, f64)> {
        let i = curve.main.iter().rposition(|v| v.is_finite())?;
        Some((
            frame.x.place(curve.steps[i]),
            frame.y.place(f64::from(curve.main[i])),
        ))
    };
    let labelled = plot.curves.iter().filter(|curve| !curve.label.is_empty());
    let found = labelled.filter_map(|curve| end(curve).map(|(x, y)| (x, y, curve)));
    let mut ends: Vec<(f64, f64, &Curve)> = Vec::new();
    for end in found.filter(|(_, y, _)| y.is_finite()) {
        ends.insert(ends.partition_point(|(_, y, _)| *y <= end.1), end);
    }
    // A line that ends early has others beside its end: its label stands above them.
    let lift = |x: f64| {
        if frame.sides.1 - x > LABEL {
            LABEL
        } else {
            0.0
        }
    };
    let wanted: Vec<(f64, f64)> = ends.iter().map(|(x, y, _)| (*x, *y - lift(*x))).collect();
    let heights = apart(&wanted, frame.ends());
    for ((x, _, curve), y) in ends.iter().zip(heights) {
        context.set_fill_style_str(curve.colour);
        context.set_font(&palette.font(600, 11.5));
        haloed(surface, &curve.label, x + 6.0, y, palette);
        let after = x + 10.0 + surface.measure(&curve.label);
        context.set_font(&palette.font(400, 11.5));
        if !curve.note.is_empty() && after + surface.measure(&curve.note) < frame.sides.1 {
            haloed(surface, &curve.note, after, y, palette);
        }
    }
}

/// A text that stays legible across lines.
fn haloed(surface: &Surface, text: &str, x: f64, y: f64, palette: &Palette) {
    let context = &surface.context;
    context.set_stroke_style_str(&palette.card);
    context.set_line_width(4.0);
    // As in `Surface::text`, nothing that could fail.
    let _ = context.stroke_text(text, x, y);
    surface.text(text, x, y);
}

/// Heights of labels, from the top down, that keep their distance from those before within reach, and stay inside.
fn apart(wanted: &[(f64, f64)], (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::new();
    let near = |a: usize, b: usize| (wanted[a].0 - wanted[b].0).abs() < 60.0;
    for (i, (_, y)) in wanted.iter().enumerate() {
        let above = (0..i).filter(|j| near(*j, i)).map(|j| placed[j] + LABEL);
        placed.push(above.fold(y.max(top), f64::max));
    }
    for i in (0..placed.len()).rev() {
        let below = (i + 1..placed.len())
            .filter(|j| near(*j, i))
            .map(|j| placed[j] - LABEL);
        placed[i] = below.fold(placed[i].min(bottom), f64::min);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_and_inside() {
        let wanted = [(300.0, 50.0), (300.0, 52.0), (300.0, 199.0), (300.0, 200.0)];
        let placed = apart(&wanted, (10.0, 200.0));
        assert_eq!(placed, [50.0, 64.0, 186.0, 200.0]);
        let elsewhere = [(100.0, 50.0), (300.0, 50.0)];
        assert_eq!(apart(&elsewhere, (10.0, 200.0)), [50.0, 50.0]);
    }
}
