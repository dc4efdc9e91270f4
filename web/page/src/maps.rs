//! Relations of one sentence: teacher, student, difference, and what else can be seen in them.

mod carried;
mod choice;
mod choices;
mod export;
mod film;
mod front;
mod ink;
mod input;
mod paint;
mod panes;
mod picture;
mod pictures;
mod reading;
mod scrubber;
mod search;
mod seen;
mod source;
mod stage;
mod thumbs;
mod tour;
mod view;
mod whose;

use std::rc::Rc;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use limbeck_protocol::{Command, Control};

pub use self::front::{FrontPicture, Standing};
pub use self::tour::Tour;

use self::choice::Choice;
use self::choices::choices;
use self::export::Export;
use self::film::Film;
use self::input::Input;
use self::picture::{Files, Picture};
use self::pictures::{PICTURES, picture, switch};
use self::reading::{cell, grid_cell, id_of, option};
use self::seen::Seen;
use self::source::Source;
use self::stage::{Canvases, Scale, Stage};
use self::view::{View, view};
use self::whose::{Awaited, Whose, whose};
use crate::chart::surface;
use crate::data::inputs;
use crate::data::student::{self, Arrival};
use crate::keys::{focus, plain};
use crate::live::{effect, live, memo};
use crate::problems::Problems;
use crate::state::{Connection, Page, RunLog, page};
use crate::words::bytes;

/// Of a sentence that the recorded run's student reads.
const READ: &str = "The student that the recorded run ended with reads your sentence. Its weights are rounded to make the download small, which changes the KL by less than 0.001 nats. To see the run\u{2019}s own sentence again, empty the field and press Show, or play the run again.";
/// The part of an id of the maps' cells.
const CELL: &str = "cell";
/// In the place of a picture that needs more than a link carries.
const ONE_LAYER: &str = "The link holds only one layer of each model. To see this picture, start the run or open a saved one.";

/// Gives the page what its relations are looked at with: the view that the parameters of its address name, and the film of
/// the run. Says what of the view is not understood.
pub fn provide(page: Page, parameters: &[(String, String)]) -> Vec<String> {
    let view = View::new();
    let mut unknown = view.open(parameters, &PICTURES.map(|picture| picture.key));
    view.tour.update(|step| *step = step.map(tour::within));
    unknown.extend(carried::open(page, view));
    let on = parameters.iter().find(|(name, _)| name == "on");
    if view.whose.get_untracked() != Whose::Linked
        && let Some(awaited) = on.and_then(|(_, value)| Awaited::read(value))
    {
        view.put_aside(awaited);
    }
    provide_context(view);
    let film = StoredValue::new_local(Film::default());
    provide_context(film);
    // With every event, not when the page draws next: that may see the last of several alone.
    page.on_step(move |run| film.update_value(|film| film.take(run)));
    unknown
}

/// Relations of one sentence: teacher, student, difference, and what else can be seen in them.
#[component]
pub fn MapsPanel() -> impl IntoView {
    let (page, view) = (page(), view());
    let canvases = Canvases {
        host: NodeRef::new(),
        maps: NodeRef::new(),
        strip: NodeRef::new(),
    };
    let film = expect_context::<StoredValue<Film, LocalStorage>>();
    let stage = Rc::new(Stage::new(view, Source::new(page, view, film), canvases));
    let input = Rc::new(Input::new(page, view, stage.clone()));
    for redraw in stage.follow() {
        surface::watch(canvases.host, redraw);
    }
    lead_to(view, canvases.host);
    let some = memo(move || view.with_run(page, |run| run.from_student.is_some()) == Some(true));
    let key = view.of(|choice| choice.picture);
    let shown = move || picture(key.get());
    let alone = view.of(|choice| choice.alone && choice.head.is_some());
    let steps = stage.source.steps;
    // What a view holds must be able to cross threads; this handle can.
    let drawn = StoredValue::new_local(stage.clone());
    let of_pair = memo(move || shown().of_pair);
    let missing = memo(move || view.whose.get() == Whose::Linked && !of_pair.get());
    let body = move || match missing.get() {
        true => view! { <p class="hint">{ONE_LAYER}</p> }.into_any(),
        false => (shown().body)(view, drawn.get_value()),
    };
    view! {
        <section class="panel maps" id="relations" aria-labelledby="maps-title">
            <div class="maps-head">
                <h2 id="maps-title">
                    "Relations " <span class="hint">"of one sentence: how strongly each token (row) relates to each other token (column)"</span>
                </h2>
                {tour::begin(view)}
            </div>
            <Sentence />
            {absent(view)}
            <p class="hint" hidden=some>"Maps appear after the first evaluation of a run."</p>
            <div class="maps-body" hidden=live(move || !some.get()) node_ref=canvases.host>
                <div hidden=live(move || matches!(shown().files, Files::Sentences))>{choices(view)}</div>
                {switch(view)}
                {whose(view, of_pair)}
                <div hidden=live(move || !shown().of_head || alone.get())>{heads_strip(view, stage.clone(), input.clone(), canvases.strip)}</div>
                {heading(view, input.clone(), shown, alone)}
                <div hidden=live(move || !shown().panes)>{panes(view, stage, input, canvases.maps)}</div>
                {scrubber::scrubber(view, steps)}
                {live(body)}
                {in_words(view)}
                <Export />
            </div>
        </section>
    }
}

/// That a link shows something which is not here.
fn absent(view: View) -> impl IntoView {
    let words = move || {
        let awaited = view.awaited.get()?;
        view.seen.with(Option::is_some).then(|| {
            format!(
                "This link was made at step {} of a run that this browser does not have, on a different sentence from the one below. \
                 Its recipe is filled in: start the run, or open it if it was saved here, and the cell or tokens that the link locked are locked again.",
                crate::words::count(awaited.step)
            )
        })
    };
    view! { <p class="hint" id="maps-absent" aria-live="polite">{live(words)}</p> }
}

/// A link to a view leads to it, unless it names another place of the page.
fn lead_to(view: View, host: NodeRef<Div>) {
    let chosen = view
        .choice
        .with_untracked(|choice| *choice != Choice::default())
        || view.sentence.with_untracked(|text| !text.is_empty());
    let elsewhere = window().location().hash();
    let linked = chosen && elsewhere.is_ok_and(|place| place.is_empty() || carried::is_in(&place));
    effect(move || {
        if let Some(host) = host.get().filter(|_| linked) {
            let panel = host.closest("#relations").ok().flatten();
            panel.unwrap_or_else(|| (**host).clone()).scroll_into_view();
        }
    });
}

/// What is seen, in words, and the way back from one head alone.
fn heading(
    view: View,
    input: Rc<Input>,
    shown: impl Fn() -> &'static Picture + Copy + Send + Sync + 'static,
    alone: Memo<bool>,
) -> impl IntoView {
    let now = move || {
        view.seen.with(|seen| {
            let seen = seen.as_ref()?;
            Some((shown().title)(seen, view.head(seen)))
        })
    };
    let back = move || {
        view.choose(|choice| choice.alone = false);
        focus("maps-strip");
    };
    let (nearer, farther) = (input.clone(), input);
    let zoom = view.of(|choice| choice.zoom);
    let whole = move || {
        let small = view
            .seen
            .with(|seen| seen.as_ref().is_none_or(|seen| seen.size() <= 8));
        small || !shown().panes
    };
    view! {
        <div class="maps-now">
            <p id="maps-now">{live(now)}</p>
            <button type="button" class="button quiet" id="maps-all"
                hidden=live(move || !alone.get() || !shown().of_head)
                on:keydown=move |event| if event.key() == "Escape" { back() }
                on:click=move |_| back()>"Show all heads"</button>
            <span class="maps-zoom" hidden=live(whole)>
                <button type="button" class="button quiet" aria-label="Zoom out: show more tokens" disabled=live(move || zoom.get() == 1) on:click=move |_| farther.zoom(false)>"\u{2212}"</button>
                <button type="button" class="button quiet" aria-label="Zoom in: show fewer tokens" on:click=move |_| nearer.zoom(true)>"+"</button>
            </span>
        </div>
    }
}

/// A sentence of the reader's own.
#[component]
fn Sentence() -> impl IntoView {
    let (page, view, inputs) = (page(), view(), inputs());
    let text = view.sentence;
    let recorded = memo(move || {
        page.runs
            .with(|runs| runs.last().is_none_or(|run| run.recorded))
    });
    let has_engine = crate::engine::native().is_some();
    // Without an engine, and without a student of the recorded run, there is none that could read.
    let nobody = memo(move || {
        let lost = page
            .connection
            .with(|connection| matches!(connection, Connection::Impossible(_)));
        let reads = has_engine && !lost && student::sizes(inputs).is_some();
        recorded.get() && !(reads && crate::recorded::is_loaded())
    });
    let mistakes = move || page.problems_of(&Control::Sentence);
    let ask = move || {
        page.solved(&Control::Sentence);
        let text = text.get_untracked().trim().to_owned();
        match recorded.get_untracked() {
            false => crate::engine::send(Command::Sentence { text }, Vec::new()),
            true if text.is_empty() => crate::recorded::show_end(page),
            true => student::read(inputs, text),
        }
    };
    let write = move |event| {
        text.set(event_target_value(&event));
        let is_new = untrack(|| mistakes().is_empty());
        if recorded.get_untracked() && is_new && text.with_untracked(|text| !text.trim().is_empty())
        {
            student::fetch(inputs);
        }
    };
    let before_a_run = move || match (recorded.get(), nobody.get(), inputs.student.get()) {
        (false, ..) => None,
        (true, true, _) => Some("Start a run to see a sentence of your own.".to_owned()),
        (true, false, Arrival::Away) => student::sizes(inputs).map(student::offer),
        (true, false, Arrival::Coming(done, of)) => Some(format!(
            "Downloading the recorded run\u{2019}s student: {} of {} \u{2026}",
            bytes(done),
            bytes(of)
        )),
        (true, false, Arrival::Here) => Some(READ.to_owned()),
    };
    let show = move |event: ev::SubmitEvent| {
        event.prevent_default();
        view.free();
        if !matches!(view.whose.get_untracked(), Whose::Beside(_)) {
            view.show(Whose::Present);
        }
        ask();
    };
    // A run begins with a sentence of its own; one that was written or came with a link is asked for again.
    let trained = memo(move || {
        page.with_run(|run| run.from_teacher.is_some())
            .unwrap_or(false)
    });
    effect(move || {
        if trained.get() && text.with_untracked(|text| !text.trim().is_empty()) {
            ask();
        }
    });
    let cut = move || {
        let of = |run: &RunLog| run.from_teacher.as_ref().map(|t| t.left_out);
        let left_out = view.with_run(page, of).flatten();
        let left_out = left_out.filter(|left_out| *left_out > 0)?;
        Some(format!(
            "The sentence is too long to draw: its last {} tokens were left out.",
            crate::words::count(left_out)
        ))
    };
    view! {
        <form class="field maps-sentence" on:submit=show>
            <label for="maps-text">"Your own sentence"</label>
            <div class="row">
                <input id="maps-text" type="text" autocomplete="off" placeholder="leave empty for the run's held-out sentence"
                    prop:value=text
                    disabled=nobody
                    aria-invalid=live(move || (!mistakes().is_empty()).to_string())
                    aria-describedby="maps-text-mistakes"
                    on:input=write />
                <button type="submit" class="button" disabled=nobody>"Show"</button>
            </div>
            <p class="hint" id="maps-before" aria-live="polite">
                {live(move || if !nobody.get() || text.with(|text| text.trim().is_empty()) || view.whose.get() == Whose::Linked { "" } else { "These maps show the recorded run's own sentence. " })}
                {live(before_a_run)}
            </p>
            <p class="hint" aria-live="polite">{live(cut)}</p>
            <div id="maps-text-mistakes" role="alert">
                <Problems of=Control::Sentence />
            </div>
        </form>
    }
}

/// Small maps of all relation heads.
fn heads_strip(
    view: View,
    stage: Rc<Stage>,
    input: Rc<Input>,
    strip: NodeRef<Canvas>,
) -> impl IntoView {
    let (over, choose, alone) = (stage.clone(), stage.clone(), stage);
    let at = |stage: &Stage, event: &ev::MouseEvent| {
        stage.head_at(f64::from(event.offset_x()), f64::from(event.offset_y()))
    };
    let shown = move || {
        view.seen.with(|seen| {
            let seen = seen.as_ref()?;
            let head = view.choice.with(|choice| choice.head);
            let place = seen.order.iter().position(|one| Some(*one) == head);
            let (place, of) = (place.map_or(1, |place| place + 2), seen.order.len() + 1);
            Some((seen.title(seen.head(head)), place, of))
        })
    };
    let shown = memo(move || shown().unwrap_or_default());
    view! {
        <div class="maps-strip" id="maps-strip" tabindex="0" role="listbox" aria-orientation="horizontal" aria-activedescendant="maps-shown"
            aria-label="Small maps of all relation heads. Left and right change the head, up and down the teacher layer, Page Up and Page Down the pair; Enter shows the head alone, Escape returns to the mean."
            on:keydown=move |event| if let Some(key) = plain(&event).filter(|key| input.strip_key(key)) {
                event.prevent_default();
                event.stop_propagation();
                // The strip goes when a head is shown alone.
                if key == "Enter" { focus("maps-all") }
            }>
            <canvas node_ref=strip aria-hidden="true"
                on:pointermove=move |event: ev::PointerEvent| {
                    let head = at(&over, &event);
                    if view.preview.get_untracked() != head { view.preview.set(head) }
                }
                on:pointerleave=move |_| view.preview.set(None)
                on:click=move |event: ev::MouseEvent| if let Some(head) = at(&choose, &event) {
                    view.choose(|choice| choice.head = if choice.head == head { None } else { head });
                }
                on:dblclick=move |event: ev::MouseEvent| if let Some(head) = at(&alone, &event) {
                    view.preview.set(None);
                    view.choose(|choice| (choice.head, choice.alone) = (head, head.is_some()));
                }
            ></canvas>
            {option("maps-shown", shown, Signal::stored(true))}
        </div>
    }
}

/// Three maps with one crosshair.
fn panes(view: View, stage: Rc<Stage>, input: Rc<Input>, canvas: NodeRef<Canvas>) -> impl IntoView {
    let reading = stage.reading;
    let (moved, down, up, key) = (input.clone(), input.clone(), input.clone(), input.clone());
    let lost = input;
    let at = |event: &ev::PointerEvent| (f64::from(event.offset_x()), f64::from(event.offset_y()));
    let locked = view.of(|choice| choice.cell.is_some());
    let zoom = view.of(|choice| choice.zoom);
    let shown = memo(move || view.cell.get());
    let size = move || {
        view.seen
            .with(|seen| seen.as_ref().map_or(0, |seen| seen.size()))
    };
    let label = move || {
        let of = |seen: &Rc<Seen>| seen.reference;
        let reference = view
            .seen
            .with(|seen| seen.as_ref().map(of))
            .unwrap_or_default();
        format!(
            "{}, {} and difference. Arrow keys move between cells, Enter locks a cell, plus and minus zoom.",
            reference.title(),
            reference.student_word()
        )
    };
    view! {
        <div class="maps-canvas" id="maps-grid" tabindex="0" role="grid" aria-activedescendant=live(move || id_of(CELL, shown.get()))
            aria-label=live(label)
            aria-rowcount=live(move || size().to_string()) aria-colcount=live(move || size().to_string())
            on:keydown=move |event| if plain(&event).is_some_and(|pressed| key.cell_key(&pressed)) {
                event.prevent_default();
                event.stop_propagation();
            }>
            <canvas
                node_ref=canvas
                aria-hidden="true"
                class:zoomed=live(move || { zoom.get() > 1 })
                on:pointermove=move |event: ev::PointerEvent| { let (x, y) = at(&event); moved.point(x, y, event.buttons() == 1) }
                on:pointerdown=move |event: ev::PointerEvent| if event.button() == 0 {
                    let (x, y) = at(&event);
                    down.down(x, y);
                    let canvas: web_sys::Element = event_target(&event);
                    // Without it a drag ends at the edge of the map.
                    let _ = canvas.set_pointer_capture(event.pointer_id());
                }
                on:pointerup=move |event: ev::PointerEvent| if event.button() == 0 { let (x, y) = at(&event); up.up(x, y) }
                on:pointercancel=move |_| lost.cancel()
            ></canvas>
            {grid_cell(CELL, shown, reading, locked)}
        </div>
        {cell("maps-cell", reading, locked)}
        {scales(view, stage.scales)}
    }
}

/// What the colours mean.
fn scales(view: View, scales: RwSignal<[Scale; 2]>) -> impl IntoView {
    let less = move || {
        let reference = view
            .seen
            .with(|seen| seen.as_ref().map(|seen| seen.reference));
        let reference = reference.unwrap_or_default();
        format!("{} minus {}", reference.student_word(), reference.word())
    };
    let scale = move |i: usize, note: AnyView| {
        view! {
            <span class="maps-scale">
                <span class="number">{live(move || scales.with(|scales| scales[i].0.clone()))}</span>
                <i style:background=live(move || scales.with(|scales| scales[i].1.clone()))></i>
                <span class="number">{live(move || scales.with(|scales| scales[i].2.clone()))}</span>
                <span>{note}</span>
            </span>
        }
    };
    view! {
        <div class="maps-scales hint">
            {scale(0, "probability (square-root colour scale)".into_any())}
            {scale(1, less.into_any())}
        </div>
    }
}

/// The strongest relations of each token, in words.
fn in_words(view: View) -> impl IntoView {
    let open = RwSignal::new(false);
    let list = move || {
        if !open.get() {
            return Vec::new();
        }
        let lines = view.seen.with(|seen| {
            let seen = seen.as_ref()?;
            let head = seen.head(view.choice.with(|choice| choice.head));
            let line = |token| seen.strongest(head, token);
            Some((0..seen.size()).map(line).collect::<Vec<_>>())
        });
        lines.unwrap_or_default()
    };
    view! {
        <details class="maps-words" on:toggle=move |event| {
            let details: web_sys::Element = event_target(&event);
            open.set(details.has_attribute("open"));
        }>
            <summary>"In words: the three strongest relations of each token"</summary>
            <ul tabindex="0" aria-label="Strongest relations">{live(move || list().into_iter().map(|line| view! { <li><bdi>{line}</bdi></li> }).collect_view())}</ul>
        </details>
    }
}
