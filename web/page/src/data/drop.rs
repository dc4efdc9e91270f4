//! A place to drop files and folders on, with buttons that choose the same.

use js_sys::{Array, Function, Promise, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, DataTransfer, DragEvent, File, FileList, FileSystemDirectoryEntry, FileSystemEntry,
    FileSystemFileEntry, HtmlInputElement,
};

use super::blobs;

/// More than any model's folder has; a home folder dropped by mistake is not walked to its end.
const MOST_FILES: usize = 2000;

/// A file with its path as it was dropped: `folder/config.json`.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Path.
    pub path: String,
    /// Content, unread.
    pub blob: Blob,
}

impl Picked {
    fn new(path: String, file: File) -> Self {
        Self {
            path,
            blob: file.into(),
        }
    }
}

/// A place to drop files on. What was dropped goes to `taken`.
#[component]
pub fn DropPlace<F>(
    /// What to do, for people: `Drop a folder here`.
    hint: &'static str,
    /// What the file picker shows: `.txt,.gz`.
    accept: &'static str,
    /// The button's text.
    button: &'static str,
    /// Whether folders can be chosen too.
    #[prop(optional)]
    folders: bool,
    /// Whether nothing can be dropped now.
    #[prop(into)]
    locked: Signal<bool>,
    /// Gets the files, or why they cannot be had.
    taken: F,
) -> impl IntoView
where
    F: Fn(Result<Vec<Picked>, String>) + Copy + Send + Sync + 'static,
{
    let over = RwSignal::new(false);
    let drop = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        let Some(transfer) = event.data_transfer().filter(|_| !locked.get_untracked()) else {
            return;
        };
        // The entries are gone once this handler has returned.
        let entries = entries(&transfer);
        spawn_local(async move { taken(walk(entries).await) });
    };
    view! {
        <div
            class="drop"
            class:over=over
            class:locked=locked
            on:dragover=move |event: DragEvent| {
                event.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=drop
        >
            <span class="hint">{hint}</span>
            <span class="row">
                <Picker button accept folder=false locked taken />
                {folders.then(|| view! { <Picker button="Choose a folder" accept folder=true locked taken /> })}
            </span>
        </div>
    }
}

#[component]
fn Picker<F>(
    button: &'static str,
    accept: &'static str,
    folder: bool,
    locked: Signal<bool>,
    taken: F,
) -> impl IntoView
where
    F: Fn(Result<Vec<Picked>, String>) + Copy + Send + Sync + 'static,
{
    let change = move |event: leptos::ev::Event| {
        let input: HtmlInputElement = event_target(&event);
        let files = input.files().map(|list| of_list(&list)).unwrap_or_default();
        // The same file can be chosen again after it was mended.
        input.set_value("");
        if !files.is_empty() {
            taken(Ok(files));
        }
    };
    view! {
        <label class="button pick" class:locked=locked>
            <input
                type="file"
                class="visually-hidden"
                multiple=true
                prop:webkitdirectory=folder
                accept=(!folder).then_some(accept)
                disabled=locked
                on:change=change
            />
            {button}
        </label>
    }
}

fn of_list(list: &FileList) -> Vec<Picked> {
    let files = (0..list.length()).filter_map(|at| list.get(at));
    let path = |file: &File| {
        let path = Reflect::get(file, &"webkitRelativePath".into()).ok();
        path.and_then(|path| path.as_string())
            .filter(|path| !path.is_empty())
    };
    files
        .map(|file| Picked::new(path(&file).unwrap_or_else(|| file.name()), file))
        .collect()
}

fn entries(transfer: &DataTransfer) -> Vec<FileSystemEntry> {
    let items = transfer.items();
    let items = (0..items.length()).filter_map(|at| items.get(at));
    items
        .filter_map(|item| item.webkit_get_as_entry().ok().flatten())
        .collect()
}

/// All files of the entries and of the folders among them.
async fn walk(mut open: Vec<FileSystemEntry>) -> Result<Vec<Picked>, String> {
    let mut files = Vec::new();
    while let Some(entry) = open.pop() {
        let path = entry.full_path().trim_start_matches('/').to_owned();
        let wrong = |e: JsValue| {
            format!(
                "{path} cannot be read ({}). Choose it with the button instead",
                blobs::reason(&e)
            )
        };
        if entry.is_directory() {
            open.extend(children(entry.unchecked_ref()).await.map_err(wrong)?);
        } else {
            let file = file_of(entry.unchecked_ref()).await.map_err(wrong)?;
            let at = files.partition_point(|before: &Picked| before.path <= path);
            files.insert(at, Picked::new(path, file));
        }
        if files.len() + open.len() > MOST_FILES {
            return Err(format!(
                "this folder holds more than {MOST_FILES} files. Choose only the model's folder"
            ));
        }
    }
    if files.is_empty() {
        return Err("nothing that was dropped is a file. Drop files or a folder".into());
    }
    Ok(files)
}

async fn file_of(entry: &FileSystemFileEntry) -> Result<File, JsValue> {
    let promise = Promise::new(&mut |done: Function, failed: Function| {
        entry.file_with_callback_and_callback(&done, &failed);
    });
    JsFuture::from(promise).await.map(JsValue::unchecked_into)
}

/// A reader gives its entries in portions and ends with an empty one.
async fn children(folder: &FileSystemDirectoryEntry) -> Result<Vec<FileSystemEntry>, JsValue> {
    let reader = folder.create_reader();
    let mut all = Vec::new();
    loop {
        let mut refused = None;
        let promise = Promise::new(&mut |done: Function, failed: Function| {
            refused = reader
                .read_entries_with_callback_and_callback(&done, &failed)
                .err();
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let portion: Array = JsFuture::from(promise).await?.unchecked_into();
        if portion.length() == 0 || all.len() > MOST_FILES {
            return Ok(all);
        }
        all.extend(
            portion
                .iter()
                .map(JsValue::unchecked_into::<FileSystemEntry>),
        );
    }
}
