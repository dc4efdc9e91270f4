//! Fetching with progress, ranges and a way to cancel.

use std::ops::Range;

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, Headers, ReadableStreamDefaultReader, RequestInit, Response};

use super::blobs;

/// Why nothing came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The user has cancelled.
    Cancelled,
    /// The network or the server; a text for people.
    Trouble(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Trouble(message)
    }
}

impl Failure {
    fn of(error: &JsValue, url: &str) -> Self {
        if blobs::kind(error) == "AbortError" {
            return Self::Cancelled;
        }
        let place = url
            .split_once("://")
            .map_or(url, |(_, rest)| rest.split('/').next().unwrap_or(rest));
        Self::Trouble(format!(
            "the connection to {place} failed ({}). Check the network and try again; what has arrived is saved",
            blobs::reason(error)
        ))
    }
}

/// What a server has answered.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Blob,
}

/// Gets an address, or a range of what is there; tells `progress` the bytes so far.
pub async fn get(
    url: &str,
    range: Option<&Range<u64>>,
    abort: Option<&AbortSignal>,
    mut progress: impl FnMut(u64),
) -> Result<Answer, Failure> {
    let failed = |e: JsValue| Failure::of(&e, url);
    let options = RequestInit::new();
    options.set_signal(abort);
    if let Some(range) = range {
        let headers = Headers::new().map_err(failed)?;
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        headers.set("Range", &value).map_err(failed)?;
        options.set_headers(&headers);
    }
    let window = web_sys::window().ok_or_else(|| Failure::Trouble("no window".into()))?;
    let response = JsFuture::from(window.fetch_with_str_and_init(url, &options))
        .await
        .map_err(failed)?;
    let response: Response = response.unchecked_into();
    let status = response.status();
    let parts = Array::new();
    if let Some(stream) = response.body() {
        let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
        let mut sum = 0;
        while let Some(chunk) = next(&reader).await.map_err(failed)? {
            sum += u64::from(chunk.length());
            parts.push(&chunk);
            progress(sum);
        }
    }
    Ok(Answer {
        status,
        body: blobs::join(&parts)?,
    })
}

/// The next chunk of a stream; none at its end.
///
/// # Errors
/// The stream broke off.
pub async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    if Reflect::get(&result, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Ok(Some(
        Reflect::get(&result, &"value".into())?.unchecked_into(),
    ))
}

/// The text of a body.
pub async fn text(body: &Blob) -> Result<String, Failure> {
    let text = JsFuture::from(body.text()).await;
    let text = text.map_err(|e| Failure::Trouble(blobs::reason(&e)))?;
    Ok(text.as_string().unwrap_or_default())
}
