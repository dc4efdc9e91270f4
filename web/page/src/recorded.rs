//! A recorded run that plays while the engine loads.
//!
//! `data/recorded.json` is one JSON object:
//!
//! ```json
//! {"info": RunInfo, "frames": [{"at": 12.5, "event": Event, "blobs": ["base64", "..."]}, ...]}
//! ```
//!
//! - `info`: the `RunInfo` of the run as serde writes it (`recipe` is a TOML text), with `step` 0.
//! - `frames`: oldest first. `at` is in seconds since the first step began; only its proportions count, as the whole is
//!   played in [`PLAYED_IN`], its beginning slower than its end: see [`due`]. `event` is an `Event` as serde writes it. `steps`, `evaluated`,
//!   `sentence`, `similarity` and `taps` are played, others are passed over; several steps may share one `steps` event.
//! - `blobs`: for `sentence`, `similarity` and `taps` their blobs in the order of the protocol, as bytes of
//!   [`limbeck_relations::Quantised`] in rows of `width` numbers; then base64 (RFC 4648, with padding). Left out for others.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use limbeck_protocol::{Event, RunInfo};
use limbeck_recipe::Recipe;
use limbeck_relations::{Quantised, from_base64};
use serde::Deserialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Response;

use crate::live::live;
use crate::state::{Page, RunLog};

/// Where it is.
const ADDRESS: &str = "data/recorded.json";
/// Seconds that the whole run takes on the page.
const PLAYED_IN: f64 = 20.0;
/// Seconds that one frame of the screen may stand for; a tab that slept does not jump.
const LONGEST_FRAME: f64 = 0.1;

#[derive(Deserialize)]
struct Recording {
    info: RunInfo,
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    at: f64,
    event: Event,
    #[serde(default)]
    blobs: Vec<String>,
    /// H of the blobs, or N.
    #[serde(default)]
    width: usize,
}

impl Frame {
    /// The blobs as the protocol has them.
    fn blobs(&self) -> Option<Vec<Uint8Array>> {
        let blobs = self.blobs.iter();
        blobs.map(|text| floats(text, self.width)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Off,
    Playing,
    Paused,
    Ended,
}

/// The one player of the page.
struct Deck {
    mode: ArcRwSignal<Mode>,
    loaded: ArcRwSignal<bool>,
    tape: RefCell<Option<Rc<Recording>>>,
    /// Part of the time that the whole is played in.
    position: Cell<f64>,
    next: Cell<usize>,
    drawn: Cell<f64>,
}

thread_local! {
    static DECK: Rc<Deck> = Rc::new(Deck {
        mode: ArcRwSignal::new(Mode::Off),
        loaded: ArcRwSignal::new(false),
        tape: RefCell::new(None),
        position: Cell::new(0.0),
        next: Cell::new(0),
        drawn: Cell::new(0.0),
    });
}

/// Plays the recorded run until a real one begins. A page without a recording, or with another run by then, stays as it is.
pub fn play(page: Page) {
    spawn_local(async move {
        let Some(recording) = load().await else {
            return;
        };
        let deck = DECK.with(Rc::clone);
        *deck.tape.borrow_mut() = Some(Rc::new(recording));
        deck.loaded.set(true);
        if page.runs.with_untracked(Vec::is_empty) {
            deck.begin(page);
            if calm() {
                deck.advance(page, f64::INFINITY);
            } else {
                deck.run(page);
            }
        }
    });
}

/// Whether the reader wants no motion.
fn calm() -> bool {
    let query = window().match_media("(prefers-reduced-motion: reduce)");
    query.ok().flatten().is_some_and(|query| query.matches())
}

async fn load() -> Option<Recording> {
    let response = JsFuture::from(window().fetch_with_str(ADDRESS))
        .await
        .ok()?;
    let response: Response = response.dyn_into().ok()?;
    if !response.ok() {
        return None;
    }
    let text = JsFuture::from(response.text().ok()?)
        .await
        .ok()?
        .as_string()?;
    let mut recording: Recording = serde_json::from_str(&text).ok()?;
    recording.info.step = 0;
    Some(recording)
}

impl Deck {
    /// Puts an empty recorded run on the page and winds back.
    fn begin(&self, page: Page) {
        if let Some(tape) = self.tape.borrow().clone() {
            page.runs.update(|runs| runs.retain(|run| !run.recorded));
            page.begin(tape.info.clone(), true);
        }
        self.position.set(0.0);
        self.next.set(0);
    }

    fn run(self: &Rc<Self>, page: Page) {
        self.mode.set(Mode::Playing);
        self.drawn.set(now());
        self.clone().wait(page);
    }

    fn wait(self: Rc<Self>, page: Page) {
        request_animation_frame(move || {
            if self.mode.get_untracked() != Mode::Playing {
                return;
            }
            let now = now();
            let passed = (now - self.drawn.replace(now)).clamp(0.0, LONGEST_FRAME);
            self.advance(page, passed);
            if self.mode.get_untracked() == Mode::Playing {
                self.wait(page);
            }
        });
    }

    /// Plays as many seconds of the page's time.
    fn advance(&self, page: Page, seconds: f64) {
        let tape = self.tape.borrow().clone();
        let Some(tape) = tape.filter(|_| untrack(|| is_shown(page))) else {
            self.mode.set(Mode::Off);
            return;
        };
        let total = tape.frames.last().map_or(0.0, |frame| frame.at);
        self.position.set(self.position.get() + seconds / PLAYED_IN);
        let until = due(self.position.get(), total);
        let rest = &tape.frames[self.next.get()..];
        let due = rest.partition_point(|frame| frame.at <= until);
        show(page, &rest[..due]);
        self.next.set(self.next.get() + due);
        if due == rest.len() {
            self.mode.set(Mode::Ended);
        }
    }

    /// What the button does.
    fn press(self: &Rc<Self>, page: Page) {
        match self.mode.get_untracked() {
            Mode::Playing => self.mode.set(Mode::Paused),
            Mode::Paused => self.run(page),
            Mode::Ended => {
                self.begin(page);
                self.run(page);
            }
            Mode::Off => {}
        }
    }
}

/// Seconds of the recording that are played after a part of the time. A student learns most in its first steps: at an even
/// pace they would be over before anybody has looked.
fn due(position: f64, total: f64) -> f64 {
    total * position * position
}

/// Seconds.
fn now() -> f64 {
    window()
        .performance()
        .map_or(0.0, |clock| clock.now() / 1000.0)
}

/// Steps that are due together go to the page together: it draws once.
fn show(page: Page, frames: &[Frame]) {
    let mut together = Vec::new();
    for frame in frames {
        match &frame.event {
            Event::Steps { steps } => together.extend(steps.iter().cloned()),
            Event::Evaluated { .. } => page.apply(frame.event.clone(), Vec::new()),
            Event::Sentence { .. } | Event::Similarity { .. } | Event::Taps { .. } => {
                if let Some(blobs) = frame.blobs() {
                    page.apply(frame.event.clone(), blobs);
                }
            }
            _ => {}
        }
    }
    if !together.is_empty() {
        page.apply(Event::Steps { steps: together }, Vec::new());
    }
}

/// The f32 of quantised taps, as bytes.
fn floats(base64: &str, width: usize) -> Option<Uint8Array> {
    let bytes = from_base64(base64)?;
    let values = Quantised::from_bytes(&bytes, width)?.values();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Some(Uint8Array::from(bytes.as_slice()))
}

/// The recipe of the recorded run, once that is loaded.
pub fn recipe() -> Option<Recipe> {
    let tape = DECK.with(|deck| deck.tape.borrow().clone())?;
    Some(tape.info.recipe.clone())
}

/// Shows the recorded run as it is at its end, on its own sentence.
pub fn show_end(page: Page) {
    let deck = DECK.with(Rc::clone);
    deck.begin(page);
    deck.advance(page, f64::INFINITY);
}

/// Plays what is left of the recorded run at once, if it is shown: its student reads another sentence now.
pub fn finish(page: Page) {
    let deck = DECK.with(Rc::clone);
    if matches!(deck.mode.get_untracked(), Mode::Playing | Mode::Paused) {
        deck.advance(page, f64::INFINITY);
    }
}

/// Whether there is a recording, shown or not; reactive.
pub fn is_loaded() -> bool {
    DECK.with(|deck| deck.loaded.clone()).get()
}

/// The recorded run at its end, without its curves; `watch` sees it whenever its student was seen.
pub fn whole(mut watch: impl FnMut(&RunLog)) -> Option<RunLog> {
    let tape = DECK.with(|deck| deck.tape.borrow().clone())?;
    let mut run = RunLog::new(tape.info.clone(), true);
    for frame in &tape.frames {
        let Some(blobs) = frame.blobs() else { continue };
        // What does not fit is said when it is played.
        if run.see(frame.event.clone(), &blobs) == Ok(true) {
            watch(&run);
        }
    }
    Some(run)
}

/// Whether a recording is on the page; reactive.
pub fn is_shown(page: Page) -> bool {
    page.runs
        .with(|runs| runs.last().is_some_and(|run| run.recorded))
}

/// Pauses the recorded run, or plays it on or again.
#[component]
pub fn Player() -> impl IntoView {
    let page = crate::state::page();
    let mode = DECK.with(|deck| deck.mode.clone());
    let label = move || match mode.get() {
        Mode::Paused => "Play",
        Mode::Ended | Mode::Off => "Play again",
        Mode::Playing => "Pause",
    };
    view! {
        <button type="button" class="button quiet" id="player" class:unseen=live(move || !is_shown(page))
            on:click=move |_| DECK.with(Rc::clone).press(page)>{live(label)}</button>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_are_played_slowly() {
        assert_eq!(
            [0.0, 0.5, 1.0].map(|part| due(part, 80.0)),
            [0.0, 20.0, 80.0]
        );
        assert!(due(f64::INFINITY, 80.0) > 80.0);
    }

    #[test]
    fn a_recording_is_read() {
        let recipe = limbeck_recipe::Recipe::default();
        let text = serde_json::json!({
            "info": {
                "recipe": recipe, "pairs": ["Q-Q"], "parts": ["Q-Q"], "relation_heads": 8, "teacher_layer": 6, "device": "CPU",
                "on_gpu": false, "self_test_failure": null, "step": 0, "parameters": 10,
            },
            "frames": [
                {"at": 0.5, "event": {"steps": {"steps": []}}},
                {"at": 1.0, "event": {"taps": {"step": 1, "attention_heads": 1}}, "blobs": ["/w==", "gA=="], "width": 8},
            ],
        });
        let recording: Recording =
            serde_json::from_value(text).expect("it has the format of the doc comment");
        assert_eq!(recording.info.relation_heads, 8);
        assert_eq!(recording.frames[1].blobs.len(), 2);
        assert!(recording.frames[0].blobs.is_empty());
        assert_eq!(
            (recording.frames[0].width, recording.frames[1].width),
            (0, 8)
        );
    }
}
