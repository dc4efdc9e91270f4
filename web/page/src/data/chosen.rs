//! What the user has chosen to train with, and how an engine gets it.

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use limbeck_protocol::{Command, Control, Stage};
use serde::Deserialize;
use web_sys::Blob;

use super::blobs::{self, NamedBlob};
use super::fetch::{self, Failure};
use super::student::Arrival;
use crate::engine::send;
use crate::live::effect;
use crate::state::Page;

/// What `data/index.json` lists.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Index {
    /// The bundled teacher.
    pub teacher: BundledTeacher,
    /// The bundled texts.
    pub texts: Vec<BundledText>,
    /// Files under `data/student/`: the student of the recorded run.
    #[serde(default)]
    pub student: Vec<BundledFile>,
}

/// The bundled teacher.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BundledTeacher {
    /// For recipes: the folder in the repository.
    pub name: String,
    /// Files under `data/teacher/`.
    pub files: Vec<BundledFile>,
}

/// A file of the bundled teacher.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BundledFile {
    /// Name.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

/// A bundled text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BundledText {
    /// For recipes: the path in the repository.
    pub name: String,
    /// File under `data/texts/`.
    pub file: String,
    /// Size.
    pub bytes: u64,
}

/// A teacher of the user's.
#[derive(Clone, Debug)]
pub struct Model {
    /// For recipes.
    pub name: String,
    /// Its files; they stay where the browser has them.
    pub files: Vec<NamedBlob>,
}

/// Which texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextChoice {
    /// Names of bundled texts that are not wanted.
    pub left_out: Vec<String>,
    /// The user's own.
    pub own: Vec<(String, Blob)>,
}

impl TextChoice {
    /// Names of all texts, in the order in which they are given.
    pub fn names(&self, index: &Index) -> Vec<String> {
        let bundled = index.texts.iter().map(|text| &text.name);
        bundled
            .filter(|name| !self.left_out.contains(name))
            .chain(self.own.iter().map(|(name, _)| name))
            .cloned()
            .collect()
    }

    /// A name that no text has yet.
    pub fn free_name(&self, name: &str) -> String {
        let taken = |name: &str| self.own.iter().any(|(own, _)| own == name);
        let more = (2..).map(|n| format!("{name} ({n})"));
        std::iter::once(name.to_owned())
            .chain(more)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }
}

/// What is used and what is offered. An offer becomes what is used when an engine has taken it, so that a restarted
/// engine never gets what another has refused.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// What is bundled, once it is known.
    pub index: Option<Index>,
    /// The user's teacher; the bundled one if there is none.
    pub teacher: Option<Model>,
    /// A teacher that an engine reads now.
    pub offered_teacher: Option<Model>,
    /// How many teachers the user has asked for. Reading one takes its time, and only the last one counts.
    pub teachers_asked: u64,
    /// The texts.
    pub texts: TextChoice,
    /// Texts that an engine reads now.
    pub offered_texts: Option<TextChoice>,
}

impl Chosen {
    /// Whether an engine reads what was offered.
    pub fn is_read(&self) -> bool {
        self.offered_teacher.is_some() || self.offered_texts.is_some()
    }

    /// Takes over which of the bundled texts an engine has, unless it reads others.
    fn agree_with(&mut self, texts: &[String]) {
        if let (Some(index), None) = (&self.index, &self.offered_texts) {
            let bundled = index.texts.iter().map(|text| text.name.clone());
            self.texts.left_out = bundled.filter(|name| !texts.contains(name)).collect();
        }
    }

    /// The texts of an engine that this page can neither give nor leave out: those that a run brought which was taken up.
    pub fn of_run(&self, texts: &[String]) -> Vec<String> {
        let Some(index) = &self.index else {
            return Vec::new();
        };
        let bundled = |name: &String| index.texts.iter().any(|text| text.name == *name);
        let own = |name: &String| self.wanted_texts().own.iter().any(|(own, _)| own == name);
        let mut others = texts.to_vec();
        others.retain(|name| !bundled(name) && !own(name));
        others
    }

    /// The texts as the user wants them.
    pub fn wanted_texts(&self) -> &TextChoice {
        self.offered_texts.as_ref().unwrap_or(&self.texts)
    }
}

/// What the user has chosen, and the page that it is for. It is in the context: [`inputs`].
#[derive(Clone, Copy)]
pub struct Inputs {
    /// The page.
    pub page: Page,
    /// Teacher and texts as the user has chosen them.
    pub chosen: RwSignal<Chosen, LocalStorage>,
    /// The recorded run's student.
    pub student: RwSignal<Arrival>,
    /// The sentence that waits for it.
    pub asked: StoredValue<Option<String>>,
}

impl Inputs {
    /// Nothing chosen yet.
    pub fn new(page: Page) -> Self {
        Self {
            page,
            chosen: RwSignal::new_local(Chosen::default()),
            student: RwSignal::default(),
            asked: StoredValue::new(None),
        }
    }
}

/// The inputs of this context.
pub fn inputs() -> Inputs {
    expect_context::<Inputs>()
}

/// Gives the engine what the user has chosen; unless they did, the bundled teacher and texts. For an engine that has
/// neither: one that was just started.
pub async fn provide(inputs: Inputs) {
    let index = match index(inputs).await {
        Ok(index) => index,
        Err(message) => return inputs.page.problem(Control::Teacher, message),
    };
    drop_offers(inputs);
    if let Err(message) = give_teacher(inputs, &index).await {
        inputs.page.problem(Control::Teacher, message);
    }
    if let Err(message) = give_texts(inputs, &index).await {
        inputs.page.problem(Control::Texts, message);
    }
}

/// What an engine was reading when it ended may be what ended it, so another does not get it.
fn drop_offers(inputs: Inputs) {
    let (teacher, texts) = inputs
        .chosen
        .try_update(|chosen| (chosen.offered_teacher.take(), chosen.offered_texts.take()))
        .unwrap_or_default();
    if let Some(model) = teacher {
        let message = format!(
            "the engine stopped while it read {}, so the previous teacher is used. Choose it again, or a smaller one",
            model.name
        );
        inputs.page.problem(Control::Teacher, message);
    }
    if texts.is_some() {
        let message = "the engine stopped while it read the texts, so the previous ones are used. Choose them again, or fewer";
        inputs.page.problem(Control::Texts, message);
    }
}

/// Takes over the texts of an engine. One that has taken up a run was given nothing, so what is bundled may not be known yet.
async fn take_over(inputs: Inputs, texts: Vec<String>) {
    match index(inputs).await {
        Ok(_) => inputs.chosen.update(|chosen| chosen.agree_with(&texts)),
        Err(message) => inputs.page.problem(Control::Texts, message),
    }
}

/// What is bundled; fetched when it is asked for first.
pub async fn index(inputs: Inputs) -> Result<Index, String> {
    if let Some(index) = inputs.chosen.with_untracked(|chosen| chosen.index.clone()) {
        return Ok(index);
    }
    let blob = bundled("index.json", |_| ()).await?;
    let json = blobs::read("index.json", &blob, 0..blobs::size(&blob)).await?;
    let index: Index = serde_json::from_slice(&json).map_err(|e| {
        format!("data/index.json of this page cannot be parsed ({e}). Reload the page")
    })?;
    inputs
        .chosen
        .update(|chosen| chosen.index = Some(index.clone()));
    Ok(index)
}

/// A file that came with the page.
async fn bundled(path: &str, progress: impl FnMut(u64)) -> Result<Blob, String> {
    let answer = fetch::get(&format!("data/{path}"), None, None, progress).await;
    match answer {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(format!(
            "data/{path} of this page cannot be fetched (HTTP {}). Reload the page",
            answer.status
        )),
        Err(Failure::Trouble(message)) => Err(message),
        Err(Failure::Cancelled) => Err(format!(
            "fetching data/{path} was cancelled. Reload the page"
        )),
    }
}

/// Gives the present teacher, or what is offered in its place.
pub async fn give_teacher(inputs: Inputs, index: &Index) -> Result<(), String> {
    let own = inputs.chosen.with_untracked(|chosen| {
        chosen
            .offered_teacher
            .clone()
            .or_else(|| chosen.teacher.clone())
    });
    let Some(model) = own else {
        let total = index.teacher.files.iter().map(|file| file.bytes).sum();
        let paths = index
            .teacher
            .files
            .iter()
            .map(|file| format!("teacher/{}", file.name));
        let blobs = fetch_staged(inputs.page, paths, total).await?;
        let files = index
            .teacher
            .files
            .iter()
            .map(|file| file.name.clone())
            .collect();
        send(
            Command::Teacher {
                name: index.teacher.name.clone(),
                files,
            },
            blobs,
        );
        return Ok(());
    };
    let mut blobs = Vec::new();
    for (name, blob) in &model.files {
        blobs.push(blobs::bytes(name, blob).await?);
    }
    let files = model.files.into_iter().map(|(name, _)| name).collect();
    send(
        Command::Teacher {
            name: model.name,
            files,
        },
        blobs,
    );
    Ok(())
}

/// Gives the present texts, or what is offered in their place.
pub async fn give_texts(inputs: Inputs, index: &Index) -> Result<(), String> {
    let choice = inputs
        .chosen
        .with_untracked(|chosen| chosen.wanted_texts().clone());
    let names = choice.names(index);
    let wanted: Vec<&BundledText> = index
        .texts
        .iter()
        .filter(|text| names.contains(&text.name))
        .collect();
    let total = wanted.iter().map(|text| text.bytes).sum();
    let paths = wanted.iter().map(|text| format!("texts/{}", text.file));
    let mut blobs = fetch_staged(inputs.page, paths, total).await?;
    for (name, blob) in &choice.own {
        blobs.push(blobs::bytes(name, blob).await?);
    }
    let wanted = inputs
        .chosen
        .with_untracked(|chosen| *chosen.wanted_texts() == choice);
    // Else another choice was made since, and may even have been given already.
    if wanted {
        send(Command::Texts { names }, blobs);
    }
    Ok(())
}

async fn fetch_staged(
    page: Page,
    paths: impl Iterator<Item = String>,
    total: u64,
) -> Result<Vec<Uint8Array>, String> {
    let progress = |bytes| page.stage.set((Stage::Reading, bytes, total));
    let all = fetch_all(paths, progress).await;
    page.stage.set((Stage::Ready, 0, 0));
    all
}

/// Files that came with the page; tells `progress` the bytes so far.
pub async fn fetch_all(
    paths: impl Iterator<Item = String>,
    progress: impl Fn(u64),
) -> Result<Vec<Uint8Array>, String> {
    let mut all = Vec::new();
    let mut before = 0;
    for path in paths {
        let blob = bundled(&path, |bytes| progress(before + bytes)).await?;
        before += blobs::size(&blob);
        all.push(blobs::bytes(&path, &blob).await?);
    }
    Ok(all)
}

/// Notes that the user wants another teacher; the number is for [`still_wanted`].
pub fn ask_teacher(inputs: Inputs) -> u64 {
    let ask = |chosen: &mut Chosen| {
        chosen.teachers_asked += 1;
        chosen.teachers_asked
    };
    inputs.chosen.try_update(ask).unwrap_or_default()
}

/// Whether no other teacher was asked for since.
pub fn still_wanted(inputs: Inputs, asked: u64) -> bool {
    inputs
        .chosen
        .with_untracked(|chosen| chosen.teachers_asked == asked)
}

/// Offers the engine another teacher; none is the bundled one.
pub async fn offer_teacher(inputs: Inputs, model: Option<Model>) -> Result<(), String> {
    let index = index(inputs).await?;
    inputs.page.solved(&Control::Teacher);
    inputs.chosen.update(|chosen| {
        if model.is_none() {
            chosen.teacher = None;
        }
        chosen.offered_teacher = model;
    });
    give_teacher(inputs, &index).await
}

/// Offers the engine other texts.
pub async fn offer_texts(inputs: Inputs, texts: TextChoice) -> Result<(), String> {
    let index = index(inputs).await?;
    if texts.names(&index).is_empty() {
        // The boxes are drawn again as they were.
        inputs.chosen.update(|_| ());
        return Err("A run needs at least one text: add another before you remove the last".into());
    }
    inputs.page.solved(&Control::Texts);
    inputs
        .chosen
        .update(|chosen| chosen.offered_texts = Some(texts));
    give_texts(inputs, &index).await
}

/// Keeps what is chosen in step with what the engine takes and refuses.
pub fn follow(inputs: Inputs) {
    effect(move || {
        let name = inputs
            .page
            .teacher
            .with(|teacher| teacher.as_ref().map(|teacher| teacher.name.clone()));
        inputs.chosen.update(|chosen| {
            if chosen.offered_teacher.as_ref().map(|model| &model.name) == name.as_ref() {
                chosen.teacher = chosen
                    .offered_teacher
                    .take()
                    .or_else(|| chosen.teacher.take());
            }
        });
    });
    effect(move || {
        let names: Vec<String> = inputs
            .page
            .texts
            .with(|texts| texts.iter().map(|text| text.name.clone()).collect());
        inputs.chosen.update(|chosen| {
            let (Some(index), Some(offered)) = (&chosen.index, &chosen.offered_texts) else {
                return;
            };
            if offered.names(index) == names {
                chosen.texts = chosen.offered_texts.take().unwrap_or_default();
            }
        });
    });
    // A run that was taken up brings its own texts.
    effect(move || {
        let texts = inputs.page.texts.with(|texts| {
            texts
                .iter()
                .map(|text| text.name.clone())
                .collect::<Vec<_>>()
        });
        if !texts.is_empty() {
            spawn_local(take_over(inputs, texts));
        }
    });
    effect(move || {
        let refused = |control| !inputs.page.problems_of(control).is_empty();
        let (teacher, texts) = (refused(&Control::Teacher), refused(&Control::Texts));
        inputs.chosen.update(|chosen| {
            if teacher {
                chosen.offered_teacher = None;
            }
            if texts {
                chosen.offered_texts = None;
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        serde_json::from_str(
            r#"{"teacher":{"name":"assets/teacher","files":[{"name":"config.json","bytes":1}]},
                "texts":[{"name":"assets/wiki.txt","file":"wiki.txt","bytes":1},{"name":"assets/glosses.txt","file":"glosses.txt","bytes":1}]}"#,
        )
        .expect("an index")
    }

    #[test]
    fn texts_that_are_left_out_are_not_given() {
        let choice = TextChoice {
            left_out: vec!["assets/wiki.txt".into()],
            own: Vec::new(),
        };
        assert_eq!(choice.names(&index()), ["assets/glosses.txt"]);
        assert_eq!(TextChoice::default().names(&index()).len(), 2);
    }

    #[test]
    fn a_run_that_is_taken_up_brings_its_texts() {
        let texts = ["assets/wiki.txt", "mine.txt"].map(str::to_owned);
        let mut chosen = Chosen {
            index: Some(index()),
            ..Chosen::default()
        };
        chosen.agree_with(&texts);
        assert_eq!(chosen.texts.left_out, ["assets/glosses.txt"]);
        assert_eq!(chosen.of_run(&texts), ["mine.txt"]);
        chosen.offered_texts = Some(TextChoice::default());
        chosen.agree_with(&texts[1..]);
        assert_eq!(chosen.texts.left_out.len(), 1, "others are being read");
        assert!(Chosen::default().of_run(&texts).is_empty());
    }

    #[test]
    fn a_free_name_stays() {
        assert_eq!(TextChoice::default().free_name("a.txt"), "a.txt");
    }
}
