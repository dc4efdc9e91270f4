//! Web locks: one shows the page that this worker is alive, one keeps two tabs from training at once.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::oneshot;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::js::{URLSearchParams, options, scope, settled, sleep};

/// The lock of the engine that trains on this browser's storage.
const RUN: &str = "limbeck-run";

/// A worker that was just ended (a reload) gives its lock back only a moment later.
const TRIES: u32 = 10;
const PAUSE_MS: u32 = 200;

/// Takes the lock that the worker's URL names, for life. It needs no lock where the browser has none.
pub async fn hold_named_in_url() {
    let name = URLSearchParams::new(&scope().location().search()).get("lock");
    if let Some(name) = name {
        take(&name, false).await;
    }
}

/// Takes the lock of the engine that trains, for life.
///
/// # Errors
/// Another tab has it.
pub async fn claim_run() -> Result<(), String> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE_MS).await;
        }
        if take(RUN, true).await {
            return Ok(());
        }
    }
    Err(
        "Another tab of this browser has the saved run open, and the two would overwrite each other. Close that tab, \
         then try again."
            .to_owned(),
    )
}

/// Whether the lock is held now. Browsers without locks have no private storage for two tabs to write to either, so there
/// it counts as held.
async fn take(name: &str, only_if_free: bool) -> bool {
    let Some(locks) = scope().navigator().locks() else {
        return true;
    };
    let (sender, answer) = oneshot::channel();
    let sender = Rc::new(RefCell::new(Some(sender)));
    let tell = {
        let sender = sender.clone();
        move |held: bool| sender.take().map(|sender| sender.send(held))
    };
    // The lock is held until the promise that this returns is settled: never.
    let granted = Closure::once_into_js(move |lock: JsValue| {
        tell(!lock.is_null());
        if lock.is_null() {
            Promise::resolve(&JsValue::NULL)
        } else {
            Promise::new(&mut |_, _| ())
        }
    });
    let asked = locks.request(
        name,
        &options(&[("ifAvailable", only_if_free.into())]),
        &granted,
    );
    spawn_local(async move {
        // Settles early only if the lock is not given. A refusal (blocked storage) is like having no locks at all.
        if settled::<JsValue>(asked).await.is_err()
            && let Some(sender) = sender.take()
        {
            let _ = sender.send(true);
        }
    });
    answer.await.unwrap_or(true)
}
