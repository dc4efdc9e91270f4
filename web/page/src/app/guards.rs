//! What keeps a run from harm: a screen that stays on, a question before leaving, a word on hidden pages, files that are
//! dropped beside their place. And the service worker, which keeps the page itself.

use std::cell::RefCell;

use js_sys::{Promise, Reflect};
use leptos::ev;
use leptos::prelude::*;
use limbeck_protocol::RunState;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::VisibilityState;

use super::measure::percent;
use crate::engine::native;
use crate::live::{effect, memo};
use crate::state::{Connection, Page};

#[wasm_bindgen]
extern "C" {
    // web-sys has wake locks as unstable only
    type ScreenLock;
    #[wasm_bindgen(method)]
    fn release(this: &ScreenLock) -> Promise;
    #[wasm_bindgen(js_namespace = ["navigator", "wakeLock"], js_name = request, catch)]
    fn request_screen_lock(kind: &str) -> Result<Promise, JsValue>;
}

thread_local! {
    static SCREEN: RefCell<Option<ScreenLock>> = const { RefCell::new(None) };
}

/// Sets all of them up.
pub fn keep(page: Page) {
    keep_screen_on(page);
    ask_before_leaving(page);
    show_progress_in_title(page);
    keep_dropped_files_out();
    Effect::new(move |done: Option<bool>| {
        let settled = !matches!(page.connection.get(), Connection::Loading(..));
        let now = settled && native() == Some(false);
        if now && done != Some(true) {
            keep_offline_copy();
        }
        now || done == Some(true)
    });
}

fn keep_screen_on(page: Page) {
    effect(move || {
        page.state.track();
        hold_screen(page);
    });
    // a browser takes the lock away when the page is hidden
    let seen = window_event_listener_untyped("visibilitychange", move |_| {
        if is_visible() {
            hold_screen(page);
        }
    });
    on_cleanup(move || seen.remove());
}

fn is_visible() -> bool {
    document().visibility_state() == VisibilityState::Visible
}

/// A native run computes without this screen.
fn needs_screen(page: &Page) -> bool {
    page.state.get_untracked() == RunState::Running && native() == Some(false) && is_visible()
}

fn hold_screen(page: Page) {
    keep_lock(None);
    // a browser may have no such lock: that is no error
    if needs_screen(&page)
        && let Ok(promise) = request_screen_lock("screen")
    {
        leptos::task::spawn_local(async move {
            let Ok(lock) = JsFuture::from(promise).await else {
                return;
            };
            keep_lock(Some(lock.unchecked_into()));
            // it may come when the run rests already
            if !needs_screen(&page) {
                keep_lock(None);
            }
        });
    }
}

/// Keeps this lock and gives the one before it back.
fn keep_lock(lock: Option<ScreenLock>) {
    if let Some(before) = SCREEN.replace(lock) {
        ignore(before.release());
    }
}

fn ignore(promise: Promise) {
    leptos::task::spawn_local(async move {
        JsFuture::from(promise).await.ok();
    });
}

fn ask_before_leaving(page: Page) {
    let leaving = window_event_listener_untyped("beforeunload", move |event| {
        let busy = matches!(
            page.state.get_untracked(),
            RunState::Running | RunState::Preparing
        );
        if busy && native() == Some(false) {
            event.prevent_default();
            // older browsers ask only if this is set
            Reflect::set(&event, &"returnValue".into(), &true.into()).ok();
        }
    });
    on_cleanup(move || leaving.remove());
}

/// A file that misses its place would be opened by the browser in place of the page.
fn keep_dropped_files_out() {
    for kind in ["dragover", "drop"] {
        let missed = window_event_listener_untyped(kind, |event| event.prevent_default());
        on_cleanup(move || missed.remove());
    }
}

fn show_progress_in_title(page: Page) {
    let title = document().title();
    let at = memo(move || {
        let active = matches!(page.state.get(), RunState::Running | RunState::Paused);
        let at = page.with_run(|run| {
            let step = run.steps.last().map_or(0, |s| s.step);
            percent(step, run.info.recipe.steps)
        });
        at.filter(|_| active)
    });
    effect(move || match at.get() {
        Some(percent) => document().set_title(&format!("{percent} % limbeck")),
        None => document().set_title(&title),
    });
}

fn keep_offline_copy() {
    let navigator = window().navigator();
    let has = Reflect::has(&navigator, &"serviceWorker".into()).unwrap_or(false);
    if has && window().is_secure_context() {
        ignore(navigator.service_worker().register("./sw.js"));
    }
}

/// Whether a run was slowed because nobody saw the page.
#[derive(Clone, Copy)]
pub struct Visibility(RwSignal<bool>);

impl Visibility {
    /// Watches a page.
    pub fn watch(page: Page) -> Self {
        let slowed = RwSignal::new(false);
        let listener = window_event_listener(ev::visibilitychange, move |_| {
            let busy = page.state.get_untracked() == RunState::Running;
            if !is_visible() && busy && native() == Some(false) {
                slowed.set(true);
            }
        });
        on_cleanup(move || listener.remove());
        Self(slowed)
    }

    /// Whether to say so.
    pub fn slowed(self) -> bool {
        self.0.get()
    }

    /// It was read.
    pub fn dismiss(self) {
        self.0.set(false);
    }
}
