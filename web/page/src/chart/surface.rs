//! Canvases: sharp on every screen, in the colours of the page, redrawn when something changed: at once where someone can see
//! it, when nothing changes any more where it is out of sight, and before the page is printed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use js_sys::Array;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{
    CanvasRenderingContext2d, Element, HtmlCanvasElement, IntersectionObserver,
    IntersectionObserverEntry, MediaQueryList, MutationObserver, MutationObserverInit,
    ResizeObserver,
};

use crate::live::effect;

/// A canvas to draw on, in CSS pixels.
pub struct Surface {
    /// Draw here; it is empty.
    pub context: CanvasRenderingContext2d,
    /// CSS pixels.
    pub width: f64,
}

impl Surface {
    /// The canvas as wide as its parent, of this height, and empty; none while it has no width.
    pub fn of(canvas: &HtmlCanvasElement, height: f64) -> Option<Self> {
        let width = f64::from(canvas.parent_element()?.client_width());
        let ratio = window().device_pixel_ratio().max(1.0);
        let context = canvas.get_context("2d").ok()??;
        let context: CanvasRenderingContext2d = context.dyn_into().ok()?;
        if width < 1.0 {
            return None;
        }
        let size = (
            (width * ratio).round() as u32,
            (height * ratio).round() as u32,
        );
        if (canvas.width(), canvas.height()) != size {
            canvas.set_width(size.0);
            canvas.set_height(size.1);
            let style = web_sys::HtmlElement::style(canvas);
            style.set_property("height", &format!("{height}px")).ok()?;
        }
        context
            .set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0)
            .ok()?;
        context.clear_rect(0.0, 0.0, width, height);
        context.set_global_alpha(1.0);
        Some(Self { context, width })
    }

    /// Width of a text in the present font.
    pub fn measure(&self, text: &str) -> f64 {
        self.context
            .measure_text(text)
            .map_or(0.0, |metrics| metrics.width())
    }

    /// Writes a text; its anchor and colour are as set before.
    pub fn text(&self, text: &str, x: f64, y: f64) {
        // The only error is a position that is not a number; the spec draws nothing then.
        let _ = self.context.fill_text(text, x, y);
    }
}

/// The value of a CSS variable at an element.
pub fn css(element: &Element, names: &[&str]) -> Vec<String> {
    let style = window().get_computed_style(element).ok().flatten();
    let value = |name: &&str| {
        let value = style
            .as_ref()
            .and_then(|style| style.get_property_value(name).ok());
        value.unwrap_or_default().trim().to_owned()
    };
    names.iter().map(value).collect()
}

/// How long nothing must change before what is out of sight is drawn: many canvases in one task, which a run is not to wait for.
const LATE: Duration = Duration::from_secs(2);

/// Draws at the next frame of the screen, once for any number of requests; out of sight, when nothing has changed for two seconds.
#[derive(Clone)]
pub struct Redraw(Rc<State>);

thread_local! {
    /// Each has a frame of its own: all canvases in one would block the page.
    static WAITING: RefCell<VecDeque<Redraw>> = const { RefCell::new(VecDeque::new()) };
}

fn draw_one() {
    let Some(first) = WAITING.with_borrow(|waiting| waiting.front().cloned()) else {
        return;
    };
    first.0.scheduled.set(false);
    first.now();
    let are_more = WAITING.with_borrow_mut(|waiting| {
        waiting.pop_front();
        !waiting.is_empty()
    });
    if are_more {
        request_animation_frame(draw_one);
    }
}

struct State {
    draw: Box<dyn Fn()>,
    wanted: Cell<bool>,
    scheduled: Cell<bool>,
    /// Whether it is to be drawn out of sight.
    late: Cell<bool>,
    /// Whether something has changed since that was last put off.
    newer: Cell<bool>,
    visible: Cell<bool>,
    /// Whether what it draws on is there.
    live: Cell<bool>,
}

impl Redraw {
    /// Draws with this.
    pub fn new(draw: impl Fn() + 'static) -> Self {
        Self(Rc::new(State {
            draw: Box::new(draw),
            wanted: Cell::new(false),
            scheduled: Cell::new(false),
            late: Cell::new(false),
            newer: Cell::new(false),
            live: Cell::new(true),
            visible: Cell::new(false),
        }))
    }

    /// Something changed.
    pub fn request(&self) {
        self.0.wanted.set(true);
        if !self.0.visible.get() {
            self.request_late();
            return;
        }
        if self.0.scheduled.replace(true) {
            return;
        }
        let is_first = WAITING.with_borrow_mut(|waiting| {
            waiting.push_back(self.clone());
            waiting.len() == 1
        });
        if is_first {
            request_animation_frame(draw_one);
        }
    }

    fn request_late(&self) {
        self.0.newer.set(true);
        if !self.0.late.replace(true) {
            self.put_off();
        }
    }

    fn put_off(&self) {
        self.0.newer.set(false);
        let this = self.clone();
        let when_due = move || match this.0.newer.get() {
            true => this.put_off(),
            false => {
                this.0.late.set(false);
                this.now();
            }
        };
        set_timeout(when_due, LATE);
    }

    /// Draws at once what was not drawn yet, seen or not.
    fn now(&self) {
        if self.0.live.get() && self.0.wanted.replace(false) {
            (self.0.draw)();
        }
    }

    fn show(&self, visible: bool) {
        self.0.visible.set(visible);
        if visible && self.0.wanted.get() {
            self.request();
        }
    }
}

/// Asks for a redraw when an element comes into sight or changes its size, and when the page changes its theme; until it is
/// dropped.
pub struct Watch {
    redraw: Redraw,
    resize: ResizeObserver,
    sight: IntersectionObserver,
    theme: MutationObserver,
    dark: Option<MediaQueryList>,
    print: Option<WindowListenerHandle>,
    changed: Closure<dyn FnMut()>,
    _seen: Closure<dyn FnMut(Array)>,
}

impl Watch {
    /// Of this element; none in a browser that lacks observers.
    pub fn new(element: &Element, redraw: Redraw) -> Option<Self> {
        let again = redraw.clone();
        let changed = Closure::<dyn FnMut()>::new(move || again.request());
        let shown = redraw.clone();
        let seen = Closure::<dyn FnMut(Array)>::new(move |entries: Array| {
            if let Ok(entry) = entries.pop().dyn_into::<IntersectionObserverEntry>() {
                shown.show(entry.is_intersecting());
            }
        });
        let callback = changed.as_ref().unchecked_ref();
        let resize = ResizeObserver::new(callback).ok()?;
        resize.observe(element);
        let sight = IntersectionObserver::new(seen.as_ref().unchecked_ref()).ok()?;
        sight.observe(element);
        let theme = MutationObserver::new(callback).ok()?;
        let attributes = MutationObserverInit::new();
        attributes.set_attributes(true);
        let root = document().document_element()?;
        theme.observe_with_options(&root, &attributes).ok()?;
        let dark = window()
            .match_media("(prefers-color-scheme: dark)")
            .ok()
            .flatten();
        if let Some(dark) = &dark {
            dark.add_event_listener_with_callback("change", callback)
                .ok()?;
        }
        let whole = redraw.clone();
        let print = window_event_listener_untyped("beforeprint", move |_| whole.now());
        redraw.request();
        Some(Self {
            redraw,
            resize,
            sight,
            theme,
            dark,
            print: Some(print),
            changed,
            _seen: seen,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.redraw.0.live.set(false);
        if let Some(print) = self.print.take() {
            print.remove();
        }
        self.resize.disconnect();
        self.sight.disconnect();
        self.theme.disconnect();
        if let Some(dark) = &self.dark {
            let callback = self.changed.as_ref().unchecked_ref();
            // It was added with the same callback, so there is nothing to fail.
            let _ = dark.remove_event_listener_with_callback("change", callback);
        }
    }
}

/// Watches the element of a component from its mount to its end.
pub fn watch(host: NodeRef<leptos::html::Div>, redraw: Redraw) {
    let held = StoredValue::new_local(None::<Watch>);
    effect(move || {
        if let Some(element) = host.get() {
            held.set_value(Watch::new(&element, redraw.clone()));
        }
    });
}
