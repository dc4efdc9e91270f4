//! The worker of the page: holds the engine, opens the GPU for it and keeps its checkpoints.
//!
//! Messages in and out are arrays `[text, ArrayBuffer, ...]` (limbeck-protocol). The URL of the worker may name a web lock
//! (`?lock=NAME`), which it holds for life: who gets the lock knows that the worker is dead. After that it posts `ready`.

mod browser;
mod failure;
mod gpu;
mod js;
mod lock;
mod storage;
mod transport;
mod turns;

use futures_channel::mpsc::unbounded;
use wasm_bindgen_futures::spawn_local;

#[cfg(target_family = "wasm")]
unsafe extern "C" {
    /// Runs the static constructors, with which cubecl registers its operations. A linker that sees no call of it runs all of
    /// them at every call from JavaScript instead: about a millisecond each, and every handle of a JavaScript value is one.
    safe fn __wasm_call_ctors();
}

fn main() {
    #[cfg(target_family = "wasm")]
    __wasm_call_ctors();
    failure::watch();
    spawn_local(async {
        let (sender, requests) = unbounded();
        transport::listen(sender);
        lock::hold_named_in_url().await;
        transport::ready();
        let tell = |_to, event, blobs: Vec<Vec<u8>>| transport::post(event, &blobs);
        limbeck_engine::serve(browser::Browser::new(), requests, tell).await;
    });
}
