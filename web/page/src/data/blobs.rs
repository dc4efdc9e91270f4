//! Files as the browser holds them: on disk or outside of wasm's memory, read only where it must be.

use std::ops::Range;
use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlAnchorElement, Url};

/// How long a download may wait for its first byte to be read.
const KEPT: Duration = Duration::from_secs(120);

/// A file with its name in a model's folder.
pub type NamedBlob = (String, Blob);

/// Bytes of a blob.
pub fn size(blob: &Blob) -> u64 {
    blob.size() as u64
}

/// A piece of a blob, unread.
pub fn piece(blob: &Blob, range: &Range<u64>) -> Result<Blob, String> {
    blob.slice_with_f64_and_f64(range.start as f64, range.end as f64)
        .map_err(|e| reason(&e))
}

/// All bytes, outside of wasm's memory.
pub async fn bytes(name: &str, blob: &Blob) -> Result<Uint8Array, String> {
    let read = JsFuture::from(blob.array_buffer()).await;
    let buffer = read.map_err(|e| {
        format!(
            "{name} cannot be read ({}). If it was moved or changed, choose it again",
            reason(&e)
        )
    })?;
    Ok(Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()))
}

/// A few bytes, in wasm's memory.
pub async fn read(name: &str, blob: &Blob, range: Range<u64>) -> Result<Vec<u8>, String> {
    Ok(bytes(name, &piece(blob, &range)?).await?.to_vec())
}

/// One blob of many parts; a browser keeps references, not copies.
pub fn join(parts: &Array) -> Result<Blob, String> {
    Blob::new_with_blob_sequence(parts).map_err(|e| reason(&e))
}

/// A blob of bytes that are in wasm's memory.
pub fn of_bytes(bytes: &[u8]) -> Result<Blob, String> {
    Blob::new_with_buffer_source_sequence(&Array::of1(&Uint8Array::from(bytes)))
        .map_err(|e| reason(&e))
}

/// Saves a blob among the user's downloads.
pub fn download(name: &str, blob: &Blob) -> Result<(), String> {
    let wrong = |e: JsValue| reason(&e);
    let document = web_sys::window()
        .and_then(|window| window.document())
        .ok_or("no document")?;
    let url = Url::create_object_url_with_blob(blob).map_err(wrong)?;
    let link: HtmlAnchorElement = document
        .create_element("a")
        .map_err(wrong)?
        .unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The browser reads the address after the click, some only when the user has answered a question.
    leptos::prelude::set_timeout(move || drop(Url::revoke_object_url(&url)), KEPT);
    Ok(())
}

/// Lets the page draw and answer before the work goes on.
pub async fn turn() {
    let promise = Promise::new(&mut |done, _| {
        let Some(window) = web_sys::window() else {
            return;
        };
        // It fails only where there is no window.
        let _ = window.set_timeout_with_callback(&done);
    });
    // It never rejects.
    let _ = JsFuture::from(promise).await;
}

/// What an error of the browser says.
pub fn reason(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(
        || format!("{error:?}"),
        |error| String::from(error.message()),
    )
}

/// The kind of an error of the browser, such as `QuotaExceededError`.
pub fn kind(error: &JsValue) -> String {
    let name = js_sys::Reflect::get(error, &"name".into()).ok();
    name.and_then(|name| name.as_string()).unwrap_or_default()
}
