//! Paints the drawings that all our pictures come from on a canvas, in the colours of the page.

use leptos::prelude::*;
use limbeck_relations::{Anchor, Drawing, Item, Pixels, Rgb, Theme};
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

/// The colours of a drawing on the page as it is now.
pub fn theme() -> Theme {
    match is_dark() {
        true => Theme::dark(),
        false => Theme::light(),
    }
}

/// Whether the page is dark.
fn is_dark() -> bool {
    let root = document().document_element();
    let theme = root.and_then(|root| root.get_attribute("data-theme"));
    match theme.as_deref() {
        Some("dark") => true,
        Some("light") => false,
        _ => window()
            .match_media("(prefers-color-scheme: dark)")
            .ok()
            .flatten()
            .is_some_and(|query| query.matches()),
    }
}

fn rgb([r, g, b]: Rgb) -> String {
    format!("rgb({r} {g} {b})")
}

/// A drawing on a canvas of its own, with `scale` pixels for each of the drawing.
pub fn painted(drawing: &Drawing, scale: f64) -> Option<HtmlCanvasElement> {
    let pixels = |side: f32| (f64::from(side) * scale) as u32;
    let (canvas, context) = canvas(pixels(drawing.width), pixels(drawing.height))?;
    context.scale(scale, scale).ok()?;
    context.set_fill_style_str(&rgb(theme().page));
    context.fill_rect(
        0.0,
        0.0,
        f64::from(drawing.width),
        f64::from(drawing.height),
    );
    paint(&context, drawing)?;
    Some(canvas)
}

/// Paints a drawing, in the fonts of this machine; none where the browser refuses a shape.
pub fn paint(context: &CanvasRenderingContext2d, drawing: &Drawing) -> Option<()> {
    context.set_image_smoothing_enabled(false);
    for item in &drawing.items {
        match item {
            Item::Rect { place, fill } => {
                let [x, y, width, height] = place.map(f64::from);
                context.set_fill_style_str(&rgb(*fill));
                context.fill_rect(x, y, width, height);
            }
            Item::Frame {
                place,
                stroke,
                width: line,
            } => {
                let [x, y, width, height] = place.map(f64::from);
                context.set_stroke_style_str(&rgb(*stroke));
                context.set_line_width(f64::from(*line));
                context.stroke_rect(x, y, width, height);
            }
            Item::Curve(curve) => {
                let point = |(x, y): (f32, f32)| (f64::from(x), f64::from(y));
                let [from, near, far, to] = curve.points().map(point);
                context.set_stroke_style_str(&rgb(curve.stroke));
                context.set_line_width(f64::from(curve.width));
                context.set_global_alpha(f64::from(curve.opacity));
                context.begin_path();
                context.move_to(from.0, from.1);
                context.bezier_curve_to(near.0, near.1, far.0, far.1, to.0, to.1);
                context.stroke();
                context.set_global_alpha(1.0);
            }
            Item::Text(words) => {
                let weight = if words.bold { 600 } else { 400 };
                context.set_font(&format!("{weight} {}px system-ui, sans-serif", words.size));
                context.set_fill_style_str(&rgb(words.fill));
                context.set_text_align(match words.anchor {
                    Anchor::Start => "left",
                    Anchor::Middle => "center",
                    Anchor::End => "right",
                });
                context.save();
                let (x, y) = words.at;
                context.translate(f64::from(x), f64::from(y)).ok()?;
                if words.upwards {
                    context.rotate(-std::f64::consts::FRAC_PI_2).ok()?;
                }
                context.fill_text(&words.text, 0.0, 0.0).ok()?;
                context.restore();
            }
            Item::Image { place, pixels } => {
                let [x, y, width, height] = place.map(f64::from);
                let image = raster(pixels)?;
                context
                    .draw_image_with_html_canvas_element_and_dw_and_dh(&image, x, y, width, height)
                    .ok()?;
            }
        }
    }
    Some(())
}

/// Cells as a picture of one pixel each.
pub fn raster(pixels: &Pixels) -> Option<HtmlCanvasElement> {
    let (columns, rows) = (pixels.columns as u32, pixels.rows() as u32);
    let (canvas, context) = canvas(columns, rows)?;
    let bytes: Vec<u8> = pixels
        .cells
        .iter()
        .flat_map(|[r, g, b]| [*r, *g, *b, 255])
        .collect();
    let data = ImageData::new_with_u8_clamped_array(Clamped(&bytes), columns).ok()?;
    context.put_image_data(&data, 0.0, 0.0).ok()?;
    Some(canvas)
}

fn canvas(width: u32, height: u32) -> Option<(HtmlCanvasElement, CanvasRenderingContext2d)> {
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width);
    canvas.set_height(height);
    let context = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    Some((canvas, context))
}
