//! The teacher: what it is, and the ways to another.

use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::{Control, TeacherInfo};
use limbeck_recipe::{Config, parameter_count};

use super::blobs::{self, NamedBlob};
use super::check;
use super::chosen::{self, Inputs, Model, inputs};
use super::drop::{DropPlace, Picked};
use super::hub_panel::HubPanel;
use super::unzip::Zip;
use crate::live::live;
use crate::problems::Problems;
use crate::state::Page;
use crate::words;

/// The teacher.
#[component]
pub fn Teacher(
    /// Whether it cannot be changed now.
    locked: Signal<bool>,
) -> impl IntoView {
    let inputs = inputs();
    let page = inputs.page;
    let own = move || {
        inputs
            .chosen
            .with(|chosen| chosen.teacher.is_some() || chosen.offered_teacher.is_some())
    };
    let reading = move || {
        inputs.chosen.with(|chosen| {
            chosen
                .offered_teacher
                .as_ref()
                .map(|model| format!("Reading {} …", model.name))
        })
    };
    let back = move |_| {
        chosen::ask_teacher(inputs);
        spawn_local(async move { settle(page, chosen::offer_teacher(inputs, None).await) });
    };
    let unpacking = RwSignal::new(false);
    let taken = move |files: Result<Vec<Picked>, String>| {
        let asked = chosen::ask_teacher(inputs);
        unpacking.set(true);
        spawn_local(async move {
            let result = take(inputs, files, asked).await;
            if chosen::still_wanted(inputs, asked) {
                unpacking.set(false);
                settle(page, result);
            }
        });
    };
    view! {
        <div class="data-part" id="teacher">
            <h3>"Teacher"</h3>
            {live(move || page.teacher.get().map_or_else(
                || view! { <p class="hint">"No teacher yet."</p> }.into_any(),
                |teacher| view! { <Card teacher /> }.into_any(),
            ))}
            <p class="hint" aria-live="polite">{live(move || reading().or_else(|| unpacking.get().then(|| "Checking the files …".into())))}</p>
            <Problems of=Control::Teacher />
            <Show when=own>
                <button class="button quiet" disabled=locked on:click=back>
                    "Back to the bundled teacher"
                </button>
            </Show>
            <DropPlace
                hint="Your own: drop a Hugging Face folder, its files or a .zip"
                accept=".json,.txt,.safetensors,.zip"
                button="Choose files"
                folders=true
                locked
                taken
            />
            <HubPanel locked />
        </div>
    }
}

#[component]
fn Card(teacher: TeacherInfo) -> impl IntoView {
    let config = Config::parse("config.json", teacher.config.as_bytes()).ok();
    let rows = config.map(|config| {
        let tokens = words::count(config.vocab_size as u64);
        vec![
            (
                "Layers × hidden",
                format!("{} × {}", config.num_hidden_layers, config.hidden_size),
            ),
            ("Heads", config.num_attention_heads.to_string()),
            ("Vocabulary", format!("{tokens} tokens")),
            ("Parameters", words::parameters(parameter_count(&config))),
            ("Kind", config.model_type),
            ("Files", words::bytes(teacher.bytes)),
        ]
    });
    let row = |(name, value): (&'static str, String)| view! { <div><dt>{name}</dt><dd class="number">{value}</dd></div> };
    view! {
        <div class="data-card">
            <p class="data-name">{teacher.name}</p>
            <dl>{rows.unwrap_or_default().into_iter().map(row).collect_view()}</dl>
        </div>
    }
}

/// Shows what came of an attempt at the teacher's control.
pub fn settle(page: Page, result: Result<(), String>) {
    if let Err(message) = result {
        page.problem(Control::Teacher, message);
    }
}

async fn take(
    inputs: Inputs,
    files: Result<Vec<Picked>, String>,
    asked: u64,
) -> Result<(), String> {
    inputs.page.solved(&Control::Teacher);
    let files = files?;
    let (name, files) = match &files[..] {
        [only] if only.path.ends_with(".zip") => from_zip(only).await?,
        [only] => {
            check::size(&only.path, blobs::size(&only.blob))?;
            from_files(&files)?
        }
        _ => from_files(&files)?,
    };
    offer(inputs, name, files, asked).await
}

/// Checks a model's files and offers them to the engine, unless another teacher was asked for meanwhile.
pub async fn offer(
    inputs: Inputs,
    name: String,
    files: Vec<NamedBlob>,
    asked: u64,
) -> Result<(), String> {
    check_files(&files).await?;
    if !chosen::still_wanted(inputs, asked) {
        return Ok(());
    }
    chosen::offer_teacher(inputs, Some(Model { name, files })).await
}

fn from_files(files: &[Picked]) -> Result<(String, Vec<NamedBlob>), String> {
    let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let source = source(&paths);
    let needed = check::model_in(&source, &paths)?;
    // Every name is the rest of a path behind the model's folder.
    let folder = |(at, name): &(usize, &str)| folder_name(&paths[*at], name);
    let name = needed.first().map_or(source, folder);
    let named = |(at, name): (usize, &str)| (name.to_owned(), files[at].blob.clone());
    Ok((name, needed.into_iter().map(named).collect()))
}

async fn from_zip(file: &Picked) -> Result<(String, Vec<NamedBlob>), String> {
    let mut zip = Zip::open(&file.path, file.blob.clone()).await?;
    let paths = zip.paths();
    let needed = check::model_in(&file.path, &paths)?;
    let mut files = Vec::new();
    for (at, name) in needed {
        files.push((name.to_owned(), zip.take(at).await?));
    }
    let name = check::split(&file.path).1.trim_end_matches(".zip");
    Ok((name.to_owned(), files))
}

/// What was dropped, for messages: the folder that all files are in, a lone file's name, or words.
fn source(paths: &[String]) -> String {
    match paths {
        [only] => only.clone(),
        [first, ..] if first.contains('/') => {
            first.split('/').next().unwrap_or_default().to_owned()
        }
        _ => "What was given".into(),
    }
}

/// The name of the folder that a file of this name is in.
fn folder_name(path: &str, name: &str) -> String {
    let folder = path.strip_suffix(name).unwrap_or(path);
    let folder = check::split(folder.trim_end_matches('/')).1;
    if folder.is_empty() {
        "own teacher".into()
    } else {
        folder.to_owned()
    }
}

async fn check_files(files: &[NamedBlob]) -> Result<(), String> {
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    for (name, blob) in files {
        let bytes = blobs::size(blob);
        check::size(name, bytes)?;
        if name == "config.json" {
            check::config(&blobs::read(name, blob, 0..bytes).await?)?;
        } else if name == "model.safetensors.index.json" {
            check::shards(&blobs::read(name, blob, 0..bytes).await?, &names)?;
        } else if check::is_safetensors(name) {
            safetensors(name, blob.clone()).await?;
        }
    }
    let sum = files.iter().map(|(_, blob)| blobs::size(blob)).sum();
    check::size("this model", sum)
}

/// Checks the header of a safetensors file, and gives it.
pub async fn safetensors(name: &str, blob: web_sys::Blob) -> Result<Vec<u8>, String> {
    let bytes = blobs::size(&blob);
    let first = blobs::read(name, &blob, 0..8).await?;
    let length = check::header_length(name, &first, bytes)?;
    let header = blobs::read(name, &blob, 8..8 + length).await?;
    check::header(name, &header, bytes)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_by_its_folder() {
        assert_eq!(
            folder_name("models/tiny/config.json", "config.json"),
            "tiny"
        );
        let pooling = "1_Pooling/config.json";
        assert_eq!(folder_name(&format!("tiny/{pooling}"), pooling), "tiny");
        assert_eq!(folder_name("config.json", "config.json"), "own teacher");
    }

    #[test]
    fn a_source_has_a_name_for_messages() {
        let paths = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(source(&paths(&["a.bin"])), "a.bin");
        assert_eq!(source(&paths(&["m/a", "m/b"])), "m");
        assert_eq!(source(&paths(&["a", "b"])), "What was given");
    }
}
