//! What can be taken from the view: pictures, numbers, a page, a link.

use js_sys::encode_uri_component;
use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_relations::{Anchor, Drawing, Item, Pixels, Rgb, Theme, View as Sheet, sheet, svg};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::layers::is_dark;
use super::seen::Seen;
use super::view::View;
use crate::data::blobs;
use crate::out::CopyButton;
use crate::state::{Page, page};

/// A PNG has this many pixels for each of the drawing: sharp in print.
const SCALE: f64 = 2.0;

/// Buttons for all of them.
#[component]
pub fn Keep() -> impl IntoView {
    let page = page();
    let none = Memo::new(move |_| page.view.seen.with(Option::is_none));
    let button = move |name: &'static str, save: fn(Page, &Seen) -> Result<(), String>| {
        let press = move |_| {
            let Some(seen) = page.view.seen.get_untracked() else {
                return;
            };
            if let Err(reason) = save(page, &seen) {
                let message = format!("the {name} could not be made ({reason})");
                page.problem(Control::Sentence, message);
            }
        };
        view! { <button type="button" class="button quiet" disabled=move || none.get() on:click=press>{name}</button> }
    };
    view! {
        <div class="row maps-keep" role="group" aria-label="Take this view away">
            <span class="hint">"Take this view away:"</span>
            {button("PNG", png)}
            {button("SVG", |page, seen| text(page, seen, "svg", &svg(&drawing(page, seen)?)))}
            {button("JSON", |page, seen| text(page, seen, "json", &json(seen)?))}
            {button("CSV", |page, seen| text(page, seen, "csv", &relations(seen)?.csv()))}
            {button("HTML", |page, seen| text(page, seen, "html", &html(page, seen)?))}
            <CopyButton label="Copy link to this view" text=move || link(page.view) disabled=none />
        </div>
    }
}

fn relations(seen: &Seen) -> Result<limbeck_relations::Relations, String> {
    seen.relations().map_err(|e| e.to_string())
}

fn json(seen: &Seen) -> Result<String, String> {
    serde_json::to_string(&relations(seen)?).map_err(|e| e.to_string())
}

fn head(page: Page) -> Sheet {
    Sheet {
        head: page.view.choice.with_untracked(|choice| choice.head),
    }
}

fn drawing(page: Page, seen: &Seen) -> Result<Drawing, String> {
    let theme = if is_dark() {
        Theme::dark()
    } else {
        Theme::light()
    };
    Ok(sheet(&relations(seen)?, head(page), &theme))
}

fn html(page: Page, seen: &Seen) -> Result<String, String> {
    let facts = [
        ("Teacher layer", seen.how.teacher_layer.to_string()),
        ("Student layer", seen.how.student_layer.to_string()),
        ("Relation heads", seen.how.heads.to_string()),
        ("Steps taken", seen.learnt.step.to_string()),
        ("Link", link(page.view)),
    ];
    let facts = facts.map(|(name, value)| (name.to_owned(), value));
    Ok(limbeck_relations::page(
        &relations(seen)?,
        head(page),
        &facts,
    ))
}

/// `relations-qk-layer-4-step-300.svg`.
fn name(seen: &Seen, ending: &str) -> String {
    format!(
        "relations-{}-layer-{}-step-{}.{ending}",
        seen.pair().replace('-', "").to_lowercase(),
        seen.how.teacher_layer,
        seen.learnt.step
    )
}

fn text(page: Page, seen: &Seen, ending: &str, text: &str) -> Result<(), String> {
    save(
        page,
        &name(seen, ending),
        &blobs::of_bytes(text.as_bytes())?,
    )
}

fn save(page: Page, name: &str, blob: &Blob) -> Result<(), String> {
    blobs::download(name, blob)?;
    page.announce(format!("{name} is saved"));
    Ok(())
}

/// This page with this view: the sentence, and what is chosen.
pub fn link(view: View) -> String {
    let location = window().location();
    let search = location.search().unwrap_or_default();
    let ours = ["see=", "sentence=", "tour=", "token="];
    let parts = search.trim_start_matches('?').split('&');
    let mut parts: Vec<String> = parts
        .filter(|part| !part.is_empty() && !ours.iter().any(|name| part.starts_with(name)))
        .map(str::to_owned)
        .collect();
    let cell = view.cell.get_untracked();
    let mut choice = view.choice.get_untracked();
    choice.cell.get_or_insert(cell);
    parts.push(format!("see={}", choice.text()));
    let sentence = view.sentence.with_untracked(|text| text.trim().to_owned());
    if !sentence.is_empty() {
        let sentence = encode_uri_component(&sentence).as_string();
        parts.push(format!("sentence={}", sentence.unwrap_or_default()));
    }
    let place = |of: Result<String, _>| of.unwrap_or_default();
    format!(
        "{}{}?{}#relations",
        place(location.origin()),
        place(location.pathname()),
        parts.join("&")
    )
}

fn png(page: Page, seen: &Seen) -> Result<(), String> {
    let canvas =
        painted(&drawing(page, seen)?).ok_or("this browser gives no canvas of that size")?;
    let name = name(seen, "png");
    let done = Closure::once_into_js(move |blob: Option<Blob>| {
        let saved = match blob {
            Some(blob) => save(page, &name, &blob),
            None => Err("the browser gave no picture".to_owned()),
        };
        if let Err(reason) = saved {
            page.problem(
                Control::Sentence,
                format!("{name} could not be made ({reason})"),
            );
        }
    });
    canvas
        .to_blob(done.unchecked_ref())
        .map_err(|e| blobs::reason(&e))
}

fn rgb([r, g, b]: Rgb) -> String {
    format!("rgb({r} {g} {b})")
}

/// A drawing on a canvas, in the fonts of this machine.
fn painted(drawing: &Drawing) -> Option<HtmlCanvasElement> {
    let (canvas, context) = canvas(
        (f64::from(drawing.width) * SCALE) as u32,
        (f64::from(drawing.height) * SCALE) as u32,
    )?;
    context.scale(SCALE, SCALE).ok()?;
    let theme = if is_dark() {
        Theme::dark()
    } else {
        Theme::light()
    };
    context.set_fill_style_str(&rgb(theme.page));
    context.fill_rect(
        0.0,
        0.0,
        f64::from(drawing.width),
        f64::from(drawing.height),
    );
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
    Some(canvas)
}

fn raster(pixels: &Pixels) -> Option<HtmlCanvasElement> {
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
