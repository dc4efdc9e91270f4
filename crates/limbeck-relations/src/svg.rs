//! A drawing as SVG: plain shapes, no script, no style sheet, nothing to load, so that it opens everywhere.

use std::collections::BTreeMap;
use std::fmt::{Result, Write as _};

use crate::drawing::{Anchor, Drawing, Item, Words};
use crate::png::{base64, png, stored};
use crate::words::{escape, is_right_to_left};
use crate::{Pixels, Rgb};

/// Fonts that systems have; the last names bring the scripts that a system's own font may lack.
const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,'Noto Sans','Noto Sans CJK SC',sans-serif";

/// Cells at least as large as this are shapes. Smaller ones are a raster, which browsers show with sharp edges and other
/// programs do not.
const SHARP: f32 = 4.0;

/// A whole SVG document.
pub fn svg(drawing: &Drawing) -> String {
    let (width, height) = (drawing.width, drawing.height);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" font-family=\"{FONTS}\"><title>{}</title><desc>{}</desc>",
        escape(&drawing.title),
        escape(&drawing.description)
    );
    write_items(&mut text, &drawing.items);
    text.push_str("</svg>");
    text
}

/// Shapes as elements of an SVG document.
pub fn write_items(svg: &mut String, items: &[Item]) {
    for item in items {
        // Writing to a string cannot fail.
        let _ = match item {
            Item::Rect { place, fill } => {
                write!(svg, "<rect {} fill=\"{}\"/>", at(place), hex(*fill))
            }
            Item::Frame {
                place,
                stroke,
                width,
            } => write!(
                svg,
                "<rect {} fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>",
                at(place),
                hex(*stroke),
                short(*width)
            ),
            Item::Curve(curve) => {
                let points = curve.points();
                let [from, near, far, to] =
                    points.map(|(x, y)| format!("{} {}", short(x), short(y)));
                write!(
                    svg,
                    "<path d=\"M{from}C{near} {far} {to}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"{}\"/>",
                    hex(curve.stroke),
                    short(curve.width),
                    short(curve.opacity)
                )
            }
            Item::Text(words) => write_words(svg, words),
            Item::Image { place, pixels } if place[2] >= SHARP * pixels.columns as f32 => {
                write_cells(svg, place, pixels)
            }
            Item::Image { place, pixels } => write!(
                svg,
                "<image {} preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"{}\"/>",
                at(place),
                link(pixels)
            ),
        };
    }
}

/// Cells as lines as thick as a row is high, those of one colour together.
fn write_cells(svg: &mut String, [x, y, width, height]: &[f32; 4], pixels: &Pixels) -> Result {
    let columns = pixels.columns.max(1);
    let mut colours: BTreeMap<Rgb, String> = BTreeMap::new();
    for (row, cells) in pixels.cells.chunks(columns).enumerate() {
        let mut column = 0;
        for cells in cells.chunk_by(|a, b| a == b) {
            let line = colours.entry(cells[0]).or_default();
            write!(line, "M{column} {row}h{}", cells.len())?;
            column += cells.len();
        }
    }
    let (wide, high) = (width / columns as f32, height / pixels.rows().max(1) as f32);
    write!(
        svg,
        "<g transform=\"translate({} {}) scale({wide} {high})\" shape-rendering=\"crispEdges\">",
        short(*x),
        short(y + high / 2.0)
    )?;
    for (colour, lines) in &colours {
        write!(svg, "<path stroke=\"{}\" d=\"{lines}\"/>", hex(*colour))?;
    }
    svg.push_str("</g>");
    Ok(())
}

fn write_words(svg: &mut String, words: &Words) -> Result {
    let (x, y) = (short(words.at.0), short(words.at.1));
    match words.upwards {
        true => write!(svg, "<text transform=\"translate({x} {y}) rotate(-90)\"")?,
        false => write!(svg, "<text x=\"{x}\" y=\"{y}\"")?,
    }
    match words.anchor {
        Anchor::Start => {}
        Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
        Anchor::End => svg.push_str(" text-anchor=\"end\""),
    }
    if words.bold {
        svg.push_str(" font-weight=\"600\"");
    }
    if words.text.contains(is_right_to_left) {
        // A mark such as ## belongs where the word begins.
        svg.push_str(" unicode-bidi=\"plaintext\"");
    }
    let (size, fill) = (short(words.size), hex(words.fill));
    write!(
        svg,
        " font-size=\"{size}\" fill=\"{fill}\">{}</text>",
        escape(&words.text)
    )
}

fn at([x, y, width, height]: &[f32; 4]) -> String {
    let [x, y, width, height] = [x, y, width, height].map(|v| short(*v));
    format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
}

/// Two digits after the point, without zeros at the end.
fn short(value: f32) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn link(pixels: &Pixels) -> String {
    format!("data:image/png;base64,{}", base64(&png(pixels, stored)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_numbers_are_short() {
        let words = Words::new((1.0, 2.504), "<a>", 11.5, [1, 2, 255])
            .upwards()
            .bold()
            .anchored(Anchor::End);
        let mut text = String::new();
        write_items(&mut text, &[Item::Text(words)]);
        assert_eq!(
            text,
            "<text transform=\"translate(1 2.5) rotate(-90)\" text-anchor=\"end\" font-weight=\"600\" \
             font-size=\"11.5\" fill=\"#0102ff\">&lt;a&gt;</text>"
        );
    }

    #[test]
    fn large_cells_are_shapes_and_small_ones_a_raster() {
        let (a, b) = ([255, 0, 0], [0, 0, 255]);
        let image = |width: f32| {
            let pixels = Pixels {
                columns: 3,
                cells: vec![a, a, b, b, a, b],
            };
            let mut text = String::new();
            let place = [10.0, 20.0, width, 20.0];
            write_items(&mut text, &[Item::Image { place, pixels }]);
            text
        };
        assert_eq!(
            image(30.0),
            "<g transform=\"translate(10 25) scale(10 10)\" shape-rendering=\"crispEdges\">\
             <path stroke=\"#0000ff\" d=\"M2 0h1M0 1h1M2 1h1\"/><path stroke=\"#ff0000\" d=\"M0 0h2M1 1h1\"/></g>"
        );
        assert!(image(11.0).starts_with("<image x=\"10\""));
    }

    #[test]
    fn a_document_is_named() {
        let drawing = Drawing {
            width: 10.0,
            height: 5.0,
            title: "A & B".into(),
            ..Drawing::default()
        };
        let text = svg(&drawing);
        assert!(text.starts_with("<svg xmlns=") && text.contains("<title>A &amp; B</title>"));
    }
}
