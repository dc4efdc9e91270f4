//! The parts of a browser that the worker uses, bound by hand.
//!
//! `web-sys` has most of them, but its features are shared with wgpu: one more of them compiles burn anew.

use js_sys::{Array, ArrayBuffer, Function, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The global object of a dedicated worker.
    pub type Scope;
    #[wasm_bindgen(method, js_name = postMessage)]
    pub fn post_message(this: &Scope, message: &JsValue, transfer: &Array);
    #[wasm_bindgen(method, setter)]
    pub fn set_onmessage(this: &Scope, listener: &JsValue);
    #[wasm_bindgen(method, js_name = addEventListener)]
    pub fn add_event_listener(this: &Scope, event: &str, listener: &JsValue);
    #[wasm_bindgen(method, js_name = removeEventListener)]
    pub fn remove_event_listener(this: &Scope, event: &str, listener: &JsValue);
    #[wasm_bindgen(method, js_name = setTimeout)]
    pub fn set_timeout(this: &Scope, then: &JsValue, milliseconds: u32);
    #[wasm_bindgen(method)]
    pub fn close(this: &Scope);
    #[wasm_bindgen(method, getter, js_name = isSecureContext)]
    pub fn is_secure_context(this: &Scope) -> bool;
    #[wasm_bindgen(method, getter)]
    pub fn location(this: &Scope) -> Location;
    #[wasm_bindgen(method, getter)]
    pub fn navigator(this: &Scope) -> Navigator;
    #[wasm_bindgen(method, getter)]
    pub fn performance(this: &Scope) -> Performance;

    pub type MessageEvent;
    #[wasm_bindgen(method, getter)]
    pub fn data(this: &MessageEvent) -> JsValue;

    pub type Location;
    #[wasm_bindgen(method, getter)]
    pub fn search(this: &Location) -> String;

    pub type URLSearchParams;
    #[wasm_bindgen(constructor)]
    pub fn new(search: &str) -> URLSearchParams;
    #[wasm_bindgen(method)]
    pub fn get(this: &URLSearchParams, key: &str) -> Option<String>;

    pub type Performance;
    #[wasm_bindgen(method)]
    pub fn now(this: &Performance) -> f64;

    pub type MessageChannel;
    #[wasm_bindgen(constructor)]
    pub fn new() -> MessageChannel;
    #[wasm_bindgen(method, getter)]
    pub fn port1(this: &MessageChannel) -> MessagePort;
    #[wasm_bindgen(method, getter)]
    pub fn port2(this: &MessageChannel) -> MessagePort;

    pub type MessagePort;
    #[wasm_bindgen(method, setter)]
    pub fn set_onmessage(this: &MessagePort, listener: &JsValue);
    #[wasm_bindgen(method, js_name = postMessage)]
    pub fn post_message(this: &MessagePort, message: &JsValue);

    /// What is none here is missing in old browsers, and in pages that are not secure.
    pub type Navigator;
    #[wasm_bindgen(method, getter, js_name = userAgent)]
    pub fn user_agent(this: &Navigator) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn gpu(this: &Navigator) -> Option<Gpu>;
    #[wasm_bindgen(method, getter)]
    pub fn locks(this: &Navigator) -> Option<LockManager>;
    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &Navigator) -> Option<StorageManager>;

    pub type LockManager;
    #[wasm_bindgen(method, catch)]
    pub fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        held: &JsValue,
    ) -> Result<Promise, JsValue>;

    pub type Gpu;
    #[wasm_bindgen(method, catch, js_name = requestAdapter)]
    pub fn request_adapter(this: &Gpu, options: &Object) -> Result<Promise, JsValue>;

    pub type GpuAdapter;
    #[wasm_bindgen(method, getter)]
    pub fn info(this: &GpuAdapter) -> Option<GpuAdapterInfo>;
    #[wasm_bindgen(method, getter)]
    pub fn features(this: &GpuAdapter) -> GpuFeatures;
    #[wasm_bindgen(method, getter)]
    pub fn limits(this: &GpuAdapter) -> JsValue;
    /// Where it was before it moved to the info.
    #[wasm_bindgen(method, getter, js_name = isFallbackAdapter)]
    pub fn is_fallback_adapter(this: &GpuAdapter) -> Option<bool>;

    pub type GpuFeatures;
    #[wasm_bindgen(method)]
    pub fn has(this: &GpuFeatures, feature: &str) -> bool;

    pub type GpuAdapterInfo;
    #[wasm_bindgen(method, getter)]
    pub fn vendor(this: &GpuAdapterInfo) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    pub fn architecture(this: &GpuAdapterInfo) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    pub fn device(this: &GpuAdapterInfo) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    pub fn description(this: &GpuAdapterInfo) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = isFallbackAdapter)]
    pub fn is_fallback_adapter(this: &GpuAdapterInfo) -> Option<bool>;

    pub type StorageManager;
    #[wasm_bindgen(method, catch, js_name = getDirectory)]
    pub fn get_directory(this: &StorageManager) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn estimate(this: &StorageManager) -> Result<Promise, JsValue>;

    pub type Directory;
    #[wasm_bindgen(method, catch, js_name = getDirectoryHandle)]
    pub fn directory(this: &Directory, name: &str, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getFileHandle)]
    pub fn file(this: &Directory, name: &str, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEntry)]
    pub fn remove(this: &Directory, name: &str, options: &Object) -> Result<Promise, JsValue>;

    pub type FileHandle;
    #[wasm_bindgen(method, catch, js_name = getFile)]
    pub fn snapshot(this: &FileHandle) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    pub fn access(this: &FileHandle) -> Result<Promise, JsValue>;

    /// A file as it was at some moment, or a part of it.
    pub type Blob;
    #[wasm_bindgen(method, getter)]
    pub fn size(this: &Blob) -> f64;
    #[wasm_bindgen(method)]
    pub fn slice(this: &Blob, from: f64, to: f64) -> Blob;
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    pub fn array_buffer(this: &Blob) -> Result<Promise, JsValue>;

    /// Exclusive access to a file.
    pub type Access;
    #[wasm_bindgen(method, catch)]
    pub fn write(this: &Access, bytes: &[u8], options: &Object) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn truncate(this: &Access, size: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn flush(this: &Access) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    pub fn close(this: &Access);
}

/// An exception of the browser.
#[derive(Debug)]
pub struct Fault {
    /// Its kind, such as `QuotaExceededError`.
    pub name: String,
    /// What it says.
    pub message: String,
}

impl From<JsValue> for Fault {
    fn from(exception: JsValue) -> Self {
        let text = |key| {
            let value = Reflect::get(&exception, &JsValue::from_str(key)).ok()?;
            value.as_string()
        };
        Self {
            name: text("name").unwrap_or_else(|| "Error".to_owned()),
            message: text("message").unwrap_or_else(|| format!("{exception:?}")),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// The global object.
pub fn scope() -> Scope {
    js_sys::global().unchecked_into()
}

/// Waits for what a call of the browser promised.
///
/// # Errors
/// The promise was rejected.
pub async fn settled<T: JsCast>(asked: Result<Promise, JsValue>) -> Result<T, Fault> {
    Ok(JsFuture::from(asked?).await?.unchecked_into())
}

/// An object of options.
pub fn options(entries: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        // Fails on frozen objects only.
        let _ = Reflect::set(&object, &JsValue::from_str(key), value);
    }
    object
}

/// A number of an object.
pub fn number(object: &JsValue, key: &str) -> Option<u64> {
    let value = Reflect::get(object, &JsValue::from_str(key)).ok()?;
    value.as_f64().map(|number| number as u64)
}

/// Waits.
pub async fn sleep(milliseconds: u32) {
    let promise = Promise::new(&mut |done: Function, _| scope().set_timeout(&done, milliseconds));
    // A timer is never refused.
    let _ = JsFuture::from(promise).await;
}

/// A copy of a buffer's bytes.
///
/// # Errors
/// There is no memory for it: then the size in bytes.
pub fn copied(buffer: &ArrayBuffer) -> Result<Vec<u8>, usize> {
    let view = Uint8Array::new(buffer);
    let size = view.length() as usize;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| size)?;
    bytes.resize(size, 0);
    view.copy_to(&mut bytes);
    Ok(bytes)
}

/// A text as a value of the browser's.
pub fn text(text: &str) -> JsValue {
    JsString::from(text).into()
}
