//! What can be taken from the view: pictures, numbers, a page, a link.

use js_sys::encode_uri_component;
use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_relations::{Drawing, sheet, svg};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::Blob;

use super::paint::{painted, theme};
use super::pictures::picture;
use super::seen::Seen;
use super::view::{View, view};
use crate::data::blobs;
use crate::out::CopyButton;
use crate::state::{Page, page};

/// A PNG has this many pixels for each of the drawing: sharp in print.
const SCALE: f64 = 2.0;

/// Buttons for all of them.
#[component]
pub fn Export() -> impl IntoView {
    let (page, view) = (page(), view());
    let none = Memo::new(move |_| view.seen.with(Option::is_none));
    let button = move |name: &'static str, save: fn(Page, View, &Seen) -> Result<(), String>| {
        let press = move |_| {
            let Some(seen) = view.seen.get_untracked() else {
                return;
            };
            if let Err(reason) = save(page, view, &seen) {
                let message = format!("could not create the {name} file ({reason})");
                page.problem(Control::Sentence, message);
            }
        };
        view! { <button type="button" class="button quiet" disabled=move || none.get() on:click=press>{name}</button> }
    };
    let shown = view.of(|choice| choice.picture);
    let no_picture = move || picture(shown.get()).sheet.is_none();
    view! {
        <div class="row maps-export" role="group" aria-label="Export this view">
            <span class="hint">"Export this view:"</span>
            <span hidden=no_picture>
                {button("PNG", png)}
                {button("SVG", |page, view, seen| text(page, seen, "svg", &svg(&drawing(view, seen)?)))}
                {button("HTML", |page, view, seen| text(page, seen, "html", &html(view, seen)?))}
            </span>
            {button("JSON", |page, _, seen| text(page, seen, "json", &json(seen)?))}
            {button("CSV", |page, _, seen| text(page, seen, "csv", &relations(seen)?.csv()))}
            <CopyButton label="Copy link to this view" text=move || link(view) disabled=none />
            <span class="hint" hidden=move || !no_picture()>"JSON and CSV contain the maps of this pair. Image files are made of maps, lines and the film."</span>
        </div>
    }
}

fn relations(seen: &Seen) -> Result<limbeck_relations::Relations, String> {
    seen.relations().map_err(|e| e.to_string())
}

fn json(seen: &Seen) -> Result<String, String> {
    serde_json::to_string(&relations(seen)?).map_err(|e| e.to_string())
}

/// What a file shows of the picture that is chosen. The buttons are hidden where there is nothing.
fn shown(view: View, seen: &Seen) -> Result<limbeck_relations::View, String> {
    let shown = view.choice.with_untracked(|choice| {
        let sheet = picture(choice.picture).sheet?;
        Some(sheet(choice, seen))
    });
    shown.ok_or_else(|| "this picture has no image file".to_owned())
}

fn drawing(view: View, seen: &Seen) -> Result<Drawing, String> {
    Ok(sheet(&relations(seen)?, &shown(view, seen)?, &theme()))
}

fn html(view: View, seen: &Seen) -> Result<String, String> {
    let facts = [
        ("Layers", seen.layers()),
        ("Relation heads", seen.how.heads.to_string()),
        ("Link", link(view)),
    ];
    let facts = facts.map(|(name, value)| (name.to_owned(), value));
    Ok(limbeck_relations::page(
        &relations(seen)?,
        &shown(view, seen)?,
        &facts,
    ))
}

/// `relations-qk-layer-4-step-300.svg`.
fn name(seen: &Seen, ending: &str) -> String {
    format!(
        "relations-{}-layer-{}-step-{}.{ending}",
        seen.how.pair.key(),
        seen.how.teacher_layer,
        seen.from_student.step
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
    page.announce(format!("{name} saved"));
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

fn png(page: Page, view: View, seen: &Seen) -> Result<(), String> {
    let canvas = painted(&drawing(view, seen)?, SCALE)
        .ok_or("this browser cannot create a canvas of that size")?;
    let name = name(seen, "png");
    let done = Closure::once_into_js(move |blob: Option<Blob>| {
        let saved = match blob {
            Some(blob) => save(page, &name, &blob),
            None => Err("the browser returned no image".to_owned()),
        };
        if let Err(reason) = saved {
            page.problem(
                Control::Sentence,
                format!("could not create {name} ({reason})"),
            );
        }
    });
    canvas
        .to_blob(done.unchecked_ref())
        .map_err(|e| blobs::reason(&e))
}
