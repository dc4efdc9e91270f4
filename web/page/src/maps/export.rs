//! What can be taken from the view: pictures, numbers, a page, a link.

use js_sys::encode_uri_component;
use leptos::prelude::*;
use limbeck_protocol::Control;
use limbeck_relations::{Drawing, Relations, Similarity, sheet, svg};
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::Blob;

use super::carried::{self, Load};
use super::paint::{painted, theme};
use super::picture::Files;
use super::pictures::{picture, sentences_of};
use super::seen::Seen;
use super::view::{View, view};
use super::whose::Awaited;
use crate::data::blobs;
use crate::form::replaced;
use crate::live::{live, memo};
use crate::out::CopyButton;
use crate::state::{Page, RunLog, page};

/// A PNG has this many pixels for each of the drawing: sharp in print.
const SCALE: f64 = 2.0;

/// Buttons for all of them.
#[component]
pub fn Export() -> impl IntoView {
    let (page, view) = (page(), view());
    let none = memo(move || view.seen.with(Option::is_none));
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
        view! { <button type="button" class="button quiet" disabled=none on:click=press>{name}</button> }
    };
    let shown = view.of(|choice| choice.picture);
    let files = move || picture(shown.get()).files;
    let no_picture = move || matches!(files(), Files::Numbers);
    let no_page = move || !matches!(files(), Files::Relations(_));
    let load = move || {
        let (seen, picture) = (view.seen.get()?, picture(shown.get()));
        let link = link(page, view, &seen).len();
        Some(Load::of(&seen, picture.of_pair).words(link, seen.how.pair))
    };
    view! {
        <div class="row maps-export" role="group" aria-label="Export this view">
            <span class="hint" aria-hidden="true">"Export this view:"</span>
            <span hidden=live(no_picture)>
                {button("PNG", png)}
                {button("SVG", |page, view, seen| text(page, view, seen, "svg", &svg(&drawing(view, seen)?)))}
                <span hidden=live(no_page)>{button("HTML", |page, view, seen| text(page, view, seen, "html", &html(page, view, seen)?))}</span>
            </span>
            {button("JSON", |page, view, seen| text(page, view, seen, "json", &json(view, seen)?))}
            {button("CSV", |page, view, seen| text(page, view, seen, "csv", &csv(view, seen)?))}
            <CopyButton label="Copy link to this view" text=move || whole_link(page, view) disabled=none />
            <span class="hint" id="maps-link">{live(load)}</span>
            <span class="hint" hidden=live(move || !no_picture())>"JSON and CSV hold the maps of this pair. You can also save Maps, Lines, Film and Sentences as images."</span>
        </div>
    }
}

fn relations(seen: &Seen) -> Result<Relations, String> {
    seen.relations().map_err(|e| e.to_string())
}

/// What files hold of the picture that is chosen.
fn files(view: View) -> Files {
    view.choice
        .with_untracked(|choice| picture(choice.picture).files)
}

fn similarity(seen: &Seen) -> Result<&Similarity, String> {
    let similarity = sentences_of(seen).map(AsRef::as_ref);
    similarity.ok_or_else(|| "this run holds no sentences".to_owned())
}

fn json(view: View, seen: &Seen) -> Result<String, String> {
    fn of(value: &impl Serialize) -> Result<String, String> {
        serde_json::to_string(value).map_err(|e| e.to_string())
    }
    match files(view) {
        Files::Sentences => of(similarity(seen)?),
        _ => of(&relations(seen)?),
    }
}

fn csv(view: View, seen: &Seen) -> Result<String, String> {
    Ok(match files(view) {
        Files::Sentences => similarity(seen)?.csv(),
        _ => relations(seen)?.csv(),
    })
}

/// What an image or a page of relations shows. The buttons are hidden where there is nothing.
fn shown(view: View, seen: &Seen) -> Result<limbeck_relations::View, String> {
    match files(view) {
        Files::Relations(sheet) => Ok(view.choice.with_untracked(|choice| sheet(choice, seen))),
        _ => Err("this picture has no such file".to_owned()),
    }
}

fn drawing(view: View, seen: &Seen) -> Result<Drawing, String> {
    match files(view) {
        Files::Sentences => Ok(similarity(seen)?.sheet(view.locked(), &theme())),
        _ => Ok(sheet(&relations(seen)?, &shown(view, seen)?, &theme())),
    }
}

fn html(page: Page, view: View, seen: &Seen) -> Result<String, String> {
    let facts = [
        ("Layers", seen.layers()),
        ("Relation heads", seen.how.heads.to_string()),
        ("Link", link(page, view, seen)),
    ];
    let facts = facts.map(|(name, value)| (name.to_owned(), value));
    Ok(limbeck_relations::page(
        &relations(seen)?,
        &shown(view, seen)?,
        &facts,
    ))
}

/// `relations-qk-layer-4-step-300.svg`, or `sentences-step-300.svg`.
fn name(view: View, seen: &Seen, ending: &str) -> String {
    if let Files::Sentences = files(view) {
        return format!("sentences-step-{}.{ending}", seen.from_student.step);
    }
    format!(
        "relations-{}-layer-{}-step-{}.{ending}",
        seen.how.pair.key(),
        seen.how.teacher_layer,
        seen.from_student.step
    )
}

fn text(page: Page, view: View, seen: &Seen, ending: &str, text: &str) -> Result<(), String> {
    save(
        page,
        &name(view, seen, ending),
        &blobs::of_bytes(text.as_bytes())?,
    )
}

fn save(page: Page, name: &str, blob: &Blob) -> Result<(), String> {
    blobs::download(name, blob)?;
    page.announce(format!("{name} saved"));
    Ok(())
}

/// The link to this view with what it carries, if that is not too large.
fn whole_link(page: Page, view: View) -> String {
    let Some(seen) = view.seen.get_untracked() else {
        return String::new();
    };
    let picture = view.choice.with_untracked(|choice| picture(choice.picture));
    let load = Load::of(&seen, picture.of_pair);
    let hash = |run: &RunLog| carried::hash(&seen, run, &load);
    let hash = untrack(|| view.with_run(page, hash)).flatten();
    let link = link(page, view, &seen);
    match hash {
        Some(hash) => link.replace("#relations", &hash),
        None => link,
    }
}

/// This page with this view: the recipe of its run, the sentence, and what is chosen, written out.
fn link(page: Page, view: View, seen: &Seen) -> String {
    let location = window().location();
    let search = location.search().unwrap_or_default();
    let of_run = |run: &RunLog| replaced(&search, &run.info.recipe, page.preset.get_untracked());
    let search = untrack(|| view.with_run(page, of_run)).unwrap_or_default();
    let ours = ["see=", "sentence=", "on=", "tour=", "token="];
    let parts = search.trim_start_matches('?').split('&');
    let mut parts: Vec<String> = parts
        .filter(|part| !part.is_empty() && !ours.iter().any(|name| part.starts_with(name)))
        .map(str::to_owned)
        .collect();
    let cell = view.cell.get_untracked();
    let mut choice = view.choice.get_untracked();
    choice.cell.get_or_insert(cell);
    choice.pair = Some(seen.how.pair);
    choice.heads = Some(seen.how.heads);
    choice.teacher_layer = Some(seen.how.teacher_layer);
    choice.student_layer = Some(seen.how.student_layer);
    parts.push(format!("see={}", choice.text()));
    let on = Awaited::text(&seen.from_teacher.tokens, seen.from_student.step);
    parts.push(format!("on={on}"));
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
    let name = name(view, seen, "png");
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
