//! The recorded run's student, on its way to the engine: for sentences of the reader's own before there is a run.

use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::{Command, Control};

use super::chosen::{BundledFile, Index, Inputs, fetch_all, index};
use crate::engine::send;
use crate::live::effect;
use crate::recorded;
use crate::words::bytes;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Arrival {
    /// Nobody has written a sentence yet.
    #[default]
    Away,
    /// Bytes that are fetched, of all.
    Coming(u64, u64),
    /// The engine has it.
    Here,
}

/// Bytes of the student, and those of its teacher unless that is the engine's. Nothing where the page has no such student. Reactive.
pub fn sizes(inputs: Inputs) -> Option<(u64, u64)> {
    let chosen = inputs.chosen;
    let sum = |files: &[BundledFile]| files.iter().map(|file| file.bytes).sum::<u64>();
    let sizes = move |index: &Index| match has_teacher(inputs, index) {
        true => (sum(&index.student), 0),
        false => (sum(&index.student), sum(&index.teacher.files)),
    };
    chosen
        .with(|chosen| chosen.index.as_ref().map(sizes))
        .filter(|(student, _)| *student > 0)
}

/// What is said before anybody has written a sentence, with these [`sizes`]. Where the engine has no teacher, the browser may still have
/// it, from an earlier visit or because it fetches it now: the page does not know.
pub fn offer((student, teacher): (u64, u64)) -> String {
    let student = bytes(student);
    let download = match teacher {
        0 => format!("the student ({student})"),
        _ => format!(
            "the student ({student}), and its teacher ({}) unless this browser has it already",
            bytes(teacher)
        ),
    };
    format!(
        "The teacher and the student of the recorded run can read your sentence, without a run of your own. When you start to type, the page downloads {download}."
    )
}

/// Paths below `data/` and sizes: the teacher's files come first.
fn files(inputs: Inputs, index: &Index) -> impl Iterator<Item = (String, u64)> {
    let of = |folder: &str, files: &[BundledFile]| {
        let file = |file: &BundledFile| (format!("{folder}/{}", file.name), file.bytes);
        files.iter().map(file).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    if !has_teacher(inputs, index) {
        all = of("teacher", &index.teacher.files);
    }
    all.extend(of("student", &index.student));
    all.into_iter()
}

/// Whether the engine has the bundled teacher.
fn has_teacher(inputs: Inputs, index: &Index) -> bool {
    let is_bundled = |name: &str| name == index.teacher.name;
    (inputs.page.teacher).with(|teacher| teacher.as_ref().is_some_and(|t| is_bundled(&t.name)))
}

/// Fetches the student, once; somebody writes a sentence.
pub fn fetch(inputs: Inputs) {
    if inputs.student.get_untracked() == Arrival::Away {
        inputs.student.set(Arrival::Coming(0, 0));
        spawn_local(async move {
            let given = give(inputs).await;
            inputs.student.set(match &given {
                Ok(()) => Arrival::Here,
                Err(_) => Arrival::Away,
            });
            match given {
                Ok(()) => ask(inputs),
                Err(message) => {
                    inputs.asked.set_value(None);
                    inputs.page.problem(Control::Sentence, message);
                }
            }
        });
    }
}

/// Has the engine read a sentence as soon as it has the student.
pub fn read(inputs: Inputs, text: String) {
    inputs.asked.set_value(Some(text));
    match inputs.student.get_untracked() {
        Arrival::Here => ask(inputs),
        Arrival::Away | Arrival::Coming(..) => fetch(inputs),
    }
}

/// The last sentence alone: those before it are not waited for any more.
fn ask(inputs: Inputs) {
    if let Some(text) = inputs.asked.try_update_value(Option::take).flatten() {
        send(Command::Sentence { text }, Vec::new());
    }
}

async fn give(inputs: Inputs) -> Result<(), String> {
    let index = index(inputs).await?;
    let recipe = recorded::recipe().filter(|_| !index.student.is_empty());
    let recipe =
        recipe.ok_or("This page has no recorded run that could read a sentence. Start a run")?;
    let with_teacher = untrack(|| !has_teacher(inputs, &index));
    let (paths, sizes): (Vec<String>, Vec<u64>) = untrack(|| files(inputs, &index)).unzip();
    let total = sizes.iter().sum();
    let progress = |bytes| inputs.student.set(Arrival::Coming(bytes, total));
    let blobs = fetch_all(paths.into_iter(), progress).await?;
    let names = |files: &[BundledFile]| files.iter().map(|file| file.name.clone()).collect();
    let teacher = match with_teacher {
        true => names(&index.teacher.files),
        false => Vec::new(),
    };
    let files = names(&index.student);
    let student = Command::Student {
        recipe,
        teacher,
        files,
    };
    send(student, blobs);
    Ok(())
}

/// Another engine has none.
pub fn follow(inputs: Inputs) {
    effect(move || {
        inputs.page.engine.track();
        if inputs.student.get_untracked() == Arrival::Here {
            inputs.student.set(Arrival::Away);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::offer;

    #[test]
    fn the_teacher_counts_only_where_the_engine_has_none() {
        let has_it = offer((2_200_000, 0));
        assert!(
            has_it.ends_with("downloads the student (2.2 MB)."),
            "{has_it}"
        );
        let has_none = offer((2_200_000, 9_600_000));
        let both =
            "the student (2.2 MB), and its teacher (9.6 MB) unless this browser has it already.";
        assert!(has_none.ends_with(both), "{has_none}");
    }
}
