//! Models of the hub: looked up, fetched in parts, and stored part by part, so that what broke off can go on, after a
//! reload too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, Cache, Request, Response};

use super::blobs::{self, NamedBlob};
use super::fetch::{self, Failure};
use super::hub::{self, HubFile, HubModel};
use crate::words;

const CACHE: &str = "limbeck-hub";

#[wasm_bindgen]
extern "C" {
    // There is none on pages that are not secure.
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch)]
    async fn digest(algorithm: &str, data: &Uint8Array) -> Result<JsValue, JsValue>;
}

/// A model of which something is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredModel {
    /// The model.
    pub model: HubModel,
    /// Bytes that are stored.
    pub bytes: u64,
}

impl StoredModel {
    /// Whether all of it is stored.
    pub fn is_whole(&self) -> bool {
        self.bytes == self.model.bytes()
    }
}

/// Where parts are stored: the browser's cache, and memory where that fails.
#[derive(Clone)]
pub struct Store {
    hub: String,
    memory: Rc<RefCell<HashMap<String, Blob>>>,
    /// Why parts are in memory only, if they are.
    pub memory_only: RwSignal<Option<String>>,
}

impl Store {
    /// Of a hub.
    pub fn new(hub: String) -> Self {
        Self {
            hub,
            memory: Rc::default(),
            memory_only: RwSignal::new(None),
        }
    }

    async fn cache() -> Result<Cache, JsValue> {
        let window = web_sys::window().ok_or(JsValue::UNDEFINED)?;
        Ok(JsFuture::from(window.caches()?.open(CACHE))
            .await?
            .unchecked_into())
    }

    async fn get(&self, key: &str) -> Option<Blob> {
        if let Some(blob) = self.memory.borrow().get(key) {
            return Some(blob.clone());
        }
        let cache = Self::cache().await.ok()?;
        let response: Response = JsFuture::from(cache.match_with_str(key))
            .await
            .ok()?
            .dyn_into()
            .ok()?;
        JsFuture::from(response.blob().ok()?)
            .await
            .ok()?
            .dyn_into()
            .ok()
    }

    async fn put(&self, key: &str, blob: &Blob) {
        let stored = async {
            let response = Response::new_with_opt_blob(Some(blob))?;
            JsFuture::from(Self::cache().await?.put_with_str(key, &response)).await
        };
        if let Err(error) = stored.await {
            self.memory_only.set(Some(memory_only(&error)));
            self.memory
                .borrow_mut()
                .insert(key.to_owned(), blob.clone());
        }
    }

    async fn keys() -> Vec<String> {
        let keys = async { JsFuture::from(Self::cache().await?.keys()).await };
        let Ok(keys) = keys.await else {
            return Vec::new();
        };
        let keys: Array = keys.unchecked_into();
        keys.iter()
            .map(|request| request.unchecked_into::<Request>().url())
            .collect()
    }

    /// Forgets all that is stored under addresses which begin so.
    pub async fn clear(&self, prefix: &str) {
        self.memory
            .borrow_mut()
            .retain(|key, _| !key.starts_with(prefix));
        let Ok(cache) = Self::cache().await else {
            return;
        };
        for key in Self::keys()
            .await
            .iter()
            .filter(|key| key.starts_with(prefix))
        {
            // A key that cannot be deleted is listed again.
            let _ = JsFuture::from(cache.delete_with_str(key)).await;
        }
    }

    /// The models of which something is stored.
    pub async fn list(&self) -> Vec<StoredModel> {
        let mut keys = Self::keys().await;
        keys.extend(self.memory.borrow().keys().cloned());
        let mut models = Vec::new();
        for key in keys
            .iter()
            .filter(|key| key.starts_with(&self.hub) && key.ends_with(hub::MANIFEST))
        {
            let Some(blob) = self.get(key).await else {
                continue;
            };
            let Ok(json) = fetch::text(&blob).await else {
                continue;
            };
            let Ok(model) = serde_json::from_str::<HubModel>(&json) else {
                continue;
            };
            let parts = model
                .files
                .iter()
                .flat_map(|file| hub::parts(file.bytes).map(move |part| (file, part)));
            let stored =
                parts.filter(|(file, part)| keys.contains(&model.key(&self.hub, file, part)));
            let bytes = stored.map(|(_, part)| part.end - part.start).sum();
            models.push(StoredModel { model, bytes });
        }
        models
    }
}

fn memory_only(error: &JsValue) -> String {
    if blobs::kind(error) == "QuotaExceededError" {
        return "The browser's storage is full, so this model stays in memory until the page is closed. Clear a model \
                below to make room."
            .into();
    }
    "This browser cannot store files for this page, so the model stays in memory until the page is closed.".into()
}

/// Asks the hub for a model.
///
/// # Errors
/// There is none, it is not public, or it is of no use here.
pub async fn look_up(hub: &str, id: &str) -> Result<HubModel, Failure> {
    let answer = fetch::get(
        &format!("{hub}/api/models/{id}?blobs=true"),
        None,
        None,
        |_| (),
    )
    .await?;
    let host = hub::host(hub);
    match answer.status {
        200 => Ok(HubModel::parse(id, &fetch::text(&answer.body).await?)?),
        401 | 403 | 404 => Err(Failure::Trouble(format!(
            "{host} has no public model {id} (HTTP {}). Check the id; a model that needs a login must be downloaded \
             first, then dropped here",
            answer.status
        ))),
        status => Err(Failure::Trouble(busy(host, status))),
    }
}

fn busy(host: &str, status: u16) -> String {
    format!("{host} answered HTTP {status}. Try again in a while; what has arrived is saved")
}

/// A model that is being fetched.
pub struct Download<'a> {
    /// From where.
    pub hub: &'a str,
    /// What to fetch.
    pub model: &'a HubModel,
    /// Where its parts are stored.
    pub store: &'a Store,
    /// Ends it.
    pub abort: &'a AbortSignal,
    /// Gets the bytes that are there.
    pub progress: &'a dyn Fn(u64),
}

impl Download<'_> {
    /// Fetches what is not stored yet and gives all files.
    ///
    /// # Errors
    /// Cancelled, or the network or the server fails. What has arrived is stored.
    pub async fn run(&self) -> Result<Vec<NamedBlob>, Failure> {
        let manifest = serde_json::to_string(self.model).map_err(|e| e.to_string())?;
        let manifest = blobs::of_bytes(manifest.as_bytes())?;
        self.store
            .put(&self.model.manifest(self.hub), &manifest)
            .await;
        let mut files = Vec::new();
        let mut before = 0;
        for file in &self.model.files {
            let blob = self.file(file, before).await?;
            before += file.bytes;
            files.push((file.name.clone(), blob));
        }
        Ok(files)
    }

    async fn file(&self, file: &HubFile, before: u64) -> Result<Blob, Failure> {
        let all = Array::new();
        for part in hub::parts(file.bytes) {
            let key = self.model.key(self.hub, file, &part);
            let blob = match self.store.get(&key).await {
                Some(stored) if blobs::size(&stored) == part.end - part.start => stored,
                _ => self.part(file, &part, before).await?,
            };
            all.push(&blob);
            (self.progress)(before + part.end);
            if self.abort.aborted() {
                return Err(Failure::Cancelled);
            }
        }
        let blob = blobs::join(&all)?;
        self.verify(file, &blob).await?;
        Ok(blob)
    }

    async fn part(&self, file: &HubFile, part: &Range<u64>, before: u64) -> Result<Blob, Failure> {
        let url = self.model.url(self.hub, file);
        let progress = |bytes: u64| (self.progress)(before + (part.start + bytes).min(file.bytes));
        let answer = fetch::get(&url, Some(part), Some(self.abort), progress).await?;
        let size = blobs::size(&answer.body);
        let whole = match answer.status {
            206 => false,
            200 => true,
            status => return Err(Failure::Trouble(busy(hub::host(self.hub), status))),
        };
        let expected = if whole {
            file.bytes
        } else {
            part.end - part.start
        };
        if size != expected {
            return Err(Failure::Trouble(format!(
                "{} stopped after {} of {}. Try again; what has arrived is saved",
                file.name,
                words::bytes(size),
                words::bytes(expected)
            )));
        }
        if !whole {
            self.store
                .put(&self.model.key(self.hub, file, part), &answer.body)
                .await;
            return Ok(answer.body);
        }
        // The server does not do ranges: all parts are here at once.
        for part in hub::parts(file.bytes) {
            let piece = blobs::piece(&answer.body, &part)?;
            self.store
                .put(&self.model.key(self.hub, file, &part), &piece)
                .await;
        }
        Ok(blobs::piece(&answer.body, part)?)
    }

    async fn verify(&self, file: &HubFile, blob: &Blob) -> Result<(), Failure> {
        let Some(expected) = &file.sha256 else {
            return Ok(());
        };
        let bytes = blobs::bytes(&file.name, blob).await?;
        // Without a digest the sizes of the parts have to do.
        let Ok(found) = digest("SHA-256", &bytes).await else {
            return Ok(());
        };
        let found: String = Uint8Array::new(&found)
            .to_vec()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        if found == *expected {
            return Ok(());
        }
        self.store.clear(&self.model.url(self.hub, file)).await;
        Err(Failure::Trouble(format!(
            "{} arrived damaged: its SHA-256 is not the hub's. It was discarded; try again",
            file.name
        )))
    }
}
