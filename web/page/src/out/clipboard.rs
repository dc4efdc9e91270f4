//! Copying text, and a way for browsers that do not let a page copy.

use js_sys::Reflect;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;

use crate::live::live;
use crate::state::Page;

/// How long "Copied" stands.
const SHOWN: std::time::Duration = std::time::Duration::from_secs(3);

/// A button that copies a text, as often as it is pressed: its own text stays, and beside it "Copied" stands for a while. Where that is not allowed, the text appears to be copied by hand.
#[component]
pub fn CopyButton<F>(
    /// The button's text.
    label: &'static str,
    /// Gives the text.
    text: F,
    /// Whether there is nothing to copy.
    #[prop(into)]
    disabled: Signal<bool>,
) -> impl IntoView
where
    F: Fn() -> String + Copy + Send + Sync + 'static,
{
    let page = crate::state::page();
    // How often it has copied, and whether the last time is just over.
    let copied = RwSignal::new((0_u32, false));
    let by_hand = RwSignal::new(None::<String>);
    let copy = move |_| {
        spawn_local(async move {
            if write(&text()).await {
                by_hand.set(None);
                tell(page, copied);
            } else {
                by_hand.set(Some(text()));
            }
        });
    };
    let field = move |text: String| {
        view! {
            <label class="copy-field">
                <span class="hint">"This browser does not let the page copy. Select and copy it here:"</span>
                <textarea readonly rows="3" prop:value=text></textarea>
            </label>
        }
    };
    view! {
        <button type="button" class="button" disabled=disabled on:click=copy>
            {label}
        </button>
        <span class="hint" hidden=live(move || !copied.get().1)>"Copied ✓"</span>
        {live(move || by_hand.get().map(field))}
    }
}

fn tell(page: Page, copied: RwSignal<(u32, bool)>) {
    page.announce("Copied");
    let times = copied.try_update(|copied| {
        *copied = (copied.0.wrapping_add(1), true);
        copied.0
    });
    // The end of an earlier one must not take away a later one's.
    let end = move || copied.update(|copied| copied.1 &= Some(copied.0) != times);
    set_timeout(end, SHOWN);
}

/// Whether the text is in the clipboard now.
async fn write(text: &str) -> bool {
    let Some(window) = web_sys::window() else {
        return false;
    };
    let navigator = window.navigator();
    // Pages that are not secure have none.
    let has =
        Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_object());
    has && JsFuture::from(navigator.clipboard().write_text(text))
        .await
        .is_ok()
}
