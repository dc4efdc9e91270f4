//! Files of the saved run in the browser's private file system (OPFS).
//!
//! Renaming a file over another is not in every browser, so each file has two slots. A file is written to the slot that is
//! free, behind room for a header; the header goes last and makes it the newest; then the other slot is removed. Whenever
//! this is cut off, a reader finds the old file or the new one, whole.

use js_sys::{ArrayBuffer, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::js::{
    Access, Blob, Directory, Fault, FileHandle, number, options, scope, settled, sleep,
};

const FOLDER: &str = "limbeck-run";
const SLOTS: [&str; 2] = ["-0", "-1"];

/// First bytes of a slot that is whole.
const MARK: [u8; 8] = *b"limbeck\n";
/// The mark, the number of the writing (u64) and the length of the contents (u64), little endian.
const HEADER: usize = 24;
/// How much is copied at once: a file is never in memory twice.
const PIECE: usize = 8 << 20;

/// A worker that was just ended lets go of its files only a moment later.
const TRIES: u32 = 10;
const PAUSE_MS: u32 = 100;

/// What a slot holds.
enum Slot {
    /// Nothing, or a file that was not finished.
    Free,
    /// Neither a whole file nor the beginning of one: something else wrote there.
    Damaged,
    /// A file.
    Whole { writing: u64, contents: Blob },
}

/// Writes a file; a reader finds it whole or as it was before.
///
/// # Errors
/// The storage is full, or there is none.
pub async fn keep(name: &str, bytes: &[u8]) -> Result<(), String> {
    let result = async {
        let folder = folder().await?;
        let newest = newest(&slots(&folder, name).await?).map(|(slot, writing, _)| (slot, writing));
        let (slot, writing) = newest.map_or((0, 1), |(slot, writing)| (1 - slot, writing + 1));
        let target = slot_name(name, slot);
        if let Err(fault) = write(&folder, &target, writing, bytes).await {
            // A part of a file is of no use, and takes the room that others may need.
            let _ = remove(&folder, &target).await;
            return Err(fault);
        }
        remove(&folder, &slot_name(name, 1 - slot)).await
    };
    match result.await {
        Ok(()) => Ok(()),
        Err(fault) => Err(explained(&fault, bytes.len()).await),
    }
}

/// Reads a file; none if it is not there.
///
/// # Errors
/// It is damaged, or there is no memory for it.
pub async fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
    let Ok(folder) = folder().await else {
        // Where nothing can be kept, nothing is.
        return Ok(None);
    };
    let unreadable = |fault: Fault| format!("{name} of the saved run cannot be read ({fault})");
    for _ in 0..TRIES {
        let slots = slots(&folder, name).await.map_err(unreadable)?;
        let Some((_, _, contents)) = newest(&slots) else {
            let damaged = slots.iter().any(|slot| matches!(slot, Slot::Damaged));
            return if damaged {
                Err(format!(
                    "{name} of the saved run is damaged. Discard the saved run and start again"
                ))
            } else {
                Ok(None)
            };
        };
        match bytes_of(contents).await {
            Ok(bytes) => return bytes.map(Some),
            // Another tab has written the file anew since, and this is the old one.
            Err(fault) if fault.name == "NotFoundError" || fault.name == "NotReadableError" => (),
            Err(fault) => return Err(unreadable(fault)),
        }
    }
    Err(format!(
        "another tab keeps writing {name} of the saved run; close that tab"
    ))
}

/// Removes every file.
///
/// # Errors
/// The browser does not let them go.
pub async fn forget() -> Result<(), String> {
    let Ok(root) = root().await else {
        return Ok(());
    };
    let all = options(&[("recursive", true.into())]);
    match patiently::<JsValue>(|| root.remove(FOLDER, &all)).await {
        Err(fault) if fault.name != "NotFoundError" => Err(format!(
            "the saved run cannot be removed ({fault}). Close other tabs of this page, or clear this site's data in the \
             browser's settings"
        )),
        _ => Ok(()),
    }
}

/// Bytes that are used, and that there are; zeros if the browser does not say.
pub async fn space() -> (u64, u64) {
    let Some(storage) = scope().navigator().storage() else {
        return (0, 0);
    };
    let Ok(estimate) = settled::<JsValue>(storage.estimate()).await else {
        return (0, 0);
    };
    let of = |key| number(&estimate, key).unwrap_or_default();
    (of("usage"), of("quota"))
}

async fn root() -> Result<Directory, Fault> {
    match scope().navigator().storage() {
        Some(storage) => settled(storage.get_directory()).await,
        None => Err(Fault {
            name: "SecurityError".to_owned(),
            message: "no storage".to_owned(),
        }),
    }
}

async fn folder() -> Result<Directory, Fault> {
    let create = options(&[("create", true.into())]);
    settled(root().await?.directory(FOLDER, &create)).await
}

async fn slots(folder: &Directory, name: &str) -> Result<[Slot; 2], Fault> {
    Ok([
        slot(folder, &slot_name(name, 0)).await?,
        slot(folder, &slot_name(name, 1)).await?,
    ])
}

async fn slot(folder: &Directory, name: &str) -> Result<Slot, Fault> {
    let file: FileHandle = match settled(folder.file(name, &Object::new())).await {
        Err(fault) if fault.name == "NotFoundError" => return Ok(Slot::Free),
        file => file?,
    };
    let file: Blob = settled(file.snapshot()).await?;
    let size = file.size();
    let header: ArrayBuffer = settled(file.slice(0.0, HEADER as f64).array_buffer()).await?;
    let header = Uint8Array::new(&header).to_vec();
    if header.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Free);
    }
    let number = |at: usize| {
        let bytes = header.get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let whole =
        header.starts_with(&MARK) && number(16).map(|n| n as f64 + HEADER as f64) == Some(size);
    Ok(match number(8) {
        Some(writing) if whole => Slot::Whole {
            writing,
            contents: file.slice(HEADER as f64, size),
        },
        _ => Slot::Damaged,
    })
}

fn newest(slots: &[Slot; 2]) -> Option<(usize, u64, &Blob)> {
    let whole = slots
        .iter()
        .enumerate()
        .filter_map(|(at, slot)| match slot {
            Slot::Whole { writing, contents } => Some((at, *writing, contents)),
            _ => None,
        });
    whole.max_by_key(|(_, writing, _)| *writing)
}

/// The contents, unless the browser refuses; the inner error is that of too little memory.
async fn bytes_of(contents: &Blob) -> Result<Result<Vec<u8>, String>, Fault> {
    let size = contents.size() as usize;
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(size).is_err() {
        return Ok(Err(format!(
            "there is no memory for a file of {} MB of the saved run; close other tabs and try again",
            size / 1_000_000
        )));
    }
    while bytes.len() < size {
        let from = bytes.len();
        let to = size.min(from + PIECE);
        let piece: ArrayBuffer =
            settled(contents.slice(from as f64, to as f64).array_buffer()).await?;
        bytes.resize(to, 0);
        Uint8Array::new(&piece).copy_to(&mut bytes[from..]);
    }
    Ok(Ok(bytes))
}

async fn write(folder: &Directory, name: &str, writing: u64, bytes: &[u8]) -> Result<(), Fault> {
    let create = options(&[("create", true.into())]);
    let file: FileHandle = settled(folder.file(name, &create)).await?;
    let access: Access = patiently(|| file.access()).await?;
    let mut header = MARK.to_vec();
    header.extend(writing.to_le_bytes());
    header.extend((bytes.len() as u64).to_le_bytes());
    let written = (|| {
        access.truncate(0.0)?;
        write_at(&access, HEADER, bytes)?;
        access.flush()?;
        write_at(&access, 0, &header)?;
        access.flush()?;
        Ok(())
    })();
    access.close();
    written
}

fn write_at(access: &Access, start: usize, bytes: &[u8]) -> Result<(), Fault> {
    let mut done = 0;
    while done < bytes.len() {
        let piece = &bytes[done..bytes.len().min(done + PIECE)];
        let at = options(&[("at", ((start + done) as f64).into())]);
        let taken = access.write(piece, &at)?;
        // Chromium does not throw when the storage is full: it returns -8 (no space) as an unsigned number, about 4e9.
        if !(1.0..=piece.len() as f64).contains(&taken) {
            return Err(Fault {
                name: "QuotaExceededError".to_owned(),
                message: "nothing more was written".to_owned(),
            });
        }
        done += taken as usize;
    }
    Ok(())
}

async fn remove(folder: &Directory, name: &str) -> Result<(), Fault> {
    match patiently::<JsValue>(|| folder.remove(name, &Object::new())).await {
        Err(fault) if fault.name != "NotFoundError" => Err(fault),
        _ => Ok(()),
    }
}

/// Asks again while a file is held by another worker.
async fn patiently<T: JsCast>(ask: impl Fn() -> Result<Promise, JsValue>) -> Result<T, Fault> {
    for _ in 0..TRIES {
        match settled(ask()).await {
            Err(fault) if fault.name == "NoModificationAllowedError" => sleep(PAUSE_MS).await,
            answer => return answer,
        }
    }
    settled(ask()).await
}

async fn explained(fault: &Fault, bytes: usize) -> String {
    let mb = |bytes: u64| bytes / 1_000_000;
    match fault.name.as_str() {
        "QuotaExceededError" => {
            let (used, quota) = space().await;
            format!(
                "this browser's storage is full: this site uses {} MB, and a file of {} MB does not fit (the browser names \
                 {} MB as the limit; a full disk can end it before). Free space on the disk, or clear other data of this \
                 site",
                mb(used),
                mb(bytes as u64),
                mb(quota)
            )
        }
        "SecurityError" | "TypeError" => format!(
            "this browser offers the page no storage ({}). Private windows and blocked site data do that; so do browsers \
             older than Chrome 108, Firefox 111 and Safari 16.4",
            fault.message
        ),
        _ => format!("the browser's storage rejected the file ({fault})"),
    }
}

/// Names may hold anything; a name in OPFS is a plain one.
fn slot_name(name: &str, slot: usize) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("_{byte:02x}"));
        }
    }
    escaped + SLOTS[slot]
}
