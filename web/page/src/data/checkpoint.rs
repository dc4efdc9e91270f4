//! A run that was exported, to go on with.

use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::{Command, Control};

use super::drop::{DropPlace, Picked};
use super::{blobs, check, teacher};
use crate::engine::send;
use crate::problems::Problems;
use crate::state::{Page, page};

/// The checkpoint.
#[component]
pub fn Checkpoint(
    /// Whether none can be taken up now.
    locked: Signal<bool>,
) -> impl IntoView {
    let page = page();
    let taken = move |files: Result<Vec<Picked>, String>| {
        spawn_local(async move {
            if let Err(message) = take(page, files).await {
                page.problem(Control::Checkpoint, message);
            }
        });
    };
    view! {
        <div class="data-part" id="checkpoint">
            <h3>"Checkpoint"</h3>
            <p class="hint">"Resumes a run that was saved as a file, with the same teacher and text."</p>
            <Problems of=Control::Checkpoint />
            <DropPlace
                hint="Drop a checkpoint, a .safetensors file"
                accept=".safetensors"
                button="Choose a file"
                locked
                taken
            />
        </div>
    }
}

async fn take(page: Page, files: Result<Vec<Picked>, String>) -> Result<(), String> {
    page.solved(&Control::Checkpoint);
    let files = files?;
    let [file] = &files[..] else {
        return Err(format!(
            "a checkpoint is one file; {} were given",
            files.len()
        ));
    };
    check::size(&file.path, blobs::size(&file.blob))?;
    let header = teacher::safetensors(&file.path, file.blob.clone()).await?;
    check::is_checkpoint(&file.path, &header)?;
    let bytes = blobs::bytes(&file.path, &file.blob).await?;
    page.announce(format!("Reading {}", file.path));
    send(
        Command::Checkpoint {
            name: file.path.clone(),
        },
        vec![bytes],
    );
    Ok(())
}
